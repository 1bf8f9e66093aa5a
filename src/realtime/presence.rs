//! Who is watching, in memory: any request for a playlist touches a session, and a session that is not touched for
//! the time to live is gone. No database is on that path and no lock is held across an await.
//!
//! Counts are published conflated, four times a second at the most, and written to the database once a second. A
//! crash loses the sessions, not the figures: those come back from the database, and the sessions that reappear
//! within the time to live are taken for the ones that were counted.

use std::collections::HashMap;
use std::hash::{BuildHasher, Hash, RandomState};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use chrono::{DateTime, Utc};
use futures_util::stream::{BoxStream, StreamExt};
use tokio::sync::watch;
use tokio::time::{MissedTickBehavior, interval};

use super::log::{Filter, Followed, Log};
use crate::ambient::Clock;
use crate::lifecycle::{Failure, Tasks};
use crate::store::{ChannelId, Counts, EventKind, Loc, Position, Store, StreamId};

/// How often changes are published.
const TICK: Duration = Duration::from_millis(250);
/// Every so many ticks they are written to the database.
const TICKS_A_WRITE: u32 = 4;
const SHARDS: usize = 64;

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

/// The audience of a channel at a moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Audience {
    /// Sessions now; 0 off the air.
    pub current: i32,
    /// Sessions of the present or the last stream so far.
    pub total: i64,
    /// As of when.
    pub at: DateTime<Utc>,
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

/// Some of the channels, and a wheel of seconds that says which sessions to look at when.
#[derive(Default)]
struct Shard {
    rooms: HashMap<Loc, Room>,
    wheel: HashMap<u64, Vec<(Loc, u64)>>,
    /// The second up to which the wheel has been turned.
    turned: u64,
    changed: Vec<Loc>,
}

struct Room {
    on_the_air: Option<(StreamId, ChannelId)>,
    /// Every session of this stream, by the fingerprint of its key: when it expires, in milliseconds of the
    /// clock; 0 when it is gone, kept because one that comes back is no new session.
    sessions: HashMap<u64, u64>,
    counts: Counts,
    /// Sessions that were counted before a crash and have not come back yet, and until when they may.
    awaited: i32,
    awaited_until: u64,
    changed: bool,
    unsaved: bool,
    audience: watch::Sender<Audience>,
}

/// How far the log was followed, and what comes behind.
type Following = (Position, BoxStream<'static, Result<Followed, super::LogError>>);

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
        for (stream, channel, loc, counts) in store.audiences().await? {
            self.open(stream, channel, loc, counts);
        }
        let events = log.subscribe(Some(from), Filter::default()).await?.boxed();
        let following = (from, events);
        tasks.keep("presence", self.clone().keep(store, log.clone(), following, tasks.stopping().clone()));
        Ok(())
    }

    async fn keep(
        self,
        store: Store,
        log: Log,
        (mut position, mut events): Following,
        stop: tokio_util::sync::CancellationToken,
    ) -> Result<(), Failure> {
        let mut tick = interval(TICK);
        tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut ticks = 0_u32;
        loop {
            tokio::select! {
                () = stop.cancelled() => break,
                _ = tick.tick() => {
                    self.publish();
                    ticks = ticks.wrapping_add(1);
                    if ticks.is_multiple_of(TICKS_A_WRITE) {
                        self.save(&store).await;
                    }
                }
                event = events.next() => match event {
                    Some(Ok(followed)) => {
                        position = followed.position;
                        self.apply(&followed.event);
                    }
                    // The database was away for a moment: go on from the last event seen.
                    failed => {
                        tracing::warn!(?failed, "presence lost the log");
                        tick.tick().await;
                        if let Ok(again) = log.subscribe(Some(position), Filter::default()).await {
                            events = again.boxed();
                        }
                    }
                },
            }
        }
        self.save(&store).await;
        Ok(())
    }

    fn apply(&self, event: &crate::store::Event) {
        match event.kind {
            EventKind::Started => self.open(event.stream_id, event.channel_id, event.loc, Counts::default()),
            EventKind::Stopped => self.close(event.loc, event.stream_id),
            EventKind::Interrupted | EventKind::Resumed | EventKind::Updated => {}
        }
    }

    /// Opens a channel's door for a stream. `counts` are those known of it so far. Opening twice does nothing.
    pub fn open(&self, stream: StreamId, channel: ChannelId, loc: Loc, counts: Counts) {
        let until = self.millis() + self.ttl_millis();
        let at = self.0.clock.now();
        let mut shard = self.shard(loc);
        let room = shard.rooms.entry(loc).or_insert_with(|| Room::new(at));
        if room.on_the_air != Some((stream, channel)) {
            room.on_the_air = Some((stream, channel));
            room.sessions = HashMap::new();
            room.counts = counts;
            room.awaited = counts.current;
            room.awaited_until = until;
            room.publish(at);
            shard.note(loc);
        }
    }

    /// Closes it: nobody watches what is off the air.
    pub fn close(&self, loc: Loc, stream: StreamId) {
        let mut shard = self.shard(loc);
        let Some(room) = shard.rooms.get_mut(&loc) else { return };
        if room.on_the_air.is_some_and(|(open, _)| open == stream) {
            room.on_the_air = None;
            room.sessions = HashMap::new();
            room.awaited = 0;
            room.counts.current = 0;
            shard.note(loc);
        }
    }

    /// A session asked for the playlist. Off the air nobody is counted.
    pub fn touch(&self, loc: Loc, session: &Session<'_>) {
        let key = self.0.hasher.hash_one(session);
        let expiry = self.millis() + self.ttl_millis();
        let mut shard = self.shard(loc);
        let Some(room) = shard.rooms.get_mut(&loc).filter(|room| room.on_the_air.is_some()) else { return };
        match room.sessions.get_mut(&key) {
            Some(expires) if *expires > 0 => *expires = expiry,
            known => {
                let returns = known.is_some();
                room.sessions.insert(key, expiry);
                room.join(returns);
                shard.note(loc);
                shard.wheel.entry(second_after(expiry)).or_default().push((loc, key));
            }
        }
    }

    /// A session said that it leaves.
    pub fn leave(&self, loc: Loc, session: &Session<'_>) {
        let key = self.0.hasher.hash_one(session);
        let mut shard = self.shard(loc);
        let Some(room) = shard.rooms.get_mut(&loc) else { return };
        if room.sessions.get_mut(&key).is_some_and(|expires| std::mem::take(expires) > 0) {
            room.counts.current -= 1;
            shard.note(loc);
        }
    }

    /// The figures of the stream on the air at `loc`.
    pub fn counts(&self, loc: Loc) -> Option<(StreamId, ChannelId, Counts)> {
        let shard = self.shard(loc);
        let room = shard.rooms.get(&loc)?;
        room.on_the_air.map(|(stream, channel)| (stream, channel, room.counts))
    }

    /// Whether a stream is on the air at `loc`.
    pub fn is_on_the_air(&self, loc: Loc) -> bool {
        self.shard(loc).rooms.get(&loc).is_some_and(|room| room.on_the_air.is_some())
    }

    /// The channels on the air.
    pub fn on_the_air(&self) -> Vec<Loc> {
        let locked = self.0.shards.iter().map(lock);
        let open = |shard: MutexGuard<'_, Shard>| -> Vec<Loc> {
            let rooms = shard.rooms.iter().filter(|(_, room)| room.on_the_air.is_some());
            rooms.map(|(loc, _)| *loc).collect()
        };
        locked.flat_map(open).collect()
    }

    /// The audience at `loc`, now and whenever it changes; a slow reader finds the newest.
    pub fn watch(&self, loc: Loc) -> watch::Receiver<Audience> {
        let at = self.0.clock.now();
        let mut shard = self.shard(loc);
        let room = shard.rooms.entry(loc).or_insert_with(|| Room::new(at));
        // As it was published last: news waits for the tick, however many come to watch before it.
        let mut audience = room.audience.subscribe();
        audience.mark_changed();
        audience
    }

    /// Lets go of sessions whose time is over and publishes what has changed. The one task of presence calls it
    /// every quarter of a second; so do tests.
    pub fn publish(&self) {
        let (now, at) = (self.millis(), self.0.clock.now());
        for shard in &self.0.shards {
            let mut shard = lock(shard);
            shard.expire(now);
            for loc in std::mem::take(&mut shard.changed) {
                if let Some(room) = shard.rooms.get_mut(&loc) {
                    room.publish(at);
                }
            }
        }
    }

    /// Writes to the database what has changed since the last time. A failure is logged and tried again with the
    /// next write.
    pub async fn save(&self, store: &Store) {
        let mut unsaved = Vec::new();
        for shard in &self.0.shards {
            let mut shard = lock(shard);
            shard.rooms.retain(|_, room| room.unsaved || room.on_the_air.is_some() || room.is_watched());
            for room in shard.rooms.values_mut() {
                if let (true, Some((stream, channel))) = (std::mem::take(&mut room.unsaved), room.on_the_air)
                {
                    unsaved.push((stream, channel, room.counts));
                }
            }
        }
        if unsaved.is_empty() {
            return;
        }
        if let Err(error) = store.write_counts(&unsaved).await {
            tracing::warn!(%error, "the audiences cannot be written");
            self.mark_all_unsaved();
        }
    }

    fn mark_all_unsaved(&self) {
        for shard in &self.0.shards {
            lock(shard).rooms.values_mut().for_each(|room| room.unsaved = true);
        }
    }

    fn shard(&self, loc: Loc) -> MutexGuard<'_, Shard> {
        // Addresses are random, so their last byte spreads them.
        lock(&self.0.shards[usize::from(loc.0.as_bytes()[15]) % SHARDS])
    }

    fn millis(&self) -> u64 {
        // From 1, since 0 stands for a session that is gone.
        u64::try_from(self.0.clock.elapsed().as_millis()).unwrap_or(u64::MAX / 2) + 1
    }

    fn ttl_millis(&self) -> u64 {
        u64::try_from(self.0.ttl.as_millis()).unwrap_or(u64::MAX / 4)
    }
}

fn lock(shard: &Mutex<Shard>) -> MutexGuard<'_, Shard> {
    shard.lock().unwrap_or_else(PoisonError::into_inner)
}

fn second_after(millis: u64) -> u64 {
    millis / 1000 + 1
}

impl Shard {
    fn note(&mut self, loc: Loc) {
        if let Some(room) = self.rooms.get_mut(&loc) {
            room.unsaved = true;
            if !std::mem::replace(&mut room.changed, true) {
                self.changed.push(loc);
            }
        }
    }

    /// Turns the wheel to `now`. A session that was touched meanwhile is put where it will expire instead.
    fn expire(&mut self, now: u64) {
        let second = now / 1000;
        if self.wheel.is_empty() {
            self.turned = second;
        }
        while self.turned < second {
            self.turned += 1;
            for (loc, key) in self.wheel.remove(&self.turned).unwrap_or_default() {
                let Some(room) = self.rooms.get_mut(&loc) else { continue };
                match room.sessions.get_mut(&key) {
                    Some(expires) if *expires > now => {
                        let later = second_after(*expires);
                        self.wheel.entry(later).or_default().push((loc, key));
                    }
                    Some(expires) if *expires > 0 => {
                        *expires = 0;
                        room.counts.current -= 1;
                        self.note(loc);
                    }
                    _ => {}
                }
            }
        }
        let over: Vec<Loc> =
            self.rooms.iter_mut().filter_map(|(loc, room)| room.give_up(now).then_some(*loc)).collect();
        over.into_iter().for_each(|loc| self.note(loc));
    }
}

impl Room {
    fn new(at: DateTime<Utc>) -> Self {
        Self {
            on_the_air: None,
            sessions: HashMap::new(),
            counts: Counts::default(),
            awaited: 0,
            awaited_until: 0,
            changed: false,
            unsaved: false,
            audience: watch::channel(Audience { current: 0, total: 0, at }).0,
        }
    }

    /// Counts one more session, unless it was counted before a crash.
    fn join(&mut self, returns: bool) {
        if self.awaited > 0 && !returns {
            self.awaited -= 1;
            return;
        }
        self.counts.current += 1;
        self.counts.peak = self.counts.peak.max(self.counts.current);
        self.counts.total += i64::from(!returns);
    }

    /// Waits no longer for sessions from before a crash; whether that changes the count.
    fn give_up(&mut self, now: u64) -> bool {
        let over = self.awaited > 0 && self.awaited_until <= now;
        if over {
            self.counts.current -= std::mem::take(&mut self.awaited);
        }
        over
    }

    fn publish(&mut self, at: DateTime<Utc>) {
        self.changed = false;
        let Counts { current, total, .. } = self.counts;
        self.audience.send_if_modified(|audience| {
            let news = (audience.current, audience.total) != (current, total);
            if news {
                *audience = Audience { current, total, at };
            }
            news
        });
    }

    fn is_watched(&self) -> bool {
        self.audience.receiver_count() > 0
    }
}

#[cfg(test)]
mod tests;
