//! Lists of recordings: a channel's, and those of the whole site.

use async_graphql::{Context, Object, SimpleObject};
use tokio::sync::OnceCell;

use super::context::Ask;
use super::error::Result;
use super::page::{PageArguments, PageInfo, cost, lay_out, same_order};
use super::recording::Recording;
use super::scalar::int;
use crate::store::{self, ChannelId, Page, Place};

/// A recording in a list.
#[derive(SimpleObject, Clone)]
pub(super) struct RecordingEdge {
    /// Where this edge stands: pass it as `after` or `before`. It stays good when recordings come or go.
    cursor: String,
    /// The recording.
    node: Recording,
}

/// Which recordings a list holds.
#[derive(Clone, Copy)]
enum Whose {
    /// A channel's: everything, or those that are ready and published.
    Channel { id: ChannelId, everything: bool },
    /// Those of the whole site that everybody may play.
    Everybody,
}

/// A list of recordings; it reads what the document asks for, once.
pub(super) struct RecordingConnection {
    whose: Whose,
    page: Page,
    read: OnceCell<(Vec<RecordingEdge>, PageInfo)>,
}

impl RecordingConnection {
    /// Those of a channel: all, or those that can be played by whoever may watch.
    pub(super) fn of(id: ChannelId, everything: bool, page: PageArguments) -> Result<Self> {
        Self::new(Whose::Channel { id, everything }, page)
    }

    fn new(whose: Whose, page: PageArguments) -> Result<Self> {
        let page = page.page()?;
        same_order(&page, &Place::Id(uuid::Uuid::nil()))?;
        Ok(Self { whose, page, read: OnceCell::new() })
    }

    async fn read(&self, ctx: &Context<'_>) -> Result<&(Vec<RecordingEdge>, PageInfo)> {
        let read = async || {
            let store = &ctx.parts().store;
            let slice = match self.whose {
                Whose::Channel { id, everything } => {
                    store.list_recordings(id, everything, &self.page).await?
                }
                Whose::Everybody => store.list_open_recordings(&self.page).await?,
            };
            let (rows, info) = lay_out(slice, store::Recording::place);
            let edge = |(cursor, row)| RecordingEdge { cursor, node: Recording(row) };
            Ok((rows.into_iter().map(edge).collect(), info))
        };
        self.read.get_or_try_init(read).await
    }
}

/// A page of a list of recordings.
#[Object]
impl RecordingConnection {
    /// The recordings of this page with their cursors.
    async fn edges(&self, ctx: &Context<'_>) -> Result<&[RecordingEdge]> {
        Ok(&self.read(ctx).await?.0)
    }

    /// The recordings of this page, for those who need no cursors.
    async fn nodes(&self, ctx: &Context<'_>) -> Result<Vec<&Recording>> {
        Ok(self.read(ctx).await?.0.iter().map(|edge| &edge.node).collect())
    }

    /// Where this page stands in its list.
    async fn page_info(&self, ctx: &Context<'_>) -> Result<PageInfo> {
        Ok(self.read(ctx).await?.1.clone())
    }

    /// How many recordings the whole list holds, up to 10,000. They are counted when asked for, so ask only when you show it.
    #[graphql(complexity = 50)]
    async fn total_count(&self, ctx: &Context<'_>) -> Result<i32> {
        let store = &ctx.parts().store;
        let count = match self.whose {
            Whose::Channel { id, everything } => store.count_recordings(id, everything).await?,
            Whose::Everybody => store.count_open_recordings().await?,
        };
        Ok(int(count))
    }
}

/// Questions about recordings.
#[derive(Default)]
pub(super) struct RecordingQuery;

#[Object]
impl RecordingQuery {
    /// What can be watched again on this site, the newest broadcast first: recordings that are ready and published, of
    /// channels that are not protected. The same list for everybody.
    #[graphql(complexity = "cost(first, last, child_complexity)")]
    async fn recordings(
        &self,
        #[graphql(desc = "How many from the start, 1 to 100; 20 when neither `first` nor `last` is said.")]
        first: Option<i32>,
        #[graphql(desc = "Only those behind this edge's cursor.")] after: Option<String>,
        #[graphql(desc = "How many from the end, 1 to 100. Not together with `first`.")] last: Option<i32>,
        #[graphql(desc = "Only those before this edge's cursor.")] before: Option<String>,
    ) -> Result<RecordingConnection> {
        RecordingConnection::new(Whose::Everybody, PageArguments { first, after, last, before })
    }
}
