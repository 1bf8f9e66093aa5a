//! Sessions of one's own, and the password that opens them.

use async_graphql::{Context, ID, InputObject, Object, SimpleObject};
use secrecy::SecretString;

use super::context::Ask;
use super::error::{ApiError, Result};
use super::scalar::{DateTime, int};
use super::user::User;
use super::{cookie, input};
use crate::auth::{Action, session_id};
use crate::store::{PasswordChange, Session as Row};

/// Somewhere that one is signed in: a browser or another client that holds a token.
#[derive(SimpleObject)]
pub(super) struct Session {
    /// What `revokeSession` takes. It says nothing about the token, and opens nothing.
    id: ID,
    /// When it was opened, by `signIn` or `signUp`.
    created_at: DateTime,
    /// When it ends by itself.
    expires_at: DateTime,
    /// Whether this very request came with it.
    current: bool,
}

/// The open sessions of whoever asks, the newest first.
pub(super) async fn own(ctx: &Context<'_>, user: &User) -> Result<Vec<Session>> {
    let current = ctx.requester().token.as_ref().map(|token| token.hash());
    let rows = rows(ctx, user).await?;
    let session = |row: Row| Session {
        id: id(&row),
        created_at: DateTime(row.created_at),
        expires_at: DateTime(row.expires_at),
        current: current.is_some_and(|hash| hash.as_slice() == row.token_hash),
    };
    Ok(rows.into_iter().map(session).collect())
}

async fn rows(ctx: &Context<'_>, user: &User) -> Result<Vec<Row>> {
    let parts = ctx.parts();
    Ok(parts.store.sessions_of(user.0.id, parts.clock.now()).await?)
}

fn id(row: &Row) -> ID {
    ID(format!("se_{}", session_id(&row.token_hash).simple()))
}

/// Which session is to end.
#[derive(InputObject)]
pub(super) struct RevokeSessionInput {
    /// The `id` of the session, as `me { sessions { id } }` has it.
    session_id: ID,
}

/// What `revokeSession` did.
#[derive(SimpleObject)]
pub(super) struct RevokeSessionPayload {
    /// The id that no longer means anything, for removing it from lists.
    revoked_session_id: ID,
}

/// The password that one has, and the one to have.
#[derive(InputObject)]
pub(super) struct ChangePasswordInput {
    /// The password that the account has now: a session alone, left open somewhere, must not be enough.
    #[graphql(secret)]
    current: String,
    /// The password to have, 8 to 200 characters. It is stored only as an Argon2id hash.
    #[graphql(secret)]
    new: String,
}

/// What `changePassword` did.
#[derive(SimpleObject)]
pub(super) struct ChangePasswordPayload {
    /// Whose password it was.
    user: User,
    /// How many other sessions ended with it.
    revoked_sessions: i32,
}

/// Changes to one's own sessions and password.
#[derive(Default)]
pub(super) struct SessionMutation;

#[Object]
impl SessionMutation {
    /// Gives oneself another password. Every other session of one's own ends at once, and its sockets within 5 seconds;
    /// the one that this request came with stays. `BAD_USER_INPUT` on `input.current` when that is not the password;
    /// attempts are limited together with those to sign in. `CONFLICT` when it was changed in the same moment.
    async fn change_password(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "The password that there is, and the one to have.")] input: ChangePasswordInput,
    ) -> Result<ChangePasswordPayload> {
        ctx.viewer().may(Action::ManageOneself)?;
        let user = User(ctx.viewer().user().cloned().ok_or(ApiError::Internal)?);
        input::password("input.new", &input.new)?;
        let before = current_password(ctx, &user, input.current).await?;
        let parts = ctx.parts();
        let after = parts.passwords.hash(SecretString::from(input.new)).await?;
        let kept = ctx.requester().token.as_ref().map(|token| token.hash()).unwrap_or_default();
        match parts.store.change_password(user.0.id, &before, &after, &kept, &ctx.deed()).await? {
            PasswordChange::Changed { ended } => {
                Ok(ChangePasswordPayload { user, revoked_sessions: int(ended as i64) })
            }
            PasswordChange::Superseded => {
                let why = "the password was changed in this moment; try again".to_owned();
                Err(ApiError::Conflict { field: "input.current", why })
            }
        }
    }

    /// Ends a session of one's own, at once; its sockets close within 5 seconds. Of the one that this request came with
    /// it is the same as `signOut`. `NOT_FOUND` when it has ended already, and for sessions of others.
    async fn revoke_session(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "Which session.")] input: RevokeSessionInput,
    ) -> Result<RevokeSessionPayload> {
        ctx.viewer().may(Action::ManageOneself)?;
        let user = User(ctx.viewer().user().cloned().ok_or(ApiError::Internal)?);
        let gone = || ApiError::NotFound { what: "session" };
        let found = rows(ctx, &user).await?.into_iter().find(|row| id(row) == input.session_id);
        let row = found.ok_or_else(gone)?;
        if !ctx.parts().store.delete_session(&row.token_hash, &ctx.deed()).await? {
            return Err(gone());
        }
        let current = ctx.requester().token.as_ref().map(|token| token.hash());
        if current.is_some_and(|hash| hash.as_slice() == row.token_hash) {
            cookie::clear(ctx);
        }
        Ok(RevokeSessionPayload { revoked_session_id: input.session_id })
    }
}

/// The hash of the user's password, if the one given is it. Whoever guesses here guesses as at the door.
async fn current_password(ctx: &Context<'_>, user: &User, given: String) -> Result<String> {
    let (parts, address, handle) = (ctx.parts(), ctx.address(), &user.0.handle);
    parts.guesses.sign_in(handle, address)?;
    let turn = parts.passwords.turn().await?;
    let guess = parts.guesses.password(handle, address)?;
    let stored = parts.store.user_with_password(handle).await?.map(|(_, stored)| stored);
    let right = parts.passwords.verify(turn, SecretString::from(given), stored.clone()).await?;
    match stored {
        Some(stored) if right => {
            guess.forgive();
            Ok(stored)
        }
        _ => {
            parts.store.note_failed_sign_in(handle, Some(user.0.id), &ctx.deed()).await?;
            Err(ApiError::bad("input.current", "this is not the password of this account"))
        }
    }
}
