//! Where nginx calls: each callback becomes one question to [`Ingest`], and its outcome a status that nginx
//! understands. Only the first digit counts there, and anything but a redirect or a refusal to a publish would
//! let the key into paths.

use std::net::Ipv4Addr;

use axum::Router;
use axum::body::Bytes;
use axum::extract::{DefaultBodyLimit, State};
use axum::http::header::LOCATION;
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use axum::routing::post;

use super::callback::{Callback, LONGEST};
use super::guesses::Shown;
use super::{Ingest, IngestError, Publish, Watching, Why};
use crate::store::Connection;

/// The routes of nginx's callbacks.
pub fn routes(ingest: Ingest) -> Router {
    Router::new()
        .route("/rtmp/publish", post(publish))
        .route("/rtmp/publish-done", post(publish_done))
        .route("/rtmp/update", post(update))
        .route("/rtmp/play", post(play))
        .route("/rtmp/play-done", post(play_done))
        .layer(DefaultBodyLimit::max(LONGEST))
        .with_state(ingest)
}

const KEEP: StatusCode = StatusCode::NO_CONTENT;
const REFUSE: StatusCode = StatusCode::FORBIDDEN;

async fn publish(State(ingest): State<Ingest>, headers: HeaderMap, form: Bytes) -> Response {
    let begun = ingest.clock.elapsed();
    let answer = admit(&ingest, &headers, &form).await;
    metrics::histogram!("tally_publish_seconds").record(ingest.clock.elapsed() - begun);
    answer
}

async fn admit(ingest: &Ingest, headers: &HeaderMap, form: &[u8]) -> Response {
    let Some((connection, callback)) = read(headers, form) else { return REFUSE.into_response() };
    let Callback { name, address, .. } = &callback;
    let shown = Shown {
        name,
        hash: ingest.key_hash(name),
        address: address.unwrap_or(Ipv4Addr::UNSPECIFIED.into()).to_canonical(),
    };
    // Without a word: the log was told when it began.
    if !ingest.guesses.may_try(&shown) {
        metrics::counter!("tally_limited_total", "at" => "publish").increment(1);
        return REFUSE.into_response();
    }
    let worker = headers.get("x-tally-worker").and_then(|worker| worker.to_str().ok()?.parse().ok());
    let answer = match ingest.publish(connection, worker, name).await {
        Ok(answer) => answer,
        Err(error) => return failed(&error),
    };
    match answer {
        Publish::Refused(Why::Key) => ingest.guesses.was_wrong(&shown),
        _ => ingest.guesses.was_right(shown),
    }
    match answer {
        Publish::As(name) => (StatusCode::FOUND, [(LOCATION, name)]).into_response(),
        Publish::Refused(why) => {
            tracing::info!(?why, "a publisher was refused");
            REFUSE.into_response()
        }
    }
}

async fn publish_done(State(ingest): State<Ingest>, headers: HeaderMap, form: Bytes) -> Response {
    let Some((connection, callback)) = read(&headers, &form) else { return KEEP.into_response() };
    match ingest.publisher_gone(&connection, &callback.name).await {
        Ok(()) => KEEP.into_response(),
        Err(error) => failed(&error),
    }
}

/// Publishers report here, and players, nginx's own relay among them.
async fn update(State(ingest): State<Ingest>, headers: HeaderMap, form: Bytes) -> Response {
    let Some((connection, callback)) = read(&headers, &form) else { return KEEP.into_response() };
    if callback.call == b"update_play" {
        if callback.application == b"live" {
            ingest.player_is_there(&connection, &callback.name);
        }
        return KEEP.into_response();
    }
    if callback.call != b"update_publish" {
        return KEEP.into_response();
    }
    match ingest.publisher_is_there(connection, &callback.name, callback.media_time).await {
        Ok(true) => KEEP.into_response(),
        Ok(false) => REFUSE.into_response(),
        Err(error) => failed(&error),
    }
}

async fn play(State(ingest): State<Ingest>, headers: HeaderMap, form: Bytes) -> Response {
    let Some((connection, callback)) = read(&headers, &form) else { return REFUSE.into_response() };
    // The relay that feeds HLS is a player too; it has no application.
    if callback.application.is_empty() {
        return KEEP.into_response();
    }
    match ingest.play(&connection, &callback.name).await {
        Ok(Watching::Allowed) => KEEP.into_response(),
        Ok(Watching::Refused) => REFUSE.into_response(),
        Err(error) => failed(&error),
    }
}

async fn play_done(State(ingest): State<Ingest>, headers: HeaderMap, form: Bytes) -> Response {
    if let Some((connection, callback)) = read(&headers, &form) {
        ingest.player_gone(&connection, &callback.name);
    }
    KEEP.into_response()
}

/// The connection that a callback speaks of; the header says at which nginx.
fn read(headers: &HeaderMap, form: &[u8]) -> Option<(Connection, Callback)> {
    let node = headers.get("x-tally-node")?.to_str().ok()?.to_owned();
    let callback = Callback::parse(form)?;
    Some((Connection { node, number: callback.connection }, callback))
}

/// nginx's own proxy turns this into a refusal of a publish and into silence about an update.
fn failed(error: &IngestError) -> Response {
    tracing::error!(%error, "a callback failed");
    StatusCode::SERVICE_UNAVAILABLE.into_response()
}
