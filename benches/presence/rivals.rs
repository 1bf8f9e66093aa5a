//! What the API is compared with: the least that could answer nginx's question, in memory and with a database.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::Router;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use diesel_async::pooled_connection::AsyncDieselConnectionManager;
use diesel_async::pooled_connection::deadpool::Pool;
use diesel_async::{AsyncConnection, AsyncPgConnection, RunQueryDsl, SimpleAsyncConnection};
use tally::ambient::Clock;
use tally::config::DatabaseUrl;

#[derive(Clone)]
struct Seen {
    when: Arc<Mutex<HashMap<String, Duration>>>,
    clock: Clock,
}

/// A database of the bench's own.
pub(crate) async fn database() -> DatabaseUrl {
    let server = std::env::var("TALLY_TEST_DATABASE_URL").expect("run it with `script/with-postgres`");
    let mut connection = AsyncPgConnection::establish(&server).await.unwrap();
    connection.batch_execute("DROP DATABASE IF EXISTS tally_bench").await.unwrap();
    connection.batch_execute("CREATE DATABASE tally_bench").await.unwrap();
    format!("{}/tally_bench", server.rsplit_once('/').unwrap().0).parse().unwrap()
}

/// Notes who asked in a map, under one lock.
pub(crate) fn map() -> Router {
    async fn note(State(seen): State<Seen>, headers: HeaderMap) -> Response {
        let token = word(&headers, "x-tally-token");
        seen.when.lock().unwrap().insert(token, seen.clock.elapsed());
        answer(&headers)
    }
    Router::new()
        .route("/media-auth", get(note))
        .with_state(Seen { when: Arc::default(), clock: Clock::system() })
}

/// Notes who asked in a table, by one statement that need not reach the disk.
pub(crate) async fn upsert(url: &DatabaseUrl) -> Router {
    async fn note(State(pool): State<Pool<AsyncPgConnection>>, headers: HeaderMap) -> Response {
        let statement =
            "INSERT INTO seen VALUES ($1, now()) ON CONFLICT (token) DO UPDATE SET at = excluded.at";
        let note =
            diesel::sql_query(statement).bind::<diesel::sql_types::Text, _>(word(&headers, "x-tally-token"));
        note.execute(&mut pool.get().await.unwrap()).await.unwrap();
        answer(&headers)
    }
    let manager = AsyncDieselConnectionManager::<AsyncPgConnection>::new(url.reveal());
    let pool = Pool::builder(manager).max_size(16).build().unwrap();
    let table = "CREATE UNLOGGED TABLE seen (token text PRIMARY KEY, at timestamptz NOT NULL)";
    pool.get().await.unwrap().batch_execute(table).await.unwrap();
    Router::new().route("/media-auth", get(note)).with_state(pool)
}

fn word(headers: &HeaderMap, name: &str) -> String {
    headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default().to_owned()
}

fn answer(headers: &HeaderMap) -> Response {
    (StatusCode::NO_CONTENT, [("x-tally-dir", word(headers, "x-tally-loc"))]).into_response()
}
