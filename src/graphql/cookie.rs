//! The cookie by which browsers of this site are signed in: out of reach of scripts, and not sent by other sites.

use async_graphql::Context;

use super::context::Ask;
use crate::auth::{SESSION, SessionToken};

/// Its name, which the door knows too.
const NAME: &str = "tally_session";

pub(super) fn set(ctx: &Context<'_>, token: &SessionToken) {
    write(ctx, &token.reveal(), SESSION.as_secs());
}

pub(super) fn clear(ctx: &Context<'_>) {
    write(ctx, "", 0);
}

fn write(ctx: &Context<'_>, value: &str, seconds: u64) {
    let secure = if ctx.parts().public_url.starts_with("https:") { "; Secure" } else { "" };
    let cookie = format!("{NAME}={value}; Path=/; HttpOnly; SameSite=Lax; Max-Age={seconds}{secure}");
    ctx.append_http_header("set-cookie", cookie);
}
