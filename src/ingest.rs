//! The life of a stream from outside: nginx-rtmp's callbacks, typed; the transitions that they ask for; and the
//! reconciliation of what we say with what nginx really carries. Callbacks come late, twice or never, so they are
//! hints: leases and the reconciler are what makes it true.

mod callback;
mod crowd;
mod door;
mod guesses;
mod incumbent;
mod nginx;
mod reconcile;
mod unwritten;

use std::time::Duration;

use chrono::{DateTime, Utc};

use self::crowd::Crowd;
use self::guesses::Guesses;
use self::incumbent::{Incumbents, interrupted};
use self::unwritten::Unwritten;
use crate::ambient::{Chance, Clock};
use crate::auth::{Action, Admission, Keyring, StreamKey, Viewer};
use crate::lifecycle::Tasks;
use crate::realtime::{Presence, Session};
use crate::store::{
    Attempt, Began, Channel, ChannelId, Connection, Deed, EndedStream, Loc, Once, Publishing, Removed,
    Renewed, Report, Role, Sealed, Standing, StopReason, Store, StoreError, UserId,
};

pub use callback::Callback;
pub use door::routes;
pub use nginx::{Carried, Carrier, Nginx, NginxError};
pub use reconcile::Sweeper;

/// How long a stream counts as live without a word from nginx, which gives one every 5 s: two may be lost.
pub const LEASE: Duration = Duration::from_secs(12);
/// A channel that was taken off the air refuses publishers for the reconnect window, and at least for this long:
/// OBS comes back by itself after 2 s, and after 3 s more.
const LEAST_HOLD: Duration = Duration::from_secs(10);
/// So many reports without a new picture or sound, and the publisher is cut off.
const STALLS: i32 = 2;

/// The one door to a stream's life; cloned freely.
#[derive(Clone)]
pub struct Ingest {
    store: Store,
    presence: Presence,
    keyring: Keyring,
    nginx: Nginx,
    clock: Clock,
    chance: Chance,
    tasks: Tasks,
    crowd: Crowd,
    incumbents: Incumbents,
    guesses: Guesses,
    unwritten: Unwritten,
    window: Duration,
    /// How long a channel that was taken off the air refuses publishers.
    hold: Duration,
}

/// What [`Ingest`] is built of.
pub struct Parts {
    /// The database.
    pub store: Store,
    /// Who watches.
    pub presence: Presence,
    /// What opens stream keys.
    pub keyring: Keyring,
    /// The media node.
    pub nginx: Nginx,
    /// The time.
    pub clock: Clock,
    /// Ids.
    pub chance: Chance,
    /// Who runs what comes later.
    pub tasks: Tasks,
    /// How long a stream waits for its publisher.
    pub reconnect_window: Duration,
}

/// The answer to a publisher.
#[derive(Debug, PartialEq, Eq)]
pub enum Publish {
    /// Go ahead, under this name.
    As(String),
    /// No.
    Refused(Why),
}

/// Why a publisher is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Why {
    /// Its key opens nothing.
    Key,
    /// The channel's owner may not broadcast any more.
    Owner,
    /// Another publisher is on the air there.
    Busy,
    /// The channel was taken off the air a moment ago.
    Held,
}

/// The answer to an RTMP player.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Watching {
    /// It may play.
    Allowed,
    /// There is no such stream, or it is not for everybody.
    Refused,
}

/// What can fail.
#[derive(Debug, thiserror::Error)]
pub enum IngestError {
    /// The database.
    #[error(transparent)]
    Store(#[from] StoreError),
}

type Result<T> = std::result::Result<T, IngestError>;

impl Ingest {
    /// Whether nginx answers now.
    pub async fn nginx_answers(&self) -> bool {
        self.nginx.carried().await.is_ok()
    }

    /// When nginx last said what it carries.
    pub fn nginx_heard_at(&self) -> Option<DateTime<Utc>> {
        self.nginx.heard_at()
    }

    /// Puts the parts together; the sweeper is started apart.
    pub fn new(parts: Parts) -> Self {
        let Parts { store, presence, keyring, nginx, clock, chance, tasks, reconnect_window } = parts;
        let (window, hold) = (reconnect_window, reconnect_window.max(LEAST_HOLD));
        let incumbents =
            Incumbents { store: store.clone(), nginx: nginx.clone(), clock: clock.clone(), window };
        let crowd = Crowd::new(incumbents.clone(), chance.clone(), hold, &tasks);
        let (guesses, unwritten) = (Guesses::new(&clock, &chance), Unwritten::new(clock.clone()));
        Self {
            store,
            presence,
            keyring,
            nginx,
            clock,
            chance,
            tasks,
            crowd,
            incumbents,
            guesses,
            unwritten,
            window,
            hold,
        }
    }

    /// A publisher comes with a key, to the nginx worker that is said.
    ///
    /// # Errors
    /// When the database fails; then nobody may publish.
    pub async fn publish(&self, connection: Connection, worker: Option<i32>, name: &[u8]) -> Result<Publish> {
        let Some(key_hash) = self.key_hash(name) else { return Ok(Publish::Refused(Why::Key)) };
        let (loc, began) = match self.crowd.begin(&connection, worker, &key_hash).await? {
            Ok(began) => began,
            Err(why) => return Ok(Publish::Refused(why)),
        };
        tracing::info!(%loc, outcome = outcome(&began), "a publisher came");
        metrics::counter!("tally_publishers_total", "outcome" => outcome(&began)).increment(1);
        Ok(match began {
            Began::Started(it) | Began::Resumed(it) | Began::Repeated(it) => {
                Publish::As(loc.stream_name(it.protected))
            }
            Began::Busy(_) => Publish::Refused(Why::Busy),
            Began::Held => Publish::Refused(Why::Held),
            Began::Closed => Publish::Refused(Why::Key),
        })
    }

    /// A publisher reports that it is still there; false when it is to be cut off.
    ///
    /// # Errors
    /// When the database fails; then the publisher stays.
    pub async fn publisher_is_there(
        &self,
        connection: Connection,
        name: &[u8],
        media_time: i64,
    ) -> Result<bool> {
        let Some(key_hash) = self.key_hash(name) else { return Ok(false) };
        let now = self.clock.now();
        let report = Report { connection, key_hash, media_time, now, lease_until: now + LEASE };
        self.unwritten.add(&report.connection);
        let renewed = self.store.renew_lease(&report).await?;
        self.unwritten.remove(&report.connection);
        Ok(match renewed {
            Renewed::Live | Renewed::Resumed => true,
            Renewed::Stalled(times) => times < STALLS,
            Renewed::Unknown => false,
        })
    }

    /// A publisher is said to be gone. Its stream waits for it, unless this is not the stream's publisher: one
    /// that was refused leaves word as well.
    ///
    /// # Errors
    /// When the database fails; then the lease runs out instead.
    pub async fn publisher_gone(&self, connection: &Connection, name: &[u8]) -> Result<()> {
        match self.key_hash(name) {
            Some(key_hash) => {
                let now = self.clock.now();
                let until = now + self.window;
                if self.store.interrupt_stream(connection, &key_hash, now, until).await? {
                    interrupted(connection);
                }
                Ok(())
            }
            None => Ok(()),
        }
    }

    /// An RTMP player asks for a stream by its channel's address.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn play(&self, connection: &Connection, name: &[u8]) -> Result<Watching> {
        let Some(loc) = loc_of(name) else { return Ok(Watching::Refused) };
        let channel = self.store.channel_by_loc(loc).await?;
        let allowed = channel
            .is_some_and(|channel| Viewer::Anonymous.may(Action::Watch(&channel, Admission::Open)).is_ok());
        if !allowed {
            return Ok(Watching::Refused);
        }
        self.player_is_there(connection, name);
        Ok(Watching::Allowed)
    }

    /// An RTMP player is still there.
    pub fn player_is_there(&self, connection: &Connection, name: &[u8]) {
        if let Some(loc) = loc_of(name) {
            self.presence.touch(loc, &session(connection));
        }
    }

    /// An RTMP player has gone.
    pub fn player_gone(&self, connection: &Connection, name: &[u8]) {
        if let Some(loc) = loc_of(name) {
            self.presence.leave(loc, &session(connection));
        }
    }

    /// Takes a channel off the air and holds its publishers off for the reconnect window; `None` when there is
    /// no such channel.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn end_stream(
        &self,
        channel: &Channel,
        reason: StopReason,
        deed: &Deed,
    ) -> Result<Option<Removed>> {
        self.save_counts(channel.loc).await?;
        let held_until = deed.at() + self.hold;
        let removed = self.store.take_off_the_air(channel.id, reason, held_until, deed).await?;
        Ok(self.cut_off(removed))
    }

    /// Gives a channel another key, once for all of the same attempt; whoever broadcasts with the old one is cut
    /// off.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn regenerate_key(
        &self,
        channel: &Channel,
        attempt: Option<&Attempt<'_>>,
        deed: &Deed,
    ) -> Result<Once<Option<Removed>>> {
        self.save_counts(channel.loc).await?;
        let (_, sealed) = self.new_key(channel.id);
        let replaced = self.store.replace_key(channel.id, &sealed, attempt, deed).await?;
        Ok(match replaced {
            Once::Now(removed) => Once::Now(self.cut_off(removed)),
            before => before,
        })
    }

    /// Deletes a channel and cuts its publisher off.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn delete_channel(&self, channel: &Channel, deed: &Deed) -> Result<Option<Removed>> {
        self.save_counts(channel.loc).await?;
        let removed = self.store.delete_channel(channel.id, deed).await?;
        Ok(self.cut_off(removed))
    }

    /// Shuts a user out, and cuts off whoever broadcasts into the user's channels.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn suspend_user(&self, user: UserId, reason: &str, deed: &Deed) -> Result<Standing> {
        self.save_counts_of(user).await?;
        let (standing, ended) = self.store.suspend(user, reason, deed).await?;
        ended.iter().for_each(|ended| self.cut(ended));
        Ok(standing)
    }

    /// Gives a user another role, and cuts off whoever broadcasts into the user's channels if that may not be any more.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn set_role(&self, user: UserId, role: Role, deed: &Deed) -> Result<Standing> {
        self.save_counts_of(user).await?;
        let (standing, ended) = self.store.set_role(user, role, deed).await?;
        ended.iter().for_each(|ended| self.cut(ended));
        Ok(standing)
    }

    /// A key for a channel, and the form in which it is kept.
    pub fn new_key(&self, channel: ChannelId) -> (StreamKey, Sealed) {
        let key = StreamKey::new(&self.chance);
        let sealed = self.keyring.seal(&key, channel);
        (key, sealed)
    }

    /// Ends a stream whose publisher did not come back.
    async fn end_overdue(&self, publishing: &Publishing, now: DateTime<Utc>) -> Result<Option<EndedStream>> {
        self.save_counts(publishing.loc).await?;
        let ended = self.store.end_overdue(publishing, now).await?;
        if ended.is_some() {
            tracing::info!(loc = %publishing.loc, "a stream ended: its publisher did not come back");
        }
        Ok(ended)
    }

    /// What presence counted up to now belongs to the stream before it ends.
    async fn save_counts(&self, loc: Loc) -> Result<()> {
        if let Some(counts) = self.presence.counts(loc) {
            self.store.write_counts(&[counts]).await?;
        }
        Ok(())
    }

    /// The same for all channels of a user.
    async fn save_counts_of(&self, user: UserId) -> Result<()> {
        for loc in self.store.locs_on_the_air(user).await? {
            self.save_counts(loc).await?;
        }
        Ok(())
    }

    fn key_hash(&self, name: &[u8]) -> Option<Vec<u8>> {
        let key: StreamKey = std::str::from_utf8(name).ok()?.parse().ok()?;
        Some(self.keyring.lookup(&key))
    }
}

fn session(connection: &Connection) -> Session<'_> {
    Session::Rtmp { node: &connection.node, connection: connection.number }
}

fn loc_of(name: &[u8]) -> Option<Loc> {
    // Only the form that we give out: a protected stream's name is none, and no second spelling opens anything.
    let loc = uuid::Uuid::try_parse_ascii(name).ok()?;
    (loc.to_string().as_bytes() == name).then_some(Loc(loc))
}

fn outcome(began: &Began) -> &'static str {
    match began {
        Began::Started(_) => "started",
        Began::Resumed(_) => "resumed",
        Began::Repeated(_) => "repeated",
        Began::Busy(_) => "busy",
        Began::Held => "held",
        Began::Closed => "closed",
    }
}
