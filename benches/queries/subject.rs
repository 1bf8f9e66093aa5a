//! What is measured: Tally, its peers, and the limit. Each is a process of its own and answers at `/graphql`.

use std::net::SocketAddr;

use crate::ground::Ground;
use crate::list::{OF_TABLES, PLAIN, Words};
use crate::process::{Process, free_address};

#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Subject {
    Tally,
    BareHandler,
    DataLoader,
    Mercurius,
    PostGraphile,
}

impl Subject {
    pub(crate) const ALL: [Self; 5] =
        [Self::Tally, Self::BareHandler, Self::DataLoader, Self::Mercurius, Self::PostGraphile];

    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Tally => "Tally",
            Self::BareHandler => "bare handler",
            Self::DataLoader => "async-graphql",
            Self::Mercurius => "mercurius",
            Self::PostGraphile => "postgraphile",
        }
    }

    pub(crate) fn words(self) -> Words {
        if self == Self::PostGraphile { OF_TABLES } else { PLAIN }
    }

    /// A fresh one, and where it answers.
    pub(crate) fn start(self, ground: &Ground) -> (Process, SocketAddr) {
        let (server, internal) = (free_address(), free_address());
        let mut command = match self {
            Self::Tally => {
                let mut command = ground.tally("serve");
                command.args(["--reconnect-window", "30m", "--internal", &internal.to_string(), "--listen"]);
                command
            }
            Self::BareHandler | Self::DataLoader => ground.peer(self.name()),
            Self::Mercurius => ground.node("mercurius-list.js"),
            Self::PostGraphile => ground.node("postgraphile-list.js"),
        };
        command.arg(server.to_string());
        let mut process = Process::start(&command);
        process.await_listening(server);
        process.rest();
        (process, server)
    }
}
