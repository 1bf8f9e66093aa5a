//! A server of a test's own, and a client that sees every byte of it.

use std::net::SocketAddr;
use std::time::Duration;

use tally::ambient::{Chance, Clock};
use tally::http::{Patience, Public, public, serve};
use tally::lifecycle::Lifecycle;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

use crate::toy::Toy;

/// The public listener over the toy graph, on a port of its own.
pub(crate) struct Server {
    pub(crate) address: SocketAddr,
    pub(crate) lifecycle: Lifecycle,
}

impl Server {
    pub(crate) async fn start() -> Self {
        Self::of(Toy::default()).await
    }

    pub(crate) async fn of(toy: Toy) -> Self {
        Self::with(toy, Patience::default()).await
    }

    /// One that waits for nothing longer than a fraction of a second.
    pub(crate) async fn impatient() -> Self {
        Self::short_of_patience(Toy::default()).await
    }

    pub(crate) async fn short_of_patience(toy: Toy) -> Self {
        let short = Duration::from_millis(200);
        let patience = Patience {
            execution: short,
            body: short,
            initialisation: short,
            ping: short,
            write: short,
            goodbye: short,
        };
        Self::with(toy, patience).await
    }

    pub(crate) async fn with(toy: Toy, patience: Patience) -> Self {
        Self::at(Clock::system(), toy, patience).await
    }

    /// One whose time is told by `clock`.
    pub(crate) async fn at(clock: Clock, toy: Toy, patience: Patience) -> Self {
        Self::made(clock, toy, |public| public.with_patience(patience)).await
    }

    /// One with other settings.
    pub(crate) async fn told(otherwise: impl FnOnce(Public<Toy>) -> Public<Toy>) -> Self {
        Self::made(Clock::system(), Toy::default(), otherwise).await
    }

    async fn made(clock: Clock, toy: Toy, otherwise: impl FnOnce(Public<Toy>) -> Public<Toy>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let address = listener.local_addr().expect("an address");
        let lifecycle = Lifecycle::default();
        let tasks = lifecycle.tasks().clone();
        let state = Public::new(toy, tasks.clone(), clock, Chance::system(), "https://tally.example");
        tasks.keep("public", serve(listener, public(otherwise(state)), tasks.clone()));
        Self { address, lifecycle }
    }

    pub(crate) fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.address)
    }

    /// Sends `request` as it is, with a Host and `Connection: close`, and reads everything that comes back.
    pub(crate) async fn send(&self, method: &str, path: &str, headers: &[(&str, &str)], body: &str) -> Reply {
        let mut stream = TcpStream::connect(self.address).await.expect("a connection");
        let mut head = format!("{method} {path} HTTP/1.1\r\nHost: {}\r\nConnection: close\r\n", self.address);
        for (name, value) in headers {
            head += &format!("{name}: {value}\r\n");
        }
        if !body.is_empty() {
            head += &format!("Content-Length: {}\r\n", body.len());
        }
        stream.write_all(format!("{head}\r\n").as_bytes()).await.expect("sent");
        // The server may answer and close before it has read all of a body.
        let _ = stream.write_all(body.as_bytes()).await;
        let mut bytes = Vec::new();
        let _ = stream.read_to_end(&mut bytes).await;
        Reply::read(&String::from_utf8_lossy(&bytes))
    }

    /// A POST of a document, answered as `application/graphql-response+json`.
    pub(crate) async fn ask(&self, query: &str, headers: &[(&str, &str)]) -> Reply {
        let mut all =
            vec![("Content-Type", "application/json"), ("Accept", "application/graphql-response+json")];
        all.extend_from_slice(headers);
        self.send("POST", "/graphql", &all, &serde_json::json!({"query": query}).to_string()).await
    }
}

/// What came back.
#[derive(Debug)]
pub(crate) struct Reply {
    pub(crate) status: u16,
    pub(crate) headers: Vec<(String, String)>,
    pub(crate) body: String,
}

impl Reply {
    fn read(text: &str) -> Self {
        let (head, body) = text.split_once("\r\n\r\n").unwrap_or((text, ""));
        let mut lines = head.lines();
        let status = lines.next().and_then(|line| line.split(' ').nth(1)?.parse().ok()).unwrap_or(0);
        let headers =
            lines.filter_map(|line| line.split_once(": ")).map(|(n, v)| (n.to_lowercase(), v.to_owned()));
        Self { status, headers: headers.collect(), body: body.to_owned() }
    }

    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(it, _)| it == name).map(|(_, value)| value.as_str())
    }

    pub(crate) fn json(&self) -> serde_json::Value {
        serde_json::from_str(&self.body).unwrap_or_else(|_| panic!("not JSON: {}", self.body))
    }

    /// The first error's code.
    pub(crate) fn code(&self) -> String {
        self.json()["errors"][0]["extensions"]["code"].as_str().unwrap_or("none").to_owned()
    }
}
