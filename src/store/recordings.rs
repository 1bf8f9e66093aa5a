//! Recordings: one for each stream that began while its channel was to be recorded, from its start until it is deleted.

use std::collections::HashSet;

use chrono::{DateTime, Utc};
use diesel::pg::Pg;
use diesel::prelude::*;
use diesel::sql_types::{BigInt, Nullable, Timestamptz, Uuid as SqlUuid};
use diesel_async::RunQueryDsl;

use super::joined::Joined;
use super::page::{Columns, Count, Verbatim};
use super::schema::{channels, recordings, streams};
use super::{
    ChannelId, Loc, Page, Place, RecordingFailure, RecordingPlace, RecordingState, Result, Slice, Store,
    Stream, StreamId, StreamState,
};

/// A recorded stream.
#[derive(Clone, Debug)]
pub struct Recording {
    /// What is kept of it.
    pub row: RecordingRow,
    /// What was recorded.
    pub stream: Stream,
}

/// What is kept of a recording; it goes by its stream's id.
#[derive(Clone, Debug, Queryable, Selectable)]
#[diesel(table_name = recordings, check_for_backend(Pg))]
pub struct RecordingRow {
    /// Of which stream.
    pub stream_id: StreamId,
    /// On which channel.
    pub channel_id: ChannelId,
    /// What it is called, if not as its stream.
    pub name: Option<String>,
    /// How far it is.
    pub state: RecordingState,
    /// Why it failed.
    pub failure: Option<RecordingFailure>,
    /// Whether whoever may watch the channel may play it.
    pub published: bool,
    /// How long it is.
    pub duration_ms: Option<i64>,
    /// What its files take.
    pub bytes: i64,
    /// The width of its picture, if it has one.
    pub width: Option<i32>,
    /// The height.
    pub height: Option<i32>,
    /// How often it was played.
    pub views: i64,
}

/// What a finished recording is like.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Measures {
    /// How long it is.
    pub duration_ms: i64,
    /// What its files take.
    pub bytes: i64,
    /// The size of its picture, if it has one.
    pub size: Option<(i32, i32)>,
}

/// What is to be different about a recording; what is `None` stays.
#[derive(AsChangeset, Default)]
#[diesel(table_name = recordings)]
pub struct RecordingChange {
    /// What it is called; `Some(None)`: as its stream.
    pub name: Option<Option<String>>,
    /// Whether whoever may watch the channel may play it.
    pub published: Option<bool>,
}

/// What recordings may take before the oldest go; what is `None` bounds nothing.
#[derive(Clone, Copy, Debug, Default)]
pub struct Retention {
    /// Those whose streams ended before go.
    pub ended_before: Option<DateTime<Utc>>,
    /// So many bytes for each channel.
    pub bytes_of_channel: Option<i64>,
    /// So many bytes in all.
    pub bytes: Option<i64>,
}

impl Recording {
    /// Where it stands in a list.
    pub fn place(&self) -> Place {
        Place::Id(self.row.stream_id.0)
    }

    /// What it is called.
    pub fn name(&self) -> &str {
        self.row.name.as_deref().unwrap_or(&self.stream.name)
    }

    /// Whether its stream is over.
    pub fn is_over(&self) -> bool {
        self.stream.state == StreamState::Ended
    }
}

type WithStreams<'a> =
    diesel::dsl::IntoBoxed<'a, diesel::dsl::InnerJoin<recordings::table, streams::table>, Pg>;
type Listed<'a> = recordings::BoxedQuery<'a, Pg>;

/// What a page of recordings is joined with.
const STREAMS: &str = "recordings JOIN streams ON streams.id = recordings.stream_id";

impl Store {
    /// The recordings of those streams, in no order; without those of channels that were deleted.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn recordings(&self, ids: &[StreamId]) -> Result<Vec<Recording>> {
        self.load(all().filter(recordings::stream_id.eq_any(ids))).await
    }

    /// A page of a channel's recordings, newest first: all of them, or those that whoever may watch may play.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn list_recordings(
        &self,
        channel: ChannelId,
        everything: bool,
        page: &Page,
    ) -> Result<Slice<Recording>> {
        self.cut(of_channel(channel, everything), page).await
    }

    /// A page of what everybody may play on the whole site, newest first.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn list_open_recordings(&self, page: &Page) -> Result<Slice<Recording>> {
        self.cut(open(), page).await
    }

    /// How many recordings that list holds.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn count_open_recordings(&self) -> Result<i64> {
        let counted = Count(open().select(recordings::stream_id));
        Ok(counted.get_result(&mut self.connection().await?).await?)
    }

    /// How many recordings a channel's list holds.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn count_recordings(&self, channel: ChannelId, everything: bool) -> Result<i64> {
        let counted = Count(of_channel(channel, everything).select(recordings::stream_id));
        Ok(counted.get_result(&mut self.connection().await?).await?)
    }

    /// All that are being recorded or processed.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn recordings_in_work(&self) -> Result<Vec<Recording>> {
        self.load(all().filter(Verbatim("recordings.state IN ('recording', 'processing')"))).await
    }

    /// The page of a list that is meant, newest first.
    async fn cut(&self, mut list: Listed<'_>, page: &Page) -> Result<Slice<Recording>> {
        let place = Columns { key: None, id: "recordings.stream_id", descending: true };
        for bound in place.bounds(page) {
            list = list.filter(bound);
        }
        let order = place.order(page);
        let list = list.order(order).limit(page.probe()).select(RecordingRow::as_select());
        let columns = (RecordingRow::as_select(), Stream::as_select());
        let query = Joined { columns, before: "", page: list, after: STREAMS, order };
        let rows = query.load::<(RecordingRow, Stream)>(&mut self.connection().await?).await?;
        Ok(page.slice(rows.into_iter().map(|(row, stream)| Recording { row, stream }).collect()))
    }

    async fn load(&self, list: WithStreams<'_>) -> Result<Vec<Recording>> {
        let rows = list.select((RecordingRow::as_select(), Stream::as_select()));
        let rows = rows.load::<(RecordingRow, Stream)>(&mut self.connection().await?).await?;
        Ok(rows.into_iter().map(|(row, stream)| Recording { row, stream }).collect())
    }

    /// A recording is complete and will be processed.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn process_recording(&self, id: StreamId) -> Result<()> {
        let complete = recordings::table.find(id).filter(recordings::state.eq(RecordingState::Recording));
        let set = diesel::update(complete).set(recordings::state.eq(RecordingState::Processing));
        set.execute(&mut self.connection().await?).await?;
        Ok(())
    }

    /// A recording can be played.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn finish_recording(&self, id: StreamId, measures: &Measures) -> Result<()> {
        let (width, height) = measures.size.unzip();
        let ready = (
            recordings::state.eq(RecordingState::Ready),
            recordings::duration_ms.eq(measures.duration_ms),
            recordings::bytes.eq(measures.bytes),
            recordings::width.eq(width),
            recordings::height.eq(height),
        );
        diesel::update(recordings::table.find(id)).set(ready).execute(&mut self.connection().await?).await?;
        Ok(())
    }

    /// Nothing can be made of a recording.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn fail_recording(&self, id: StreamId, why: RecordingFailure) -> Result<()> {
        let failed = (recordings::state.eq(RecordingState::Failed), recordings::failure.eq(why));
        diesel::update(recordings::table.find(id)).set(failed).execute(&mut self.connection().await?).await?;
        Ok(())
    }

    /// Changes a recording.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn update_recording(&self, id: StreamId, change: &RecordingChange) -> Result<()> {
        diesel::update(recordings::table.find(id)).set(change).execute(&mut self.connection().await?).await?;
        Ok(())
    }

    /// Deletes a recording.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn delete_recording(&self, id: StreamId) -> Result<()> {
        diesel::delete(recordings::table.find(id)).execute(&mut self.connection().await?).await?;
        Ok(())
    }

    /// A recording is played once more.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn count_recording_view(&self, id: StreamId) -> Result<()> {
        let once_more = recordings::views.eq(recordings::views + 1);
        diesel::update(recordings::table.find(id))
            .set(once_more)
            .execute(&mut self.connection().await?)
            .await?;
        Ok(())
    }

    /// Which of these streams have a recording on a channel that was not deleted, with its files on the disk.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn recorded(&self, ids: &[StreamId]) -> Result<HashSet<StreamId>> {
        let found = recordings::table.inner_join(channels::table).filter(recordings::stream_id.eq_any(ids));
        let found = found
            .filter(recordings::place.ne(RecordingPlace::Bucket))
            .filter(channels::deleted_at.is_null())
            .select(recordings::stream_id);
        Ok(found.load(&mut self.connection().await?).await?.into_iter().collect())
    }

    /// Whether the recordings of those channels, or of all, lie open to everybody: which channel's do.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn open_recordings(&self, ids: &[StreamId]) -> Result<HashSet<StreamId>> {
        let found = recordings::table.inner_join(channels::table).filter(recordings::stream_id.eq_any(ids));
        let open = found
            .filter(recordings::published.and(diesel::dsl::not(channels::protected)))
            .filter(recordings::state.eq(RecordingState::Ready))
            .filter(channels::deleted_at.is_null());
        let open = open.select(recordings::stream_id);
        Ok(open.load(&mut self.connection().await?).await?.into_iter().collect())
    }

    /// The recordings that are beyond what may be kept, with their channels' addresses.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn outlived_recordings(&self, retention: &Retention) -> Result<Vec<(StreamId, Loc)>> {
        #[derive(QueryableByName)]
        struct Outlived {
            #[diesel(sql_type = SqlUuid)]
            stream_id: StreamId,
            #[diesel(sql_type = SqlUuid)]
            loc: Loc,
        }
        let found = diesel::sql_query(
            "SELECT stream_id, loc FROM (
                SELECT stream_id, loc, ended_at,
                    sum(bytes) OVER (PARTITION BY recordings.channel_id ORDER BY stream_id DESC) AS of_channel,
                    sum(bytes) OVER (ORDER BY stream_id DESC) AS of_all
                FROM recordings JOIN streams ON streams.id = stream_id
                WHERE recordings.state IN ('ready', 'failed')
            ) AS kept
            WHERE ended_at < $1 OR of_channel > $2 OR of_all > $3",
        )
        .bind::<Nullable<Timestamptz>, _>(retention.ended_before)
        .bind::<Nullable<BigInt>, _>(retention.bytes_of_channel)
        .bind::<Nullable<BigInt>, _>(retention.bytes);
        let found: Vec<Outlived> = found.load(&mut self.connection().await?).await?;
        Ok(found.into_iter().map(|it| (it.stream_id, it.loc)).collect())
    }
}

fn all() -> WithStreams<'static> {
    let there = channels::table.filter(channels::deleted_at.is_null()).select(channels::id);
    recordings::table.inner_join(streams::table).filter(recordings::channel_id.eq_any(there)).into_boxed()
}

fn open() -> Listed<'static> {
    // As the index says, which a trigger keeps to what the channels say.
    let open = Verbatim("recordings.state = 'ready' AND recordings.published AND recordings.open");
    recordings::table.filter(open).into_boxed()
}

fn of_channel(channel: ChannelId, everything: bool) -> Listed<'static> {
    let list = recordings::table.filter(recordings::channel_id.eq(channel));
    match everything {
        true => list.into_boxed(),
        false => list.filter(Verbatim("recordings.state = 'ready' AND recordings.published")).into_boxed(),
    }
}
