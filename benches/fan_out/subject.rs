//! What is measured: Tally, its peers, and the limit. Each is a process of its own, and all speak alike: subscriptions at
//! `/graphql`, and `POST /bench/events?loc=LOC&count=N`, which emits that many numbered events.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::Path;
use std::process::Command;

use uuid::Uuid;

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
        let this = std::env::current_exe().expect("a name");
        let mut command = Command::new(this);
        let trigger = match self {
            Self::Tally => {
                command = ground.tally("serve");
                command.args(["--listen", &server.to_string(), "--internal", &internal.to_string()]);
                internal
            }
            Self::BareLoop | Self::AsyncGraphql => {
                command.args(["--peer", self.name(), &server.to_string()]);
                server
            }
            Self::Mercurius | Self::Yoga | Self::Apollo => {
                let peers = Path::new(env!("CARGO_MANIFEST_DIR")).join("benches/peers");
                command = Command::new("node");
                command.arg(peers.join(self.name()).with_extension("js")).arg(server.to_string());
                command.env("NODE_ENV", "production");
                server
            }
        };
        let mut process = Process::start(&command);
        process.await_listening(server);
        Running { process, server, trigger: Trigger::new(trigger) }
    }
}

/// What Tally stands on.
pub(crate) struct Ground {
    pub(crate) database: String,
    pub(crate) directory: tempfile::TempDir,
}

impl Ground {
    /// A database with channels for everybody.
    pub(crate) fn make(database: String, channels: usize) -> Self {
        let directory = tempfile::tempdir().expect("a directory");
        let ground = Self { database, directory };
        let migrated = ground.tally("migrate").status().expect("a process");
        assert!(migrated.success(), "the database could not be migrated");
        let rows = format!(
            "INSERT INTO users (id, handle, display_name, role, password_hash, created_at) VALUES \
                ('{owner}', 'bench', 'Bench', 'streamer', '', now()) ON CONFLICT DO NOTHING; \
             INSERT INTO channels (id, loc, owner_id, name, description, default_stream_name, chat_enabled, record, \
                protected, created_at, updated_at) \
             SELECT ('018f3c1e-7d4a-7000-8000-' || lpad(to_hex(n), 12, '0'))::uuid, \
                ('018f3c1e-7d4a-7000-8000-' || lpad(to_hex(n), 12, '0'))::uuid, '{owner}', 'Bench ' || n, '', '', \
                false, false, false, now(), now() \
             FROM generate_series(0, {channels} - 1) AS n ON CONFLICT DO NOTHING;",
            owner = Uuid::from_u128(1),
        );
        let filled = Command::new("psql").args([&ground.database, "-qc", &rows]).status().expect("a process");
        assert!(filled.success(), "the database could not be filled");
        ground
    }

    /// The product, told to do `what`.
    pub(crate) fn tally(&self, what: &str) -> Command {
        let mut command = Command::new(Path::new(env!("CARGO_BIN_EXE_tally")));
        command.args([what, "--database-url", &self.database, "--data-dir"]).arg(self.directory.path());
        command
    }
}

/// A subject at work.
pub(crate) struct Running {
    pub(crate) process: Process,
    pub(crate) server: SocketAddr,
    pub(crate) trigger: Trigger,
}

/// Where events are asked for: one connection, on which questions do not wait for answers, so that their order is
/// theirs and a busy server delays nobody but itself.
pub(crate) struct Trigger {
    stream: TcpStream,
    asked: usize,
    answers: Vec<u8>,
}

impl Trigger {
    fn new(address: SocketAddr) -> Self {
        let stream = TcpStream::connect(address).expect("a connection");
        stream.set_nodelay(true).expect("a socket");
        stream.set_nonblocking(true).expect("a socket");
        Self { stream, asked: 0, answers: Vec::new() }
    }

    pub(crate) fn emit(&mut self, loc: Uuid, count: u32) {
        let head = format!(
            "POST /bench/events?loc={loc}&count={count} HTTP/1.1\r\nHost: bench\r\nContent-Length: 0\r\n\r\n"
        );
        self.stream.write_all(head.as_bytes()).expect("room for a short question");
        self.asked += 1;
    }

    /// That every question had its answer.
    pub(crate) fn check(&mut self) {
        let mut buffer = [0; 4096];
        while let Ok(length @ 1..) = self.stream.read(&mut buffer) {
            self.answers.extend_from_slice(&buffer[..length]);
        }
        let good = String::from_utf8_lossy(&self.answers).matches("HTTP/1.1 204 ").count();
        assert_eq!(good, self.asked, "answers: {}", String::from_utf8_lossy(&self.answers));
    }
}
