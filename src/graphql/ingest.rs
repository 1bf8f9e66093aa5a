//! Where to send video, and the key to it.

use async_graphql::{Context, Object};

use super::context::Ask;
use super::error::{ApiError, Result};
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
        let parts = ctx.parts();
        let sealed = parts.store.sealed_key(self.0.id).await?;
        let sealed = sealed.ok_or(ApiError::NotFound { what: "stream key" })?;
        let key = parts.keyring.open(&sealed, self.0.id)?;
        // Before it is shown: a key that nobody knows to be read is read by nobody.
        parts.store.note_key_read(self.0.id, self.0.owner_id, &sealed, &ctx.deed()).await?;
        Ok(key.reveal().to_owned())
    }
}
