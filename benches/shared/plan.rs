//! What a benchmark was told on its command line.

use std::net::SocketAddr;

/// `[--quick] [--rounds N] [--size N] [--only NAME,…] [--write]`, or `--peer NAME ADDRESS`; what cargo adds is of no
/// concern.
pub(crate) struct Plan {
    /// Just to try it out.
    pub(crate) quick: bool,
    pub(crate) rounds: usize,
    /// Whether the documents are to be brought up to date.
    pub(crate) write: bool,
    /// What this process is to be instead of the one that measures, and where.
    pub(crate) peer: Option<(String, SocketAddr)>,
    arguments: Vec<String>,
}

impl Plan {
    pub(crate) fn read() -> Self {
        let arguments = std::env::args().skip(1).collect();
        let mut plan = Self { quick: false, rounds: 3, write: false, peer: None, arguments };
        plan.quick = plan.place("--quick").is_some();
        plan.write = plan.place("--write").is_some();
        plan.rounds = plan.number("--rounds").unwrap_or(if plan.quick { 1 } else { 3 });
        let address = plan.value("--peer", 2).map(|address| address.parse().expect("an address"));
        plan.peer = plan.value("--peer", 1).map(str::to_owned).zip(address);
        plan
    }

    /// The number behind a flag.
    pub(crate) fn number(&self, flag: &str) -> Option<usize> {
        self.value(flag, 1).map(|text| text.parse().expect("a number"))
    }

    /// Whether a subject takes part.
    pub(crate) fn means(&self, subject: &str) -> bool {
        self.value("--only", 1).is_none_or(|only| only.split(',').any(|name| name == subject))
    }

    fn place(&self, flag: &str) -> Option<usize> {
        self.arguments.iter().position(|argument| argument == flag)
    }

    fn value(&self, flag: &str, nth: usize) -> Option<&str> {
        self.arguments.get(self.place(flag)? + nth).map(String::as_str)
    }
}
