//! async-graphql with its `DataLoader`, as its documentation sets it up.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::Arc;

use async_graphql::dataloader::{DataLoader, Loader};
use async_graphql::runtime::{TokioSpawner, TokioTimer};
use async_graphql::{
    ComplexObject, Context, EmptyMutation, EmptySubscription, Object, Result, Schema, SimpleObject,
};
use async_graphql_axum::GraphQL;
use axum::Router;
use chrono::{DateTime, SecondsFormat, Utc};
use diesel::Queryable;
use diesel::sql_types::{Array, Integer, Text, Timestamptz, Uuid as SqlUuid};
use diesel_async::RunQueryDsl;
use uuid::Uuid;

use crate::pool::{Pool, pool};
use crate::statement::statement;

#[derive(Queryable)]
struct Stream {
    name: String,
    started_at: DateTime<Utc>,
    current_viewers: i32,
    channel_id: Uuid,
    topic_id: Uuid,
}

#[derive(Clone, Queryable, SimpleObject)]
#[graphql(complex)]
struct Channel {
    #[graphql(skip)]
    id: Uuid,
    loc: String,
    name: String,
    #[graphql(skip)]
    owner_id: Uuid,
}

#[derive(Clone, Queryable, SimpleObject)]
struct User {
    #[graphql(skip)]
    id: Uuid,
    handle: String,
    display_name: String,
}

#[derive(Clone, Queryable, SimpleObject)]
struct Topic {
    #[graphql(skip)]
    id: Uuid,
    slug: String,
    name: String,
}

statement!(
    List(i32: Integer) -> (Text, Timestamptz, Integer, SqlUuid, SqlUuid),
    "SELECT name, started_at, current_viewers, channel_id, topic_id FROM streams \
    WHERE state <> 'ended' ORDER BY current_viewers DESC, id DESC LIMIT "
);
statement!(
    Channels(Vec<Uuid>: Array<SqlUuid>) -> (SqlUuid, Text, Text, SqlUuid),
    "SELECT id, loc::text, name, owner_id FROM channels WHERE id = ANY"
);
statement!(
    Users(Vec<Uuid>: Array<SqlUuid>) -> (SqlUuid, Text, Text),
    "SELECT id, handle, display_name FROM users WHERE id = ANY"
);
statement!(
    Topics(Vec<Uuid>: Array<SqlUuid>) -> (SqlUuid, Text, Text),
    "SELECT id, slug, name FROM topics WHERE id = ANY"
);

struct Rows(Pool);

macro_rules! loads {
    ($row:ty, $key:ident, $statement:ident) => {
        #[derive(Clone, Copy, PartialEq, Eq, Hash)]
        struct $key(Uuid);

        impl Loader<$key> for Rows {
            type Value = $row;
            type Error = Arc<diesel::result::Error>;

            async fn load(&self, keys: &[$key]) -> Result<HashMap<$key, $row>, Self::Error> {
                let ids = keys.iter().map(|key| key.0).collect();
                let mut connection = self.0.get().await.expect("a connection");
                let rows: Vec<$row> = $statement(ids).load(&mut connection).await?;
                Ok(rows.into_iter().map(|row| ($key(row.id), row)).collect())
            }
        }
    };
}

loads!(Channel, ChannelKey, Channels);
loads!(User, UserKey, Users);
loads!(Topic, TopicKey, Topics);

#[Object]
impl Stream {
    async fn name(&self) -> &str {
        &self.name
    }

    async fn started_at(&self) -> String {
        self.started_at.to_rfc3339_opts(SecondsFormat::Millis, true)
    }

    async fn current_viewers(&self) -> i32 {
        self.current_viewers
    }

    async fn channel(&self, ctx: &Context<'_>) -> Result<Option<Channel>> {
        Ok(ctx.data_unchecked::<DataLoader<Rows>>().load_one(ChannelKey(self.channel_id)).await?)
    }

    async fn topic(&self, ctx: &Context<'_>) -> Result<Option<Topic>> {
        Ok(ctx.data_unchecked::<DataLoader<Rows>>().load_one(TopicKey(self.topic_id)).await?)
    }
}

#[ComplexObject]
impl Channel {
    async fn owner(&self, ctx: &Context<'_>) -> Result<Option<User>> {
        Ok(ctx.data_unchecked::<DataLoader<Rows>>().load_one(UserKey(self.owner_id)).await?)
    }
}

#[derive(SimpleObject)]
struct Streams {
    nodes: Vec<Stream>,
}

struct Query;

#[Object]
impl Query {
    async fn live_streams(&self, ctx: &Context<'_>, first: i32) -> Result<Streams> {
        let mut connection = ctx.data_unchecked::<Pool>().get().await?;
        Ok(Streams { nodes: List(first).load(&mut connection).await? })
    }
}

/// Listens at `address` until the process is killed.
#[tokio::main]
pub(crate) async fn run(address: SocketAddr) {
    let pool = pool();
    let loader = DataLoader::new(Rows(pool.clone()), TokioSpawner::current(), TokioTimer::default());
    let schema = Schema::build(Query, EmptyMutation, EmptySubscription).data(pool).data(loader).finish();
    let app = Router::new().route_service("/graphql", GraphQL::new(schema));
    let listener = tokio::net::TcpListener::bind(address).await.expect("a free port");
    axum::serve(listener, app).await.expect("a server");
}
