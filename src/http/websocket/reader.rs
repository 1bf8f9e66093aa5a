//! The half of a connection that listens to the client: one small task, which sleeps while the client is silent and
//! holds no buffer meanwhile. It also writes what the client was too slow for, and ends what runs when the
//! connection does.

use std::cell::RefCell;
use std::future::poll_fn;
use std::io;
use std::ops::ControlFlow;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use async_graphql::ServerError;
use futures_util::FutureExt;
use futures_util::future::BoxFuture;

use super::ages::Beat;
use super::connection::Connection;
use super::frame::{Frames, Incoming, Violation};
use super::room::Room;
use crate::http::operation::code;
use crate::http::origin::Shown;
use crate::http::protocol::{Close, Message, Step};
use crate::http::{Answers, execution};

/// The largest message from a client; as over HTTP.
const MAX_MESSAGE: usize = 256 * 1024;
/// How much is read at a time.
const GULP: usize = 16 * 1024;
/// How often is read before others have their turn.
const GULPS: usize = 4;
/// The most frames and messages that say nothing between two beats, of which there are eight a second: pings, pongs and
/// fragments without bytes. Clients send one in some seconds.
const MOST_IDLE: u32 = 1000;

thread_local! {
    /// Whatever a client sends is read into here.
    static READ: RefCell<Box<[u8]>> = RefCell::new(vec![0; GULP].into());
}

type Identified<G> = Result<<G as Answers>::Requester, ServerError>;

/// The reading half of a connection.
pub(super) struct Reader<G: Answers> {
    connection: Arc<Connection<G>>,
    frames: Frames,
    /// In the headers of the upgrade; `connection_init` may name another token.
    shown: Shown,
    identifying: Option<BoxFuture<'static, Identified<G>>>,
    requester: Option<Arc<G::Requester>>,
    place: usize,
    /// When the last thing came that says nothing, and how many of them since that beat.
    idle: (Beat, u32),
    _room: Room,
}

impl<G: Answers> Drop for Reader<G> {
    fn drop(&mut self) {
        self.connection.give_up();
        self.connection.release();
        let _ = self.connection.public.sockets.begun.exchange(self.frames.held(), 0);
        self.connection.public.sockets.leave(self.place);
    }
}

impl<G: Answers> Reader<G> {
    pub(super) fn new(connection: Arc<Connection<G>>, shown: Shown, room: Room) -> Self {
        let place = connection.public.sockets.enter(Arc::clone(&connection));
        Self {
            connection,
            frames: Frames::default(),
            shown,
            identifying: None,
            requester: None,
            place,
            idle: (0, 0),
            _room: room,
        }
    }

    /// Listens until the connection is over. `begun` is what the client sent on the heels of its request.
    pub(super) fn run(mut self, mut begun: Vec<u8>) -> impl Future<Output = ()> + Send {
        if !begun.is_empty() {
            self.take(&mut begun);
        }
        poll_fn(move |cx| self.poll(cx))
    }

    /// Ready when the connection is over.
    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        for _ in 0..GULPS {
            let flushed = self.connection.poll_flush(cx);
            // Before waiting for a client to read our goodbye: nothing runs for it any more.
            self.connection.release();
            if ready!(flushed).is_err() {
                return Poll::Ready(());
            }
            self.poll_identifying(cx);
            match ready!(self.connection.stream.poll_read_ready(cx)) {
                Ok(()) if self.read() => {}
                _ => return Poll::Ready(()),
            }
        }
        // However much this client has to say.
        cx.waker().wake_by_ref();
        Poll::Pending
    }

    /// Reads once what is there; false when the client has gone.
    fn read(&mut self) -> bool {
        READ.with_borrow_mut(|buffer| match self.connection.stream.try_read(buffer) {
            Ok(0) => false,
            Ok(length) => {
                self.take(&mut buffer[..length]);
                true
            }
            Err(error) => error.kind() == io::ErrorKind::WouldBlock,
        })
    }

    fn take(&mut self, bytes: &mut [u8]) {
        let mut frames = std::mem::take(&mut self.frames);
        let before = frames.held();
        let fed = frames.feed(bytes, MAX_MESSAGE, &mut |incoming| self.hear(incoming));
        self.connection.heard(frames.is_incomplete());
        let begun = &self.connection.public.sockets.begun;
        // Of a crowd that begins large messages and does not end them, those with the largest have to go.
        let crowded =
            begun.exchange(before, frames.held()).is_err() || frames.held() > begun.share(2 * MAX_MESSAGE);
        self.frames = frames;
        match fed {
            Ok(()) if crowded => self.connection.close(&Close::TryAgainLater),
            Ok(()) => {}
            Err(Violation::Protocol) => self.connection.close(&Close::NotWebSocket),
            Err(Violation::Encoding) => self.connection.close(&Close::NotUtf8),
            Err(Violation::TooBig) => self.connection.close(&Close::MessageTooBig),
        }
    }

    fn hear(&mut self, incoming: Incoming<'_>) -> ControlFlow<()> {
        match incoming {
            // After our own goodbye nothing matters but the client's.
            Incoming::Close => {
                self.connection.close_too();
                return ControlFlow::Break(());
            }
            _ if !self.connection.is_open() => {}
            Incoming::Ping(_) | Incoming::Pong | Incoming::Nothing if self.is_flooded() => {
                self.connection.close(&Close::Flood);
            }
            Incoming::Text(text) => match Message::read(text) {
                Some(Message::Ping(_) | Message::Pong) if self.is_flooded() => {
                    self.connection.close(&Close::Flood);
                }
                Some(message) => self.act(message),
                None => self.connection.close(&Close::BadRequest),
            },
            Incoming::Binary => self.connection.close(&Close::BadRequest),
            Incoming::Ping(bytes) => self.connection.pong(bytes),
            Incoming::Pong | Incoming::Nothing => {}
        }
        ControlFlow::Continue(())
    }

    /// Counts what says nothing; whether there was too much of it.
    fn is_flooded(&mut self) -> bool {
        let (beat, now) = (self.idle.0, self.connection.public.sockets.now());
        let before = if beat == now { self.idle.1 } else { 0 };
        self.idle = (now, before + 1);
        before >= MOST_IDLE
    }

    fn act(&mut self, message: Message) {
        match self.connection.receive(message) {
            Step::Rest => {}
            Step::Send(text) => self.connection.say(&text),
            // Messages go on being read, for those that come too early must be refused.
            Step::Identify(token) => {
                let shown = std::mem::replace(&mut self.shown, Shown::Nothing);
                let shown = token.map_or(shown, Shown::Bearer);
                let graph = self.connection.public.graph.clone();
                self.identifying = Some(async move { shown.requester(&graph).await }.boxed());
            }
            Step::Start(ticket, parameters) => {
                if let Some(requester) = &self.requester {
                    execution::start(&self.connection, requester, ticket, *parameters);
                }
            }
            Step::Stop(handle) => self.connection.stop(handle),
            Step::Close(close) => self.connection.close(&close),
        }
    }

    fn poll_identifying(&mut self, cx: &mut Context<'_>) {
        let Some(identifying) = &mut self.identifying else { return };
        let Poll::Ready(who) = identifying.poll_unpin(cx) else { return };
        self.identifying = None;
        match who {
            Ok(requester) => {
                let sockets = &self.connection.public.sockets;
                self.requester = Some(if G::is_anonymous(&requester) {
                    Arc::clone(&sockets.nobody)
                } else {
                    sockets.rights.believe(self.place, requester)
                });
                self.connection.welcome();
            }
            Err(error) if code(&error) == Some("UNAUTHENTICATED") => self.connection.close(&Close::Forbidden),
            Err(_) => self.connection.close(&Close::TryAgainLater),
        }
    }
}
