//! How the parts of the site are, for admins. Nothing here goes by itself: each part is asked when somebody asks.

use std::time::Duration;

use async_graphql::{ComplexObject, Context, Enum, Object, SimpleObject};
use tokio::time::timeout;

use super::audience::{self, AudiencePoint};
use super::context::{Ask, Parts};
use super::error::{ApiError, Result};
use super::scalar::{ByteCount, DateTime, int};
use crate::auth::Action;
use crate::media::Room;

/// How long a part may take to answer before it is away.
const PATIENCE: Duration = Duration::from_secs(2);

/// How a part of the site is. More words may come.
#[derive(Clone, Copy, PartialEq, Eq, Enum)]
pub(super) enum PartState {
    /// It answers as it should.
    Works,
    /// It does not answer, or not within two seconds.
    Away,
}

impl PartState {
    fn of(answers: bool) -> Self {
        if answers { Self::Works } else { Self::Away }
    }
}

/// How the database is.
#[derive(SimpleObject)]
pub(super) struct DatabaseStatus {
    /// Whether it answers. While it is away nobody's session can be looked up: over HTTP the whole answer is then
    /// `UNAVAILABLE`; over a WebSocket that was open before this says `AWAY`.
    state: PartState,
    /// How long it took for the least that can be asked of it, in milliseconds: a connection and a round trip. Null when
    /// it is away.
    answer_milliseconds: Option<f64>,
}

/// How nginx is, which takes the video in and gives it out.
#[derive(SimpleObject)]
pub(super) struct NginxStatus {
    /// Whether its control door answers.
    state: PartState,
    /// When it last told what it carries; while something is on the air it is asked each second. Null when it has not
    /// since this process began.
    last_answered_at: Option<DateTime>,
}

/// The disk that streams, recordings and clips lie on.
#[derive(SimpleObject)]
pub(super) struct MediaDisk {
    /// What can still be written.
    free_bytes: ByteCount,
    /// All of it.
    total_bytes: ByteCount,
}

impl From<Room> for MediaDisk {
    fn from(room: Room) -> Self {
        let bytes = |bytes: u64| ByteCount(i64::try_from(bytes).unwrap_or(i64::MAX));
        Self { free_bytes: bytes(room.free), total_bytes: bytes(room.total) }
    }
}

/// How the parts of the site are.
#[derive(SimpleObject)]
#[graphql(complex)]
pub(super) struct SiteStatus {
    /// As of when.
    at: DateTime,
    /// The version of the API, as `tally --version` says it.
    version: &'static str,
    /// Since when this process of the API has been running.
    started_at: DateTime,
    /// How PostgreSQL is, which holds all but the media.
    database: DatabaseStatus,
    /// How nginx is, without which nobody broadcasts or watches.
    nginx: NginxStatus,
    /// The disk of the media; null when it cannot be looked at.
    media_disk: Option<MediaDisk>,
    /// How many broadcasts are on the air.
    live_streams: i32,
    /// How many viewer sessions watch them, all together.
    current_viewers: i32,
}

#[ComplexObject]
impl SiteStatus {
    /// How many watched all broadcasts together over the last hour, for a chart: a point for each full minute, the oldest
    /// first, with the most of each broadcast in it summed up. A minute in which nobody counted is left out.
    #[graphql(complexity = "100 + 60 * child_complexity")]
    async fn audience(&self, ctx: &Context<'_>) -> Result<Vec<AudiencePoint>> {
        audience::of_site(ctx.parts()).await
    }
}

impl SiteStatus {
    async fn of(parts: &Parts) -> Self {
        let (database, nginx, disk) = tokio::join!(database(parts), nginx(parts), disk(parts));
        let (streams, current_viewers) = parts.presence.size();
        Self {
            at: DateTime(parts.clock.now()),
            version: env!("CARGO_PKG_VERSION"),
            started_at: DateTime(parts.started_at),
            database,
            nginx,
            media_disk: disk,
            live_streams: int(streams.into()),
            current_viewers,
        }
    }
}

async fn database(parts: &Parts) -> DatabaseStatus {
    let begun = parts.clock.elapsed();
    let answers = matches!(timeout(PATIENCE, parts.store.ping()).await, Ok(Ok(())));
    let took = (parts.clock.elapsed() - begun).as_secs_f64() * 1000.0;
    DatabaseStatus { state: PartState::of(answers), answer_milliseconds: answers.then_some(took) }
}

async fn nginx(parts: &Parts) -> NginxStatus {
    let answers = parts.ingest.nginx_answers().await;
    let last_answered_at = parts.ingest.nginx_heard_at().map(DateTime);
    NginxStatus { state: PartState::of(answers), last_answered_at }
}

async fn disk(parts: &Parts) -> Option<MediaDisk> {
    let room = timeout(PATIENCE, parts.shelf.room()).await.ok()?;
    room.inspect_err(|error| tracing::warn!(%error, "the media's disk cannot be looked at"))
        .ok()
        .map(Into::into)
}

/// Questions about the site as a whole.
#[derive(Default)]
pub(super) struct StatusQuery;

#[Object]
impl StatusQuery {
    /// How the parts of the site are: each is asked now, and given up after two seconds. For admins only.
    #[graphql(complexity = "100 + child_complexity")]
    async fn site_status(&self, ctx: &Context<'_>) -> Option<Result<SiteStatus>> {
        if let Err(denied) = ctx.viewer().may(Action::ReadStatus) {
            return Some(Err(ApiError::from(denied)));
        }
        Some(Ok(SiteStatus::of(ctx.parts()).await))
    }
}
