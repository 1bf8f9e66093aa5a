//! Where the files of recordings lie: on the disk where they were made, or in a bucket.

use diesel::prelude::*;
use diesel_async::RunQueryDsl;

use super::schema::{channels, discarded_recordings, recordings, streams};
use super::{Loc, RecordingPlace, RecordingState, Result, Store, StreamId};

/// So many at a time.
const MOST: i64 = 100;

impl Store {
    /// Which of these recordings can be played and are not in the bucket yet, the oldest first.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn recordings_to_move(&self, ids: &[StreamId]) -> Result<Vec<StreamId>> {
        let found = recordings::table.inner_join(channels::table).filter(recordings::stream_id.eq_any(ids));
        let found = found
            .filter(recordings::state.eq(RecordingState::Ready))
            .filter(recordings::place.ne(RecordingPlace::Bucket))
            .filter(channels::deleted_at.is_null());
        let found = found.order(recordings::stream_id).select(recordings::stream_id);
        Ok(found.load(&mut self.connection().await?).await?)
    }

    /// A recording's files are on their way, or have arrived; false when it was deleted meanwhile.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn place_recording(&self, id: StreamId, place: RecordingPlace) -> Result<bool> {
        let set = diesel::update(recordings::table.find(id)).set(recordings::place.eq(place));
        Ok(set.execute(&mut self.connection().await?).await? > 0)
    }

    /// Whether a recording of the channel at `loc` can be played from the bucket, by everybody if that is asked.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn is_in_bucket(&self, id: StreamId, loc: Loc, by_everybody: bool) -> Result<bool> {
        let found = recordings::table.inner_join(streams::table).inner_join(channels::table);
        let found = found
            .filter(recordings::stream_id.eq(id))
            .filter(streams::loc.eq(loc))
            .filter(recordings::state.eq(RecordingState::Ready))
            .filter(recordings::place.eq(RecordingPlace::Bucket))
            .filter(channels::deleted_at.is_null());
        let may = diesel::dsl::not(by_everybody.into_sql::<diesel::sql_types::Bool>());
        let found = found.filter(may.or(recordings::published.and(recordings::open)));
        Ok(diesel::select(diesel::dsl::exists(found)).get_result(&mut self.connection().await?).await?)
    }

    /// Recordings that were deleted, or whose channels were, and whose files may still be in the bucket.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn discarded_recordings(&self) -> Result<Vec<StreamId>> {
        let mut connection = self.connection().await?;
        let mut some: Vec<StreamId> = discarded_recordings::table
            .select(discarded_recordings::stream_id)
            .limit(MOST)
            .load(&mut connection)
            .await?;
        let of_deleted = recordings::table.inner_join(channels::table);
        let of_deleted = of_deleted
            .filter(channels::deleted_at.is_not_null())
            .filter(recordings::place.ne(RecordingPlace::Disk))
            .select(recordings::stream_id)
            .limit(MOST);
        some.extend(of_deleted.load::<StreamId>(&mut connection).await?);
        Ok(some)
    }

    /// Nothing of a discarded recording is in the bucket any more.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn forget_discarded(&self, id: StreamId) -> Result<()> {
        let mut connection = self.connection().await?;
        diesel::delete(discarded_recordings::table.find(id)).execute(&mut connection).await?;
        let row = diesel::update(recordings::table.find(id));
        row.set(recordings::place.eq(RecordingPlace::Disk)).execute(&mut connection).await?;
        Ok(())
    }
}
