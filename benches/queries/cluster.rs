//! PostgreSQL, as far as its use of the processor goes.

use std::fs;
use std::time::Duration;

use crate::cpu::Cpu;

/// The cluster that a URL leads to.
pub(crate) struct Cluster {
    postmaster: u32,
    cpu: Cpu,
}

impl Cluster {
    /// The one whose socket, and whose data beside it, are in the directory that `url` names.
    pub(crate) fn of(url: &str) -> Self {
        let host = url.split('@').nth(1).and_then(|rest| rest.split('/').next()).expect("a host in the URL");
        let directory = percent_encoding::percent_decode_str(host).decode_utf8().expect("a directory");
        let lock =
            fs::read_to_string(format!("{directory}/data/postmaster.pid")).expect("script/with-postgres");
        let postmaster = lock.lines().next().and_then(|pid| pid.parse().ok()).expect("a process");
        Self { postmaster, cpu: Cpu::default() }
    }

    /// Processor time so far, of all that is still there and all that was once looked at.
    pub(crate) fn cpu(&mut self) -> Duration {
        let path = format!("/proc/{0}/task/{0}/children", self.postmaster);
        let children = fs::read_to_string(path).unwrap_or_default();
        let children: Vec<u32> = children.split_whitespace().filter_map(|pid| pid.parse().ok()).collect();
        self.cpu.used(&children)
    }
}
