//! Playback: a URL for one viewer.

use async_graphql::{Context, ID, InputObject, Object, SimpleObject};
use uuid::Uuid;

use super::context::{Ask, Parts};
use super::error::{ApiError, Result};
use super::recording;
use super::scalar::{DateTime, UuidScalar, clip_id};
use crate::auth::{Action, Admission, SessionToken};
use crate::media::Grant;
use crate::store::{Channel, ClipId, Loc, StreamId};

/// What somebody wants to watch.
#[derive(InputObject)]
pub(super) struct StartPlaybackInput {
    /// The channel's address. It need not be on the air yet.
    loc: UuidScalar,
    /// The `id` of a recording of that channel, to watch it in place of what is on the air.
    recording_id: Option<ID>,
    /// The `id` of a clip of that channel, to watch it in place of what is on the air.
    clip_id: Option<ID>,
    /// The channel's password, where `opensWithPassword`. Not looked at for whoever may watch without it.
    password: Option<String>,
    /// A `url` that this viewer was given before and that has not expired: the session goes on under the new one, and
    /// is not counted twice. With any other text a new session begins.
    renews: Option<String>,
}

/// A URL for one viewer: its session counts once, and it opens a protected channel for whoever may watch it.
#[derive(SimpleObject)]
pub(super) struct Playback {
    /// The HLS playlist, absolute; of a clip an MP4 file. The segments that it lists open with it. It plays in every player and needs no
    /// cookie. Hand it to nobody: whoever plays it is you. On a protected channel it stops working within 10 seconds of
    /// what it was given for: the end of your session here, of your invitation, or of the channel's password.
    url: String,
    /// A longer playlist, absolute, in which one can go back; it opens as long as `url` does. Null for a recording, and
    /// where one cannot go back.
    dvr_url: Option<String>,
    /// A picture, absolute: of the last seconds, with a placeholder until there is one; of a recording, its poster. It
    /// opens as long as `url` does.
    thumbnail_url: String,
    /// A short silent loop of the last seconds, absolute, as `thumbnailUrl`; null for a recording.
    preview_url: Option<String>,
    /// A recording as one MP4 file, absolute; it opens as long as `url` does. Null for what is on the air.
    download_url: Option<String>,
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
    /// Opens a viewer session on a channel. Anybody may on public channels; on a protected one its owner, admins,
    /// whoever was invited, and whoever knows the channel's password. Others are answered `FORBIDDEN`, or
    /// `UNAUTHENTICATED` when they have not signed in; with a wrong password `BAD_USER_INPUT` on `input.password`, and
    /// after many of those from the same address `RATE_LIMITED`.
    async fn start_playback(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "What to watch.")] input: StartPlaybackInput,
    ) -> Result<StartPlaybackPayload> {
        let parts = ctx.parts();
        let channel = parts.store.channel_by_loc(input.loc.into()).await?;
        let mut channel = channel.ok_or(ApiError::NotFound { what: "channel" })?;
        // A stream stays as open as it began, whatever has been said of its channel since.
        let is_live = input.recording_id.is_none() && input.clip_id.is_none();
        if is_live && parts.presence.is_on_the_air(channel.loc) {
            channel.protected = !parts.presence.is_public(channel.loc);
        }
        let admission = admission(ctx, &channel, input.password.as_deref()).await?;
        ctx.viewer().may(Action::Watch(&channel, admission))?;
        let what = What::read(ctx, &channel, &input, admission).await?;
        let password = channel.password_id.filter(|_| admission == Admission::Password);
        let signed_in = ctx.requester().token.as_ref().map(SessionToken::hash);
        let token_of = |url: &str| Some(url.split_once("/~")?.1.split_once('/')?.0.to_owned());
        let renewed = input.renews.as_deref().and_then(token_of);
        let renewed: Option<Grant> = renewed.and_then(|token| parts.playback.read(&token, channel.loc).ok());
        let (token, grant) = parts.playback.grant(channel.loc, renewed.as_ref(), signed_in, password);
        let playback = what.playback(parts, channel.loc, &token, DateTime(grant.expires_at));
        Ok(StartPlaybackPayload { playback })
    }
}

/// What is to be watched on a channel.
enum What {
    OnTheAir,
    Recording(StreamId),
    Clip(ClipId),
}

impl What {
    async fn read(
        ctx: &Context<'_>,
        channel: &Channel,
        input: &StartPlaybackInput,
        admission: Admission,
    ) -> Result<Self> {
        match (&input.recording_id, &input.clip_id) {
            (None, None) => Ok(Self::OnTheAir),
            (Some(id), None) => {
                let recording = recording::played(ctx, channel.loc, id, admission).await?;
                Ok(Self::Recording(recording.stream.id))
            }
            (None, Some(id)) => {
                let clip = ctx.parts().store.clips(&[clip_id("input.clipId", id)?]).await?.pop();
                let clip = clip.filter(|clip| clip.channel_id == channel.id);
                Ok(Self::Clip(clip.ok_or(ApiError::NotFound { what: "clip" })?.id))
            }
            (Some(_), Some(_)) => Err(ApiError::bad("input.clipId", "ask for a recording or for a clip")),
        }
    }

    /// The URLs that `token` opens.
    fn playback(self, parts: &Parts, loc: Loc, token: &str, expires_at: DateTime) -> Playback {
        let site = &parts.public_url;
        let kept = |kind: &str, id: Uuid, file: &str| format!("{site}/{kind}/~{token}/{loc}/{id}/{file}");
        match self {
            Self::OnTheAir => {
                let live = |file: &str| format!("{site}/live/~{token}/{loc}/{file}");
                let picture = |ending: &str| format!("{site}/stream-thumb/~{token}/{loc}.{ending}");
                Playback {
                    url: live(parts.renditions.playlist()),
                    dvr_url: (!parts.dvr_window.is_zero()).then(|| live("dvr.m3u8")),
                    thumbnail_url: picture("png"),
                    preview_url: Some(picture("gif")),
                    download_url: None,
                    expires_at,
                }
            }
            Self::Recording(StreamId(id)) => Playback {
                url: kept("recordings", id, "index.m3u8"),
                dvr_url: None,
                thumbnail_url: kept("recordings", id, "poster.jpg"),
                preview_url: None,
                download_url: Some(kept("recordings", id, "video.mp4")),
                expires_at,
            },
            Self::Clip(ClipId(id)) => Playback {
                url: kept("clips", id, "video.mp4"),
                dvr_url: None,
                thumbnail_url: kept("clips", id, "poster.jpg"),
                preview_url: None,
                download_url: Some(kept("clips", id, "video.mp4")),
                expires_at,
            },
        }
    }
}

/// What lets whoever asks into a channel. A password is only looked at when nothing else does.
pub(super) async fn admission(
    ctx: &Context<'_>,
    channel: &Channel,
    password: Option<&str>,
) -> Result<Admission> {
    if ctx.viewer().may(Action::Watch(channel, Admission::Open)).is_ok() {
        return Ok(Admission::Open);
    }
    let store = &ctx.parts().store;
    if let Some(user) = ctx.viewer().id()
        && store.is_invited(channel.id, user).await?
    {
        return Ok(Admission::Invited);
    }
    let Some(password) = password else { return Ok(Admission::Open) };
    let wrong = || ApiError::bad("input.password", "this is not the channel's password");
    // Without one, every password is wrong.
    let stored = store.channel_password(channel.id).await?.ok_or_else(wrong)?;
    let right = ctx.parts().channel_passwords.is_right(ctx.address(), stored, password.to_owned()).await?;
    right.then_some(Admission::Password).ok_or_else(wrong)
}
