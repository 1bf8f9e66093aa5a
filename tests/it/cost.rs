//! What a request costs the database: as many statements for a full page as for a short one, and the log says how many.

use std::collections::HashMap;
use std::fmt;
use std::sync::{Mutex, OnceLock};

use serde_json::json;
use tally::store::Role;
use tracing::field::{Field, Visit};
use tracing::{Event, Subscriber};
use tracing_subscriber::Layer;
use tracing_subscriber::layer::{Context, SubscriberExt};

use crate::site::Site;

/// The queries of each operation that has been logged, by its name.
static LOGGED: OnceLock<Mutex<HashMap<String, u64>>> = OnceLock::new();

/// Reads the lines of requests as they are logged.
struct Reader;

#[derive(Default)]
struct Line {
    operation: Option<String>,
    queries: Option<u64>,
}

impl Visit for Line {
    fn record_u64(&mut self, field: &Field, value: u64) {
        if field.name() == "queries" {
            self.queries = Some(value);
        }
    }

    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        if field.name() == "operation" {
            self.operation = Some(format!("{value:?}"));
        }
    }
}

impl<S: Subscriber> Layer<S> for Reader {
    fn on_event(&self, event: &Event<'_>, _: Context<'_, S>) {
        let mut line = Line::default();
        event.record(&mut line);
        if let (Some(operation), Some(queries), Some(logged)) = (line.operation, line.queries, LOGGED.get()) {
            logged.lock().unwrap().insert(operation, queries);
        }
    }
}

/// The busiest documents, and how many statements each takes, whatever the length of the page.
const BUSIEST: [(&str, &str, u64); 7] = [
    (
        "Bare",
        "liveStreams(first: $first) { eventCursor nodes { name currentViewers } pageInfo { endCursor } }",
        1,
    ),
    (
        "Live",
        "liveStreams(first: $first) { eventCursor nodes { name topic { name } channel { name owner { handle } topic { name } } } }",
        1,
    ),
    (
        "Edges",
        "liveStreams(first: $first, orderBy: NEWEST) { edges { cursor node { ... on Stream { channel { owner { handle } } } } } }",
        1,
    ),
    ("Charts", "liveStreams(first: $first) { nodes { name audience { at viewers } } }", 2),
    ("Counted", "liveStreams(first: $first) { totalCount nodes { channel { name } } }", 2),
    (
        "Channels",
        "channels(first: $first) { nodes { name owner { handle } topic { name } stream { name topic { name } } } }",
        1,
    ),
    ("OnTheAir", "channels(first: $first, filter: {live: true}) { nodes { owner { handle } } }", 1),
];

fn logged(operation: &str) -> u64 {
    *LOGGED
        .get()
        .unwrap()
        .lock()
        .unwrap()
        .get(operation)
        .unwrap_or_else(|| panic!("{operation} is not logged"))
}

#[tokio::test(flavor = "multi_thread")]
async fn a_page_costs_as_many_queries_however_long_it_is() {
    LOGGED.get_or_init(Mutex::default);
    let reading = tracing_subscriber::registry().with(Reader);
    tracing::subscriber::set_global_default(reading).expect("nobody else reads the log in this binary");
    let site = Site::start().await;
    let admin = site.actor("admin", Role::Admin).await;
    let create = "mutation ($input: CreateTopicInput!) { createTopic(input: $input) { topic { id } } }";
    for slug in ["go", "chess"] {
        admin.data(create, json!({"input": {"slug": slug, "name": slug}})).await;
    }
    for number in 0..30 {
        let owner = site.actor(&format!("owner_{number}"), Role::Streamer).await;
        let topic = if number % 2 == 0 { "go" } else { "chess" };
        let channel = owner.channel("One", json!({"topic": topic})).await;
        let key = channel["key"].as_str().unwrap();
        let form = format!("app=live&clientid={number}&call=publish&name={key}&type=live");
        assert_eq!(site.callback("publish", &form).await.0, 302);
    }
    for (name, fields, statements) in BUSIEST {
        for size in [1, 2, 30] {
            let operation = format!("{name}{size}");
            let document = format!("query {operation}($first: Int) {{ {fields} }}");
            let answer = site.anonymous().data(&document, json!({"first": size})).await;
            let list = answer.as_object().unwrap().values().next().unwrap();
            let rows = list["nodes"].as_array().or(list["edges"].as_array()).unwrap();
            assert_eq!(rows.len(), size, "{name}");
            assert_eq!(logged(&format!("query {operation}")), statements, "{operation}");
        }
    }
    // Many keys at once are read, and put on record, together.
    let owner = site.actor("keeper", Role::Streamer).await;
    for _ in 0..8 {
        owner.channel("One", json!({})).await;
    }
    let keys = "query Keys { channels(filter: {owner: \"keeper\"}) { nodes { a: ingest { streamKey } b: ingest { streamKey } } } }";
    let answer = owner.data(keys, json!({})).await;
    let nodes = answer["channels"]["nodes"].as_array().unwrap();
    assert!(nodes.len() == 8 && nodes.iter().all(|node| node["a"]["streamKey"].is_string()));
    assert_eq!(logged("query Keys"), 5, "who asks, the owner, the page, the keys, the record");
    let equal = "query Equal { liveStreams { nodes { name channel { name } } } }";
    let mut answers = Vec::new();
    for statements in [1, 0, 0] {
        answers.push(site.answer(equal, json!({})).await);
        assert_eq!(logged("query Equal"), statements);
    }
    assert!(answers.iter().all(|answer| *answer == answers[0] && answer["data"].is_object()));
}
