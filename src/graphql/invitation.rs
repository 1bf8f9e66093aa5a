//! Who was let into a protected channel.

use async_graphql::{Context, ID, InputObject, Object, SimpleObject};

use super::channel::Channel;
use super::channels::editable;
use super::context::Ask;
use super::error::{ApiError, Result};
use super::input;
use super::scalar::user_id;
use super::user::User;
use crate::store;

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
