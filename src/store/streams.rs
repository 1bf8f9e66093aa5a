//! Streams: listed, named, counted. How they live and end is in [`super::transitions`].

use chrono::{DateTime, Utc};
use diesel::dsl::{Filter, sql};
use diesel::expression::SqlLiteral;
use diesel::pg::Pg;
use diesel::prelude::*;
use diesel::sql_types::{Array, BigInt, Bool, Integer, Uuid as SqlUuid};
use diesel_async::{AsyncConnection, RunQueryDsl};

use super::events::{Happened, append};
use super::page::Beyond;
use super::schema::{channels, event_log, streams, topics};
use super::{
    ChannelId, EventKind, Loc, Page, Place, Position, Result, Slice, StopReason, Store, StreamId,
    StreamState, TopicId,
};

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

/// How a list of streams on the air is ordered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StreamOrder {
    /// Most present viewers first.
    MostWatchedNow,
    /// Newest first.
    Newest,
}

impl StreamOrder {
    /// A place such as this order has, for telling its cursors from those of other orders.
    pub fn kind(self) -> Place {
        match self {
            Self::MostWatchedNow => Place::Viewers(0, uuid::Uuid::nil()),
            Self::Newest => Place::Id(uuid::Uuid::nil()),
        }
    }

    /// Where `stream` stands in this order.
    pub fn place(self, stream: &Stream) -> Place {
        match self {
            Self::MostWatchedNow => Place::Viewers(stream.current_viewers.into(), stream.id.0),
            Self::Newest => Place::Id(stream.id.0),
        }
    }
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

type Listed<'a> = streams::BoxedQuery<'a, Pg>;

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

    /// A page of the streams on the air, with the log's end as of that very answer, so that whoever subscribes
    /// from there misses nothing and sees nothing twice.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn list_live_streams(
        &self,
        topic: Option<&str>,
        order: StreamOrder,
        page: &Page,
    ) -> Result<(Slice<Stream>, Position)> {
        let columns = match order {
            StreamOrder::MostWatchedNow => "(streams.current_viewers, streams.id)",
            StreamOrder::Newest => "streams.id",
        };
        let mut query = of_topic(topic);
        for bound in Beyond::bounds(page, columns, true) {
            query = query.filter(bound);
        }
        let query = match (order, page.from_end) {
            (StreamOrder::MostWatchedNow, false) => {
                query.order((streams::current_viewers.desc(), streams::id.desc()))
            }
            (StreamOrder::MostWatchedNow, true) => {
                query.order((streams::current_viewers.asc(), streams::id.asc()))
            }
            (StreamOrder::Newest, false) => query.order(streams::id.desc()),
            (StreamOrder::Newest, true) => query.order(streams::id.asc()),
        };
        let (rows, end) = self.with_log_end(query.limit(page.probe())).await?;
        Ok((page.slice(rows), end))
    }

    /// How many streams are on the air.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn count_live_streams(&self, topic: Option<&str>) -> Result<i64> {
        Ok(of_topic(topic).count().get_result(&mut self.connection().await?).await?)
    }

    /// A page of a channel's ended streams, newest first, with the log's end as of that answer.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn list_past_streams(
        &self,
        channel: ChannelId,
        page: &Page,
    ) -> Result<(Slice<Stream>, Position)> {
        let mut query = past(channel);
        for bound in Beyond::bounds(page, "streams.id", true) {
            query = query.filter(bound);
        }
        let query = match page.from_end {
            false => query.order(streams::id.desc()),
            true => query.order(streams::id.asc()),
        };
        let (rows, end) = self.with_log_end(query.limit(page.probe())).await?;
        Ok((page.slice(rows), end))
    }

    /// How many ended streams a channel has.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn count_past_streams(&self, channel: ChannelId) -> Result<i64> {
        Ok(past(channel).count().get_result(&mut self.connection().await?).await?)
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
                // Channels before streams, in the order of their ids, as everywhere: so nobody waits in a circle.
                let touched: Vec<ChannelId> = counts.iter().map(|(_, channel, _)| *channel).collect();
                let locked = channels::table.filter(channels::id.eq_any(touched)).order(channels::id);
                locked.select(channels::id).for_no_key_update().load::<ChannelId>(connection).await?;
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

    /// Reads streams and the log's end in one snapshot of the database.
    async fn with_log_end(&self, query: Listed<'_>) -> Result<(Vec<Stream>, Position)> {
        let mut connection = self.connection().await?;
        connection
            .build_transaction()
            .repeatable_read()
            .read_only()
            .run(async |connection| {
                let (epoch, number) =
                    event_log::table.select((event_log::epoch, event_log::last)).first(connection).await?;
                let rows = query.select(Stream::as_select()).load(connection).await?;
                Ok((rows, Position { epoch, number }))
            })
            .await
    }
}

/// The state is written out in these two, as in the indexes that hold only such streams: of a parameter PostgreSQL
/// could not know that the index has all it asks for.
pub(super) fn is_on_the_air() -> SqlLiteral<Bool> {
    sql("streams.state <> 'ended'")
}

fn is_over() -> SqlLiteral<Bool> {
    sql("streams.state = 'ended'")
}

pub(super) fn on_the_air() -> Filter<streams::table, SqlLiteral<Bool>> {
    streams::table.filter(is_on_the_air())
}

fn of_topic(slug: Option<&str>) -> Listed<'_> {
    let query = on_the_air().into_boxed();
    match slug {
        Some(slug) => {
            let topic =
                topics::table.filter(topics::slug.eq(slug)).select(topics::id.nullable()).single_value();
            query.filter(streams::topic_id.eq(topic))
        }
        None => query,
    }
}

fn past(channel: ChannelId) -> Listed<'static> {
    let of_channel = streams::table.filter(streams::channel_id.eq(channel));
    of_channel.filter(is_over()).into_boxed()
}
