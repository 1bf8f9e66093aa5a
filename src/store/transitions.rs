//! The life of a stream: begin, interrupt, resume, end. Each transition is idempotent, checks the state that it
//! finds under a lock, and writes its event in the same transaction; so whatever nginx reports late, twice or
//! never, a stream has one start and one stop.
//!
//! Locks are taken in one order everywhere: an attempt's key, the channel's row, the stream's row, the log's row.

use chrono::{DateTime, Utc};
use diesel::prelude::*;
use diesel::sql_types::Timestamptz;
use diesel_async::{AsyncConnection, AsyncPgConnection, RunQueryDsl, SimpleAsyncConnection};

use super::beginnings::NewStream;
use super::channels::lock;
use super::events::{Happened, append};
use super::publishing::{Connection, Publishing, publishing_on, publishing_over};
use super::schema::{channels, streams};
use super::streams::on_the_air;
use super::{ChannelId, EventKind, Loc, Result, StopReason, Store, StreamId, StreamState, TopicId};

#[diesel::declare_sql_function]
extern "SQL" {
    /// The later of the two.
    fn greatest(a: Timestamptz, b: Timestamptz) -> Timestamptz;
}

/// A stream that has just ended.
#[derive(Clone, Debug)]
pub struct EndedStream {
    /// The stream.
    pub stream: StreamId,
    /// Its channel's address.
    pub loc: Loc,
    /// Whether it was protected.
    pub protected: bool,
    /// The last publisher's connection, which may still be open.
    pub connection: Connection,
}

/// What nginx says of a publisher while it sends.
#[derive(Clone, Debug)]
pub struct Report {
    /// Which publisher.
    pub connection: Connection,
    /// The hash of the key that it came with.
    pub key_hash: Vec<u8>,
    /// The timestamp of its last picture or sound, in milliseconds.
    pub media_time: i64,
    /// When.
    pub now: DateTime<Utc>,
    /// Until when it counts as live without another word.
    pub lease_until: DateTime<Utc>,
}

/// What came of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Renewed {
    /// The stream goes on.
    Live,
    /// It was thought to be interrupted and goes on.
    Resumed,
    /// Nothing has moved for so many reports in a row.
    Stalled(i32),
    /// No stream on the air belongs to that connection and key.
    Unknown,
}

impl Store {
    /// nginx reports that a publisher is still sending.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn renew_lease(&self, report: &Report) -> Result<Renewed> {
        let mut connection = self.connection().await?;
        connection
            .transaction(async |connection| {
                let found = publishing_over(connection, &report.connection, &report.key_hash).await?;
                let Some(id) = found else { return Ok(Renewed::Unknown) };
                let locked = on_the_air().filter(streams::id.eq(id));
                let found = locked
                    .select((streams::state, streams::media_time, streams::stalls, streams::worker))
                    .for_no_key_update()
                    .first::<(StreamState, i64, i32, Option<i32>)>(connection)
                    .await
                    .optional()?;
                let Some((state, last, stalls, worker)) = found else { return Ok(Renewed::Unknown) };
                let stalls = if report.media_time == last { stalls + 1 } else { 0 };
                let progress = (streams::media_time.eq(report.media_time), streams::stalls.eq(stalls));
                let row = diesel::update(streams::table.find(id));
                if state == StreamState::Interrupted {
                    row.set(progress).execute(connection).await?;
                    // The same connection, so the same worker: should this word have come behind its last, it is missed.
                    resume(connection, id, &report.connection, worker, report.now, report.lease_until)
                        .await?;
                    return Ok(Renewed::Resumed);
                }
                // Nothing waits for the disk because of it: one that a crash of the database forgets is said
                // again within seconds, and leases are given anew after one.
                connection.batch_execute("SET LOCAL synchronous_commit TO off").await?;
                row.set((progress, streams::deadline.eq(report.lease_until))).execute(connection).await?;
                Ok(if stalls > 0 { Renewed::Stalled(stalls) } else { Renewed::Live })
            })
            .await
    }

    /// The publisher over the connection `gone`, which came with that key, has left; its stream waits for it until
    /// `until`. False when that connection was not publishing a live stream: then nothing changes.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn interrupt_stream(
        &self,
        gone: &Connection,
        key_hash: &[u8],
        now: DateTime<Utc>,
        until: DateTime<Utc>,
    ) -> Result<bool> {
        let mut connection = self.connection().await?;
        connection
            .transaction(async |connection| match publishing_over(connection, gone, key_hash).await? {
                Some(id) => Ok(interrupt(connection, id, gone, None, now, until).await?),
                None => Ok(false),
            })
            .await
    }

    /// The publisher of a stream is held to be gone; the stream waits for it until `until`. False, and nothing
    /// changes, when anything was heard of that publisher since `seen` was read, or the stream has another one.
    ///
    /// The stream is named by its id: two may have publishers of the same number while nginx has just begun anew.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn interrupt_silent(
        &self,
        seen: &Publishing,
        now: DateTime<Utc>,
        until: DateTime<Utc>,
    ) -> Result<bool> {
        let mut connection = self.connection().await?;
        let (id, gone, unheard) = (seen.stream, &seen.connection, Some(seen.deadline));
        connection
            .transaction(async |connection| Ok(interrupt(connection, id, gone, unheard, now, until).await?))
            .await
    }

    /// Ends an interrupted stream whose window has closed by `now`. `None` when it is back, or over already.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn end_overdue(
        &self,
        publishing: &Publishing,
        now: DateTime<Utc>,
    ) -> Result<Option<EndedStream>> {
        let mut connection = self.connection().await?;
        connection
            .transaction(async |connection| {
                lock(connection, publishing.channel).await?;
                match publishing_on(connection, &[publishing.channel]).await?.pop() {
                    Some(now_there)
                        if now_there.stream == publishing.stream
                            && now_there.state == StreamState::Interrupted
                            && now_there.deadline <= now =>
                    {
                        Ok(end_on_channel(connection, publishing.channel, StopReason::PublisherGone, now)
                            .await?)
                    }
                    _ => Ok(None),
                }
            })
            .await
    }
}

/// Nginx may have begun anew and counted to the same number: this publisher's first report is a lease away.
pub(super) async fn repeat(
    connection: &mut AsyncPgConnection,
    id: StreamId,
    new: &NewStream,
) -> QueryResult<()> {
    let anew = (streams::worker.eq(new.worker), streams::stalls.eq(0), streams::deadline.eq(new.lease_until));
    diesel::update(streams::table.find(id)).set(anew).execute(connection).await?;
    Ok(())
}

pub(super) async fn resume(
    connection: &mut AsyncPgConnection,
    id: StreamId,
    publisher: &Connection,
    worker: Option<i32>,
    now: DateTime<Utc>,
    lease_until: DateTime<Utc>,
) -> QueryResult<()> {
    diesel::update(streams::table.find(id))
        .set((
            streams::state.eq(StreamState::Live),
            streams::node.eq(&publisher.node),
            streams::connection.eq(publisher.number),
            streams::worker.eq(worker),
            streams::stalls.eq(0),
            streams::deadline.eq(lease_until),
        ))
        .execute(connection)
        .await?;
    report(connection, id, EventKind::Resumed, None, now).await
}

/// The state is checked again by the update itself: whoever comes second changes nothing and reports nothing.
/// `unheard` is the deadline that the stream must still have.
async fn interrupt(
    connection: &mut AsyncPgConnection,
    id: StreamId,
    publisher: &Connection,
    unheard: Option<DateTime<Utc>>,
    now: DateTime<Utc>,
    until: DateTime<Utc>,
) -> QueryResult<bool> {
    let live = streams::table
        .find(id)
        .filter(streams::state.eq(StreamState::Live))
        .filter(streams::node.eq(&publisher.node))
        .filter(streams::connection.eq(publisher.number));
    let waiting = (streams::state.eq(StreamState::Interrupted), streams::deadline.eq(until));
    let changed = match unheard {
        None => diesel::update(live).set(waiting).execute(connection).await?,
        // Every word of a publisher gives it another deadline; an earlier one if the clock was set back. Should it be
        // heard of again, it was looked for at the wrong worker.
        Some(deadline) => {
            let silent = live.filter(streams::deadline.eq(deadline));
            let waiting = (waiting, streams::worker.eq(None::<i32>));
            diesel::update(silent).set(waiting).execute(connection).await?
        }
    };
    if changed == 0 {
        return Ok(false);
    }
    report(connection, id, EventKind::Interrupted, None, now).await?;
    Ok(true)
}

/// Ends whatever is on the air on a channel that the caller has locked.
pub(super) async fn end_on_channel(
    connection: &mut AsyncPgConnection,
    channel: ChannelId,
    reason: StopReason,
    now: DateTime<Utc>,
) -> QueryResult<Option<EndedStream>> {
    let Some(ending) = publishing_on(connection, &[channel]).await?.pop() else { return Ok(None) };
    diesel::update(streams::table.find(ending.stream))
        .set((
            streams::state.eq(StreamState::Ended),
            streams::deadline.eq(None::<DateTime<Utc>>),
            // Not before it began, should the clock have been set back since.
            streams::ended_at.eq(greatest(now, streams::started_at).nullable()),
            streams::reason.eq(reason),
            streams::current_viewers.eq(0),
        ))
        .execute(connection)
        .await?;
    let off_the_air = (channels::live.eq(false), channels::current_viewers.eq(0));
    diesel::update(channels::table.find(channel)).set(off_the_air).execute(connection).await?;
    report(connection, ending.stream, EventKind::Stopped, Some(reason), now).await?;
    let Publishing { stream, loc, protected, connection, .. } = ending;
    Ok(Some(EndedStream { stream, loc, protected, connection }))
}

async fn report(
    connection: &mut AsyncPgConnection,
    stream: StreamId,
    kind: EventKind,
    reason: Option<StopReason>,
    at: DateTime<Utc>,
) -> QueryResult<()> {
    let (channel_id, loc, topic_id, protected) = streams::table
        .find(stream)
        .select((streams::channel_id, streams::loc, streams::topic_id, streams::protected))
        .first::<(ChannelId, Loc, Option<TopicId>, bool)>(connection)
        .await?;
    let happened = Happened { at, kind, stream_id: stream, channel_id, loc, topic_id, protected, reason };
    append(connection, &[happened]).await
}
