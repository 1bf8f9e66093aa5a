//! Lists of channels: narrowed, searched, ordered, counted. Each order and each filter has its index in the
//! migrations; `plans.rs` in the suite holds the two together.

use diesel::define_sql_function;
use diesel::pg::Pg;
use diesel::prelude::*;
use diesel::sql_types::Text;
use diesel_async::RunQueryDsl;

use super::channels::Channel;
use super::page::Beyond;
use super::schema::{channels, topics, users};
use super::{Page, Place, Result, Slice, Store};

define_sql_function! {
    /// The form in which texts are compared.
    fn search_fold(words: Text) -> Text;
}
define_sql_function! {
    /// What the index holds of a text.
    fn search_grams(folded: Text) -> Array<Text>;
}
define_sql_function! {
    /// What must be in the index for a text to contain a word.
    fn search_query(folded: Text) -> Array<Text>;
}
define_sql_function! {
    /// Where a word stands in a text, from 1; 0 when it does not.
    fn strpos(text: Text, word: Text) -> Integer;
}

/// Which channels a list holds.
#[derive(Clone, Debug, Default)]
pub struct ChannelFilter {
    /// Of the topic with that slug.
    pub topic: Option<String>,
    /// Of the user with that handle.
    pub owner: Option<String>,
    /// On the air, or off it.
    pub live: Option<bool>,
    /// With each of these words somewhere in name or description.
    pub words: Vec<String>,
}

/// How a list of channels is ordered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ChannelOrder {
    /// Newest first.
    Newest,
    /// By name.
    Name,
    /// Most views first.
    MostViewed,
    /// Most present viewers first.
    MostWatchedNow,
}

impl ChannelOrder {
    /// Where `channel` stands in this order.
    pub fn place(self, channel: &Channel) -> Place {
        let id = channel.id.0;
        match self {
            Self::Newest => Place::Id(id),
            Self::Name => Place::Text(channel.name.clone(), id),
            Self::MostViewed => Place::Number(channel.views, id),
            Self::MostWatchedNow => Place::Number(channel.current_viewers.into(), id),
        }
    }

    /// A place such as this order has, for telling its cursors from those of other orders.
    pub fn kind(self) -> Place {
        match self {
            Self::Newest => Place::Id(uuid::Uuid::nil()),
            Self::Name => Place::Text(String::new(), uuid::Uuid::nil()),
            Self::MostViewed | Self::MostWatchedNow => Place::Number(0, uuid::Uuid::nil()),
        }
    }

    /// The index columns it reads, and whether from their end.
    fn columns(self) -> (&'static str, bool) {
        match self {
            Self::Newest => ("channels.id", true),
            Self::Name => ("(channels.name, channels.id)", false),
            Self::MostViewed => ("(channels.views, channels.id)", true),
            Self::MostWatchedNow => ("(channels.current_viewers, channels.id)", true),
        }
    }
}

type Listed<'a> = channels::BoxedQuery<'a, Pg>;

impl Store {
    /// A page of channels.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn list_channels(
        &self,
        filter: &ChannelFilter,
        order: ChannelOrder,
        page: &Page,
    ) -> Result<Slice<Channel>> {
        let (columns, descending) = order.columns();
        let mut query = filtered(filter);
        for bound in Beyond::bounds(page, columns, descending) {
            query = query.filter(bound);
        }
        let query = match (order, descending != page.from_end) {
            (ChannelOrder::Newest, true) => query.order(channels::id.desc()),
            (ChannelOrder::Newest, false) => query.order(channels::id.asc()),
            (ChannelOrder::Name, true) => query.order((channels::name.desc(), channels::id.desc())),
            (ChannelOrder::Name, false) => query.order((channels::name.asc(), channels::id.asc())),
            (ChannelOrder::MostViewed, true) => query.order((channels::views.desc(), channels::id.desc())),
            (ChannelOrder::MostViewed, false) => query.order((channels::views.asc(), channels::id.asc())),
            (ChannelOrder::MostWatchedNow, true) => {
                query.order((channels::current_viewers.desc(), channels::id.desc()))
            }
            (ChannelOrder::MostWatchedNow, false) => {
                query.order((channels::current_viewers.asc(), channels::id.asc()))
            }
        };
        let query = query.limit(page.probe()).select(Channel::as_select());
        Ok(page.slice(query.load(&mut self.connection().await?).await?))
    }

    /// How many channels a list holds in all.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn count_channels(&self, filter: &ChannelFilter) -> Result<i64> {
        Ok(filtered(filter).count().get_result(&mut self.connection().await?).await?)
    }
}

fn filtered(filter: &ChannelFilter) -> Listed<'_> {
    let mut query = channels::table.filter(channels::deleted_at.is_null()).into_boxed();
    if let Some(slug) = &filter.topic {
        let topic = topics::table.filter(topics::slug.eq(slug)).select(topics::id.nullable()).single_value();
        query = query.filter(channels::topic_id.eq(topic));
    }
    if let Some(handle) = &filter.owner {
        let owner = users::table.filter(users::handle.eq(handle)).select(users::id).single_value();
        query = query.filter(channels::owner_id.nullable().eq(owner));
    }
    match filter.live {
        Some(true) => query = query.filter(channels::live),
        Some(false) => query = query.filter(diesel::dsl::not(channels::live)),
        None => {}
    }
    for word in &filter.words {
        query = query
            .filter(search_grams(channels::search).contains(search_query(search_fold(word))))
            .filter(strpos(channels::search, search_fold(word)).gt(0));
    }
    query
}
