//! Sessions: opened, found, ended.

use std::collections::HashMap;

use chrono::{DateTime, Utc};
use diesel::prelude::*;
use diesel_async::RunQueryDsl;

use super::schema::{sessions, users};
use super::{Result, Role, Store, User, UserId};

/// A session that holds, and whose it is.
#[derive(Clone, Debug)]
pub struct SignedIn {
    /// Who.
    pub user: User,
    /// Until when.
    pub expires_at: DateTime<Utc>,
}

impl Store {
    /// Opens a session, and forgets those of the same user that have expired.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn create_session(
        &self,
        token_hash: &[u8],
        user: UserId,
        now: DateTime<Utc>,
        expires_at: DateTime<Utc>,
    ) -> Result<()> {
        let mut connection = self.connection().await?;
        diesel::delete(
            sessions::table.filter(sessions::user_id.eq(user)).filter(sessions::expires_at.le(now)),
        )
        .execute(&mut connection)
        .await?;
        diesel::insert_into(sessions::table)
            .values((
                sessions::token_hash.eq(token_hash),
                sessions::user_id.eq(user),
                sessions::created_at.eq(now),
                sessions::expires_at.eq(expires_at),
            ))
            .execute(&mut connection)
            .await?;
        Ok(())
    }

    /// Whose session that is, if it has not expired.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn session(&self, token_hash: &[u8], now: DateTime<Utc>) -> Result<Option<SignedIn>> {
        let found = sessions::table
            .inner_join(users::table)
            .filter(sessions::token_hash.eq(token_hash))
            .filter(sessions::expires_at.gt(now))
            .select((User::as_select(), sessions::expires_at))
            .first::<(User, DateTime<Utc>)>(&mut self.connection().await?)
            .await
            .optional()?;
        Ok(found.map(|(user, expires_at)| SignedIn { user, expires_at }))
    }

    /// Ends a session; false when there was none.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn delete_session(&self, token_hash: &[u8]) -> Result<bool> {
        let gone =
            diesel::delete(sessions::table.find(token_hash)).execute(&mut self.connection().await?).await?;
        Ok(gone == 1)
    }

    /// Which of these sessions have not ended or expired, by the hashes of their tokens, and what their users are now.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn sessions_that_hold(
        &self,
        token_hashes: &[[u8; 32]],
        now: DateTime<Utc>,
    ) -> Result<HashMap<Vec<u8>, Role>> {
        let asked: Vec<&[u8]> = token_hashes.iter().map(|hash| hash.as_slice()).collect();
        let found = sessions::table
            .inner_join(users::table)
            .filter(sessions::token_hash.eq_any(asked))
            .filter(sessions::expires_at.gt(now))
            .select((sessions::token_hash, users::role));
        let held = found.load::<(Vec<u8>, Role)>(&mut self.connection().await?).await?;
        Ok(held.into_iter().collect())
    }
}
