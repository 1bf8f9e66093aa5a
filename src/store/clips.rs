//! Clips: the last seconds of a broadcast, as viewers cut them out.

use std::collections::HashSet;

use diesel::pg::Pg;
use diesel::prelude::*;
use diesel_async::RunQueryDsl;

use super::page::{Columns, Count};
use super::schema::{channels, clips};
use super::{ChannelId, ClipId, Page, Place, Result, Slice, Store, StreamId, UserId};

/// The last seconds of a broadcast.
#[derive(Clone, Debug, Queryable, Selectable, Insertable)]
#[diesel(table_name = clips, check_for_backend(Pg))]
pub struct Clip {
    /// Its id.
    pub id: ClipId,
    /// Of which stream.
    pub stream_id: StreamId,
    /// On which channel.
    pub channel_id: ChannelId,
    /// Who made it.
    pub creator_id: UserId,
    /// What it is called.
    pub title: String,
    /// How long it is.
    pub duration_ms: i64,
    /// What its files take.
    pub bytes: i64,
    /// The width of its picture, if it has one.
    pub width: Option<i32>,
    /// The height.
    pub height: Option<i32>,
}

impl Clip {
    /// Where it stands in a list.
    pub fn place(&self) -> Place {
        Place::Id(self.id.0)
    }
}

type Listed<'a> = clips::BoxedQuery<'a, Pg>;

impl Store {
    /// Keeps a clip that was made.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn create_clip(&self, clip: &Clip) -> Result<()> {
        diesel::insert_into(clips::table).values(clip).execute(&mut self.connection().await?).await?;
        Ok(())
    }

    /// The clips of those ids, in no order; without those of channels that were deleted.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn clips(&self, ids: &[ClipId]) -> Result<Vec<Clip>> {
        let there = channels::table.filter(channels::deleted_at.is_null()).select(channels::id);
        let found = clips::table.filter(clips::id.eq_any(ids)).filter(clips::channel_id.eq_any(there));
        Ok(found.select(Clip::as_select()).load(&mut self.connection().await?).await?)
    }

    /// A page of a channel's clips, the newest first.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn list_clips(&self, channel: ChannelId, page: &Page) -> Result<Slice<Clip>> {
        let columns = Columns { key: None, id: "clips.id", descending: true };
        let mut list = of_channel(channel);
        for bound in columns.bounds(page) {
            list = list.filter(bound);
        }
        let list = list.order(columns.order(page)).limit(page.probe()).select(Clip::as_select());
        Ok(page.slice(list.load(&mut self.connection().await?).await?))
    }

    /// How many clips a channel has.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn count_clips(&self, channel: ChannelId) -> Result<i64> {
        let counted = Count(of_channel(channel).select(clips::id));
        Ok(counted.get_result(&mut self.connection().await?).await?)
    }

    /// Deletes a clip.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn delete_clip(&self, id: ClipId) -> Result<()> {
        diesel::delete(clips::table.find(id)).execute(&mut self.connection().await?).await?;
        Ok(())
    }

    /// Which of these clips there are, on channels that were not deleted: for each whether everybody may watch it.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn open_clips(&self, ids: &[ClipId]) -> Result<(HashSet<ClipId>, HashSet<ClipId>)> {
        let found = clips::table
            .inner_join(channels::table)
            .filter(clips::id.eq_any(ids))
            .filter(channels::deleted_at.is_null())
            .select((clips::id, channels::protected));
        let found = found.load::<(ClipId, bool)>(&mut self.connection().await?).await?;
        let open = found.iter().filter(|(_, protected)| !protected).map(|(id, _)| *id).collect();
        Ok((found.into_iter().map(|(id, _)| id).collect(), open))
    }
}

fn of_channel(channel: ChannelId) -> Listed<'static> {
    clips::table.filter(clips::channel_id.eq(channel)).into_boxed()
}
