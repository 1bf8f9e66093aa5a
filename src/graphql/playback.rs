//! Playback: a URL for one viewer.

use async_graphql::{Context, InputObject, Object, SimpleObject};

use super::context::Ask;
use super::error::{ApiError, Result};
use super::scalar::{DateTime, UuidScalar};
use crate::auth::Action;

/// What somebody wants to watch.
#[derive(InputObject)]
pub(super) struct StartPlaybackInput {
    /// The channel's address. It need not be on the air yet.
    loc: UuidScalar,
}

/// A URL for one viewer: its session counts once, and it opens a protected channel for whoever may watch it.
#[derive(SimpleObject)]
pub(super) struct Playback {
    /// The HLS playlist, absolute; the segments that it lists open with it. It plays in every player and needs no
    /// cookie. Hand it to nobody: whoever plays it is you.
    url: String,
    /// When it stops working; ask for another one before.
    expires_at: DateTime,
}

/// What `startPlayback` gives.
#[derive(SimpleObject)]
pub(super) struct StartPlaybackPayload {
    /// The URL to play.
    playback: Playback,
}

/// Changes to playback.
#[derive(Default)]
pub(super) struct PlaybackMutation;

#[Object]
impl PlaybackMutation {
    /// Opens a viewer session on a channel. Anybody may on public channels; on a protected one its owner and admins,
    /// others are answered `FORBIDDEN`, or `UNAUTHENTICATED` when they have not signed in.
    async fn start_playback(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "What to watch.")] input: StartPlaybackInput,
    ) -> Result<StartPlaybackPayload> {
        let parts = ctx.parts();
        let channel = parts.store.channel_by_loc(input.loc.into()).await?;
        let channel = channel.ok_or(ApiError::NotFound { what: "channel" })?;
        ctx.viewer().may(Action::Watch(&channel))?;
        let (token, grant) = parts.playback.grant(channel.loc, ctx.viewer().id());
        let url = format!("{}/live/~{token}/{}/index.m3u8", parts.public_url, channel.loc);
        Ok(StartPlaybackPayload { playback: Playback { url, expires_at: DateTime(grant.expires_at) } })
    }
}
