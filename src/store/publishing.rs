//! Who publishes what is on the air: the rows that nginx's word is compared with, and what is noted of them. What
//! follows from the comparison is in [`super::transitions`].

use chrono::{DateTime, Utc};
use diesel::dsl::case_when;
use diesel::prelude::*;
use diesel::sql_types::{Array, BigInt, Integer, Jsonb, Nullable, Text, Timestamptz, Uuid as SqlUuid};
use diesel_async::{AsyncConnection, AsyncPgConnection, RunQueryDsl};
use serde_json::Value;

use super::channels::lock_each;
use super::schema::{channels, streams};
use super::streams::{is_on_the_air, on_the_air};
use super::{ChannelId, Loc, Result, Store, StreamId, StreamState};

/// One RTMP connection: nginx's `clientid`, which counts from 1 whenever nginx starts, and which nginx it is.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Connection {
    /// The media node.
    pub node: String,
    /// Its number there.
    pub number: i64,
}

/// A stream on the air and who publishes it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Publishing {
    /// The stream.
    pub stream: StreamId,
    /// Its channel.
    pub channel: ChannelId,
    /// The channel's address.
    pub loc: Loc,
    /// Whether it is protected, as its channel was when it began.
    pub protected: bool,
    /// Live or interrupted.
    pub state: StreamState,
    /// The publisher's connection; that of the last one while interrupted.
    pub connection: Connection,
    /// The nginx worker that carries it, as far as nginx has said or shown.
    pub worker: Option<i32>,
    /// When the lease or the reconnect window ends.
    pub deadline: DateTime<Utc>,
}

impl Store {
    /// What is on the air on `node`, with its publishers.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn publishing(&self, node: &str) -> Result<Vec<Publishing>> {
        let found = on_the_air().filter(streams::node.eq(node));
        let rows =
            found.select(publishing_columns()).load::<PublishingRow>(&mut self.connection().await?).await?;
        Ok(rows.into_iter().map(Publishing::from).collect())
    }

    /// The streams whose lease or reconnect window has ended by `now`, the most overdue first.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn overdue_streams(&self, now: DateTime<Utc>) -> Result<Vec<Publishing>> {
        let found = on_the_air().filter(streams::deadline.le(now));
        let found = found.order(streams::deadline).limit(500);
        let rows =
            found.select(publishing_columns()).load::<PublishingRow>(&mut self.connection().await?).await?;
        Ok(rows.into_iter().map(Publishing::from).collect())
    }

    /// Gives every live stream a lease until `lease_until`, and every interrupted one a window until `window_until`,
    /// whatever they had: used when we were the ones who did not listen, or when the clock by which they were given
    /// is not the one that we go by now.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn renew_deadlines(
        &self,
        lease_until: DateTime<Utc>,
        window_until: DateTime<Utc>,
    ) -> Result<usize> {
        let [lease, window] =
            [lease_until, window_until].map(|until| until.into_sql::<Nullable<Timestamptz>>());
        let anew = case_when(streams::state.eq(StreamState::Live), lease).otherwise(window);
        let renew = diesel::update(on_the_air()).set(streams::deadline.eq(anew));
        let mut connection = self.connection().await?;
        connection
            .transaction(async |connection| {
                let touched: Vec<ChannelId> =
                    on_the_air().select(streams::channel_id).load(connection).await?;
                lock_each(connection, &touched).await?;
                Ok(renew.execute(connection).await?)
            })
            .await
    }

    /// Notes which nginx worker carries these publishers, each named once, and what it says is being sent. Who is
    /// publishing there no more by now is left alone.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn note_publishing(&self, worker: i32, seen: &[(&Publishing, &Value)]) -> Result<()> {
        if seen.is_empty() {
            return Ok(());
        }
        let channels: Vec<ChannelId> = seen.iter().map(|(row, _)| row.channel).collect();
        let note = diesel::sql_query(
            "UPDATE streams SET worker = $1, media = seen.media
            FROM unnest($2, $3, $4, $5) AS seen (id, node, connection, media)
            WHERE streams.id = seen.id AND streams.node = seen.node AND streams.connection = seen.connection
                AND state <> 'ended'",
        )
        .bind::<Integer, _>(worker)
        .bind::<Array<SqlUuid>, _>(seen.iter().map(|(row, _)| row.stream).collect::<Vec<_>>())
        .bind::<Array<Text>, _>(seen.iter().map(|(row, _)| row.connection.node.as_str()).collect::<Vec<_>>())
        .bind::<Array<BigInt>, _>(seen.iter().map(|(row, _)| row.connection.number).collect::<Vec<_>>())
        .bind::<Array<Jsonb>, _>(seen.iter().map(|(_, media)| *media).collect::<Vec<_>>());
        let mut connection = self.connection().await?;
        connection
            .transaction(async |connection| {
                lock_each(connection, &channels).await?;
                note.execute(connection).await?;
                Ok(())
            })
            .await
    }
}

type PublishingRow =
    (StreamId, ChannelId, Loc, bool, StreamState, String, i64, Option<i32>, Option<DateTime<Utc>>);

#[diesel::dsl::auto_type]
fn publishing_columns() -> _ {
    (
        streams::id,
        streams::channel_id,
        streams::loc,
        streams::protected,
        streams::state,
        streams::node,
        streams::connection,
        streams::worker,
        streams::deadline,
    )
}

impl From<PublishingRow> for Publishing {
    fn from(row: PublishingRow) -> Self {
        let (stream, channel, loc, protected, state, node, number, worker, deadline) = row;
        // A table constraint holds that whatever is on the air has a deadline.
        let deadline = deadline.unwrap_or_default();
        let connection = Connection { node, number };
        Self { stream, channel, loc, protected, state, connection, worker, deadline }
    }
}

/// What is on the air on channels whose rows the caller has locked; it is locked with them.
pub(super) async fn publishing_on(
    connection: &mut AsyncPgConnection,
    channels: &[ChannelId],
) -> QueryResult<Vec<Publishing>> {
    let locked = on_the_air().filter(streams::channel_id.eq_any(channels)).order(streams::id);
    let rows = locked.select(publishing_columns()).for_no_key_update();
    Ok(rows.load::<PublishingRow>(connection).await?.into_iter().map(Publishing::from).collect())
}

/// The stream on the air that comes over a connection with that key. Nothing is locked.
pub(super) async fn publishing_over(
    connection: &mut AsyncPgConnection,
    publisher: &Connection,
    key_hash: &[u8],
) -> QueryResult<Option<StreamId>> {
    streams::table
        .inner_join(channels::table)
        .filter(is_on_the_air())
        .filter(streams::node.eq(&publisher.node))
        .filter(streams::connection.eq(publisher.number))
        .filter(channels::key_hash.eq(key_hash))
        .select(streams::id)
        .first(connection)
        .await
        .optional()
}
