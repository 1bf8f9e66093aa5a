//! The life of a stream: begin, interrupt, resume, end. Each transition is idempotent, checks the state that it
//! finds under a lock, and writes its event in the same transaction; so whatever nginx reports late, twice or
//! never, a stream has one start and one stop.
//!
//! Locks are taken in one order everywhere: an attempt's key, the channel's row, the stream's row, the log's row.

use std::collections::{HashMap, HashSet};

use chrono::{DateTime, Utc};
use diesel::pg::Pg;
use diesel::prelude::*;
use diesel::sql_types::{Array, BigInt, Binary, Integer, Nullable, Text, Timestamptz, Uuid as SqlUuid};
use diesel_async::{AsyncConnection, AsyncPgConnection, RunQueryDsl};

use super::beginnings::NewStream;
use super::channels::{lock, lock_each};
use super::events::{Happened, append};
use super::publishing::{Connection, Publishing, publishing_on, publishing_over};
use super::schema::{channels, streams};
use super::streams::on_the_air;
use super::{ChannelId, EventKind, Loc, Result, StopReason, Store, StreamId, StreamState};

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

/// What is done every few seconds for each publisher is one statement: a database that answers slowly has time for no
/// more before nginx is tired of waiting. Nothing waits for the disk because of it: one that a crash of the database
/// forgets is said again within seconds, and leases are given anew after one.
const RENEW: &str = "WITH unhurried AS MATERIALIZED (SELECT set_config('synchronous_commit', 'off', true))
    UPDATE streams SET media_time = $1, stalls = CASE WHEN media_time = $1 THEN stalls + 1 ELSE 0 END, deadline = $2
    FROM channels, unhurried WHERE channels.id = channel_id AND key_hash = $3 AND node = $4 AND connection = $5
        AND state = 'live'
    RETURNING stalls";

/// How often in a row nothing has moved.
#[derive(QueryableByName)]
#[diesel(check_for_backend(Pg))]
struct Progress {
    #[diesel(sql_type = Integer)]
    stalls: i32,
}

impl Store {
    /// nginx reports that a publisher is still sending.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn renew_lease(&self, report: &Report) -> Result<Renewed> {
        let mut connection = self.connection().await?;
        let renewed = diesel::sql_query(RENEW)
            .bind::<BigInt, _>(report.media_time)
            .bind::<Timestamptz, _>(report.lease_until)
            .bind::<Binary, _>(&report.key_hash)
            .bind::<Text, _>(&report.connection.node)
            .bind::<BigInt, _>(report.connection.number);
        match renewed.get_result::<Progress>(&mut connection).await.optional()? {
            Some(Progress { stalls: 0 }) => return Ok(Renewed::Live),
            Some(Progress { stalls }) => return Ok(Renewed::Stalled(stalls)),
            None => {}
        }
        connection
            .transaction(async |connection| {
                let found = publishing_over(connection, &report.connection, &report.key_hash).await?;
                let Some(id) = found else { return Ok(Renewed::Unknown) };
                let waits = on_the_air().filter(streams::id.eq(id));
                let waits = waits.filter(streams::state.eq(StreamState::Interrupted));
                let found = waits
                    .select(streams::worker)
                    .for_no_key_update()
                    .first::<Option<i32>>(connection)
                    .await
                    .optional()?;
                // Whoever came in between is heard again soon.
                let Some(worker) = found else { return Ok(Renewed::Live) };
                let progress = streams::media_time.eq(report.media_time);
                diesel::update(streams::table.find(id)).set(progress).execute(connection).await?;
                // The same connection, so the same worker: should this word have come behind its last, it is missed.
                let (publisher, now, lease_until) = (&report.connection, report.now, report.lease_until);
                resume(connection, &[Back { stream: id, publisher, worker, now, lease_until }]).await?;
                Ok(Renewed::Resumed)
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
                Some(id) => Ok(interrupt(connection, id, gone, now, until).await?),
                None => Ok(false),
            })
            .await
    }

    /// The publishers of these streams are held to be gone; the streams wait for them until `until`. Which of them do: one
    /// of whose publisher anything was heard since it was seen like that, or that has another one, stays as it is.
    ///
    /// Streams are named by their ids: two may have publishers of the same number while nginx has just begun anew.
    ///
    /// # Errors
    /// When the database fails; then none of them waits.
    pub async fn interrupt_silent(
        &self,
        seen: &[&Publishing],
        now: DateTime<Utc>,
        until: DateTime<Utc>,
    ) -> Result<Vec<StreamId>> {
        let mut connection = self.connection().await?;
        connection
            .transaction(async |connection| {
                let touched: Vec<ChannelId> = seen.iter().map(|it| it.channel).collect();
                lock_each(connection, &touched).await?;
                let there = publishing_on(connection, &touched).await?;
                // Every word of a publisher gives it another deadline; an earlier one if the clock was set back.
                let who = |it: &Publishing| (it.stream, it.connection.clone(), it.deadline);
                let seen: HashSet<_> = seen.iter().map(|it| who(it)).collect();
                let silent =
                    there.iter().filter(|it| it.state == StreamState::Live && seen.contains(&who(it)));
                let ids: Vec<StreamId> = silent.map(|it| it.stream).collect();
                if ids.is_empty() {
                    return Ok(ids);
                }
                // Should it be heard of again, it was looked for at the wrong worker.
                let waiting = (
                    streams::state.eq(StreamState::Interrupted),
                    streams::deadline.eq(until),
                    streams::worker.eq(None::<i32>),
                );
                diesel::update(streams::table.filter(streams::id.eq_any(&ids)))
                    .set(waiting)
                    .execute(connection)
                    .await?;
                report(connection, &ids, EventKind::Interrupted, None, now).await?;
                Ok(ids)
            })
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

/// A publisher that is back on its stream.
pub(super) struct Back<'a> {
    stream: StreamId,
    publisher: &'a Connection,
    worker: Option<i32>,
    now: DateTime<Utc>,
    lease_until: DateTime<Utc>,
}

impl<'a> Back<'a> {
    pub(super) fn of(stream: StreamId, new: &'a NewStream) -> Self {
        let NewStream { connection: publisher, worker, now, lease_until, .. } = new;
        Self { stream, publisher, worker: *worker, now: *now, lease_until: *lease_until }
    }
}

// As arrays, so that the statement is the same for any number of them and stays prepared.
const RESUME: &str = "UPDATE streams
    SET state = 'live', node = back.node, connection = back.connection, worker = back.worker, stalls = 0,
        deadline = back.deadline
    FROM unnest($1, $2, $3, $4, $5) AS back (id, node, connection, worker, deadline) WHERE streams.id = back.id";

/// Streams go on, each with the publisher that came back to it; none is named twice.
pub(super) async fn resume(connection: &mut AsyncPgConnection, back: &[Back<'_>]) -> QueryResult<()> {
    if back.is_empty() {
        return Ok(());
    }
    fn column<'a, T>(back: &'a [Back<'a>], of: impl Fn(&'a Back<'a>) -> T) -> Vec<T> {
        back.iter().map(of).collect()
    }
    let ids = column(back, |it| it.stream);
    diesel::sql_query(RESUME)
        .bind::<Array<SqlUuid>, _>(&ids)
        .bind::<Array<Text>, _>(column(back, |it| it.publisher.node.as_str()))
        .bind::<Array<BigInt>, _>(column(back, |it| it.publisher.number))
        .bind::<Array<Nullable<Integer>>, _>(column(back, |it| it.worker))
        .bind::<Array<Timestamptz>, _>(column(back, |it| it.lease_until))
        .execute(connection)
        .await?;
    // They came together, and none before it was let in.
    let now = back.iter().map(|it| it.now).max().unwrap_or_default();
    report(connection, &ids, EventKind::Resumed, None, now).await
}

/// The state is checked again by the update itself: whoever comes second changes nothing and reports nothing.
async fn interrupt(
    connection: &mut AsyncPgConnection,
    id: StreamId,
    publisher: &Connection,
    now: DateTime<Utc>,
    until: DateTime<Utc>,
) -> QueryResult<bool> {
    let live = streams::table
        .find(id)
        .filter(streams::state.eq(StreamState::Live))
        .filter(streams::node.eq(&publisher.node))
        .filter(streams::connection.eq(publisher.number));
    let waiting = (streams::state.eq(StreamState::Interrupted), streams::deadline.eq(until));
    if diesel::update(live).set(waiting).execute(connection).await? == 0 {
        return Ok(false);
    }
    report(connection, &[id], EventKind::Interrupted, None, now).await?;
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
    report(connection, &[ending.stream], EventKind::Stopped, Some(reason), now).await?;
    let Publishing { stream, loc, protected, connection, .. } = ending;
    Ok(Some(EndedStream { stream, loc, protected, connection }))
}

/// Writes into the log what happened to these streams, in that order.
async fn report(
    connection: &mut AsyncPgConnection,
    ids: &[StreamId],
    kind: EventKind,
    reason: Option<StopReason>,
    at: DateTime<Utc>,
) -> QueryResult<()> {
    let of = (streams::id, streams::channel_id, streams::loc, streams::topic_id, streams::protected);
    let rows = streams::table.filter(streams::id.eq_any(ids)).select(of).load(connection).await?;
    let happened = |(stream_id, channel_id, loc, topic_id, protected)| {
        (stream_id, Happened { at, kind, stream_id, channel_id, loc, topic_id, protected, reason })
    };
    let mut happened: HashMap<StreamId, Happened> = rows.into_iter().map(happened).collect();
    append(connection, &ids.iter().filter_map(|id| happened.remove(id)).collect::<Vec<_>>()).await
}
