//! All WebSockets of this process: the places for them, the groups that their subscriptions are in, and the sweep that
//! looks after them.

use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use slab::Slab;
use tokio::time::{MissedTickBehavior, interval};

use super::ages::{Beat, Hour};
use super::connection::Connection;
use super::outbox::Backlog;
use super::rights::Rights;
use super::room::Rooms;
use crate::http::protocol::Close;
use crate::http::{Answers, Public};
use crate::lifecycle::Failure;
use crate::realtime::Groups;

/// How many connections are looked after before others have their turn.
const TURN: usize = 256;

/// All sockets.
pub(in crate::http) struct Sockets<G: Answers> {
    pub(in crate::http) groups: Groups<Connection<G>>,
    /// What clients have not read yet.
    pub(super) backlog: Backlog,
    /// What clients have begun to say.
    pub(super) begun: Backlog,
    /// Whoever is nobody in particular.
    pub(super) nobody: Arc<G::Requester>,
    /// Whoever is somebody.
    pub(super) rights: Rights<G::Requester>,
    pub(super) rooms: Rooms,
    all: Mutex<Slab<Arc<Connection<G>>>>,
    beat: AtomicU32,
}

impl<G: Answers> Default for Sockets<G> {
    fn default() -> Self {
        Self {
            groups: Groups::default(),
            backlog: Backlog::default(),
            begun: Backlog::default(),
            nobody: Arc::default(),
            rights: Rights::default(),
            rooms: Rooms::default(),
            all: Mutex::default(),
            beat: AtomicU32::new(0),
        }
    }
}

impl<G: Answers> Sockets<G> {
    /// With so many places for one address.
    pub(in crate::http) fn with_places_for_one(self, most: usize) -> Self {
        Self { rooms: Rooms::new(most), ..self }
    }

    pub(super) fn now(&self) -> Beat {
        self.beat.load(Ordering::Relaxed)
    }

    /// Looks after a connection from now on; its place, to be given back with [`Sockets::leave`].
    pub(super) fn enter(&self, connection: Arc<Connection<G>>) -> usize {
        metrics::gauge!("tally_sockets").increment(1);
        self.all().insert(connection)
    }

    pub(super) fn leave(&self, place: usize) {
        metrics::gauge!("tally_sockets").decrement(1);
        self.rights.forget(place);
        self.all().try_remove(place);
    }

    /// The connection at that place.
    pub(super) fn at(&self, place: usize) -> Option<Arc<Connection<G>>> {
        self.all().get(place).cloned()
    }

    fn all(&self) -> MutexGuard<'_, Slab<Arc<Connection<G>>>> {
        self.all.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Does something to each connection, a few at a time.
    async fn for_each(&self, act: impl Fn(&Connection<G>)) {
        let (mut next, mut some) = (0, Vec::new());
        loop {
            let end = {
                let all = self.all();
                while next < all.capacity() && some.len() < TURN {
                    some.extend(all.get(next).cloned());
                    next += 1;
                }
                next >= all.capacity()
            };
            some.drain(..).for_each(|connection| act(&connection));
            if end {
                return;
            }
            tokio::task::yield_now().await;
        }
    }
}

/// Looks after all connections until the process stops; then says so to all, and looks after them until they are
/// gone.
pub(in crate::http) async fn sweep<G: Answers>(public: Arc<Public<G>>) -> Result<(), Failure> {
    let (sockets, stop) = (&public.sockets, public.tasks.stopping());
    let period = Hour::period(&public.patience);
    let mut beats = interval(period);
    beats.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            _ = beats.tick() => {}
            () = stop.cancelled(), if !stop.is_cancelled() => {}
        }
        if stop.is_cancelled() {
            sockets.for_each(|connection| connection.close(&Close::Restarting)).await;
            if sockets.all().is_empty() {
                return Ok(());
            }
        }
        let now = sockets.beat.fetch_add(1, Ordering::Relaxed).wrapping_add(1);
        let hour = Hour { now, period, patience: public.patience };
        sockets.for_each(|connection| connection.look_after(&hour)).await;
    }
}
