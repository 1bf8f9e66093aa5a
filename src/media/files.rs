//! Where the files of streams lie, and their end: a player must not hang on a playlist that will never grow again,
//! and nothing of an ended stream is left behind.

mod thinning;

use std::collections::HashSet;
use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use tokio::fs;
use tokio::io::AsyncWriteExt;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use self::thinning::Thinner;
use super::catch_up::{self, CatchUp};
use super::health::Health;
use super::playlist;
use super::recorder::{Recorder, Uncollected};
use super::renditions;
use crate::ambient::Clock;
use crate::lifecycle::{Failure, Pace};
use crate::realtime::Presence;
use crate::store::{ClipId, Loc, Recording, StreamId};

/// How often the directories are looked at.
const ROUND: Duration = Duration::from_secs(1);
/// How long an ended stream's segments stay, for the players that still have some to play.
const AFTERGLOW: Duration = Duration::from_secs(20);
const END: &[u8] = b"#EXT-X-ENDLIST\n";

/// The layout of the media directory; nginx knows the same one.
#[derive(Clone, Debug)]
pub struct Files {
    root: PathBuf,
}

impl Files {
    /// Everything below `root`.
    pub fn new(root: PathBuf) -> Self {
        Self { root }
    }

    /// Where all of it lies.
    pub(super) fn root(&self) -> &Path {
        &self.root
    }

    /// Where nginx writes HLS, a directory a stream.
    pub fn hls(&self) -> PathBuf {
        self.root.join("hls")
    }

    /// The directory of a stream.
    pub fn hls_of(&self, loc: Loc, protected: bool) -> PathBuf {
        self.hls().join(loc.stream_name(protected))
    }

    /// Where recordings lie, a directory a channel.
    pub fn recordings(&self) -> PathBuf {
        self.root.join("recordings")
    }

    /// The directory of a channel's recordings.
    pub fn recordings_of(&self, loc: Loc) -> PathBuf {
        self.recordings().join(loc.to_string())
    }

    /// The directory of a recording: one that everybody may read, or one that a URL cannot spell without a token.
    pub fn recording(&self, loc: Loc, id: StreamId, is_open: bool) -> PathBuf {
        self.recordings_of(loc).join(kept_name(id.0, is_open))
    }

    /// Where clips lie, a directory a channel.
    pub fn clips(&self) -> PathBuf {
        self.root.join("clips")
    }

    /// The directory of a channel's clips.
    pub fn clips_of(&self, loc: Loc) -> PathBuf {
        self.clips().join(loc.to_string())
    }

    /// The directory of a clip, as [`Files::recording`] for recordings.
    pub fn clip(&self, loc: Loc, id: ClipId, is_open: bool) -> PathBuf {
        self.clips_of(loc).join(kept_name(id.0, is_open))
    }

    /// Where covers lie, a directory a channel.
    pub fn covers(&self) -> PathBuf {
        self.root.join("covers")
    }

    /// The directory of a channel's covers.
    pub fn covers_of(&self, loc: Loc) -> PathBuf {
        self.covers().join(loc.to_string())
    }

    /// Where a clip is made.
    pub fn clip_aside(&self, loc: Loc, id: ClipId) -> PathBuf {
        self.clips_of(loc).join(format!("cut-{id}"))
    }

    /// Where the segments of a recording in work lie.
    pub fn parts_of(&self, recording: &Recording) -> PathBuf {
        self.recording(recording.stream.loc, recording.stream.id, false).join("parts")
    }

    /// Where pictures lie.
    pub fn thumbnails(&self) -> PathBuf {
        self.root.join("thumb")
    }

    /// Makes the directories.
    ///
    /// # Errors
    /// When that is not permitted.
    pub async fn make(&self) -> std::io::Result<()> {
        fs::create_dir_all(self.hls()).await?;
        fs::create_dir_all(self.recordings()).await?;
        fs::create_dir_all(self.clips()).await?;
        fs::create_dir_all(self.covers()).await?;
        fs::create_dir_all(self.thumbnails()).await
    }
}

/// The name of the directory of a recording or a clip within its channel's.
pub fn kept_name(id: Uuid, is_open: bool) -> String {
    if is_open { id.to_string() } else { format!("p-{id}") }
}

/// The names in a directory; none when it is not there.
pub(super) async fn names(directory: &Path) -> std::io::Result<Vec<String>> {
    let mut entries = match fs::read_dir(directory).await {
        Ok(entries) => entries,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(error),
    };
    let mut names = Vec::new();
    while let Some(entry) = entries.next_entry().await? {
        names.extend(entry.file_name().into_string().ok());
    }
    Ok(names)
}

/// Removes a file that need not be there.
pub(super) async fn remove(path: &Path) -> std::io::Result<()> {
    match fs::remove_file(path).await {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

/// Writes a file aside and puts it into its place, so that nobody is given half of it.
pub(super) async fn replace(directory: &Path, name: &str, text: &str) -> std::io::Result<()> {
    let aside = directory.join(format!("{name}.new"));
    fs::write(&aside, text).await?;
    fs::rename(aside, directory.join(name)).await
}

/// Ends playlists and removes what is left of streams that are off the air.
pub struct Janitor {
    files: Files,
    presence: Presence,
    clock: Clock,
    catch_up: CatchUp,
    health: Health,
    thinner: Thinner,
    /// Since when each directory was seen to belong to nothing on the air.
    idle: std::collections::HashMap<PathBuf, Duration>,
}

impl Janitor {
    /// A janitor of `files`, in which one can go back as far as `window`; `presence` knows what is on the air, and
    /// `health` is told what is sent.
    pub fn new(files: Files, presence: Presence, health: Health, clock: Clock, window: Duration) -> Self {
        let (catch_up, thinner) = (CatchUp::new(window), Thinner::new(clock.clone(), window));
        Self { files, presence, clock, catch_up, health, thinner, idle: std::collections::HashMap::new() }
    }

    /// Works until `stop`; what is recorded is collected by `recorder` before it goes.
    ///
    /// # Errors
    /// Never: what fails is logged and tried again.
    pub async fn run(mut self, mut recorder: Recorder, stop: CancellationToken) -> Result<(), Failure> {
        let mut pace = Pace::new(ROUND, stop);
        while pace.beat().await {
            let uncollected = recorder.collect().await;
            if let Err(error) = self.work(&uncollected).await {
                tracing::warn!(%error, "the media directory cannot be tidied");
            }
        }
        Ok(())
    }

    /// One round. What cannot be tidied, on a disk that is full for instance, is logged and keeps nothing else from
    /// going.
    ///
    /// # Errors
    /// When a directory cannot be read.
    pub async fn work(&mut self, uncollected: &Uncollected) -> std::io::Result<()> {
        let now = self.clock.elapsed();
        let mut seen = HashSet::new();
        let mut streams = fs::read_dir(self.files.hls()).await?;
        while let Some(stream) = streams.next_entry().await? {
            let directory = stream.path();
            let Some((loc, _)) = stream_of(&directory) else { continue };
            if self.presence.is_on_the_air(loc) {
                if !uncollected.is_in(&directory) && self.is_superseded(&directory, loc).await {
                    noted(&directory, fs::remove_dir_all(&directory).await);
                } else {
                    noted(&directory, self.follow(&directory, loc).await);
                    let is_recorded = uncollected.is_in(&directory);
                    noted(&directory, self.thinner.thin_out(&directory, is_recorded).await);
                }
                continue;
            }
            noted(&directory, end_playlists(&directory).await);
            let since = *self.idle.entry(directory.clone()).or_insert(now);
            if now - since >= AFTERGLOW && !uncollected.is_in(&directory) {
                noted(&directory, fs::remove_dir_all(&directory).await);
            } else {
                seen.insert(directory);
            }
        }
        self.idle.retain(|directory, _| seen.contains(directory));
        let is_on_the_air =
            |directory: &Path| stream_of(directory).is_some_and(|(loc, _)| self.presence.is_on_the_air(loc));
        self.catch_up.retain(is_on_the_air);
        self.thinner.retain(is_on_the_air);
        self.health.retain(|loc| self.presence.is_on_the_air(loc));
        let mut pictures = fs::read_dir(self.files.thumbnails()).await?;
        while let Some(picture) = pictures.next_entry().await? {
            let picture = picture.path();
            let Some((loc, protected)) = stream_of(&picture) else { continue };
            let directory = self.files.hls_of(loc, protected);
            if !self.presence.is_on_the_air(loc) || self.is_superseded(&directory, loc).await {
                noted(&picture, fs::remove_file(&picture).await);
            }
        }
        Ok(())
    }

    /// What follows from the segments that nginx has written since the last round.
    async fn follow(&mut self, directory: &Path, loc: Loc) -> std::io::Result<()> {
        let playlist = playlist::read(directory).await?;
        let Some((stream, ..)) = self.presence.counts(loc) else { return Ok(()) };
        self.catch_up.write(directory, stream, &playlist).await?;
        self.health.follow(loc, directory, catch_up::begun(stream), &playlist).await
    }

    /// Whether a directory is left from a stream before the present one, which lies in the channel's other
    /// directory: one of them was protected and the other was not.
    async fn is_superseded(&self, directory: &Path, loc: Loc) -> bool {
        let [public, protected] = [false, true].map(|protected| self.files.hls_of(loc, protected));
        let other = if directory == public { protected } else { public };
        match (written(&other).await, written(directory).await) {
            (Some(other), Some(this)) => other > this,
            (Some(_), None) => true,
            _ => false,
        }
    }
}

/// When nginx last wrote a directory's playlist.
async fn written(directory: &Path) -> Option<std::time::SystemTime> {
    fs::metadata(directory.join("index.m3u8")).await.ok()?.modified().ok()
}

/// Ends all playlists of a stream that list segments.
async fn end_playlists(directory: &Path) -> std::io::Result<()> {
    let lists = |name: &&String| name.ends_with(".m3u8") && *name != renditions::MASTER;
    for playlist in names(directory).await?.iter().filter(lists) {
        end_playlist(&directory.join(playlist)).await?;
    }
    Ok(())
}

/// Says in a playlist that nothing will follow. nginx writes a playlist anew when its stream comes back.
async fn end_playlist(playlist: &Path) -> std::io::Result<()> {
    let Ok(written) = fs::read(playlist).await else { return Ok(()) };
    if written.is_empty() || written.ends_with(END) {
        return Ok(());
    }
    let mut file = fs::OpenOptions::new().append(true).open(playlist).await?;
    file.write_all(END).await?;
    file.flush().await
}

/// The channel that a directory or file belongs to, and whether to a protected stream of it: `LOC`, `p-LOC`, `LOC.png`,
/// `p-LOC.gif.new` and so on.
fn stream_of(path: &Path) -> Option<(Loc, bool)> {
    let name = path.file_name().and_then(OsStr::to_str)?;
    let stem = name.split('.').next()?;
    let loc = stem.strip_prefix("p-").unwrap_or(stem).parse().map(Loc).ok()?;
    Some((loc, stem.starts_with("p-")))
}

/// Logs that something could not be tidied; that it is gone already is no trouble.
fn noted(path: &Path, tidied: std::io::Result<()>) {
    if let Err(error) = tidied
        && error.kind() != std::io::ErrorKind::NotFound
    {
        tracing::warn!(path = %path.display(), %error, "this cannot be tidied");
    }
}

#[cfg(test)]
mod tests {
    use std::fs::File;
    use std::time::SystemTime;

    use chrono::DateTime;

    use super::*;
    use crate::store::{Airing, ChannelId, Counts, StreamId};

    const WINDOW: Duration = Duration::from_secs(300);

    fn airing(loc: Loc) -> Airing {
        Airing { stream: StreamId(Uuid::nil()), channel: ChannelId(Uuid::nil()), loc, protected: false }
    }

    #[tokio::test]
    async fn an_ended_streams_playlist_says_so_and_its_files_go_away() {
        let dir = tempfile::tempdir().unwrap();
        let files = Files::new(dir.path().to_owned());
        files.make().await.unwrap();
        let clock = Clock::manual(DateTime::UNIX_EPOCH);
        let presence = Presence::new(clock.clone(), Duration::from_secs(12));
        let (ended, live) = (Loc(Uuid::from_u128(1)), Loc(Uuid::from_u128(2)));
        presence.open(airing(live), Counts::default());
        for loc in [ended, live] {
            fs::create_dir_all(files.hls_of(loc, false)).await.unwrap();
            fs::write(files.hls_of(loc, false).join("index.m3u8"), "#EXTM3U\n").await.unwrap();
            fs::write(files.thumbnails().join(format!("{loc}.png")), "").await.unwrap();
        }
        let playlist =
            async |loc| fs::read_to_string(files.hls_of(loc, false).join("index.m3u8")).await.unwrap();
        let mut janitor =
            Janitor::new(files.clone(), presence, Health::new(clock.clone()), clock.clone(), WINDOW);
        janitor.work(&Uncollected::none()).await.unwrap();
        janitor.work(&Uncollected::none()).await.unwrap();
        assert_eq!(playlist(ended).await, "#EXTM3U\n#EXT-X-ENDLIST\n");
        assert_eq!(playlist(live).await, "#EXTM3U\n");
        assert!(!files.thumbnails().join(format!("{ended}.png")).exists());
        assert!(files.thumbnails().join(format!("{live}.png")).exists());
        clock.advance(AFTERGLOW);
        janitor.work(&Uncollected::none()).await.unwrap();
        assert!(!files.hls_of(ended, false).exists());
        assert!(files.hls_of(live, false).exists());
    }

    #[tokio::test]
    async fn what_cannot_be_tidied_keeps_nothing_else_from_going() {
        let dir = tempfile::tempdir().unwrap();
        let files = Files::new(dir.path().to_owned());
        files.make().await.unwrap();
        let clock = Clock::manual(DateTime::UNIX_EPOCH);
        let presence = Presence::new(clock.clone(), Duration::from_secs(12));
        let (stuck, ended) = (Loc(Uuid::from_u128(1)), Loc(Uuid::from_u128(2)));
        fs::write(files.hls_of(stuck, false), "no directory").await.unwrap();
        fs::create_dir_all(files.hls_of(ended, false)).await.unwrap();
        let picture = files.thumbnails().join(format!("{ended}.png"));
        let mut janitor =
            Janitor::new(files.clone(), presence, Health::new(clock.clone()), clock.clone(), WINDOW);
        janitor.work(&Uncollected::none()).await.unwrap();
        clock.advance(AFTERGLOW);
        fs::write(&picture, "").await.unwrap();
        janitor.work(&Uncollected::none()).await.unwrap();
        assert!(!files.hls_of(ended, false).exists() && !picture.exists());
    }

    #[tokio::test]
    async fn what_was_public_goes_as_soon_as_a_protected_stream_is_written() {
        let dir = tempfile::tempdir().unwrap();
        let files = Files::new(dir.path().to_owned());
        files.make().await.unwrap();
        let clock = Clock::manual(DateTime::UNIX_EPOCH);
        let presence = Presence::new(clock.clone(), Duration::from_secs(12));
        let loc = Loc(Uuid::from_u128(1));
        presence.open(airing(loc), Counts::default());
        let write = |protected, seconds| {
            let directory = files.hls_of(loc, protected);
            std::fs::create_dir_all(&directory).unwrap();
            let playlist = File::create(directory.join("index.m3u8")).unwrap();
            playlist.set_modified(SystemTime::UNIX_EPOCH + Duration::from_secs(seconds)).unwrap();
        };
        let picture = files.thumbnails().join(format!("{loc}.png"));
        fs::write(&picture, "").await.unwrap();
        let mut janitor = Janitor::new(files.clone(), presence, Health::new(clock.clone()), clock, WINDOW);
        write(false, 1);
        janitor.work(&Uncollected::none()).await.unwrap();
        assert!(files.hls_of(loc, false).exists() && picture.exists());
        write(true, 2);
        janitor.work(&Uncollected::none()).await.unwrap();
        janitor.work(&Uncollected::none()).await.unwrap();
        assert!(!files.hls_of(loc, false).exists() && !picture.exists());
        assert!(files.hls_of(loc, true).exists());
    }
}
