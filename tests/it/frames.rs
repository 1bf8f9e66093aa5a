//! What a client's bytes may do to the WebSocket beneath the protocol: breaches, floods, and answers that it does not
//! read.

use std::io::Write;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use serde_json::json;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;

use crate::nginx::eventually;
use crate::socket::Socket;
use crate::support::Server;

const FINAL: u8 = 0x80;
const TEXT: u8 = 0x1;
const PING: u8 = 0x9;
const PONG: u8 = 0xa;

/// A frame as a client sends it, masked with zeros.
fn frame(first: u8, payload: &[u8]) -> Vec<u8> {
    header(first, 0x80, payload.len(), [&[0; 4], payload].concat())
}

fn header(first: u8, mask: u8, length: usize, rest: Vec<u8>) -> Vec<u8> {
    let mut frame = vec![first];
    match length {
        0..126 => frame.push(mask | length as u8),
        126..0x10000 => {
            frame.push(mask | 126);
            frame.extend_from_slice(&(length as u16).to_be_bytes());
        }
        _ => {
            frame.push(mask | 127);
            frame.extend_from_slice(&(length as u64).to_be_bytes());
        }
    }
    frame.extend(rest);
    frame
}

fn upgrade(address: SocketAddr) -> String {
    format!(
        "GET /graphql HTTP/1.1\r\nHost: {address}\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
         Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\
         Sec-WebSocket-Protocol: graphql-transport-ws\r\n\r\n"
    )
}

/// A connection that was acknowledged, byte by byte.
struct Raw(TcpStream);

impl Raw {
    async fn open(server: &Server) -> Self {
        let mut stream = TcpStream::connect(server.address).await.unwrap();
        stream.write_all(upgrade(server.address).as_bytes()).await.unwrap();
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            head.push(stream.read_u8().await.unwrap());
        }
        let mut raw = Self(stream);
        raw.send(&frame(FINAL | TEXT, br#"{"type":"connection_init"}"#)).await;
        raw.hear().await;
        raw
    }

    /// The other end may close before it has read all.
    async fn send(&mut self, bytes: &[u8]) {
        let _ = self.0.write_all(bytes).await;
    }

    /// The next frame's first byte and its payload; None at the end.
    async fn hear(&mut self) -> Option<(u8, Vec<u8>)> {
        let first = self.0.read_u8().await.ok()?;
        let length = match self.0.read_u8().await.ok()? {
            126 => self.0.read_u16().await.ok()?.into(),
            127 => self.0.read_u64().await.ok()?.try_into().ok()?,
            length => length.into(),
        };
        let mut payload = vec![0; length];
        self.0.read_exact(&mut payload).await.ok()?;
        Some((first, payload))
    }

    /// The code of the close that is to come.
    async fn code(&mut self) -> u16 {
        let closed = async {
            loop {
                match self.hear().await {
                    Some((0x88, payload)) => break u16::from_be_bytes([payload[0], payload[1]]),
                    Some(_) => {}
                    None => panic!("it ends without a close"),
                }
            }
        };
        timeout(Duration::from_secs(20), closed).await.expect("a close")
    }
}

#[tokio::test]
async fn each_breach_of_framing_closes_with_its_code() {
    let server = Server::start().await;
    let (half, large) = (vec![b' '; 200 * 1024], 1 << 62);
    for (what, bytes, code) in [
        ("unmasked", header(FINAL | TEXT, 0, 2, b"{}".to_vec()), 1002),
        ("first reserved bit", frame(FINAL | 0x40 | TEXT, b"{}"), 1002),
        ("second reserved bit", frame(FINAL | 0x20 | TEXT, b"{}"), 1002),
        ("third reserved bit", frame(FINAL | 0x10 | PING, b""), 1002),
        ("reserved kind of data", frame(FINAL | 0x3, b""), 1002),
        ("reserved kind of control", frame(FINAL | 0xb, b""), 1002),
        ("control in parts", frame(PING, b""), 1002),
        ("control too long", frame(FINAL | PING, &[0; 126]), 1002),
        ("close too long", frame(FINAL | 0x8, &[0; 126]), 1002),
        ("part of nothing", frame(FINAL, b"{}"), 1002),
        ("text inside of a text", [frame(TEXT, b"{"), frame(FINAL | TEXT, b"}")].concat(), 1002),
        ("not UTF-8", frame(FINAL | TEXT, &[0xc3, 0x28]), 1007),
        ("half a letter", frame(FINAL | TEXT, &[0xe2, 0x82]), 1007),
        ("not UTF-8 in parts", [frame(TEXT, &[0xe2]), frame(FINAL, &[0x28])].concat(), 1007),
        ("a surrogate", frame(FINAL | TEXT, &[0xed, 0xa0, 0x80]), 1007),
        ("too large, by its header alone", header(FINAL | TEXT, 0x80, large, vec![0; 4]), 1009),
        ("too large in parts", [frame(TEXT, &half), frame(0, &half)].concat(), 1009),
        ("binary", frame(FINAL | 0x2, b"{}"), 4400),
        ("binary in parts", [frame(0x2, b"{"), frame(FINAL, b"}")].concat(), 4400),
    ] {
        let mut raw = Raw::open(&server).await;
        raw.send(&bytes).await;
        assert_eq!(raw.code().await, code, "{what}");
    }
}

#[tokio::test]
async fn a_large_message_in_small_pieces_is_as_good_as_any() {
    let server = Server::start().await;
    let mut raw = Raw::open(&server).await;
    let ping = json!({"type": "ping", "payload": {"x": "x".repeat(255 * 1024)}}).to_string();
    let mut bytes = Vec::new();
    for (number, piece) in ping.as_bytes().chunks(5000).enumerate() {
        bytes.extend(frame(if number == 0 { TEXT } else { 0 }, piece));
    }
    bytes.extend(frame(FINAL, b""));
    for piece in bytes.chunks(3000) {
        raw.send(piece).await;
    }
    let (first, pong) = raw.hear().await.expect("an answer");
    assert_eq!((first, pong.len()), (FINAL | TEXT, ping.len()));
}

#[tokio::test]
async fn floods_of_what_says_nothing_are_ended() {
    let server = Server::start().await;
    let empty = [vec![frame(TEXT, b"")], vec![frame(0, b""); 20_000]].concat().concat();
    for (what, flood) in [
        ("pings", frame(FINAL | PING, b"").repeat(20_000)),
        ("pongs", frame(FINAL | PONG, b"").repeat(20_000)),
        ("empty fragments", empty),
        ("the protocol's pings", frame(FINAL | TEXT, br#"{"type":"ping"}"#).repeat(20_000)),
        ("the protocol's pongs", frame(FINAL | TEXT, br#"{"type":"pong"}"#).repeat(20_000)),
    ] {
        let mut raw = Raw::open(&server).await;
        raw.send(&flood).await;
        assert_eq!(raw.code().await, 1008, "{what}");
    }
    let mut raw = Raw::open(&server).await;
    raw.send(&frame(FINAL | PING, b"?").repeat(500)).await;
    for _ in 0..500 {
        assert_eq!(raw.hear().await, Some((FINAL | PONG, b"?".to_vec())), "so many are a client's right");
    }
}

#[tokio::test]
async fn a_message_of_empty_fragments_is_not_waited_for() {
    let server = Server::impatient().await;
    let mut raw = Raw::open(&server).await;
    raw.send(&frame(TEXT, b"")).await;
    let ended = timeout(Duration::from_secs(20), async {
        while let Some((first, payload)) = raw.hear().await {
            // It answers the server's pings, so it is no silence that ends it.
            if first == FINAL | PING {
                raw.send(&frame(FINAL | PONG, &payload)).await;
            }
        }
    });
    assert!(ended.await.is_ok(), "the socket ends");
}

#[tokio::test]
async fn who_asks_and_reads_no_answer_is_listened_to_no_longer() {
    let server = Server::impatient().await;
    let mut raw = Raw::open(&server).await;
    // Each is answered by as much.
    let ping = json!({"type": "ping", "payload": {"x": "x".repeat(100_000)}}).to_string();
    let ping = frame(FINAL | TEXT, ping.as_bytes());
    let mut sent = 0;
    let flooding = async {
        while raw.0.write_all(&ping).await.is_ok() {
            sent += ping.len();
        }
    };
    timeout(Duration::from_secs(30), flooding).await.expect("it is dropped");
    // What the system keeps on the way there and back, and hardly more.
    assert!(sent < 32 * 1024 * 1024, "{sent} bytes were taken of one who reads nothing");
}

/// Sends the same for ever, on a thread of its own, until it is told to stop; counts what was sent.
fn flood(address: SocketAddr, bytes: Vec<u8>, stop: Arc<AtomicBool>, sent: Arc<AtomicUsize>) {
    std::thread::spawn(move || {
        let mut stream = std::net::TcpStream::connect(address).expect("a connection");
        stream.write_all(upgrade(address).as_bytes()).expect("sent");
        stream.write_all(&frame(FINAL | TEXT, br#"{"type":"connection_init"}"#)).expect("sent");
        while !stop.load(Ordering::Relaxed) && stream.write_all(&bytes).is_ok() {
            sent.fetch_add(bytes.len(), Ordering::Relaxed);
        }
    });
}

#[tokio::test]
async fn whoever_talks_without_end_keeps_no_other_from_their_turn() {
    // One thread serves everybody.
    let server = Server::start().await;
    let (stop, sent) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicUsize::new(0)));
    let complete = frame(FINAL | TEXT, br#"{"type":"complete","id":"x"}"#).repeat(1000);
    for _ in 0..3 {
        flood(server.address, complete.clone(), stop.clone(), sent.clone());
    }
    eventually("they talk", async || sent.load(Ordering::Relaxed) > 1_000_000).await;
    let mut honest = Socket::open(server.address).await;
    for number in 0..20 {
        let before = sent.load(Ordering::Relaxed);
        let id = number.to_string();
        honest.start(&id, "{ me }", json!({})).await;
        assert_eq!(honest.next(&id).await, json!({"me": "nobody"}));
        eventually("they go on", async || sent.load(Ordering::Relaxed) > before).await;
    }
    stop.store(true, Ordering::Relaxed);
}
