//! The machine's processes, as `/proc` shows them.

use std::fs;
use std::path::PathBuf;

use rustix::process::{Pid, Signal, kill_process};

/// One process.
pub(crate) struct Process {
    pub(crate) pid: i32,
    parent: i32,
    pub(crate) command: String,
    pub(crate) directory: PathBuf,
}

/// All that live; what has ended and was not reaped yet is left out.
pub(crate) fn processes() -> Vec<Process> {
    let entries = fs::read_dir("/proc").expect("/proc");
    let numbers = entries.flatten().filter_map(|entry| entry.file_name().to_str()?.parse().ok());
    numbers.filter_map(read).collect()
}

/// Those that `root` started, and those that these started.
pub(crate) fn descendants(root: i32) -> Vec<Process> {
    let all = processes();
    let mut family = vec![root];
    let mut known = 0;
    while known < family.len() {
        let parent = family[known];
        family.extend(all.iter().filter(|process| process.parent == parent).map(|process| process.pid));
        known += 1;
    }
    all.into_iter().filter(|process| process.pid != root && family.contains(&process.pid)).collect()
}

/// Whether a process still runs.
pub(crate) fn is_alive(pid: i32) -> bool {
    read(pid).is_some()
}

/// Sends a signal to a process, which may be gone.
pub(crate) fn send(pid: i32, signal: Signal) {
    if let Some(pid) = Pid::from_raw(pid) {
        let _ = kill_process(pid, signal);
    }
}

fn read(pid: i32) -> Option<Process> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    // The name in parentheses may hold anything; what follows it is state and parent.
    let mut rest = stat.rsplit_once(") ")?.1.split(' ');
    let (state, parent) = (rest.next()?, rest.next()?.parse().ok()?);
    if state == "Z" || state == "X" {
        return None;
    }
    let command = String::from_utf8_lossy(&fs::read(format!("/proc/{pid}/cmdline")).ok()?).replace('\0', " ");
    let directory = fs::read_link(format!("/proc/{pid}/cwd")).unwrap_or_default();
    Some(Process { pid, parent, command, directory })
}
