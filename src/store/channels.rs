//! Channels: made, changed, found; their stream keys. How they are listed is in [`super::channel_lists`].

use std::collections::HashMap;

use chrono::{DateTime, Utc};
use diesel::pg::Pg;
use diesel::prelude::*;
use diesel_async::{AsyncConnection, AsyncPgConnection, RunQueryDsl};
use uuid::Uuid;

use super::attempts::{Attempt, Once, once};
use super::audit::{Deed, Done, record};
use super::schema::{channels, users};
use super::transitions::{EndedStream, end_on_channel};
use super::{AuditKind, ChannelId, Loc, Result, StopReason, Store, TopicId, User, UserId};

/// A room that its owner can broadcast into.
#[derive(Clone, Debug, Queryable, Selectable)]
#[diesel(table_name = channels, check_for_backend(Pg))]
pub struct Channel {
    /// Its id.
    pub id: ChannelId,
    /// Its public address.
    pub loc: Loc,
    /// Whose it is.
    pub owner_id: UserId,
    /// What it is about.
    pub topic_id: Option<TopicId>,
    /// Its name.
    pub name: String,
    /// What its owner says of it.
    pub description: String,
    /// A picture.
    pub image_url: Option<String>,
    /// What its streams are called when they are not named.
    pub default_stream_name: String,
    /// Whether viewers may chat.
    pub chat_enabled: bool,
    /// Whether viewers may cut clips.
    pub clips_enabled: bool,
    /// Whether streams are recorded.
    pub record: bool,
    /// Whether playback needs a signed URL.
    pub protected: bool,
    /// Which password opens it to whoever has it; another one with each password.
    pub password_id: Option<Uuid>,
    /// Publishers are refused until then.
    pub held_until: Option<DateTime<Utc>>,
    /// Whether it has a stream that has not ended.
    pub live: bool,
    /// How many watch now.
    pub current_viewers: i32,
    /// Viewer sessions of all its streams.
    pub views: i64,
    /// When it was made.
    pub created_at: DateTime<Utc>,
    /// When its owner last changed it.
    pub updated_at: DateTime<Utc>,
    /// When it was deleted; then only events of the last days still speak of it.
    pub deleted_at: Option<DateTime<Utc>>,
}

/// A stream key, as it is kept.
#[derive(Clone, Debug)]
pub struct Sealed {
    /// The keyed hash that it is looked up by.
    pub hash: Vec<u8>,
    /// The copy that only the server's key opens.
    pub sealed: Vec<u8>,
}

/// A channel to be made.
#[derive(Insertable)]
#[diesel(table_name = channels)]
pub struct NewChannel<'a> {
    /// Its id.
    pub id: ChannelId,
    /// Its public address.
    pub loc: Loc,
    /// Whose it is.
    pub owner_id: UserId,
    /// What it is about.
    pub topic_id: Option<TopicId>,
    /// Its name.
    pub name: &'a str,
    /// What its owner says of it.
    pub description: &'a str,
    /// What its streams are called when they are not named.
    pub default_stream_name: &'a str,
    /// Whether viewers may chat.
    pub chat_enabled: bool,
    /// Whether viewers may cut clips.
    pub clips_enabled: bool,
    /// Whether streams are recorded.
    pub record: bool,
    /// Whether playback needs a signed URL.
    pub protected: bool,
    /// See [`Sealed`].
    pub key_hash: &'a [u8],
    /// See [`Sealed`].
    pub key_sealed: &'a [u8],
    /// When.
    pub created_at: DateTime<Utc>,
    /// When, again.
    pub updated_at: DateTime<Utc>,
}

/// What is to be different about a channel; what is `None` stays.
#[derive(AsChangeset, Default)]
#[diesel(table_name = channels)]
pub struct ChannelChange {
    /// Its name.
    pub name: Option<String>,
    /// What its owner says of it.
    pub description: Option<String>,
    /// What it is about; `Some(None)` clears.
    pub topic_id: Option<Option<TopicId>>,
    /// A picture; `Some(None)` clears.
    pub image_url: Option<Option<String>>,
    /// What its streams are called when they are not named.
    pub default_stream_name: Option<String>,
    /// Whether viewers may chat.
    pub chat_enabled: Option<bool>,
    /// Whether viewers may cut clips.
    pub clips_enabled: Option<bool>,
    /// Whether streams are recorded.
    pub record: Option<bool>,
    /// Whether playback needs a signed URL.
    pub protected: Option<bool>,
    /// The hash of the password that opens it; `Some(None)` clears.
    pub password_hash: Option<Option<String>>,
    /// Which password that is; always together with its hash.
    pub password_id: Option<Option<Uuid>>,
    /// When.
    pub updated_at: Option<DateTime<Utc>>,
}

enum Change<'a> {
    Delete,
    Key(&'a Sealed),
    Hold(DateTime<Utc>),
}

impl Change<'_> {
    async fn apply(
        &self,
        connection: &mut AsyncPgConnection,
        id: ChannelId,
        now: DateTime<Utc>,
    ) -> QueryResult<Channel> {
        let channel = diesel::update(channels::table.find(id));
        match self {
            Self::Delete => {
                let no_key = None::<&[u8]>;
                let gone = (
                    channels::deleted_at.eq(now),
                    channels::key_hash.eq(no_key),
                    channels::key_sealed.eq(no_key),
                );
                channel.set(gone).returning(Channel::as_returning()).get_result(connection).await
            }
            Self::Key(key) => {
                let renewed = (
                    channels::key_hash.eq(&key.hash),
                    channels::key_sealed.eq(&key.sealed),
                    channels::held_until.eq(None::<DateTime<Utc>>),
                    channels::updated_at.eq(now),
                );
                channel.set(renewed).returning(Channel::as_returning()).get_result(connection).await
            }
            Self::Hold(until) => {
                let held = channels::held_until.eq(until);
                channel.set(held).returning(Channel::as_returning()).get_result(connection).await
            }
        }
    }
}

/// What came of something that ends the channel's stream if it has one.
#[derive(Debug)]
pub struct Removed {
    /// The channel as it is now.
    pub channel: Channel,
    /// The stream that ended with it.
    pub ended: Option<EndedStream>,
}

impl Store {
    /// Makes a channel, once for all of the same attempt.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn create_channel(
        &self,
        channel: &NewChannel<'_>,
        attempt: Option<&Attempt<'_>>,
    ) -> Result<Once<Channel>> {
        let make = async |connection: &mut AsyncPgConnection| {
            let new = diesel::insert_into(channels::table).values(channel);
            new.returning(Channel::as_returning()).get_result(connection).await
        };
        let mut connection = self.connection().await?;
        connection
            .transaction(async |connection| Ok(once(connection, attempt, channel.id, make).await?))
            .await
    }

    /// Changes a channel; `None` when it is not there.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn update_channel(&self, id: ChannelId, change: &ChannelChange) -> Result<Option<Channel>> {
        let changed = diesel::update(channels::table.find(id).filter(channels::deleted_at.is_null()))
            .set(change)
            .returning(Channel::as_returning())
            .get_result(&mut self.connection().await?)
            .await;
        Ok(changed.optional()?)
    }

    /// Deletes a channel and ends its stream; `None` when it is not there.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn delete_channel(&self, id: ChannelId, deed: &Deed) -> Result<Option<Removed>> {
        self.change_and_end(id, StopReason::ChannelDeleted, Change::Delete, deed).await
    }

    /// Gives a channel another key and ends the stream that came with the old one, once for all of the same
    /// attempt; `None` when it is not there.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn replace_key(
        &self,
        id: ChannelId,
        key: &Sealed,
        attempt: Option<&Attempt<'_>>,
        deed: &Deed,
    ) -> Result<Once<Option<Removed>>> {
        let replace = async |connection: &mut AsyncPgConnection| {
            change_and_end(connection, id, StopReason::KeyRegenerated, Change::Key(key), deed).await
        };
        let mut connection = self.connection().await?;
        connection.transaction(async |connection| Ok(once(connection, attempt, id, replace).await?)).await
    }

    /// Ends a channel's stream and holds its publishers off until `held_until`; `None` when it is not there.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn take_off_the_air(
        &self,
        id: ChannelId,
        reason: StopReason,
        held_until: DateTime<Utc>,
        deed: &Deed,
    ) -> Result<Option<Removed>> {
        self.change_and_end(id, reason, Change::Hold(held_until), deed).await
    }

    async fn change_and_end(
        &self,
        id: ChannelId,
        reason: StopReason,
        change: Change<'_>,
        deed: &Deed,
    ) -> Result<Option<Removed>> {
        let mut connection = self.connection().await?;
        connection
            .transaction(async |connection| Ok(change_and_end(connection, id, reason, change, deed).await?))
            .await
    }

    /// The channel at that address.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn channel_by_loc(&self, loc: Loc) -> Result<Option<Channel>> {
        let found = channels::table.filter(channels::loc.eq(loc)).filter(channels::deleted_at.is_null());
        Ok(found.select(Channel::as_select()).first(&mut self.connection().await?).await.optional()?)
    }

    /// The channels at those addresses, in no order; those of nothing are left out.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn channels_by_loc(&self, locs: &[Loc]) -> Result<Vec<Channel>> {
        let found = channels::table.filter(channels::loc.eq_any(locs)).filter(channels::deleted_at.is_null());
        Ok(found.select(Channel::as_select()).load(&mut self.connection().await?).await?)
    }

    /// The channel of that id, unless it was deleted.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn channel(&self, id: ChannelId) -> Result<Option<Channel>> {
        let found = channels::table.find(id).filter(channels::deleted_at.is_null());
        Ok(found.select(Channel::as_select()).first(&mut self.connection().await?).await.optional()?)
    }

    /// The channels of those ids, deleted ones too since events still speak of them, in no order.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn channels(&self, ids: &[ChannelId]) -> Result<Vec<Channel>> {
        let found = channels::table.filter(channels::id.eq_any(ids)).select(Channel::as_select());
        Ok(found.load(&mut self.connection().await?).await?)
    }

    /// The channels that keys open, and their owners, by the hashes of the keys.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn channels_of_keys(&self, key_hashes: &[&[u8]]) -> Result<HashMap<Vec<u8>, (Channel, User)>> {
        let found = channels::table
            .inner_join(users::table)
            .filter(channels::key_hash.eq_any(key_hashes))
            .filter(channels::deleted_at.is_null())
            .select((channels::key_hash.assume_not_null(), Channel::as_select(), User::as_select()));
        let rows = found.load::<(Vec<u8>, Channel, User)>(&mut self.connection().await?).await?;
        Ok(rows.into_iter().map(|(hash, channel, owner)| (hash, (channel, owner))).collect())
    }

    /// A channel's key as it is kept.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn sealed_key(&self, id: ChannelId) -> Result<Option<Vec<u8>>> {
        let found = channels::table.find(id).select(channels::key_sealed);
        Ok(found.first::<Option<Vec<u8>>>(&mut self.connection().await?).await.optional()?.flatten())
    }

    /// Removes for good the channels that were deleted before `horizon`; how many.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn purge_channels(&self, horizon: DateTime<Utc>) -> Result<usize> {
        let gone = channels::table.filter(channels::deleted_at.lt(horizon));
        Ok(diesel::delete(gone).execute(&mut self.connection().await?).await?)
    }
}

/// Changes a channel under its lock, which every beginning takes as well, and ends its stream.
async fn change_and_end(
    connection: &mut AsyncPgConnection,
    id: ChannelId,
    reason: StopReason,
    change: Change<'_>,
    deed: &Deed,
) -> QueryResult<Option<Removed>> {
    let Some(there) = lock(connection, id).await? else { return Ok(None) };
    let kind = match (&change, reason) {
        (Change::Delete, _) => Some(AuditKind::ChannelDeleted),
        (Change::Key(_), _) => Some(AuditKind::KeyRegenerated),
        (Change::Hold(_), StopReason::EndedByModerator) if there.live => Some(AuditKind::StreamEnded),
        (Change::Hold(_), _) => None,
    };
    if let Some(kind) = kind {
        let (subject, detail) = (Some(there.owner_id), Some(there.name.as_str()));
        record(connection, deed, Done { kind, subject, channel: Some(id), detail }).await?;
    }
    let ended = end_on_channel(connection, id, reason, deed.at()).await?;
    // With nothing to end there is nobody to hold off.
    let channel = match (&change, &ended) {
        (Change::Hold(_), None) => there,
        _ => change.apply(connection, id, deed.at()).await?,
    };
    Ok(Some(Removed { channel, ended }))
}

/// Locks the rows of channels likewise, in the order of their ids, as everywhere: so nobody waits in a circle.
pub(super) async fn lock_each(connection: &mut AsyncPgConnection, ids: &[ChannelId]) -> QueryResult<()> {
    let rows = channels::table.filter(channels::id.eq_any(ids)).order(channels::id).select(channels::id);
    rows.for_no_key_update().load::<ChannelId>(connection).await.map(drop)
}

/// Locks a channel's row until the end of the transaction; `None` when it is not there.
///
/// Not against its key being referred to: an event that others append names the channel while they hold the
/// stream's row, which whoever locks here wants next.
pub(super) async fn lock(connection: &mut AsyncPgConnection, id: ChannelId) -> QueryResult<Option<Channel>> {
    channels::table
        .find(id)
        .filter(channels::deleted_at.is_null())
        .select(Channel::as_select())
        .for_no_key_update()
        .first(connection)
        .await
        .optional()
}
