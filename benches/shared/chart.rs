//! Figures as a picture: a panel a figure, a bar a subject.

use std::fmt::Write;

use crate::figures::{Figures, Row, short};
use crate::table::OURS;

const WIDTH: f64 = 420.0;
const BAR: f64 = 20.0;
const LABEL: f64 = 150.0;
const LONGEST: f64 = 190.0;
const HEAD: f64 = 34.0;
const GAP: f64 = 24.0;

/// It reads on light paper and on dark.
const STYLE: &str = "\
    text { font: 13px system-ui, sans-serif; fill: #1f2328 } .title { font-weight: 600 } .value { fill: #57606a } \
    rect { fill: #afb8c1 } .ours { fill: #0969da } \
    @media (prefers-color-scheme: dark) { text { fill: #e6edf3 } .value { fill: #9198a1 } rect { fill: #4b535d } \
    .ours { fill: #4493f8 } }";

/// Draws `rows` and writes the picture into docs/performance.
pub(crate) fn write(name: &str, figures: &Figures, rows: &[Row], subjects: &[&str]) {
    let panel = HEAD + BAR * subjects.len() as f64 + GAP;
    let height = panel * rows.len().div_ceil(2) as f64;
    let mut picture = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {} {height}\" role=\"img\">\n<style>{STYLE}</style>\n",
        WIDTH * 2.0 + GAP
    );
    for (place, row) in rows.iter().enumerate() {
        let (column, line) = ((place % 2) as f64, (place / 2) as f64);
        let _ = writeln!(picture, "<g transform=\"translate({} {})\">", column * (WIDTH + GAP), line * panel);
        draw(&mut picture, figures, *row, subjects);
        picture.push_str("</g>\n");
    }
    picture.push_str("</svg>\n");
    let directory = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/performance");
    std::fs::create_dir_all(&directory).expect("a directory");
    std::fs::write(directory.join(name).with_extension("svg"), picture).expect("a picture");
}

fn draw(picture: &mut String, figures: &Figures, row: Row, subjects: &[&str]) {
    let better = if row.more_is_better { "more is better" } else { "less is better" };
    let _ = writeln!(
        picture,
        "<text y=\"20\"><tspan class=\"title\">{}</tspan><tspan class=\"value\" dx=\"8\">{better}</tspan></text>",
        row.title
    );
    let medians: Vec<Option<f64>> =
        subjects.iter().map(|subject| figures.spread(row, subject).map(|it| it.median)).collect();
    let most = medians.iter().flatten().fold(f64::MIN_POSITIVE, |most, value| most.max(*value));
    for (place, (subject, median)) in subjects.iter().zip(medians).enumerate() {
        let Some(median) = median else { continue };
        let (top, length) = (HEAD + BAR * place as f64, (median / most * LONGEST).max(1.0));
        let class = if *subject == OURS { " class=\"ours\"" } else { "" };
        let _ = writeln!(
            picture,
            "<text x=\"{}\" y=\"{}\" text-anchor=\"end\">{subject}</text>\
             <rect{class} x=\"{LABEL}\" y=\"{}\" width=\"{length:.1}\" height=\"{}\" rx=\"2\"/>\
             <text class=\"value\" x=\"{:.1}\" y=\"{}\">{}</text>",
            LABEL - 8.0,
            top + 14.0,
            top + 2.0,
            BAR - 5.0,
            LABEL + length + 6.0,
            top + 14.0,
            short(median),
        );
    }
}
