//! How many watched a broadcast over its time, and the whole site over the last hour, for a chart.

use async_graphql::{Context, SimpleObject};
use chrono::{DurationRound, TimeDelta};

use super::context::{Ask, Parts};
use super::error::{ApiError, Result};
use super::scalar::{DateTime, int};
use crate::store::{self, SiteMinute, StreamAudience, StreamId};

/// How many points there are when nobody says.
const USUAL: i32 = 60;
/// How many there are at the most.
const MOST: i32 = 360;

/// The audience of that stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct AudienceOf(pub(super) StreamId);

/// How many watched a broadcast, or all of them, in a stretch of time, which ends where the next point begins.
#[derive(SimpleObject)]
pub(super) struct AudiencePoint {
    /// When the stretch begins: with a minute, or with the broadcast.
    at: DateTime,
    /// The most viewer sessions at one time in it; of several broadcasts, the most of each summed up.
    viewers: i32,
}

/// Of all broadcasts, each full minute of the last hour.
pub(super) async fn of_site(parts: &Parts) -> Result<Vec<AudiencePoint>> {
    let now = parts.clock.now();
    let until = now.duration_trunc(TimeDelta::minutes(1)).unwrap_or(now);
    let minutes = parts.store.site_audience(until - TimeDelta::hours(1), until).await?;
    let point =
        |minute: SiteMinute| AudiencePoint { at: DateTime(minute.minute), viewers: int(minute.viewers) };
    Ok(minutes.into_iter().map(point).collect())
}

/// What so many points cost, for the limit on complexity.
pub(super) fn cost(points: Option<i32>, inside: usize) -> usize {
    10 + usize::try_from(points.unwrap_or(USUAL).clamp(1, MOST)).unwrap_or(1) * inside
}

/// Up to so many points of a stream.
pub(super) async fn of(
    ctx: &Context<'_>,
    stream: &store::Stream,
    points: Option<i32>,
) -> Result<Vec<AudiencePoint>> {
    let most = points.unwrap_or(USUAL);
    let most = usize::try_from(most).ok().filter(|_| (1..=MOST).contains(&most));
    let most = most.ok_or_else(|| ApiError::bad("points", format!("1 to {MOST}")))?;
    let audience = ctx.loader().load_one(AudienceOf(stream.id)).await?;
    Ok(audience.map_or_else(Vec::new, |audience| draw(stream.started_at, &audience, most)))
}

/// Stretches are put together until there are few enough; those in which nobody counted are left out.
fn draw(start: chrono::DateTime<chrono::Utc>, audience: &StreamAudience, most: usize) -> Vec<AudiencePoint> {
    let first = start.duration_trunc(TimeDelta::minutes(1)).unwrap_or(start);
    let together = audience.viewers.len().div_ceil(most).max(1);
    let point = |(place, stretches): (usize, &[Option<i32>])| {
        let minutes = i64::try_from(place * together).ok()? * i64::from(audience.minutes);
        let at = (first + TimeDelta::minutes(minutes)).max(start);
        let viewers = stretches.iter().copied().flatten().max()?;
        Some(AudiencePoint { at: DateTime(at), viewers })
    };
    audience.viewers.chunks(together).enumerate().filter_map(point).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn few_points_keep_the_peaks_of_many() {
        let start = "2026-11-23T12:00:40Z".parse().unwrap();
        let viewers = vec![Some(1), Some(4), None, Some(2), None, None, Some(3)];
        let audience = StreamAudience { stream_id: StreamId(uuid::Uuid::nil()), minutes: 2, viewers };
        let drawn = |most| {
            let drawn = draw(start, &audience, most).into_iter();
            drawn.map(|point| (point.at.0.format("%T").to_string(), point.viewers)).collect::<Vec<_>>()
        };
        let as_words = |points: &[(&str, i32)]| {
            points.iter().map(|(at, viewers)| ((*at).to_owned(), *viewers)).collect::<Vec<_>>()
        };
        let all = [("12:00:40", 1), ("12:02:00", 4), ("12:06:00", 2), ("12:12:00", 3)];
        assert_eq!(drawn(360), as_words(&all));
        assert_eq!(drawn(7), as_words(&all));
        assert_eq!(drawn(4), as_words(&[("12:00:40", 4), ("12:04:00", 2), ("12:12:00", 3)]));
        assert_eq!(drawn(1), as_words(&[("12:00:40", 4)]));
    }
}
