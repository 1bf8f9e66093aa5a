//! Streams: one broadcast each, on the air or over.

use std::borrow::Cow;

use async_graphql::{Context, Enum, ID, InputObject, MaybeUndefined, Object, SimpleObject};
use serde_json::Value;

use super::audience::{self, AudiencePoint};
use super::channel::Channel;
use super::context::Ask;
use super::error::{ApiError, Result};
use super::input;
use super::load::found;
use super::recording::{self, Recording};
use super::scalar::{DateTime, NodeId, UuidScalar, int, stream_id};
use super::topic::{self, Topic};
use crate::auth::Action;
use crate::media;
use crate::store::{self, AroundStream, Counts, ListedStream, Loc, StreamChange};

/// Where a broadcast is in its life. It may go back and forth between `LIVE` and `INTERRUPTED`; `ENDED` is for good.
#[derive(Clone, Copy, PartialEq, Eq, Enum)]
#[graphql(remote = "store::StreamState")]
pub(super) enum StreamState {
    /// Its publisher is sending.
    Live,
    /// The publisher's connection broke; viewers wait for it to come back within the reconnect window.
    Interrupted,
    /// It is over. The channel's next broadcast is another stream.
    Ended,
}

/// One broadcast on a channel, and what a list has read along with it; the rest is loaded when it is asked for.
#[derive(Clone)]
pub(super) struct Stream {
    row: store::Stream,
    channel: Option<Box<Channel>>,
    topic: Option<Topic>,
}

impl From<store::Stream> for Stream {
    fn from(row: store::Stream) -> Self {
        Self { row, channel: None, topic: None }
    }
}

impl From<ListedStream> for Stream {
    fn from(ListedStream { stream, around }: ListedStream) -> Self {
        let Some(AroundStream { channel, owner, channel_topic, topic }) = around else {
            return stream.into();
        };
        let channel = Channel::read_along(channel, owner, channel_topic);
        Self { row: stream, channel: Some(Box::new(channel)), topic: topic.map(Topic) }
    }
}

/// What is being sent, as the media server measures it. Each figure is null until it is known.
#[derive(SimpleObject)]
pub(super) struct StreamMedia {
    /// The video codec, for instance `H264`.
    video_codec: Option<String>,
    /// The picture's width in pixels.
    width: Option<i32>,
    /// The picture's height in pixels.
    height: Option<i32>,
    /// Pictures a second, as the publisher announces them.
    frame_rate: Option<f64>,
    /// Video in kilobits a second, over the last 10 seconds.
    video_kbps: Option<i32>,
    /// The audio codec, for instance `AAC`.
    audio_codec: Option<String>,
    /// How many audio channels: 1 is mono, 2 is stereo.
    audio_channels: Option<i32>,
    /// Audio samples a second.
    audio_sample_rate: Option<i32>,
    /// Audio in kilobits a second, over the last 10 seconds.
    audio_kbps: Option<i32>,
}

impl StreamMedia {
    fn read(media: &Value) -> Self {
        let word = |name: &str| media[name].as_str().map(str::to_owned);
        #[expect(clippy::cast_possible_truncation, reason = "a float cast to an integer stops at its ends")]
        let whole = |name: &str| media[name].as_f64().map(|figure| figure as i32);
        Self {
            video_codec: word("videoCodec"),
            width: whole("width"),
            height: whole("height"),
            frame_rate: media["frameRate"].as_f64(),
            video_kbps: whole("videoKbps"),
            audio_codec: word("audioCodec"),
            audio_channels: whole("audioChannels"),
            audio_sample_rate: whole("audioSampleRate"),
            audio_kbps: whole("audioKbps"),
        }
    }
}

impl Stream {
    /// One whose topic was read along.
    pub(super) fn read_along(row: store::Stream, topic: Option<store::Topic>) -> Self {
        Self { row, channel: None, topic: topic.map(Topic) }
    }

    fn counts(&self, ctx: &Context<'_>) -> Counts {
        let row = &self.row;
        let here = ctx.parts().presence.counts(row.loc).filter(|(stream, _, _)| *stream == row.id);
        let written =
            Counts { current: row.current_viewers, peak: row.peak_viewers, total: row.total_viewers };
        match here {
            Some((_, _, counts)) if row.state != store::StreamState::Ended => counts,
            _ => written,
        }
    }
}

/// A size in which a stream can be watched.
pub(super) struct Rendition {
    rendition: media::Rendition,
    loc: Loc,
}

/// A size in which a stream can be watched: the same pictures and the same sound, with fewer bits.
#[Object]
impl Rendition {
    /// `source` for what is sent, else the height of the picture: `720p`.
    async fn name(&self) -> &str {
        &self.rendition.name
    }

    /// The width of its picture in pixels; null where there is none.
    async fn width(&self) -> Option<i32> {
        self.rendition.size.map(|(width, _)| width)
    }

    /// The height of its picture in pixels; null where there is none.
    async fn height(&self) -> Option<i32> {
        self.rendition.size.map(|(_, height)| height)
    }

    /// What it takes at the most, sound included, in kilobits a second. Of the source it is an estimate.
    async fn kbps(&self) -> i32 {
        i32::try_from(self.rendition.kbps).unwrap_or(i32::MAX)
    }

    /// Its own HLS playlist, for those who choose by themselves. It opens as the stream's `playbackUrl` does; of a protected
    /// channel take the last part of it, beside the `url` of `startPlayback`.
    async fn playlist_url(&self) -> String {
        format!("/live/{}/{}", self.loc, self.rendition.playlist)
    }
}

/// One broadcast on a channel. A publisher that comes back within the reconnect window continues it, so a shaky
/// connection makes one stream, not many.
#[Object]
impl Stream {
    /// The stream's opaque, globally unique id.
    pub(super) async fn id(&self) -> ID {
        NodeId::Stream(self.row.id).id()
    }

    /// The stream's public uuid. It stays the same over reconnects.
    async fn uuid(&self) -> UuidScalar {
        UuidScalar(self.row.id.0)
    }

    /// On which channel. After `deleteChannel` the events of the last days still show it here.
    async fn channel(&self, ctx: &Context<'_>) -> Result<Cow<'_, Channel>> {
        match &self.channel {
            Some(channel) => Ok(Cow::Borrowed(channel)),
            None => {
                found(ctx.loader().load_one(self.row.channel_id).await?).map(|row| Cow::Owned(row.into()))
            }
        }
    }

    /// What it is called: the channel's `defaultStreamName` at its start, or what `updateStream` made of it.
    async fn name(&self) -> &str {
        &self.row.name
    }

    /// What it is about: the channel's topic at its start, or what `updateStream` made of it.
    async fn topic(&self, ctx: &Context<'_>) -> Option<Result<Cow<'_, Topic>>> {
        topic::of(ctx, self.row.topic_id, self.topic.as_ref()).await
    }

    /// Where it is in its life.
    async fn state(&self) -> StreamState {
        self.row.state.into()
    }

    /// Viewer sessions now; 0 once it has ended.
    async fn current_viewers(&self, ctx: &Context<'_>) -> i32 {
        self.counts(ctx).current
    }

    /// The most viewer sessions at one time so far.
    async fn peak_viewers(&self, ctx: &Context<'_>) -> i32 {
        self.counts(ctx).peak
    }

    /// Distinct viewer sessions so far.
    async fn total_viewers(&self, ctx: &Context<'_>) -> i32 {
        int(self.counts(ctx).total)
    }

    /// How many watched over its time, for a chart: the oldest first, each the most at one time from then until the next. It
    /// is kept by the minute, of a broadcast longer than six hours by as many minutes as make no more than 360 points of it;
    /// while it is on the air up to the last full minute. A time in which nobody counted is left out.
    #[graphql(complexity = "audience::cost(points, child_complexity)")]
    async fn audience(
        &self,
        ctx: &Context<'_>,
        #[graphql(
            desc = "How many points at the most, 1 to 360; 60 when not said. Fewer keep the peaks of more."
        )]
        points: Option<i32>,
    ) -> Result<Vec<AudiencePoint>> {
        audience::of(ctx, &self.row, points).await
    }

    /// When it went on the air.
    async fn started_at(&self) -> DateTime {
        DateTime(self.row.started_at)
    }

    /// When it went off the air, or null while it is on.
    async fn ended_at(&self) -> Option<DateTime> {
        self.row.ended_at.map(DateTime)
    }

    /// Why it ended, or null while it is on the air.
    async fn stop_reason(&self) -> Option<super::event::StopReason> {
        self.row.reason.map(Into::into)
    }

    /// The recording of this broadcast; null when there is none, or none for you yet.
    async fn recording(&self, ctx: &Context<'_>) -> Option<Result<Recording>> {
        recording::of_stream(ctx, self.row.id).await.transpose()
    }

    /// What is being sent, or null until the media server knows: some seconds after the start.
    async fn media(&self) -> Option<StreamMedia> {
        self.row.media.as_ref().map(StreamMedia::read)
    }

    /// In which sizes it can be watched, the source first: what `playbackUrl` lets players choose from. Empty where no smaller ones
    /// are made, some seconds after the start, and when it has ended.
    async fn renditions(&self, ctx: &Context<'_>) -> Vec<Rendition> {
        match self.row.state {
            store::StreamState::Ended => Vec::new(),
            _ => {
                let all = ctx.parts().renditions.of(self.row.loc).into_iter();
                all.map(|rendition| Rendition { rendition, loc: self.row.loc }).collect()
            }
        }
    }

    /// The channel's page: the path `/view/LOC/` on this site.
    async fn page_url(&self) -> String {
        format!("/view/{}/", self.row.loc)
    }

    /// The HLS playlist: the path `/live/LOC/index.m3u8` on this site, or `/live/LOC/master.m3u8` where smaller sizes are made,
    /// among which players choose by themselves. It appears some seconds after the start. For
    /// a protected channel, or to be counted as one session wherever one watches from, ask `startPlayback`.
    async fn playback_url(&self, ctx: &Context<'_>) -> String {
        format!("/live/{}/{}", self.row.loc, ctx.parts().renditions.playlist())
    }

    /// A longer HLS playlist, in which one can go back as far as the operator allows (5 minutes, unless told otherwise): the
    /// path `/live/LOC/dvr.m3u8` on this site. Null where one cannot go back. It opens as `playbackUrl` does.
    async fn dvr_url(&self, ctx: &Context<'_>) -> Option<String> {
        (!ctx.parts().dvr_window.is_zero()).then(|| format!("/live/{}/dvr.m3u8", self.row.loc))
    }

    /// A picture of the last seconds: the path `/stream-thumb/LOC.png` on this site. A placeholder stands there
    /// until there is one, and always for protected channels.
    async fn thumbnail_url(&self) -> String {
        format!("/stream-thumb/{}.png", self.row.loc)
    }

    /// A short silent loop of the last seconds: the path `/stream-thumb/LOC.gif` on this site, with a placeholder
    /// as for `thumbnailUrl`.
    async fn preview_url(&self) -> String {
        format!("/stream-thumb/{}.gif", self.row.loc)
    }
}

/// What is to be different about a broadcast. What is left out stays as it is.
#[derive(InputObject)]
pub(super) struct UpdateStreamInput {
    /// The broadcast's id.
    id: ID,
    /// What it is called: one line of 1 to 100 characters.
    name: MaybeUndefined<String>,
    /// A topic's slug; null clears.
    topic: MaybeUndefined<String>,
}

/// What `updateStream` did.
#[derive(SimpleObject)]
pub(super) struct UpdateStreamPayload {
    /// The broadcast as it is now.
    stream: Stream,
}

/// Changes to streams.
#[derive(Default)]
pub(super) struct StreamMutation;

#[Object]
impl StreamMutation {
    /// Names a broadcast or gives it a topic, while it is on the air or afterwards. On the air, subscribers are told
    /// by a `StreamUpdated`. For the channel's owner and admins.
    async fn update_stream(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "Which broadcast, and what is to be different.")] input: UpdateStreamInput,
    ) -> Result<UpdateStreamPayload> {
        const NO_STREAM: ApiError = ApiError::NotFound { what: "stream" };
        let parts = ctx.parts();
        let id = stream_id("input.id", &input.id)?;
        let stream = parts.store.streams(&[id]).await?.pop().ok_or(NO_STREAM)?;
        let channel = parts.store.channel(stream.channel_id).await?.ok_or(NO_STREAM)?;
        ctx.viewer().may(Action::EditChannel(&channel))?;
        let name = input::kept("input.name", input.name)?;
        let topic_id = match input.topic {
            MaybeUndefined::Undefined => None,
            MaybeUndefined::Null => Some(None),
            MaybeUndefined::Value(slug) => Some(Some(topic::on_offer(ctx, "input.topic", &slug).await?)),
        };
        let name = name.map(|name| input::line("input.name", &name, 1, 100)).transpose()?;
        if name.is_none() && topic_id.is_none() {
            return Ok(UpdateStreamPayload { stream: stream.into() });
        }
        let change = StreamChange { name, topic_id };
        let changed = parts.store.update_stream(id, &change, parts.clock.now()).await?;
        Ok(UpdateStreamPayload { stream: changed.ok_or(NO_STREAM)?.into() })
    }
}
