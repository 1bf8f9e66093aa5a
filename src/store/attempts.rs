//! What happens once, however often it is asked for: a request with an idempotency key leaves the key behind in the
//! transaction of its effect, so a retry finds what came of it, also after a crash in between.

use chrono::{DateTime, TimeDelta, Utc};
use diesel::prelude::*;
use diesel::upsert::excluded;
use diesel_async::{AsyncPgConnection, RunQueryDsl};
use sha2::{Digest, Sha256};

use super::schema::attempts;
use super::{ChannelId, Mutation, Result, Store, UserId};

/// How long a key is remembered: part of the API's promise.
const KEPT: TimeDelta = TimeDelta::hours(24);

/// A request that its client may repeat.
#[derive(Insertable)]
#[diesel(table_name = attempts)]
pub struct Attempt<'a> {
    user_id: UserId,
    mutation: Mutation,
    key: &'a str,
    input_hash: Vec<u8>,
    at: DateTime<Utc>,
}

/// What came of something that is to happen once.
#[derive(Debug)]
pub enum Once<T> {
    /// It happened now.
    Now(T),
    /// It had happened before, to this channel.
    Before(ChannelId),
    /// Under this key something else was asked for before.
    Other,
}

impl<'a> Attempt<'a> {
    /// `user` asks for `mutation` under `key`, at `at`; another `input` under the same key is another request.
    pub fn new(user: UserId, mutation: Mutation, key: &'a str, input: &[u8], at: DateTime<Utc>) -> Self {
        Self { user_id: user, mutation, key, input_hash: Sha256::digest(input).to_vec(), at }
    }

    /// Takes the key for what is to happen to `channel`. Whoever comes second waits here until the first has
    /// committed, and a row that was found is kept from the sweep until the end of the transaction.
    async fn claim(&self, connection: &mut AsyncPgConnection, channel: ChannelId) -> QueryResult<Once<()>> {
        let mine = diesel::insert_into(attempts::table)
            .values((self, attempts::channel_id.eq(channel)))
            .on_conflict((attempts::user_id, attempts::mutation, attempts::key))
            .do_update()
            .set((
                attempts::input_hash.eq(excluded(attempts::input_hash)),
                attempts::channel_id.eq(excluded(attempts::channel_id)),
                attempts::at.eq(excluded(attempts::at)),
            ));
        // One that is no longer kept may not have been swept yet.
        let mine = diesel::query_dsl::methods::FilterDsl::filter(mine, attempts::at.le(self.at - KEPT));
        if mine.execute(connection).await? == 1 {
            return Ok(Once::Now(()));
        }
        let (input_hash, channel) = attempts::table
            .find((self.user_id, self.mutation, self.key))
            .select((attempts::input_hash, attempts::channel_id))
            .first::<(Vec<u8>, ChannelId)>(connection)
            .await?;
        Ok(if input_hash == self.input_hash { Once::Before(channel) } else { Once::Other })
    }
}

/// Does what is to happen to `channel`, unless `attempt` says that it has happened. The caller has opened the
/// transaction that holds the two together.
pub(super) async fn once<T>(
    connection: &mut AsyncPgConnection,
    attempt: Option<&Attempt<'_>>,
    channel: ChannelId,
    effect: impl AsyncFnOnce(&mut AsyncPgConnection) -> QueryResult<T>,
) -> QueryResult<Once<T>> {
    let claimed = match attempt {
        Some(attempt) => attempt.claim(connection, channel).await?,
        None => Once::Now(()),
    };
    Ok(match claimed {
        Once::Now(()) => Once::Now(effect(connection).await?),
        Once::Before(channel) => Once::Before(channel),
        Once::Other => Once::Other,
    })
}

impl Store {
    /// Forgets the keys that are no longer kept; how many.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn forget_attempts(&self, now: DateTime<Utc>) -> Result<usize> {
        let old = attempts::table.filter(attempts::at.le(now - KEPT));
        Ok(diesel::delete(old).execute(&mut self.connection().await?).await?)
    }
}
