//! Channels: rooms that their owners broadcast into. The type and its lists; changes are in [`super::channels`].

use std::borrow::Cow;

use async_graphql::{Context, Enum, ID, InputObject, Object, SimpleObject};

use super::clip::ClipConnection;
use super::context::Ask;
use super::error::{ApiError, Result};
use super::ingest::Ingest;
use super::load::{OnTheAir, TargetsOf, found};
use super::page::{PageArguments, PageInfo, cost, lay_out, same_order};
use super::recording_list::RecordingConnection;
use super::scalar::{DateTime, NodeId, UuidScalar, int};
use super::simulcast::{self, SimulcastTarget};
use super::stream::Stream;
use super::stream_list::StreamConnection;
use super::topic::{self, Topic};
use super::user::User;
use super::user_list::UserConnection;
use super::{input, page};
use crate::auth::Action;
use crate::store::{self, AroundChannel, ChannelFilter, ListedChannel, Page};

/// A room, and what a list has read along with it; the rest is loaded when it is asked for.
#[derive(Clone)]
pub(super) struct Channel {
    row: store::Channel,
    owner: Option<User>,
    topic: Option<Topic>,
    /// The one on the air, or that there is none; not known when nobody looked.
    stream: Option<Option<Box<Stream>>>,
}

impl From<store::Channel> for Channel {
    fn from(row: store::Channel) -> Self {
        Self { row, owner: None, topic: None, stream: None }
    }
}

impl From<ListedChannel> for Channel {
    fn from(ListedChannel { channel, around }: ListedChannel) -> Self {
        let Some(AroundChannel { owner, topic, stream, stream_topic }) = around else {
            return channel.into();
        };
        let stream = stream.map(|stream| Box::new(Stream::read_along(stream, stream_topic)));
        Self { stream: Some(stream), ..Self::read_along(channel, owner, topic) }
    }
}

impl Channel {
    /// One whose owner and topic were read along.
    pub(super) fn read_along(row: store::Channel, owner: store::User, topic: Option<store::Topic>) -> Self {
        Self { row, owner: Some(User(owner)), topic: topic.map(Topic), stream: None }
    }
}

/// A room that its owner can broadcast into.
#[Object]
impl Channel {
    /// The channel's opaque, globally unique id.
    pub(super) async fn id(&self) -> ID {
        NodeId::Channel(self.row.id).id()
    }

    /// Public address, random, fixed at creation: the only channel identifier in viewers' URLs.
    async fn loc(&self) -> UuidScalar {
        UuidScalar(self.row.loc.0)
    }

    /// The channel's name: one line of 1 to 100 characters in any script. Not unique.
    async fn name(&self) -> &str {
        &self.row.name
    }

    /// What the owner says of the channel: plain text of up to 5,000 characters, which may have line breaks.
    async fn description(&self) -> &str {
        &self.row.description
    }

    /// What the channel is about, or null. It may be a topic that has been retired since.
    async fn topic(&self, ctx: &Context<'_>) -> Option<Result<Cow<'_, Topic>>> {
        topic::of(ctx, self.row.topic_id, self.topic.as_ref()).await
    }

    /// Whose channel it is.
    async fn owner(&self, ctx: &Context<'_>) -> Result<Cow<'_, User>> {
        match &self.owner {
            Some(owner) => Ok(Cow::Borrowed(owner)),
            None => found(ctx.loader().load_one(self.row.owner_id).await?).map(|row| Cow::Owned(User(row))),
        }
    }

    /// A picture for the channel, or null: the address that its owner gave, or the path on this site of the picture that was
    /// uploaded with `PUT /channels/LOC/cover`: a JPEG of up to 1280 by 720 pixels, another path with each upload. Everybody
    /// may see it, of protected channels too.
    async fn image_url(&self) -> Option<&str> {
        self.row.image_url.as_deref()
    }

    /// Whether the owner lets viewers chat.
    async fn chat_enabled(&self) -> bool {
        self.row.chat_enabled
    }

    /// Whether the owner lets viewers cut clips.
    async fn clips_enabled(&self) -> bool {
        self.row.clips_enabled
    }

    /// Whether broadcasts are recorded for replay. A change holds for the next broadcast.
    async fn record(&self) -> bool {
        self.row.record
    }

    /// Whether playback needs a signed URL from `startPlayback`, which it gives to the owner, admins, and those whom the
    /// owner lets in by invitation or password. A change holds for the next broadcast.
    async fn protected(&self) -> bool {
        self.row.protected
    }

    /// Whether whoever knows the channel's password may watch it while it is protected: give the password to
    /// `startPlayback`.
    async fn opens_with_password(&self) -> bool {
        self.row.password_id.is_some()
    }

    /// Users who may watch while it is protected, the last one invited first. Null for everyone but the owner and
    /// admins.
    #[graphql(complexity = "cost(first, last, child_complexity)")]
    async fn invited_viewers(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "How many from the start, 1 to 100; 20 when neither `first` nor `last` is said.")]
        first: Option<i32>,
        #[graphql(desc = "Only those behind this edge's cursor.")] after: Option<String>,
        #[graphql(desc = "How many from the end, 1 to 100. Not together with `first`.")] last: Option<i32>,
        #[graphql(desc = "Only those before this edge's cursor.")] before: Option<String>,
    ) -> Option<Result<UserConnection>> {
        ctx.viewer().may(Action::EditChannel(&self.row)).ok()?;
        Some(UserConnection::invited(self.row.id, PageArguments { first, after, last, before }))
    }

    /// Name given to a broadcast, and to its recording, when it is not named.
    async fn default_stream_name(&self) -> &str {
        &self.row.default_stream_name
    }

    /// Viewer sessions of all broadcasts so far, the live one included; a second behind at the most.
    async fn views(&self) -> i32 {
        int(self.row.views)
    }

    /// People watching now; 0 when off the air.
    async fn current_viewers(&self, ctx: &Context<'_>) -> i32 {
        // The row knows of an end a moment before presence does.
        let here = ctx.parts().presence.counts(self.row.loc).filter(|_| self.row.live);
        here.map_or(self.row.current_viewers, |(_, _, counts)| counts.current)
    }

    /// The broadcast on the air, live or interrupted, or null.
    async fn stream(&self, ctx: &Context<'_>) -> Option<Result<Cow<'_, Stream>>> {
        match &self.stream {
            Some(stream) => stream.as_deref().map(|stream| Ok(Cow::Borrowed(stream))),
            None => match ctx.loader().load_one(OnTheAir(self.row.id)).await {
                Ok(stream) => Some(Ok(Cow::Owned(stream?.into()))),
                Err(error) => Some(Err(error.into())),
            },
        }
    }

    /// Ended broadcasts, newest first.
    #[graphql(complexity = "cost(first, last, child_complexity)")]
    async fn past_streams(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "How many from the start, 1 to 100; 20 when neither `first` nor `last` is said.")]
        first: Option<i32>,
        #[graphql(desc = "Only those behind this edge's cursor.")] after: Option<String>,
        #[graphql(desc = "How many from the end, 1 to 100. Not together with `first`.")] last: Option<i32>,
        #[graphql(desc = "Only those before this edge's cursor.")] before: Option<String>,
    ) -> Result<StreamConnection> {
        let page = PageArguments { first, after, last, before }.page()?;
        StreamConnection::past(ctx, self.row.id, page)
    }

    /// Recordings, newest first: those that can be played; for the owner and admins all of them.
    #[graphql(complexity = "cost(first, last, child_complexity)")]
    async fn recordings(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "How many from the start, 1 to 100; 20 when neither `first` nor `last` is said.")]
        first: Option<i32>,
        #[graphql(desc = "Only those behind this edge's cursor.")] after: Option<String>,
        #[graphql(desc = "How many from the end, 1 to 100. Not together with `first`.")] last: Option<i32>,
        #[graphql(desc = "Only those before this edge's cursor.")] before: Option<String>,
    ) -> Result<RecordingConnection> {
        let everything = ctx.viewer().may(Action::EditChannel(&self.row)).is_ok();
        RecordingConnection::of(self.row.id, everything, PageArguments { first, after, last, before })
    }

    /// Clips, newest first.
    #[graphql(complexity = "cost(first, last, child_complexity)")]
    async fn clips(
        &self,
        #[graphql(desc = "How many from the start, 1 to 100; 20 when neither `first` nor `last` is said.")]
        first: Option<i32>,
        #[graphql(desc = "Only those behind this edge's cursor.")] after: Option<String>,
        #[graphql(desc = "How many from the end, 1 to 100. Not together with `first`.")] last: Option<i32>,
        #[graphql(desc = "Only those before this edge's cursor.")] before: Option<String>,
    ) -> Result<ClipConnection> {
        ClipConnection::of(self.row.id, PageArguments { first, after, last, before })
    }

    /// Where to send video. Null for everyone but the owner and admins.
    async fn ingest(&self, ctx: &Context<'_>) -> Option<Ingest<'_>> {
        ctx.viewer().may(Action::ReadKey(&self.row)).ok()?;
        self.row.deleted_at.is_none().then_some(Ingest(&self.row))
    }

    /// Where else its broadcasts go, in the order in which the targets were added: at most 8. Null for everyone but the owner
    /// and admins.
    #[graphql(complexity = "20 + 8 * child_complexity")]
    async fn simulcast_targets(&self, ctx: &Context<'_>) -> Option<Result<Vec<SimulcastTarget>>> {
        if !simulcast::is_shown(ctx.viewer(), &self.row) {
            return None;
        }
        let targets = ctx.loader().load_one(TargetsOf(self.row.id)).await;
        let targets =
            targets.map(|found| found.unwrap_or_default().into_iter().map(SimulcastTarget).collect());
        Some(targets.map_err(Into::into))
    }

    /// When the channel was made.
    async fn created_at(&self) -> DateTime {
        DateTime(self.row.created_at)
    }

    /// When its owner last changed something about it; broadcasts and views do not count.
    async fn updated_at(&self) -> DateTime {
        DateTime(self.row.updated_at)
    }
}

/// Which channels a list is to hold. What is left out does not narrow it; what is given must all hold.
#[derive(InputObject, Default)]
#[graphql(name = "ChannelFilter")]
pub(super) struct ChannelFilterInput {
    /// Of the topic with this slug.
    topic: Option<String>,
    /// Of the user with this handle.
    owner: Option<String>,
    /// True for channels on the air (live or interrupted), false for those off it.
    live: Option<bool>,
    /// With each of these words, up to 8, anywhere in name or description: any part of a word in any script.
    search: Option<String>,
}

impl ChannelFilterInput {
    fn read(self) -> Result<ChannelFilter> {
        let words = self.search.map(|search| input::words("filter.search", &search)).transpose()?;
        Ok(ChannelFilter {
            topic: self.topic.map(input::known_slug),
            owner: self.owner.map(input::known_handle),
            live: self.live,
            words: words.unwrap_or_default(),
        })
    }
}

/// How a list of channels is ordered. Equal ones follow by age.
#[derive(Clone, Copy, PartialEq, Eq, Enum)]
#[graphql(remote = "store::ChannelOrder")]
pub(super) enum ChannelOrder {
    /// The newest channel first.
    Newest,
    /// By name, in the order that readers of its script expect.
    Name,
    /// The most views of all time first.
    MostViewed,
    /// The most present viewers first; channels off the air come last.
    MostWatchedNow,
}

/// A channel in a list.
#[derive(SimpleObject, Clone)]
pub(super) struct ChannelEdge {
    /// Where this edge stands: pass it as `after` or `before`. It stays good when channels come or go.
    cursor: String,
    /// The channel.
    node: Channel,
}

/// A page of a list of channels; it reads what the document asks for, once.
pub(super) struct ChannelConnection {
    filter: ChannelFilter,
    order: store::ChannelOrder,
    page: Page,
    /// Whether the rows are asked for what belongs to them.
    around: bool,
    read: tokio::sync::OnceCell<(Vec<ChannelEdge>, PageInfo)>,
}

impl ChannelConnection {
    /// The list that the field being resolved answers with.
    pub(super) fn new(
        ctx: &Context<'_>,
        filter: ChannelFilter,
        order: ChannelOrder,
        page: Page,
    ) -> Result<Self> {
        let order = store::ChannelOrder::from(order);
        same_order(&page, &order.kind())?;
        let around = page::rows_are_asked_for(ctx, &["owner", "topic", "stream"]);
        Ok(Self { filter, order, page, around, read: tokio::sync::OnceCell::new() })
    }

    async fn read(&self, ctx: &Context<'_>) -> Result<&(Vec<ChannelEdge>, PageInfo)> {
        let read = async || {
            let store = &ctx.parts().store;
            let slice = store.list_channels(&self.filter, self.order, &self.page, self.around).await?;
            let (rows, info) = lay_out(slice, |listed| self.order.place(&listed.channel));
            let edge = |(cursor, listed): (_, ListedChannel)| ChannelEdge { cursor, node: listed.into() };
            Ok((rows.into_iter().map(edge).collect(), info))
        };
        self.read.get_or_try_init(read).await
    }
}

/// A page of a list of channels.
#[Object]
impl ChannelConnection {
    /// The channels of this page with their cursors.
    async fn edges(&self, ctx: &Context<'_>) -> Result<&[ChannelEdge]> {
        Ok(&self.read(ctx).await?.0)
    }

    /// The channels of this page, for those who need no cursors.
    async fn nodes(&self, ctx: &Context<'_>) -> Result<Vec<&Channel>> {
        Ok(self.read(ctx).await?.0.iter().map(|edge| &edge.node).collect())
    }

    /// Where this page stands in its list.
    async fn page_info(&self, ctx: &Context<'_>) -> Result<PageInfo> {
        Ok(self.read(ctx).await?.1.clone())
    }

    /// How many channels the whole list holds, up to 10,000; with `search` up to 500. The greatest figure stands for that
    /// many or more. It is counted when asked for, so ask only when you show it.
    #[graphql(complexity = 50)]
    async fn total_count(&self, ctx: &Context<'_>) -> Result<i32> {
        Ok(int(ctx.parts().store.count_channels(&self.filter).await?))
    }
}

/// Questions about channels.
#[derive(Default)]
pub(super) struct ChannelQuery;

#[Object]
impl ChannelQuery {
    /// The channel at that public address, or null.
    #[graphql(complexity = "page::ROW + child_complexity")]
    async fn channel(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "The channel's address, as in viewers' URLs.")] loc: UuidScalar,
    ) -> Option<Result<Channel>> {
        let found = ctx.parts().store.channel_by_loc(loc.into()).await.map_err(ApiError::from);
        found.map(|channel| channel.map(Channel::from)).transpose()
    }

    #[expect(clippy::too_many_arguments, reason = "they are the field's arguments")]
    /// All channels, narrowed by `filter` and ordered as `orderBy` says.
    #[graphql(complexity = "page::cost(first, last, child_complexity)")]
    async fn channels(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "How many from the start, 1 to 100; 20 when neither `first` nor `last` is said.")]
        first: Option<i32>,
        #[graphql(desc = "Only those behind this edge's cursor.")] after: Option<String>,
        #[graphql(desc = "How many from the end, 1 to 100. Not together with `first`.")] last: Option<i32>,
        #[graphql(desc = "Only those before this edge's cursor.")] before: Option<String>,
        #[graphql(desc = "Which channels; all when left out.")] filter: Option<ChannelFilterInput>,
        #[graphql(desc = "In which order; `NEWEST` when left out.")] order_by: Option<ChannelOrder>,
    ) -> Result<ChannelConnection> {
        let filter = filter.unwrap_or_default().read()?;
        let page = PageArguments { first, after, last, before }.page()?;
        let order = order_by.unwrap_or(ChannelOrder::Newest);
        ChannelConnection::new(ctx, filter, order, page)
    }
}
