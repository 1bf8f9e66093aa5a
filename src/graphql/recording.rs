//! Recordings: broadcasts to be watched later.

use async_graphql::{Context, Enum, ID, InputObject, MaybeUndefined, Object, SimpleObject, Subscription};
use futures_util::stream::{self, Stream as Changes, StreamExt};
use uuid::Uuid;

use super::channel::Channel;
use super::context::{Ask, Parts};
use super::error::{ApiError, Result};
use super::load::found;
use super::scalar::{ByteCount, DateTime, NodeId, UuidScalar, int, recording_id};
use super::stream::Stream;
use super::{input, source};
use crate::auth::{Action, Admission, Viewer};
use crate::store::{self, Loc, Page, RecordingChange, RecordingState as State, StreamId};

/// How many of the newest recordings are told of again when changes to them were missed.
const MISSED: i64 = 100;

/// How far a recording is.
#[derive(Clone, Copy, PartialEq, Eq, Enum)]
#[graphql(remote = "store::RecordingState")]
pub(super) enum RecordingState {
    /// Its broadcast is on the air.
    Recording,
    /// The broadcast is over; its parts are being joined. It takes seconds to minutes.
    Processing,
    /// It can be played.
    Ready,
    /// Nothing can be played of it; `failureReason` says why.
    Failed,
}

/// Why nothing can be played of a recording.
#[derive(Clone, Copy, PartialEq, Eq, Enum)]
#[graphql(remote = "store::RecordingFailure")]
pub(super) enum RecordingFailureReason {
    /// The broadcast ended before anything that could be recorded was sent.
    Empty,
    /// What was sent could not be made into a video.
    Unusable,
}

/// A recording, and what was recorded.
#[derive(Clone)]
pub(super) struct Recording(pub(super) store::Recording);

/// A broadcast to be watched later. There is one for each broadcast that began while its channel's `record` was on,
/// however often the publisher reconnected. Until it is ready and published it is there for the channel's owner and admins
/// alone.
#[Object]
impl Recording {
    /// The recording's opaque, globally unique id.
    pub(super) async fn id(&self) -> ID {
        NodeId::Recording(self.0.stream.id).id()
    }

    /// The broadcast that was recorded.
    async fn stream(&self) -> Stream {
        self.0.stream.clone().into()
    }

    /// The channel that it was on.
    async fn channel(&self, ctx: &Context<'_>) -> Result<Channel> {
        found(ctx.loader().load_one(self.0.row.channel_id).await?).map(Channel::from)
    }

    /// What it is called: the name it was given, or that of its broadcast.
    async fn name(&self) -> &str {
        self.0.name()
    }

    /// How far it is.
    async fn state(&self) -> RecordingState {
        self.0.row.state.into()
    }

    /// Why nothing can be played of it, in English words for its owner; null unless it has failed.
    async fn failure(&self) -> Option<&str> {
        self.0.row.failure.map(store::RecordingFailure::word)
    }

    /// Why nothing can be played of it, for whoever has words of their own; null unless it has failed.
    async fn failure_reason(&self) -> Option<RecordingFailureReason> {
        self.0.row.failure.map(Into::into)
    }

    /// Whether whoever may watch the channel may play it.
    async fn published(&self) -> bool {
        self.0.row.published
    }

    /// How long it is, in seconds; null until it is ready.
    async fn duration_seconds(&self) -> Option<f64> {
        self.0.row.duration_ms.map(|millis| millis as f64 / 1000.0)
    }

    /// What its files take on the server's disk; 0 until it is ready.
    async fn bytes(&self) -> ByteCount {
        ByteCount(self.0.row.bytes)
    }

    /// The width of its picture in pixels; null until it is ready, and when it is sound only.
    async fn width(&self) -> Option<i32> {
        self.0.row.width
    }

    /// The height of its picture in pixels, as `width`.
    async fn height(&self) -> Option<i32> {
        self.0.row.height
    }

    /// When its broadcast began.
    async fn started_at(&self) -> DateTime {
        DateTime(self.0.stream.started_at)
    }

    /// How often `startPlayback` was asked for it.
    async fn views(&self) -> i32 {
        int(self.0.row.views)
    }

    /// An HLS playlist of all of it: a path on this site; null until it is ready. It opens to everybody while the
    /// recording is published and its channel is not protected. Otherwise, and to be counted among `views`, ask
    /// `startPlayback` with the recording's id.
    async fn playback_url(&self) -> Option<String> {
        self.path("index.m3u8")
    }

    /// The same as one MP4 file, which begins to play before it is loaded: a path on this site that opens as
    /// `playbackUrl` does. With `?download` at its end browsers save it.
    async fn download_url(&self) -> Option<String> {
        self.path("video.mp4")
    }

    /// A picture from its first tenth: a path on this site that opens as `playbackUrl` does. Null until it is ready, and
    /// when it is sound only.
    async fn poster_url(&self) -> Option<String> {
        self.0.row.width?;
        self.path("poster.jpg")
    }
}

impl Recording {
    fn path(&self, file: &str) -> Option<String> {
        let (loc, id) = (self.0.stream.loc, self.0.stream.id);
        (self.0.row.state == State::Ready).then(|| format!("/recordings/{loc}/{id}/{file}"))
    }
}

/// Whether a recording is there for whoever asks.
fn is_shown(viewer: &Viewer, recording: &store::Recording, channel: &store::Channel) -> bool {
    let row = &recording.row;
    (row.state == State::Ready && row.published) || viewer.may(Action::EditChannel(channel)).is_ok()
}

/// The recording of a stream, if there is one for whoever asks.
pub(super) async fn of_stream(ctx: &Context<'_>, id: StreamId) -> Result<Option<Recording>> {
    let Some(recording) = ctx.loader().load_one(RecordingOf(id)).await? else { return Ok(None) };
    let channel = found(ctx.loader().load_one(recording.row.channel_id).await?)?;
    Ok(is_shown(ctx.viewer(), &recording, &channel).then_some(Recording(recording)))
}

/// The recording of a stream, by the stream's id.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct RecordingOf(pub(super) StreamId);

/// What is to be different about a recording. What is left out stays as it is.
#[derive(InputObject)]
pub(super) struct UpdateRecordingInput {
    /// The recording's id.
    id: ID,
    /// What it is called: one line of 1 to 100 characters; null for the name of its broadcast.
    name: MaybeUndefined<String>,
    /// Whether whoever may watch the channel may play it.
    published: MaybeUndefined<bool>,
}

/// Which recording to delete.
#[derive(InputObject)]
pub(super) struct DeleteRecordingInput {
    /// The recording's id.
    id: ID,
}

/// What `updateRecording` did.
#[derive(SimpleObject)]
pub(super) struct UpdateRecordingPayload {
    /// The recording as it is now.
    recording: Recording,
}

/// What `deleteRecording` did.
#[derive(SimpleObject)]
pub(super) struct DeleteRecordingPayload {
    /// The id that no longer means anything, for removing it from caches.
    deleted_recording_id: ID,
}

const NO_RECORDING: ApiError = ApiError::NotFound { what: "recording" };

/// A recording and its channel, for somebody who may see it.
async fn seen(ctx: &Context<'_>, id: StreamId) -> Result<(store::Recording, store::Channel)> {
    let store = &ctx.parts().store;
    let recording = store.recordings(&[id]).await?.pop().ok_or(NO_RECORDING)?;
    let channel = store.channel(recording.row.channel_id).await?.ok_or(NO_RECORDING)?;
    is_shown(ctx.viewer(), &recording, &channel).then_some((recording, channel)).ok_or(NO_RECORDING)
}

async fn editable(ctx: &Context<'_>, id: &ID) -> Result<store::Recording> {
    let (recording, channel) = seen(ctx, recording_id("input.id", id)?).await?;
    ctx.viewer().may(Action::EditChannel(&channel))?;
    Ok(recording)
}

/// A recording of the channel at `loc` that can be played by whoever asks, let in so; counted as played.
pub(super) async fn played(
    ctx: &Context<'_>,
    loc: Loc,
    id: &ID,
    admission: Admission,
) -> Result<store::Recording> {
    let (recording, channel) = seen(ctx, recording_id("input.recordingId", id)?).await?;
    if recording.stream.loc != loc || recording.row.state != State::Ready {
        return Err(NO_RECORDING);
    }
    ctx.viewer().may(Action::Watch(&channel, admission))?;
    ctx.parts().store.count_recording_view(recording.stream.id).await?;
    Ok(recording)
}

/// Subscriptions to recordings.
#[derive(Default)]
pub(super) struct RecordingSubscription;

#[Subscription]
impl RecordingSubscription {
    /// The recordings of a channel as they change: its state, its name, whether it is published. For the owner and admins
    /// first those that are in work, then all that change; for others those that can be played. Of one that is deleted
    /// nothing is told.
    async fn recording_changed(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "The channel's address. `NOT_FOUND` when there is none.")] loc: UuidScalar,
    ) -> Result<impl Changes<Item = Recording> + use<>> {
        let changes = changes(ctx.parts(), ctx.viewer().clone(), loc.into());
        let changed = source::follow(ctx, changes).await?;
        Ok(changed.map(Recording))
    }
}

/// The recordings of the channel at `loc` that are there for `viewer`, as they change.
async fn changes(
    parts: &Parts,
    viewer: Viewer,
    loc: Loc,
) -> Result<impl Changes<Item = (Option<Uuid>, store::Recording)> + use<>> {
    // First listen, then look.
    let changes = parts.shelf.watch();
    let channel = parts.store.channel_by_loc(loc).await?.ok_or(ApiError::NotFound { what: "channel" })?;
    let mut present = parts.store.recordings_in_work().await?;
    present.retain(|it| it.row.channel_id == channel.id && is_shown(&viewer, it, &channel));
    let told = |recording: store::Recording| (Some(recording.stream.id.0), recording);
    let known = (parts.store.clone(), viewer, channel);
    let later = source::at(loc, changes, move |id| {
        let (store, viewer, channel) = known.clone();
        async move {
            let mut found = match id {
                Some(id) => store.recordings(&[id]).await?,
                // What is in work is among the newest, and so is most of what anybody changes.
                None => store.list_recordings(channel.id, true, &Page::first(MISSED)).await?.rows,
            };
            found.retain(|it| is_shown(&viewer, it, &channel));
            Ok(found)
        }
    });
    Ok(stream::iter(present).chain(later).map(told))
}

/// Changes to recordings.
#[derive(Default)]
pub(super) struct RecordingMutation;

#[Object]
impl RecordingMutation {
    /// Names a recording, publishes it or takes it back. For the channel's owner and admins.
    async fn update_recording(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "Which recording, and what is to be different.")] input: UpdateRecordingInput,
    ) -> Result<UpdateRecordingPayload> {
        let recording = editable(ctx, &input.id).await?;
        let name = match input.name {
            MaybeUndefined::Undefined => None,
            MaybeUndefined::Null => Some(None),
            MaybeUndefined::Value(name) => Some(Some(input::line("input.name", &name, 1, 100)?)),
        };
        let published = input::kept("input.published", input.published)?;
        let parts = ctx.parts();
        if name.is_some() || published.is_some() {
            parts.store.update_recording(recording.stream.id, &RecordingChange { name, published }).await?;
            parts.shelf.settle(recording.stream.loc).await?;
            parts.shelf.tell(recording.stream.loc, recording.stream.id);
        }
        let recording = parts.store.recordings(&[recording.stream.id]).await?.pop().ok_or(NO_RECORDING)?;
        Ok(UpdateRecordingPayload { recording: Recording(recording) })
    }

    /// Deletes a recording and its files for good. For the channel's owner and admins. `CONFLICT` while it is recorded or
    /// processed.
    async fn delete_recording(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "Which recording.")] input: DeleteRecordingInput,
    ) -> Result<DeleteRecordingPayload> {
        let recording = editable(ctx, &input.id).await?;
        if matches!(recording.row.state, State::Recording | State::Processing) {
            let why = "it is still being made; wait until it is ready".to_owned();
            return Err(ApiError::Conflict { field: "input.id", why });
        }
        ctx.parts().store.delete_recording(recording.stream.id).await?;
        ctx.parts().shelf.settle(recording.stream.loc).await?;
        Ok(DeleteRecordingPayload { deleted_recording_id: NodeId::Recording(recording.stream.id).id() })
    }
}
