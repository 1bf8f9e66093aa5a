//! How well a broadcast arrives, for its owner.

use std::time::Duration;

use async_graphql::{Context, Enum, Object, SimpleObject, Subscription};
use futures_util::stream::{self, Stream as Changes};
use uuid::Uuid;

use super::context::{Ask, Parts};
use super::error::{ApiError, Result};
use super::scalar::{DateTime, UuidScalar};
use super::source;
use crate::auth::Action;
use crate::media::{Point, Warning};
use crate::store::Loc;

/// How often a change is told of at the most.
const PACE: Duration = Duration::from_secs(2);

/// What arrived of a broadcast in about a second: between two keyframes at least.
#[derive(Clone, Copy)]
pub(super) struct HealthPoint(Point);

/// What arrived of a broadcast in one segment: about a second, and from one keyframe to another at least.
#[Object]
impl HealthPoint {
    /// When it had arrived, to the second.
    async fn at(&self) -> DateTime {
        DateTime(self.0.at)
    }

    /// Video in kilobits a second.
    async fn video_kbps(&self) -> f64 {
        self.0.video_kbps
    }

    /// Sound in kilobits a second.
    async fn audio_kbps(&self) -> f64 {
        self.0.audio_kbps
    }

    /// Pictures a second that really arrived.
    async fn frame_rate(&self) -> f64 {
        self.0.frame_rate
    }

    /// How far apart the keyframes are, in seconds. Viewers are this far behind, and more.
    async fn keyframe_seconds(&self) -> f64 {
        self.0.keyframe_seconds
    }

    /// Pictures that are missing where the others go on: the broadcaster's machine or line could not keep up.
    async fn missing_frames(&self) -> i32 {
        i32::try_from(self.0.missing_frames).unwrap_or(i32::MAX)
    }
}

/// Of what kind a warning is. More kinds may come.
#[derive(Clone, Copy, PartialEq, Eq, Enum)]
pub(super) enum HealthWarningKind {
    /// Nothing has arrived for some seconds.
    Silent,
    /// Keyframes are more than 2.5 seconds apart.
    RareKeyframes,
    /// More than one of a hundred pictures was missing in the last minute.
    MissingFrames,
    /// There was no sound in the last minute.
    NoSound,
    /// In the last minute the bit rate fell to a tenth of what it usually is.
    UnsteadyBitRate,
}

/// Something that viewers suffer from, and the broadcaster can change.
#[derive(Clone, SimpleObject)]
pub(super) struct HealthWarning {
    /// Of what kind it is, to branch on.
    kind: HealthWarningKind,
    /// What is wrong and what to do about it, in a sentence for people.
    message: String,
}

impl From<Warning> for HealthWarning {
    fn from(warning: Warning) -> Self {
        let (kind, message) = match warning {
            Warning::Silent(seconds) => (
                HealthWarningKind::Silent,
                format!(
                    "Nothing has arrived for {seconds} s: look at the line and at the broadcasting software"
                ),
            ),
            Warning::RareKeyframes(seconds) => (
                HealthWarningKind::RareKeyframes,
                format!("Keyframes every {seconds:.0} s: set the keyframe interval to 1 s in OBS"),
            ),
            Warning::MissingFrames(share) => (
                HealthWarningKind::MissingFrames,
                format!(
                    "{share:.0} of 100 pictures are missing: lower the bit rate or the size of the picture, or close \
                     other programs"
                ),
            ),
            Warning::NoSound => {
                (HealthWarningKind::NoSound, "There is no sound: look at the mixer in OBS".to_owned())
            }
            Warning::UnsteadyBitRate(share) => (
                HealthWarningKind::UnsteadyBitRate,
                format!(
                    "The bit rate fell to {share:.0} of 100 for a moment: the line is not steady; use a cable, or lower \
                     the bit rate"
                ),
            ),
        };
        Self { kind, message }
    }
}

/// How well a broadcast arrives.
#[derive(Clone, SimpleObject)]
pub(super) struct StreamHealth {
    /// The channel's address.
    loc: UuidScalar,
    /// As of when.
    at: DateTime,
    /// The last that arrived; null when nothing has, or the channel is off the air.
    now: Option<HealthPoint>,
    /// What is wrong; empty when all is well.
    warnings: Vec<HealthWarning>,
    /// What arrived in the last 10 minutes, the oldest first, for a chart.
    #[graphql(complexity = "200 * child_complexity")]
    points: Vec<HealthPoint>,
}

impl StreamHealth {
    fn of(parts: &Parts, loc: Loc) -> Self {
        let (points, warnings) = parts.health.of(loc);
        Self {
            loc: UuidScalar(loc.0),
            at: DateTime(parts.clock.now()),
            now: points.last().copied().map(HealthPoint),
            warnings: warnings.into_iter().map(Into::into).collect(),
            points: points.into_iter().map(HealthPoint).collect(),
        }
    }
}

/// Questions about how broadcasts arrive.
#[derive(Default)]
pub(super) struct HealthQuery;

#[Object]
impl HealthQuery {
    /// How well what a channel broadcasts arrives. For its owner and admins; null for everyone else, and when there is no
    /// such channel.
    #[graphql(complexity = "100 + child_complexity")]
    async fn stream_health(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "The channel's address.")] loc: UuidScalar,
    ) -> Option<Result<StreamHealth>> {
        let channel = match ctx.parts().store.channel_by_loc(loc.into()).await {
            Ok(channel) => channel?,
            Err(error) => return Some(Err(error.into())),
        };
        ctx.viewer().may(Action::ReadKey(&channel)).ok()?;
        Some(Ok(StreamHealth::of(ctx.parts(), channel.loc)))
    }
}

/// Subscriptions to how broadcasts arrive.
#[derive(Default)]
pub(super) struct HealthSubscription;

#[Subscription]
impl HealthSubscription {
    /// How well what a channel broadcasts arrives: as it is now, then each 2 seconds at the most as something has arrived or
    /// has not. For its owner and admins; `FORBIDDEN`, or `UNAUTHENTICATED`, for others.
    #[graphql(complexity = "100 + child_complexity")]
    async fn stream_health(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "The channel's address. `NOT_FOUND` when there is none.")] loc: UuidScalar,
    ) -> Result<impl Changes<Item = StreamHealth> + use<>> {
        source::follow(ctx, changes(ctx, loc.into())).await
    }
}

async fn changes(
    ctx: &Context<'_>,
    loc: Loc,
) -> Result<impl Changes<Item = (Option<Uuid>, StreamHealth)> + use<>> {
    let parts = std::sync::Arc::clone(ctx.data_unchecked::<std::sync::Arc<Parts>>());
    let channel = parts.store.channel_by_loc(loc).await?.ok_or(ApiError::NotFound { what: "channel" })?;
    ctx.viewer().may(Action::ReadKey(&channel))?;
    Ok(stream::unfold(true, move |is_first| {
        let parts = std::sync::Arc::clone(&parts);
        async move {
            if !is_first {
                tokio::time::sleep(PACE).await;
            }
            Some(((Some(loc.0), StreamHealth::of(&parts, loc)), false))
        }
    }))
}
