//! The parts of a recording, and the one file that they become. All of this waits for the disk: it is for threads that may.

use std::fmt::Write as _;
use std::fs::{self, File};
use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};

use super::{JOINED, PLAYLIST};
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
        for segment in in_order(directory)? {
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

    /// Writes all of them into one file in `into`, and the playlist that finds each of them in it.
    pub(super) fn join(&self, into: &Path) -> io::Result<()> {
        let aside = into.join(format!("{JOINED}.new"));
        let mut file = File::create(&aside)?;
        let (mut place, mut longest) = (0, 1.0_f64);
        let mut entries = String::new();
        for segment in &self.segments {
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
        fs::write(into.join(PLAYLIST), text)
    }
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
        found.join(dir.path()).unwrap();
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
}
