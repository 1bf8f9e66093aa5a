//! The data directory in use: one `up` at a time, and what the others may know about it.

use std::fs::{self, DirBuilder, File, OpenOptions, TryLockError};
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use rustix::fs::OFlags;
use serde::{Deserialize, Serialize};

/// The file whose lock says that the directory is in use.
pub(super) const LOCK: &str = "up.lock";

/// The lock on a data directory; whoever has it is the only `up` there. It goes with the process, however that
/// ends.
pub(super) struct Hold {
    _lock: File,
    data_dir: PathBuf,
}

/// What other commands must know of an `up` that is running.
#[derive(Debug, Serialize, Deserialize)]
pub struct Running {
    /// The process.
    pub pid: u32,
    /// The database that it uses.
    pub database_url: String,
    /// The API's internal listener.
    pub internal: std::net::SocketAddr,
    /// Where RTMP is taken.
    pub rtmp: std::net::SocketAddr,
    /// The site's URL.
    pub site: String,
}

/// Why a data directory cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum HoldError {
    /// Another `up` has it.
    #[error(
        "another `tally up` uses {}: stop that one, or give this one a --data-dir of its own", _0.display()
    )]
    Taken(PathBuf),
    /// None has it.
    #[error("no `tally up` runs in {}: start one there, or give --database-url", _0.display())]
    Idle(PathBuf),
    /// One has it, and does not answer yet.
    #[error("the `tally up` in {} is still starting: try again in a moment", _0.display())]
    Starting(PathBuf),
    /// It cannot be read or written.
    #[error("{}: {cause}", path.display())]
    File {
        /// What could not be read or written.
        path: PathBuf,
        /// Why.
        cause: io::Error,
    },
}

impl Hold {
    /// Takes the directory, which must exist. The lock is no link: root takes it as well, and whoever owns the directory
    /// must not choose what root opens.
    pub(super) fn take(data_dir: &Path) -> Result<Self, HoldError> {
        let path = data_dir.join(LOCK);
        let failed = |cause| HoldError::File { path: path.clone(), cause };
        let mut options = OpenOptions::new();
        let options = options.create(true).truncate(false).write(true).mode(0o600);
        let no_link = OFlags::NOFOLLOW.bits().cast_signed();
        let lock = options.custom_flags(no_link).open(&path).map_err(failed)?;
        match lock.try_lock() {
            Ok(()) => Ok(Self { _lock: lock, data_dir: data_dir.to_owned() }),
            Err(TryLockError::WouldBlock) => Err(HoldError::Taken(data_dir.to_owned())),
            Err(TryLockError::Error(cause)) => Err(failed(cause)),
        }
    }

    /// Tells other commands what runs here.
    pub(super) fn publish(&self, running: &Running) -> Result<(), HoldError> {
        let path = state(&self.data_dir);
        let failed = |cause| HoldError::File { path: path.clone(), cause };
        let aside = path.with_extension("new");
        // A database's URL may hold a password.
        let mut file = OpenOptions::new();
        let mut file =
            file.create(true).truncate(true).write(true).mode(0o600).open(&aside).map_err(failed)?;
        serde_json::to_writer(&mut file, running).map_err(io::Error::from).map_err(failed)?;
        file.flush().and_then(|()| fs::rename(&aside, &path)).map_err(failed)
    }
}

impl Drop for Hold {
    fn drop(&mut self) {
        let _ = fs::remove_file(state(&self.data_dir));
    }
}

impl Running {
    /// What the `up` that uses `data_dir` says about itself.
    ///
    /// # Errors
    /// When none does, or it has not come that far.
    pub fn read(data_dir: &Path) -> Result<Self, HoldError> {
        let lock = match File::open(data_dir.join(LOCK)) {
            Ok(lock) => lock,
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                return Err(HoldError::Idle(data_dir.to_owned()));
            }
            Err(cause) => return Err(HoldError::File { path: data_dir.join(LOCK), cause }),
        };
        if lock.try_lock_shared().is_ok() {
            return Err(HoldError::Idle(data_dir.to_owned()));
        }
        let said = fs::read(state(data_dir)).map_err(|_| HoldError::Starting(data_dir.to_owned()))?;
        serde_json::from_slice(&said)
            .map_err(|error| HoldError::File { path: state(data_dir), cause: error.into() })
    }
}

fn state(data_dir: &Path) -> PathBuf {
    data_dir.join("run").join("up.json")
}

/// Makes a directory for nobody but the account that runs; those above it, if there are none, for whoever may pass.
pub(super) fn private_dir(path: &Path) -> Result<(), HoldError> {
    let above = path.parent().map_or(Ok(()), fs::create_dir_all);
    let made = above.and_then(|()| DirBuilder::new().recursive(true).mode(0o700).create(path));
    made.map_err(|cause| HoldError::File { path: path.to_owned(), cause })
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn a_directory_is_used_by_one_at_a_time() {
        let dir = tempfile::tempdir().unwrap();
        assert!(matches!(Running::read(dir.path()), Err(HoldError::Idle(_))));
        let hold = Hold::take(dir.path()).unwrap();
        assert!(matches!(Hold::take(dir.path()), Err(HoldError::Taken(_))));
        assert!(matches!(Running::read(dir.path()), Err(HoldError::Starting(_))));
        private_dir(&dir.path().join("run")).unwrap();
        let running = Running {
            pid: 7,
            database_url: "postgres://x".to_owned(),
            internal: "127.0.0.1:4001".parse().unwrap(),
            rtmp: "127.0.0.1:1935".parse().unwrap(),
            site: "http://127.0.0.1:8080".to_owned(),
        };
        hold.publish(&running).unwrap();
        assert_eq!(Running::read(dir.path()).unwrap().database_url, "postgres://x");
        drop(hold);
        assert!(matches!(Running::read(dir.path()), Err(HoldError::Idle(_))));
        assert!(!state(dir.path()).exists());
    }

    #[test]
    fn a_lock_that_is_a_link_is_not_followed() {
        let dir = tempfile::tempdir().unwrap();
        let elsewhere = dir.path().join("elsewhere");
        std::os::unix::fs::symlink(&elsewhere, dir.path().join(LOCK)).unwrap();
        assert!(matches!(Hold::take(dir.path()), Err(HoldError::File { .. })));
        assert!(!elsewhere.exists());
    }

    #[test]
    fn others_may_pass_to_what_is_private() {
        let dir = tempfile::tempdir().unwrap();
        let (above, private) = (dir.path().join("srv"), dir.path().join("srv").join("site"));
        private_dir(&private).unwrap();
        private_dir(&private).expect("it is there");
        let modes = [above, private].map(|path| fs::metadata(path).unwrap().permissions().mode() & 0o777);
        assert_eq!(modes.map(|mode| mode & 0o700), [0o700, 0o700]);
        assert_eq!(modes[1], 0o700, "nobody else enters");
        assert_ne!(modes[0] & 0o011, 0, "but comes this far");
    }
}
