//! The record of who did what, for admins.

use async_graphql::{Context, Enum, ID, Object, SimpleObject};
use tokio::sync::OnceCell;

use super::context::Ask;
use super::error::{ApiError, Result};
use super::load::found;
use super::page::{PageArguments, PageInfo, lay_out, same_order};
use super::scalar::{DateTime, NodeId, int};
use super::user::User;
use super::{input, page};
use crate::auth::Action;
use crate::store::{self, AuditFilter, Page, Place, UserId};

/// What was done.
#[derive(Clone, Copy, PartialEq, Eq, Enum)]
#[graphql(remote = "store::AuditKind")]
pub(super) enum AuditKind {
    /// An account was made, by whoever has it now or by the operator. The detail is its first role.
    SignedUp,
    /// A session was opened.
    SignedIn,
    /// Handle and password did not belong together, or the account was suspended. The detail is the handle as it was
    /// given, or empty when nobody can have such a handle. One record a minute for each account, and one for all handles that are nobody's; handle and address are
    /// those of the first time.
    SignInFailed,
    /// A session was ended by `signOut` or `revokeSession`.
    SignedOut,
    /// A stream key was shown. One record an hour for each reader and key.
    KeyRead,
    /// A channel was given another stream key. The detail is the channel's name.
    KeyRegenerated,
    /// A user was given another role. The detail says which after which.
    RoleChanged,
    /// A user was suspended. The detail is the reason.
    Suspended,
    /// A user's suspension was lifted.
    Reinstated,
    /// A moderator or an admin took somebody's channel off the air. The detail is the channel's name.
    StreamEnded,
    /// A channel was deleted. The detail is its name.
    ChannelDeleted,
    /// A user has another password: by `changePassword`, which ended all of their other sessions, or given by the operator.
    PasswordSet,
}

/// Something that was done.
#[derive(Clone)]
pub(super) struct AuditRecord(store::AuditRecord);

async fn user(ctx: &Context<'_>, id: Option<UserId>) -> Option<Result<User>> {
    match ctx.loader().load_one(id?).await {
        Ok(row) => Some(found(row).map(User)),
        Err(error) => Some(Err(error.into())),
    }
}

/// Something that was done and put on record in the very transaction that did it. It stays as it is for a year.
#[Object]
impl AuditRecord {
    /// What was done.
    async fn kind(&self) -> AuditKind {
        self.0.kind.into()
    }

    /// When; of what happened several times, the first one.
    async fn at(&self) -> DateTime {
        DateTime(self.0.at)
    }

    /// Who did it. Null when nobody was signed in, and for the operator at the command line.
    async fn actor(&self, ctx: &Context<'_>) -> Option<Result<User>> {
        user(ctx, self.0.actor_id).await
    }

    /// Whose account or channel it was done to; null for a handle that is nobody's.
    async fn subject(&self, ctx: &Context<'_>) -> Option<Result<User>> {
        user(ctx, self.0.subject_id).await
    }

    /// The id of the channel that it was done to, which may be gone since; null for what is about accounts.
    async fn channel_id(&self) -> Option<ID> {
        self.0.channel_id.map(|id| NodeId::Channel(id).id())
    }

    /// The network address that it was done from; null for the operator, and for keys read over subscriptions.
    async fn address(&self) -> Option<&str> {
        self.0.address.as_deref()
    }

    /// What there is to say beyond that, as `kind` tells; never a secret.
    async fn detail(&self) -> Option<&str> {
        self.0.detail.as_deref()
    }

    /// How often it happened: more than 1 only for what is put on record once in a minute or an hour.
    async fn times(&self) -> i32 {
        self.0.times
    }
}

/// A record in a list.
#[derive(SimpleObject, Clone)]
pub(super) struct AuditRecordEdge {
    /// Where this edge stands: pass it as `after` or `before`. It stays good when records are added.
    cursor: String,
    /// The record.
    node: AuditRecord,
}

/// A page of what is on record; it reads what the document asks for, once.
pub(super) struct AuditRecordConnection {
    filter: AuditFilter,
    page: Page,
    read: OnceCell<(Vec<AuditRecordEdge>, PageInfo)>,
}

impl AuditRecordConnection {
    async fn read(&self, ctx: &Context<'_>) -> Result<&(Vec<AuditRecordEdge>, PageInfo)> {
        let read = async || {
            let slice = ctx.parts().store.list_audit(&self.filter, &self.page).await?;
            let (rows, info) = lay_out(slice, store::AuditRecord::place);
            let edge = |(cursor, row)| AuditRecordEdge { cursor, node: AuditRecord(row) };
            Ok((rows.into_iter().map(edge).collect(), info))
        };
        self.read.get_or_try_init(read).await
    }
}

/// A page of what is on record.
#[Object]
impl AuditRecordConnection {
    /// The records of this page with their cursors.
    async fn edges(&self, ctx: &Context<'_>) -> Result<&[AuditRecordEdge]> {
        Ok(&self.read(ctx).await?.0)
    }

    /// The records of this page, for those who need no cursors.
    async fn nodes(&self, ctx: &Context<'_>) -> Result<Vec<&AuditRecord>> {
        Ok(self.read(ctx).await?.0.iter().map(|edge| &edge.node).collect())
    }

    /// Where this page stands in its list.
    async fn page_info(&self, ctx: &Context<'_>) -> Result<PageInfo> {
        Ok(self.read(ctx).await?.1.clone())
    }

    /// How many records the whole list holds, up to 10,000. It is counted when asked for, so ask only when you show it.
    #[graphql(complexity = 50)]
    async fn total_count(&self, ctx: &Context<'_>) -> Result<i32> {
        Ok(int(ctx.parts().store.count_audit(&self.filter).await?))
    }
}

/// Questions about what was done.
#[derive(Default)]
pub(super) struct AuditQuery;

#[Object]
impl AuditQuery {
    #[expect(clippy::too_many_arguments, reason = "they are the field's arguments")]
    /// Who did what, the newest first: sign-ins, roles, suspensions, stream keys, what moderators ended. For admins only.
    /// What is given narrows the list; all of it must hold.
    #[graphql(complexity = "page::cost(first, last, child_complexity)")]
    async fn audit_records(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "How many from the start, 1 to 100; 20 when neither `first` nor `last` is said.")]
        first: Option<i32>,
        #[graphql(desc = "Only those behind this edge's cursor.")] after: Option<String>,
        #[graphql(desc = "How many from the end, 1 to 100. Not together with `first`.")] last: Option<i32>,
        #[graphql(desc = "Only those before this edge's cursor.")] before: Option<String>,
        #[graphql(desc = "Only what the user with this handle did.")] actor: Option<String>,
        #[graphql(desc = "Only what was done to the user with this handle, or to a channel of theirs.")]
        subject: Option<String>,
        #[graphql(desc = "Only what is of this kind.")] kind: Option<AuditKind>,
    ) -> Option<Result<AuditRecordConnection>> {
        let list = || {
            ctx.viewer().may(Action::ReadAudit)?;
            let page = PageArguments { first, after, last, before }.page()?;
            same_order(&page, &Place::Id(uuid::Uuid::nil()))?;
            let (actor, subject) = (actor.map(input::known_handle), subject.map(input::known_handle));
            let filter = AuditFilter { actor, subject, kind: kind.map(Into::into) };
            Ok::<_, ApiError>(AuditRecordConnection { filter, page, read: OnceCell::new() })
        };
        Some(list())
    }
}
