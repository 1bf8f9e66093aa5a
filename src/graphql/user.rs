//! Users: who is signed in, who owns what; signing up, in and out; roles.

use async_graphql::{Context, ID, InputObject, Object, SimpleObject};
use secrecy::SecretString;

use super::channel::{ChannelConnection, ChannelOrder};
use super::context::{Ask, Parts};
use super::error::{ApiError, Result};
use super::page::{self, PageArguments, cost};
use super::scalar::{DateTime, NodeId, user_id};
use super::session::{self, Session};
use super::suspension::Suspension;
use super::{cookie, input};
use crate::auth::{Action, SESSION, SessionToken};
use crate::config::SignUp;
use crate::store::{self, ChannelFilter, Created, NewUser, Opened, Standing, UserId};

/// What a user may do on this site. Each role may all that the one before it may.
#[derive(Clone, Copy, PartialEq, Eq, async_graphql::Enum)]
#[graphql(remote = "store::Role")]
pub(super) enum Role {
    /// Watches, and plays what is open to it. Everybody begins as one.
    Viewer,
    /// Has channels of its own and broadcasts into them.
    Streamer,
    /// Also takes any channel off the air.
    Moderator,
    /// Also changes any channel, manages topics and gives roles.
    Admin,
}

/// Somebody with an account.
#[derive(Clone)]
pub(super) struct User(pub(super) store::User);

/// Somebody with an account on this site. All of it but `suspension` and `sessions` is public.
#[Object]
impl User {
    /// The user's opaque, globally unique id.
    pub(super) async fn id(&self) -> ID {
        NodeId::User(self.0.id).id()
    }

    /// The name in addresses and at sign-in. Unique, lower case: a-z 0-9 _ , 3 to 30 characters. It never changes.
    async fn handle(&self) -> &str {
        &self.0.handle
    }

    /// The name that others see, in any script, up to 50 characters. Not unique.
    async fn display_name(&self) -> &str {
        &self.0.display_name
    }

    /// What the user may do here.
    async fn role(&self) -> Role {
        self.0.role.into()
    }

    /// The user's channels, newest first. One list of all of them, public to everybody.
    #[graphql(complexity = "cost(first, last, child_complexity)")]
    async fn channels(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "How many from the start, 1 to 100; 20 when neither `first` nor `last` is said.")]
        first: Option<i32>,
        #[graphql(desc = "Only those behind this edge's cursor.")] after: Option<String>,
        #[graphql(desc = "How many from the end, 1 to 100. Not together with `first`.")] last: Option<i32>,
        #[graphql(desc = "Only those before this edge's cursor.")] before: Option<String>,
    ) -> Result<ChannelConnection> {
        let filter = ChannelFilter { owner: Some(self.0.handle.clone()), ..ChannelFilter::default() };
        let page = PageArguments { first, after, last, before }.page()?;
        ChannelConnection::new(ctx, filter, ChannelOrder::Newest, page)
    }

    /// The suspension in force, or null. Null for everyone but admins; the user, who has no session to ask with, is
    /// told at sign-in.
    async fn suspension(&self, ctx: &Context<'_>) -> Option<Suspension> {
        ctx.viewer().may(Action::Suspend).ok()?;
        let (at, reason) = self.0.suspended_at.zip(self.0.suspension_reason.clone())?;
        Some(Suspension { at: DateTime(at), reason })
    }

    /// Where this user is signed in: the open sessions, the newest first, 100 at the most. Null for everyone but the
    /// user, admins included.
    #[graphql(complexity = "page::LIST + 100 * child_complexity")]
    async fn sessions(&self, ctx: &Context<'_>) -> Option<Result<Vec<Session>>> {
        if ctx.viewer().id() == Some(self.0.id) { Some(session::own(ctx, self).await) } else { None }
    }

    /// When the account was made.
    async fn created_at(&self) -> DateTime {
        DateTime(self.0.created_at)
    }
}

/// What it takes to make an account.
#[derive(InputObject)]
pub(super) struct SignUpInput {
    /// The handle to have: a-z 0-9 _ , 3 to 30 characters. `CONFLICT` when it is taken.
    handle: String,
    /// The password, 8 to 200 characters. It is stored only as an Argon2id hash.
    #[graphql(secret)]
    password: String,
    /// The name that others will see, 1 to 50 characters; the handle when left out.
    display_name: Option<String>,
}

/// What it takes to sign in.
#[derive(InputObject)]
pub(super) struct SignInInput {
    /// The account's handle.
    handle: String,
    /// The password that goes with it. It is checked and forgotten.
    #[graphql(secret)]
    password: String,
}

/// Which user is to have which role.
#[derive(InputObject)]
pub(super) struct SetRoleInput {
    /// The `id` of the user, not the handle.
    user_id: ID,
    /// The role to give.
    role: Role,
}

/// A session that has just been opened.
#[derive(SimpleObject)]
pub(super) struct AuthPayload {
    /// The session's secret. Send it as `Authorization: Bearer TOKEN`, and as
    /// `{"authorization": "Bearer TOKEN"}` in `connection_init`. Browsers of this site need not: the same answer
    /// sets an HttpOnly cookie.
    token: String,
    /// Who is signed in now.
    user: User,
    /// When the session ends unless it is signed out before.
    expires_at: DateTime,
}

/// What `setRole` did.
#[derive(SimpleObject)]
pub(super) struct SetRolePayload {
    /// The user, with the new role.
    user: User,
}

/// What is said of a wrong password and of an unknown handle alike.
const NOT_TOGETHER: &str = "handle and password do not belong together";

/// Questions about users.
#[derive(Default)]
pub(super) struct UserQuery;

#[Object]
impl UserQuery {
    /// The signed-in user, or null for an anonymous viewer.
    async fn me(&self, ctx: &Context<'_>) -> Option<User> {
        ctx.viewer().user().cloned().map(User)
    }

    /// The user of that handle, or null.
    #[graphql(complexity = "page::ROW + child_complexity")]
    async fn user(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "The handle, in lower case.")] handle: String,
    ) -> Option<Result<User>> {
        let handle = input::known_handle(handle);
        let found = ctx.parts().store.user_by_handle(&handle).await.map_err(ApiError::from);
        found.map(|user| user.map(User)).transpose()
    }
}

/// Changes to users.
#[derive(Default)]
pub(super) struct UserMutation;

#[Object]
impl UserMutation {
    /// Makes an account with the role `VIEWER` and signs it in. `FORBIDDEN` where the operator makes the accounts,
    /// `RATE_LIMITED` when many were made from the same address.
    async fn sign_up(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "The account to make.")] input: SignUpInput,
    ) -> Result<AuthPayload> {
        let parts = ctx.parts();
        if parts.sign_up == SignUp::Closed {
            return Err(ApiError::Forbidden);
        }
        let handle = input::handle("input.handle", &input.handle)?;
        let display_name = match &input.display_name {
            Some(name) => input::line("input.displayName", name, 1, 50)?,
            None => handle.clone(),
        };
        input::password("input.password", &input.password)?;
        parts.guesses.sign_up(ctx.address())?;
        let password_hash = parts.passwords.hash(SecretString::from(input.password)).await?;
        let now = parts.clock.now();
        let new = NewUser {
            id: UserId(parts.chance.id(now)),
            handle: &handle,
            display_name: &display_name,
            role: store::Role::Viewer,
            password_hash: &password_hash,
            created_at: now,
        };
        match parts.store.create_user(&new, &ctx.deed().by(new.id)).await? {
            Created::Made(user) => open_session(ctx, user, &password_hash).await,
            Created::Taken => {
                Err(ApiError::Conflict { field: "input.handle", why: "this handle is taken".to_owned() })
            }
        }
    }

    /// Opens a session. `UNAUTHENTICATED` when handle and password do not belong together; which of them is wrong
    /// is not said. `FORBIDDEN` with the right password of an account that is suspended. `RATE_LIMITED` after 10
    /// attempts for a handle in a minute, whether it is anybody's or not, and after many that failed from the same address.
    async fn sign_in(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "Who, with which password.")] input: SignInInput,
    ) -> Result<AuthPayload> {
        let (parts, address) = (ctx.parts(), ctx.address());
        parts.guesses.sign_in(&input.handle, address)?;
        let handle = input::known_handle(input.handle.clone());
        let known = parts.store.user_with_password(&handle).await?;
        let (user, stored) = known.unzip();
        let turn = parts.passwords.turn().await?;
        // Many may have come at once, and been wrong while this one waited for its turn.
        let guess = parts.guesses.password(&input.handle, address)?;
        let proven = stored.clone().unwrap_or_default();
        let right = parts.passwords.verify(turn, SecretString::from(input.password), stored).await?;
        let account = user.as_ref().map(|user| user.id);
        let opened = match user {
            Some(user) if right => {
                guess.forgive();
                open_session(ctx, user, &proven).await
            }
            _ => Err(ApiError::Unauthenticated(NOT_TOGETHER)),
        };
        if let Err(ApiError::Unauthenticated(_) | ApiError::Suspended) = opened {
            parts.store.note_failed_sign_in(&handle, account, &ctx.deed()).await?;
        }
        opened
    }

    /// Ends the session that this request came with, at once. False when it came with none.
    async fn sign_out(&self, ctx: &Context<'_>) -> Result<bool> {
        cookie::clear(ctx);
        match &ctx.requester().token {
            Some(token) => Ok(ctx.parts().store.delete_session(&token.hash(), &ctx.deed()).await?),
            None => Ok(false),
        }
    }

    /// Gives a user a role. Broadcasts of somebody who becomes a viewer end with the reason `ENDED_BY_MODERATOR`. For
    /// admins only. `CONFLICT` when it would leave no admin.
    async fn set_role(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "Who is to have which role.")] input: SetRoleInput,
    ) -> Result<SetRolePayload> {
        ctx.viewer().may(Action::SetRole)?;
        let id = user_id("input.userId", &input.user_id)?;
        let changed = ctx.parts().ingest.set_role(id, input.role.into(), &ctx.deed()).await?;
        Ok(SetRolePayload { user: User(standing(changed)?) })
    }
}

/// The user whose standing was to be changed, if it could be.
pub(super) fn standing(changed: Standing) -> Result<store::User> {
    match changed {
        Standing::Is(user) => Ok(user),
        Standing::Nobody => Err(ApiError::NotFound { what: "user" }),
        Standing::NotAllowed => Err(ApiError::Forbidden),
        Standing::LastAdmin => {
            let why = "this is the only admin; make somebody else one first".to_owned();
            Err(ApiError::Conflict { field: "input.userId", why })
        }
    }
}

/// Opens a session for whoever has shown the password that has this hash.
async fn open_session(ctx: &Context<'_>, user: store::User, proven: &str) -> Result<AuthPayload> {
    let Parts { store, chance, .. } = ctx.parts();
    let (token, deed) = (SessionToken::new(chance), ctx.deed().by(user.id));
    let expires_at = deed.at() + SESSION;
    match store.create_session(&token.hash(), user.id, proven, expires_at, &deed).await? {
        Opened::Open => {}
        Opened::Suspended => return Err(ApiError::Suspended),
        Opened::PasswordChanged => return Err(ApiError::Unauthenticated(NOT_TOGETHER)),
    }
    cookie::set(ctx, &token);
    Ok(AuthPayload { token: token.reveal(), user: User(user), expires_at: DateTime(expires_at) })
}
