//! Requests over connections that are kept, one at a time on each, as fast as they are answered.

use std::io::{ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::{Duration, Instant};

use rustix::event::epoll::EventFlags;

use crate::poll::Poll;

const CONNECTIONS: usize = 32;
/// How many answers pass between two that are looked at.
const SAMPLE: u64 = 128;

/// What asks.
pub(crate) struct Load<'a> {
    poll: Poll,
    server: SocketAddr,
    connections: Vec<Connection>,
    body: &'a dyn Fn(u64) -> String,
    check: &'a dyn Fn(&[u8]),
    asked: u64,
    answered: u64,
}

struct Connection {
    stream: TcpStream,
    received: Vec<u8>,
}

impl<'a> Load<'a> {
    /// `body` makes the request of a number; `check` looks at a sample of the answers.
    pub(crate) fn new(server: SocketAddr, body: &'a dyn Fn(u64) -> String, check: &'a dyn Fn(&[u8])) -> Self {
        let poll = Poll::new();
        let connect = |number| {
            let stream = TcpStream::connect(server).expect("a connection");
            stream.set_nodelay(true).expect("a socket");
            stream.set_nonblocking(true).expect("a socket");
            poll.add(&stream, number, EventFlags::IN);
            Connection { stream, received: Vec::new() }
        };
        let connections = (0..CONNECTIONS).map(connect).collect();
        let mut load = Self { poll, server, connections, body, check, asked: 0, answered: 0 };
        (0..CONNECTIONS).for_each(|number| load.ask(number));
        load
    }

    /// Goes on for so long; returns how many answers came.
    pub(crate) fn run(&mut self, time: Duration) -> u64 {
        let (began, before) = (Instant::now(), self.answered);
        let mut buffer = vec![0; 64 * 1024];
        while let Some(left) = time.checked_sub(began.elapsed()).filter(|left| !left.is_zero()) {
            for number in self.poll.wait(left) {
                self.read(number, &mut buffer);
            }
        }
        self.answered - before
    }

    fn ask(&mut self, number: usize) {
        let body = (self.body)(self.asked);
        self.asked += 1;
        let request = format!(
            "POST /graphql HTTP/1.1\r\nHost: {}\r\nContent-Type: application/json\r\nAccept: application/json\r\n\
             Content-Length: {}\r\n\r\n{body}",
            self.server,
            body.len()
        );
        self.connections[number].stream.write_all(request.as_bytes()).expect("room for a short question");
    }

    fn read(&mut self, number: usize, buffer: &mut [u8]) {
        let connection = &mut self.connections[number];
        match connection.stream.read(buffer) {
            Ok(0) => panic!("the server closed a connection"),
            Ok(length) => connection.received.extend_from_slice(&buffer[..length]),
            Err(error) if error.kind() == ErrorKind::WouldBlock => return,
            Err(error) => panic!("a connection broke: {error}"),
        }
        let Some(body) = body(&connection.received) else { return };
        if self.answered.is_multiple_of(SAMPLE) {
            (self.check)(&body);
        }
        connection.received.clear();
        self.answered += 1;
        self.ask(number);
    }
}

/// The body of a whole answer.
fn body(received: &[u8]) -> Option<Vec<u8>> {
    let head = received.windows(4).position(|end| end == b"\r\n\r\n")?;
    let (head, body) = (&received[..head], &received[head + 4..]);
    assert!(head.starts_with(b"HTTP/1.1 200 "), "{}", String::from_utf8_lossy(received));
    let head = String::from_utf8_lossy(head).to_ascii_lowercase();
    let length = head.lines().find_map(|line| line.strip_prefix("content-length:"));
    match length {
        Some(length) => (body.len() >= length.trim().parse().ok()?).then(|| body.to_vec()),
        None => chunks(body),
    }
}

/// A body in chunks, put together.
fn chunks(mut rest: &[u8]) -> Option<Vec<u8>> {
    let mut whole = Vec::new();
    loop {
        let line = rest.windows(2).position(|end| end == b"\r\n")?;
        let length = usize::from_str_radix(std::str::from_utf8(&rest[..line]).ok()?.trim(), 16).ok()?;
        let chunk = rest.get(line + 2..line + 2 + length)?;
        if length == 0 {
            return rest.ends_with(b"\r\n\r\n").then_some(whole);
        }
        whole.extend_from_slice(chunk);
        rest = rest.get(line + 4 + length..)?;
    }
}
