//! What is somebody else's and secret: not there, by whichever way it is asked for.

use serde_json::{Value, json};

use crate::permissions::Cast;
use crate::socket::Socket;

/// All the ways to a channel, in queries.
const WAYS: [&str; 10] = [
    "channel(loc: $loc) { * }",
    "channels { nodes { * } }",
    "channels { edges { node { * } } }",
    "user(handle: \"owner\") { channels { nodes { * } } }",
    "node(id: $id) { ... on Channel { * } }",
    "nodes(ids: [$id]) { ... on Channel { * } }",
    "liveStreams { nodes { channel { * } } }",
    "channel(loc: $loc) { stream { channel { * } } }",
    "channel(loc: $loc) { pastStreams { nodes { channel { * } } } }",
    "node(id: $stream) { ... on Stream { channel { * } } }",
];
const KEY: &str = "loc ingest { serverUrl streamKey }";

#[tokio::test(flavor = "multi_thread")]
async fn a_key_is_nobody_elses_by_whichever_way_its_channel_is_reached() {
    let mut cast = Cast::gather().await;
    let mut channel = cast.channel(json!({}), true).await;
    cast.admin()
        .data(
            "mutation ($id: ID!) { endStream(input: {channelId: $id}) { stream { id } } }",
            json!({"id": channel["id"]}),
        )
        .await;
    cast.site.clock.advance(std::time::Duration::from_secs(60));
    cast.publisher_says("publish", &channel).await;
    let stream = "query ($loc: UUID!) { channel(loc: $loc) { stream { id } } }";
    let found = cast.owner().data(stream, json!({"loc": channel["loc"]})).await;
    channel["stream"] = found["channel"]["stream"]["id"].clone();
    let (key, loc) = (channel["key"].as_str().unwrap(), channel["loc"].as_str().unwrap());
    for (number, actor) in cast.actors.iter().enumerate() {
        let may = [3, 5].contains(&number);
        for way in WAYS {
            let used = ["$loc: UUID!", "$id: ID!", "$stream: ID!"].into_iter();
            let used =
                used.filter(|it| way.contains(it.split(':').next().unwrap())).collect::<Vec<_>>().join(", ");
            let head = if used.is_empty() { String::new() } else { format!("query ({used})") };
            let document = format!("{head} {{ {} }}", way.replace('*', KEY));
            let variables = json!({"loc": loc, "id": channel["id"], "stream": channel["stream"]});
            let answer = actor.data(&document, variables).await.to_string();
            assert!(answer.contains(loc), "{way}: {answer}");
            assert_eq!(answer.contains(key), may, "{way} for {}: {answer}", actor.handle);
            assert_eq!(answer.contains("\"ingest\":null"), !may, "{way}: {answer}");
        }
        let mut socket = match &actor.token {
            Some(_) => Socket::of(cast.site.public, actor).await,
            None => Socket::open(cast.site.public).await,
        };
        let counts = "subscription ($locs: [UUID!]!) { viewerCountChanged(locs: $locs) { channel { * } } }";
        socket.start("1", &counts.replace('*', KEY), json!({"locs": [loc]})).await;
        assert_eq!(socket.next("1").await.to_string().contains(key), may);
    }
    let moderator = &cast.actors[4];
    let end = "mutation ($id: ID!) { endStream(input: {channelId: $id}) { stream { channel { * } } } }";
    let ended = moderator.data(&end.replace('*', KEY), json!({"id": channel["id"]})).await;
    assert_eq!(ended["endStream"]["stream"]["channel"]["ingest"], Value::Null);
}

/// What may be asked about a channel and a broadcast on it, for nothing.
const QUESTIONS: [&str; 12] = [
    "query ($id: ID!) { node(id: $id) { id ... on Channel { name } } }",
    "query ($id: ID!, $stream: ID!) { nodes(ids: [$id, $stream]) { id } }",
    "query ($loc: UUID!) { channel(loc: $loc) { name } }",
    "query ($stream: ID!) { node(id: $stream) { id ... on Stream { name } } }",
    "mutation ($id: ID!) { updateChannel(input: {id: $id, name: \"New\"}) { channel { id } } }",
    "mutation ($id: ID!) { inviteViewer(input: {channelId: $id, handle: \"viewer\"}) { user { id } } }",
    "mutation ($id: ID!) { uninviteViewer(input: {channelId: $id, userId: \"us_018f3c1e7d4a70008000000000000000\"}) { channel { id } } }",
    "mutation ($id: ID!) { deleteChannel(input: {id: $id}) { deletedChannelId } }",
    "mutation ($id: ID!) { regenerateStreamKey(input: {channelId: $id}) { channel { id } } }",
    "mutation ($id: ID!) { endStream(input: {channelId: $id}) { stream { id } } }",
    "mutation ($stream: ID!) { updateStream(input: {id: $stream, name: \"New\"}) { stream { id } } }",
    "mutation ($loc: UUID!) { startPlayback(input: {loc: $loc}) { playback { url } } }",
];

#[tokio::test(flavor = "multi_thread")]
async fn what_was_deleted_and_what_never_was_are_answered_alike() {
    let mut cast = Cast::gather().await;
    let channel = cast.channel(json!({}), true).await;
    let delete = "mutation ($id: ID!) { deleteChannel(input: {id: $id}) { deletedChannelId } }";
    cast.owner().data(delete, json!({"id": channel["id"]})).await;
    let deleted = [&channel["id"], &channel["loc"], &channel["stream"]];
    let invented = [
        json!("ch_018f3c1e7d4a70008000000000000000"),
        json!("018f3c1e-7d4a-7000-8000-000000000000"),
        json!("st_018f3c1e7d4a70008000000000000000"),
    ];
    for actor in &cast.actors {
        for question in QUESTIONS {
            let mut answers = Vec::new();
            for [id, loc, stream] in [deleted, invented.each_ref()] {
                let given = [("$id", id), ("$loc", loc), ("$stream", stream)];
                let given = given.into_iter().filter(|(name, _)| question.contains(name));
                let variables: Value =
                    given.map(|(name, value)| (name[1..].to_owned(), value.clone())).collect();
                answers.push(actor.text(question, variables).await);
            }
            assert_eq!(answers[0], answers[1], "{question} for {}", actor.handle);
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_suspended_user_looks_like_any_other_to_others() {
    let mut cast = Cast::gather().await;
    cast.channel(json!({}), false).await;
    let read = "{ user(handle: \"owner\") { id handle displayName role suspension { at reason } createdAt
        channels { nodes { name owner { suspension { reason } } } } } }";
    let others = [0, 1, 2, 4].map(|number| cast.actors[number].clone());
    let mut before = Vec::new();
    for other in &others {
        before.push(other.text(read, json!({})).await);
    }
    let id = cast.owner().data("{ me { id } }", json!({})).await["me"]["id"].clone();
    let suspend =
        "mutation ($id: ID!) { suspendUser(input: {userId: $id, reason: \"Spam\"}) { user { id } } }";
    cast.admin().data(suspend, json!({"id": id})).await;
    for (other, before) in others.iter().zip(before) {
        assert_eq!(other.text(read, json!({})).await, before);
    }
    let user = cast.admin().data(read, json!({})).await["user"].clone();
    assert_eq!(user["channels"]["nodes"][0]["owner"]["suspension"], json!({"reason": "Spam"}));
}

#[tokio::test(flavor = "multi_thread")]
async fn an_idempotency_key_is_its_users_own() {
    let cast = Cast::gather().await;
    let create = "mutation { createChannel(input: {name: \"Mine\", idempotencyKey: \"one\"}) {
        channel { id owner { handle } ingest { streamKey } } } }";
    let mut made = Vec::new();
    for number in [2, 3, 5, 3] {
        let channel = cast.actors[number].data(create, json!({})).await["createChannel"]["channel"].clone();
        assert_eq!(channel["owner"]["handle"], cast.actors[number].handle);
        made.push(channel);
    }
    assert_eq!(made[1], made[3]);
    assert!(made[0]["id"] != made[1]["id"] && made[1]["id"] != made[2]["id"]);
    let renew =
        "mutation ($id: ID!) { regenerateStreamKey(input: {channelId: $id, idempotencyKey: \"two\"}) {
        channel { ingest { streamKey } } } }";
    let theirs = json!({"id": made[1]["id"]});
    cast.owner().data(renew, theirs.clone()).await;
    assert_eq!(cast.actors[2].error(renew, theirs).await.0, "FORBIDDEN");
}
