//! What everybody reads, as the docs have it: all of the schema is in the table, what is public is the same for all,
//! and what is not is reached in no other way than the docs say.

use serde_json::{Value, json};

use crate::permissions::Cast;
use crate::socket::Socket;
use crate::sql::Sql;
use crate::table::{Row, action_of, actions, schema, selection, types};

#[test]
fn every_field_of_every_type_is_in_the_docs_and_nothing_else() {
    let mut documented = types();
    for (of, fields) in schema() {
        let Some(Row { shared, apart, .. }) = documented.remove(&of) else {
            panic!("{of} is not in docs/permissions.md")
        };
        let mut there: Vec<_> = fields.into_iter().map(|(name, _)| name).collect();
        let mut here = [shared, apart].concat();
        there.sort();
        here.sort();
        assert_eq!(here, there, "the fields of {of}");
    }
    assert_eq!(documented.into_keys().collect::<Vec<_>>(), Vec::<String>::new(), "types that are not there");
}

#[test]
fn every_field_that_depends_on_who_asks_has_a_row_and_every_row_has_a_field() {
    let all = types();
    let apart = all.iter().flat_map(|(of, row)| row.apart.iter().map(|field| action_of(of, field)));
    let mut apart: Vec<_> = apart.collect();
    let rows = actions().into_iter().map(|(row, _)| row.split('`').nth(1).unwrap().to_owned());
    let mut rows: Vec<_> = rows.collect();
    apart.sort();
    rows.sort();
    // A question and a subscription may have one name, and a row may have several cases.
    apart.dedup();
    rows.dedup();
    assert_eq!(rows, apart);
    for action in all.values().flat_map(|row| &row.through) {
        assert!(rows.contains(action), "{action} has no row");
    }
}

#[test]
fn what_not_everybody_gets_to_is_reached_only_as_the_docs_say() {
    let types = types();
    for (of, fields) in schema() {
        for (field, leads_to) in fields {
            let Some(target) = types.get(&leads_to).filter(|row| !row.through.is_empty()) else { continue };
            let action = action_of(&of, &field);
            let within = types[&of].through == target.through;
            assert!(within || target.through.contains(&action), "{action} leads to {leads_to}");
        }
    }
}

/// The questions by which the public types are reached, with a star for what is asked of each.
const WAYS: [(&str, &str); 18] = [
    ("User", "user(handle: \"owner\") { * }"),
    ("Topic", "topics { * }"),
    ("Channel", "channel(loc: $loc) { * }"),
    ("ChannelConnection", "channels { * }"),
    ("ChannelEdge", "channels { edges { * } }"),
    ("PageInfo", "channels { pageInfo { * } }"),
    ("Stream", "channel(loc: $loc) { stream { * } }"),
    ("AudiencePoint", "channel(loc: $loc) { stream { audience { * } } }"),
    ("StreamMedia", "channel(loc: $loc) { stream { media { * } } }"),
    ("StreamConnection", "liveStreams { * }"),
    ("StreamEdge", "liveStreams { edges { * } }"),
    ("Recording", "channel(loc: $loc) { recordings { nodes { * } } }"),
    ("RecordingConnection", "recordings { * }"),
    ("RecordingEdge", "recordings { edges { * } }"),
    ("Clip", "channel(loc: $loc) { clips { nodes { * } } }"),
    ("ClipConnection", "channel(loc: $loc) { clips { * } }"),
    ("ClipEdge", "channel(loc: $loc) { clips { edges { * } } }"),
    ("Node", "node(id: $id) { * } nodes(ids: [$id]) { * }"),
];
const EVENTS: [&str; 5] =
    ["StreamStarted", "StreamInterrupted", "StreamResumed", "StreamUpdated", "StreamStopped"];

/// A channel through whose life every public type can be reached.
async fn busy_channel(cast: &mut Cast) -> Value {
    let inputs = json!({"topic": "games", "description": "All of it.", "record": true});
    let channel = cast.channel(inputs, true).await;
    cast.make_ready().await;
    let clip =
        "INSERT INTO clips (id, stream_id, channel_id, creator_id, title, duration_ms, bytes, width, height)
        SELECT gen_random_uuid(), streams.id, channel_id, owner_id, 'Goal', 5000, 1000, 1280, 720
        FROM streams JOIN channels ON channels.id = channel_id";
    Sql::on(&cast.site.url).await.run(clip).await;
    let audience = "INSERT INTO stream_audiences (stream_id, viewers) SELECT id, '{3}' FROM streams";
    Sql::on(&cast.site.url).await.run(audience).await;
    let media = "UPDATE streams SET media = '{\"width\": 1280}'";
    Sql::on(&cast.site.url).await.run(media).await;
    channel
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_public_has_the_same_answer_for_everybody() {
    let mut cast = Cast::gather().await;
    let channel = busy_channel(&mut cast).await;
    let variables = json!({"loc": channel["loc"], "id": channel["id"]});
    for (of, way) in WAYS {
        let body = way.replace('*', &format!("__typename {}", selection(of)));
        let used = ["$loc: UUID!", "$id: ID!"].into_iter();
        let used =
            used.filter(|it| body.contains(it.split(':').next().unwrap())).collect::<Vec<_>>().join(", ");
        let head = if used.is_empty() { String::new() } else { format!("query ({used})") };
        let document = format!("{head} {{ {body} }}");
        let mut answers = Vec::new();
        for actor in &cast.actors {
            answers.push(actor.data(&document, variables.clone()).await);
        }
        let there = if of == "Node" { "Channel" } else { of };
        let is_there = answers[0].to_string().contains(&format!("\"__typename\":\"{there}\""));
        assert!(is_there, "{of} is not there: {}", answers[0]);
        assert!(answers.iter().all(|answer| *answer == answers[0]), "{document}: {answers:#?}");
    }
    let asked: Vec<&str> = WAYS.iter().map(|(of, _)| *of).chain(EVENTS).collect();
    // Renditions are there of what nginx writes, in the tests of the whole site.
    let elsewhere = ["Query", "Mutation", "Subscription", "StreamEvent", "ViewerCount", "Rendition"];
    for (of, row) in types() {
        let known = asked.contains(&of.as_str()) || elsewhere.contains(&of.as_str());
        assert!(known || !row.through.is_empty(), "how is {of} reached?");
    }
    let roots = &types()["Query"].shared;
    assert!(
        roots.iter().all(|root| WAYS
            .iter()
            .any(|(_, way)| way.contains(&format!("{root}(")) || way.starts_with(&format!("{root} ")))),
        "{roots:?}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn what_happens_is_told_alike_to_everybody() {
    let mut cast = Cast::gather().await;
    let query = "{ liveStreams { eventCursor } }";
    let after = cast.owner().data(query, json!({})).await["liveStreams"]["eventCursor"].clone();
    let channel = cast.channel(json!({}), true).await;
    for call in ["publish-done", "publish"] {
        cast.publisher_says(call, &channel).await;
    }
    for (change, input) in [
        ("updateStream(input: $input) { stream { id } }", json!({"id": channel["stream"], "name": "New"})),
        ("endStream(input: $input) { stream { id } }", json!({"channelId": channel["id"]})),
    ] {
        let kind = if change.starts_with("update") { "UpdateStreamInput" } else { "EndStreamInput" };
        let document = format!("mutation ($input: {kind}!) {{ {change} }}");
        cast.owner().data(&document, json!({"input": input})).await;
    }
    let each = EVENTS.map(|event| format!("... on {event} {{ {} }}", selection(event))).join(" ");
    let document =
        format!("subscription ($after: String) {{ streamEvents(after: $after) {{ __typename {each} }} }}");
    let mut told = Vec::new();
    for actor in &cast.actors {
        let mut socket = match &actor.token {
            Some(_) => Socket::of(cast.site.public, actor).await,
            None => Socket::open(cast.site.public).await,
        };
        socket.start("1", &document, json!({"after": after})).await;
        told.push(socket.collect("1", EVENTS.len()).await);
    }
    let kinds: Vec<_> = told[0].iter().map(|event| event["__typename"].as_str().unwrap()).collect();
    assert_eq!(kinds, EVENTS);
    assert!(told.iter().all(|events| *events == told[0]), "{told:#?}");
}
