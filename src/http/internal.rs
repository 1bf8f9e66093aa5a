//! The internal listener: nginx's callbacks, the authorisation of playback by token, metrics. It is bound apart from
//! the public one, and asks whoever comes from nginx for the secret that only its configuration holds.

use std::sync::Arc;

use axum::Router;
use axum::extract::{Request, State};
use axum::http::{HeaderValue, StatusCode};
use axum::middleware::{self, Next};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use tokio::runtime::Handle;

use super::bucket;
use crate::ambient::Clock;
use crate::auth::{Action, Admission, Secrets, Viewer};
use crate::ingest::{self, Ingest};
use crate::media::{Bucket, Grant, PlaybackTokens, kept_name};
use crate::realtime::Presence;
use crate::store::{Channel, ClipId, Loc, RecordingState, Store, StoreError, StreamId};
use crate::telemetry::Metrics;

/// What the internal routes need.
pub struct Internal {
    /// What nginx's secret is compared with.
    pub secrets: Arc<Secrets>,
    /// Where callbacks go.
    pub ingest: Ingest,
    /// What playback tokens say.
    pub playback: PlaybackTokens,
    /// Where recordings may lie besides the disk.
    pub bucket: Option<Bucket>,
    /// Channels and users.
    pub store: Store,
    /// Who watches.
    pub presence: Presence,
    /// The time.
    pub clock: Clock,
    /// What `/metrics` shows.
    pub metrics: Metrics,
}

/// The internal routes.
pub fn internal(state: Internal) -> Router {
    let state = Arc::new(state);
    let asked_by_nginx = Router::new()
        .route("/media-auth", get(media_auth))
        .route("/recording-auth", get(recording_auth))
        .route("/recording-file", get(bucket::recording))
        .with_state(Arc::clone(&state))
        .merge(ingest::routes(state.ingest.clone()))
        .layer(middleware::from_fn_with_state(Arc::clone(&state.secrets), only_nginx));
    #[cfg(feature = "bench")]
    let asked_by_nginx = asked_by_nginx.route("/bench/events", axum::routing::post(emit));
    // Prometheus has no secret to show; the figures hold none.
    asked_by_nginx.route("/metrics", get(async move || state.figures()))
}

/// `POST /bench/events?loc=LOC&count=N`.
#[cfg(feature = "bench")]
async fn emit(axum::extract::Query(asked): axum::extract::Query<crate::graphql::Emission>) -> StatusCode {
    crate::graphql::emit(&asked, crate::ambient::Clock::system().now());
    StatusCode::NO_CONTENT
}

async fn only_nginx(State(secrets): State<Arc<Secrets>>, request: Request, next: Next) -> Response {
    let shown = request.headers().get("x-tally-secret").map(HeaderValue::as_bytes);
    if shown.is_some_and(|shown| secrets.is_internal(shown)) {
        next.run(request).await
    } else {
        tracing::warn!("somebody without the secret came to the internal door");
        StatusCode::FORBIDDEN.into_response()
    }
}

/// Whether a token opens a channel: 204 with the directory to serve from, or 403. nginx asks once in a third of a
/// session's time to live.
async fn media_auth(State(state): State<Arc<Internal>>, request: Request) -> Response {
    // The headers themselves: as an argument of their own they would be a copy.
    let (parts, _) = request.into_parts();
    let header = |name: &str| parts.headers.get(name).and_then(|value| value.to_str().ok());
    let loc = header("x-tally-loc").and_then(|loc| loc.parse().ok()).map(Loc);
    let (Some(token), Some(loc)) = (header("x-tally-token"), loc) else {
        return StatusCode::FORBIDDEN.into_response();
    };
    opened(state.directory(token, loc).await)
}

/// Whether a token opens a recording or a clip, as [`media_auth`] for what is on the air.
async fn recording_auth(State(state): State<Arc<Internal>>, request: Request) -> Response {
    let (parts, _) = request.into_parts();
    let header = |name: &str| parts.headers.get(name).and_then(|value| value.to_str().ok());
    let loc = header("x-tally-loc").and_then(|loc| loc.parse().ok()).map(Loc);
    let id = header("x-tally-recording").and_then(|id| id.parse().ok());
    let (Some(token), Some(loc), Some(id)) = (header("x-tally-token"), loc, id) else {
        return StatusCode::FORBIDDEN.into_response();
    };
    opened(match header("x-tally-kept") {
        Some("recordings") => state.recording(token, loc, StreamId(id)).await,
        Some("clips") => state.clip(token, loc, ClipId(id)).await,
        _ => Ok(None),
    })
}

/// The answer for nginx: where it is to serve from.
fn opened(directory: Result<Option<String>, StoreError>) -> Response {
    match directory {
        Ok(Some(directory)) => (StatusCode::NO_CONTENT, [("x-tally-dir", directory)]).into_response(),
        Ok(None) => StatusCode::FORBIDDEN.into_response(),
        Err(error) => {
            tracing::error!(%error, "playback could not be authorised");
            StatusCode::SERVICE_UNAVAILABLE.into_response()
        }
    }
}

impl Internal {
    /// Everything counted so far, and how things stand at this moment.
    fn figures(&self) -> String {
        let (streams, viewers) = self.presence.size();
        metrics::gauge!("tally_streams_on_the_air").set(streams);
        metrics::gauge!("tally_viewers").set(viewers);
        let (used, waiting) = self.store.connections();
        metrics::gauge!("tally_database_connections").set(used as f64);
        metrics::gauge!("tally_database_waiting").set(waiting as f64);
        metrics::gauge!("tally_tasks").set(Handle::current().metrics().num_alive_tasks() as f64);
        self.metrics.render()
    }

    async fn directory(&self, token: &str, loc: Loc) -> Result<Option<String>, StoreError> {
        let Ok(grant) = self.playback.read(token, loc) else { return Ok(None) };
        // Most that is watched is for everybody; then the token was good, and nothing else is to be known. Should
        // presence be a moment behind, this is still only where the public stream's files lie.
        if self.presence.is_public(loc) {
            return Ok(Some(loc.stream_name(false)));
        }
        let Some(mut channel) = self.store.channel_by_loc(loc).await? else { return Ok(None) };
        // A stream stays as open as it began, whatever has been said of its channel since.
        if let Some(stream) = self.store.streams_on_the_air(&[channel.id]).await?.pop() {
            channel.protected = stream.protected;
        }
        let may = !channel.protected || self.may_watch(&channel, &grant).await?;
        Ok(may.then(|| loc.stream_name(channel.protected)))
    }

    async fn recording(&self, token: &str, loc: Loc, id: StreamId) -> Result<Option<String>, StoreError> {
        let Ok(grant) = self.playback.read(token, loc) else { return Ok(None) };
        let Some(recording) = self.store.recordings(&[id]).await?.pop() else { return Ok(None) };
        let Some(channel) = self.store.channel_by_loc(loc).await? else { return Ok(None) };
        if recording.row.channel_id != channel.id || recording.row.state != RecordingState::Ready {
            return Ok(None);
        }
        let is_open = recording.row.published && !channel.protected;
        let may = is_open
            || match recording.row.published {
                true => self.may_watch(&channel, &grant).await?,
                false => self.may_edit(&channel, &grant).await?,
            };
        Ok(may.then(|| kept_name(id.0, is_open)))
    }

    async fn clip(&self, token: &str, loc: Loc, id: ClipId) -> Result<Option<String>, StoreError> {
        let Ok(grant) = self.playback.read(token, loc) else { return Ok(None) };
        let Some(clip) = self.store.clips(&[id]).await?.pop() else { return Ok(None) };
        let Some(channel) = self.store.channel_by_loc(loc).await? else { return Ok(None) };
        let may =
            clip.channel_id == channel.id && (!channel.protected || self.may_watch(&channel, &grant).await?);
        Ok(may.then(|| kept_name(id.0, !channel.protected)))
    }

    async fn may_edit(&self, channel: &Channel, grant: &Grant) -> Result<bool, StoreError> {
        let Some(session) = grant.signed_in else { return Ok(false) };
        let signed_in = self.store.session(&session, self.clock.now()).await?;
        Ok(signed_in.is_some_and(|it| Viewer::User(it.user).may(Action::EditChannel(channel)).is_ok()))
    }

    /// Whether what a token was given for still opens a protected channel: the session, or the password.
    async fn may_watch(&self, channel: &Channel, grant: &Grant) -> Result<bool, StoreError> {
        if grant.password.is_some() && grant.password == channel.password_id {
            return Ok(true);
        }
        let Some(session) = grant.signed_in else { return Ok(false) };
        let Some(signed_in) = self.store.session(&session, self.clock.now()).await? else { return Ok(false) };
        let (id, viewer) = (signed_in.user.id, Viewer::User(signed_in.user));
        if viewer.may(Action::Watch(channel, Admission::Open)).is_ok() {
            return Ok(true);
        }
        let invited = self.store.is_invited(channel.id, id).await?;
        Ok(invited && viewer.may(Action::Watch(channel, Admission::Invited)).is_ok())
    }
}
