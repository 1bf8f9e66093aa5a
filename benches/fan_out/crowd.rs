//! The subscribers: each one subscription on a socket of its own, all of them read by one thread.

use std::net::{Ipv4Addr, SocketAddr, SocketAddrV4};
use std::os::fd::OwnedFd;
use std::time::{Duration, Instant};

use rustix::event::epoll::EventFlags;
use rustix::net::{
    AddressFamily, RecvFlags, SendFlags, SocketFlags, SocketType, bind, connect, recv, send, socket_with,
};
use uuid::Uuid;

use crate::frame::{self, Frame};
use crate::message::{Faults, Reader, operation_id};
use crate::poll::Poll;

/// How many connect at a time: fewer than the shortest queue of a listener holds, which is 128. A connection that finds
/// the queue full waits for a whole second.
const CONNECTING: usize = 100;
/// How many subscribers share an address: fewer than there are ports.
const PER_ADDRESS: usize = 5_000;
/// When nothing has come for so long, nothing more will. Node may think about a burst for half a minute first.
const SILENCE: Duration = Duration::from_secs(60);

/// What is subscribed to.
#[derive(Clone, Copy)]
pub(crate) enum Channels {
    /// The numbered events of one channel, by all.
    One(Uuid),
    /// The audience of a channel of one's own.
    Each(fn(usize) -> Uuid),
}

impl Channels {
    fn reader(self) -> Reader {
        match self {
            Self::One(loc) => Reader::new(["benchEvents", "number"], Some(loc)),
            Self::Each(_) => Reader::new(["viewerCountChanged", "currentViewers"], None),
        }
    }

    fn payload(self, subscriber: usize) -> serde_json::Value {
        match self {
            Self::One(loc) => serde_json::json!({
                "query": "subscription ($loc: UUID!) { benchEvents(loc: $loc) { loc number at } }",
                "variables": {"loc": loc},
            }),
            Self::Each(loc) => serde_json::json!({
                "query": "subscription ($locs: [UUID!]!) { \
                    viewerCountChanged(locs: $locs) { loc currentViewers totalViewers at } }",
                "variables": {"locs": [loc(subscriber)]},
            }),
        }
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Stage {
    Upgrading,
    Introducing,
    Subscribed,
    Closed,
}

struct Socket {
    /// None once it is closed.
    stream: Option<OwnedFd>,
    stage: Stage,
    /// The number of the event that comes next.
    next: u32,
    /// The beginning of a frame whose end has not come.
    rest: Vec<u8>,
}

/// The subscribers of one server.
pub(crate) struct Crowd {
    poll: Poll,
    server: SocketAddr,
    channels: Channels,
    /// Whether all have the same operation id, because the server knows only one frame.
    alike: bool,
    sockets: Vec<Socket>,
    subscribed: usize,
    /// How many sockets are closed.
    gone: usize,
    reader: Reader,
    faults: Faults,
    sent: Vec<Instant>,
    /// Of each message since the last look: microseconds from just before the event was asked for.
    delays: Vec<u32>,
    arrived: u64,
    buffer: Vec<u8>,
}

impl Crowd {
    /// Connects and subscribes `size` of them; all have been told that they may when this returns.
    pub(crate) fn gather(server: SocketAddr, size: usize, channels: Channels, alike: bool) -> Self {
        let mut crowd = Self {
            poll: Poll::new(),
            server,
            channels,
            alike,
            sockets: Vec::with_capacity(size),
            subscribed: 0,
            gone: 0,
            reader: channels.reader(),
            faults: Faults::default(),
            sent: Vec::new(),
            delays: Vec::new(),
            arrived: 0,
            buffer: vec![0; 128 * 1024],
        };
        let mut heard = Instant::now();
        while crowd.subscribed < size {
            while crowd.sockets.len() < size && crowd.sockets.len() - crowd.subscribed < CONNECTING {
                crowd.connect();
            }
            let before = crowd.subscribed;
            crowd.turn(Duration::from_millis(100));
            if crowd.subscribed > before {
                heard = Instant::now();
            }
            assert!(heard.elapsed() < SILENCE, "{} of {size} could subscribe", crowd.subscribed);
        }
        crowd
    }

    fn connect(&mut self) {
        let number = self.sockets.len();
        let stream = socket_with(AddressFamily::INET, SocketType::STREAM, SocketFlags::CLOEXEC, None)
            .expect("a socket");
        let host = u8::try_from(2 + number / PER_ADDRESS).expect("few addresses");
        bind(&stream, &SocketAddrV4::new(Ipv4Addr::new(127, 0, 0, host), 0)).expect("a free port");
        connect(&stream, &self.server).expect("a connection");
        rustix::io::ioctl_fionbio(&stream, true).expect("a socket");
        let upgrade = format!(
            "GET /graphql HTTP/1.1\r\nHost: {}\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
             Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\
             Sec-WebSocket-Protocol: graphql-transport-ws\r\n\r\n",
            self.server
        );
        self.poll.add(&stream, number, EventFlags::IN);
        self.sockets.push(Socket {
            stream: Some(stream),
            stage: Stage::Upgrading,
            next: 1,
            rest: Vec::new(),
        });
        self.write(number, upgrade.as_bytes());
    }

    /// Reads what comes until there is something, or `patience` is over.
    pub(crate) fn turn(&mut self, patience: Duration) {
        let mut buffer = std::mem::take(&mut self.buffer);
        for number in self.poll.wait(patience) {
            let Some(stream) = &self.sockets[number].stream else { continue };
            match recv(stream, &mut buffer[..], RecvFlags::empty()) {
                Ok((0, _)) => self.close(number, "broke off"),
                Ok((length, _)) => self.take(number, &buffer[..length]),
                Err(rustix::io::Errno::AGAIN) => {}
                Err(error) => self.close(number, &error.to_string()),
            }
        }
        self.buffer = buffer;
    }

    /// Says that `count` more events are asked for at this moment.
    pub(crate) fn expect(&mut self, count: usize) {
        self.sent.extend(std::iter::repeat_n(Instant::now(), count));
    }

    /// Reads until every event has reached everybody, or nothing more comes.
    pub(crate) fn listen(&mut self) {
        let due = (self.sent.len() * self.sockets.len()) as u64;
        self.listen_for(due);
    }

    /// Reads until everybody has been told the present size of its audience.
    pub(crate) fn listen_for(&mut self, due: u64) {
        let (mut heard, mut before) = (Instant::now(), self.arrived);
        while self.arrived < due && self.gone < self.sockets.len() && heard.elapsed() < SILENCE {
            self.turn(Duration::from_millis(100));
            if self.arrived > before {
                (heard, before) = (Instant::now(), self.arrived);
            }
        }
    }

    /// The delays of what has come since the last call, in ascending order.
    pub(crate) fn delays(&mut self) -> Vec<u32> {
        let mut delays = std::mem::take(&mut self.delays);
        delays.sort_unstable();
        delays
    }

    /// What has been wrong, now that all has come that comes.
    pub(crate) fn faults(&self) -> Faults {
        let Channels::One(_) = self.channels else { return self.faults };
        let missing = |socket: &Socket| (self.sent.len() as u64 + 1).saturating_sub(u64::from(socket.next));
        Faults { lost: self.faults.lost + self.sockets.iter().map(missing).sum::<u64>(), ..self.faults }
    }

    fn take(&mut self, number: usize, bytes: &[u8]) {
        let now = Instant::now();
        let mut rest = std::mem::take(&mut self.sockets[number].rest);
        let whole: &[u8] = if rest.is_empty() {
            bytes
        } else {
            rest.extend_from_slice(bytes);
            &rest
        };
        let mut done = 0;
        if self.sockets[number].stage == Stage::Upgrading {
            let Some(end) = whole.windows(4).position(|end| end == b"\r\n\r\n") else {
                self.sockets[number].rest = whole.to_vec();
                return;
            };
            done = end + 4;
            if whole.starts_with(b"HTTP/1.1 101 ") {
                self.sockets[number].stage = Stage::Introducing;
                self.write(number, &frame::of_client(1, br#"{"type":"connection_init"}"#));
            } else {
                self.close(number, &String::from_utf8_lossy(whole));
            }
        }
        while let Some((frame, length)) = frame::read(&whole[done..]) {
            self.hear(number, &frame, now);
            done += length;
        }
        self.sockets[number].rest = whole[done..].to_vec();
    }

    fn hear(&mut self, number: usize, frame: &Frame<'_>, now: Instant) {
        match frame {
            Frame::Text(text) if self.sockets[number].stage == Stage::Subscribed => {
                self.message(number, text, now)
            }
            Frame::Text(text) if contains(text, b"connection_ack") => {
                let message = serde_json::json!({
                    "type": "subscribe",
                    "id": self.id(number),
                    "payload": self.channels.payload(number),
                });
                self.sockets[number].stage = Stage::Subscribed;
                self.subscribed += 1;
                self.write(number, &frame::of_client(1, message.to_string().as_bytes()));
            }
            Frame::Text(_) => self.faults.malformed += 1,
            Frame::Ping(payload) => self.write(number, &frame::of_client(10, payload)),
            Frame::Close(reason) => {
                let reason = String::from_utf8_lossy(reason.get(2..).unwrap_or_default()).into_owned();
                self.close(number, &reason);
            }
            Frame::Other => {}
        }
    }

    fn message(&mut self, number: usize, text: &[u8], now: Instant) {
        let id = self.id(number);
        let Some(event) = self.reader.read(text, id, &mut self.faults) else {
            if contains(text, br#""type":"ping""#) {
                self.write(number, &frame::of_client(1, br#"{"type":"pong"}"#));
            } else {
                eprintln!("a message that was not asked for: {}", String::from_utf8_lossy(text));
                self.faults.malformed += 1;
            }
            return;
        };
        self.arrived += 1;
        let Channels::One(_) = self.channels else { return };
        let next = &mut self.sockets[number].next;
        if event < *next {
            self.faults.stale += 1;
            return;
        }
        self.faults.lost += u64::from(event - *next);
        *next = event + 1;
        let sent = self.sent.get(event as usize - 1).copied().unwrap_or(now);
        self.delays.push(u32::try_from((now - sent).as_micros()).unwrap_or(u32::MAX));
    }

    fn id(&self, number: usize) -> Uuid {
        operation_id(if self.alike { 0 } else { number })
    }

    fn write(&self, number: usize, bytes: &[u8]) {
        let Some(stream) = &self.sockets[number].stream else { return };
        let sent = send(stream, bytes, SendFlags::NOSIGNAL);
        // A short text into an empty socket; a broken one is noticed when it is read.
        debug_assert!(sent.is_err() || sent == Ok(bytes.len()));
    }

    /// A subscriber that is gone misses everything from here on, and counts so.
    fn close(&mut self, number: usize, why: &str) {
        if self.sockets[number].stage == Stage::Closed {
            return;
        }
        self.gone += 1;
        if self.gone == 1 {
            eprintln!("the server closed a socket, perhaps the first of many: {why}");
        }
        self.sockets[number].stage = Stage::Closed;
        self.sockets[number].stream = None;
    }
}

fn contains(text: &[u8], part: &[u8]) -> bool {
    text.windows(part.len()).any(|window| window == part)
}
