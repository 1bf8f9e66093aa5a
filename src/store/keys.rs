//! Stream keys and those of other servers as they are kept, all of them: gone through when the server's key has been replaced.

use diesel::prelude::*;
use diesel::sql_types::{Array, Binary, Uuid as SqlUuid};
use diesel_async::RunQueryDsl;
use uuid::Uuid;

use super::schema::{channels, simulcast_targets};
use super::{ChannelId, Result, Sealed, Store, TargetId};

/// A channel's stream key in another form.
#[derive(Debug)]
pub struct Resealed {
    /// Whose key.
    pub channel: ChannelId,
    /// The copy that it takes the place of.
    pub before: Vec<u8>,
    /// The same key.
    pub now: Sealed,
}

/// The key of a simulcast target in another form.
#[derive(Debug)]
pub struct ResealedTarget {
    /// Whose key.
    pub target: TargetId,
    /// The copy that it takes the place of.
    pub before: Vec<u8>,
    /// The same key.
    pub now: Vec<u8>,
}

impl Store {
    /// Up to `limit` sealed stream keys of the channels behind `after`, in the order of their ids.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn sealed_keys(
        &self,
        after: Option<ChannelId>,
        limit: i64,
    ) -> Result<Vec<(ChannelId, Vec<u8>)>> {
        let found = channels::table
            .filter(channels::id.gt(after.unwrap_or(ChannelId(Uuid::nil()))))
            .filter(channels::key_sealed.is_not_null())
            .order(channels::id)
            .limit(limit)
            .select((channels::id, channels::key_sealed.assume_not_null()));
        Ok(found.load(&mut self.connection().await?).await?)
    }

    /// Keeps stream keys in another form, but for those that were replaced in the meantime.
    ///
    /// # Errors
    /// When the database fails; then none has changed.
    pub async fn reseal(&self, keys: &[Resealed]) -> Result<()> {
        let resealed = diesel::sql_query(
            "UPDATE channels SET key_hash = hash, key_sealed = sealed
             FROM unnest($1, $2, $3, $4) AS resealed (id, before, hash, sealed)
             WHERE channels.id = resealed.id AND key_sealed = before",
        )
        .bind::<Array<SqlUuid>, _>(keys.iter().map(|key| key.channel).collect::<Vec<_>>())
        .bind::<Array<Binary>, _>(keys.iter().map(|key| &key.before).collect::<Vec<_>>())
        .bind::<Array<Binary>, _>(keys.iter().map(|key| &key.now.hash).collect::<Vec<_>>())
        .bind::<Array<Binary>, _>(keys.iter().map(|key| &key.now.sealed).collect::<Vec<_>>());
        resealed.execute(&mut self.connection().await?).await?;
        Ok(())
    }

    /// Up to `limit` sealed keys of the simulcast targets behind `after`, in the order of their ids.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn sealed_targets(
        &self,
        after: Option<TargetId>,
        limit: i64,
    ) -> Result<Vec<(TargetId, Vec<u8>)>> {
        let found = simulcast_targets::table
            .filter(simulcast_targets::id.gt(after.unwrap_or(TargetId(Uuid::nil()))))
            .order(simulcast_targets::id)
            .limit(limit)
            .select((simulcast_targets::id, simulcast_targets::key_sealed));
        Ok(found.load(&mut self.connection().await?).await?)
    }

    /// Keeps the keys of simulcast targets in another form, but for those that were replaced in the meantime.
    ///
    /// # Errors
    /// When the database fails; then none has changed.
    pub async fn reseal_targets(&self, keys: &[ResealedTarget]) -> Result<()> {
        let resealed = diesel::sql_query(
            "UPDATE simulcast_targets SET key_sealed = sealed FROM unnest($1, $2, $3) AS resealed (id, before, sealed)
             WHERE simulcast_targets.id = resealed.id AND key_sealed = before",
        )
        .bind::<Array<SqlUuid>, _>(keys.iter().map(|key| key.target).collect::<Vec<_>>())
        .bind::<Array<Binary>, _>(keys.iter().map(|key| &key.before).collect::<Vec<_>>())
        .bind::<Array<Binary>, _>(keys.iter().map(|key| &key.now).collect::<Vec<_>>());
        resealed.execute(&mut self.connection().await?).await?;
        Ok(())
    }
}
