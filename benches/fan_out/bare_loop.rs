//! The limit: one thread that writes one ready-made frame to all sockets, and does nothing else that it need not.
//! All subscribers must have the same operation id.

use std::io::{ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::time::Duration;

use chrono::SecondsFormat;
use rustix::event::epoll::EventFlags;
use uuid::Uuid;

use crate::frame::{self, Frame};
use crate::poll::Poll;

enum Kind {
    /// Has not said yet what it wants.
    New,
    Subscriber,
    Trigger,
}

struct Socket {
    stream: TcpStream,
    kind: Kind,
    received: Vec<u8>,
    /// What it would not take yet.
    unsent: Vec<u8>,
}

struct Loop {
    poll: Poll,
    listener: TcpListener,
    sockets: Vec<Option<Socket>>,
    subscribers: Vec<usize>,
    id: String,
    last: u32,
}

/// Listens at `address` until the process is killed.
pub(crate) fn run(address: SocketAddr) {
    let listener = TcpListener::bind(address).expect("a free port");
    listener.set_nonblocking(true).expect("a socket");
    let poll = Poll::new();
    poll.add(&listener, usize::MAX, EventFlags::IN);
    let mut this =
        Loop { poll, listener, sockets: Vec::new(), subscribers: Vec::new(), id: String::new(), last: 0 };
    loop {
        for number in this.poll.wait(Duration::from_secs(60)) {
            if number == usize::MAX {
                this.accept();
            } else {
                this.serve(number);
            }
        }
    }
}

impl Loop {
    fn accept(&mut self) {
        while let Ok((stream, _)) = self.listener.accept() {
            stream.set_nonblocking(true).expect("a socket");
            stream.set_nodelay(true).expect("a socket");
            self.poll.add(&stream, self.sockets.len(), EventFlags::IN | EventFlags::OUT | EventFlags::ET);
            let socket = Socket { stream, kind: Kind::New, received: Vec::new(), unsent: Vec::new() };
            self.sockets.push(Some(socket));
        }
    }

    fn serve(&mut self, number: usize) {
        let Some(socket) = &mut self.sockets[number] else { return };
        let unsent = std::mem::take(&mut socket.unsent);
        write(socket, &unsent);
        let mut buffer = [0; 4096];
        loop {
            match socket.stream.read(&mut buffer) {
                Ok(0) => {
                    self.sockets[number] = None;
                    return;
                }
                Ok(length) => socket.received.extend_from_slice(&buffer[..length]),
                Err(error) if error.kind() == ErrorKind::WouldBlock => break,
                Err(_) => {
                    self.sockets[number] = None;
                    return;
                }
            }
        }
        let received = std::mem::take(&mut socket.received);
        let done = match socket.kind {
            Kind::Subscriber => self.hear(number, &received),
            Kind::New | Kind::Trigger => self.answer(number, &received),
        };
        if let Some(socket) = &mut self.sockets[number] {
            socket.received = received[done..].to_vec();
        }
    }

    /// HTTP: an upgrade, or any number of posts. Returns how much was read.
    fn answer(&mut self, number: usize, received: &[u8]) -> usize {
        let mut done = 0;
        while let Some(end) = received[done..].windows(4).position(|end| end == b"\r\n\r\n") {
            let head = String::from_utf8_lossy(&received[done..done + end]).into_owned();
            done += end + 4;
            let Some(socket) = &mut self.sockets[number] else { return done };
            if head.starts_with("GET") {
                socket.kind = Kind::Subscriber;
                write(
                    socket,
                    b"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n",
                );
                self.subscribers.push(number);
            } else {
                socket.kind = Kind::Trigger;
                let parameter = |name: &str| {
                    let (_, value) = head.split_once(name)?;
                    value.split(['&', ' ']).next().map(str::to_owned)
                };
                let loc = parameter("loc=").and_then(|loc| loc.parse().ok()).expect("a channel");
                let count = parameter("count=").and_then(|count| count.parse().ok()).expect("a count");
                write(socket, b"HTTP/1.1 204 No Content\r\n\r\n");
                self.emit(loc, count);
            }
        }
        done
    }

    fn emit(&mut self, loc: Uuid, count: u32) {
        for _ in 0..count {
            self.last += 1;
            let at = tally::ambient::Clock::system().now().to_rfc3339_opts(SecondsFormat::Millis, true);
            let (id, number) = (&self.id, self.last);
            let frame = frame::of_server(&format!(
                r#"{{"type":"next","id":"{id}","payload":{{"data":{{"benchEvents":{{"loc":"{loc}","number":{number},"at":"{at}"}}}}}}}}"#
            ));
            for subscriber in &self.subscribers {
                if let Some(socket) = &mut self.sockets[*subscriber] {
                    write(socket, &frame);
                }
            }
        }
    }

    /// The protocol of subscriptions, as little of it as works.
    fn hear(&mut self, number: usize, received: &[u8]) -> usize {
        let mut done = 0;
        while let Some((frame, length)) = frame::read(&received[done..]) {
            done += length;
            let Frame::Text(text) = frame else { continue };
            let Ok(message) = serde_json::from_slice::<serde_json::Value>(text) else { continue };
            let Some(socket) = &mut self.sockets[number] else { return done };
            if message["type"] == "connection_init" {
                write(socket, &frame::of_server(r#"{"type":"connection_ack"}"#));
            } else if let Some(id) = message["id"].as_str() {
                id.clone_into(&mut self.id);
            }
        }
        done
    }
}

/// Writes as much as goes, and keeps the rest for when there is room.
fn write(socket: &mut Socket, bytes: &[u8]) {
    if bytes.is_empty() {
        return;
    }
    if !socket.unsent.is_empty() {
        socket.unsent.extend_from_slice(bytes);
        return;
    }
    let written = socket.stream.write(bytes).unwrap_or(0);
    socket.unsent.extend_from_slice(&bytes[written..]);
}
