//! What the playlist of a rendition lists: the source's segments with the source's numbers, each either made or as it came.

use std::collections::VecDeque;
use std::fmt::Write as _;

use super::super::playlist::Segment;

/// A segment, and whether it was made in the sizes that are to be made.
pub(super) struct Entry {
    pub(super) segment: Segment,
    pub(super) made: bool,
}

/// Segments one behind the other.
#[derive(Default)]
pub(super) struct List {
    /// The number of the first.
    first: i64,
    entries: VecDeque<Entry>,
    /// Of the segment before the first, whether it was made.
    before: Option<bool>,
    /// How many breaks were listed once and are no longer: players count them (RFC 8216, 4.3.3.3).
    gone_breaks: u64,
}

impl List {
    /// The number of the segment that comes next.
    pub(super) fn next(&self) -> i64 {
        self.first + self.entries.len() as i64
    }

    pub(super) fn push(&mut self, entry: Entry) {
        self.entries.push_back(entry);
    }

    /// Forgets what the source lists no longer, which begins with that number now.
    pub(super) fn forget_before(&mut self, sequence: i64) {
        while self.first < sequence {
            let Some(entry) = self.entries.front() else { break };
            self.gone_breaks += u64::from(breaks(entry, self.before));
            self.before = Some(entry.made);
            self.entries.pop_front();
            self.first += 1;
        }
        // Some were missed, or numbers begin anew: what comes now does not go on where the last one ended.
        if self.first != sequence {
            let breaks = u64::from(self.before.is_some() || !self.entries.is_empty());
            *self = Self { first: sequence, gone_breaks: self.gone_breaks + breaks, ..Self::default() };
        }
    }

    /// The playlist, in which what was made is called as `name` says.
    pub(super) fn text(&self, name: impl Fn(&str) -> String) -> String {
        let seconds = |entry: &Entry| entry.segment.seconds;
        let longest = self.entries.iter().map(seconds).fold(1.0, f64::max).ceil();
        let mut text = format!(
            "#EXTM3U\n#EXT-X-VERSION:3\n#EXT-X-TARGETDURATION:{longest}\n#EXT-X-MEDIA-SEQUENCE:{}\n\
             #EXT-X-DISCONTINUITY-SEQUENCE:{}\n",
            self.first, self.gone_breaks
        );
        let mut before = self.before;
        for entry in &self.entries {
            if breaks(entry, before) {
                text.push_str("#EXT-X-DISCONTINUITY\n");
            }
            before = Some(entry.made);
            let own = if entry.made { name(&entry.segment.name) } else { entry.segment.name.clone() };
            let _ = write!(text, "#EXTINF:{:.3},\n{own}\n", entry.segment.seconds);
        }
        text
    }
}

/// Whether a segment does not go on as the one before it, which was made or was not: another size is another encoding.
fn breaks(entry: &Entry, before: Option<bool>) -> bool {
    entry.segment.breaks || before.is_some_and(|before| before != entry.made)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(number: i64, made: bool) -> Entry {
        let segment = Segment { name: format!("{number}.ts"), seconds: 1.0, breaks: false };
        Entry { segment, made }
    }

    #[test]
    fn what_was_not_made_is_listed_as_it_came_between_two_breaks_that_stay_counted() {
        let mut list = List::default();
        list.forget_before(0);
        for (number, made) in [(0, true), (1, false), (2, true), (3, true)] {
            list.push(entry(number, made));
        }
        let listed = |list: &List| {
            let text = list.text(|name| format!("480p-{name}"));
            let lines = text.lines().filter(|line| !line.starts_with("#EXTINF"));
            lines.skip(3).map(str::to_owned).collect::<Vec<_>>()
        };
        assert_eq!(
            listed(&list),
            [
                "#EXT-X-MEDIA-SEQUENCE:0",
                "#EXT-X-DISCONTINUITY-SEQUENCE:0",
                "480p-0.ts",
                "#EXT-X-DISCONTINUITY",
                "1.ts",
                "#EXT-X-DISCONTINUITY",
                "480p-2.ts",
                "480p-3.ts",
            ]
        );
        list.forget_before(1);
        assert_eq!(
            listed(&list)[..4],
            ["#EXT-X-MEDIA-SEQUENCE:1", "#EXT-X-DISCONTINUITY-SEQUENCE:0", "#EXT-X-DISCONTINUITY", "1.ts"]
        );
        list.forget_before(3);
        assert_eq!(
            listed(&list),
            ["#EXT-X-MEDIA-SEQUENCE:3", "#EXT-X-DISCONTINUITY-SEQUENCE:2", "480p-3.ts"]
        );
        assert_eq!(list.next(), 4);
    }

    #[test]
    fn numbers_that_begin_anew_or_were_missed_begin_a_new_list() {
        for sequence in [0, 40] {
            let mut list = List::default();
            list.forget_before(10);
            list.push(entry(10, true));
            list.push(entry(11, true));
            list.forget_before(sequence);
            assert_eq!(list.next(), sequence);
        }
    }
}
