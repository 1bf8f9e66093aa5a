//! Where to send video, and the key to it.

use async_graphql::{Context, Object};

use super::context::Ask;
use super::error::{ApiError, Result};
use super::load::KeyOf;
use crate::store;

/// The way into a channel, for somebody who may know it.
pub(super) struct Ingest<'a>(pub(super) &'a store::Channel);

/// What to paste into OBS under Settings, Stream, with the service "Custom".
#[Object]
impl Ingest<'_> {
    /// What goes into "Server": `rtmp://HOST:PORT/live`.
    async fn server_url<'a>(&self, ctx: &'a Context<'_>) -> &'a str {
        &ctx.parts().public_rtmp_url
    }

    /// What goes into "Stream Key". Whoever has it can broadcast here: show it to nobody, and replace it with
    /// `regenerateStreamKey` when somebody has seen it. That it was read, and by whom, is put on record.
    async fn stream_key(&self, ctx: &Context<'_>) -> Result<String> {
        let sealed = ctx.loader().load_one(KeyOf { channel: self.0.id, reader: ctx.deed() }).await?;
        let sealed = sealed.ok_or(ApiError::NotFound { what: "stream key" })?;
        Ok(ctx.parts().keyring.open(&sealed, self.0.id)?.reveal().to_owned())
    }
}
