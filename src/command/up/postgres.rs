//! The private PostgreSQL: one cluster in the data directory, reached through a socket that only its owner can
//! open, never over TCP.

use std::fs::{self, DirBuilder};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::io;
use std::os::unix::fs::{DirBuilderExt, MetadataExt};
use std::path::{Path, PathBuf};
use std::process::{Command as Plain, Stdio};
use std::time::Duration;

use rustix::process::{Pid, Signal};
use tokio::process::Command;

use super::hold::private_dir;
use super::process::{self, Process};
use super::watch::Server;
use crate::config::DatabaseUrl;
use crate::lifecycle::Failure;

/// The name of both the database and its user.
const NAME: &str = "tally";

/// What a socket's path may measure, with the name that PostgreSQL gives to it.
const LONGEST_SOCKET: usize = 107;
const SOCKET: &str = ".s.PGSQL.5432";

/// How long a fast shutdown may take; it writes a checkpoint.
const SHUTDOWN: Duration = Duration::from_secs(20);

/// How long a start may take; after a crash it replays its log first.
const START: Duration = Duration::from_secs(60);

/// Appended to the cluster's postgresql.conf when it is made; an operator may change these there.
const SMALL_MACHINE: &str = "
# Written by `tally up` when it made this cluster: a small machine's settings, yours to change.
max_connections = 60
shared_buffers = 64MB
effective_cache_size = 256MB
work_mem = 4MB
maintenance_work_mem = 32MB
max_wal_size = 512MB
min_wal_size = 64MB
checkpoint_completion_target = 0.9
random_page_cost = 1.1
log_line_prefix = '%m [%p] '
log_checkpoints = off
timezone = 'UTC'
log_timezone = 'UTC'
";

/// The cluster and, once it runs, its postmaster.
pub(super) struct Postgres {
    bin: PathBuf,
    cluster: PathBuf,
    sockets: PathBuf,
    log: PathBuf,
    postmaster: Option<Process>,
}

impl Postgres {
    /// Finds PostgreSQL's programs and a place for its socket; nothing is started yet.
    pub(super) fn new(data_dir: &Path) -> Result<Self, Failure> {
        let data_dir = data_dir.canonicalize()?;
        let cluster = data_dir.join("postgres");
        let bin = find_programs(fs::read_to_string(cluster.join("PG_VERSION")).ok().as_deref())?;
        let sockets = socket_dir(&data_dir)?;
        let log = data_dir.join("logs").join("postgres.log");
        Ok(Self { bin, cluster, sockets, log, postmaster: None })
    }

    /// How to connect.
    pub(super) fn url(&self) -> DatabaseUrl {
        DatabaseUrl::of_socket(&self.sockets, NAME, NAME)
    }

    /// Makes the cluster beside its place and moves it there when it is whole, so that a crash leaves either
    /// a cluster or none.
    async fn make_cluster(&self) -> Result<(), Failure> {
        if self.cluster.join("PG_VERSION").exists() {
            return Ok(());
        }
        tracing::info!("making a database cluster");
        let unfinished = self.cluster.with_extension("unfinished");
        if unfinished.exists() {
            fs::remove_dir_all(&unfinished)?;
        }
        let mut initdb = Command::new(self.bin.join("initdb"));
        initdb.args(["--encoding=UTF8", "--locale=C.UTF-8", "--auth=trust", "--username", NAME]);
        initdb.args(["--data-checksums", "--no-instructions", "--pgdata"]).arg(&unfinished);
        self.help(&mut initdb, "").await?;
        // Nothing but the socket leads in, and who may open that is a matter of its directory.
        fs::write(unfinished.join("pg_hba.conf"), "local all all trust\n")?;
        let settings = unfinished.join("postgresql.conf");
        fs::write(&settings, fs::read_to_string(&settings)? + SMALL_MACHINE)?;
        let mut single = Command::new(self.bin.join("postgres"));
        single.args(["--single", "-j", "-D"]).arg(&unfinished).arg("postgres");
        self.help(&mut single, &format!("CREATE DATABASE {NAME}")).await?;
        Ok(fs::rename(unfinished, &self.cluster)?)
    }

    /// Runs one of PostgreSQL's own programs to its end.
    async fn help(&self, command: &mut Command, input: &str) -> Result<(), Failure> {
        command.current_dir("/").env("LC_ALL", "C.UTF-8");
        let status = process::run(command, input, &self.log).await?;
        if status.success() { Ok(()) } else { Err(self.trouble("the database cluster cannot be made")) }
    }

    fn trouble(&self, what: &str) -> Failure {
        format!("PostgreSQL: {what}: {} (see {})", process::last_words(&self.log), self.log.display()).into()
    }

    /// The postmaster that an `up` before us left, when it can be gone on with.
    fn left_behind(&self) -> Option<Process> {
        let pid = Postmaster::read(&self.cluster)?;
        let ours = process::living_in(&self.cluster, "postgres").contains(&pid.pid);
        let usable = ours && pid.sockets == self.sockets && pid.status != "stopping";
        usable.then(|| Process::adopt(pid.pid).ok()).flatten()
    }

    async fn launch(&self) -> Result<Process, Failure> {
        // Left by a killed postmaster; they end by themselves, and a new one would refuse while they live.
        process::clear(&self.cluster, "postgres", Signal::INT, SHUTDOWN).await;
        // Nobody lives in the cluster now, whatever process has the number in these files: another one that was
        // given it since, or the dead one itself when nobody has reaped it.
        let locks =
            [self.cluster.join("postmaster.pid"), self.sockets.join(SOCKET).with_added_extension("lock")];
        for lock in locks {
            let _ = fs::remove_file(lock);
        }
        private_dir(&self.sockets)?;
        let mut command = Command::new(self.bin.join("postgres"));
        command.arg("-D").arg(&self.cluster).arg("-k").arg(&self.sockets).current_dir(&self.cluster);
        for setting in
            ["listen_addresses=", "port=5432", "unix_socket_permissions=0700", "logging_collector=off"]
        {
            command.args(["-c", setting]);
        }
        Process::spawn(&mut command, &self.log).map_err(|error| self.trouble(&error.to_string()))
    }

    async fn until_ready(&mut self) -> Result<(), Failure> {
        let Some(postmaster) = &mut self.postmaster else { return Err("PostgreSQL was not started".into()) };
        let cluster = &self.cluster;
        let answers = async {
            // PostgreSQL's own way to say so, and the one that pg_ctl looks at.
            while Postmaster::read(cluster).is_none_or(|file| file.status != "ready") {
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
        };
        let outcome = tokio::select! {
            () = answers => return Ok(()),
            how = postmaster.ended() => format!("it ended while starting ({how})"),
            () = tokio::time::sleep(START) => "it takes too long to start".to_owned(),
        };
        Err(self.trouble(&outcome))
    }
}

impl Server for Postgres {
    const NAME: &'static str = "PostgreSQL";

    async fn start(&mut self) -> Result<(), Failure> {
        self.make_cluster().await?;
        self.postmaster = match self.left_behind() {
            Some(running) => {
                tracing::info!(pid = running.id(), "PostgreSQL still runs: taking it over");
                Some(running)
            }
            None => Some(self.launch().await?),
        };
        self.until_ready().await
    }

    async fn ended(&mut self) -> String {
        match &mut self.postmaster {
            Some(postmaster) => postmaster.ended().await,
            None => "it was never started".to_owned(),
        }
    }

    async fn tend(&mut self) -> io::Result<()> {
        // It never opens its log again, since that is its stderr.
        let log = self.log.clone();
        tokio::task::spawn_blocking(move || process::log::cut(&log)).await.map_err(io::Error::other)?
    }

    async fn stop(&mut self) {
        if let Some(mut postmaster) = self.postmaster.take() {
            postmaster.stop(Signal::INT, SHUTDOWN).await;
        }
        process::clear(&self.cluster, "postgres", Signal::QUIT, Duration::from_secs(5)).await;
        if self.cluster.parent().is_some_and(|data_dir| !self.sockets.starts_with(data_dir)) {
            // It is there for the socket only, which is gone.
            let _ = fs::remove_dir(&self.sockets);
        }
    }
}

/// What PostgreSQL writes about itself into postmaster.pid.
struct Postmaster {
    pid: Pid,
    sockets: PathBuf,
    status: String,
}

impl Postmaster {
    fn read(cluster: &Path) -> Option<Self> {
        let text = fs::read_to_string(cluster.join("postmaster.pid")).ok()?;
        let lines: Vec<_> = text.lines().map(str::trim).collect();
        let pid = Pid::from_raw(lines.first()?.parse().ok()?)?;
        let status = (*lines.get(7)?).to_owned();
        Some(Self { pid, sockets: PathBuf::from(lines.get(4)?), status })
    }
}

/// The directory of PostgreSQL's programs: the newest, or the one that made the cluster that is there.
fn find_programs(cluster: Option<&str>) -> Result<PathBuf, Failure> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let debian = fs::read_dir("/usr/lib/postgresql").into_iter().flatten().flatten();
    let dirs = std::env::split_paths(&path).chain(debian.map(|version| version.path().join("bin")));
    let mut found: Vec<_> = dirs
        .filter(|dir| dir.join("initdb").is_file())
        .filter_map(|dir| Some((version(&dir)?, dir)))
        .collect();
    found.sort();
    let wanted: Option<u32> = cluster.and_then(|text| text.trim().parse().ok());
    let fits = found.into_iter().rev().find(|(version, _)| wanted.is_none_or(|wanted| wanted == *version));
    match (fits, wanted) {
        (Some((_, dir)), _) => Ok(dir),
        (None, Some(version)) => Err(format!(
            "the data directory's cluster is of PostgreSQL {version}, which is not installed: \
             apt-get install postgresql-{version}"
        )
        .into()),
        (None, None) => Err("PostgreSQL is not installed: run script/setup".into()),
    }
}

/// The major version of the PostgreSQL in `dir`.
fn version(dir: &Path) -> Option<u32> {
    let said = Plain::new(dir.join("postgres")).arg("--version").stderr(Stdio::null()).output().ok()?;
    major(&String::from_utf8(said.stdout).ok()?)
}

fn major(said: &str) -> Option<u32> {
    let number =
        said.split_whitespace().find(|word| word.starts_with(|first: char| first.is_ascii_digit()))?;
    number.split(|c: char| !c.is_ascii_digit()).next()?.parse().ok()
}

/// A directory for the socket: in the data directory where its path is short enough, else a private one in the
/// system's place for temporary files, the same at every start.
fn socket_dir(data_dir: &Path) -> Result<PathBuf, Failure> {
    let inside = data_dir.join("run");
    if inside.join(SOCKET).as_os_str().len() <= LONGEST_SOCKET {
        return Ok(inside);
    }
    let mut hasher = DefaultHasher::new();
    data_dir.hash(&mut hasher);
    let outside = std::env::temp_dir().join(format!("tally-{:016x}", hasher.finish()));
    // Anybody can make a directory there, so one that is there already must be shown to be ours.
    if DirBuilder::new().mode(0o700).create(&outside).is_err() {
        let there = fs::symlink_metadata(&outside)?;
        let ours = there.is_dir() && there.uid() == rustix::process::geteuid().as_raw();
        if !ours || there.mode() & 0o077 != 0 {
            return Err(format!("{} is not a private directory of ours: remove it", outside.display()).into());
        }
    }
    Ok(outside)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_are_read_as_debian_writes_them() {
        assert_eq!(major("postgres (PostgreSQL) 15.14 (Debian 15.14-0+deb12u1)\n"), Some(15));
        assert_eq!(major("postgres (PostgreSQL) 18beta2"), Some(18));
        assert_eq!(major("something else"), None);
    }

    #[test]
    fn a_socket_whose_path_would_be_too_long_lies_elsewhere() {
        let short = Path::new("/srv/tally");
        assert_eq!(socket_dir(short).unwrap(), short.join("run"));
        let long = PathBuf::from(format!("/srv/{}", "x".repeat(100)));
        let elsewhere = socket_dir(&long).unwrap();
        assert!(elsewhere.join(SOCKET).as_os_str().len() <= LONGEST_SOCKET);
        assert_eq!(socket_dir(&long).unwrap(), elsewhere);
        fs::remove_dir(elsewhere).unwrap();
    }
}
