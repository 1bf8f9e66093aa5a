//! Figures as tables: for whoever waits for them, and for the documents.

use crate::figures::Figures;

/// Who is compared with whom.
pub(crate) const OURS: &str = "Tally";

/// Everybody's figures, and how ours are to theirs.
pub(crate) fn side_by_side(figures: &Figures, subjects: &[&str]) -> String {
    let (medians, ratios) = (medians(figures, subjects), ratios(figures, subjects));
    format!("{medians}\nHow many times better {OURS} is:\n\n{ratios}")
}

/// A row a figure, a column a subject; medians, with the range of the rounds.
pub(crate) fn medians(figures: &Figures, subjects: &[&str]) -> String {
    table(figures, subjects, |row, subject| figures.spread(row, subject))
}

/// How many times better ours is than each other, by the pairs of each round.
fn ratios(figures: &Figures, subjects: &[&str]) -> String {
    let others: Vec<&str> = subjects.iter().copied().filter(|subject| *subject != OURS).collect();
    table(figures, &others, |row, other| {
        figures.ratio(row, OURS, other).filter(|ratio| ratio.median.is_finite())
    })
}

fn table(
    figures: &Figures,
    subjects: &[&str],
    cell: impl Fn(crate::figures::Row, &str) -> Option<crate::figures::Spread>,
) -> String {
    let mut lines = vec![format!("| | {} |", subjects.join(" | "))];
    lines.push(format!("| --- |{}", " ---: |".repeat(subjects.len())));
    for row in figures.rows() {
        let cells: Vec<Option<String>> =
            subjects.iter().map(|subject| cell(row, subject).map(|spread| spread.text())).collect();
        if cells.iter().all(Option::is_none) {
            continue;
        }
        let cells: Vec<String> =
            cells.into_iter().map(|cell| cell.unwrap_or_else(|| "–".to_owned())).collect();
        lines.push(format!("| {} | {} |", row.title, cells.join(" | ")));
    }
    lines.join("\n") + "\n"
}

/// Puts `text` between the marks of `name` in docs/performance.md.
pub(crate) fn write(name: &str, text: &str) {
    let path = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/performance.md");
    let document = std::fs::read_to_string(&path).expect("a document");
    let (begin, end) =
        (format!("<!-- {name}: written by make bench -->\n"), format!("<!-- {name} ends -->\n"));
    let (before, rest) = document.split_once(&begin).expect("the mark where the figures begin");
    let (_, after) = rest.split_once(&end).expect("the mark where the figures end");
    std::fs::write(&path, format!("{before}{begin}\n{text}\n{end}{after}")).expect("a document");
}
