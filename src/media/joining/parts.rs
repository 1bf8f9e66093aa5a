//! The parts of a recording, and the one file that they become. All of this waits for the disk: it is for threads that may.

use std::collections::HashSet;
use std::fmt::Write as _;
use std::fs::{self, File};
use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};

use tokio_util::sync::CancellationToken;

use super::{JOINED, PLAYLIST};
use crate::media::ffmpeg::Run;
use crate::media::playlist::{self, Segment};
use crate::media::recorder::LIST;

/// The parts of a recording that hold something, in the order in which they were kept.
pub(super) struct Parts {
    directory: PathBuf,
    segments: Vec<Segment>,
    bytes: u64,
}

impl Parts {
    /// Those in `directory`; none when it is not there.
    pub(super) fn in_order(directory: &Path) -> io::Result<Self> {
        let (mut segments, mut bytes) = (Vec::new(), 0);
        for segment in listed(directory)? {
            let length = fs::metadata(directory.join(&segment.name))?.len();
            if length > 0 {
                segments.push(segment);
                bytes += length;
            }
        }
        Ok(Self { directory: directory.to_owned(), segments, bytes })
    }

    pub(super) fn are_none(&self) -> bool {
        self.segments.is_empty()
    }

    /// How long they are together.
    pub(super) fn bytes(&self) -> u64 {
        self.bytes
    }

    /// Writes all of them into one file in `into`, and the playlist that finds each of them in it. At a stop it is left as it
    /// is: nothing else could end the thread.
    pub(super) fn join(&self, into: &Path, stop: &CancellationToken) -> io::Result<Run> {
        let aside = into.join(format!("{JOINED}.new"));
        let mut file = File::create(&aside)?;
        let (mut place, mut longest) = (0, 1.0_f64);
        let mut entries = String::new();
        for segment in &self.segments {
            if stop.is_cancelled() {
                return Ok(Run::Stopped);
            }
            let length = io::copy(&mut File::open(self.directory.join(&segment.name))?, &mut file)?;
            if segment.breaks && place > 0 {
                entries.push_str("#EXT-X-DISCONTINUITY\n");
            }
            let seconds = segment.seconds;
            let _ = write!(entries, "#EXTINF:{seconds:.3},\n#EXT-X-BYTERANGE:{length}@{place}\n{JOINED}\n");
            longest = longest.max(seconds);
            place += length;
        }
        file.sync_all()?;
        fs::rename(aside, into.join(JOINED))?;
        let head = "#EXTM3U\n#EXT-X-VERSION:4\n#EXT-X-PLAYLIST-TYPE:VOD\n#EXT-X-MEDIA-SEQUENCE:0\n";
        let longest = longest.ceil();
        let text = format!("{head}#EXT-X-TARGETDURATION:{longest}\n{entries}#EXT-X-ENDLIST\n");
        fs::write(into.join(PLAYLIST), text)?;
        Ok(Run::Made)
    }
}

/// The parts in the order in which they were kept, with what was noted of each.
fn listed(parts: &Path) -> io::Result<Vec<Segment>> {
    let list = match fs::read_to_string(parts.join(LIST)) {
        Ok(list) => list,
        Err(error) if error.kind() == ErrorKind::NotFound => String::new(),
        Err(error) => return Err(error),
    };
    let there = match fs::read_dir(parts) {
        Ok(entries) => entries.filter_map(|entry| entry.ok()?.file_name().into_string().ok()).collect(),
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(error),
    };
    Ok(in_order(playlist::segments(&list), there))
}

/// What is `there` of what was noted, as it was, and what was not noted behind the last that was begun before it; of that the
/// length is taken from when the next was begun. A day has a hundred thousand.
fn in_order(mut noted: Vec<Segment>, mut there: HashSet<String>) -> Vec<Segment> {
    noted.retain(|segment| there.remove(&segment.name));
    let unnoted = there.into_iter().map(|name| Segment { name, seconds: 0.0, breaks: false });
    let mut unnoted: Vec<Segment> = unnoted.filter(|segment| segment.begun().is_some()).collect();
    unnoted.sort_by_key(Segment::begun);
    // Of each, when the first was begun of those from there on: the clock may have been set back.
    let mut first = noted.iter().map(Segment::begun).collect::<Vec<_>>();
    for place in (1..first.len()).rev() {
        first[place - 1] = first[place - 1].min(first[place]);
    }
    let mut segments = Vec::with_capacity(noted.len() + unnoted.len());
    let mut unnoted = unnoted.into_iter().peekable();
    for (segment, first) in noted.into_iter().zip(first) {
        while let Some(earlier) = unnoted.next_if(|it| it.begun() <= first) {
            segments.push(earlier);
        }
        segments.push(segment);
    }
    segments.extend(unnoted);
    for place in 0..segments.len() {
        if segments[place].seconds > 0.0 {
            continue;
        }
        let next = segments.get(place + 1).and_then(Segment::begun);
        let lasted = next.zip(segments[place].begun()).map(|(next, begun)| (next - begun) as f64 / 1000.0);
        segments[place].seconds = lasted.filter(|seconds| (0.1..60.0).contains(seconds)).unwrap_or(1.0);
    }
    segments
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
        let found = Parts::in_order(&parts).unwrap();
        assert_eq!(found.bytes(), 12);
        assert_eq!(found.join(dir.path(), &CancellationToken::new()).unwrap(), Run::Made);
        assert_eq!(fs::read_to_string(dir.path().join(JOINED)).unwrap(), "fiveonesixth");
        let expected = "#EXTM3U\n#EXT-X-VERSION:4\n#EXT-X-PLAYLIST-TYPE:VOD\n#EXT-X-MEDIA-SEQUENCE:0\n\
            #EXT-X-TARGETDURATION:2\n#EXTINF:1.500,\n#EXT-X-BYTERANGE:4@0\nvideo.ts\n#EXT-X-DISCONTINUITY\n\
            #EXTINF:2.000,\n#EXT-X-BYTERANGE:3@4\nvideo.ts\n#EXTINF:2.000,\n#EXT-X-BYTERANGE:5@7\nvideo.ts\n\
            #EXT-X-ENDLIST\n";
        assert_eq!(fs::read_to_string(dir.path().join(PLAYLIST)).unwrap(), expected);
    }

    #[test]
    fn of_nothing_there_are_no_parts() {
        let dir = tempfile::tempdir().unwrap();
        assert!(Parts::in_order(&dir.path().join("parts")).unwrap().are_none());
        fs::write(dir.path().join("1000.ts"), "").unwrap();
        assert!(Parts::in_order(dir.path()).unwrap().are_none());
    }

    #[test]
    fn a_stop_does_not_wait_for_what_is_still_to_be_joined() {
        let dir = tempfile::tempdir().unwrap();
        let part = dir.path().join("1000.ts");
        fs::write(&part, "one").unwrap();
        let (found, stop) = (Parts::in_order(dir.path()).unwrap(), CancellationToken::new());
        stop.cancel();
        assert_eq!(found.join(dir.path(), &stop).unwrap(), Run::Stopped);
        assert!(!dir.path().join(JOINED).exists() && !dir.path().join(PLAYLIST).exists());
        assert_eq!(fs::read_to_string(part).unwrap(), "one");
    }

    #[test]
    fn what_was_not_noted_comes_behind_the_last_that_was_begun_before_it() {
        let segment = |name: &str, seconds| Segment { name: name.to_owned(), seconds, breaks: false };
        let noted = ["5000", "8000", "1000", "2000", "2000", "1000"];
        let noted = noted.map(|begun| segment(&format!("{begun}.ts"), 2.0)).to_vec();
        let there = ["500", "1000", "1500", "2000", "5000", "6000", "6500", "8000", "list"];
        let there = there.map(|begun| format!("{begun}.ts")).into_iter().collect();
        let order: Vec<i64> = in_order(noted, there).iter().filter_map(Segment::begun).collect();
        assert_eq!(order, [500, 5000, 8000, 1000, 1500, 2000, 6000, 6500]);
    }

    #[test]
    fn a_day_of_parts_is_put_in_order_at_once() {
        let names = |from: i64| (from..from + 50_000).map(|second| format!("{}.ts", second * 1000));
        let noted = names(50_000).map(|name| Segment { name, seconds: 1.0, breaks: false }).collect();
        let clock = crate::ambient::Clock::system();
        assert_eq!(in_order(noted, names(0).chain(names(50_000)).collect()).len(), 100_000);
        // Ten seconds are a hundred times what it takes, and a fraction of what looking through all for each would.
        assert!(clock.elapsed().as_secs() < 10, "{:?}", clock.elapsed());
    }
}
