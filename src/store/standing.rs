//! What users are to this site: their roles, and whether they are shut out; and that somebody always is its admin.

use chrono::{DateTime, Utc};
use diesel::prelude::*;
use diesel_async::{AsyncConnection, AsyncPgConnection, RunQueryDsl};

use super::audit::{Deed, Done, record};
use super::publishing::publishing_on;
use super::schema::{channels, sessions, users};
use super::transitions::{EndedStream, end_on_channel};
use super::{AuditKind, ChannelId, Result, Role, StopReason, Store, User, UserId};

/// What came of changing what a user may do.
#[derive(Debug)]
pub enum Standing {
    /// The user as they are now.
    Is(User),
    /// Nothing has changed: there would be no admin left.
    LastAdmin,
    /// Nothing has changed: whoever asked is no admin any more.
    NotAllowed,
    /// There is no such user.
    Nobody,
}

impl Store {
    /// Gives a user another role. With one that may not broadcast, what is on the air on any of the user's channels
    /// ends.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn set_role(
        &self,
        id: UserId,
        role: Role,
        deed: &Deed,
    ) -> Result<(Standing, Vec<EndedStream>)> {
        let mut connection = self.connection().await?;
        connection
            .transaction(async |connection| {
                let admins = admins(connection).await?;
                if !deed.is_of(&admins) {
                    return Ok((Standing::NotAllowed, Vec::new()));
                }
                if role != Role::Admin && admins == [id] {
                    return Ok((Standing::LastAdmin, Vec::new()));
                }
                let Some(before) = lock(connection, id).await? else {
                    return Ok((Standing::Nobody, Vec::new()));
                };
                if before.role == role {
                    return Ok((Standing::Is(before), Vec::new()));
                }
                let user = diesel::update(users::table.find(id))
                    .set(users::role.eq(role))
                    .returning(User::as_returning())
                    .get_result(connection)
                    .await?;
                let change = format!("{} to {}", before.role.word(), role.word());
                let (kind, detail) = (AuditKind::RoleChanged, Some(change.as_str()));
                record(connection, deed, Done { kind, subject: Some(id), channel: None, detail }).await?;
                let ended = match role {
                    Role::Viewer => end_all(connection, id, deed).await?,
                    Role::Streamer | Role::Moderator | Role::Admin => Vec::new(),
                };
                Ok((Standing::Is(user), ended))
            })
            .await
    }

    /// Shuts a user out: all sessions end, and so does what is on the air on any of the user's channels. Of one who is
    /// shut out already nothing changes.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn suspend(
        &self,
        id: UserId,
        reason: &str,
        deed: &Deed,
    ) -> Result<(Standing, Vec<EndedStream>)> {
        let mut connection = self.connection().await?;
        connection
            .transaction(async |connection| {
                let admins = admins(connection).await?;
                if !deed.is_of(&admins) {
                    return Ok((Standing::NotAllowed, Vec::new()));
                }
                if admins == [id] {
                    return Ok((Standing::LastAdmin, Vec::new()));
                }
                let Some(before) = lock(connection, id).await? else {
                    return Ok((Standing::Nobody, Vec::new()));
                };
                if before.suspended_at.is_some() {
                    return Ok((Standing::Is(before), Vec::new()));
                }
                let user = diesel::update(users::table.find(id))
                    .set((users::suspended_at.eq(deed.at()), users::suspension_reason.eq(reason)))
                    .returning(User::as_returning())
                    .get_result(connection)
                    .await?;
                diesel::delete(sessions::table.filter(sessions::user_id.eq(id))).execute(connection).await?;
                let (kind, detail) = (AuditKind::Suspended, Some(reason));
                record(connection, deed, Done { kind, subject: Some(id), channel: None, detail }).await?;
                let ended = end_all(connection, id, deed).await?;
                Ok((Standing::Is(user), ended))
            })
            .await
    }

    /// Lets a user in again.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn reinstate(&self, id: UserId, deed: &Deed) -> Result<Standing> {
        let mut connection = self.connection().await?;
        connection
            .transaction(async |connection| {
                if !deed.is_of(&admins(connection).await?) {
                    return Ok(Standing::NotAllowed);
                }
                let Some(before) = lock(connection, id).await? else { return Ok(Standing::Nobody) };
                if before.suspended_at.is_none() {
                    return Ok(Standing::Is(before));
                }
                let free = (
                    users::suspended_at.eq(None::<DateTime<Utc>>),
                    users::suspension_reason.eq(None::<&str>),
                );
                let user = diesel::update(users::table.find(id)).set(free).returning(User::as_returning());
                let user = user.get_result(connection).await?;
                let kind = AuditKind::Reinstated;
                record(connection, deed, Done { kind, subject: Some(id), channel: None, detail: None })
                    .await?;
                Ok(Standing::Is(user))
            })
            .await
    }
}

/// Ends what is on the air on all channels of a user. Their rows are locked whether anything is or not: a publisher
/// who comes at this moment waits for us and then finds what the owner is, or we wait and find the stream.
async fn end_all(
    connection: &mut AsyncPgConnection,
    owner: UserId,
    deed: &Deed,
) -> QueryResult<Vec<EndedStream>> {
    let all = channels::table
        .filter(channels::owner_id.eq(owner))
        .filter(channels::deleted_at.is_null())
        .order(channels::id)
        .select((channels::id, channels::live, channels::name))
        .for_no_key_update()
        .load::<(ChannelId, bool, String)>(connection)
        .await?;
    let ids: Vec<ChannelId> = all.iter().map(|(channel, _, _)| *channel).collect();
    // All streams before the log, which the first to end takes.
    publishing_on(connection, &ids).await?;
    let mut ended = Vec::new();
    for (channel, _, name) in all.into_iter().filter(|(_, live, _)| *live) {
        let (kind, detail) = (AuditKind::StreamEnded, Some(name.as_str()));
        let done = Done { kind, subject: Some(owner), channel: Some(channel), detail };
        record(connection, deed, done).await?;
        ended.extend(end_on_channel(connection, channel, StopReason::EndedByModerator, deed.at()).await?);
    }
    Ok(ended)
}

/// The admins. Their rows stay locked: of two who take each other's role away one stays, and whoever has lost theirs
/// does nothing more by it, however long a socket of theirs stays open.
async fn admins(connection: &mut AsyncPgConnection) -> QueryResult<Vec<UserId>> {
    let admins = users::table.filter(users::role.eq(Role::Admin)).filter(users::suspended_at.is_null());
    admins.order(users::id).select(users::id).for_no_key_update().load(connection).await
}

async fn lock(connection: &mut AsyncPgConnection, id: UserId) -> QueryResult<Option<User>> {
    let row = users::table.find(id).select(User::as_select()).for_no_key_update();
    row.first(connection).await.optional()
}
