//! Lists of streams: on the air, or of a channel's past. Each is one statement, which also reads where the log ends:
//! as of that very answer, so that whoever subscribes from there misses nothing and sees nothing twice.

use diesel::pg::Pg;
use diesel::prelude::*;
use diesel::query_builder::QueryFragment;
use diesel::result::Error as QueryError;
use diesel_async::RunQueryDsl;
use uuid::Uuid;

use super::joined::Joined;
use super::page::{Columns, Count, OrderBy, Verbatim};
use super::schema::{event_log, streams, topics};
use super::streams::on_the_air;
use super::{Channel, ChannelId, Page, Place, Position, Result, Slice, Store, Stream, Topic, User};

/// How a list of streams on the air is ordered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StreamOrder {
    /// Most present viewers first.
    MostWatchedNow,
    /// Newest first.
    Newest,
}

impl StreamOrder {
    /// A place such as this order has, for telling its cursors from those of other orders.
    pub fn kind(self) -> Place {
        match self {
            Self::MostWatchedNow => Place::Viewers(0, Uuid::nil()),
            Self::Newest => Place::Id(Uuid::nil()),
        }
    }

    /// Where `stream` stands in this order.
    pub fn place(self, stream: &Stream) -> Place {
        match self {
            Self::MostWatchedNow => Place::Viewers(stream.current_viewers.into(), stream.id.0),
            Self::Newest => Place::Id(stream.id.0),
        }
    }

    /// The columns of its index.
    fn columns(self) -> Columns {
        let key = match self {
            Self::MostWatchedNow => Some("streams.current_viewers"),
            Self::Newest => None,
        };
        Columns { key, id: "streams.id", descending: true }
    }
}

/// A stream in a list.
#[derive(Clone, Debug)]
pub struct ListedStream {
    /// The stream.
    pub stream: Stream,
    /// What belongs to it, if the list was asked for that.
    pub around: Option<AroundStream>,
}

/// What belongs to a stream.
#[derive(Clone, Debug)]
pub struct AroundStream {
    /// Its channel.
    pub channel: Channel,
    /// That channel's owner.
    pub owner: User,
    /// That channel's topic.
    pub channel_topic: Option<Topic>,
    /// Its own topic.
    pub topic: Option<Topic>,
}

/// The migrations put it there.
const NO_LOG: QueryError = QueryError::NotFound;

type Listed<'a> = streams::BoxedQuery<'a, Pg>;

diesel::alias!(topics as channel_topics: ChannelTopics);

/// The log has one row, so that an empty page is a row as well.
const LOG: &str = "event_log LEFT JOIN ";
const ALONE: &str = "streams ON TRUE";
const AROUND: &str = "streams ON TRUE \
    LEFT JOIN channels ON channels.id = streams.channel_id \
    LEFT JOIN users ON users.id = channels.owner_id \
    LEFT JOIN topics AS channel_topics ON channel_topics.id = channels.topic_id \
    LEFT JOIN topics ON topics.id = streams.topic_id";

impl Store {
    /// A page of the streams on the air, with what is `around` each if that is asked for, and the log's end.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn list_live_streams(
        &self,
        topic: Option<&str>,
        order: StreamOrder,
        page: &Page,
        around: bool,
    ) -> Result<(Slice<ListedStream>, Position)> {
        self.list_streams(of_topic(topic), order, page, around).await
    }

    /// How many streams are on the air.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn count_live_streams(&self, topic: Option<&str>) -> Result<i64> {
        let counted = Count(of_topic(topic).select(streams::id));
        Ok(counted.get_result(&mut self.connection().await?).await?)
    }

    /// A page of a channel's ended streams, newest first, with what is `around` each if that is asked for, and the
    /// log's end.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn list_past_streams(
        &self,
        channel: ChannelId,
        page: &Page,
        around: bool,
    ) -> Result<(Slice<ListedStream>, Position)> {
        self.list_streams(past(channel), StreamOrder::Newest, page, around).await
    }

    /// How many ended streams a channel has.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn count_past_streams(&self, channel: ChannelId) -> Result<i64> {
        let counted = Count(past(channel).select(streams::id));
        Ok(counted.get_result(&mut self.connection().await?).await?)
    }

    async fn list_streams(
        &self,
        mut list: Listed<'_>,
        order: StreamOrder,
        page: &Page,
        around: bool,
    ) -> Result<(Slice<ListedStream>, Position)> {
        for bound in order.columns().bounds(page) {
            list = list.filter(bound);
        }
        let by = order.columns().order(page);
        let list = list.order(by).limit(page.probe()).select(Stream::as_select());
        let (rows, log) =
            if around { self.with_log_and_around(list, by).await? } else { self.with_log(list, by).await? };
        let (epoch, number) = log;
        Ok((page.slice(rows), Position { epoch, number }))
    }

    async fn with_log(
        &self,
        page: impl QueryFragment<Pg> + Send,
        order: OrderBy,
    ) -> Result<(Vec<ListedStream>, (Uuid, i64))> {
        let columns = ((event_log::epoch, event_log::last), Option::<Stream>::as_select());
        let query = Joined { columns, before: LOG, page, after: ALONE, order };
        let read = query.load::<((Uuid, i64), Option<Stream>)>(&mut self.connection().await?).await?;
        let log = read.as_slice().first().map(|(log, _)| *log).ok_or(NO_LOG)?;
        let listed = |(_, stream): (_, Option<Stream>)| Some(ListedStream { stream: stream?, around: None });
        Ok((read.into_iter().filter_map(listed).collect(), log))
    }

    async fn with_log_and_around(
        &self,
        page: impl QueryFragment<Pg> + Send,
        order: OrderBy,
    ) -> Result<(Vec<ListedStream>, (Uuid, i64))> {
        let columns = (
            (event_log::epoch, event_log::last),
            Option::<Stream>::as_select(),
            Option::<Channel>::as_select(),
            Option::<User>::as_select(),
            channel_topics.fields(topics::all_columns).nullable(),
            Option::<Topic>::as_select(),
        );
        let query = Joined { columns, before: LOG, page, after: AROUND, order };
        type Row = ((Uuid, i64), Option<Stream>, Option<Channel>, Option<User>, Option<Topic>, Option<Topic>);
        let read = query.load::<Row>(&mut self.connection().await?).await?;
        let log = read.as_slice().first().map(|row| row.0).ok_or(NO_LOG)?;
        let listed = |(_, stream, channel, owner, channel_topic, topic): Row| {
            let around = Option::zip(channel, owner);
            let around = around.map(|(channel, owner)| AroundStream { channel, owner, channel_topic, topic });
            Some(ListedStream { stream: stream?, around })
        };
        Ok((read.into_iter().filter_map(listed).collect(), log))
    }
}

fn of_topic(slug: Option<&str>) -> Listed<'_> {
    let query = on_the_air().into_boxed();
    match slug {
        Some(slug) => {
            let topic =
                topics::table.filter(topics::slug.eq(slug)).select(topics::id.nullable()).single_value();
            query.filter(streams::topic_id.eq(topic))
        }
        None => query,
    }
}

fn past(channel: ChannelId) -> Listed<'static> {
    let of_channel = streams::table.filter(streams::channel_id.eq(channel));
    of_channel.filter(Verbatim("streams.state = 'ended'")).into_boxed()
}
