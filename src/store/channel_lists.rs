//! Lists of channels: narrowed, searched, ordered, counted. Each order and each filter has its index in the
//! migrations; `plans.rs` in the suite holds the two together.

use diesel::expression::{AppearsOnTable, SelectableExpression, ValidGrouping, is_aggregate};
use diesel::pg::Pg;
use diesel::prelude::*;
use diesel::query_builder::{AstPass, QueryFragment, QueryId};
use diesel::sql_types::{BigInt, Bool, Text, Uuid as SqlUuid};
use diesel_async::{AsyncPgConnection, RunQueryDsl};

use super::channels::Channel;
use super::joined::Joined;
use super::page::{Beyond, Columns, Count, OrderBy};
use super::schema::{channels, topics, users};
use super::{ChannelId, Page, Place, Result, Slice, Store, Stream, Topic, TopicId, User, UserId};

/// Channels that hold the words of a search are gathered by their index when they are so many at the most; of more
/// than that enough are met with soon on a walk through the list, whatever its order.
const FEW: usize = 500;

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
            Self::MostViewed => Place::Views(channel.views, id),
            Self::MostWatchedNow => Place::Viewers(channel.current_viewers.into(), id),
        }
    }

    /// A place such as this order has, for telling its cursors from those of other orders.
    pub fn kind(self) -> Place {
        match self {
            Self::Newest => Place::Id(uuid::Uuid::nil()),
            Self::Name => Place::Text(String::new(), uuid::Uuid::nil()),
            Self::MostViewed => Place::Views(0, uuid::Uuid::nil()),
            Self::MostWatchedNow => Place::Viewers(0, uuid::Uuid::nil()),
        }
    }

    /// The columns it goes by.
    fn columns(self, way: Way) -> Columns {
        let id = if way == Way::OnTheAir { "channels_on_the_air.channel_id" } else { "channels.id" };
        let key = match (self, way) {
            (Self::Newest, _) => None,
            (Self::Name, Way::Walk) => Some("channels.name"),
            (Self::Name, Way::Gather) => Some("channels.name || ''"),
            (Self::Name, Way::OnTheAir) => Some("channels_on_the_air.name"),
            (Self::MostViewed, Way::Walk) => Some("channels.views"),
            (Self::MostViewed, Way::Gather) => Some("channels.views + 0"),
            (Self::MostViewed, Way::OnTheAir) => Some("channels_on_the_air.views"),
            (Self::MostWatchedNow, Way::Walk) => Some("channels.current_viewers"),
            (Self::MostWatchedNow, Way::Gather) => Some("channels.current_viewers + 0"),
            (Self::MostWatchedNow, Way::OnTheAir) => Some("channels_on_the_air.current_viewers"),
        };
        Columns { key, id, descending: self != Self::Name }
    }
}

/// How the channels of a page are come by.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Way {
    /// Through the index of the order, as far as it takes.
    Walk,
    /// All that there are, and then put into order. That is written so that the index of the order cannot be used:
    /// PostgreSQL takes a place in it for farther along than it is, as it looks at the first column alone, and would
    /// walk the rest.
    Gather,
    /// Through the small table of those on the air, which has an index for each order of its own.
    OnTheAir,
}

/// A channel in a list.
#[derive(Clone, Debug)]
pub struct ListedChannel {
    /// The channel.
    pub channel: Channel,
    /// What belongs to it, if the list was asked for that.
    pub around: Option<AroundChannel>,
}

/// What belongs to a channel.
#[derive(Clone, Debug)]
pub struct AroundChannel {
    /// Whose it is.
    pub owner: User,
    /// Its topic.
    pub topic: Option<Topic>,
    /// Its stream on the air.
    pub stream: Option<Stream>,
    /// That stream's topic.
    pub stream_topic: Option<Topic>,
}

diesel::alias!(topics as stream_topics: StreamTopics);

const AROUND: &str = "channels \
    JOIN users ON users.id = channels.owner_id \
    LEFT JOIN topics ON topics.id = channels.topic_id \
    LEFT JOIN streams ON streams.channel_id = channels.id AND streams.state <> 'ended' \
    LEFT JOIN topics AS stream_topics ON stream_topics.id = streams.topic_id";

type Listed<'a> = channels::BoxedQuery<'a, Pg>;

impl Store {
    /// A page of channels, with what is `around` each if that is asked for.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn list_channels(
        &self,
        filter: &ChannelFilter,
        order: ChannelOrder,
        page: &Page,
        around: bool,
    ) -> Result<Slice<ListedChannel>> {
        let mut connection = self.connection().await?;
        let Some(narrow) = Narrow::read(&mut connection, filter).await? else {
            return Ok(page.slice(Vec::new()));
        };
        let (mut query, way) = match narrow.few(&mut connection).await? {
            Some(few) => (narrow.query().filter(channels::id.eq_any(few)), Way::Gather),
            // An owner has few channels, whichever of them are on the air.
            None if narrow.live == Some(true) && narrow.owner.is_none() => {
                (narrow.on_the_air(order, page), Way::Gather)
            }
            None => (narrow.query(), Way::Walk),
        };
        let columns = order.columns(way);
        for bound in columns.bounds(page) {
            query = query.filter(bound);
        }
        let by = columns.order(page);
        let query = query.order(by).limit(page.probe()).select(Channel::as_select());
        let rows = if around {
            with_around(&mut connection, query, by).await?
        } else {
            let alone = |channel| ListedChannel { channel, around: None };
            query.load(&mut connection).await?.into_iter().map(alone).collect()
        };
        Ok(page.slice(rows))
    }

    /// How many channels a list holds: up to 10,000, or up to 500 when words are searched.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn count_channels(&self, filter: &ChannelFilter) -> Result<i64> {
        let mut connection = self.connection().await?;
        let Some(narrow) = Narrow::read(&mut connection, filter).await? else { return Ok(0) };
        let mut query = narrow.query();
        if !narrow.words.is_empty() {
            query = match narrow.few(&mut connection).await? {
                Some(few) => query.filter(channels::id.eq_any(few)),
                None if narrow.is_search_alone() => return Ok(FEW as i64),
                None => query.limit(FEW as i64),
            };
        }
        let counted = match narrow.words {
            [] => Count(query.select(channels::id)).get_result(&mut connection).await?,
            _ => query.select(channels::id).load::<ChannelId>(&mut connection).await?.len() as i64,
        };
        Ok(counted)
    }
}

async fn with_around(
    connection: &mut AsyncPgConnection,
    page: impl QueryFragment<Pg> + Send,
    order: OrderBy,
) -> QueryResult<Vec<ListedChannel>> {
    let columns = (
        Channel::as_select(),
        User::as_select(),
        Option::<Topic>::as_select(),
        Option::<Stream>::as_select(),
        stream_topics.fields(topics::all_columns).nullable(),
    );
    type Row = (Channel, User, Option<Topic>, Option<Stream>, Option<Topic>);
    let query = Joined { columns, before: "", page, after: AROUND, order };
    let listed = |(channel, owner, topic, stream, stream_topic): Row| ListedChannel {
        channel,
        around: Some(AroundChannel { owner, topic, stream, stream_topic }),
    };
    Ok(query.load::<Row>(connection).await?.into_iter().map(listed).collect())
}

/// A filter, its names looked up: the planner knows much of the channels of one topic, and nothing of those of
/// whichever topic a subquery finds.
#[derive(Clone, Copy, Debug)]
struct Narrow<'a> {
    topic: Option<TopicId>,
    owner: Option<UserId>,
    live: Option<bool>,
    words: &'a [String],
}

impl<'a> Narrow<'a> {
    /// `None` when there is no such topic or owner, and so no such channel.
    async fn read(
        connection: &mut AsyncPgConnection,
        filter: &'a ChannelFilter,
    ) -> QueryResult<Option<Self>> {
        let (mut topic, mut owner) = (None, None);
        if filter.topic.is_some() || filter.owner.is_some() {
            let topics = topics::table.filter(topics::slug.nullable().eq(filter.topic.as_deref()));
            let owners = users::table.filter(users::handle.nullable().eq(filter.owner.as_deref()));
            let both = (topics.select(topics::id).single_value(), owners.select(users::id).single_value());
            (topic, owner) = diesel::select(both).get_result(connection).await?;
        }
        let found =
            (filter.topic.is_none() || topic.is_some()) && (filter.owner.is_none() || owner.is_some());
        Ok(found.then_some(Self { topic, owner, live: filter.live, words: &filter.words }))
    }

    /// The channels that may hold all words, when they are few.
    ///
    /// PostgreSQL is not left to choose between the index and a walk: it takes the runs of a word for independent of
    /// each other and all rare runs for as frequent as the rarest that it knows, and is wrong by orders of magnitude
    /// both ways.
    async fn few(&self, connection: &mut AsyncPgConnection) -> QueryResult<Option<Vec<ChannelId>>> {
        if self.words.is_empty() {
            return Ok(None);
        }
        let mut query = diesel::sql_query("SELECT channel_id FROM channel_search WHERE TRUE").into_boxed();
        for (word, place) in self.words.iter().zip(1..) {
            query = query.sql(format!(" AND grams @> search_query(search_fold(${place}))"));
            query = query.bind::<Text, _>(word);
        }
        let found: Vec<Found> = query.sql(format!(" LIMIT {}", FEW + 1)).load(connection).await?;
        Ok((found.len() <= FEW).then(|| found.into_iter().map(|found| found.channel_id).collect()))
    }

    /// Whether nothing but words narrows the list.
    fn is_search_alone(&self) -> bool {
        self.topic.is_none() && self.owner.is_none() && self.live.is_none()
    }

    fn query(&self) -> Listed<'a> {
        channels::table.filter(*self).into_boxed()
    }

    /// Those of a page of what is on the air, out of the small table that has them in the page's order.
    fn on_the_air(&self, order: ChannelOrder, page: &Page) -> Listed<'a> {
        let columns = order.columns(Way::OnTheAir);
        let bounds = columns.bounds(page).collect();
        // That they are on the air is what the table says.
        let narrow = Self { live: None, ..*self };
        let page = OnTheAir { narrow, bounds, order: columns.order(page), limit: page.probe() };
        channels::table.filter(page).into_boxed()
    }
}

/// A channel is among those of a page of what is on the air.
#[derive(Debug)]
struct OnTheAir<'a> {
    narrow: Narrow<'a>,
    bounds: Vec<Beyond>,
    order: OrderBy,
    limit: i64,
}

#[derive(QueryableByName)]
struct Found {
    #[diesel(sql_type = SqlUuid)]
    channel_id: ChannelId,
}

macro_rules! condition {
    ($name:ty) => {
        impl Expression for $name {
            type SqlType = Bool;
        }

        impl QueryId for $name {
            type QueryId = ();
            const HAS_STATIC_QUERY_ID: bool = false;
        }

        impl AppearsOnTable<channels::table> for $name {}
        impl SelectableExpression<channels::table> for $name {}
        impl<G> ValidGrouping<G> for $name {
            type IsAggregate = is_aggregate::No;
        }
    };
}

condition!(Narrow<'_>);
condition!(OnTheAir<'_>);

impl QueryFragment<Pg> for Narrow<'_> {
    fn walk_ast<'b>(&'b self, mut out: AstPass<'_, 'b, Pg>) -> QueryResult<()> {
        out.push_sql("channels.deleted_at IS NULL");
        if self.topic.is_some() || self.owner.is_some() || self.live.is_some() || !self.words.is_empty() {
            // Planned afresh each time. Which index is best depends on how frequent a topic or a word is, and a prepared
            // statement is planned for all of them alike after some executions.
            out.unsafe_to_cache_prepared();
        }
        if let Some(topic) = &self.topic {
            out.push_sql(" AND channels.topic_id = ");
            out.push_bind_param::<SqlUuid, _>(&topic.0)?;
        }
        if let Some(owner) = &self.owner {
            out.push_sql(" AND channels.owner_id = ");
            out.push_bind_param::<SqlUuid, _>(&owner.0)?;
        }
        match self.live {
            // As the small table says, so that they can be counted by it.
            Some(true) => out.push_sql(" AND channels.id IN (SELECT channel_id FROM channels_on_the_air)"),
            Some(false) => out.push_sql(" AND NOT channels.live"),
            None => {}
        }
        for word in self.words {
            out.push_sql(" AND strpos(channels.search, search_fold(");
            out.push_bind_param::<Text, _>(word)?;
            out.push_sql(")) > 0");
        }
        Ok(())
    }
}

impl QueryFragment<Pg> for OnTheAir<'_> {
    fn walk_ast<'b>(&'b self, mut out: AstPass<'_, 'b, Pg>) -> QueryResult<()> {
        // `OFFSET 0` has PostgreSQL look at one channel after the other in the page's order, and at no more than it takes.
        // It would rather read a whole topic first.
        out.push_sql(
            "channels.id = ANY (ARRAY(SELECT channel_id FROM channels_on_the_air \
             WHERE EXISTS (SELECT FROM channels WHERE channels.id = channel_id AND ",
        );
        self.narrow.walk_ast(out.reborrow())?;
        out.push_sql(" OFFSET 0)");
        for bound in &self.bounds {
            out.push_sql(" AND ");
            bound.walk_ast(out.reborrow())?;
        }
        out.push_sql(" ORDER BY ");
        self.order.walk_ast(out.reborrow())?;
        out.push_sql(" LIMIT ");
        out.push_bind_param::<BigInt, _>(&self.limit)?;
        out.push_sql("))");
        Ok(())
    }
}
