//! Beginnings, many at a time: when a crowd of publishers comes at once, as after nginx was restarted, each would
//! wait for the disk once for itself and once for all before it. So whoever waits begins in one transaction, with
//! as many statements as one alone would take.

use std::collections::HashMap;

use chrono::{DateTime, Utc};
use diesel::prelude::*;
use diesel::sql_types::{Array, BigInt, Bool, Integer, Nullable, Text, Timestamptz, Uuid as SqlUuid};
use diesel_async::{AsyncConnection, AsyncPgConnection, RunQueryDsl};

use super::events::{Happened, append};
use super::publishing::{Connection, Publishing, publishing_on};
use super::schema::{channels, recordings, streams, users};
use super::transitions::{Back, repeat, resume};
use super::{
    Channel, ChannelId, EventKind, RecordingState, Result, Role, Store, StreamId, StreamState, UserId,
};

/// A publisher that asks to begin on a channel.
#[derive(Clone, Debug)]
pub struct NewStream {
    /// The id, should it be a new stream.
    pub id: StreamId,
    /// On which channel.
    pub channel: ChannelId,
    /// Over which connection.
    pub connection: Connection,
    /// The nginx worker that will carry it, if nginx says so.
    pub worker: Option<i32>,
    /// The hash of the key that it came with.
    pub key_hash: Vec<u8>,
    /// When.
    pub now: DateTime<Utc>,
    /// Until when it counts as live without another word from nginx.
    pub lease_until: DateTime<Utc>,
    /// No channel is held off for longer than until then: one that seems to be was by a clock that has been set back.
    pub longest_hold: DateTime<Utc>,
}

/// The stream that a publisher is sending.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OnTheAir {
    /// The stream.
    pub stream: StreamId,
    /// Whether it is protected.
    pub protected: bool,
}

/// What came of it.
#[derive(Clone, Debug)]
pub enum Began {
    /// A new stream is on the air.
    Started(OnTheAir),
    /// The publisher is back in time; the stream goes on.
    Resumed(OnTheAir),
    /// A connection of this very number is live here: the same one, or one of an nginx that began anew.
    Repeated(OnTheAir),
    /// Another connection is publishing here.
    Busy(Publishing),
    /// The channel was taken off the air and refuses publishers for a while.
    Held,
    /// The key opens this channel no more.
    Closed,
}

/// A channel whose row is locked, and the hash of its key.
type Locked = HashMap<ChannelId, (Channel, Option<Vec<u8>>)>;

impl Store {
    /// Publishers begin: each a new stream, or the interrupted one again. What came of it, in the same order.
    ///
    /// # Errors
    /// When the database fails; then none has begun.
    pub async fn begin_streams(&self, news: &[NewStream]) -> Result<Vec<Began>> {
        let mut connection = self.connection().await?;
        connection
            .transaction(async |connection| {
                let ids: Vec<ChannelId> = news.iter().map(|new| new.channel).collect();
                let mut locked = lock_all(connection, &ids).await?;
                leave_out_barred(connection, &mut locked).await?;
                let mut there: HashMap<ChannelId, Publishing> = HashMap::new();
                for publishing in publishing_on(connection, &ids).await? {
                    there.insert(publishing.channel, publishing);
                }
                let mut outcomes = Vec::with_capacity(news.len());
                let (mut started, mut back) = (Vec::new(), Vec::new());
                for new in news {
                    let outcome = decide(new, &locked, &mut there);
                    match (&outcome, locked.get(&new.channel)) {
                        (Began::Started(_), Some((channel, _))) => started.push((new, channel)),
                        (Began::Resumed(it), _) => back.push(Back::of(it.stream, new)),
                        (Began::Repeated(it), _) => repeat(connection, it.stream, new).await?,
                        _ => {}
                    }
                    outcomes.push(outcome);
                }
                resume(connection, &back).await?;
                start_all(connection, &started).await?;
                Ok(outcomes)
            })
            .await
    }
}

/// Locks the rows of channels in the order of their ids, as everywhere.
async fn lock_all(connection: &mut AsyncPgConnection, ids: &[ChannelId]) -> QueryResult<Locked> {
    let rows = channels::table
        .filter(channels::id.eq_any(ids))
        .filter(channels::deleted_at.is_null())
        .order(channels::id)
        .select((Channel::as_select(), channels::key_hash))
        .for_no_key_update()
        .load::<(Channel, Option<Vec<u8>>)>(connection)
        .await?;
    Ok(rows.into_iter().map(|(channel, hash)| (channel.id, (channel, hash))).collect())
}

/// Leaves out the channels of owners who may not broadcast any more. Read once the rows are locked: whoever takes that
/// away locks them too.
async fn leave_out_barred(connection: &mut AsyncPgConnection, locked: &mut Locked) -> QueryResult<()> {
    let owners: Vec<UserId> = locked.values().map(|(channel, _)| channel.owner_id).collect();
    let barred = users::table
        .filter(users::id.eq_any(owners))
        .filter(users::suspended_at.is_not_null().or(users::role.eq(Role::Viewer)));
    let barred: Vec<UserId> = barred.select(users::id).load(connection).await?;
    locked.retain(|_, (channel, _)| !barred.contains(&channel.owner_id));
    Ok(())
}

/// Decides about one. `there` is who publishes on which channel, those who begin before this one in the same crowd
/// included.
fn decide(new: &NewStream, locked: &Locked, there: &mut HashMap<ChannelId, Publishing>) -> Began {
    let Some((channel, key_hash)) = locked.get(&new.channel) else { return Began::Closed };
    if key_hash.as_ref() != Some(&new.key_hash) {
        return Began::Closed;
    }
    if channel.held_until.is_some_and(|until| until > new.now && until <= new.longest_hold) {
        return Began::Held;
    }
    let publishing = |stream, protected| Publishing {
        stream,
        channel: channel.id,
        loc: channel.loc,
        protected,
        state: StreamState::Live,
        connection: new.connection.clone(),
        worker: new.worker,
        deadline: new.lease_until,
    };
    let Some(incumbent) = there.get(&new.channel) else {
        there.insert(channel.id, publishing(new.id, channel.protected));
        return Began::Started(OnTheAir { stream: new.id, protected: channel.protected });
    };
    let it = OnTheAir { stream: incumbent.stream, protected: incumbent.protected };
    if incumbent.state == StreamState::Live {
        let same = incumbent.connection == new.connection;
        return if same { Began::Repeated(it) } else { Began::Busy(incumbent.clone()) };
    }
    there.insert(channel.id, publishing(it.stream, it.protected));
    Began::Resumed(it)
}

const START: &str =
    "INSERT INTO streams (state, id, channel_id, loc, protected, topic_id, name, node, connection, worker, deadline, started_at)
    SELECT 'live', * FROM unnest($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11)";

fn column<'a, T>(
    started: &'a [(&'a NewStream, &'a Channel)],
    of: impl Fn(&'a (&'a NewStream, &'a Channel)) -> T,
) -> Vec<T> {
    started.iter().map(of).collect()
}

async fn start_all(
    connection: &mut AsyncPgConnection,
    started: &[(&NewStream, &Channel)],
) -> QueryResult<()> {
    if started.is_empty() {
        return Ok(());
    }
    let numbers = numbers(connection, started).await?;
    // As arrays, so that the statement is the same for any crowd and stays prepared.
    diesel::sql_query(START)
        .bind::<Array<SqlUuid>, _>(column(started, |(new, _)| new.id))
        .bind::<Array<SqlUuid>, _>(column(started, |(_, channel)| channel.id))
        .bind::<Array<SqlUuid>, _>(column(started, |(_, channel)| channel.loc))
        .bind::<Array<Bool>, _>(column(started, |(_, channel)| channel.protected))
        .bind::<Array<Nullable<SqlUuid>>, _>(column(started, |(_, channel)| channel.topic_id))
        .bind::<Array<Text>, _>(column(started, |(new, channel)| name(channel, new.now, &numbers)))
        .bind::<Array<Text>, _>(column(started, |(new, _)| new.connection.node.clone()))
        .bind::<Array<BigInt>, _>(column(started, |(new, _)| new.connection.number))
        .bind::<Array<Nullable<Integer>>, _>(column(started, |(new, _)| new.worker))
        .bind::<Array<Timestamptz>, _>(column(started, |(new, _)| new.lease_until))
        .bind::<Array<Timestamptz>, _>(column(started, |(new, _)| new.now))
        .execute(connection)
        .await?;
    let recorded: Vec<_> = started
        .iter()
        .filter(|(_, channel)| channel.record)
        .map(|(new, channel)| {
            (
                recordings::stream_id.eq(new.id),
                recordings::channel_id.eq(channel.id),
                recordings::state.eq(RecordingState::Recording),
            )
        })
        .collect();
    if !recorded.is_empty() {
        diesel::insert_into(recordings::table).values(recorded).execute(connection).await?;
    }
    let ids: Vec<ChannelId> = started.iter().map(|(_, channel)| channel.id).collect();
    diesel::update(channels::table.filter(channels::id.eq_any(ids)))
        .set((channels::live.eq(true), channels::held_until.eq(None::<DateTime<Utc>>)))
        .execute(connection)
        .await?;
    let happened = |(new, channel): &(&NewStream, &Channel)| Happened {
        at: new.now,
        kind: EventKind::Started,
        stream_id: new.id,
        channel_id: channel.id,
        loc: channel.loc,
        topic_id: channel.topic_id,
        protected: channel.protected,
        reason: None,
    };
    append(connection, &started.iter().map(happened).collect::<Vec<_>>()).await
}

/// What stands in a channel's default name for the day, and for how many streams there have been.
const DATE: &str = "{date}";
const NUMBER: &str = "{number}";

/// How many streams there were before, of the channels that number theirs.
async fn numbers(
    connection: &mut AsyncPgConnection,
    started: &[(&NewStream, &Channel)],
) -> QueryResult<HashMap<ChannelId, i64>> {
    let numbered = started.iter().filter(|(_, channel)| channel.default_stream_name.contains(NUMBER));
    let numbered: Vec<ChannelId> = numbered.map(|(_, channel)| channel.id).collect();
    if numbered.is_empty() {
        return Ok(HashMap::new());
    }
    let before = streams::table.filter(streams::channel_id.eq_any(numbered)).group_by(streams::channel_id);
    let before = before.select((streams::channel_id, diesel::dsl::count_star()));
    Ok(before.load(connection).await?.into_iter().collect())
}

/// What a new stream is called.
fn name(channel: &Channel, now: DateTime<Utc>, numbers: &HashMap<ChannelId, i64>) -> String {
    let number = numbers.get(&channel.id).copied().unwrap_or_default() + 1;
    let name = channel.default_stream_name.replace(DATE, &now.format("%Y-%m-%d").to_string());
    name.replace(NUMBER, &number.to_string())
}
