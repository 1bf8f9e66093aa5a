//! A server that is measured: a child process on one core, and what the scheduler and the kernel say of it.

use std::fs;
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::process::{Child, Command};
use std::thread::sleep;
use std::time::{Duration, Instant};

use rustix::process::{Resource, Rlimit, getrlimit, setpriority_process, setrlimit};
use rustix::thread::{CpuSet, sched_setaffinity};

use crate::cpu::Cpu;

/// The core of what is measured; whoever measures has the next one.
const CORE: usize = 0;

/// How long a server may take to answer for the first time, or to come to rest.
const PATIENCE: Duration = Duration::from_secs(60);

/// A server under measurement; it ends when this is dropped.
pub(crate) struct Process {
    child: Child,
    cpu: Cpu,
}

impl Process {
    /// Starts `command` on its core.
    pub(crate) fn start(command: &Command) -> Self {
        let mut pinned = Command::new("taskset");
        pinned.args(["-c", &CORE.to_string()]).arg(command.get_program()).args(command.get_args());
        for (name, value) in command.get_envs() {
            pinned.env(name, value.unwrap_or_default());
        }
        let log =
            fs::File::create(std::env::temp_dir().join(format!("tally-bench-{}.log", std::process::id())));
        let log = log.expect("a log file");
        pinned.stdin(std::process::Stdio::null()).stdout(log.try_clone().expect("a log file")).stderr(log);
        Self { child: pinned.spawn().expect("the server starts"), cpu: Cpu::default() }
    }

    /// Waits until somebody answers at `address`.
    pub(crate) fn await_listening(&mut self, address: SocketAddr) {
        let started = Instant::now();
        while TcpStream::connect(address).is_err() {
            let ended = self.child.try_wait().expect("a child");
            assert!(
                ended.is_none(),
                "the server ended at once: see tally-bench-*.log in the temporary directory"
            );
            assert!(started.elapsed() < PATIENCE, "the server does not answer at {address}");
            sleep(Duration::from_millis(20));
        }
    }

    /// Processor time so far.
    pub(crate) fn cpu(&mut self) -> Duration {
        self.cpu.used(&[self.child.id()])
    }

    /// Resident memory in KiB.
    pub(crate) fn memory(&self) -> f64 {
        let path = format!("/proc/{}/smaps_rollup", self.child.id());
        let figures = fs::read_to_string(path).expect("the server runs");
        let line = figures.lines().find_map(|line| line.strip_prefix("Rss:")).expect("a figure");
        line.trim().trim_end_matches(" kB").parse().expect("a figure in KiB")
    }

    /// Waits until the server has no more to do than what it does by itself now and then; returns since when.
    pub(crate) fn rest(&mut self) -> Instant {
        const WINDOW: Duration = Duration::from_millis(10);
        let began = Instant::now();
        let (mut since, mut used, mut quiet) = (began, self.cpu(), 0);
        while quiet < 10 && began.elapsed() < PATIENCE {
            sleep(WINDOW);
            let now = self.cpu();
            if now - used < WINDOW / 4 {
                quiet += 1;
            } else {
                (since, quiet) = (Instant::now(), 0);
            }
            used = now;
        }
        since
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Puts whoever measures on a core of its own, and, where that is allowed, both before whatever else runs.
pub(crate) fn prepare_core() {
    let _ = setpriority_process(None, -15);
    let mut others = CpuSet::new();
    others.set(CORE + 1);
    sched_setaffinity(None, &others).expect("two cores");
}

/// Lets this process and its children open as many files as they may; returns how many.
pub(crate) fn prepare_files() -> usize {
    let most = getrlimit(Resource::Nofile).maximum;
    let _ = setrlimit(Resource::Nofile, Rlimit { current: most, maximum: most });
    most.map_or(usize::MAX, |most| usize::try_from(most).unwrap_or(usize::MAX))
}

/// An address where nobody listens.
pub(crate) fn free_address() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    listener.local_addr().expect("an address")
}

/// The machine's load averages.
pub(crate) fn load() -> String {
    let text = fs::read_to_string("/proc/loadavg").unwrap_or_default();
    text.split(' ').take(3).collect::<Vec<_>>().join(" ")
}
