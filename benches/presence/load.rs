//! The load, from another process: datagrams as nginx sends them, and its questions about tokens.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream, UdpSocket};
use std::time::Duration;

use tally::store::Loc;
use uuid::Uuid;

use crate::{AGENT, CHANNELS, SECRET, SESSIONS, elsewhere};

/// nginx keeps some connections open to the API.
const CONNECTIONS: u32 = 8;

/// Whether this process is the one that sends.
pub(crate) fn is_meant(words: &[String]) -> bool {
    matches!(words.get(1).map(String::as_str), Some("send" | "ask"))
}

/// Does what the words say.
pub(crate) fn run(words: &[String]) {
    let (to, times) = (words[2].parse().unwrap(), words[3].parse().unwrap());
    match words[1].as_str() {
        "send" => send_here(to, times, words[4].parse().unwrap()),
        _ => ask_here(to, times, &words[4], &words[5]),
    }
}

/// Sends reports, in bursts with a pause between: what comes at once is as much as there may be room for.
pub(crate) async fn send(to: SocketAddr, reports: u32, burst: u32) {
    elsewhere(&["send", &to.to_string(), &reports.to_string(), &burst.to_string()]).await;
}

/// Asks whether a token may play, over connections that stay.
pub(crate) async fn ask(door: SocketAddr, times: u32, token: &str, loc: Loc) {
    elsewhere(&["ask", &door.to_string(), &times.to_string(), token, &loc.to_string()]).await;
}

/// A channel's address; its last byte spreads it, as chance does with real ones.
pub(crate) fn loc(channel: u32) -> Loc {
    Loc(Uuid::from_u64_pair(7, u64::from(channel)))
}

/// A viewer's address.
pub(crate) fn address(viewer: u32) -> String {
    let [_, a, b, c] = viewer.to_be_bytes();
    format!("10.{a}.{b}.{c}")
}

fn send_here(to: SocketAddr, reports: u32, burst: u32) {
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    socket.connect(to).unwrap();
    for first in (0..reports).step_by(usize::try_from(burst).unwrap()) {
        let written: Vec<String> = (first..reports.min(first + burst)).map(report).collect();
        for report in written {
            socket.send(report.as_bytes()).unwrap();
        }
        std::thread::sleep(Duration::from_millis(10));
    }
}

fn report(number: u32) -> String {
    let viewer = number % SESSIONS;
    format!(
        "<190>Nov 23 12:00:00 tally: {SECRET} {} - {} 1763899200.042 {AGENT}",
        loc(viewer % CHANNELS),
        address(viewer)
    )
}

fn ask_here(door: SocketAddr, times: u32, token: &str, loc: &str) {
    let request = format!(
        "GET /media-auth HTTP/1.1\r\nHost: {door}\r\nX-Tally-Secret: {SECRET}\r\nX-Tally-Token: {token}\r\nX-Tally-Loc: {loc}\r\n\r\n"
    );
    let one = || {
        let mut stream = TcpStream::connect(door).unwrap();
        stream.set_nodelay(true).unwrap();
        let mut answer = [0; 1024];
        for _ in 0..times / CONNECTIONS {
            stream.write_all(request.as_bytes()).unwrap();
            let mut length = 0;
            while !answer[..length].ends_with(b"\r\n\r\n") {
                length += stream.read(&mut answer[length..]).unwrap();
            }
            assert!(answer.starts_with(b"HTTP/1.1 204"), "{}", String::from_utf8_lossy(&answer[..length]));
        }
    };
    std::thread::scope(|scope| {
        for _ in 0..CONNECTIONS {
            scope.spawn(one);
        }
    });
}
