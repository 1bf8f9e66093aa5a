//! The limit: a handler that runs one statement and writes down what it says.

use std::net::SocketAddr;

use axum::extract::State;
use axum::routing::post;
use axum::{Json, Router};
use chrono::{DateTime, Utc};
use diesel::Queryable;
use diesel::sql_types::{Integer, Text, Timestamptz, Uuid as SqlUuid};
use diesel_async::RunQueryDsl;
use serde_json::{Value, json};
use uuid::Uuid;

use crate::pool::{Pool, pool};
use crate::statement::statement;

statement!(
    List(i32: Integer) -> (Text, Timestamptz, Integer, SqlUuid, Text, Text, Text, Text, Text),
    "SELECT s.name, s.started_at, s.current_viewers, c.loc, c.name, u.handle, u.display_name, t.slug, t.name \
    FROM streams s JOIN channels c ON c.id = s.channel_id JOIN users u ON u.id = c.owner_id \
        JOIN topics t ON t.id = s.topic_id \
    WHERE s.state <> 'ended' ORDER BY s.current_viewers DESC, s.id DESC LIMIT "
);

#[derive(Queryable)]
struct Row {
    stream: String,
    started_at: DateTime<Utc>,
    current_viewers: i32,
    loc: Uuid,
    channel: String,
    handle: String,
    display_name: String,
    slug: String,
    topic: String,
}

async fn list(State(pool): State<Pool>, _: Json<Value>) -> Json<Value> {
    let mut connection = pool.get().await.expect("a connection");
    let rows: Vec<Row> = List(50).load(&mut connection).await.expect("rows");
    let node = |row: Row| {
        json!({
            "name": row.stream,
            "startedAt": row.started_at,
            "currentViewers": row.current_viewers,
            "channel": {
                "loc": row.loc,
                "name": row.channel,
                "owner": {"handle": row.handle, "displayName": row.display_name},
            },
            "topic": {"slug": row.slug, "name": row.topic},
        })
    };
    let nodes: Vec<Value> = rows.into_iter().map(node).collect();
    Json(json!({"data": {"liveStreams": {"nodes": nodes}}}))
}

/// Listens at `address` until the process is killed.
#[tokio::main]
pub(crate) async fn run(address: SocketAddr) {
    let app = Router::new().route("/graphql", post(list)).with_state(pool());
    let listener = tokio::net::TcpListener::bind(address).await.expect("a free port");
    axum::serve(listener, app).await.expect("a server");
}
