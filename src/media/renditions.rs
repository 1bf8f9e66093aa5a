//! Adaptive bit rates: each segment of what is on the air is made again in smaller sizes, by one short run of ffmpeg that
//! makes all of them. Timestamps, sound and numbers stay the source's, and each begins with a keyframe of its own, so a player
//! may change from one size to another at any segment.
//!
//! A segment that was not made in time, on a machine that is too busy or without ffmpeg, is listed as the source has it:
//! what plays goes on, if with more bits. Nothing is kept but files, so a restart goes on with what is there.

mod list;

use std::collections::HashMap;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::pin::pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Duration;

use tokio::fs;
use tokio::sync::Semaphore;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

use self::list::{Entry, List};
use super::ffmpeg::{self, Run};
use super::files::{Files, replace};
use super::joining::{Probed, probe};
use super::playlist::{self, Playlist, Segment};
use crate::config::Rung;
use crate::lifecycle::{Failure, Pace, Tasks};
use crate::realtime::Presence;
use crate::store::Loc;

/// How often it is looked what is on the air, and for the next segment.
const ROUND: Duration = Duration::from_secs(1);
const LOOK: Duration = Duration::from_millis(200);
/// So many segments may wait to be made; one that is further behind is listed as it is.
const BEHIND: usize = 4;
/// How long one may take, its turn included.
const PATIENCE: Duration = Duration::from_secs(4);
/// What sound takes, and what lies around both, when it is said how much a size takes.
const SOUND_KBPS: u32 = 160;
/// The playlist of playlists.
pub(super) const MASTER: &str = "master.m3u8";

impl Rung {
    fn name(self) -> String {
        format!("{}p", self.height)
    }

    /// The file of a segment in this size.
    fn file(self, segment: &str) -> String {
        format!("{}p-{segment}", self.height)
    }
}

/// A size in which a stream can be watched.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rendition {
    /// `source`, or like `720p`.
    pub name: String,
    /// The name of its playlist, beside the one of all.
    pub playlist: String,
    /// The size of its picture.
    pub size: Option<(i32, i32)>,
    /// What it takes at the most, in kilobits a second.
    pub kbps: u32,
}

/// Makes renditions of everything on the air; cloned freely.
#[derive(Clone)]
pub struct Renditions(Arc<Inner>);

struct Inner {
    files: Files,
    presence: Presence,
    ladder: Vec<Rung>,
    /// So many runs of ffmpeg at a time.
    turns: Semaphore,
    known: Mutex<HashMap<Loc, Vec<Rendition>>>,
}

impl Renditions {
    /// Those of `ladder`, in `files`; `presence` knows what is on the air.
    pub fn new(files: Files, presence: Presence, ladder: &[Rung]) -> Self {
        let mut ladder = ladder.to_vec();
        ladder.sort_by_key(|rung| std::cmp::Reverse(rung.height));
        ladder.dedup_by_key(|rung| rung.height);
        let cores = std::thread::available_parallelism().map_or(1, usize::from);
        let (turns, known) = (Semaphore::new(cores), Mutex::default());
        Self(Arc::new(Inner { files, presence, ladder, turns, known }))
    }

    /// Whether any are made.
    pub fn are_made(&self) -> bool {
        !self.0.ladder.is_empty()
    }

    /// The playlist by which what is on the air is played.
    pub fn playlist(&self) -> &'static str {
        if self.are_made() { MASTER } else { "index.m3u8" }
    }

    /// In which sizes what is on the air at `loc` can be watched; none until that is known.
    pub fn of(&self, loc: Loc) -> Vec<Rendition> {
        self.known().get(&loc).cloned().unwrap_or_default()
    }

    /// Works until `stop`.
    ///
    /// # Errors
    /// Never: what fails is logged, and the source goes on.
    pub async fn run(self, tasks: Tasks, stop: CancellationToken) -> Result<(), Failure> {
        let mut pace = Pace::new(ROUND, stop.clone());
        let mut working: HashMap<Loc, Weak<()>> = HashMap::new();
        while pace.beat().await {
            working.retain(|_, alive| alive.strong_count() > 0);
            for loc in self.0.presence.on_the_air() {
                working.entry(loc).or_insert_with(|| {
                    let (this, stop, alive) = (self.clone(), stop.clone(), Arc::new(()));
                    let working = Arc::downgrade(&alive);
                    tasks.pass("renditions", async move {
                        this.follow(loc, stop).await;
                        this.known().remove(&loc);
                        drop(alive);
                    });
                    working
                });
            }
        }
        Ok(())
    }

    /// Makes the renditions of what is on the air at `loc` until it is no longer.
    async fn follow(&self, loc: Loc, stop: CancellationToken) {
        let is_public = self.0.presence.is_public(loc);
        let directory = self.0.files.hls_of(loc, !is_public);
        let mut pace = Pace::new(LOOK, stop.clone());
        let mut work: Option<Work> = None;
        while pace.beat().await && self.0.presence.is_on_the_air(loc) {
            if self.0.presence.is_public(loc) != is_public {
                return;
            }
            let playlist = playlist::read(&directory).await.unwrap_or_default();
            let done = match &mut work {
                Some(work) => self.go_on(work, &directory, &playlist, &stop).await,
                None if playlist::grows(&directory).await => {
                    let begun = self.begin(loc, &directory, &playlist).await;
                    begun.map(|begun| work = Some(begun))
                }
                None => Ok(()),
            };
            if let Err(error) = done {
                tracing::warn!(%loc, %error, "renditions cannot be made");
            }
        }
    }

    /// Finds out what can be made of a stream, and says so: sizes below its own.
    async fn begin(&self, loc: Loc, directory: &Path, playlist: &Playlist) -> std::io::Result<Work> {
        let Some(newest) = playlist.segments.last() else { return Err(std::io::ErrorKind::NotFound.into()) };
        let segment = directory.join(&newest.name);
        let Probed { seconds, size } = probe(&segment).await?;
        let bytes = fs::metadata(&segment).await?.len();
        // Half as much again: a second may be dearer than this one.
        let kbps = bytes as f64 * 8.0 / 1000.0 / seconds.max(0.1) * 1.5;
        let height = size.map_or(0, |(_, height)| height.unsigned_abs());
        let ladder: Vec<Rung> = self.0.ladder.iter().copied().filter(|rung| rung.height < height).collect();
        let source = Rendition {
            name: "source".to_owned(),
            playlist: "index.m3u8".to_owned(),
            size,
            kbps: kbps as u32,
        };
        let smaller = ladder.iter().map(|rung| Rendition {
            name: rung.name(),
            playlist: format!("{}.m3u8", rung.name()),
            size: size.map(|size| scaled(size, *rung)),
            kbps: rung.kbps * 6 / 5 + SOUND_KBPS,
        });
        let all: Vec<Rendition> = std::iter::once(source).chain(smaller).collect();
        let work = Work { loc, ladder, list: List::default(), master: master(&all), is_announced: false };
        self.known().insert(loc, all);
        if work.ladder.is_empty() {
            replace(directory, MASTER, &work.master).await?;
        }
        Ok(work)
    }

    /// Makes what is listed and was not made yet.
    async fn go_on(
        &self,
        work: &mut Work,
        directory: &Path,
        playlist: &Playlist,
        stop: &CancellationToken,
    ) -> std::io::Result<()> {
        if work.ladder.is_empty() {
            return Ok(());
        }
        work.list.forget_before(playlist.sequence);
        let known = usize::try_from(work.list.next() - playlist.sequence).unwrap_or_default();
        for (place, segment) in playlist.segments.iter().enumerate().skip(known) {
            let behind = playlist.segments.len() - place;
            let made = work.is_made(directory, segment).await
                || behind <= BEHIND && self.make(work, directory, segment, stop).await;
            if stop.is_cancelled() {
                return Ok(());
            }
            work.list.push(Entry { segment: segment.clone(), made });
            if made || behind <= BEHIND {
                work.write(directory).await?;
            }
        }
        Ok(())
    }

    /// Makes a segment in all sizes; false when that is not possible in time. Then nothing is left of it.
    async fn make(&self, work: &Work, directory: &Path, segment: &Segment, stop: &CancellationToken) -> bool {
        let late = stop.child_token();
        let mut making = pin!(self.try_to_make(work, directory, segment, &late));
        let made = match timeout(PATIENCE, &mut making).await {
            Ok(made) => made,
            Err(_) => {
                // ffmpeg would still write what is removed here, were it not waited for.
                late.cancel();
                making.await
            }
        };
        let Err(error) = made else { return true };
        for rung in &work.ladder {
            // It may have come to nothing before there was one.
            let _ = fs::remove_file(aside(directory, *rung, &segment.name)).await;
        }
        if !stop.is_cancelled() {
            tracing::warn!(loc = %work.loc, %error, "a segment is listed as it came: it could not be made smaller in time");
        }
        false
    }

    async fn try_to_make(
        &self,
        work: &Work,
        directory: &Path,
        segment: &Segment,
        stop: &CancellationToken,
    ) -> std::io::Result<()> {
        let turn = stop.run_until_cancelled(self.0.turns.acquire()).await;
        let Some(Ok(_turn)) = turn else { return Err(std::io::ErrorKind::TimedOut.into()) };
        let all = arguments(directory, &segment.name, &work.ladder);
        if ffmpeg::run(all, PATIENCE, stop).await? == Run::Stopped {
            return Err(std::io::ErrorKind::TimedOut.into());
        }
        for rung in &work.ladder {
            let file = directory.join(rung.file(&segment.name));
            fs::rename(aside(directory, *rung, &segment.name), file).await?;
        }
        Ok(())
    }

    fn known(&self) -> MutexGuard<'_, HashMap<Loc, Vec<Rendition>>> {
        self.0.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A stream of which renditions are made.
struct Work {
    loc: Loc,
    ladder: Vec<Rung>,
    list: List,
    master: String,
    /// Whether there is the playlist of playlists: those that it names must be there first.
    is_announced: bool,
}

impl Work {
    async fn is_made(&self, directory: &Path, segment: &Segment) -> bool {
        for rung in &self.ladder {
            if !fs::try_exists(directory.join(rung.file(&segment.name))).await.unwrap_or(false) {
                return false;
            }
        }
        true
    }

    async fn write(&mut self, directory: &Path) -> std::io::Result<()> {
        for rung in &self.ladder {
            let text = self.list.text(|segment| rung.file(segment));
            replace(directory, &format!("{}.m3u8", rung.name()), &text).await?;
        }
        if !self.is_announced {
            replace(directory, MASTER, &self.master).await?;
            self.is_announced = true;
        }
        Ok(())
    }
}

/// The size of a picture in that height: as wide as it was, and even, as ffmpeg makes it.
fn scaled((width, height): (i32, i32), rung: Rung) -> (i32, i32) {
    let to = i32::try_from(rung.height).unwrap_or(i32::MAX);
    let wide = f64::from(width) * f64::from(to) / f64::from(height.max(1));
    ((wide / 2.0).round() as i32 * 2, to)
}

fn master(renditions: &[Rendition]) -> String {
    let mut text = "#EXTM3U\n#EXT-X-VERSION:3\n".to_owned();
    for Rendition { name, playlist, size, kbps } in renditions {
        let size = size.map_or_else(String::new, |(width, height)| format!(",RESOLUTION={width}x{height}"));
        let _ = writeln!(text, "#EXT-X-STREAM-INF:BANDWIDTH={kbps}000{size},NAME=\"{name}\"\n{playlist}");
    }
    text
}

/// Where a segment is made in that size.
fn aside(directory: &Path, rung: Rung, segment: &str) -> PathBuf {
    directory.join(format!("{}.new", rung.file(segment)))
}

/// All sizes of a segment in one run: it is read once. Frames are taken as they are, with their timestamps.
fn arguments(directory: &Path, segment: &str, ladder: &[Rung]) -> Vec<String> {
    let split: String = (0..ladder.len()).map(|place| format!("[v{place}]")).collect();
    let mut filter = format!("[0:v]split={}{split}", ladder.len());
    for (place, rung) in ladder.iter().enumerate() {
        let _ = write!(filter, ";[v{place}]scale=-2:{}[s{place}]", rung.height);
    }
    let path = |name: &str| directory.join(name).display().to_string();
    let mut arguments = vec!["-copyts".to_owned(), "-i".to_owned(), path(segment)];
    arguments.extend(["-filter_complex".to_owned(), filter]);
    for (place, rung) in ladder.iter().enumerate() {
        let Rung { kbps, .. } = *rung;
        arguments.extend(["-map".to_owned(), format!("[s{place}]")]);
        arguments.extend(["-map", "0:a?", "-c:v", "libx264", "-preset", "veryfast"].map(str::to_owned));
        // No picture refers to a later one: their timestamps would reach into the segment before.
        arguments.extend(["-bf", "0", "-pix_fmt", "yuv420p", "-g", "9999"].map(str::to_owned));
        arguments.extend(["-fps_mode", "passthrough", "-enc_time_base", "-1"].map(str::to_owned));
        arguments.extend(["-b:v".to_owned(), format!("{kbps}k"), "-maxrate".to_owned()]);
        arguments.extend([format!("{}k", kbps * 6 / 5), "-bufsize".to_owned(), format!("{kbps}k")]);
        arguments.extend(["-c:a", "copy", "-muxdelay", "0", "-muxpreload", "0"].map(str::to_owned));
        arguments.extend(["-f", "mpegts", "-y"].map(str::to_owned));
        arguments.push(aside(directory, *rung, segment).display().to_string());
    }
    arguments
}

#[cfg(test)]
mod tests {
    use std::process::Stdio;

    use chrono::DateTime;
    use tokio::process::Command;
    use uuid::Uuid;

    use super::*;
    use crate::ambient::Clock;

    /// A stream of which two sizes are made.
    struct Stage {
        dir: tempfile::TempDir,
        renditions: Renditions,
        work: Work,
    }

    impl Stage {
        fn new() -> Self {
            let dir = tempfile::tempdir().unwrap();
            let presence = Presence::new(Clock::manual(DateTime::UNIX_EPOCH), Duration::from_secs(12));
            let ladder = [(120, 100), (60, 50)].map(|(height, kbps)| Rung { height, kbps }).to_vec();
            let renditions = Renditions::new(Files::new(dir.path().to_owned()), presence, &ladder);
            let (loc, list, master) = (Loc(Uuid::nil()), List::default(), String::new());
            Self { dir, renditions, work: Work { loc, ladder, list, master, is_announced: false } }
        }

        async fn make(&self, stop: &CancellationToken) -> bool {
            let segment = Segment { name: "1000.ts".to_owned(), seconds: 1.0, breaks: false };
            self.renditions.make(&self.work, self.dir.path(), &segment, stop).await
        }

        /// What lies there besides the segment.
        fn made(&self) -> Vec<String> {
            let names = std::fs::read_dir(self.dir.path()).unwrap().flatten();
            let names = names.map(|entry| entry.file_name().into_string().unwrap());
            let mut made: Vec<String> = names.filter(|name| name != "1000.ts").collect();
            made.sort();
            made
        }
    }

    /// One that goes on for ever.
    fn endless(segment: &Path) -> tokio::process::Child {
        assert!(std::process::Command::new("mkfifo").arg(segment).status().unwrap().success());
        let mut ffmpeg = Command::new("nice");
        ffmpeg.args(["-n", "15", "ffmpeg", "-nostdin", "-loglevel", "quiet", "-f", "lavfi", "-i", "testsrc"]);
        ffmpeg.args(["-c:v", "mpeg2video", "-f", "mpegts", "-y"]).arg(segment);
        ffmpeg.stdout(Stdio::null()).kill_on_drop(true).spawn().unwrap()
    }

    #[tokio::test(start_paused = true)]
    async fn what_was_not_made_in_time_leaves_nothing() {
        let stage = Stage::new();
        let mut sender = endless(&stage.dir.path().join("1000.ts"));
        let stop = CancellationToken::new();
        // Time stands still for as long as it is looked for them, however long a busy machine takes; then it flies.
        let begun = async {
            while stage.made().len() < 2 {
                tokio::task::yield_now().await;
            }
        };
        let mut making = pin!(stage.make(&stop));
        tokio::select! {
            made = &mut making => panic!("it has an end: {made}"),
            () = begun => {}
        }
        assert_eq!(stage.made(), ["120p-1000.ts.new", "60p-1000.ts.new"]);
        assert!(!making.await);
        assert_eq!(stage.made(), Vec::<String>::new());
        sender.kill().await.unwrap();
    }

    #[tokio::test]
    async fn what_cannot_be_made_leaves_nothing_and_what_can_is_put_into_place() {
        let stage = Stage::new();
        let (segment, stop) = (stage.dir.path().join("1000.ts"), CancellationToken::new());
        std::fs::write(&segment, "no video").unwrap();
        std::fs::write(stage.dir.path().join("60p-1000.ts.new"), "half").unwrap();
        assert!(!stage.make(&stop).await);
        assert_eq!(stage.made(), Vec::<String>::new());
        let one = ["-f", "lavfi", "-i", "testsrc", "-frames:v", "5", "-f", "mpegts"];
        ffmpeg::make(one, &segment, Duration::from_secs(60), &stop).await.unwrap();
        // On a busy machine it may not be in time the first time.
        let mut is_made = false;
        for _ in 0..20 {
            is_made = is_made || stage.make(&stop).await;
        }
        assert!(is_made);
        assert_eq!(stage.made(), ["120p-1000.ts", "60p-1000.ts"]);
    }

    #[test]
    fn the_playlist_of_playlists_names_every_size() {
        let size = Some((1280, 720));
        let source = Rendition { name: "source".into(), playlist: "index.m3u8".into(), size, kbps: 3000 };
        let size = size.map(|size| scaled(size, Rung { height: 360, kbps: 700 }));
        let small = Rendition { name: "360p".into(), playlist: "360p.m3u8".into(), size, kbps: 1000 };
        assert_eq!(
            master(&[source, small]),
            "#EXTM3U\n#EXT-X-VERSION:3\n\
             #EXT-X-STREAM-INF:BANDWIDTH=3000000,RESOLUTION=1280x720,NAME=\"source\"\nindex.m3u8\n\
             #EXT-X-STREAM-INF:BANDWIDTH=1000000,RESOLUTION=640x360,NAME=\"360p\"\n360p.m3u8\n"
        );
        assert_eq!(scaled((854, 480), Rung { height: 240, kbps: 300 }), (428, 240));
    }
}
