//! What lies beside the playlists of a stream on the air and is needed no more: segments that nobody plays, and what was
//! being made when we crashed.
//!
//! How old a file is cannot be told by the time of day alone: set forward, it would make all of them old at once, and set back,
//! the newest the oldest. So the time of day only says how long a file lies there at the most; besides, time goes on from one
//! file to the next, and nowhere by more than segments are apart.

use std::cmp::Reverse;
use std::collections::{HashMap, HashSet};
use std::ffi::OsStr;
use std::io::{ErrorKind, Result};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use tokio::fs;

use super::{noted, playlist};
use crate::ambient::Clock;

/// What nginx lists.
const LISTED: Duration = Duration::from_secs(30);
/// How long a segment stays after it is listed no longer, for those who are about to load it.
const GRACE: Duration = Duration::from_secs(90);
/// How long one stays that is to be recorded and could not be kept yet, on a disk that is full for instance.
const LAST_RESORT: Duration = Duration::from_secs(60 * 60);
/// How long it takes at the most to make a file, and much more.
const MADE: Duration = Duration::from_secs(60);
/// What was written so much later was not written right behind.
const APART: Duration = Duration::from_secs(15);

/// Thins out directories of streams on the air.
pub(super) struct Thinner {
    clock: Clock,
    /// How far one can go back.
    window: Duration,
    /// When the newest file of each was written, by the time of day, and when that was seen first.
    newest: HashMap<PathBuf, (SystemTime, Duration)>,
}

/// A file of which it matters how old it is.
struct Found {
    name: String,
    written: SystemTime,
    /// Whether it has a second name, in a recording.
    is_kept: bool,
}

impl Thinner {
    pub(super) fn new(clock: Clock, window: Duration) -> Self {
        Self { clock, window, newest: HashMap::new() }
    }

    /// Forgets all directories but those of streams on the air.
    pub(super) fn retain(&mut self, is_on_the_air: impl Fn(&Path) -> bool) {
        self.newest.retain(|directory, _| is_on_the_air(directory));
    }

    /// Removes what nobody needs any more, and nothing that a playlist lists. A segment that is to be recorded waits until it
    /// has its second name.
    pub(super) async fn thin_out(&mut self, directory: &Path, is_recorded: bool) -> Result<()> {
        let (mut found, playlists) = look(directory).await?;
        found.sort_unstable_by_key(|file| Reverse(file.written));
        let Some(newest) = found.first().map(|file| file.written) else { return Ok(()) };
        let (now, mut later) = (self.clock.elapsed(), newest);
        let seen = self.newest.entry(directory.to_owned()).or_insert((newest, now));
        if seen.0 != newest {
            *seen = (newest, now);
        }
        let mut age = now - seen.1;
        found.retain(|file| {
            age += later.duration_since(file.written).unwrap_or_default().min(APART);
            later = file.written;
            self.is_old(file, age.min(file.written.elapsed().unwrap_or_default()), is_recorded)
        });
        if found.is_empty() {
            return Ok(());
        }
        let listed = listed(&playlists).await?;
        for Found { name, .. } in found.iter().filter(|file| !listed.contains(&file.name)) {
            let path = directory.join(name);
            noted(&path, fs::remove_file(&path).await);
        }
        Ok(())
    }

    fn is_old(&self, file: &Found, age: Duration, is_recorded: bool) -> bool {
        if file.name.ends_with(".new") {
            return age > MADE;
        }
        // Other sizes are not gone back to, and not recorded.
        let is_source = playlist::begun(&file.name).is_some();
        let oldest = if is_source { self.window.max(LISTED) + GRACE } else { LISTED + GRACE };
        let is_kept = !is_recorded || !is_source || file.is_kept;
        age > oldest && (is_kept || age > oldest + LAST_RESORT)
    }
}

/// The segments in a directory with what is being made there, and its playlists.
async fn look(directory: &Path) -> Result<(Vec<Found>, Vec<PathBuf>)> {
    let (mut found, mut playlists) = (Vec::new(), Vec::new());
    let mut files = fs::read_dir(directory).await?;
    while let Some(file) = files.next_entry().await? {
        let path = file.path();
        match path.extension().and_then(OsStr::to_str) {
            Some("m3u8") => playlists.push(path),
            Some("ts" | "new") => {
                let Ok(name) = file.file_name().into_string() else { continue };
                let Ok(about) = file.metadata().await else { continue };
                found.push(Found { name, written: about.modified()?, is_kept: about.nlink() > 1 });
            }
            _ => {}
        }
    }
    Ok((found, playlists))
}

/// The files that are named in any of these.
async fn listed(playlists: &[PathBuf]) -> Result<HashSet<String>> {
    let mut listed = HashSet::new();
    for playlist in playlists {
        match fs::read_to_string(playlist).await {
            Ok(text) => listed.extend(text.lines().filter(|line| !line.starts_with('#')).map(str::to_owned)),
            Err(error) if error.kind() == ErrorKind::NotFound => {}
            Err(error) => return Err(error),
        }
    }
    Ok(listed)
}

#[cfg(test)]
mod tests {
    use std::fs::{self, File};

    use chrono::DateTime;

    use super::*;

    /// A directory in which something was written every 10 s; one can go back for 300.
    struct Stage {
        dir: tempfile::TempDir,
        clock: Clock,
        thinner: Thinner,
    }

    impl Stage {
        fn new() -> Self {
            let clock = Clock::manual(DateTime::UNIX_EPOCH);
            let thinner = Thinner::new(clock.clone(), Duration::from_secs(300));
            Self { dir: tempfile::tempdir().unwrap(), clock, thinner }
        }

        /// Writes a file so many seconds after the first; that was years ago.
        fn write(&self, name: &str, seconds: u64) {
            let file = File::create(self.dir.path().join(name)).unwrap();
            file.set_modified(SystemTime::UNIX_EPOCH + Duration::from_secs(seconds)).unwrap();
        }

        /// Segments are called by the second in which they were written.
        fn segments(&self, seconds: impl Iterator<Item = u64>) {
            seconds.for_each(|second| self.write(&format!("{second}.ts"), second));
        }

        fn list(&self, playlist: &str, names: &[&str]) {
            let lines = names.iter().map(|name| format!("#EXTINF:10.000,\n{name}\n"));
            fs::write(self.dir.path().join(playlist), lines.collect::<String>()).unwrap();
        }

        async fn thin_out(&mut self, is_recorded: bool) {
            self.thinner.thin_out(self.dir.path(), is_recorded).await.unwrap();
        }

        /// The first segments that are left.
        fn left(&self) -> Vec<i64> {
            let names = fs::read_dir(self.dir.path()).unwrap().flatten();
            let mut left: Vec<i64> =
                names.filter_map(|entry| playlist::begun(entry.file_name().to_str()?)).collect();
            left.sort_unstable();
            left.truncate(3);
            left
        }

        fn has(&self, name: &str) -> bool {
            self.dir.path().join(name).exists()
        }
    }

    #[tokio::test]
    async fn segments_go_once_nobody_goes_back_to_them_and_other_sizes_before() {
        let mut stage = Stage::new();
        stage.segments((0..=500).step_by(10));
        for second in [370, 380] {
            stage.write(&format!("720p-{second}.ts"), second);
        }
        stage.thin_out(false).await;
        assert_eq!(stage.left(), [110, 120, 130], "300 s and the grace");
        assert_eq!(["720p-370.ts", "720p-380.ts"].map(|name| stage.has(name)), [false, true]);
        stage.clock.advance(Duration::from_secs(11));
        stage.thin_out(false).await;
        assert_eq!(stage.left(), [130, 140, 150], "nothing more has come");
    }

    #[tokio::test]
    async fn a_clock_that_is_set_forward_makes_nothing_old() {
        let mut stage = Stage::new();
        stage.segments((0..=400).step_by(10));
        stage.thin_out(false).await;
        assert_eq!(stage.left(), [10, 20, 30]);
        stage.segments(std::iter::once(410 + 600));
        stage.thin_out(false).await;
        assert_eq!(stage.left(), [30, 40, 50]);
    }

    #[tokio::test]
    async fn a_clock_that_is_set_back_makes_nothing_old() {
        let mut stage = Stage::new();
        stage.write("1.ts", 0);
        File::create(stage.dir.path().join("2.ts")).unwrap();
        let now = fs::metadata(stage.dir.path().join("2.ts")).unwrap().modified().unwrap();
        for ahead in (0..=600).step_by(10) {
            let file = File::create(stage.dir.path().join(format!("{}.ts", 3 + ahead))).unwrap();
            file.set_modified(now + Duration::from_secs(ahead)).unwrap();
        }
        stage.thin_out(false).await;
        assert_eq!(stage.left(), [2, 3, 13], "nginx is still writing the second");
    }

    #[tokio::test]
    async fn what_a_playlist_lists_stays_however_old_it_is() {
        let mut stage = Stage::new();
        stage.segments((0..=500).step_by(10));
        stage.write("720p-10.ts", 10);
        stage.write("720p-20.ts", 20);
        stage.list("index.m3u8", &["0.ts", "500.ts"]);
        stage.list("dvr.m3u8", &["20.ts"]);
        stage.list("720p.m3u8", &["720p-10.ts", "40.ts"]);
        stage.thin_out(false).await;
        assert_eq!(stage.left(), [0, 20, 40]);
        assert!(stage.has("720p-10.ts") && !stage.has("720p-20.ts"));
    }

    #[tokio::test]
    async fn what_was_being_made_when_we_crashed_goes_after_a_minute() {
        let mut stage = Stage::new();
        stage.segments((0..=100).step_by(10));
        stage.write("720p-30.ts.new", 39);
        stage.write("dvr.m3u8.new", 39);
        stage.write("720p-40.ts.new", 40);
        stage.thin_out(false).await;
        let left = ["720p-30.ts.new", "dvr.m3u8.new", "720p-40.ts.new"].map(|name| stage.has(name));
        assert_eq!(left, [false, false, true]);
    }

    #[tokio::test]
    async fn what_is_to_be_recorded_waits_for_its_second_name() {
        let mut stage = Stage::new();
        stage.segments((0..=500).step_by(10));
        fs::hard_link(stage.dir.path().join("0.ts"), stage.dir.path().join("kept")).unwrap();
        stage.thin_out(true).await;
        assert_eq!(stage.left(), [10, 20, 30]);
        stage.segments((510..=4010).step_by(10));
        stage.thin_out(true).await;
        assert_eq!(stage.left(), [20, 30, 40], "an hour is the longest");
    }
}
