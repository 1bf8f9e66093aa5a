//! Clips: the last seconds of what is on the air, cut out of the segments that lie there. Nothing is encoded again, so a
//! clip begins at a keyframe, up to a segment before the second that was asked for.

use std::io::{Error, Result};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use tokio::fs;
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;

use super::catch_up;
use super::files::Files;
use super::joining::{self, JOINED};
use super::playlist::{self, Segment};
use crate::store::{ClipId, Loc, Measures, Stream, StreamId};

/// So many are cut at a time.
const AT_A_TIME: usize = 2;
/// Two minutes of video are cut in less than a second.
const PATIENCE: Duration = Duration::from_secs(8);

/// Cuts clips; cloned freely.
#[derive(Clone)]
pub struct Clips {
    files: Files,
    turns: Arc<Semaphore>,
    stop: CancellationToken,
}

/// No clip could be cut.
#[derive(Debug, thiserror::Error)]
pub enum Uncut {
    /// Nothing lies there that could be cut.
    #[error("nothing has arrived that could be cut")]
    Nothing,
    /// Too many are being cut, or we stop.
    #[error("too many clips are being cut")]
    Busy,
    /// The cause is for the log.
    #[error(transparent)]
    Failed(#[from] Error),
}

impl Clips {
    /// Cuts in `files`, until `stop`.
    pub fn new(files: Files, stop: CancellationToken) -> Self {
        Self { files, turns: Arc::new(Semaphore::new(AT_A_TIME)), stop }
    }

    /// Cuts the last `seconds` of a stream, aside; [`Clips::keep`] puts it into its place.
    ///
    /// # Errors
    /// See [`Uncut`].
    pub async fn cut(
        &self,
        stream: &Stream,
        id: ClipId,
        seconds: f64,
    ) -> std::result::Result<Measures, Uncut> {
        let _turn = self.turns.try_acquire().map_err(|_| Uncut::Busy)?;
        let directory = self.files.hls_of(stream.loc, stream.protected);
        let listed = listed(&directory, stream.id, stream.started_at.timestamp_millis()).await?;
        let segments = last(&listed, seconds);
        if segments.is_empty() {
            return Err(Uncut::Nothing);
        }
        let aside = self.files.clip_aside(stream.loc, id);
        fs::create_dir_all(&aside).await?;
        let made = self.make(&directory, &segments, &aside).await;
        if made.is_err() {
            // What is left of it is found by the shelf otherwise.
            let _ = fs::remove_dir_all(&aside).await;
        }
        made
    }

    async fn make(
        &self,
        directory: &Path,
        segments: &[Segment],
        aside: &Path,
    ) -> std::result::Result<Measures, Uncut> {
        let joined = aside.join(JOINED);
        let mut file = fs::File::create(&joined).await?;
        for segment in segments {
            tokio::io::copy(&mut fs::File::open(directory.join(&segment.name)).await?, &mut file).await?;
        }
        file.sync_all().await?;
        let length = file.metadata().await?.len();
        let measures = joining::remux(aside, PATIENCE, &self.stop).await?.ok_or(Uncut::Busy)?;
        fs::remove_file(joined).await?;
        Ok(Measures { bytes: measures.bytes - length as i64, ..measures })
    }

    /// Puts a clip that was cut to where [`super::Shelf::settle`] finds it.
    ///
    /// # Errors
    /// When the disk would not have it.
    pub async fn keep(&self, loc: Loc, id: ClipId) -> Result<()> {
        fs::rename(self.files.clip_aside(loc, id), self.files.clip(loc, id, false)).await
    }
}

/// All that can be cut of a stream that began then, the oldest first: nothing of the stream before it, which lies in the
/// same directory.
async fn listed(directory: &Path, stream: StreamId, start: i64) -> Result<Vec<Segment>> {
    let longer = catch_up::listed(directory, stream).await?.segments;
    let newest = playlist::read(directory).await?;
    // nginx's own playlist is up to a second ahead.
    let is_last = |segment: &Segment| longer.last().is_some_and(|last| last.name == segment.name);
    Ok(match newest.segments.iter().position(is_last) {
        Some(place) => longer.into_iter().chain(newest.segments.into_iter().skip(place + 1)).collect(),
        None => newest.since(start).1.to_vec(),
    })
}

/// The last of them that are so long together.
fn last(segments: &[Segment], seconds: f64) -> Vec<Segment> {
    let mut total = 0.0;
    let enough = |segment: &&Segment| {
        let is_wanted = total < seconds;
        total += segment.seconds;
        is_wanted
    };
    let mut wanted: Vec<Segment> = segments.iter().rev().take_while(enough).cloned().collect();
    wanted.reverse();
    wanted
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::*;

    #[tokio::test]
    async fn the_last_seconds_are_taken_from_both_playlists() {
        let dir = tempfile::tempdir().unwrap();
        let text = |names: std::ops::RangeInclusive<i64>| {
            names.map(|name| format!("#EXTINF:2.000,\n{name}.ts\n")).collect::<String>()
        };
        let (stream, next) = (StreamId(Uuid::from_u128(1)), StreamId(Uuid::from_u128(2)));
        std::fs::write(dir.path().join("index.m3u8"), text(5..=8)).unwrap();
        let names = |segments: &[Segment]| segments.iter().filter_map(Segment::begun).collect::<Vec<_>>();
        let listed = async |stream, start| listed(dir.path(), stream, start).await.unwrap();
        assert_eq!(names(&listed(stream, 1).await), [5, 6, 7, 8]);
        let longer = format!("#EXTM3U\n# stream {stream}\n{}", text(1..=7));
        std::fs::write(dir.path().join(catch_up::PLAYLIST), longer).unwrap();
        let all = listed(stream, 1).await;
        assert_eq!(names(&all), [1, 2, 3, 4, 5, 6, 7, 8]);
        assert_eq!(names(&last(&all, 5.0)), [6, 7, 8]);
        assert_eq!(names(&last(&all, 6.0)), [6, 7, 8]);
        assert_eq!(names(&last(&all, 120.0)), [1, 2, 3, 4, 5, 6, 7, 8]);
        assert_eq!(names(&listed(stream, 100).await), [1, 2, 3, 4, 5, 6, 7, 8], "the clock was set back");
        assert_eq!(names(&listed(next, 8).await), [8], "nothing of the stream before");
        assert!(listed(next, 9).await.is_empty(), "nothing of it has arrived");
        std::fs::remove_file(dir.path().join("index.m3u8")).unwrap();
        assert!(listed(next, 1).await.is_empty());
    }
}
