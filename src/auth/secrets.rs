//! The secrets of this installation: made on the first run, kept in the data directory, readable by its owner only.

use std::fs;
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt, fchown};
use std::path::{Path, PathBuf};

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use subtle::ConstantTimeEq;

use crate::ambient::Chance;

/// The file of the server's key.
const KEY: &str = "server.key";
/// The file of the one before, while it is being replaced.
const PREVIOUS: &str = "server.key.previous";

/// What `DATA/secrets` holds.
pub struct Secrets {
    key: [u8; 32],
    /// The key before, as long as something may still be sealed under it.
    previous: Option<[u8; 32]>,
    internal: String,
    nginx: PathBuf,
}

/// A secret could not be read or made.
#[derive(Debug, thiserror::Error)]
#[error("{}: {cause}", path.display())]
pub struct SecretsError {
    path: PathBuf,
    cause: io::Error,
}

impl Secrets {
    /// Reads the secrets in `data_dir`, making those that are not there yet.
    ///
    /// # Errors
    /// When a file cannot be read or written, or does not hold what it should.
    pub fn open(data_dir: &Path, chance: &Chance) -> Result<Self, SecretsError> {
        let dir = data_dir.join("secrets");
        let failed = |path: &Path| {
            let path = path.to_owned();
            move |cause| SecretsError { path, cause }
        };
        fs::DirBuilder::new().recursive(true).mode(0o700).create(&dir).map_err(failed(&dir))?;
        let key = dir.join(KEY);
        let previous = dir.join(PREVIOUS);
        let internal = dir.join("internal.secret");
        let nginx = dir.join("nginx.conf");
        let key =
            read_or_make(&key, || encode(chance)).and_then(|text| decode(&text)).map_err(failed(&key))?;
        let previous = match fs::read_to_string(&previous) {
            Ok(text) => Some(decode(text.trim()).map_err(failed(&previous))?),
            Err(error) if error.kind() == io::ErrorKind::NotFound => None,
            Err(error) => return Err(failed(&previous)(error)),
        };
        let secret = read_or_make(&internal, || encode(chance)).map_err(failed(&internal))?;
        let include = format!("map $host $tally_secret {{ default \"{secret}\"; }}\n");
        if fs::read_to_string(&nginx).ok().as_deref() != Some(include.as_str()) {
            write_private(&nginx, &include).map_err(failed(&nginx))?;
        }
        Ok(Self { key, previous, internal: secret, nginx })
    }

    /// The secrets of a test.
    pub fn of_test(key: [u8; 32], internal: &str) -> Self {
        Self { key, previous: None, internal: internal.to_owned(), nginx: PathBuf::new() }
    }

    /// The server's key, from which all others are derived.
    pub(super) fn key(&self) -> &[u8; 32] {
        &self.key
    }

    /// The server's key before this one, while it is being replaced.
    pub(super) fn previous_key(&self) -> Option<&[u8; 32]> {
        self.previous.as_ref()
    }

    /// Whether the server's key is being replaced: what was sealed under the one before is to be sealed anew.
    pub fn is_rotating(&self) -> bool {
        self.previous.is_some()
    }

    /// Gives the installation in `data_dir` another server's key, and keeps the one before until
    /// [`Secrets::forget_previous`]. False, and nothing changes, when one is kept already.
    ///
    /// # Errors
    /// When a file cannot be read or written.
    pub fn rotate(data_dir: &Path, chance: &Chance) -> Result<bool, SecretsError> {
        let there = Self::open(data_dir, chance)?;
        if there.is_rotating() {
            return Ok(false);
        }
        let dir = data_dir.join("secrets");
        // In this order: a crash in between leaves the same key in both.
        for (name, text) in [(PREVIOUS, URL_SAFE_NO_PAD.encode(there.key)), (KEY, encode(chance))] {
            let path = dir.join(name);
            write_private(&path, &text).map_err(|cause| SecretsError { path, cause })?;
        }
        Ok(true)
    }

    /// Forgets the key before: nothing is sealed under it any more.
    ///
    /// # Errors
    /// When its file cannot be removed.
    pub fn forget_previous(&self) -> Result<(), SecretsError> {
        let path = self.nginx.with_file_name(PREVIOUS);
        remove(&path).map_err(|cause| SecretsError { path, cause })
    }

    /// The file that nginx's configuration includes: it sets `$tally_secret`.
    pub fn nginx_include(&self) -> &Path {
        &self.nginx
    }

    /// What goes into the header `X-Tally-Secret` of requests between nginx and the API, either way.
    pub fn internal(&self) -> &str {
        &self.internal
    }

    /// The first admin's password, as long as nobody was told.
    ///
    /// # Errors
    /// When it is there and cannot be read.
    pub fn untold_password(&self) -> Result<Option<String>, SecretsError> {
        match fs::read_to_string(self.untold()) {
            Ok(password) => Ok(Some(password)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(cause) => Err(SecretsError { path: self.untold(), cause }),
        }
    }

    /// Keeps the first admin's password until somebody was told.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn keep_untold(&self, password: String) -> Result<String, SecretsError> {
        write_private(&self.untold(), &password)
            .map_err(|cause| SecretsError { path: self.untold(), cause })?;
        Ok(password)
    }

    /// Forgets it, now that somebody was told.
    ///
    /// # Errors
    /// When it cannot be removed.
    pub fn forget_told(&self) -> Result<(), SecretsError> {
        let path = self.untold();
        remove(&path).map_err(|cause| SecretsError { path, cause })
    }

    fn untold(&self) -> PathBuf {
        self.nginx.with_file_name("admin.password")
    }

    /// Whether `offered` is the internal secret; takes the same time wherever it differs.
    pub fn is_internal(&self, offered: &[u8]) -> bool {
        self.internal.as_bytes().ct_eq(offered).into()
    }
}

fn encode(chance: &Chance) -> String {
    URL_SAFE_NO_PAD.encode(chance.bytes::<32>())
}

fn decode(text: &str) -> io::Result<[u8; 32]> {
    let bytes = URL_SAFE_NO_PAD.decode(text).map_err(io::Error::other)?;
    bytes.try_into().map_err(|_| io::Error::other("it must hold 32 bytes in base64url"))
}

fn read_or_make(path: &Path, make: impl FnOnce() -> String) -> io::Result<String> {
    match fs::read_to_string(path) {
        Ok(text) => Ok(text.trim().to_owned()),
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            let text = make();
            write_private(path, &text)?;
            Ok(text)
        }
        Err(error) => Err(error),
    }
}

/// Removes a file that need not be there.
fn remove(path: &Path) -> io::Result<()> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

/// Written aside and renamed, so that a crash leaves either the whole file or none. It is its directory's owner's,
/// for root may be typing what an account of less power reads.
fn write_private(path: &Path, text: &str) -> io::Result<()> {
    let aside = path.with_extension("new");
    // What lies there is from a crash, or a link by whoever owns the directory, which root must not follow.
    remove(&aside)?;
    let mut file = fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(&aside)?;
    let owner = fs::metadata(path.parent().unwrap_or(path))?;
    if file.metadata()?.uid() != owner.uid() {
        fchown(&file, Some(owner.uid()), Some(owner.gid()))?;
    }
    file.write_all(text.as_bytes())?;
    file.sync_all()?;
    fs::rename(aside, path)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn what_is_written_follows_no_link() {
        let dir = tempfile::tempdir().unwrap();
        let (path, elsewhere) = (dir.path().join("server.key"), dir.path().join("elsewhere"));
        fs::write(&elsewhere, "as it was").unwrap();
        std::os::unix::fs::symlink(&elsewhere, path.with_extension("new")).unwrap();
        write_private(&path, "secret").unwrap();
        assert_eq!(fs::read_to_string(&path).unwrap(), "secret");
        assert_eq!(fs::read_to_string(&elsewhere).unwrap(), "as it was");
        assert!(!fs::symlink_metadata(&path).unwrap().is_symlink());
    }

    #[test]
    fn secrets_are_made_once_and_only_their_owner_may_read_them() {
        let dir = tempfile::tempdir().unwrap();
        let first = Secrets::open(dir.path(), &Chance::system()).unwrap();
        let second = Secrets::open(dir.path(), &Chance::system()).unwrap();
        assert_eq!(first.key(), second.key());
        assert!(second.is_internal(first.internal().as_bytes()));
        assert!(!second.is_internal(b"something else"));
        for name in ["server.key", "internal.secret", "nginx.conf"] {
            let mode = fs::metadata(dir.path().join("secrets").join(name)).unwrap().permissions().mode();
            assert_eq!(mode & 0o777, 0o600, "{name}");
        }
    }
}
