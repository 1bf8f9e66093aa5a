//! The longer playlist beside the live one: whoever comes late, or was away, goes back as far as the window. nginx lists
//! half a minute, which is all that those at the live edge need to load again each second.
//!
//! nginx goes on in the directory of the stream before, if that ended a moment ago. Nobody goes back into that one:
//! its broadcast is over, maybe because a moderator said so. Whose the longer playlist is stands in it.

use std::collections::VecDeque;
use std::collections::hash_map::{Entry, HashMap};
use std::fmt::Write as _;
use std::io::{ErrorKind, Result};
use std::path::{Path, PathBuf};
use std::time::Duration;

use tokio::fs;

use super::files::{remove, replace};
use super::playlist::{self, Playlist, Segment};
use crate::store::StreamId;

/// The name of the longer playlist, beside nginx's.
pub(super) const PLAYLIST: &str = "dvr.m3u8";
/// How long a segment of which nginx says nothing any more is taken for, when the next was not begun right behind it.
const USUAL: f64 = 1.0;

/// What is listed of each stream on the air.
pub(super) struct CatchUp {
    window: Duration,
    histories: HashMap<PathBuf, History>,
}

/// A stream's segments one behind the other, and the number of the first: nginx numbers them, and so players know them
/// again.
struct History {
    stream: StreamId,
    first: i64,
    segments: VecDeque<Segment>,
}

impl CatchUp {
    pub(super) fn new(window: Duration) -> Self {
        Self { window, histories: HashMap::new() }
    }

    /// Writes the longer playlist of the `stream` in `directory` anew if nginx's has grown.
    pub(super) async fn write(
        &mut self,
        directory: &Path,
        stream: StreamId,
        playlist: &Playlist,
    ) -> Result<()> {
        if self.window.is_zero() || playlist.segments.is_empty() {
            return Ok(());
        }
        let history = match self.histories.entry(directory.to_owned()) {
            Entry::Occupied(known) if known.get().stream == stream => known.into_mut(),
            unknown => unknown.insert_entry(History::found(directory, stream).await?).into_mut(),
        };
        let before = history.next();
        // Behind one that is the stream's own all are, however the clock was set since.
        let (sequence, listed) = match history.segments.is_empty() {
            true => playlist.since(begun(stream)),
            false => (playlist.sequence, &playlist.segments[..]),
        };
        if listed.is_empty() {
            return Ok(());
        }
        let goes_on = (sequence..=sequence + listed.len() as i64).contains(&before);
        if history.segments.is_empty() || !goes_on {
            // We were away: what nginx lists no longer still lies there. Or nginx was, and numbers anew.
            *history = History::of_files(directory, stream, sequence, listed).await?;
        }
        history.follow(sequence, listed);
        if history.next() == before {
            return Ok(());
        }
        history.forget(self.window.as_secs_f64());
        replace(directory, PLAYLIST, &history.text()).await
    }

    /// Forgets all streams but those in these directories.
    pub(super) fn retain(&mut self, is_on_the_air: impl Fn(&Path) -> bool) {
        self.histories.retain(|directory, _| is_on_the_air(directory));
    }
}

/// What can be gone back to of the `stream` in `directory`; nothing as long as that is the stream before it.
pub(super) async fn listed(directory: &Path, stream: StreamId) -> Result<Playlist> {
    match fs::read_to_string(directory.join(PLAYLIST)).await {
        Ok(text) if text.contains(&name_tag(stream)) => Ok(Playlist::of(&text)),
        Ok(_) => Ok(Playlist::default()),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(Playlist::default()),
        Err(error) => Err(error),
    }
}

/// The line of a playlist that says whose it is; a comment to players.
fn name_tag(stream: StreamId) -> String {
    format!("# stream {stream}\n")
}

/// When a stream began, in milliseconds since 1970: its id was made then.
pub(super) fn begun(stream: StreamId) -> i64 {
    let (seconds, nanoseconds) = stream.0.get_timestamp().map(|at| at.to_unix()).unwrap_or_default();
    seconds as i64 * 1000 + i64::from(nanoseconds / 1_000_000)
}

impl History {
    /// What was listed of a stream before we were started. The list of another stream goes.
    async fn found(directory: &Path, stream: StreamId) -> Result<Self> {
        let Playlist { sequence, segments } = listed(directory, stream).await?;
        if segments.is_empty() {
            remove(&directory.join(PLAYLIST)).await?;
        }
        Ok(Self { stream, first: sequence, segments: segments.into() })
    }

    /// The number of the segment that comes next.
    fn next(&self) -> i64 {
        self.first + self.segments.len() as i64
    }

    /// What lies in a directory of a stream and is older than what is listed, which begins with that number.
    async fn of_files(directory: &Path, stream: StreamId, sequence: i64, listed: &[Segment]) -> Result<Self> {
        let Some(end) = listed.first().and_then(Segment::begun) else {
            return Ok(Self { stream, first: sequence, segments: VecDeque::new() });
        };
        let wanted = begun(stream)..end;
        let mut begun = Vec::new();
        let mut files = fs::read_dir(directory).await?;
        while let Some(file) = files.next_entry().await? {
            begun
                .extend(file.file_name().to_str().and_then(playlist::begun).filter(|at| wanted.contains(at)));
        }
        begun.sort_unstable();
        let mut segments = VecDeque::new();
        for (place, at) in begun.iter().enumerate() {
            let next = begun.get(place + 1).copied().unwrap_or(end);
            let lasted = (next - at) as f64 / 1000.0;
            // What was begun so much later does not go on where this one ended.
            let seconds = if lasted < 15.0 { lasted } else { USUAL };
            let breaks = place.checked_sub(1).is_some_and(|last| at - begun[last] >= 15_000);
            segments.push_back(Segment { name: format!("{at}.ts"), seconds, breaks });
        }
        // For what was there before nginx numbered anew there are no numbers.
        let unnumbered = segments.len().saturating_sub(usize::try_from(sequence).unwrap_or_default());
        segments.drain(..unnumbered);
        Ok(Self { stream, first: sequence - segments.len() as i64, segments })
    }

    /// Takes in what is listed from that number on.
    fn follow(&mut self, sequence: i64, listed: &[Segment]) {
        if self.segments.is_empty() {
            self.first = sequence;
        }
        let known = usize::try_from(self.next() - sequence).unwrap_or_default();
        self.segments.extend(listed.iter().skip(known).cloned());
    }

    /// Lets go of what is older than the window.
    fn forget(&mut self, window: f64) {
        let mut total: f64 = self.segments.iter().map(|segment| segment.seconds).sum();
        while total > window && self.segments.len() > 1 {
            total -= self.segments.pop_front().map_or(0.0, |segment| segment.seconds);
            self.first += 1;
        }
    }

    fn text(&self) -> String {
        let longest = self.segments.iter().map(|segment| segment.seconds).fold(1.0, f64::max).ceil();
        let (first, name_tag) = (self.first, name_tag(self.stream));
        let mut text = format!(
            "#EXTM3U\n{name_tag}#EXT-X-VERSION:3\n#EXT-X-TARGETDURATION:{longest}\n#EXT-X-MEDIA-SEQUENCE:{first}\n"
        );
        for Segment { name, seconds, breaks } in &self.segments {
            let breaks = if *breaks { "#EXT-X-DISCONTINUITY\n" } else { "" };
            let _ = write!(text, "{breaks}#EXTINF:{seconds:.3},\n{name}\n");
        }
        text
    }
}

#[cfg(test)]
mod tests {
    use chrono::{DateTime, TimeDelta};

    use super::*;
    use crate::ambient::Chance;

    struct Stage {
        dir: tempfile::TempDir,
        stream: StreamId,
        written: Vec<i64>,
    }

    /// A stream that began then.
    fn stream(begun: i64) -> StreamId {
        StreamId(Chance::seeded(1).id(DateTime::UNIX_EPOCH + TimeDelta::milliseconds(begun)))
    }

    impl Stage {
        fn new() -> Self {
            Self { dir: tempfile::tempdir().unwrap(), stream: stream(1000), written: Vec::new() }
        }

        /// nginx writes a segment of a second, and lists the last three.
        fn write(&mut self, begun: i64) {
            std::fs::write(self.dir.path().join(format!("{begun}.ts")), "").unwrap();
            self.written.push(begun);
            let first = self.written.len().saturating_sub(3);
            let mut text = format!("#EXTM3U\n#EXT-X-MEDIA-SEQUENCE:{first}\n");
            for begun in &self.written[first..] {
                text.push_str(&format!("#EXTINF:1.000,\n{begun}.ts\n"));
            }
            std::fs::write(self.dir.path().join("index.m3u8"), text).unwrap();
        }

        async fn look(&self, catch_up: &mut CatchUp) {
            let playlist = playlist::read(self.dir.path()).await.unwrap();
            catch_up.write(self.dir.path(), self.stream, &playlist).await.unwrap();
        }

        /// The number of the first that can be gone back to, and all of them.
        fn listed(&self) -> (i64, Vec<i64>) {
            let text = std::fs::read_to_string(self.dir.path().join(PLAYLIST)).unwrap();
            let segments = playlist::segments(&text);
            (playlist::sequence(&text), segments.iter().filter_map(Segment::begun).collect())
        }
    }

    #[tokio::test]
    async fn one_goes_back_as_far_as_the_window_and_no_farther() {
        let mut stage = Stage::new();
        let mut catch_up = CatchUp::new(Duration::from_secs(5));
        stage.look(&mut catch_up).await;
        assert!(!stage.dir.path().join(PLAYLIST).exists(), "nothing was sent yet");
        for begun in 1..=4 {
            stage.write(begun * 1000);
            stage.look(&mut catch_up).await;
        }
        assert_eq!(stage.listed(), (0, vec![1000, 2000, 3000, 4000]));
        for begun in 5..=8 {
            stage.write(begun * 1000);
        }
        stage.look(&mut catch_up).await;
        assert_eq!(
            stage.listed(),
            (3, vec![4000, 5000, 6000, 7000, 8000]),
            "the one that was missed as well"
        );
    }

    #[tokio::test]
    async fn after_a_restart_it_goes_on_with_the_same_numbers() {
        let mut stage = Stage::new();
        let mut catch_up = CatchUp::new(Duration::from_secs(60));
        for begun in 1..=5 {
            stage.write(begun * 1000);
            stage.look(&mut catch_up).await;
        }
        let before = stage.listed();
        stage.write(6000);
        stage.look(&mut CatchUp::new(Duration::from_secs(60))).await;
        assert_eq!(stage.listed(), (before.0, [before.1, vec![6000]].concat()));
    }

    #[tokio::test]
    async fn nobody_goes_back_into_the_broadcast_before() {
        let mut stage = Stage::new();
        let mut catch_up = CatchUp::new(Duration::from_secs(60));
        for begun in 1..=4 {
            stage.write(begun * 1000);
        }
        stage.look(&mut catch_up).await;
        let before = stage.stream;
        stage.stream = stream(4500);
        assert_eq!(listed(stage.dir.path(), before).await.unwrap().segments.len(), 4);
        assert_eq!(listed(stage.dir.path(), stage.stream).await.unwrap(), Playlist::default());
        stage.look(&mut catch_up).await;
        assert!(
            !stage.dir.path().join(PLAYLIST).exists(),
            "nothing of it has arrived, and the other is over"
        );
        for begun in [5, 6] {
            stage.write(begun * 1000);
            stage.look(&mut catch_up).await;
        }
        assert_eq!(stage.listed(), (4, vec![5000, 6000]));
        for begun in 7..=9 {
            stage.write(begun * 1000);
        }
        // What was written before a start says the same as what lies there.
        stage.look(&mut CatchUp::new(Duration::from_secs(60))).await;
        let own = (4, vec![5000, 6000, 7000, 8000, 9000]);
        assert_eq!(stage.listed(), own);
        std::fs::remove_file(stage.dir.path().join(PLAYLIST)).unwrap();
        stage.look(&mut CatchUp::new(Duration::from_secs(60))).await;
        assert_eq!(stage.listed(), own);
    }

    #[tokio::test]
    async fn a_stream_that_comes_back_or_whose_clock_is_set_back_stays_listed_from_its_beginning() {
        let mut stage = Stage::new();
        stage.stream = stream(5_000_000);
        let mut catch_up = CatchUp::new(Duration::from_secs(60));
        for begun in [5_000_000, 5_020_000, 1_400_000] {
            stage.write(begun);
            stage.look(&mut catch_up).await;
        }
        for begun in 1_401..=1_403 {
            stage.write(begun * 1000);
        }
        stage.look(&mut CatchUp::new(Duration::from_secs(60))).await;
        let all = vec![5_000_000, 5_020_000, 1_400_000, 1_401_000, 1_402_000, 1_403_000];
        assert_eq!(stage.listed(), (0, all));
    }

    #[tokio::test]
    async fn numbers_that_begin_anew_begin_a_new_list() {
        let mut stage = Stage::new();
        let mut catch_up = CatchUp::new(Duration::from_secs(60));
        for begun in 1..=5 {
            stage.write(begun * 1000);
        }
        stage.look(&mut catch_up).await;
        stage.written.clear();
        stage.write(6000);
        stage.look(&mut catch_up).await;
        assert_eq!(stage.listed(), (0, vec![6000]));
    }

    #[tokio::test]
    async fn without_a_window_there_is_none() {
        let mut stage = Stage::new();
        stage.write(1000);
        stage.look(&mut CatchUp::new(Duration::ZERO)).await;
        assert!(!stage.dir.path().join(PLAYLIST).exists());
    }
}
