//! A recording that is complete becomes what can be played: its segments one behind the other in one file, which HLS
//! reads by ranges of bytes, and the same pictures and sound as MP4. Nothing is encoded again.
//!
//! It may be broken off at any moment and is then done again: the segments go only when everything is there.

use std::collections::HashMap;
use std::fmt::Write as _;
use std::fs::{self, File};
use std::io::{self, ErrorKind};
use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use serde::Deserialize;
use tokio::process::Command;
use tokio_util::sync::CancellationToken;

use super::ffmpeg::{self, Run};
use super::files::Files;
use super::playlist::{self, Segment};
use super::recorder::LIST;
use super::shelf::Shelf;
use crate::ambient::Clock;
use crate::lifecycle::{Failure, Pace};
use crate::store::{Measures, Recording, RecordingFailure, RecordingState, Store, StoreError, StreamId};

const ROUND: Duration = Duration::from_secs(1);
/// A day of video is remuxed in minutes.
const PATIENCE: Duration = Duration::from_secs(60 * 60);
/// What could not be done is tried again after this time, so often.
const AGAIN: Duration = Duration::from_secs(30);
const TRIES: u32 = 5;

/// The names of a recording's files.
pub(super) const PLAYLIST: &str = "index.m3u8";
pub(super) const JOINED: &str = "video.ts";
pub(super) const MP4: &str = "video.mp4";
pub(super) const POSTER: &str = "poster.jpg";

/// Makes recordings that are complete into what can be played, one at a time.
pub struct Joiner {
    files: Files,
    store: Store,
    shelf: Shelf,
    clock: Clock,
    /// How often each was tried, and when it may be again.
    failed: HashMap<StreamId, (u32, Duration)>,
}

/// Why nothing came of it.
#[derive(Debug, thiserror::Error)]
enum Unmade {
    /// It may work later.
    #[error(transparent)]
    Disk(#[from] io::Error),
    #[error(transparent)]
    Store(#[from] StoreError),
    /// It never will.
    #[error("{}", .0.word())]
    Never(RecordingFailure),
}

impl Joiner {
    /// One that works in `files`.
    pub fn new(files: Files, store: Store, shelf: Shelf, clock: Clock) -> Self {
        Self { files, store, shelf, clock, failed: HashMap::new() }
    }

    /// Works until `stop`.
    ///
    /// # Errors
    /// Never: what fails is logged and tried again.
    pub async fn run(mut self, stop: CancellationToken) -> Result<(), Failure> {
        let mut pace = Pace::new(ROUND, stop.clone());
        while pace.beat().await {
            if let Err(error) = self.work(&stop).await {
                tracing::warn!(%error, "recordings cannot be processed");
            }
        }
        Ok(())
    }

    /// One round.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn work(&mut self, stop: &CancellationToken) -> Result<(), StoreError> {
        let recordings = self.store.recordings_in_work().await?;
        for recording in recordings.iter().filter(|it| it.row.state == RecordingState::Processing) {
            let (id, now) = (recording.row.stream_id, self.clock.elapsed());
            let (tries, after) = self.failed.get(&id).copied().unwrap_or_default();
            if stop.is_cancelled() || (tries > 0 && now < after) {
                continue;
            }
            let directory = self.files.recording(recording.stream.loc, id, false);
            match self.make(recording, &directory, stop).await {
                Ok(()) => {
                    self.failed.remove(&id);
                    // What cannot be done now is done within a minute.
                    if let Err(error) = self.shelf.settle(recording.stream.loc).await {
                        tracing::warn!(stream = %id, %error, "a recording is not where it belongs");
                    }
                    self.shelf.tell(recording.stream.loc, id);
                }
                Err(Unmade::Store(error)) => return Err(error),
                Err(Unmade::Never(why)) => self.fail(recording, why).await?,
                Err(Unmade::Disk(error)) if tries + 1 < TRIES || error.kind() == ErrorKind::StorageFull => {
                    tracing::warn!(stream = %id, %error, "a recording cannot be processed yet");
                    self.failed.insert(id, (tries + 1, now + AGAIN));
                }
                Err(Unmade::Disk(error)) => {
                    tracing::error!(stream = %id, %error, "a recording cannot be processed");
                    self.failed.remove(&id);
                    self.fail(recording, RecordingFailure::Unusable).await?;
                }
            }
        }
        Ok(())
    }

    async fn fail(&self, recording: &Recording, why: RecordingFailure) -> Result<(), StoreError> {
        self.store.fail_recording(recording.stream.id, why).await?;
        self.shelf.tell(recording.stream.loc, recording.stream.id);
        Ok(())
    }

    async fn make(
        &self,
        recording: &Recording,
        directory: &Path,
        stop: &CancellationToken,
    ) -> Result<(), Unmade> {
        let parts = self.files.parts_of(recording);
        let (from, into) = (parts.clone(), directory.to_owned());
        let joined =
            tokio::task::spawn_blocking(move || join(&from, &into)).await.map_err(io::Error::other)??;
        if joined == 0 {
            return Err(Unmade::Never(RecordingFailure::Empty));
        }
        let Some(measures) = remux(directory, PATIENCE, stop).await? else { return Ok(()) };
        self.store.finish_recording(recording.row.stream_id, &measures).await?;
        tokio::fs::remove_dir_all(parts).await?;
        Ok(())
    }
}

/// Makes an MP4 and a poster of the transport stream that lies in `directory`; None when we stop.
pub(super) async fn remux(
    directory: &Path,
    patience: Duration,
    stop: &CancellationToken,
) -> io::Result<Option<Measures>> {
    let (joined, mp4, poster) = (directory.join(JOINED), directory.join(MP4), directory.join(POSTER));
    let remux = ["-i".as_ref(), joined.as_os_str()].into_iter();
    let remux = remux.chain(["-c", "copy", "-movflags", "+faststart", "-f", "mp4"].map(AsRef::as_ref));
    if ffmpeg::make(remux, &mp4, patience, stop).await? == Run::Stopped {
        return Ok(None);
    }
    let probed = probe(&mp4).await?;
    if probed.size.is_some() {
        let at = format!("{:.3}", probed.seconds / 10.0);
        let still = ["-ss".as_ref(), at.as_ref(), "-i".as_ref(), mp4.as_os_str()].into_iter();
        let one = ["-frames:v", "1", "-vf", "scale='min(1280,iw)':-2", "-q:v", "4", "-f", "image2"];
        let still = still.chain(one.map(AsRef::as_ref));
        if ffmpeg::make(still, &poster, patience, stop).await? == Run::Stopped {
            return Ok(None);
        }
    }
    let mut bytes = 0;
    for file in [&joined, &mp4, &poster] {
        bytes += fs::metadata(file).map_or(0, |file| file.len());
    }
    let duration_ms = (probed.seconds * 1000.0).round() as i64;
    Ok(Some(Measures { duration_ms, bytes: bytes as i64, size: probed.size }))
}

/// Writes all parts into one file, and the playlist that finds each of them in it; how many there were.
fn join(parts: &Path, directory: &Path) -> io::Result<usize> {
    let segments = in_order(parts)?;
    if segments.is_empty() {
        return Ok(0);
    }
    let aside = directory.join("video.ts.new");
    let mut file = File::create(&aside)?;
    let (mut place, mut count, mut longest) = (0, 0, 1.0_f64);
    let mut entries = String::new();
    for segment in segments {
        let length = io::copy(&mut File::open(parts.join(&segment.name))?, &mut file)?;
        if length == 0 {
            continue;
        }
        if segment.breaks && count > 0 {
            entries.push_str("#EXT-X-DISCONTINUITY\n");
        }
        let seconds = segment.seconds;
        let _ = write!(entries, "#EXTINF:{seconds:.3},\n#EXT-X-BYTERANGE:{length}@{place}\n{JOINED}\n");
        longest = longest.max(seconds);
        place += length;
        count += 1;
    }
    file.sync_all()?;
    fs::rename(aside, directory.join(JOINED))?;
    let head = "#EXTM3U\n#EXT-X-VERSION:4\n#EXT-X-PLAYLIST-TYPE:VOD\n#EXT-X-MEDIA-SEQUENCE:0\n";
    let longest = longest.ceil();
    let text = format!("{head}#EXT-X-TARGETDURATION:{longest}\n{entries}#EXT-X-ENDLIST\n");
    fs::write(directory.join(PLAYLIST), text)?;
    Ok(count)
}

/// The parts in the order in which they were kept, with what was noted of each. Of one that was not noted the length is
/// taken from when the next was begun.
fn in_order(parts: &Path) -> io::Result<Vec<Segment>> {
    let list = match fs::read_to_string(parts.join(LIST)) {
        Ok(list) => list,
        Err(error) if error.kind() == ErrorKind::NotFound => String::new(),
        Err(error) => return Err(error),
    };
    let mut there: Vec<String> = match fs::read_dir(parts) {
        Ok(entries) => entries.filter_map(|entry| entry.ok()?.file_name().into_string().ok()).collect(),
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(error),
    };
    there.retain(|name| playlist::begun(name).is_some());
    let mut segments = playlist::segments(&list);
    segments.retain(|segment| there.contains(&segment.name));
    segments.dedup_by(|later, earlier| later.name == earlier.name);
    for name in there {
        if segments.iter().any(|segment| segment.name == name) {
            continue;
        }
        let begun = playlist::begun(&name);
        let place = segments.iter().rposition(|segment| segment.begun() < begun).map_or(0, |last| last + 1);
        segments.insert(place, Segment { name, seconds: 0.0, breaks: false });
    }
    for place in 0..segments.len() {
        if segments[place].seconds > 0.0 {
            continue;
        }
        let next = segments.get(place + 1).and_then(Segment::begun);
        let lasted = next.zip(segments[place].begun()).map(|(next, begun)| (next - begun) as f64 / 1000.0);
        segments[place].seconds = lasted.filter(|seconds| (0.1..60.0).contains(seconds)).unwrap_or(1.0);
    }
    Ok(segments)
}

/// What a video is like: how long, and how large its picture, if it has one.
pub(super) struct Probed {
    pub(super) seconds: f64,
    pub(super) size: Option<(i32, i32)>,
}

/// Looks at a video.
pub(super) async fn probe(video: &Path) -> io::Result<Probed> {
    #[derive(Deserialize)]
    struct Answer {
        format: Format,
        streams: Vec<Stream>,
    }
    #[derive(Deserialize)]
    struct Format {
        duration: Option<String>,
    }
    #[derive(Deserialize)]
    struct Stream {
        width: Option<i32>,
        height: Option<i32>,
    }
    let shown = "format=duration:stream=width,height";
    let asked = Command::new("ffprobe")
        .args(["-v", "error", "-of", "json", "-show_entries", shown])
        .arg(video)
        .stdin(Stdio::null())
        .stderr(Stdio::null())
        .kill_on_drop(true)
        .output();
    let answer = tokio::time::timeout(PATIENCE, asked).await.map_err(io::Error::other)??;
    let Answer { format, streams } = serde_json::from_slice(&answer.stdout)?;
    let seconds = format.duration.and_then(|text| text.parse().ok());
    let seconds = seconds.ok_or_else(|| io::Error::other("ffprobe knows no duration"))?;
    let size = streams.into_iter().find_map(|stream| stream.width.zip(stream.height));
    Ok(Probed { seconds, size })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_are_joined_in_the_order_in_which_they_were_kept() {
        let dir = tempfile::tempdir().unwrap();
        let parts = dir.path().join("parts");
        fs::create_dir(&parts).unwrap();
        for (name, content) in
            [("5000.ts", "five"), ("6000.ts", "sixth"), ("1000.ts", "one"), ("8000.ts", "")]
        {
            fs::write(parts.join(name), content).unwrap();
        }
        // The clock was set back behind the first; one was never noted, one was noted and is gone.
        let list = "#EXT-X-DISCONTINUITY\n#EXTINF:1.500,\n5000.ts\n#EXT-X-DISCONTINUITY\n#EXTINF:2.000,\n1000.ts\n\
            #EXTINF:1.0,\n7000.ts\n";
        fs::write(parts.join(LIST), list).unwrap();
        assert_eq!(join(&parts, dir.path()).unwrap(), 3);
        assert_eq!(fs::read_to_string(dir.path().join(JOINED)).unwrap(), "fiveonesixth");
        let expected = "#EXTM3U\n#EXT-X-VERSION:4\n#EXT-X-PLAYLIST-TYPE:VOD\n#EXT-X-MEDIA-SEQUENCE:0\n\
            #EXT-X-TARGETDURATION:2\n#EXTINF:1.500,\n#EXT-X-BYTERANGE:4@0\nvideo.ts\n#EXT-X-DISCONTINUITY\n\
            #EXTINF:2.000,\n#EXT-X-BYTERANGE:3@4\nvideo.ts\n#EXTINF:2.000,\n#EXT-X-BYTERANGE:5@7\nvideo.ts\n\
            #EXT-X-ENDLIST\n";
        assert_eq!(fs::read_to_string(dir.path().join(PLAYLIST)).unwrap(), expected);
    }

    #[test]
    fn of_nothing_nothing_is_made() {
        let dir = tempfile::tempdir().unwrap();
        assert_eq!(join(&dir.path().join("parts"), dir.path()).unwrap(), 0);
        assert!(!dir.path().join(JOINED).exists());
    }
}
