//! Suspensions: users shut out, and let in again.

use async_graphql::{Context, ID, InputObject, Object, SimpleObject};

use super::context::Ask;
use super::error::{ApiError, Result};
use super::input;
use super::scalar::{DateTime, user_id};
use super::user::{User, standing};
use crate::auth::Action;

/// That a user is shut out: cannot sign in, cannot broadcast, may nothing that anonymous viewers may not.
#[derive(SimpleObject)]
pub(super) struct Suspension {
    /// Since when.
    pub(super) at: DateTime,
    /// Why, in the words of the admin who did it.
    pub(super) reason: String,
}

/// Who is to be shut out, and why.
#[derive(InputObject)]
pub(super) struct SuspendUserInput {
    /// The `id` of the user, not the handle.
    user_id: ID,
    /// Why, in one line of 1 to 500 characters, for admins to read later.
    reason: String,
}

/// Who is to be let in again.
#[derive(InputObject)]
pub(super) struct ReinstateUserInput {
    /// The `id` of the user, not the handle.
    user_id: ID,
}

/// What `suspendUser` did.
#[derive(SimpleObject)]
pub(super) struct SuspendUserPayload {
    /// The user, with the suspension that is in force.
    user: User,
}

/// What `reinstateUser` did.
#[derive(SimpleObject)]
pub(super) struct ReinstateUserPayload {
    /// The user, without a suspension.
    user: User,
}

/// Changes to who is shut out.
#[derive(Default)]
pub(super) struct SuspensionMutation;

#[Object]
impl SuspensionMutation {
    /// Shuts a user out until `reinstateUser`. All their sessions end, their sockets within 5 seconds; their broadcasts
    /// end with the reason `ENDED_BY_MODERATOR`; their stream keys, and their playback URLs for protected channels, open
    /// nothing. Their channels stay. Of a user who is suspended already nothing changes, the reason included. For admins
    /// only. `CONFLICT` for oneself, and for the only admin.
    async fn suspend_user(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "Whom to shut out, and why.")] input: SuspendUserInput,
    ) -> Result<SuspendUserPayload> {
        ctx.viewer().may(Action::Suspend)?;
        let id = user_id("input.userId", &input.user_id)?;
        let reason = input::line("input.reason", &input.reason, 1, 500)?;
        if ctx.viewer().id() == Some(id) {
            let why = "nobody suspends themselves".to_owned();
            return Err(ApiError::Conflict { field: "input.userId", why });
        }
        let suspended = ctx.parts().ingest.suspend_user(id, &reason, &ctx.deed()).await?;
        Ok(SuspendUserPayload { user: User(standing(suspended)?) })
    }

    /// Lets a suspended user in again. Keys and channels are as they were; sessions and broadcasts stay ended. Of a user
    /// who is not suspended nothing changes. For admins only.
    async fn reinstate_user(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "Whom to let in again.")] input: ReinstateUserInput,
    ) -> Result<ReinstateUserPayload> {
        ctx.viewer().may(Action::Suspend)?;
        let id = user_id("input.userId", &input.user_id)?;
        let reinstated = ctx.parts().store.reinstate(id, &ctx.deed()).await?;
        Ok(ReinstateUserPayload { user: User(standing(reinstated)?) })
    }
}
