//! Recording: the segments that nginx writes for HLS are kept, each as a second name of the same file, so that
//! recording costs no copy and no process of its own. A publisher that reconnects goes on in the same directory, and so
//! in the same recording.
//!
//! What has been kept is what lies in the directory: a recording goes on after a crash of anything. A list beside the
//! segments says what nginx said of each; without it they are still there.

use std::collections::hash_map::Entry;
use std::collections::{HashMap, HashSet};
use std::io::{ErrorKind, Result as IoResult};
use std::path::{Path, PathBuf};

use chrono::{DateTime, TimeDelta, Utc};
use tokio::fs;
use tokio::io::AsyncWriteExt;

use super::files::{self, Files};
use super::playlist::{self, Segment};
use super::shelf::Shelf;
use crate::ambient::Clock;
use crate::store::{Recording, RecordingState, Store, StoreError, StreamId};

/// How long after the end of a stream its last segment is waited for: nginx may still be closing it.
const LAST_SEGMENT: TimeDelta = TimeDelta::seconds(5);
/// The list of what nginx said of each segment.
pub(super) const LIST: &str = "list";

/// Keeps the segments of what is being recorded.
pub struct Recorder {
    files: Files,
    store: Store,
    shelf: Shelf,
    clock: Clock,
    /// What was recorded when it was last looked.
    known: HashSet<StreamId>,
    kept: Kept,
}

/// Which segments have been kept of each recording that goes on, by when they were begun. Their directories would say it
/// as well, but after a day one holds a hundred thousand names, and a round is a second: each is read once after a start.
#[derive(Default)]
struct Kept(HashMap<StreamId, HashSet<i64>>);

/// The directories of streams whose segments have not all been kept.
pub struct Uncollected(Option<HashSet<PathBuf>>);

impl Uncollected {
    /// Whether that directory may hold some.
    pub(super) fn is_in(&self, directory: &Path) -> bool {
        self.0.as_ref().is_none_or(|directories| directories.contains(directory))
    }

    /// There are none anywhere.
    #[cfg(test)]
    pub(super) fn none() -> Self {
        Self(Some(HashSet::new()))
    }
}

impl Recorder {
    /// A recorder into `files`.
    pub fn new(files: Files, store: Store, shelf: Shelf, clock: Clock) -> Self {
        Self { files, store, shelf, clock, known: HashSet::new(), kept: Kept::default() }
    }

    /// One round: keeps whatever nginx has finished since the last one. A recording whose stream is over is complete then.
    /// What cannot be kept, on a disk that is full for instance, is tried again.
    pub async fn collect(&mut self) -> Uncollected {
        let recordings = match self.store.recordings_in_work().await {
            Ok(recordings) => recordings,
            Err(error) => {
                tracing::warn!(%error, "what is to be recorded cannot be known");
                return Uncollected(None);
            }
        };
        let known: HashSet<StreamId> = recordings.iter().map(|recording| recording.stream.id).collect();
        for recording in recordings.iter().filter(|it| !self.known.contains(&it.stream.id)) {
            self.shelf.tell(recording.stream.loc, recording.stream.id);
        }
        self.known = known;
        let going_on = || recordings.iter().filter(|it| it.row.state == RecordingState::Recording);
        self.kept.forget_all_but(&going_on().map(|recording| recording.stream.id).collect());
        let mut uncollected = HashSet::new();
        for recording in going_on() {
            match self.follow(recording).await {
                Ok(true) => {}
                Ok(false) => drop(uncollected.insert(self.source(recording))),
                Err(error) => {
                    tracing::warn!(stream = %recording.row.stream_id, %error, "segments cannot be kept");
                    uncollected.insert(self.source(recording));
                }
            }
        }
        Uncollected(Some(uncollected))
    }

    fn source(&self, recording: &Recording) -> PathBuf {
        self.files.hls_of(recording.stream.loc, recording.stream.protected)
    }

    /// Keeps a recording's new segments; true once it is complete.
    async fn follow(&mut self, recording: &Recording) -> Result<bool, Unkept> {
        let ended = recording.stream.ended_at;
        let is_last = ended.is_some_and(|ended| (self.clock.now() - ended).abs() >= LAST_SEGMENT);
        let until = match ended {
            Some(ended) => {
                let next = self.store.next_start(recording.stream.channel_id, recording.stream.id).await?;
                Some(next.unwrap_or(ended + LAST_SEGMENT).min(ended + LAST_SEGMENT))
            }
            None => None,
        };
        let (from, parts) = (self.source(recording), self.files.parts_of(recording));
        let kept = self.kept.of(recording.stream.id, &parts).await?;
        keep(&from, &parts, kept, recording.stream.started_at, until, is_last).await?;
        if is_last {
            self.store.process_recording(recording.stream.id).await?;
            self.shelf.tell(recording.stream.loc, recording.stream.id);
        }
        Ok(is_last)
    }
}

impl Kept {
    /// What has been kept of a recording among its `parts`.
    async fn of(&mut self, recording: StreamId, parts: &Path) -> IoResult<&mut HashSet<i64>> {
        match self.0.entry(recording) {
            Entry::Occupied(kept) => Ok(kept.into_mut()),
            Entry::Vacant(unknown) => Ok(unknown.insert(segments_in(parts).await?)),
        }
    }

    fn forget_all_but(&mut self, recordings: &HashSet<StreamId>) {
        self.0.retain(|recording, _| recordings.contains(recording));
    }
}

/// Segments could not be kept.
#[derive(Debug, thiserror::Error)]
enum Unkept {
    #[error(transparent)]
    Disk(#[from] std::io::Error),
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// Keeps the segments in `from` that were begun `since` and before `until`, and are not among the `parts` yet, as `kept`
/// says. What is no longer listed, since we were away, is kept as well; and at the last time what nginx had begun and never
/// listed, since it crashed.
async fn keep(
    from: &Path,
    parts: &Path,
    kept: &mut HashSet<i64>,
    since: DateTime<Utc>,
    until: Option<DateTime<Utc>>,
    is_last: bool,
) -> IoResult<()> {
    let begun = |segment: &Segment| segment.begun().unwrap_or_default();
    let listed = playlist::read(from).await?.segments;
    // Behind the last that was kept, however the clock was set since.
    let seen = listed.iter().rposition(|segment| kept.contains(&begun(segment))).map(|last| last + 1);
    let (since, until) = (since.timestamp_millis(), until.map(|until| until.timestamp_millis()));
    let is_new = |segment: &Segment| {
        let begun = begun(segment);
        let is_ours = (!kept.is_empty() || begun >= since) && until.is_none_or(|until| begun < until);
        is_ours && !kept.contains(&begun)
    };
    let new = listed[seen.unwrap_or_default()..].iter();
    let mut new: Vec<Segment> = new.filter(|segment| is_new(segment)).cloned().collect();
    if is_last || seen.is_none() {
        let known: HashSet<i64> = listed.iter().map(begun).collect();
        let first = listed.first().map(begun);
        let is_finished = |at: i64| is_last || first.is_some_and(|first| at < first);
        let unlisted = segments_in(from).await?.into_iter();
        let unlisted = unlisted.filter(|at| *at >= since && !known.contains(at) && is_finished(*at));
        let unlisted = unlisted.map(|at| Segment { name: format!("{at}.ts"), seconds: 0.0, breaks: false });
        new.extend(unlisted.filter(is_new));
        new.sort_by_key(begun);
    }
    if new.is_empty() {
        return Ok(());
    }
    fs::create_dir_all(parts).await?;
    for segment in new {
        let (there, here) = (from.join(&segment.name), parts.join(&segment.name));
        match fs::hard_link(&there, &here).await {
            Ok(()) => {
                kept.insert(begun(&segment));
                note(parts, &segment).await?;
            }
            // It was kept and then not noted.
            Err(error) if error.kind() == ErrorKind::AlreadyExists => drop(kept.insert(begun(&segment))),
            // It is gone already.
            Err(error) if error.kind() == ErrorKind::NotFound => {}
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

/// When the segments in a directory were begun; none when it is not there.
async fn segments_in(directory: &Path) -> IoResult<HashSet<i64>> {
    let names = files::names(directory).await?.into_iter();
    Ok(names.filter_map(|name| playlist::begun(&name)).collect())
}

/// Adds to the list what nginx says of a segment, in a playlist's own words.
async fn note(parts: &Path, segment: &Segment) -> IoResult<()> {
    let mut list = fs::OpenOptions::new().create(true).append(true).open(parts.join(LIST)).await?;
    let breaks = if segment.breaks { "#EXT-X-DISCONTINUITY\n" } else { "" };
    list.write_all(format!("{breaks}#EXTINF:{:.3},\n{}\n", segment.seconds, segment.name).as_bytes()).await?;
    list.flush().await
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::*;

    const RECORDING: StreamId = StreamId(Uuid::from_u128(1));

    struct Stage {
        dir: tempfile::TempDir,
        listed: Vec<Segment>,
        known: Kept,
    }

    fn at(millis: i64) -> DateTime<Utc> {
        DateTime::UNIX_EPOCH + TimeDelta::milliseconds(millis)
    }

    impl Stage {
        fn new() -> Self {
            let (dir, known) = (tempfile::tempdir().unwrap(), Kept::default());
            let stage = Self { dir, listed: Vec::new(), known };
            std::fs::create_dir(stage.hls()).unwrap();
            stage
        }

        fn hls(&self) -> PathBuf {
            self.dir.path().join("hls")
        }

        fn parts(&self) -> PathBuf {
            self.dir.path().join("parts")
        }

        /// nginx finishes a segment; it lists the last three.
        fn writes(&mut self, begun: i64, breaks: bool) {
            self.begins(begun);
            self.listed.push(Segment { name: format!("{begun}.ts"), seconds: 1.0, breaks });
            let listed = self.listed.iter().rev().take(3).rev().map(|segment| {
                let breaks = if segment.breaks { "#EXT-X-DISCONTINUITY\n" } else { "" };
                format!("{breaks}#EXTINF:{:.3},\n{}\n", segment.seconds, segment.name)
            });
            std::fs::write(self.hls().join("index.m3u8"), listed.collect::<String>()).unwrap();
        }

        fn begins(&self, begun: i64) {
            std::fs::write(self.hls().join(format!("{begun}.ts")), begun.to_string()).unwrap();
        }

        async fn keep(&mut self, since: i64, until: Option<i64>, is_last: bool) {
            let (hls, parts) = (self.hls(), self.parts());
            let kept = self.known.of(RECORDING, &parts).await.unwrap();
            keep(&hls, &parts, kept, at(since), until.map(at), is_last).await.unwrap();
        }

        /// As after a start.
        fn forget(&mut self) {
            self.known = Kept::default();
        }

        fn kept(&self) -> Vec<i64> {
            let list = std::fs::read_to_string(self.parts().join(LIST)).unwrap_or_default();
            playlist::segments(&list).iter().filter_map(Segment::begun).collect()
        }
    }

    #[tokio::test]
    async fn every_segment_is_kept_once_however_often_one_looks() {
        let mut stage = Stage::new();
        stage.keep(1000, None, false).await;
        for begun in [500, 1000, 2000] {
            stage.writes(begun, begun == 1000);
        }
        stage.begins(3000);
        for _ in 0..2 {
            stage.keep(1000, None, false).await;
            assert_eq!(stage.kept(), [1000, 2000], "of this stream, and finished");
        }
        stage.writes(3000, false);
        stage.writes(4000, true);
        stage.keep(1000, None, false).await;
        assert_eq!(stage.kept(), [1000, 2000, 3000, 4000]);
        let list = std::fs::read_to_string(stage.parts().join(LIST)).unwrap();
        let breaks: Vec<bool> = playlist::segments(&list).iter().map(|segment| segment.breaks).collect();
        assert_eq!(breaks, [true, false, false, true]);
        std::fs::remove_dir_all(stage.hls()).unwrap();
        assert_eq!(std::fs::read_to_string(stage.parts().join("4000.ts")).unwrap(), "4000");
    }

    #[tokio::test]
    async fn a_clock_that_is_set_back_loses_nothing() {
        let mut stage = Stage::new();
        stage.writes(5_000_000, false);
        stage.keep(5_000_000, None, false).await;
        stage.writes(1_400_000, false);
        stage.keep(5_000_000, None, false).await;
        stage.forget();
        stage.writes(1_401_000, false);
        stage.keep(5_000_000, None, false).await;
        assert_eq!(stage.kept(), [5_000_000, 1_400_000, 1_401_000]);
    }

    #[tokio::test]
    async fn the_end_takes_what_was_never_listed_and_nothing_of_the_next_stream() {
        let mut stage = Stage::new();
        stage.writes(1000, false);
        stage.begins(2000);
        stage.writes(9000, true);
        stage.keep(1000, Some(8000), true).await;
        assert_eq!(stage.kept(), [1000, 2000]);
    }

    #[tokio::test]
    async fn what_was_written_while_we_were_away_is_kept_too() {
        let mut stage = Stage::new();
        stage.writes(1000, false);
        stage.keep(1000, None, false).await;
        for begun in 2..=7 {
            stage.writes(begun * 1000, false);
        }
        stage.begins(8000);
        stage.forget();
        stage.keep(1000, None, false).await;
        assert_eq!(stage.kept(), [1000, 2000, 3000, 4000, 5000, 6000, 7000]);
    }

    #[tokio::test]
    async fn a_list_that_was_lost_loses_no_segment() {
        let mut stage = Stage::new();
        stage.writes(1000, false);
        stage.keep(1000, None, false).await;
        std::fs::remove_file(stage.parts().join(LIST)).unwrap();
        stage.forget();
        stage.writes(2000, false);
        stage.keep(1000, None, false).await;
        assert_eq!(stage.kept(), [2000]);
        assert_eq!(segments_in(&stage.parts()).await.unwrap().len(), 2);
    }

    #[tokio::test]
    async fn what_was_kept_is_looked_for_after_a_start_and_not_again_each_second() {
        let mut stage = Stage::new();
        for begun in [1000, 2000] {
            stage.writes(begun, false);
        }
        stage.keep(1000, None, false).await;
        let last = stage.parts().join("2000.ts");
        std::fs::remove_file(&last).unwrap();
        stage.keep(1000, None, false).await;
        assert!(!last.exists(), "nobody looks whether it is still there");
        stage.known.forget_all_but(&HashSet::from([RECORDING]));
        stage.keep(1000, None, false).await;
        assert!(!last.exists(), "not while the recording goes on");
        stage.known.forget_all_but(&HashSet::new());
        assert!(stage.known.0.is_empty(), "what is over is not remembered");
        stage.keep(1000, None, false).await;
        assert!(last.exists(), "and as after a start it is seen to be missing");
    }
}
