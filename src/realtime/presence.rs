//! Who is watching, in memory: any request for a playlist touches a session, and a session that is not touched for
//! the time to live is gone. No database is on that path and no lock is held across an await.
//!
//! Counts are published conflated, four times a second at the most, and written to the database once a second; once a
//! minute, and at a stream's end, so is the most that watched it at one time in that minute ([`minutes`]). A
//! crash loses the sessions, not the figures: those come back from the database, hold for two seconds more, and the
//! sessions that reappear within the time to live are taken for the ones that were counted.
//!
//! [`room`] is what is locked: the rooms and what happens in one. Here is the handle, and when each is locked.

mod minutes;
mod room;

use std::hash::{BuildHasher, Hash, RandomState};
use std::pin::pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use futures_util::StreamExt;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use super::log::{Filter, Log};
use crate::ambient::Clock;
use crate::lifecycle::{Failure, Pace, Tasks};
use crate::store::{Airing, ChannelId, Counts, EventKind, Loc, Position, Store, StreamId};

pub use room::Audience;
use room::Shard;

/// How often changes are published.
const TICK: Duration = Duration::from_millis(250);
/// How often they are written to the database.
const WRITE: Duration = Duration::from_secs(1);
const SHARDS: usize = 64;
/// For how long a report may have waited for us, in milliseconds.
const LONGEST_WAIT: u64 = 60_000;

/// Whom a request for a playlist counts as.
#[derive(Hash)]
pub enum Session<'a> {
    /// Whoever holds the token of a `startPlayback`.
    Token(&'a [u8]),
    /// Whoever comes from that address with that player.
    Player {
        /// As nginx saw it.
        address: &'a [u8],
        /// The User-Agent.
        agent: &'a [u8],
    },
    /// An RTMP player's connection.
    Rtmp {
        /// The media node.
        node: &'a str,
        /// nginx's number for it.
        connection: i64,
    },
}

/// The presence of viewers; cloned freely.
#[derive(Clone)]
pub struct Presence(Arc<Inner>);

struct Inner {
    shards: [Mutex<Shard>; SHARDS],
    hasher: RandomState,
    clock: Clock,
    ttl: Duration,
}

impl Presence {
    /// Presence with nobody present.
    pub fn new(clock: Clock, ttl: Duration) -> Self {
        let shards = std::array::from_fn(|_| Mutex::default());
        Self(Arc::new(Inner { shards, hasher: RandomState::new(), clock, ttl }))
    }

    /// Goes on with the figures in the database, then follows the log: a channel's door opens when its stream
    /// starts and closes when it stops.
    ///
    /// # Errors
    /// When the database is away.
    pub async fn start(&self, store: Store, log: &Log, tasks: &Tasks) -> Result<(), Failure> {
        let from = store.log_end().await?;
        for (airing, counts) in store.audiences().await? {
            self.open(airing, counts);
        }
        let stop = tasks.stopping();
        tasks.keep("doors", self.clone().follow(log.clone(), from, stop.clone()));
        tasks.keep("audiences", self.clone().tell(Pace::new(TICK, stop.clone())));
        // Apart from the telling, which must not wait for a database that is away.
        tasks.keep("audience writer", self.clone().write(store, Pace::new(WRITE, stop.clone())));
        Ok(())
    }

    async fn follow(self, log: Log, from: Position, stop: CancellationToken) -> Result<(), Failure> {
        let mut position = from;
        let mut again = Pace::new(WRITE, stop.clone());
        while again.beat().await {
            let events = match log.subscribe(Some(position), Filter::default()).await {
                Ok(events) => events,
                Err(error) => {
                    tracing::warn!(%error, "presence cannot follow the log");
                    continue;
                }
            };
            let mut events = pin!(events.take_until(stop.cancelled()));
            while let Some(followed) = events.next().await {
                position = followed.position;
                self.apply(&followed.event);
            }
        }
        Ok(())
    }

    async fn tell(self, mut pace: Pace) -> Result<(), Failure> {
        while pace.beat().await {
            self.publish();
        }
        Ok(())
    }

    async fn write(self, store: Store, mut pace: Pace) -> Result<(), Failure> {
        while pace.beat().await {
            self.save(&store).await;
        }
        self.end_minute();
        self.save(&store).await;
        Ok(())
    }

    fn apply(&self, event: &crate::store::Event) {
        match event.kind {
            EventKind::Started => self.open(event.airing(), Counts::default()),
            EventKind::Stopped => self.close(event.loc, event.stream_id),
            EventKind::Interrupted | EventKind::Resumed | EventKind::Updated => {}
        }
    }

    /// Opens a channel's door for a stream. `counts` are those known of it so far. Opening twice does nothing.
    pub fn open(&self, airing: Airing, counts: Counts) {
        let (now, at) = (self.millis(), self.0.clock.now());
        self.shard(airing.loc).open(airing, counts, now, now + self.ttl_millis(), at);
    }

    /// Closes it: nobody watches what is off the air.
    pub fn close(&self, loc: Loc, stream: StreamId) {
        self.shard(loc).close(loc, stream);
    }

    /// A session asked for the playlist. Off the air nobody is counted.
    pub fn touch(&self, loc: Loc, session: &Session<'_>) {
        let key = self.0.hasher.hash_one(session);
        let expiry = self.millis() + self.ttl_millis();
        self.shard(loc).touch(loc, key, expiry);
    }

    /// A session asked for the playlist at a time of day, in milliseconds since 1970, that we hear of only now: we may
    /// have been without a processor, or stopped. It counts from then, and not at all once its time is over. Says how
    /// long it has waited.
    pub fn touch_at(&self, loc: Loc, session: &Session<'_>, at: i64) -> Duration {
        let age = u64::try_from(self.0.clock.now().timestamp_millis() - at).unwrap_or(0);
        // Nothing waits for so long: the clocks differ, or somebody has set one.
        let age = if age > LONGEST_WAIT { 0 } else { age };
        if age < self.ttl_millis() {
            let key = self.0.hasher.hash_one(session);
            let expiry = (self.millis() + self.ttl_millis()).saturating_sub(age);
            self.shard(loc).touch(loc, key, expiry);
        }
        Duration::from_millis(age)
    }

    /// A session said that it leaves.
    pub fn leave(&self, loc: Loc, session: &Session<'_>) {
        let key = self.0.hasher.hash_one(session);
        self.shard(loc).leave(loc, key);
    }

    /// The figures of the stream on the air at `loc`.
    pub fn counts(&self, loc: Loc) -> Option<(StreamId, ChannelId, Counts)> {
        self.shard(loc).counts(loc)
    }

    /// Whether what is on the air at `loc`, if anything is, is for everybody.
    pub fn is_public(&self, loc: Loc) -> bool {
        self.shard(loc).is_public(loc)
    }

    /// Whether a stream is on the air at `loc`.
    pub fn is_on_the_air(&self, loc: Loc) -> bool {
        self.counts(loc).is_some()
    }

    /// The channels on the air.
    pub fn on_the_air(&self) -> Vec<Loc> {
        self.0.shards.iter().flat_map(|shard| lock(shard).on_the_air()).collect()
    }

    /// How many streams are on the air, and how many sessions watch them.
    pub fn size(&self) -> (u32, i32) {
        let sizes = self.0.shards.iter().map(|shard| lock(shard).size());
        sizes.fold((0, 0), |all, shard| (all.0 + shard.0, all.1 + shard.1))
    }

    /// The audience at `loc`, now and whenever it changes; a slow reader finds the newest.
    pub fn watch(&self, loc: Loc) -> watch::Receiver<Audience> {
        let at = self.0.clock.now();
        self.shard(loc).watch(loc, at)
    }

    /// Lets go of sessions whose time is over and publishes what has changed. The one task of presence calls it
    /// every quarter of a second; so do tests.
    pub fn publish(&self) {
        let (now, at) = (self.millis(), self.0.clock.now());
        self.0.shards.iter().for_each(|shard| lock(shard).publish(now, at));
    }

    /// Writes to the database what has changed since the last time. A failure is logged and tried again with the
    /// next write.
    pub async fn save(&self, store: &Store) {
        self.save_minutes(store).await;
        let taken = self.0.shards.iter().flat_map(|shard| lock(shard).take_unsaved());
        let unsaved: Vec<_> = taken.collect();
        if unsaved.is_empty() {
            return;
        }
        let written = store.write_counts(&unsaved).await;
        let outcome = if written.is_ok() { "written" } else { "failed" };
        metrics::counter!("tally_count_writes_total", "outcome" => outcome).increment(1);
        if let Err(error) = written {
            tracing::warn!(%error, "the audiences cannot be written");
            self.0.shards.iter().for_each(|shard| lock(shard).mark_all_unsaved());
        }
    }

    fn shard(&self, loc: Loc) -> MutexGuard<'_, Shard> {
        // Addresses are random, so their last byte spreads them.
        lock(&self.0.shards[usize::from(loc.0.as_bytes()[15]) % SHARDS])
    }

    fn millis(&self) -> u64 {
        u64::try_from(self.0.clock.elapsed().as_millis()).unwrap_or(u64::MAX / 2)
    }

    fn ttl_millis(&self) -> u64 {
        u64::try_from(self.0.ttl.as_millis()).unwrap_or(u64::MAX / 4)
    }
}

fn lock(shard: &Mutex<Shard>) -> MutexGuard<'_, Shard> {
    shard.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests;
