//! Simulcast: the other servers that a channel's broadcasts are passed on to.

use diesel::pg::Pg;
use diesel::prelude::*;
use diesel_async::{AsyncConnection, RunQueryDsl};

use super::schema::{channels, simulcast_targets, streams};
use super::streams::is_on_the_air;
use super::{ChannelId, Loc, Result, Store, StreamState, TargetId};

/// A server that a channel's broadcasts are passed on to.
#[derive(Clone, Debug, PartialEq, Eq, Queryable, Selectable, Insertable)]
#[diesel(table_name = simulcast_targets, check_for_backend(Pg))]
pub struct Target {
    /// Its id.
    pub id: TargetId,
    /// Whose broadcasts.
    pub channel_id: ChannelId,
    /// The server, as its makers say it: `rtmp://HOST/APPLICATION`.
    pub url: String,
    /// The key that it is given, sealed.
    pub key_sealed: Vec<u8>,
    /// Whether anything is passed on to it.
    pub enabled: bool,
}

/// What is to be different about a target; what is `None` stays.
#[derive(AsChangeset, Default)]
#[diesel(table_name = simulcast_targets)]
pub struct TargetChange {
    /// The server.
    pub url: Option<String>,
    /// The key, sealed.
    pub key_sealed: Option<Vec<u8>>,
    /// Whether anything is passed on to it.
    pub enabled: Option<bool>,
}

impl TargetChange {
    fn is_none(&self) -> bool {
        matches!(self, Self { url: None, key_sealed: None, enabled: None })
    }
}

/// Something that is sent now, and where else it is to go.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Course {
    /// The channel's address.
    pub loc: Loc,
    /// Whether the stream is protected.
    pub protected: bool,
    /// Where to.
    pub target: Target,
}

impl Store {
    /// Adds a target; false when its channel has `most` of them already, or is gone.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn add_target(&self, target: &Target, most: i64) -> Result<bool> {
        let mut connection = self.connection().await?;
        let added = connection.transaction(async |connection| {
            // One at a time, so that they are counted right.
            let channel = channels::table.find(target.channel_id).filter(channels::deleted_at.is_null());
            let there = channel.for_update().select(channels::id).first::<ChannelId>(connection);
            if there.await.optional()?.is_none() {
                return Ok(false);
            }
            let held = simulcast_targets::table.filter(simulcast_targets::channel_id.eq(target.channel_id));
            if held.count().get_result::<i64>(connection).await? >= most {
                return Ok(false);
            }
            let added = diesel::insert_into(simulcast_targets::table).values(target);
            QueryResult::Ok(added.execute(connection).await? > 0)
        });
        Ok(added.await?)
    }

    /// The targets of those ids, in no order; without those of channels that were deleted.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn targets(&self, ids: &[TargetId]) -> Result<Vec<Target>> {
        let found = there().filter(simulcast_targets::id.eq_any(ids));
        Ok(found.select(Target::as_select()).load(&mut self.connection().await?).await?)
    }

    /// All targets of these channels, in the order in which they were added.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn targets_of(&self, channels: &[ChannelId]) -> Result<Vec<Target>> {
        let found = there().filter(simulcast_targets::channel_id.eq_any(channels));
        let found = found.order(simulcast_targets::id).select(Target::as_select());
        Ok(found.load(&mut self.connection().await?).await?)
    }

    /// Changes a target; there is none when it has been removed.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn update_target(&self, id: TargetId, change: TargetChange) -> Result<Option<Target>> {
        if change.is_none() {
            return Ok(self.targets(&[id]).await?.pop());
        }
        let changed = diesel::update(simulcast_targets::table.find(id)).set(change);
        let changed = changed.returning(Target::as_select());
        Ok(changed.get_result(&mut self.connection().await?).await.optional()?)
    }

    /// Removes a target.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn remove_target(&self, id: TargetId) -> Result<()> {
        diesel::delete(simulcast_targets::table.find(id)).execute(&mut self.connection().await?).await?;
        Ok(())
    }

    /// Everything that is to be passed on now: what is sent at this moment, to each target of its channel that is switched
    /// on.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn courses(&self) -> Result<Vec<Course>> {
        let found = streams::table
            .inner_join(channels::table.inner_join(simulcast_targets::table))
            .filter(is_on_the_air())
            .filter(streams::state.eq(StreamState::Live))
            .filter(channels::deleted_at.is_null())
            .filter(simulcast_targets::enabled)
            .select((streams::loc, streams::protected, Target::as_select()));
        let rows = found.load::<(Loc, bool, Target)>(&mut self.connection().await?).await?;
        Ok(rows.into_iter().map(|(loc, protected, target)| Course { loc, protected, target }).collect())
    }
}

type There =
    diesel::dsl::IntoBoxed<'static, diesel::dsl::InnerJoin<simulcast_targets::table, channels::table>, Pg>;

fn there() -> There {
    let of_channel = simulcast_targets::table.inner_join(channels::table);
    of_channel.filter(channels::deleted_at.is_null()).into_boxed()
}
