//! A recording that is complete becomes what can be played: its segments one behind the other in one file, which HLS
//! reads by ranges of bytes, and the same pictures and sound as MP4. Nothing is encoded again.
//!
//! It may be broken off at any moment and is then done again: the segments go only when everything is there. Without room
//! for all of it nothing is begun, and whatever it fails of, nothing half made is left: nginx and PostgreSQL write to the
//! same disk.

mod parts;

use std::collections::HashMap;
use std::io::{self, ErrorKind};
use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use serde::Deserialize;
use tokio::fs;
use tokio::process::Command;
use tokio_util::sync::CancellationToken;

use self::parts::Parts;
use super::ffmpeg::{self, Run};
use super::files::{Files, remove};
use super::room::Room;
use super::shelf::Shelf;
use crate::ambient::Clock;
use crate::lifecycle::{Failure, Pace};
use crate::store::{Measures, Recording, RecordingFailure, RecordingState, Store, StoreError, StreamId};

const ROUND: Duration = Duration::from_secs(1);
/// A day of video is remuxed in minutes.
const PATIENCE: Duration = Duration::from_secs(60 * 60);
/// What could not be done is tried again after this time, so often; for want of room, for as long as it takes.
const AGAIN: Duration = Duration::from_secs(30);
const TRIES: u32 = 5;
/// What must be free besides what a recording takes: all else that writes to the disk goes on meanwhile.
const RESERVE: u64 = 256 * 1024 * 1024;

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
    failed: HashMap<StreamId, Failed>,
}

/// What was tried in vain.
#[derive(Default)]
struct Failed {
    /// How often that says something about the recording.
    tries: u32,
    /// When it may be tried again.
    again: Duration,
}

impl Failed {
    /// Notes a try that failed; false when it was the last.
    fn note(&mut self, error: &io::Error, now: Duration) -> bool {
        self.again = now + AGAIN;
        if !matches!(error.kind(), ErrorKind::StorageFull | ErrorKind::QuotaExceeded) {
            self.tries += 1;
        }
        self.tries < TRIES
    }
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
            let id = recording.row.stream_id;
            let is_due = self.failed.get(&id).is_none_or(|failed| failed.again <= self.clock.elapsed());
            if stop.is_cancelled() || !is_due {
                continue;
            }
            let directory = self.files.recording(recording.stream.loc, id, false);
            match self.make(recording, &directory, stop).await {
                Ok(Run::Made) => {
                    self.failed.remove(&id);
                    // What cannot be done now is done within a minute.
                    if let Err(error) = self.shelf.settle(recording.stream.loc).await {
                        tracing::warn!(stream = %id, %error, "a recording is not where it belongs");
                    }
                    self.shelf.tell(recording.stream.loc, id);
                }
                Ok(Run::Stopped) => {}
                Err(Unmade::Store(error)) => return Err(error),
                Err(Unmade::Never(why)) => self.fail(recording, why).await?,
                Err(Unmade::Disk(error)) => self.put_off(recording, error).await?,
            }
        }
        Ok(())
    }

    /// Leaves a recording for later, or gives it up.
    async fn put_off(&mut self, recording: &Recording, error: io::Error) -> Result<(), StoreError> {
        let (id, now) = (recording.row.stream_id, self.clock.elapsed());
        if self.failed.entry(id).or_default().note(&error, now) {
            tracing::warn!(stream = %id, %error, "a recording cannot be processed yet");
            return Ok(());
        }
        tracing::error!(stream = %id, %error, "a recording cannot be processed");
        self.failed.remove(&id);
        self.fail(recording, RecordingFailure::Unusable).await
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
    ) -> Result<Run, Unmade> {
        let parts = self.files.parts_of(recording);
        let made = assemble(&parts, directory, self.files.room(), stop).await?;
        let Some(measures) = made else { return Ok(Run::Stopped) };
        self.store.finish_recording(recording.row.stream_id, &measures).await?;
        fs::remove_dir_all(parts).await?;
        Ok(Run::Made)
    }
}

/// Makes in `directory` all that a recording of these parts is played by, if there is `room` for it; None when we stop. Unless
/// all of it was made, none of it is left.
async fn assemble(
    parts: &Path,
    directory: &Path,
    room: impl Future<Output = io::Result<Room>>,
    stop: &CancellationToken,
) -> Result<Option<Measures>, Unmade> {
    let from = parts.to_owned();
    let parts = blocking(move || Parts::in_order(&from)).await?;
    if parts.are_none() {
        return Err(Unmade::Never(RecordingFailure::Empty));
    }
    // A crash may have left some, which would take of the room.
    clear(directory).await?;
    let made = async {
        // Once as it is and once as MP4.
        let (needed, free) = (parts.bytes().saturating_mul(2).saturating_add(RESERVE), room.await?.free);
        if free < needed {
            let short = format!("it takes {needed} bytes on a disk that has {free}");
            return Err(io::Error::new(ErrorKind::StorageFull, short));
        }
        let (into, stopping) = (directory.to_owned(), stop.clone());
        if blocking(move || parts.join(&into, &stopping)).await? == Run::Stopped {
            return Ok(None);
        }
        remux(directory, PATIENCE, stop).await
    };
    let made = made.await;
    if !matches!(made, Ok(Some(_)))
        && let Err(error) = clear(directory).await
    {
        tracing::warn!(path = %directory.display(), %error, "what was half made is left");
    }
    Ok(made?)
}

/// Removes all that is made of parts.
async fn clear(directory: &Path) -> io::Result<()> {
    for name in [JOINED, PLAYLIST, MP4, POSTER] {
        for name in [name.to_owned(), format!("{name}.new")] {
            remove(&directory.join(name)).await?;
        }
    }
    Ok(())
}

async fn blocking<T: Send + 'static>(work: impl FnOnce() -> io::Result<T> + Send + 'static) -> io::Result<T> {
    tokio::task::spawn_blocking(work).await.map_err(io::Error::other)?
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
        bytes += fs::metadata(file).await.map_or(0, |file| file.len());
    }
    let duration_ms = (probed.seconds * 1000.0).round() as i64;
    Ok(Some(Measures { duration_ms, bytes: bytes as i64, size: probed.size }))
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
    use std::fs;

    use super::*;

    const MB: u64 = 1024 * 1024;

    /// A recording of two parts of a megabyte, in which a try that was broken off has left something.
    struct Stage {
        dir: tempfile::TempDir,
    }

    impl Stage {
        fn new() -> Self {
            let stage = Self { dir: tempfile::tempdir().unwrap() };
            fs::create_dir(stage.parts()).unwrap();
            for part in ["1000.ts", "2000.ts"] {
                fs::write(stage.parts().join(part), vec![0; MB as usize]).unwrap();
            }
            for left in ["video.ts", "video.ts.new", "video.mp4.new", "poster.jpg.new"] {
                fs::write(stage.dir.path().join(left), "half").unwrap();
            }
            stage
        }

        fn parts(&self) -> std::path::PathBuf {
            self.dir.path().join("parts")
        }

        /// Why nothing comes of it with so much room, and what is there then.
        async fn fails(&self, free: u64) -> (ErrorKind, Vec<String>) {
            let room = async { Ok(Room { free, total: u64::MAX }) };
            let made = assemble(&self.parts(), self.dir.path(), room, &CancellationToken::new()).await;
            let Err(Unmade::Disk(error)) = made else { panic!("it can be made: {made:?}") };
            (error.kind(), self.there())
        }

        fn there(&self) -> Vec<String> {
            let there = fs::read_dir(self.dir.path()).unwrap().flatten();
            let mut there: Vec<String> =
                there.map(|entry| entry.file_name().into_string().unwrap()).collect();
            there.sort();
            there
        }
    }

    #[tokio::test]
    async fn without_room_for_all_of_it_nothing_is_begun() {
        let stage = Stage::new();
        let (why, there) = stage.fails(RESERVE + 4 * MB - 1).await;
        assert_eq!((why, there), (ErrorKind::StorageFull, vec!["parts".to_owned()]));
    }

    #[tokio::test]
    async fn what_cannot_be_remuxed_takes_no_room_and_keeps_its_parts() {
        let stage = Stage::new();
        let (why, there) = stage.fails(RESERVE + 4 * MB).await;
        assert_eq!((why, there), (ErrorKind::Other, vec!["parts".to_owned()]), "these are no video");
        assert_eq!(Parts::in_order(&stage.parts()).unwrap().bytes(), 2 * MB);
    }

    #[tokio::test]
    async fn what_can_be_made_is_all_there_and_at_a_stop_nothing_is() {
        let (stage, stop) = (Stage::new(), CancellationToken::new());
        for (part, second) in [("1000.ts", "0"), ("2000.ts", "1")] {
            let picture = ["-f", "lavfi", "-i", "testsrc=duration=1", "-output_ts_offset", second];
            let video = picture.into_iter().chain(["-c:v", "mpeg2video", "-f", "mpegts"]);
            ffmpeg::make(video, &stage.parts().join(part), PATIENCE, &stop).await.unwrap();
        }
        let room = || async { Ok(Room { free: u64::MAX, total: u64::MAX }) };
        let made = assemble(&stage.parts(), stage.dir.path(), room(), &stop).await.unwrap().unwrap();
        assert_eq!(stage.there(), ["index.m3u8", "parts", "poster.jpg", "video.mp4", "video.ts"]);
        assert_eq!(made.size, Some((320, 240)));
        assert!((1900..=2000).contains(&made.duration_ms), "{}", made.duration_ms);
        stop.cancel();
        assert!(assemble(&stage.parts(), stage.dir.path(), room(), &stop).await.unwrap().is_none());
        assert_eq!(stage.there(), ["parts"]);
    }

    #[test]
    fn a_full_disk_is_waited_out_and_other_trouble_is_not() {
        let (mut failed, now) = (Failed::default(), Duration::from_secs(7));
        let full = [ErrorKind::StorageFull, ErrorKind::QuotaExceeded].map(io::Error::from);
        let mut note = |error: &io::Error| failed.note(error, now);
        assert!((0..TRIES).all(|_| full.iter().all(&mut note)));
        let other = io::Error::other("ffmpeg: exit status: 1");
        assert!((1..TRIES).all(|_| note(&other)) && note(&full[0]));
        assert!(!note(&other), "the last try");
        assert_eq!(failed.again, now + AGAIN);
    }
}
