//! What the tests of the process's memory share: a small graph, subscribers that keep nothing themselves, the measure.

use std::net::SocketAddr;
use std::sync::Arc;

use async_graphql::{Request, Response, ServerError, Value};
use futures_util::stream::{self, BoxStream, StreamExt};
use serde_json::json;
use tally::http::{Answers, Asked, Sharing, Told};
use tally::realtime::Keeps;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::broadcast;

/// The letters of an event.
const EVENT: usize = 10_000;

/// The process's memory in bytes, as the system counts it.
pub(crate) fn memory() -> usize {
    let status = std::fs::read_to_string("/proc/self/status").expect("Linux");
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).expect("a line");
    let kilobytes: usize = line.trim().trim_end_matches(" kB").parse().expect("a number");
    kilobytes * 1024
}

/// A graph whose one subscription tells these numbers, each behind many letters; without any it is silent.
#[derive(Clone)]
pub(crate) struct Small(pub(crate) Option<broadcast::Sender<usize>>);

impl Answers for Small {
    type Requester = ();

    fn is_anonymous((): &()) -> bool {
        true
    }

    async fn requester(&self, _: Option<&str>) -> Result<(), ServerError> {
        Ok(())
    }

    async fn outdated(&self, requesters: &[Arc<()>]) -> Option<Vec<bool>> {
        Some(vec![false; requesters.len()])
    }

    async fn execute(&self, _: Request, (): &()) -> Response {
        Response::default()
    }

    fn told(&self) -> Option<i64> {
        None
    }

    fn sharing(&self, _: &Asked) -> Sharing {
        Sharing { is_public: true, keeps: Keeps::Newest }
    }

    fn subscribe(&self, _: Asked, (): &()) -> BoxStream<'static, Told> {
        let Some(news) = &self.0 else { return stream::pending().boxed() };
        let told = stream::unfold(news.subscribe(), async |mut news| {
            let number = news.recv().await.ok()?;
            let text = format!("{}{number}", "x".repeat(EVENT));
            let response = Response::new(Value::from_json(json!({"news": text})).expect("a value"));
            Some((Told { subject: None, response }, news))
        });
        told.boxed()
    }

    async fn unready(&self) -> Option<String> {
        None
    }
}

/// A subscriber that keeps nothing itself.
pub(crate) async fn subscriber(address: SocketAddr, document: &str) -> TcpStream {
    let mut socket = TcpStream::connect(address).await.expect("a connection");
    socket.set_nodelay(true).expect("a socket");
    let upgrade = format!(
        "GET /graphql HTTP/1.1\r\nHost: {address}\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
         Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\
         Sec-WebSocket-Protocol: graphql-transport-ws\r\n\r\n"
    );
    socket.write_all(upgrade.as_bytes()).await.expect("sent");
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(socket.read_u8().await.expect("an answer"));
    }
    let subscribe = json!({"id": "1", "type": "subscribe", "payload": {"query": document}});
    say(&mut socket, r#"{"type":"connection_init"}"#).await;
    hear(&mut socket).await;
    say(&mut socket, &subscribe.to_string()).await;
    // Answered behind the subscription, which has begun then.
    say(&mut socket, r#"{"type":"ping"}"#).await;
    hear(&mut socket).await;
    socket
}

/// Sends a short text, masked with zeros.
async fn say(socket: &mut TcpStream, text: &str) {
    let mut frame = vec![0x81, 0x80 | 126];
    frame.extend_from_slice(&u16::try_from(text.len()).expect("short").to_be_bytes());
    frame.extend_from_slice(&[0; 4]);
    frame.extend_from_slice(text.as_bytes());
    socket.write_all(&frame).await.expect("sent");
}

/// Waits for a short frame.
async fn hear(socket: &mut TcpStream) {
    socket.read_u8().await.expect("a frame");
    let length = socket.read_u8().await.expect("its length");
    let mut rest = vec![0; usize::from(length)];
    socket.read_exact(&mut rest).await.expect("the rest");
}
