//! Sessions: opened, found, ended.

use std::collections::HashMap;

use chrono::{DateTime, Utc};
use diesel::prelude::*;
use diesel_async::{AsyncConnection, RunQueryDsl};

use super::audit::{Deed, Done, record};
use super::schema::{sessions, users};
use super::{AuditKind, Result, Role, Store, User, UserId};

/// A session that holds, and whose it is.
#[derive(Clone, Debug)]
pub struct SignedIn {
    /// Who.
    pub user: User,
    /// Until when.
    pub expires_at: DateTime<Utc>,
}

/// What came of opening a session.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Opened {
    /// It is open.
    Open,
    /// The user is shut out.
    Suspended,
    /// The password that was shown is another one by now.
    PasswordChanged,
}

/// A session of somebody's, as they may look at it.
#[derive(Clone, Debug, Queryable, Selectable)]
#[diesel(table_name = sessions, check_for_backend(diesel::pg::Pg))]
pub struct Session {
    /// The hash of its token.
    pub token_hash: Vec<u8>,
    /// When it was opened.
    pub created_at: DateTime<Utc>,
    /// Until when it holds.
    pub expires_at: DateTime<Utc>,
}

/// What came of changing a password.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PasswordChange {
    /// It is changed, and so many other sessions have ended.
    Changed {
        /// How many.
        ended: usize,
    },
    /// The password that was shown is another one by now.
    Superseded,
}

/// How many sessions of a user are shown.
const SHOWN: i64 = 100;

impl Store {
    /// Opens a session for whoever has shown the password with the hash `proven`, and forgets those of the same user
    /// that have expired.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn create_session(
        &self,
        token_hash: &[u8],
        user: UserId,
        proven: &str,
        expires_at: DateTime<Utc>,
        deed: &Deed,
    ) -> Result<Opened> {
        let now = deed.at();
        let mut connection = self.connection().await?;
        connection
            .transaction(async |connection| {
                // Whoever suspends, or changes the password, waits for us and then ends the session, or we wait and
                // see it.
                let admitted = users::table.find(user).filter(users::suspended_at.is_null());
                let admitted = admitted.select(users::password_hash).for_share();
                match admitted.first::<String>(connection).await.optional()? {
                    None => return Ok(Opened::Suspended),
                    Some(hash) if hash != proven => return Ok(Opened::PasswordChanged),
                    Some(_) => {}
                }
                let old = sessions::table.filter(sessions::user_id.eq(user));
                diesel::delete(old.filter(sessions::expires_at.le(now))).execute(connection).await?;
                let new = (
                    sessions::token_hash.eq(token_hash),
                    sessions::user_id.eq(user),
                    sessions::created_at.eq(now),
                    sessions::expires_at.eq(expires_at),
                );
                diesel::insert_into(sessions::table).values(new).execute(connection).await?;
                record(connection, deed, of(AuditKind::SignedIn, user)).await?;
                Ok(Opened::Open)
            })
            .await
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
            .filter(users::suspended_at.is_null())
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
    pub async fn delete_session(&self, token_hash: &[u8], deed: &Deed) -> Result<bool> {
        let mut connection = self.connection().await?;
        connection
            .transaction(async |connection| {
                let gone = diesel::delete(sessions::table.find(token_hash)).returning(sessions::user_id);
                let user = gone.get_result::<UserId>(connection).await.optional()?;
                if let Some(user) = user {
                    record(connection, deed, of(AuditKind::SignedOut, user)).await?;
                }
                Ok(user.is_some())
            })
            .await
    }

    /// A user's sessions that hold, the newest first, up to a hundred.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn sessions_of(&self, user: UserId, now: DateTime<Utc>) -> Result<Vec<Session>> {
        let held = sessions::table.filter(sessions::user_id.eq(user)).filter(sessions::expires_at.gt(now));
        let newest = held.order((sessions::created_at.desc(), sessions::token_hash)).limit(SHOWN);
        Ok(newest.select(Session::as_select()).load(&mut self.connection().await?).await?)
    }

    /// Gives a user the password with the hash `after` in place of the one with the hash `before`, and ends all of
    /// their sessions but `kept`.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn change_password(
        &self,
        user: UserId,
        before: &str,
        after: &str,
        kept: &[u8],
        deed: &Deed,
    ) -> Result<PasswordChange> {
        let mut connection = self.connection().await?;
        connection
            .transaction(async |connection| {
                let account = users::table.find(user).filter(users::password_hash.eq(before));
                let changed = diesel::update(account).set(users::password_hash.eq(after));
                if changed.execute(connection).await? == 0 {
                    return Ok(PasswordChange::Superseded);
                }
                let others = sessions::table.filter(sessions::user_id.eq(user));
                let others = others.filter(sessions::token_hash.ne(kept));
                let ended = diesel::delete(others).execute(connection).await?;
                record(connection, deed, of(AuditKind::PasswordSet, user)).await?;
                Ok(PasswordChange::Changed { ended })
            })
            .await
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
            .filter(users::suspended_at.is_null())
            .select((sessions::token_hash, users::role));
        let held = found.load::<(Vec<u8>, Role)>(&mut self.connection().await?).await?;
        Ok(held.into_iter().collect())
    }
}

fn of(kind: AuditKind, user: UserId) -> Done<'static> {
    Done { kind, subject: Some(user), channel: None, detail: None }
}
