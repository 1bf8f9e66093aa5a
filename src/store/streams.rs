//! Streams: found, named, counted. How they are listed is in [`super::stream_lists`], how they live and end in
//! [`super::transitions`].

use chrono::{DateTime, Utc};
use diesel::dsl::Filter;
use diesel::pg::Pg;
use diesel::prelude::*;
use diesel::sql_types::{Array, BigInt, Integer, Uuid as SqlUuid};
use diesel_async::{AsyncConnection, RunQueryDsl};

use super::channels::lock_each;
use super::events::{Happened, append};
use super::page::Verbatim;
use super::schema::{channels, streams};
use super::{ChannelId, EventKind, Loc, Result, StopReason, Store, StreamId, StreamState, TopicId, UserId};

/// One broadcast on a channel.
#[derive(Clone, Debug, Queryable, Selectable)]
#[diesel(table_name = streams, check_for_backend(Pg))]
pub struct Stream {
    /// Its id, which is also its public uuid.
    pub id: StreamId,
    /// On which channel.
    pub channel_id: ChannelId,
    /// The channel's address.
    pub loc: Loc,
    /// Whether its channel was protected when it began, and it is with it.
    pub protected: bool,
    /// What it is about.
    pub topic_id: Option<TopicId>,
    /// What it is called.
    pub name: String,
    /// Where it is in its life.
    pub state: StreamState,
    /// What nginx says is being sent.
    pub media: Option<serde_json::Value>,
    /// When it went on the air.
    pub started_at: DateTime<Utc>,
    /// When it went off.
    pub ended_at: Option<DateTime<Utc>>,
    /// Why.
    pub reason: Option<StopReason>,
    /// How many watch now.
    pub current_viewers: i32,
    /// The most that ever watched at once.
    pub peak_viewers: i32,
    /// How many viewer sessions there were.
    pub total_viewers: i64,
}

/// What never changes of a stream as long as it is on the air.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Airing {
    /// The stream.
    pub stream: StreamId,
    /// Its channel.
    pub channel: ChannelId,
    /// The channel's address.
    pub loc: Loc,
    /// Whether it is protected.
    pub protected: bool,
}

/// What is to be different about a stream; what is `None` stays.
#[derive(AsChangeset, Default)]
#[diesel(table_name = streams)]
pub struct StreamChange {
    /// What it is called.
    pub name: Option<String>,
    /// What it is about; `Some(None)` clears.
    pub topic_id: Option<Option<TopicId>>,
}

/// The audience of a stream, as presence counts it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct Counts {
    /// Sessions now.
    pub current: i32,
    /// The most there ever were.
    pub peak: i32,
    /// Sessions so far.
    pub total: i64,
}

impl Store {
    /// The streams of those ids, in no order.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn streams(&self, ids: &[StreamId]) -> Result<Vec<Stream>> {
        let found = streams::table.filter(streams::id.eq_any(ids)).select(Stream::as_select());
        Ok(found.load(&mut self.connection().await?).await?)
    }

    /// The streams on the air of those channels, in no order.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn streams_on_the_air(&self, channels: &[ChannelId]) -> Result<Vec<Stream>> {
        let found = on_the_air().filter(streams::channel_id.eq_any(channels)).select(Stream::as_select());
        Ok(found.load(&mut self.connection().await?).await?)
    }

    /// When the stream behind that one began on a channel, if there is one.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn next_start(&self, channel: ChannelId, stream: StreamId) -> Result<Option<DateTime<Utc>>> {
        let behind = streams::table.filter(streams::channel_id.eq(channel)).filter(streams::id.gt(stream));
        let next = behind.order(streams::id).select(streams::started_at);
        Ok(next.first(&mut self.connection().await?).await.optional()?)
    }

    /// The addresses of a user's channels that are on the air.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn locs_on_the_air(&self, owner: UserId) -> Result<Vec<Loc>> {
        let of_owner = channels::table.filter(channels::owner_id.eq(owner)).filter(channels::live);
        // None that was deleted is on the air; the indexes of owners' channels leave those out.
        let found = of_owner.filter(channels::deleted_at.is_null());
        Ok(found.select(channels::loc).load(&mut self.connection().await?).await?)
    }

    /// Renames a stream or gives it another topic; while it is on the air that is an event. `None` when there is
    /// no such stream.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn update_stream(
        &self,
        id: StreamId,
        change: &StreamChange,
        now: DateTime<Utc>,
    ) -> Result<Option<Stream>> {
        let mut connection = self.connection().await?;
        connection
            .transaction(async |connection| {
                let changed = diesel::update(streams::table.find(id))
                    .set(change)
                    .returning(Stream::as_returning())
                    .get_result(connection)
                    .await
                    .optional()?;
                let Some(stream) = changed else { return Ok(None) };
                if stream.state != StreamState::Ended {
                    let happened = Happened {
                        at: now,
                        kind: EventKind::Updated,
                        stream_id: stream.id,
                        channel_id: stream.channel_id,
                        loc: stream.loc,
                        topic_id: stream.topic_id,
                        protected: stream.protected,
                        reason: None,
                    };
                    append(connection, &[happened]).await?;
                }
                Ok(Some(stream))
            })
            .await
    }

    /// Writes the audiences of streams on the air, theirs and their channels'. Ended streams keep what they have.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn write_counts(&self, counts: &[(StreamId, ChannelId, Counts)]) -> Result<()> {
        let mut connection = self.connection().await?;
        connection
            .transaction(async |connection| {
                let touched: Vec<ChannelId> = counts.iter().map(|(_, channel, _)| *channel).collect();
                lock_each(connection, &touched).await?;
                diesel::sql_query(
                    "WITH counted AS (
                        SELECT * FROM unnest($1, $2, $3, $4) AS counted (id, current, peak, total)
                    ), before AS (
                        SELECT streams.id, channel_id, total_viewers, counted.* FROM counted
                        JOIN streams ON streams.id = counted.id AND state <> 'ended'
                    ), written AS (
                        UPDATE streams SET current_viewers = current, peak_viewers = peak, total_viewers = total
                        FROM counted WHERE streams.id = counted.id AND state <> 'ended'
                    )
                    UPDATE channels SET current_viewers = current, views = views + total - total_viewers
                    FROM before WHERE channels.id = channel_id",
                )
                .bind::<Array<SqlUuid>, _>(counts.iter().map(|(id, _, _)| *id).collect::<Vec<_>>())
                .bind::<Array<Integer>, _>(counts.iter().map(|(_, _, count)| count.current).collect::<Vec<_>>())
                .bind::<Array<Integer>, _>(counts.iter().map(|(_, _, count)| count.peak).collect::<Vec<_>>())
                .bind::<Array<BigInt>, _>(counts.iter().map(|(_, _, count)| count.total).collect::<Vec<_>>())
                .execute(connection)
                .await?;
                Ok(())
            })
            .await
    }

    /// Everything on the air with the audience that was last written, for presence to go on from.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn audiences(&self) -> Result<Vec<(Airing, Counts)>> {
        let rows = on_the_air()
            .select((
                streams::id,
                streams::channel_id,
                streams::loc,
                streams::protected,
                streams::current_viewers,
                streams::peak_viewers,
                streams::total_viewers,
            ))
            .load::<(StreamId, ChannelId, Loc, bool, i32, i32, i64)>(&mut self.connection().await?)
            .await?;
        let counted = |(stream, channel, loc, protected, current, peak, total)| {
            (Airing { stream, channel, loc, protected }, Counts { current, peak, total })
        };
        Ok(rows.into_iter().map(counted).collect())
    }
}

/// The state is written out here, as in the indexes that hold only such streams: of a parameter PostgreSQL could not
/// know that the index has all it asks for.
pub(super) fn is_on_the_air() -> Verbatim {
    Verbatim("streams.state <> 'ended'")
}

pub(super) fn on_the_air() -> Filter<streams::table, Verbatim> {
    streams::table.filter(is_on_the_air())
}
