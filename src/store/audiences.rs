//! How many watched each stream, over its time: a row a stream, which the database keeps short by itself.

use chrono::{DateTime, Utc};
use diesel::pg::Pg;
use diesel::prelude::*;
use diesel::sql_types::{Array, BigInt, Integer, Timestamptz, Uuid as SqlUuid};
use diesel_async::RunQueryDsl;

use super::schema::stream_audiences;
use super::{Result, Store, StreamId};

/// How many watched a stream, from the minute in which it began.
#[derive(Clone, Debug, Queryable, Selectable)]
#[diesel(table_name = stream_audiences, check_for_backend(Pg))]
pub struct StreamAudience {
    /// Of which stream.
    pub stream_id: StreamId,
    /// How long each stretch is.
    pub minutes: i32,
    /// The most at one time in each stretch; `None` when nobody counted.
    pub viewers: Vec<Option<i32>>,
}

/// How many watched all streams together.
#[derive(Clone, Copy, Debug, PartialEq, Eq, QueryableByName)]
#[diesel(check_for_backend(Pg))]
pub struct SiteMinute {
    /// The minute.
    #[diesel(sql_type = Timestamptz)]
    pub minute: DateTime<Utc>,
    /// The most of each stream in it, summed up.
    #[diesel(sql_type = BigInt)]
    pub viewers: i64,
}

impl Store {
    /// Keeps how many watched these streams, each named once, at one time in that minute at the most. What is known of
    /// the minute already is not made less.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn keep_audiences(&self, minute: DateTime<Utc>, most: &[(StreamId, i32)]) -> Result<()> {
        // A clock that was set forward for a moment must not make a row of all the time between.
        let write = diesel::sql_query(
            "WITH counted AS (
                SELECT id, most, floor(extract(epoch FROM $3 - date_trunc('minute', started_at)) / 60)::integer AS minute
                FROM unnest($1, $2) AS counted (id, most) JOIN streams USING (id)
                WHERE $3 < started_at + interval '1 year'
            ), placed AS (
                SELECT id, most, greatest(minute, 0) AS minute FROM counted
            ), written AS (
                UPDATE stream_audiences SET
                    viewers[minute / minutes + 1] = greatest(viewers[minute / minutes + 1], most)
                FROM placed WHERE stream_id = id
            )
            INSERT INTO stream_audiences (stream_id, viewers)
            SELECT id, array_fill(NULL::integer, ARRAY[minute]) || most FROM placed
            WHERE NOT EXISTS (SELECT FROM stream_audiences WHERE stream_id = id)
            ON CONFLICT DO NOTHING",
        );
        let (ids, most): (Vec<StreamId>, Vec<i32>) = most.iter().copied().unzip();
        let write = write.bind::<Array<SqlUuid>, _>(ids).bind::<Array<Integer>, _>(most);
        write.bind::<Timestamptz, _>(minute).execute(&mut self.connection().await?).await?;
        Ok(())
    }

    /// How many watched those streams, in no order; without those of which nothing is known yet.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn stream_audiences(&self, ids: &[StreamId]) -> Result<Vec<StreamAudience>> {
        let found = stream_audiences::table.filter(stream_audiences::stream_id.eq_any(ids));
        Ok(found.select(StreamAudience::as_select()).load(&mut self.connection().await?).await?)
    }

    /// How many watched all streams together in each minute from `since` and before `until`: none in one without
    /// streams. One in which there were some and nobody counted is left out.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn site_audience(&self, since: DateTime<Utc>, until: DateTime<Utc>) -> Result<Vec<SiteMinute>> {
        // The streams are looked up once, not for each minute.
        let sum = diesel::sql_query(
            "WITH aired AS MATERIALIZED (
                SELECT id, date_trunc('minute', started_at) AS first, ended_at FROM streams WHERE state <> 'ended'
                UNION ALL
                SELECT id, date_trunc('minute', started_at), ended_at FROM streams
                WHERE state = 'ended' AND ended_at >= $1
            ), counted AS (
                SELECT minute, first, viewers[floor(extract(epoch FROM minute - first) / 60)::integer / minutes + 1] AS most
                FROM generate_series(date_trunc('minute', $1), $2, interval '1 minute') AS minute
                LEFT JOIN (aired LEFT JOIN stream_audiences ON stream_id = id)
                    ON minute >= first AND minute < coalesce(ended_at, 'infinity')
            )
            SELECT minute, coalesce(sum(most), 0)::bigint AS viewers FROM counted WHERE minute < $2
            GROUP BY minute HAVING count(first) = 0 OR count(most) > 0 ORDER BY minute",
        );
        let sum = sum.bind::<Timestamptz, _>(since).bind::<Timestamptz, _>(until);
        Ok(sum.load(&mut self.connection().await?).await?)
    }
}
