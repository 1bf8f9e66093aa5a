//! Users: made, found, given passwords. Their sessions are in [`super::sessions`], what they are to
//! this site in [`super::standing`].

use chrono::{DateTime, Utc};
use diesel::prelude::*;
use diesel::result::{DatabaseErrorKind, Error as QueryError};
use diesel_async::{AsyncConnection, RunQueryDsl};

use super::audit::{Deed, Done, record};
use super::schema::users;
use super::{AuditKind, Result, Role, Store, UserId};

/// Somebody with an account.
#[derive(Clone, Debug, Queryable, Selectable)]
#[diesel(table_name = users, check_for_backend(diesel::pg::Pg))]
pub struct User {
    /// Its id.
    pub id: UserId,
    /// Unique, lower case.
    pub handle: String,
    /// What others see.
    pub display_name: String,
    /// What the user is to this site.
    pub role: Role,
    /// When the account was made.
    pub created_at: DateTime<Utc>,
    /// Since when the user is shut out.
    pub suspended_at: Option<DateTime<Utc>>,
    /// Why.
    pub suspension_reason: Option<String>,
}

/// An account to be made.
#[derive(Insertable)]
#[diesel(table_name = users)]
pub struct NewUser<'a> {
    /// Its id.
    pub id: UserId,
    /// Already checked for form.
    pub handle: &'a str,
    /// What others see.
    pub display_name: &'a str,
    /// What the user is to this site.
    pub role: Role,
    /// In PHC form.
    pub password_hash: &'a str,
    /// When.
    pub created_at: DateTime<Utc>,
}

/// What came of making something that has a unique name.
#[derive(Debug)]
pub enum Created<T> {
    /// It is made.
    Made(T),
    /// The name is somebody else's.
    Taken,
}

impl<T> Created<T> {
    /// Reads an insert's result: a constraint whose name ends in `_taken` is an outcome.
    pub(super) fn from_insert(result: std::result::Result<T, QueryError>) -> Result<Self> {
        match result {
            Ok(row) => Ok(Self::Made(row)),
            Err(QueryError::DatabaseError(DatabaseErrorKind::UniqueViolation, info))
                if info.constraint_name().is_some_and(|name| name.ends_with("_taken")) =>
            {
                Ok(Self::Taken)
            }
            Err(error) => Err(error.into()),
        }
    }
}

impl Store {
    /// Makes an account.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn create_user(&self, user: &NewUser<'_>, deed: &Deed) -> Result<Created<User>> {
        let mut connection = self.connection().await?;
        let made = connection
            .transaction(async |connection| {
                let new = diesel::insert_into(users::table).values(user);
                let made = new.returning(User::as_returning()).get_result(connection).await?;
                let (kind, detail) = (AuditKind::SignedUp, Some(user.role.word()));
                record(connection, deed, Done { kind, subject: Some(user.id), channel: None, detail })
                    .await?;
                Ok(made)
            })
            .await;
        Created::from_insert(made)
    }

    /// The user of that handle.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn user_by_handle(&self, handle: &str) -> Result<Option<User>> {
        let found = users::table.filter(users::handle.eq(handle)).select(User::as_select());
        Ok(found.first(&mut self.connection().await?).await.optional()?)
    }

    /// The users of those ids, in no order; ids of nobody are left out.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn users(&self, ids: &[UserId]) -> Result<Vec<User>> {
        let found = users::table.filter(users::id.eq_any(ids)).select(User::as_select());
        Ok(found.load(&mut self.connection().await?).await?)
    }

    /// The user of that handle with the hash of the password, for signing in.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn user_with_password(&self, handle: &str) -> Result<Option<(User, String)>> {
        let found =
            users::table.filter(users::handle.eq(handle)).select((User::as_select(), users::password_hash));
        Ok(found.first(&mut self.connection().await?).await.optional()?)
    }

    /// Gives a user another password; what was signed in stays so.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn set_password(&self, id: UserId, password_hash: &str, deed: &Deed) -> Result<()> {
        let mut connection = self.connection().await?;
        connection
            .transaction(async |connection| {
                let changed = diesel::update(users::table.find(id));
                changed.set(users::password_hash.eq(password_hash)).execute(connection).await?;
                let kind = AuditKind::PasswordSet;
                let done = Done { kind, subject: Some(id), channel: None, detail: None };
                Ok(record(connection, deed, done).await?)
            })
            .await
    }
}
