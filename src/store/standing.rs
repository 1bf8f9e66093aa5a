//! What users are to this site, and that somebody always is its admin.

use diesel::prelude::*;
use diesel_async::{AsyncConnection, AsyncPgConnection, RunQueryDsl};

use super::audit::{Deed, Done, record};
use super::schema::users;
use super::{AuditKind, Result, Role, Store, User, UserId};

/// What came of changing what a user may do.
#[derive(Debug)]
pub enum Standing {
    /// The user as they are now.
    Is(User),
    /// Nothing has changed: there would be no admin left.
    LastAdmin,
    /// There is no such user.
    Nobody,
}

impl Store {
    /// Gives a user another role.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn set_role(&self, id: UserId, role: Role, deed: &Deed) -> Result<Standing> {
        let mut connection = self.connection().await?;
        connection
            .transaction(async |connection| {
                if role != Role::Admin && is_last_admin(connection, id).await? {
                    return Ok(Standing::LastAdmin);
                }
                let Some(before) = lock(connection, id).await? else { return Ok(Standing::Nobody) };
                if before.role == role {
                    return Ok(Standing::Is(before));
                }
                let user = diesel::update(users::table.find(id))
                    .set(users::role.eq(role))
                    .returning(User::as_returning())
                    .get_result(connection)
                    .await?;
                let change = format!("{} to {}", before.role.word(), role.word());
                let (kind, detail) = (AuditKind::RoleChanged, Some(change.as_str()));
                record(connection, deed, Done { kind, subject: Some(id), channel: None, detail }).await?;
                Ok(Standing::Is(user))
            })
            .await
    }
}

/// Whether that user is the only admin. All admins' rows stay locked, so that of two admins who take each other's role
/// away one stays.
async fn is_last_admin(connection: &mut AsyncPgConnection, id: UserId) -> QueryResult<bool> {
    let admins = users::table.filter(users::role.eq(Role::Admin)).order(users::id).select(users::id);
    let admins: Vec<UserId> = admins.for_no_key_update().load(connection).await?;
    Ok(admins == [id])
}

async fn lock(connection: &mut AsyncPgConnection, id: UserId) -> QueryResult<Option<User>> {
    let row = users::table.find(id).select(User::as_select()).for_no_key_update();
    row.first(connection).await.optional()
}
