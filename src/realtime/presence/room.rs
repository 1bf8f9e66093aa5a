//! The rooms of presence, one a channel, by shards that each have a lock of their own.

use std::collections::{HashMap, HashSet};
use std::hash::{BuildHasherDefault, Hasher};

use chrono::{DateTime, Utc};
use tokio::sync::watch;

use super::minutes::{Minute, minute_of};
use crate::store::{Airing, ChannelId, Counts, Loc, StreamId};

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

/// Some of the channels.
#[derive(Default)]
pub(super) struct Shard {
    rooms: HashMap<Loc, Room>,
    changed: Vec<Loc>,
    /// The present minute, as soon as there was a tick in it.
    minute: Option<DateTime<Utc>>,
    /// Those that are over and not written yet.
    over: Vec<Minute>,
}

struct Room {
    on_the_air: Option<Airing>,
    /// The sessions that are here, by the fingerprints of their keys, and until when: in milliseconds of the clock.
    /// Which of them is next is not kept, for that would take more room than they do and be wrong with each touch:
    /// all are looked at, but only when somebody may have to go.
    here: HashMap<u64, u64, BuildHasherDefault<Fingerprint>>,
    /// Nobody's time is over before then.
    quiet_until: u64,
    /// Those that were here during this stream: one that comes back is no new session.
    gone: HashSet<u64, BuildHasherDefault<Fingerprint>>,
    counts: Counts,
    /// The most at one time in the present minute, as it was published.
    most: i32,
    /// Sessions that were counted before a crash and have not come back yet, and until when they are taken for present.
    awaited: i32,
    awaited_until: u64,
    /// Those that were waited for in vain: who comes until then is taken for one of them, and not for a new session.
    missed: i32,
    missed_until: u64,
    changed: bool,
    unsaved: bool,
    audience: watch::Sender<Audience>,
}

/// How long a room is left in peace after all of its sessions were looked at, in milliseconds.
const REST: u64 = 1000;
/// How long sessions that were counted before a crash are taken for present, in milliseconds. Players ask each second, most
/// of them; who was gone by the crash must not count for the time to live once more.
const WELCOME: u64 = 2000;

/// A fingerprint is a keyed hash already; it is spread as well as can be.
#[derive(Default)]
struct Fingerprint(u64);

impl Hasher for Fingerprint {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write_u64(&mut self, fingerprint: u64) {
        self.0 = fingerprint;
    }

    fn write(&mut self, bytes: &[u8]) {
        let step = |hash: u64, byte: &u8| hash.rotate_left(8) ^ u64::from(*byte);
        self.0 = bytes.iter().fold(self.0, step);
    }
}

impl Shard {
    /// How many streams are on the air here, and how many sessions watch them.
    pub(super) fn size(&self) -> (u32, i32) {
        let on_the_air = self.rooms.values().filter(|room| room.on_the_air.is_some());
        on_the_air.fold((0, 0), |(streams, viewers), room| (streams + 1, viewers + room.counts.current))
    }

    /// Opens a room for a stream with the figures known of it: the sessions that are in them are taken for present for a
    /// moment, and may come back until `until`.
    pub(super) fn open(&mut self, airing: Airing, counts: Counts, now: u64, until: u64, at: DateTime<Utc>) {
        let room = self.rooms.entry(airing.loc).or_insert_with(|| Room::new(at));
        if room.on_the_air != Some(airing) {
            room.on_the_air = Some(airing);
            room.empty();
            room.counts = counts;
            room.most = counts.current;
            room.awaited = counts.current;
            room.awaited_until = until.min(now + WELCOME);
            room.missed = 0;
            room.missed_until = until;
            room.publish(at);
            self.note(airing.loc);
        }
    }

    /// Sends everybody out, if it is that stream that the room is open for.
    pub(super) fn close(&mut self, loc: Loc, stream: StreamId) {
        let Some(room) = self.rooms.get_mut(&loc) else { return };
        if room.on_the_air.is_some_and(|airing| airing.stream == stream) {
            let most = room.most.max(room.counts.current);
            self.over.extend(self.minute.map(|at| Minute { stream, at, most }));
            room.on_the_air = None;
            room.empty();
            (room.awaited, room.missed) = (0, 0);
            room.counts.current = 0;
            self.note(loc);
        }
    }

    /// The session `key` is here until `expiry`, in an open room; what is known of it already is not made shorter.
    pub(super) fn touch(&mut self, loc: Loc, key: u64, expiry: u64) {
        let Some(room) = self.rooms.get_mut(&loc).filter(|room| room.on_the_air.is_some()) else { return };
        if let Some(until) = room.here.get_mut(&key) {
            *until = expiry.max(*until);
        } else {
            room.join(key, expiry);
            self.note(loc);
        }
    }

    /// The session `key` goes.
    pub(super) fn leave(&mut self, loc: Loc, key: u64) {
        let Some(room) = self.rooms.get_mut(&loc) else { return };
        if room.here.remove(&key).is_some() {
            room.gone.insert(key);
            room.counts.current -= 1;
            self.note(loc);
        }
    }

    /// What a room is open for, and its figures.
    pub(super) fn counts(&self, loc: Loc) -> Option<(StreamId, ChannelId, Counts)> {
        let room = self.rooms.get(&loc)?;
        room.on_the_air.map(|airing| (airing.stream, airing.channel, room.counts))
    }

    /// See [`super::Presence::is_public`].
    pub(super) fn is_public(&self, loc: Loc) -> bool {
        let open = self.rooms.get(&loc).and_then(|room| room.on_the_air);
        open.is_some_and(|airing| !airing.protected)
    }

    /// The rooms that are open.
    pub(super) fn on_the_air(&self) -> Vec<Loc> {
        let open = self.rooms.iter().filter(|(_, room)| room.on_the_air.is_some());
        open.map(|(loc, _)| *loc).collect()
    }

    /// See [`super::Presence::watch`].
    pub(super) fn watch(&mut self, loc: Loc, at: DateTime<Utc>) -> watch::Receiver<Audience> {
        let room = self.rooms.entry(loc).or_insert_with(|| Room::new(at));
        // As it was published last: news waits for the tick, however many come to watch before it.
        let mut audience = room.audience.subscribe();
        audience.mark_changed();
        audience
    }

    /// Lets go of the sessions whose time is over and publishes what has changed.
    pub(super) fn publish(&mut self, now: u64, at: DateTime<Utc>) {
        self.expire(now);
        for loc in std::mem::take(&mut self.changed) {
            if let Some(room) = self.rooms.get_mut(&loc) {
                room.publish(at);
            }
        }
        let minute = minute_of(at);
        if self.minute != Some(minute) {
            self.end_minute();
            self.minute = Some(minute);
        }
    }

    /// Puts by what is to be kept of the present minute, and begins another.
    pub(super) fn end_minute(&mut self) {
        let Some(at) = self.minute else { return };
        let ended = self.rooms.values_mut().filter_map(|room| {
            let most = std::mem::replace(&mut room.most, room.counts.current);
            room.on_the_air.map(|airing| Minute { stream: airing.stream, at, most })
        });
        self.over.extend(ended);
    }

    /// Hands out the minutes that are over.
    pub(super) fn take_minutes(&mut self) -> Vec<Minute> {
        std::mem::take(&mut self.over)
    }

    /// Holds these until they are taken again.
    pub(super) fn wait_with(&mut self, minutes: impl Iterator<Item = Minute>) {
        self.over.extend(minutes);
    }

    /// Hands out what has changed since the last time, and forgets rooms that nobody needs.
    pub(super) fn take_unsaved(&mut self) -> Vec<(StreamId, ChannelId, Counts)> {
        self.rooms.retain(|_, room| room.unsaved || room.on_the_air.is_some() || room.is_watched());
        let changed = self.rooms.values_mut().filter_map(|room| {
            let unsaved = std::mem::take(&mut room.unsaved);
            room.on_the_air.filter(|_| unsaved).map(|airing| (airing.stream, airing.channel, room.counts))
        });
        changed.collect()
    }

    pub(super) fn mark_all_unsaved(&mut self) {
        self.rooms.values_mut().for_each(|room| room.unsaved = true);
    }

    fn note(&mut self, loc: Loc) {
        if let Some(room) = self.rooms.get_mut(&loc) {
            room.unsaved = true;
            if !std::mem::replace(&mut room.changed, true) {
                self.changed.push(loc);
            }
        }
    }

    fn expire(&mut self, now: u64) {
        let over = |(loc, room): (&Loc, &mut Room)| (room.let_go(now) | room.give_up(now)).then_some(*loc);
        let over: Vec<Loc> = self.rooms.iter_mut().filter_map(over).collect();
        over.into_iter().for_each(|loc| self.note(loc));
    }
}

impl Room {
    fn new(at: DateTime<Utc>) -> Self {
        Self {
            on_the_air: None,
            here: HashMap::default(),
            quiet_until: u64::MAX,
            gone: HashSet::default(),
            counts: Counts::default(),
            most: 0,
            awaited: 0,
            awaited_until: 0,
            missed: 0,
            missed_until: 0,
            changed: false,
            unsaved: false,
            audience: watch::channel(Audience { current: 0, total: 0, at }).0,
        }
    }

    fn empty(&mut self) {
        (self.here, self.gone) = Default::default();
        self.quiet_until = u64::MAX;
    }

    /// One more is here, and counts unless it was counted before a crash.
    fn join(&mut self, key: u64, expiry: u64) {
        self.here.insert(key, expiry);
        self.quiet_until = self.quiet_until.min(expiry);
        let returns = self.gone.remove(&key);
        if self.awaited > 0 && !returns {
            self.awaited -= 1;
            return;
        }
        let missed = self.missed > 0 && !returns;
        self.missed -= i32::from(missed);
        self.counts.current += 1;
        self.counts.peak = self.counts.peak.max(self.counts.current);
        self.counts.total += i64::from(!returns && !missed);
    }

    /// Lets go of whose time is over, once a second at the most; whether there was anybody.
    fn let_go(&mut self, now: u64) -> bool {
        if self.quiet_until > now {
            return false;
        }
        self.quiet_until = u64::MAX;
        let (mut left, gone) = (0, &mut self.gone);
        self.here.retain(|key, until| {
            let stays = *until > now;
            if stays {
                self.quiet_until = self.quiet_until.min(*until);
            } else {
                gone.insert(*key);
                left += 1;
            }
            stays
        });
        if self.here.len() < self.here.capacity() / 4 {
            self.here.shrink_to(self.here.len() * 2);
        }
        self.quiet_until = self.quiet_until.max(now + REST);
        self.counts.current -= left;
        left > 0
    }

    /// Waits no longer for sessions from before a crash; whether that changes the count.
    fn give_up(&mut self, now: u64) -> bool {
        let over = self.awaited > 0 && self.awaited_until <= now;
        if over {
            self.missed = std::mem::take(&mut self.awaited);
            self.counts.current -= self.missed;
        }
        if self.missed_until <= now {
            self.missed = 0;
        }
        over
    }

    fn publish(&mut self, at: DateTime<Utc>) {
        self.changed = false;
        let Counts { current, total, .. } = self.counts;
        self.most = self.most.max(current);
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
