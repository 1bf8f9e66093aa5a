//! What is measured: Tally, its peers, and the limit. Each is a process of its own, and all speak alike: subscriptions at
//! `/graphql`, and `POST /bench/events?loc=LOC&count=N`, which emits that many numbered events.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::{Duration, Instant};

use uuid::Uuid;

use crate::ground::Ground;
use crate::process::{Process, free_address};

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Subject {
    Tally,
    BareLoop,
    AsyncGraphql,
    Mercurius,
    Yoga,
    Apollo,
}

impl Subject {
    pub(crate) const ALL: [Self; 6] =
        [Self::Tally, Self::BareLoop, Self::AsyncGraphql, Self::Mercurius, Self::Yoga, Self::Apollo];

    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Tally => "Tally",
            Self::BareLoop => "bare loop",
            Self::AsyncGraphql => "async-graphql-axum",
            Self::Mercurius => "mercurius",
            Self::Yoga => "yoga",
            Self::Apollo => "apollo",
        }
    }

    /// Whether it has one operation id for everybody.
    pub(crate) fn is_alike(self) -> bool {
        self == Self::BareLoop
    }

    /// Whether it knows many channels.
    pub(crate) fn has_channels(self) -> bool {
        matches!(self, Self::Tally | Self::AsyncGraphql)
    }

    pub(crate) fn is_node(self) -> bool {
        !matches!(self, Self::Tally | Self::BareLoop | Self::AsyncGraphql)
    }

    /// A fresh one.
    pub(crate) fn start(self, ground: &Ground) -> Running {
        let (server, internal) = (free_address(), free_address());
        let (mut command, trigger) = match self {
            Self::Tally => {
                let mut command = ground.tally("serve");
                command.args(["--internal", &internal.to_string(), "--listen"]);
                (command, internal)
            }
            Self::BareLoop | Self::AsyncGraphql => (ground.peer(self.name()), server),
            Self::Mercurius => (ground.node("mercurius.js"), server),
            Self::Yoga => (ground.node("yoga.js"), server),
            Self::Apollo => (ground.node("apollo.js"), server),
        };
        command.arg(server.to_string());
        let mut process = Process::start(&command);
        process.await_listening(server);
        Running { process, server, internal, trigger: Trigger::new(trigger) }
    }
}

/// A subject at work.
pub(crate) struct Running {
    pub(crate) process: Process,
    pub(crate) server: SocketAddr,
    /// Of Tally alone.
    pub(crate) internal: SocketAddr,
    pub(crate) trigger: Trigger,
}

/// Where events are asked for: one connection a phase, on which questions do not wait for answers, so that their order
/// is theirs and a busy server delays nobody but itself.
pub(crate) struct Trigger {
    address: SocketAddr,
    stream: TcpStream,
    asked: usize,
    answers: Vec<u8>,
}

impl Trigger {
    fn new(address: SocketAddr) -> Self {
        Self { address, stream: Self::connect(address), asked: 0, answers: Vec::new() }
    }

    fn connect(address: SocketAddr) -> TcpStream {
        let stream = TcpStream::connect(address).expect("a connection");
        stream.set_nodelay(true).expect("a socket");
        stream.set_nonblocking(true).expect("a socket");
        // The server has taken it, and is at rest again.
        std::thread::sleep(Duration::from_millis(10));
        stream
    }

    /// A new connection: some servers close one that has been idle for seconds.
    pub(crate) fn begin(&mut self) {
        *self = Self::new(self.address);
    }

    pub(crate) fn emit(&mut self, loc: Uuid, count: u32) {
        let target = format!("/bench/events?loc={loc}&count={count}");
        let head = format!("POST {target} HTTP/1.1\r\nHost: bench\r\nContent-Length: 0\r\n\r\n");
        self.stream.write_all(head.as_bytes()).expect("room for a short question");
        self.asked += 1;
    }

    /// Waits until every question has had its answer; says so when one has none, for then its events are lost.
    pub(crate) fn check(&mut self) {
        let (began, mut buffer, mut good) = (Instant::now(), [0; 4096], 0);
        while good < self.asked && began.elapsed() < Duration::from_secs(10) {
            match self.stream.read(&mut buffer) {
                Ok(length @ 1..) => self.answers.extend_from_slice(&buffer[..length]),
                _ => std::thread::sleep(Duration::from_millis(1)),
            }
            good = String::from_utf8_lossy(&self.answers).matches("HTTP/1.1 204 ").count();
        }
        if good < self.asked {
            eprintln!("only {good} of {} times that events were asked for were answered", self.asked);
        }
    }
}
