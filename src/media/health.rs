//! How well a broadcast arrives, from what is in its segments: for its owner, who alone can do something about it.

use std::collections::{HashMap, VecDeque};
use std::io::{ErrorKind, Result};
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use chrono::{DateTime, TimeDelta, Utc};
use tokio::fs;

use super::playlist::Playlist;
use super::transport::{self, Content};
use crate::ambient::Clock;
use crate::store::Loc;

/// How far back it is known.
const KEPT: TimeDelta = TimeDelta::minutes(10);
/// What warnings are about: the last minute.
const LATELY: TimeDelta = TimeDelta::minutes(1);

/// What arrived in one segment.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Point {
    /// When it was noticed, within a second of its end.
    pub at: DateTime<Utc>,
    /// How long it is, from its first picture to the end of its last, in seconds.
    pub seconds: f64,
    /// Video, in kilobits a second.
    pub video_kbps: f64,
    /// Sound, in kilobits a second.
    pub audio_kbps: f64,
    /// Pictures a second.
    pub frame_rate: f64,
    /// How far apart keyframes are, in seconds.
    pub keyframe_seconds: f64,
    /// Pictures that are missing where the others go on.
    pub missing_frames: u32,
}

/// Something that viewers suffer from, and its owner can change.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Warning {
    /// Nothing has arrived for so many seconds.
    Silent(i64),
    /// Keyframes are so many seconds apart.
    RareKeyframes(f64),
    /// So many of a hundred pictures are missing.
    MissingFrames(f64),
    /// There is no sound.
    NoSound,
    /// The bit rate fell to so many of a hundred of what it usually is.
    UnsteadyBitRate(f64),
}

/// What is known of everything on the air; cloned freely.
#[derive(Clone)]
pub struct Health {
    streams: Arc<Mutex<HashMap<Loc, Record>>>,
    clock: Clock,
}

#[derive(Default)]
struct Record {
    points: VecDeque<Point>,
    /// The last segment that was looked at.
    last: Option<String>,
}

impl Health {
    /// Nothing is known yet.
    pub fn new(clock: Clock) -> Self {
        Self { streams: Arc::default(), clock }
    }

    /// Looks at the segments that were listed since the last time; the first time at those of the stream, which began then,
    /// and none of the one before it.
    pub(super) async fn follow(
        &self,
        loc: Loc,
        directory: &Path,
        start: i64,
        playlist: &Playlist,
    ) -> Result<()> {
        let last = self.lock().get(&loc).and_then(|record| record.last.clone());
        let listed = match last {
            Some(last) => {
                let known = playlist.segments.iter().rposition(|segment| segment.name == last);
                &playlist.segments[known.map_or(0, |known| known + 1)..]
            }
            None => playlist.since(start).1,
        };
        for segment in listed {
            let content = match fs::read(directory.join(&segment.name)).await {
                Ok(bytes) => transport::read(&bytes),
                Err(error) if error.kind() == ErrorKind::NotFound => continue,
                Err(error) => return Err(error),
            };
            self.note(loc, &segment.name, segment.seconds, &content);
        }
        Ok(())
    }

    fn note(&self, loc: Loc, name: &str, listed_seconds: f64, content: &Content) {
        let now = self.clock.now();
        let mut streams = self.lock();
        let record = streams.entry(loc).or_default();
        // Of sound alone nginx says how long it is.
        let seconds = if content.seconds > 0.0 { content.seconds } else { listed_seconds.max(0.001) };
        let kbps = |bytes: u64| bytes as f64 * 8.0 / 1000.0 / seconds;
        record.points.push_back(Point {
            at: now,
            seconds,
            video_kbps: kbps(content.video_bytes),
            audio_kbps: kbps(content.audio_bytes),
            frame_rate: f64::from(content.frames) / seconds,
            keyframe_seconds: seconds / f64::from(content.keyframes.max(1)),
            missing_frames: content.missing,
        });
        while record.points.front().is_some_and(|oldest| now - oldest.at > KEPT) {
            record.points.pop_front();
        }
        record.last = Some(name.to_owned());
    }

    /// Forgets what is not on the air.
    pub(super) fn retain(&self, is_on_the_air: impl Fn(Loc) -> bool) {
        self.lock().retain(|loc, _| is_on_the_air(*loc));
    }

    /// What arrived at `loc` in the last 10 minutes, the oldest first, at most one point a second; and what is wrong with it
    /// now.
    pub fn of(&self, loc: Loc) -> (Vec<Point>, Vec<Warning>) {
        let now = self.clock.now();
        let streams = self.lock();
        let points: Vec<Point> = streams.get(&loc).into_iter().flat_map(|it| &it.points).copied().collect();
        drop(streams);
        let warnings = warnings(&points, now);
        (points, warnings)
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<Loc, Record>> {
        self.streams.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What is wrong with what arrived lately.
fn warnings(points: &[Point], now: DateTime<Utc>) -> Vec<Warning> {
    let Some(newest) = points.last() else { return Vec::new() };
    let lately: Vec<&Point> = points.iter().filter(|point| now - point.at <= LATELY).collect();
    let mut found = Vec::new();
    let silent = (now - newest.at).num_seconds();
    // A segment may be as long as the keyframes are apart.
    if silent as f64 > 5.0 + newest.seconds {
        found.push(Warning::Silent(silent));
    }
    let sum = |of: fn(&Point) -> f64| lately.iter().map(|point| of(point)).sum::<f64>();
    let seconds = sum(|point| point.seconds);
    if seconds <= 0.0 {
        return found;
    }
    let apart = sum(|point| point.keyframe_seconds * point.seconds) / seconds;
    if apart > 2.5 {
        found.push(Warning::RareKeyframes(apart));
    }
    let (missing, there) =
        (sum(|point| f64::from(point.missing_frames)), sum(|point| point.frame_rate * point.seconds));
    let share = 100.0 * missing / (missing + there).max(1.0);
    if share > 1.0 {
        found.push(Warning::MissingFrames(share));
    }
    if sum(|point| point.audio_kbps) == 0.0 {
        found.push(Warning::NoSound);
    }
    let usual = sum(|point| point.video_kbps * point.seconds) / seconds;
    let least = lately.iter().map(|point| point.video_kbps).fold(f64::INFINITY, f64::min);
    // Some seconds of a picture that stands still are small; less than a tenth is a line that gave way.
    if lately.len() >= 10 && usual > 0.0 && least < usual / 10.0 {
        found.push(Warning::UnsteadyBitRate(100.0 * least / usual));
    }
    found
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::*;

    const LOC: Loc = Loc(Uuid::from_u128(1));
    const GOOD: Content = Content {
        frames: 30,
        keyframes: 1,
        missing: 0,
        seconds: 1.0,
        video_bytes: 250_000,
        audio_bytes: 16_000,
    };

    fn health() -> (Health, Clock) {
        let clock = Clock::manual(DateTime::UNIX_EPOCH);
        (Health::new(clock.clone()), clock)
    }

    fn pass(clock: &Clock, seconds: u64) {
        clock.advance(std::time::Duration::from_secs(seconds));
    }

    #[test]
    fn the_last_ten_minutes_are_known_and_what_is_well_needs_no_warning() {
        let (health, clock) = health();
        assert_eq!(health.of(LOC), (Vec::new(), Vec::new()));
        for number in 0..700 {
            health.note(LOC, &number.to_string(), 1.0, &GOOD);
            pass(&clock, 1);
        }
        let (points, warnings) = health.of(LOC);
        assert_eq!((points.len(), warnings), (601, Vec::new()));
        let Point { video_kbps, audio_kbps, frame_rate, keyframe_seconds, .. } = points[0];
        assert_eq!((video_kbps, audio_kbps, frame_rate, keyframe_seconds), (2000.0, 128.0, 30.0, 1.0));
        health.retain(|_| false);
        assert_eq!(health.of(LOC), (Vec::new(), Vec::new()));
    }

    #[test]
    fn what_viewers_suffer_from_is_said() {
        for (content, expected) in [
            (Content { seconds: 8.0, frames: 240, ..GOOD }, Warning::RareKeyframes(8.0)),
            (Content { frames: 27, missing: 3, ..GOOD }, Warning::MissingFrames(10.0)),
            (Content { audio_bytes: 0, ..GOOD }, Warning::NoSound),
        ] {
            let (health, clock) = health();
            for number in 0..20 {
                health.note(LOC, &number.to_string(), content.seconds, &content);
                pass(&clock, 1);
            }
            assert_eq!(health.of(LOC).1, [expected]);
            pass(&clock, 30);
            assert_eq!(health.of(LOC).1[0], Warning::Silent(31));
        }
    }

    #[tokio::test]
    async fn what_is_left_of_the_stream_before_is_none_of_it() {
        let (health, _) = health();
        let dir = tempfile::tempdir().unwrap();
        let follow = async |names: &[u32]| {
            let lines = names.iter().map(|name| format!("#EXTINF:1.000,\n{name}.ts\n"));
            for name in names {
                std::fs::write(dir.path().join(format!("{name}.ts")), "").unwrap();
            }
            let playlist = Playlist::of(&lines.collect::<String>());
            health.follow(LOC, dir.path(), 2500, &playlist).await.unwrap();
            health.of(LOC).0.len()
        };
        assert_eq!(follow(&[1000, 2000]).await, 0);
        assert_eq!(follow(&[1000, 2000, 3000, 4000]).await, 2);
        assert_eq!(follow(&[3000, 4000, 500]).await, 3, "the clock was set back since");
    }

    #[test]
    fn a_line_that_gives_way_is_noticed() {
        let (health, clock) = health();
        for number in 0..20 {
            let video_bytes = if number == 10 { 10_000 } else { 250_000 };
            health.note(LOC, &number.to_string(), 1.0, &Content { video_bytes, ..GOOD });
            pass(&clock, 1);
        }
        let warned = health.of(LOC).1;
        assert!(matches!(warned[..], [Warning::UnsteadyBitRate(share)] if share < 5.0), "{warned:?}");
    }
}
