//! Who was let into a protected channel.

use async_graphql::{Context, ID, InputObject, Object, SimpleObject};
use tokio::sync::OnceCell;

use super::channel::Channel;
use super::channels::editable;
use super::context::Ask;
use super::error::{ApiError, Result};
use super::input;
use super::page::{PageArguments, PageInfo, lay_out, same_order};
use super::scalar::{int, user_id};
use super::user::User;
use crate::store::{self, ChannelId, Invited, Page, Place};

/// Somebody in a list of users.
#[derive(SimpleObject, Clone)]
pub(super) struct UserEdge {
    /// Where this edge stands: pass it as `after` or `before`. It stays good when users come or go.
    cursor: String,
    /// The user.
    node: User,
}

/// Those who were let into a channel; it reads what the document asks for, once.
pub(super) struct UserConnection {
    channel: ChannelId,
    page: Page,
    read: OnceCell<(Vec<UserEdge>, PageInfo)>,
}

impl UserConnection {
    /// Those who were invited to `channel`.
    pub(super) fn invited(channel: ChannelId, page: PageArguments) -> Result<Self> {
        let page = page.page()?;
        same_order(&page, &Place::Id(uuid::Uuid::nil()))?;
        Ok(Self { channel, page, read: OnceCell::new() })
    }

    async fn read(&self, ctx: &Context<'_>) -> Result<&(Vec<UserEdge>, PageInfo)> {
        let read = async || {
            let slice = ctx.parts().store.list_invited(self.channel, &self.page).await?;
            let (rows, info) = lay_out(slice, Invited::place);
            let edge = |(cursor, row): (_, Invited)| UserEdge { cursor, node: User(row.user) };
            Ok((rows.into_iter().map(edge).collect(), info))
        };
        self.read.get_or_try_init(read).await
    }
}

/// A page of a list of users.
#[Object]
impl UserConnection {
    /// The users of this page with their cursors.
    async fn edges(&self, ctx: &Context<'_>) -> Result<&[UserEdge]> {
        Ok(&self.read(ctx).await?.0)
    }

    /// The users of this page, for those who need no cursors.
    async fn nodes(&self, ctx: &Context<'_>) -> Result<Vec<&User>> {
        Ok(self.read(ctx).await?.0.iter().map(|edge| &edge.node).collect())
    }

    /// Where this page stands in its list.
    async fn page_info(&self, ctx: &Context<'_>) -> Result<PageInfo> {
        Ok(self.read(ctx).await?.1.clone())
    }

    /// How many users the whole list holds, up to 10,000. They are counted when asked for, so ask only when you show it.
    #[graphql(complexity = 50)]
    async fn total_count(&self, ctx: &Context<'_>) -> Result<i32> {
        Ok(int(ctx.parts().store.count_invited(self.channel).await?))
    }
}

/// Who is to be let into which channel.
#[derive(InputObject)]
pub(super) struct InviteViewerInput {
    /// The `id` of the channel, not its `loc`.
    channel_id: ID,
    /// The handle of the user.
    handle: String,
}

/// Who is to be let into which channel no longer.
#[derive(InputObject)]
pub(super) struct UninviteViewerInput {
    /// The `id` of the channel, not its `loc`.
    channel_id: ID,
    /// The `id` of the user, not the handle.
    user_id: ID,
}

/// What `inviteViewer` did.
#[derive(SimpleObject)]
pub(super) struct InviteViewerPayload {
    /// The channel, with the user among its `invitedViewers`.
    channel: Channel,
    /// Who may watch it now.
    user: User,
}

/// What `uninviteViewer` did.
#[derive(SimpleObject)]
pub(super) struct UninviteViewerPayload {
    /// The channel, without the user among its `invitedViewers`.
    channel: Channel,
}

/// Changes to who was let in.
#[derive(Default)]
pub(super) struct InvitationMutation;

#[Object]
impl InvitationMutation {
    /// Lets a user watch a channel while it is protected. Of one who may already nothing changes. For the channel's owner
    /// and admins. `NOT_FOUND` when nobody has that handle.
    async fn invite_viewer(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "Who is to be let in, and where.")] input: InviteViewerInput,
    ) -> Result<InviteViewerPayload> {
        let channel = editable(ctx, "input.channelId", &input.channel_id).await?;
        let parts = ctx.parts();
        let user = parts.store.user_by_handle(&input::known_handle(input.handle)).await?;
        let user = user.ok_or(ApiError::NotFound { what: "user" })?;
        parts.store.invite(parts.chance.id(parts.clock.now()), channel.id, user.id).await?;
        Ok(InviteViewerPayload { channel: channel.into(), user: User(user) })
    }

    /// Takes an invitation back. What the user plays by it ends within 10 seconds. For the channel's owner and admins.
    /// `NOT_FOUND` when the user was not invited.
    async fn uninvite_viewer(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "Who is to be let in no longer, and where.")] input: UninviteViewerInput,
    ) -> Result<UninviteViewerPayload> {
        let channel: store::Channel = editable(ctx, "input.channelId", &input.channel_id).await?;
        let user = user_id("input.userId", &input.user_id)?;
        match ctx.parts().store.uninvite(channel.id, user).await? {
            true => Ok(UninviteViewerPayload { channel: channel.into() }),
            false => Err(ApiError::NotFound { what: "invitation" }),
        }
    }
}
