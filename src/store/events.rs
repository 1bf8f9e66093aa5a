//! The event log: written in the transaction of the change that it reports, numbered without gaps in the order of
//! commits, kept for seven days.

use chrono::{DateTime, Utc};
use diesel::dsl::max;
use diesel::prelude::*;
use diesel::sql_types::{Array, Bool, Nullable, Text, Timestamptz, Uuid as SqlUuid};
use diesel_async::{AsyncConnection, AsyncPgConnection, RunQueryDsl, SimpleAsyncConnection};
use futures_util::{StreamExt, pin_mut};
use tokio::time::timeout;
use uuid::Uuid;

use super::connecting::listen;
use super::schema::{event_log, events};
use super::{
    Airing, ChannelId, EventKind, Loc, Result, StopReason, Store, StoreError, StreamId, TopicId, WAIT,
};

/// Something that happened to a stream.
#[derive(Clone, Debug, PartialEq, Eq, Queryable, Selectable)]
#[diesel(table_name = events, check_for_backend(diesel::pg::Pg))]
pub struct Event {
    /// Its place in the log; the first is 1.
    pub number: i64,
    /// When it happened.
    pub at: DateTime<Utc>,
    /// What happened.
    pub kind: EventKind,
    /// To which stream.
    pub stream_id: StreamId,
    /// On which channel.
    pub channel_id: ChannelId,
    /// That channel's address.
    pub loc: Loc,
    /// The stream's topic at that time.
    pub topic_id: Option<TopicId>,
    /// Whether the stream is protected.
    pub protected: bool,
    /// Why, when it stopped.
    pub reason: Option<StopReason>,
}

impl Event {
    /// What it says of the stream on the air.
    pub fn airing(&self) -> Airing {
        let Self { stream_id: stream, channel_id: channel, loc, protected, .. } = *self;
        Airing { stream, channel, loc, protected }
    }
}

/// A place in one particular log: after this number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Position {
    /// Which log.
    pub epoch: Uuid,
    /// The last event seen.
    pub number: i64,
}

/// What the log has behind a position.
#[derive(Debug)]
pub enum Backlog {
    /// These events, in order; all there are, or as many as were asked for.
    Events(Vec<Event>),
    /// The position is of another log, ahead of this one, or so old that events behind it are gone.
    Refused,
}

/// The subject of an event to be appended.
pub(super) struct Happened {
    pub at: DateTime<Utc>,
    pub kind: EventKind,
    pub stream_id: StreamId,
    pub channel_id: ChannelId,
    pub loc: Loc,
    pub topic_id: Option<TopicId>,
    pub protected: bool,
    pub reason: Option<StopReason>,
}

/// One statement and so one round trip: the log's row is locked from here to the commit, and everybody else who
/// appends waits for it.
const APPEND: &str = "WITH happened AS (
        SELECT * FROM unnest($1, $2, $3, $4, $5, $6, $7, $8) WITH ORDINALITY
            AS happened (at, kind, stream_id, channel_id, loc, topic_id, protected, reason, place)
    ), log AS (
        UPDATE event_log SET last = last + (SELECT count(*) FROM happened)
        RETURNING last - (SELECT count(*) FROM happened) AS before
    )
    INSERT INTO events (number, at, kind, stream_id, channel_id, loc, topic_id, protected, reason)
    SELECT before + place, at, kind, stream_id, channel_id, loc, topic_id, protected, reason FROM happened, log
    RETURNING pg_notify('tally_events', '')";

/// Appends to the log in this order, as the last thing before the commit.
pub(super) async fn append(connection: &mut AsyncPgConnection, happened: &[Happened]) -> QueryResult<()> {
    fn column<T>(happened: &[Happened], of: impl Fn(&Happened) -> T) -> Vec<T> {
        happened.iter().map(of).collect()
    }
    let appended = diesel::sql_query(APPEND)
        .bind::<Array<Timestamptz>, _>(column(happened, |it| it.at))
        .bind::<Array<Text>, _>(column(happened, |it| it.kind))
        .bind::<Array<SqlUuid>, _>(column(happened, |it| it.stream_id))
        .bind::<Array<SqlUuid>, _>(column(happened, |it| it.channel_id))
        .bind::<Array<SqlUuid>, _>(column(happened, |it| it.loc))
        .bind::<Array<Nullable<SqlUuid>>, _>(column(happened, |it| it.topic_id))
        .bind::<Array<Bool>, _>(column(happened, |it| it.protected))
        .bind::<Array<Nullable<Text>>, _>(column(happened, |it| it.reason));
    appended.execute(connection).await.map(drop)
}

impl Store {
    /// Where the log ends now.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn log_end(&self) -> Result<Position> {
        let (epoch, number) = event_log::table
            .select((event_log::epoch, event_log::last))
            .first(&mut self.connection().await?)
            .await?;
        Ok(Position { epoch, number })
    }

    /// Up to `limit` events behind `position`.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn events_after(&self, position: Position, limit: i64) -> Result<Backlog> {
        let mut connection = self.connection().await?;
        // Read first and judged afterwards: what is trimmed in between then shows as trimmed, not as silence.
        let found = events::table
            .filter(events::number.gt(position.number))
            .order(events::number)
            .limit(limit)
            .select(Event::as_select())
            .load(&mut connection)
            .await?;
        let (epoch, last, trimmed): (Uuid, i64, i64) = event_log::table
            .select((event_log::epoch, event_log::last, event_log::trimmed))
            .first(&mut connection)
            .await?;
        let known = epoch == position.epoch && (trimmed..=last).contains(&position.number);
        Ok(if known { Backlog::Events(found) } else { Backlog::Refused })
    }

    /// Forgets events from before `horizon`; how many.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn trim_events(&self, horizon: DateTime<Utc>) -> Result<usize> {
        let mut connection = self.connection().await?;
        connection
            .transaction(async |connection| {
                let last: Option<i64> = events::table
                    .filter(events::at.lt(horizon))
                    .select(max(events::number))
                    .first(connection)
                    .await?;
                let Some(last) = last else { return Ok(0) };
                diesel::update(event_log::table).set(event_log::trimmed.eq(last)).execute(connection).await?;
                Ok(diesel::delete(events::table.filter(events::number.le(last))).execute(connection).await?)
            })
            .await
    }

    /// A connection of its own that hears when something is appended.
    ///
    /// # Errors
    /// When the database is away.
    pub async fn wake_ups(&self) -> Result<WakeUps> {
        let listening = async {
            let mut connection =
                listen(self.url.reveal()).await.map_err(|error| StoreError::Away(error.to_string()))?;
            connection.batch_execute("LISTEN tally_events").await?;
            Ok(WakeUps(connection))
        };
        // A network that swallows everything answers nothing for minutes, and who waits here does not sweep.
        let silence = |_| Err(StoreError::Away("it does not answer who would listen".to_owned()));
        timeout(WAIT, listening).await.unwrap_or_else(silence)
    }
}

/// Hears appends. A wake-up may be late or lost with the connection; it carries nothing, so nothing is lost with it.
pub struct WakeUps(AsyncPgConnection);

impl WakeUps {
    /// Waits for the next one.
    ///
    /// # Errors
    /// When the connection is gone.
    pub async fn next(&mut self) -> Result<()> {
        let heard = self.0.notifications_stream();
        pin_mut!(heard);
        match heard.next().await {
            Some(Ok(_)) => Ok(()),
            Some(Err(error)) => Err(error.into()),
            None => Err(StoreError::Away("the connection that listens was closed".to_owned())),
        }
    }
}
