//! nginx's playlists, as far as we read them: which segments, how long each is, and where the picture breaks off.

use std::io::ErrorKind;
use std::path::Path;

/// A segment that a playlist lists.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Segment {
    /// The name of its file, beside the playlist.
    pub(super) name: String,
    /// How long it is.
    pub(super) seconds: f64,
    /// Whether it does not go on where the one before it ended.
    pub(super) breaks: bool,
}

impl Segment {
    /// When it was begun by nginx's clock, in milliseconds since 1970: that is its name.
    pub(super) fn begun(&self) -> Option<i64> {
        begun(&self.name)
    }
}

/// When the segment in that file was begun; None for a file that is no segment.
pub(super) fn begun(name: &str) -> Option<i64> {
    name.strip_suffix(".ts")?.parse().ok()
}

/// A playlist of nginx's as it was at a moment.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Playlist {
    /// The number of the first segment that is listed.
    pub(super) sequence: i64,
    /// The segments, in order.
    pub(super) segments: Vec<Segment>,
}

impl Playlist {
    /// What a playlist says.
    pub(super) fn of(text: &str) -> Self {
        Self { sequence: sequence(text), segments: segments(text) }
    }

    /// What of it is a stream's that began then, in milliseconds since 1970, with the number of the first: nginx goes on in
    /// the playlist of the stream before. Behind its first segment all are its own, however the clock was set since.
    pub(super) fn since(&self, start: i64) -> (i64, &[Segment]) {
        let before = self.segments.iter().take_while(|segment| segment.begun() < Some(start)).count();
        (self.sequence + before as i64, &self.segments[before..])
    }
}

/// The playlist of the stream in that directory; an empty one while there is none.
pub(super) async fn read(directory: &Path) -> std::io::Result<Playlist> {
    match tokio::fs::read_to_string(directory.join("index.m3u8")).await {
        Ok(text) => Ok(Playlist::of(&text)),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(Playlist::default()),
        Err(error) => Err(error),
    }
}

/// Whether there is a playlist in that directory that will go on: one with a segment, and without an end.
pub(super) async fn grows(directory: &Path) -> bool {
    let text = tokio::fs::read_to_string(directory.join("index.m3u8")).await.unwrap_or_default();
    !segments(&text).is_empty() && !text.contains("#EXT-X-ENDLIST")
}

/// The number of the first segment that is listed.
pub(super) fn sequence(playlist: &str) -> i64 {
    let said = playlist.lines().find_map(|line| line.strip_prefix("#EXT-X-MEDIA-SEQUENCE:"));
    said.and_then(|number| number.trim().parse().ok()).unwrap_or_default()
}

/// The segments that are listed, in order. What is no segment's name is left out.
pub(super) fn segments(playlist: &str) -> Vec<Segment> {
    let (mut segments, mut seconds, mut breaks) = (Vec::new(), 0.0, false);
    for line in playlist.lines() {
        if let Some(said) = line.strip_prefix("#EXTINF:") {
            seconds = said.split(',').next().and_then(|text| text.parse().ok()).unwrap_or_default();
        } else if line == "#EXT-X-DISCONTINUITY" {
            breaks = true;
        } else if begun(line).is_some() {
            segments.push(Segment { name: line.to_owned(), seconds, breaks });
            (seconds, breaks) = (0.0, false);
        }
    }
    segments
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn segments_are_read_with_what_is_said_of_them() {
        let playlist = "#EXTM3U\n#EXT-X-TARGETDURATION:2\n#EXT-X-DISCONTINUITY\n#EXTINF:1.001,\n17.ts\n#EXTINF:2,\n19.ts\n\
            ../x.ts\n#EXTINF:3,\n/etc/passwd\n#EXT-X-ENDLIST\n";
        let segment = |name: &str, seconds, breaks| Segment { name: name.to_owned(), seconds, breaks };
        assert_eq!(segments(playlist), [segment("17.ts", 1.001, true), segment("19.ts", 2.0, false)]);
        assert_eq!(segments(playlist)[0].begun(), Some(17));
    }

    #[test]
    fn a_streams_segments_begin_with_the_first_that_is_as_young_as_it() {
        let listed = Playlist::of("#EXT-X-MEDIA-SEQUENCE:7\n10.ts\n20.ts\n30.ts\n5.ts\n40.ts\n");
        let since = |start| {
            let (first, segments) = listed.since(start);
            (first, segments.iter().filter_map(Segment::begun).collect::<Vec<_>>())
        };
        assert_eq!(since(0), (7, vec![10, 20, 30, 5, 40]));
        assert_eq!(since(20), (8, vec![20, 30, 5, 40]), "the clock was set back later");
        assert_eq!(since(50), (12, vec![]), "nothing of it has arrived");
    }

    proptest! {
        #[test]
        fn no_playlist_is_a_danger(playlist: String) {
            for segment in segments(&playlist) {
                prop_assert!(!segment.name.contains('/'));
            }
        }
    }
}
