//! async-graphql-axum, as its documentation sets it up: the schema behind its own WebSocket service, events through a
//! broadcast channel.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicI32, Ordering};

use async_graphql::{
    Context, EmptyMutation, InputValueError, InputValueResult, Object, Scalar, ScalarType, Schema,
    SimpleObject, Subscription, Value,
};
use async_graphql_axum::GraphQLSubscription;
use axum::Router;
use axum::extract::{Query as Parameters, State};
use axum::http::StatusCode;
use axum::routing::post;
use chrono::SecondsFormat;
use futures_util::stream::{self, Stream, StreamExt};
use tokio::sync::broadcast::{self, error::RecvError};
use uuid::Uuid;

type Events = broadcast::Sender<Event>;

#[derive(Clone, Copy, PartialEq, Eq)]
struct Loc(Uuid);

#[Scalar(name = "UUID")]
impl ScalarType for Loc {
    fn parse(value: Value) -> InputValueResult<Self> {
        let Value::String(text) = &value else { return Err(InputValueError::expected_type(value)) };
        Ok(Self(text.parse()?))
    }

    fn to_value(&self) -> Value {
        Value::String(self.0.to_string())
    }
}

#[derive(Clone, SimpleObject)]
struct Event {
    loc: Loc,
    number: i32,
    at: String,
}

#[derive(Clone, SimpleObject)]
struct ViewerCount {
    loc: Loc,
    current_viewers: i32,
    total_viewers: i32,
    at: String,
}

struct Query;

#[Object]
impl Query {
    async fn ok(&self) -> bool {
        true
    }
}

struct Subscriptions;

#[Subscription]
impl Subscriptions {
    async fn bench_events(&self, ctx: &Context<'_>, loc: Loc) -> impl Stream<Item = Event> {
        heard(ctx.data_unchecked::<Events>()).filter(move |event| std::future::ready(event.loc == loc))
    }

    /// The present size at once, then each change.
    async fn viewer_count_changed(
        &self,
        ctx: &Context<'_>,
        locs: Vec<Loc>,
    ) -> impl Stream<Item = ViewerCount> {
        let count = |loc, current_viewers| ViewerCount {
            loc,
            current_viewers,
            total_viewers: current_viewers,
            at: now(),
        };
        let first: Vec<ViewerCount> = locs.iter().map(|loc| count(*loc, 0)).collect();
        let changes = heard(ctx.data_unchecked::<Events>())
            .filter(move |event| std::future::ready(locs.contains(&event.loc)))
            .map(move |event| count(event.loc, event.number));
        stream::iter(first).chain(changes)
    }
}

/// What is sent from now on; what a slow one misses is skipped, as `BroadcastStream` of the documentation does.
fn heard(events: &Events) -> impl Stream<Item = Event> + use<> {
    stream::unfold(events.subscribe(), async |mut events| {
        loop {
            match events.recv().await {
                Ok(event) => return Some((event, events)),
                Err(RecvError::Lagged(_)) => {}
                Err(RecvError::Closed) => return None,
            }
        }
    })
}

fn now() -> String {
    tally::ambient::Clock::system().now().to_rfc3339_opts(SecondsFormat::Millis, true)
}

#[derive(serde::Deserialize)]
struct Emission {
    loc: Uuid,
    count: u32,
}

type Source = (Events, Arc<AtomicI32>);

async fn emit(State((events, last)): State<Source>, Parameters(asked): Parameters<Emission>) -> StatusCode {
    for _ in 0..asked.count {
        let number = last.fetch_add(1, Ordering::Relaxed) + 1;
        let _ = events.send(Event { loc: Loc(asked.loc), number, at: now() });
    }
    StatusCode::NO_CONTENT
}

/// Listens at `address` until the process is killed.
#[tokio::main]
pub(crate) async fn run(address: SocketAddr) {
    let events = Events::new(1024);
    let schema = Schema::build(Query, EmptyMutation, Subscriptions).data(events.clone()).finish();
    let app = Router::new()
        .route_service("/graphql", GraphQLSubscription::new(schema))
        .route("/bench/events", post(emit))
        .with_state((events, Arc::new(AtomicI32::new(0))));
    let listener = tokio::net::TcpListener::bind(address).await.expect("a free port");
    axum::serve(listener, app).await.expect("a server");
}
