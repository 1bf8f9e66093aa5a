//! Clips: the last seconds of a broadcast, as viewers cut them out.

use async_graphql::{Context, ID, InputObject, Object, SimpleObject};
use tokio::sync::OnceCell;

use super::channel::Channel;
use super::context::Ask;
use super::error::{ApiError, Result};
use super::input;
use super::load::found;
use super::page::{PageArguments, PageInfo, lay_out, same_order};
use super::scalar::{ByteCount, DateTime, NodeId, clip_id, int, stream_id};
use super::stream::Stream;
use super::user::User;
use crate::auth::Action;
use crate::media::Uncut;
use crate::store::{self, ChannelId, ClipId, Loc, Page, Place, StreamState};

/// The last seconds of a broadcast.
#[derive(Clone)]
pub(super) struct Clip {
    pub(super) row: store::Clip,
}

impl From<store::Clip> for Clip {
    fn from(row: store::Clip) -> Self {
        Self { row }
    }
}

/// The last seconds of a broadcast, as a viewer cut them out while it was on the air.
#[Object]
impl Clip {
    /// The clip's opaque, globally unique id.
    pub(super) async fn id(&self) -> ID {
        NodeId::Clip(self.row.id).id()
    }

    /// The broadcast that it is of.
    async fn stream(&self, ctx: &Context<'_>) -> Result<Stream> {
        found(ctx.loader().load_one(self.row.stream_id).await?).map(Stream::from)
    }

    /// The channel that the broadcast was on.
    async fn channel(&self, ctx: &Context<'_>) -> Result<Channel> {
        found(ctx.loader().load_one(self.row.channel_id).await?).map(Channel::from)
    }

    /// Who made it.
    async fn creator(&self, ctx: &Context<'_>) -> Result<User> {
        found(ctx.loader().load_one(self.row.creator_id).await?).map(User)
    }

    /// What it is called, in its maker's words.
    async fn title(&self) -> &str {
        &self.row.title
    }

    /// When it was made.
    async fn created_at(&self) -> DateTime {
        DateTime(self.row.id.made_at())
    }

    /// How long it is, in seconds: as long as was asked for, and up to the distance of two keyframes more.
    async fn duration_seconds(&self) -> f64 {
        self.row.duration_ms as f64 / 1000.0
    }

    /// What its files take on the server's disk.
    async fn bytes(&self) -> ByteCount {
        ByteCount(self.row.bytes)
    }

    /// The width of its picture in pixels; null when it is sound only.
    async fn width(&self) -> Option<i32> {
        self.row.width
    }

    /// The height of its picture in pixels, as `width`.
    async fn height(&self) -> Option<i32> {
        self.row.height
    }

    /// An MP4 file, which begins to play before it is loaded: a path on this site. It opens to everybody unless its channel
    /// is protected; then ask `startPlayback` with the clip's id. With `?download` at its end browsers save it.
    async fn video_url(&self, ctx: &Context<'_>) -> Result<String> {
        Ok(path(self.loc(ctx).await?, self.row.id, "video.mp4"))
    }

    /// A picture of it: a path on this site that opens as `videoUrl` does. Null when it is sound only.
    async fn poster_url(&self, ctx: &Context<'_>) -> Option<Result<String>> {
        self.row.width?;
        Some(self.loc(ctx).await.map(|loc| path(loc, self.row.id, "poster.jpg")))
    }
}

impl Clip {
    async fn loc(&self, ctx: &Context<'_>) -> Result<Loc> {
        found(ctx.loader().load_one(self.row.channel_id).await?).map(|channel: store::Channel| channel.loc)
    }
}

fn path(loc: Loc, id: ClipId, file: &str) -> String {
    format!("/clips/{loc}/{id}/{file}")
}

/// A clip in a list.
#[derive(SimpleObject, Clone)]
pub(super) struct ClipEdge {
    /// Where this edge stands: pass it as `after` or `before`. It stays good when clips come or go.
    cursor: String,
    /// The clip.
    node: Clip,
}

/// A channel's clips; it reads what the document asks for, once.
pub(super) struct ClipConnection {
    channel: ChannelId,
    page: Page,
    read: OnceCell<(Vec<ClipEdge>, PageInfo)>,
}

impl ClipConnection {
    /// Those of a channel.
    pub(super) fn of(channel: ChannelId, page: PageArguments) -> Result<Self> {
        let page = page.page()?;
        same_order(&page, &Place::Id(uuid::Uuid::nil()))?;
        Ok(Self { channel, page, read: OnceCell::new() })
    }

    async fn read(&self, ctx: &Context<'_>) -> Result<&(Vec<ClipEdge>, PageInfo)> {
        let read = async || {
            let slice = ctx.parts().store.list_clips(self.channel, &self.page).await?;
            let (rows, info) = lay_out(slice, store::Clip::place);
            let edge = |(cursor, row): (_, store::Clip)| ClipEdge { cursor, node: row.into() };
            Ok((rows.into_iter().map(edge).collect(), info))
        };
        self.read.get_or_try_init(read).await
    }
}

/// A page of a channel's clips.
#[Object]
impl ClipConnection {
    /// The clips of this page with their cursors.
    async fn edges(&self, ctx: &Context<'_>) -> Result<&[ClipEdge]> {
        Ok(&self.read(ctx).await?.0)
    }

    /// The clips of this page, for those who need no cursors.
    async fn nodes(&self, ctx: &Context<'_>) -> Result<Vec<&Clip>> {
        Ok(self.read(ctx).await?.0.iter().map(|edge| &edge.node).collect())
    }

    /// Where this page stands in its list.
    async fn page_info(&self, ctx: &Context<'_>) -> Result<PageInfo> {
        Ok(self.read(ctx).await?.1.clone())
    }

    /// How many clips the whole list holds, up to 10,000. They are counted when asked for, so ask only when you show it.
    #[graphql(complexity = 50)]
    async fn total_count(&self, ctx: &Context<'_>) -> Result<i32> {
        Ok(int(ctx.parts().store.count_clips(self.channel).await?))
    }
}

/// What is to be cut out.
#[derive(InputObject)]
pub(super) struct CreateClipInput {
    /// The `id` of a broadcast that is on the air.
    stream_id: ID,
    /// How much of its end, in seconds: 5 to 120. It may be less, if the broadcast has just begun or the operator lets one
    /// go back less far.
    last_seconds: i32,
    /// What to call it: one line of 1 to 100 characters.
    title: String,
}

/// Which clip to delete.
#[derive(InputObject)]
pub(super) struct DeleteClipInput {
    /// The clip's id.
    id: ID,
}

/// What `createClip` did.
#[derive(SimpleObject)]
pub(super) struct CreateClipPayload {
    /// The clip, which can be played at once.
    clip: Clip,
}

/// What `deleteClip` did.
#[derive(SimpleObject)]
pub(super) struct DeleteClipPayload {
    /// The id that no longer means anything, for removing it from caches.
    deleted_clip_id: ID,
}

const NO_STREAM: ApiError = ApiError::NotFound { what: "stream on the air" };
const NO_CLIP: ApiError = ApiError::NotFound { what: "clip" };

/// Changes to clips.
#[derive(Default)]
pub(super) struct ClipMutation;

#[Object]
impl ClipMutation {
    /// Cuts the last seconds of a broadcast out, for anybody who is signed in and may watch it, where the channel's
    /// `clipsEnabled` is on; its owner and admins always may. `NOT_FOUND` when nothing of it has arrived, or it is over.
    /// `RATE_LIMITED` after 10 in 10 minutes, `UNAVAILABLE` while too many are being cut.
    async fn create_clip(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "What to cut out, and what to call it.")] input: CreateClipInput,
    ) -> Result<CreateClipPayload> {
        let parts = ctx.parts();
        let creator_id = ctx.viewer().id().ok_or(ApiError::Unauthenticated("sign in first"))?;
        let id = stream_id("input.streamId", &input.stream_id)?;
        if !(5..=120).contains(&input.last_seconds) {
            return Err(ApiError::bad("input.lastSeconds", "5 to 120"));
        }
        let title = input::line("input.title", &input.title, 1, 100)?;
        let stream = parts.store.streams(&[id]).await?.pop().ok_or(NO_STREAM)?;
        let mut channel = parts.store.channel(stream.channel_id).await?.ok_or(NO_STREAM)?;
        // A stream stays as open as it began, whatever has been said of its channel since.
        channel.protected = stream.protected;
        let admission = super::playback::admission(ctx, &channel, None).await?;
        ctx.viewer().may(Action::Watch(&channel, admission))?;
        if !channel.clips_enabled {
            ctx.viewer().may(Action::EditChannel(&channel))?;
        }
        if stream.state == StreamState::Ended {
            return Err(NO_STREAM);
        }
        parts.clip_limit.count(creator_id.0.as_bytes())?;
        let id = ClipId(parts.chance.id(parts.clock.now()));
        let measures = parts.clips.cut(&stream, id, f64::from(input.last_seconds)).await?;
        let (width, height) = measures.size.unzip();
        let clip = store::Clip {
            id,
            stream_id: stream.id,
            channel_id: channel.id,
            creator_id,
            title,
            duration_ms: measures.duration_ms,
            bytes: measures.bytes,
            width,
            height,
        };
        parts.store.create_clip(&clip).await?;
        parts.clips.keep(stream.loc, id).await.map_err(Uncut::from)?;
        parts.shelf.settle(stream.loc).await?;
        Ok(CreateClipPayload { clip: clip.into() })
    }

    /// Deletes a clip and its files for good. For whoever made it, the channel's owner, moderators and admins.
    async fn delete_clip(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "Which clip.")] input: DeleteClipInput,
    ) -> Result<DeleteClipPayload> {
        let parts = ctx.parts();
        let id = clip_id("input.id", &input.id)?;
        let clip = parts.store.clips(&[id]).await?.pop().ok_or(NO_CLIP)?;
        let channel = parts.store.channel(clip.channel_id).await?.ok_or(NO_CLIP)?;
        if ctx.viewer().id() != Some(clip.creator_id) {
            ctx.viewer().may(Action::EndStream(&channel))?;
        }
        parts.store.delete_clip(id).await?;
        parts.shelf.settle(channel.loc).await?;
        Ok(DeleteClipPayload { deleted_clip_id: NodeId::Clip(id).id() })
    }
}
