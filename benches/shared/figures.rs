//! Figures of several rounds: what was measured of whom, medians, ranges, and ratios paired within a round.

use std::collections::BTreeMap;

/// One figure that is measured of each subject.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Row {
    /// Its place in the table.
    pub(crate) place: usize,
    pub(crate) title: &'static str,
    /// Whether a greater figure is the better one.
    pub(crate) more_is_better: bool,
}

/// The figures of each subject, a value a round, in the order of the rounds.
#[derive(Default)]
pub(crate) struct Figures {
    values: BTreeMap<(Row, String), Vec<f64>>,
}

/// A median and its range.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Spread {
    pub(crate) median: f64,
    pub(crate) least: f64,
    pub(crate) most: f64,
}

impl Figures {
    pub(crate) fn add(&mut self, row: Row, subject: &str, value: f64) {
        self.values.entry((row, subject.to_owned())).or_default().push(value);
    }

    pub(crate) fn rows(&self) -> Vec<Row> {
        let mut rows: Vec<Row> = self.values.keys().map(|(row, _)| *row).collect();
        rows.dedup();
        rows
    }

    pub(crate) fn spread(&self, row: Row, subject: &str) -> Option<Spread> {
        spread(self.values.get(&(row, subject.to_owned()))?)
    }

    /// How many times better `subject` is than `other`, round by round.
    pub(crate) fn ratio(&self, row: Row, subject: &str, other: &str) -> Option<Spread> {
        let pairs = self
            .values
            .get(&(row, subject.to_owned()))?
            .iter()
            .zip(self.values.get(&(row, other.to_owned()))?);
        let better = |(own, other): (&f64, &f64)| if row.more_is_better { own / other } else { other / own };
        spread(&pairs.map(better).collect::<Vec<_>>())
    }
}

/// The middle of some figures, and their ends.
pub(crate) fn spread(values: &[f64]) -> Option<Spread> {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    let (least, most) = (*sorted.first()?, *sorted.last()?);
    let half = sorted.len() / 2;
    let median =
        if sorted.len() % 2 == 1 { sorted[half] } else { f64::midpoint(sorted[half - 1], sorted[half]) };
    Some(Spread { median, least, most })
}

impl Spread {
    /// With three digits that matter, and the range when there is one.
    pub(crate) fn text(self) -> String {
        if self.least.to_bits() == self.most.to_bits() {
            return short(self.median);
        }
        format!("{} ({}–{})", short(self.median), short(self.least), short(self.most))
    }
}

/// With three digits that matter.
pub(crate) fn short(value: f64) -> String {
    let size = value.abs();
    if size >= 10_000.0 {
        let thousands = (value / 1000.0).round();
        if size >= 1_000_000.0 { format!("{:.2} M", value / 1e6) } else { format!("{thousands} k") }
    } else if size >= 100.0 {
        format!("{value:.0}")
    } else if size >= 10.0 {
        format!("{value:.1}")
    } else if size == 0.0 {
        "0".to_owned()
    } else {
        format!("{value:.2}")
    }
}
