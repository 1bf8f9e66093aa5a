//! Processes that `up` owns: started here, or left behind by an `up` that was killed and adopted.
//!
//! A process is held by its pidfd, so that a signal never reaches another one that was given the same number,
//! and its end is awaited, not polled for, whoever started it. What belongs to a server is recognised by its
//! working directory, which nobody else has a reason to be in.

pub(super) mod log;

use std::fs;
use std::io;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::process::{ExitStatus, Stdio};
use std::time::Duration;

use rustix::process::{Pid, PidfdFlags, Signal, kill_process_group, pidfd_open, pidfd_send_signal};
use tokio::io::AsyncWriteExt;
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;
use tokio::process::{Child, Command};

/// How long a process that was killed outright may take to be gone.
const AFTER_KILL: Duration = Duration::from_secs(5);

/// One process, alive or not.
pub(super) struct Process {
    pid: Pid,
    handle: AsyncFd<OwnedFd>,
    /// There when it is our own child, which must be reaped.
    child: Option<Child>,
}

impl Process {
    /// Starts `command` in a process group of its own: a Ctrl-C at the terminal must not reach it before we
    /// say so. What it says on its stderr goes to `log`.
    pub(super) fn spawn(command: &mut Command, log: &Path) -> io::Result<Self> {
        // Nothing of a server's is on its stdout, which would hold a log that was put aside for ever.
        command.process_group(0).stdin(Stdio::null()).stdout(Stdio::null()).stderr(log::open(log)?);
        let child = command.spawn()?;
        let pid = child.id().and_then(|id| i32::try_from(id).ok()).and_then(Pid::from_raw);
        let mut process = Self::adopt(pid.ok_or_else(|| io::Error::other("it ended at once"))?)?;
        process.child = Some(child);
        Ok(process)
    }

    /// Takes hold of a process that somebody else started.
    #[expect(
        deprecated,
        reason = "its successor is unsafe and asks for an owned descriptor that stays where it is: this one does"
    )]
    pub(super) fn adopt(pid: Pid) -> io::Result<Self> {
        let handle = pidfd_open(pid, PidfdFlags::empty())?;
        Ok(Self { pid, handle: AsyncFd::with_interest(handle, Interest::READABLE)?, child: None })
    }

    /// Its number, for people.
    pub(super) fn id(&self) -> i32 {
        self.pid.as_raw_nonzero().get()
    }

    /// Waits for its end and says how it came, as far as can be known.
    pub(super) async fn ended(&mut self) -> String {
        if let Some(child) = &mut self.child {
            return child.wait().await.map_or_else(|error| error.to_string(), |status| status.to_string());
        }
        match self.handle.readable().await {
            Ok(_) => "it is gone".to_owned(),
            Err(error) => error.to_string(),
        }
    }

    /// Sends a signal; nothing happens when the process is no more.
    pub(super) fn signal(&self, signal: Signal) {
        // The only failure that can occur is that it is gone, which is what signals here are sent for.
        let _ = pidfd_send_signal(&self.handle, signal);
    }

    /// Asks it to end, and kills it when it has not done so after `patience`.
    pub(super) async fn stop(&mut self, ask: Signal, patience: Duration) {
        self.signal(ask);
        if tokio::time::timeout(patience, self.ended()).await.is_err() {
            tracing::warn!(pid = self.id(), "did not stop when asked to: killing it");
            self.signal(Signal::KILL);
            let _ = tokio::time::timeout(AFTER_KILL, self.ended()).await;
        }
    }
}

/// Runs a helper to its end, with `input` on its stdin. Dropped before, it takes the helper and all that this
/// has started with it.
pub(super) async fn run(command: &mut Command, input: &str, log: &Path) -> io::Result<ExitStatus> {
    let log = log::open(log)?;
    command.process_group(0).stdin(Stdio::piped()).stdout(log.try_clone()?).stderr(log);
    let mut child = command.spawn()?;
    let group = child.id().and_then(|id| i32::try_from(id).ok()).and_then(Pid::from_raw);
    let mut group = Group(group);
    if let Some(mut stdin) = child.stdin.take() {
        stdin.write_all(input.as_bytes()).await?;
    }
    let status = child.wait().await?;
    // It has been reaped: its number may be another's from now on.
    group.0 = None;
    Ok(status)
}

/// A process group that is killed when this is dropped.
struct Group(Option<Pid>);

impl Drop for Group {
    fn drop(&mut self) {
        if let Some(group) = self.0 {
            let _ = kill_process_group(group, Signal::KILL);
        }
    }
}

/// The processes whose working directory is `dir` and whose title begins with `title`.
pub(super) fn living_in(dir: &Path, title: &str) -> Vec<Pid> {
    let Ok(dir) = dir.canonicalize() else { return Vec::new() };
    let Ok(entries) = fs::read_dir("/proc") else { return Vec::new() };
    let numbers = entries.flatten().filter_map(|entry| entry.file_name().to_str()?.parse().ok());
    numbers.filter(|&number| lives_in(number, &dir, title)).filter_map(Pid::from_raw).collect()
}

fn lives_in(number: i32, dir: &Path, title: &str) -> bool {
    let here = fs::read_link(format!("/proc/{number}/cwd")).is_ok_and(|cwd| cwd == dir);
    here && fs::read(format!("/proc/{number}/cmdline")).is_ok_and(|line| {
        let program = line.split(|byte| *byte == 0).next().unwrap_or_default();
        // Servers rewrite their title; before that it is the path that they were started by.
        let name = program.rsplit(|byte| *byte == b'/').next().unwrap_or_default();
        program.starts_with(title.as_bytes()) || name.starts_with(title.as_bytes())
    })
}

/// Stops everything that [`living_in`] finds, and returns once it is gone.
pub(super) async fn clear(dir: &Path, title: &str, ask: Signal, patience: Duration) {
    let mut left: Vec<_> = living_in(dir, title).into_iter().flat_map(Process::adopt).collect();
    for process in &left {
        process.signal(ask);
    }
    let patient = tokio::time::timeout(patience, async {
        for process in &mut left {
            process.ended().await;
        }
    });
    if patient.await.is_err() {
        for process in &mut left {
            process.stop(Signal::KILL, AFTER_KILL).await;
        }
    }
}

/// Where `program` is: in PATH, or in one of the places that an ordinary user's PATH lacks.
pub(super) fn find_program(program: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let beyond = ["/usr/sbin", "/usr/local/sbin", "/usr/bin", "/sbin"].map(PathBuf::from);
    std::env::split_paths(&path).chain(beyond).map(|dir| dir.join(program)).find(|path| path.is_file())
}

/// The best short answer to why a server would not start: the last line of its log that is an outcry, or else the
/// last line.
pub(super) fn last_words(log: &Path) -> String {
    let text = fs::read(log).unwrap_or_default();
    let text = String::from_utf8_lossy(&text);
    let mut recent = text.lines().rev().map(str::trim).filter(|line| !line.is_empty()).take(10);
    let last = recent.clone().next().unwrap_or("it said nothing");
    let outcry = |line: &&str| ["FATAL", "PANIC", "[emerg]", "error:"].iter().any(|word| line.contains(word));
    recent.find(outcry).unwrap_or(last).to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn what_lives_in_a_directory_is_found_and_cleared() {
        let dir = tempfile::tempdir().unwrap();
        let log = dir.path().join("sleep.log");
        let mut sleeper =
            Process::spawn(Command::new("sleep").arg("600").current_dir(dir.path()), &log).unwrap();
        assert_eq!(living_in(dir.path(), "sleep"), [sleeper.pid]);
        assert!(living_in(dir.path(), "nginx").is_empty());
        clear(dir.path(), "sleep", Signal::TERM, Duration::from_secs(5)).await;
        assert!(living_in(dir.path(), "sleep").is_empty());
        assert_eq!(sleeper.ended().await, "signal: 15 (SIGTERM)");
    }

    #[tokio::test]
    async fn a_helper_that_is_given_up_leaves_nothing() {
        let dir = tempfile::tempdir().unwrap();
        let log = dir.path().join("helper.log");
        let mut command = Command::new("sh");
        command.args(["-c", "sleep 600 & echo ready; wait"]).current_dir(dir.path());
        let ready = async {
            while last_words(&log) != "ready" {
                tokio::task::yield_now().await;
            }
        };
        tokio::select! {
            _ = run(&mut command, "", &log) => panic!("it waits"),
            () = ready => {}
        }
        for mut left in living_in(dir.path(), "s").into_iter().flat_map(Process::adopt) {
            left.ended().await;
        }
        assert!(living_in(dir.path(), "sleep").is_empty());
    }

    #[tokio::test]
    async fn one_that_does_not_listen_is_killed() {
        let dir = tempfile::tempdir().unwrap();
        let log = dir.path().join("deaf.log");
        let deaf = "trap '' TERM; echo ready >&2; while :; do sleep 600; done";
        let mut process = Process::spawn(Command::new("sh").args(["-c", deaf]), &log).unwrap();
        while last_words(&log) != "ready" {
            tokio::task::yield_now().await;
        }
        process.stop(Signal::TERM, Duration::from_millis(50)).await;
        assert_eq!(process.ended().await, "signal: 9 (SIGKILL)");
    }
}
