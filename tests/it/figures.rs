//! What is measured: what `/metrics` shows is what the docs say and the code counts.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use serde_json::json;
use tally::telemetry::FIGURES;

use crate::layers::sources;
use crate::nginx::{Stage, eventually};

/// The first figure's name in a line, if there is one.
fn name(line: &str) -> Option<&str> {
    let start = &line[line.find("tally_")?..];
    Some(
        &start[..start
            .find(|letter: char| letter != '_' && !letter.is_ascii_lowercase())
            .unwrap_or(start.len())],
    )
}

#[test]
fn every_figure_is_in_the_docs_word_for_word_and_counted_somewhere() {
    let docs = fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/operating.md")).unwrap();
    let rows: Vec<&str> = docs.lines().filter(|line| line.starts_with("| `tally_")).collect();
    let told: Vec<String> =
        FIGURES.iter().map(|(kind, name, what)| format!("| `{name}` | {kind} | {what} |")).collect();
    assert_eq!(rows, told);

    let counted: BTreeSet<String> = sources()
        .into_iter()
        .filter(|source| source.path != "telemetry.rs")
        .flat_map(|source| source.lines)
        .filter(|line| ["counter!(", "gauge!(", "histogram!("].iter().any(|word| line.contains(word)))
        .map(|line| name(&line).expect("a figure's name on the line that counts it").to_owned())
        .collect();
    assert_eq!(counted, FIGURES.iter().map(|(_, name, _)| (*name).to_owned()).collect());
}

#[tokio::test(flavor = "multi_thread")]
async fn what_happens_is_in_the_figures() {
    let stage = Stage::set().await;
    stage.on_the_air(1).await;
    let (code, _) =
        stage.site.anonymous().error("query { channels(first: 0) { totalCount } }", json!({})).await;
    assert_eq!(code, "BAD_USER_INPUT");
    let mut shown = String::new();
    eventually("the event went to subscribers", async || {
        let url = format!("http://{}/metrics", stage.site.internal);
        shown = stage.site.client.get(url).send().await.unwrap().text().await.unwrap();
        shown.contains("tally_events_total{kind=\"started\"}")
    })
    .await;
    for part in [
        "# TYPE tally_event_delay_seconds summary",
        "# HELP tally_viewers viewer sessions, now",
        "tally_event_delay_seconds_count",
        "tally_publish_seconds{quantile=\"0.99\"}",
        "tally_graphql_seconds_sum",
        "tally_errors_total{code=\"BAD_USER_INPUT\"}",
        "tally_publishers_total{outcome=\"started\"}",
        "tally_database_connections",
    ] {
        assert!(shown.contains(part), "{part} is not in\n{shown}");
    }
    let known: BTreeSet<&str> = FIGURES.iter().map(|(_, name, _)| *name).collect();
    let unknown = shown.lines().filter_map(name).filter(|name| {
        let family = ["_sum", "_count"].iter().find_map(|end| name.strip_suffix(end)).unwrap_or(name);
        !known.contains(family) && !known.contains(name)
    });
    assert_eq!(unknown.collect::<Vec<_>>(), Vec::<&str>::new());
}
