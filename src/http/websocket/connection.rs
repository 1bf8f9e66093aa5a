//! The half of a connection that others write to: groups of subscribers, answers, the sweep. Its reading half is
//! [`reader`].
//!
//! Everything goes straight to the socket, from whoever has something to say. Only when the client does not read as
//! fast as it is written to does anything wait: of a subscription whose updates replace each other, nothing but the
//! newest; of events, up to [`MOST_EVENTS`] bytes, beyond which the client is told to go and resume from its cursor.
//!
//! [`reader`]: super::reader

use std::cell::RefCell;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};

use futures_util::stream::AbortHandle;
use tokio::net::TcpStream;

use super::ages::{Ages, Beat, Hour};
use super::frame;
use super::outbox::{Full, Outbox};
use crate::http::operation::Answer;
use crate::http::protocol::{self, Close, Message, Protocol, Step, Ticket};
use crate::http::{Answers, Public, RequestId};
use crate::realtime::{Batch, Delivery, End, Membership, Outlet, Update};

/// The most bytes of events that wait for a client.
const MOST_EVENTS: usize = 256 * 1024;
/// The most bytes of answers that wait for a client: it may have asked for several large ones at a time.
const MOST_ANSWERS: usize = 4 * 1024 * 1024;
/// A client for which more than this waits is not listened to until it has read some.
const DEAF: usize = 64 * 1024;
/// What the buffer for frames may keep between two writes.
const SCRATCH: usize = 64 * 1024;

thread_local! {
    /// Frames are put together here before they are written.
    static FRAMES: RefCell<Vec<u8>> = const { RefCell::new(Vec::new()) };
}

/// A connection.
pub(in crate::http) struct Connection<G: Answers> {
    pub(in crate::http) public: Arc<Public<G>>,
    pub(super) stream: TcpStream,
    pub(in crate::http) id: RequestId,
    pub(in crate::http) address: Option<IpAddr>,
    state: Mutex<State<G>>,
}

struct State<G: Answers> {
    protocol: Protocol<Handle<G>>,
    outbox: Outbox,
    phase: Phase,
    /// Wakes the reading half.
    reader: Option<Waker>,
    ages: Ages,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Phase {
    Open,
    /// We have said goodbye.
    Closing,
    Gone,
}

/// What an operation is held by.
pub(super) enum Handle<G: Answers> {
    /// A place among equal subscribers.
    Member(Membership<Connection<G>>, Stuck),
    /// A query or a mutation under way.
    Execution(AbortHandle),
}

/// How a subscription stands with a client that does not read fast enough.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Stuck {
    /// It reads fast enough.
    No,
    /// Everything that happened waits for it, and its group may.
    Waits,
    /// It will be told the newest.
    PassedOver,
}

impl<G: Answers> Connection<G> {
    pub(super) fn new(
        public: Arc<Public<G>>,
        stream: TcpStream,
        id: RequestId,
        address: Option<IpAddr>,
        now: Beat,
    ) -> Self {
        let state = State {
            protocol: Protocol::default(),
            outbox: Outbox::default(),
            phase: Phase::Open,
            reader: None,
            ages: Ages::new(now),
        };
        Self { public, stream, id, address, state: Mutex::new(state) }
    }

    fn lock(&self) -> MutexGuard<'_, State<G>> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What the protocol says to a message.
    pub(super) fn receive(&self, message: Message) -> Step<Handle<G>> {
        self.lock().protocol.receive(message)
    }

    /// Acknowledges `connection_init`.
    pub(super) fn welcome(&self) {
        let mut state = self.lock();
        let text = state.protocol.welcome();
        self.write(&mut state, MOST_ANSWERS, |out| frame::text(out, &[text]));
    }

    /// Sends a text of the protocol.
    pub(super) fn say(&self, text: &str) {
        self.write(&mut self.lock(), MOST_ANSWERS, |out| frame::text(out, &[text]));
    }

    /// Answers a ping.
    pub(super) fn pong(&self, bytes: &[u8]) {
        self.write(&mut self.lock(), MOST_ANSWERS, |out| frame::pong(out, bytes));
    }

    /// Holds an operation by what stops it.
    pub(in crate::http) fn hold(&self, ticket: Ticket, abort: AbortHandle) {
        if let Some(running) = self.lock().protocol.running(ticket) {
            running.handle = Some(Handle::Execution(abort));
        }
    }

    /// Answers a query or a mutation.
    pub(in crate::http) fn answer(&self, ticket: Ticket, answer: &Answer) {
        let payload = answer.to_json();
        let mut state = self.lock();
        let Some(running) = state.protocol.end(ticket) else { return };
        self.write(&mut state, MOST_ANSWERS, |out| {
            frame::text(out, &protocol::next(&running.id, &payload));
            frame::text(out, &protocol::complete(&running.id));
        });
    }

    /// Says why an operation cannot be executed.
    pub(in crate::http) fn refuse(&self, ticket: Ticket, answer: &Answer) {
        self.ended(ticket, &End::Refused(answer.errors_to_json().into()));
    }

    /// Closes the connection, with a reason. The reading half does the rest.
    pub(super) fn close(&self, close: &Close) {
        self.close_locked(&mut self.lock(), close);
    }

    fn close_locked(&self, state: &mut State<G>, close: &Close) {
        if state.phase != Phase::Open {
            return;
        }
        let (code, reason) = close.code_and_reason();
        metrics::counter!("tally_sockets_closed_total", "code" => code.to_string()).increment(1);
        // What waits goes out first: it was promised, and a frame that has begun must be ended.
        self.write(state, usize::MAX, |out| frame::close(out, code, &reason));
        if state.phase == Phase::Open {
            state.phase = Phase::Closing;
        }
        state.ages.close(self.public.sockets.now());
        wake(state);
    }

    /// Answers the client's own close.
    pub(super) fn close_too(&self) {
        let mut state = self.lock();
        if state.phase == Phase::Open {
            self.write(&mut state, usize::MAX, frame::closed);
        }
        state.phase = Phase::Gone;
    }

    /// There is nobody to write to any more.
    pub(super) fn give_up(&self) {
        let mut state = self.lock();
        state.phase = Phase::Gone;
        wake(&mut state);
    }

    /// Whether there is still something to say.
    pub(super) fn is_open(&self) -> bool {
        self.lock().phase == Phase::Open
    }

    /// A sign of life; maybe only the beginning of a message.
    pub(super) fn heard(&self, is_incomplete: bool) {
        self.lock().ages.heard(self.public.sockets.now(), is_incomplete);
    }

    /// Writes frames, or keeps them, or closes the connection of a client that does not read.
    fn write(&self, state: &mut State<G>, most: usize, frames: impl FnOnce(&mut Vec<u8>)) {
        if state.phase != Phase::Open {
            return;
        }
        let outcome = FRAMES.with_borrow_mut(|scratch| {
            scratch.clear();
            frames(scratch);
            let outcome = state.outbox.write(&self.stream, scratch, most, &self.public.sockets.backlog);
            scratch.shrink_to(SCRATCH);
            outcome
        });
        match outcome {
            Ok(()) if state.outbox.is_empty() => {}
            Ok(()) => {
                state.ages.stuck(self.public.sockets.now());
                wake(state);
            }
            Err(Full) if most == usize::MAX => {
                state.phase = Phase::Gone;
                wake(state);
            }
            Err(Full) => self.close_locked(state, &Close::TooSlow),
        }
    }

    /// The reading half's turn to write: what waits, then what came of it. Ready when the client may be listened to;
    /// an error when it is gone.
    pub(super) fn poll_flush(&self, cx: &mut Context<'_>) -> Poll<Result<(), ()>> {
        let mut state = self.lock();
        if !state.reader.as_ref().is_some_and(|reader| reader.will_wake(cx.waker())) {
            state.reader = Some(cx.waker().clone());
        }
        // Before anything that may wait: it is how a client that never reads again comes to its end.
        if state.phase == Phase::Gone {
            return Poll::Ready(Err(()));
        }
        while !state.outbox.is_empty() {
            match self.stream.poll_write_ready(cx) {
                Poll::Pending if state.outbox.len() > DEAF => return Poll::Pending,
                Poll::Pending => break,
                Poll::Ready(Err(_)) => return Poll::Ready(Err(())),
                Poll::Ready(Ok(())) => {
                    state.outbox.flush(&self.stream, &self.public.sockets.backlog).map_err(drop)?;
                }
            }
        }
        if state.outbox.is_empty() {
            state.ages.free(self.public.sockets.now());
            drop(state);
            self.unstick();
        }
        Poll::Ready(Ok(()))
    }

    /// Tells the groups that wait for this connection that it can be written to again.
    fn unstick(&self) {
        let stuck: Vec<_> = {
            let mut state = self.lock();
            let members = state.protocol.all().filter_map(|running| match &mut running.handle {
                Some(Handle::Member(membership, stuck)) if *stuck != Stuck::No => {
                    let before = *stuck;
                    if before == Stuck::Waits {
                        *stuck = Stuck::No;
                    }
                    Some((running.ticket, membership.group.clone(), before))
                }
                _ => None,
            });
            members.collect()
        };
        for (ticket, group, stuck) in stuck {
            if stuck == Stuck::PassedOver {
                group.catch_up(|newest, past| self.make_up(ticket, newest, past));
            }
            group.stir();
        }
    }

    /// Tells a subscription what it has been passed over with, as far as that is still news.
    fn make_up(&self, ticket: Ticket, newest: u64, past: &[(u64, Update)]) {
        let mut state = self.lock();
        let Some((membership, stuck)) = member(&mut state, ticket) else { return };
        let seen = std::mem::replace(&mut membership.seen, newest);
        *stuck = Stuck::No;
        let news = past.iter().filter(|(number, _)| *number > seen).map(|(_, update)| update);
        self.tell(&mut state, ticket, news);
    }

    /// Sends updates to a subscription.
    fn tell<'a>(&self, state: &mut State<G>, ticket: Ticket, updates: impl IntoIterator<Item = &'a Update>) {
        let Some(running) = state.protocol.running(ticket) else { return };
        let id = std::mem::take(&mut running.id);
        self.write(state, MOST_EVENTS, |out| {
            for update in updates {
                frame::text(out, &protocol::next(&id, &update.payload));
            }
        });
        let waits = !state.outbox.is_empty();
        let Some(running) = state.protocol.running(ticket) else { return };
        running.id = id;
        if let Some(Handle::Member(_, stuck @ Stuck::No)) = &mut running.handle
            && waits
        {
            *stuck = Stuck::Waits;
        }
    }

    /// Ends what runs, once the connection is closing or gone.
    pub(super) fn release(&self) {
        let running = {
            let mut state = self.lock();
            match state.phase {
                Phase::Open => return,
                Phase::Closing => {}
                Phase::Gone => state.outbox.clear(&self.public.sockets.backlog),
            }
            state.protocol.end_all()
        };
        running.into_iter().filter_map(|running| running.handle).for_each(|handle| self.stop(handle));
    }

    /// Ends an operation.
    pub(super) fn stop(&self, handle: Handle<G>) {
        match handle {
            Handle::Member(membership, _) => self.public.sockets.groups.leave(&membership),
            Handle::Execution(abort) => abort.abort(),
        }
    }

    /// Looks after the connection: pings are due, or patience is over.
    pub(super) fn look_after(&self, hour: &Hour) {
        let mut state = self.lock();
        if state.ages.is_over(hour) {
            state.phase = Phase::Gone;
            wake(&mut state);
        } else if !state.protocol.is_initialised() {
            if state.ages.is_uninitialised_for_too_long(hour) {
                self.close_locked(&mut state, &Close::InitialisationTimeout);
            }
        } else if state.ages.is_ping_due(hour) {
            self.write(&mut state, MOST_ANSWERS, frame::ping);
        }
    }
}

impl<G: Answers> Outlet for Connection<G> {
    fn joined(&self, ticket: Ticket, membership: Membership<Self>, past: &[Update]) {
        let mut state = self.lock();
        if let Some(running) = state.protocol.running(ticket) {
            running.handle = Some(Handle::Member(membership, Stuck::No));
        }
        if !past.is_empty() {
            self.tell(&mut state, ticket, past);
        }
    }

    fn deliver(&self, ticket: Ticket, batch: Batch<'_>) -> Delivery {
        let mut state = self.lock();
        let waits = !state.outbox.is_empty();
        let Some((membership, stuck)) = member(&mut state, ticket) else { return Delivery::Stuck };
        if membership.seen >= batch.last() {
            return Delivery::Sent;
        }
        if batch.replace_each_other() && (waits || *stuck == Stuck::PassedOver) {
            *stuck = Stuck::PassedOver;
            return Delivery::Stuck;
        }
        membership.seen = batch.last();
        self.tell(&mut state, ticket, batch.updates);
        if state.outbox.is_empty() { Delivery::Sent } else { Delivery::Stuck }
    }

    fn ended(&self, ticket: Ticket, end: &End) {
        let mut state = self.lock();
        let Some(running) = state.protocol.end(ticket) else { return };
        self.write(&mut state, MOST_ANSWERS, |out| match end {
            End::Complete => frame::text(out, &protocol::complete(&running.id)),
            End::Refused(errors) => frame::text(out, &protocol::refusal(&running.id, errors)),
        });
    }
}

fn member<G: Answers>(
    state: &mut State<G>,
    ticket: Ticket,
) -> Option<(&mut Membership<Connection<G>>, &mut Stuck)> {
    match &mut state.protocol.running(ticket)?.handle {
        Some(Handle::Member(membership, stuck)) => Some((membership, stuck)),
        _ => None,
    }
}

fn wake<G: Answers>(state: &mut State<G>) {
    if let Some(reader) = &state.reader {
        reader.wake_by_ref();
    }
}
