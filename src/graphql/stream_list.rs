//! Lists of streams: on the air, and of a channel's past.

use async_graphql::{Context, Enum, Object, SimpleObject};
use tokio::sync::OnceCell;

use super::context::Ask;
use super::error::Result;
use super::input;
use super::page::{self, PageArguments, PageInfo, event_cursor, lay_out, same_order};
use super::scalar::int;
use super::stream::Stream;
use crate::store::{self, ChannelId, ListedStream, Page, Position};

/// How a list of broadcasts is ordered. Equal ones follow by age.
#[derive(Clone, Copy, PartialEq, Eq, Enum)]
#[graphql(remote = "store::StreamOrder")]
pub(super) enum StreamOrder {
    /// The most present viewers first.
    MostWatchedNow,
    /// The one that started last first.
    Newest,
}

/// A broadcast in a list.
#[derive(SimpleObject, Clone)]
pub(super) struct StreamEdge {
    /// Where this edge stands: pass it as `after` or `before`. It stays good when broadcasts come or go.
    cursor: String,
    /// The broadcast.
    node: Stream,
}

enum List {
    Live { topic: Option<String>, order: store::StreamOrder },
    Past { channel: ChannelId },
}

impl List {
    fn order(&self) -> store::StreamOrder {
        match self {
            Self::Live { order, .. } => *order,
            Self::Past { .. } => store::StreamOrder::Newest,
        }
    }
}

/// A page of a list of broadcasts; it reads what the document asks for, once.
pub(super) struct StreamConnection {
    list: List,
    page: Page,
    /// Whether the rows are asked for what belongs to them.
    around: bool,
    read: OnceCell<(Vec<StreamEdge>, PageInfo, Position)>,
}

impl StreamConnection {
    /// The list that the field being resolved answers with.
    fn new(ctx: &Context<'_>, list: List, page: Page) -> Result<Self> {
        same_order(&page, &list.order().kind())?;
        let around = page::rows_are_asked_for(ctx, &["channel", "topic"]);
        Ok(Self { list, page, around, read: OnceCell::new() })
    }

    pub(super) fn past(ctx: &Context<'_>, channel: ChannelId, page: Page) -> Result<Self> {
        Self::new(ctx, List::Past { channel }, page)
    }

    async fn read(&self, ctx: &Context<'_>) -> Result<&(Vec<StreamEdge>, PageInfo, Position)> {
        let store = &ctx.parts().store;
        let read = async || {
            let (slice, end) = match &self.list {
                List::Live { topic, order } => {
                    store.list_live_streams(topic.as_deref(), *order, &self.page, self.around).await?
                }
                List::Past { channel } => store.list_past_streams(*channel, &self.page, self.around).await?,
            };
            ctx.parts().log.tell(end);
            let order = self.list.order();
            let (rows, info) = lay_out(slice, |listed| order.place(&listed.stream));
            let edge = |(cursor, listed): (_, ListedStream)| StreamEdge { cursor, node: listed.into() };
            Ok((rows.into_iter().map(edge).collect(), info, end))
        };
        self.read.get_or_try_init(read).await
    }
}

/// A page of a list of broadcasts.
#[Object]
impl StreamConnection {
    /// The broadcasts of this page with their cursors.
    async fn edges(&self, ctx: &Context<'_>) -> Result<&[StreamEdge]> {
        Ok(&self.read(ctx).await?.0)
    }

    /// The broadcasts of this page, for those who need no cursors.
    async fn nodes(&self, ctx: &Context<'_>) -> Result<Vec<&Stream>> {
        Ok(self.read(ctx).await?.0.iter().map(|edge| &edge.node).collect())
    }

    /// Where this page stands in its list.
    async fn page_info(&self, ctx: &Context<'_>) -> Result<PageInfo> {
        Ok(self.read(ctx).await?.1.clone())
    }

    /// How many broadcasts the whole list holds, up to 10,000. It is counted when asked for, so ask only when you show it.
    #[graphql(complexity = 50)]
    async fn total_count(&self, ctx: &Context<'_>) -> Result<i32> {
        let store = &ctx.parts().store;
        Ok(int(match &self.list {
            List::Live { topic, .. } => store.count_live_streams(topic.as_deref()).await?,
            List::Past { channel } => store.count_past_streams(*channel).await?,
        }))
    }

    /// The event cursor as of this very answer: subscribe with `streamEvents(after:)` to continue without a gap and
    /// without seeing again what this list already shows.
    async fn event_cursor(&self, ctx: &Context<'_>) -> Result<String> {
        Ok(event_cursor(self.read(ctx).await?.2))
    }
}

/// Questions about streams.
#[derive(Default)]
pub(super) struct StreamQuery;

#[Object]
impl StreamQuery {
    #[expect(clippy::too_many_arguments, reason = "they are the field's arguments")]
    /// Broadcasts on the air (`LIVE` or `INTERRUPTED`). For a list that keeps itself true, go on from its
    /// `eventCursor` with `streamEvents(after:)`.
    #[graphql(complexity = "page::cost(first, last, child_complexity)")]
    async fn live_streams(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "How many from the start, 1 to 100; 20 when neither `first` nor `last` is said.")]
        first: Option<i32>,
        #[graphql(desc = "Only those behind this edge's cursor.")] after: Option<String>,
        #[graphql(desc = "How many from the end, 1 to 100. Not together with `first`.")] last: Option<i32>,
        #[graphql(desc = "Only those before this edge's cursor.")] before: Option<String>,
        #[graphql(desc = "Only those of the topic with this slug.")] topic: Option<String>,
        #[graphql(desc = "In which order; `MOST_WATCHED_NOW` when left out.")] order_by: Option<StreamOrder>,
    ) -> Result<StreamConnection> {
        let page = PageArguments { first, after, last, before }.page()?;
        let topic = topic.map(input::known_slug);
        let order = order_by.unwrap_or(StreamOrder::MostWatchedNow).into();
        StreamConnection::new(ctx, List::Live { topic, order }, page)
    }
}
