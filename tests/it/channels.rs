//! Channels: made, changed and deleted by their owners; what may be typed into them; who sees their keys.

use std::time::Duration;

use serde_json::{Value, json};
use tally::store::Role;

use crate::site::{Actor, Site};

const CREATE: &str = "mutation ($input: CreateChannelInput!) { createChannel(input: $input) { channel {
    id loc name description defaultStreamName chatEnabled record protected imageUrl topic { slug } owner { handle }
    views currentViewers stream { id } createdAt updatedAt } } }";
const UPDATE: &str = "mutation ($input: UpdateChannelInput!) { updateChannel(input: $input) { channel {
    id loc name description defaultStreamName chatEnabled record protected imageUrl topic { slug } owner { handle }
    views currentViewers stream { id } createdAt updatedAt } } }";
const DELETE: &str =
    "mutation ($input: DeleteChannelInput!) { deleteChannel(input: $input) { deletedChannelId } }";
const NEW_KEY: &str = "mutation ($input: RegenerateStreamKeyInput!) {
    regenerateStreamKey(input: $input) { channel { id loc ingest { streamKey } } } }";
const KEY: &str = "query ($loc: UUID!) { channel(loc: $loc) { ingest { serverUrl streamKey } } }";

fn code(code: &str, field: &str) -> (String, Option<String>) {
    (code.to_owned(), Some(field.to_owned()).filter(|field| !field.is_empty()))
}

async fn topic(admin: &Actor, slug: &str) -> Value {
    let create = "mutation ($input: CreateTopicInput!) { createTopic(input: $input) { topic { id } } }";
    let made = admin.data(create, json!({"input": {"slug": slug, "name": slug}})).await;
    made["createTopic"]["topic"]["id"].clone()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_channel_has_what_was_asked_for_and_sensible_defaults() {
    let site = Site::start().await;
    let mia = site.actor("mia", Role::Streamer).await;
    topic(&site.actor("admin", Role::Admin).await, "go").await;
    let mut plain =
        mia.data(CREATE, json!({"input": {"name": "  围棋直播 🎥 "}})).await["createChannel"]["channel"]
            .take();
    let (id, loc) = (plain["id"].take(), plain["loc"].take());
    assert!(id.as_str().unwrap().starts_with("ch_") && loc.as_str().unwrap().len() == 36);
    let defaults = json!({"id": null, "loc": null, "name": "围棋直播 🎥", "description": "",
        "defaultStreamName": "围棋直播 🎥", "chatEnabled": true, "record": false, "protected": false,
        "imageUrl": null, "topic": null, "owner": {"handle": "mia"}, "views": 0, "currentViewers": 0,
        "stream": null, "createdAt": "2026-11-23T12:00:00.000Z", "updatedAt": "2026-11-23T12:00:00.000Z"});
    assert_eq!(plain, defaults);

    let input = json!({"name": "B", "description": " two\r\nlines\t\n", "topic": "go", "record": true,
        "chatEnabled": false, "protected": true, "defaultStreamName": "Game"});
    let full = mia.data(CREATE, json!({"input": input})).await["createChannel"]["channel"].take();
    let shown = ["description", "topic", "record", "chatEnabled", "protected", "defaultStreamName"];
    let shown: Vec<&Value> = shown.iter().map(|field| &full[*field]).collect();
    let expected =
        [json!("two\nlines"), json!({"slug": "go"}), json!(true), json!(false), json!(true), json!("Game")];
    assert_eq!(shown, expected.iter().collect::<Vec<_>>());
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_taken_is_refused_with_its_field() {
    let site = Site::start().await;
    let mia = site.actor("mia", Role::Streamer).await;
    let id = mia.channel("One", json!({})).await["id"].clone();
    let line = |length: usize| json!("界".repeat(length));
    let refused = [
        ("name", json!("")),
        ("name", json!("   ")),
        ("name", line(101)),
        ("name", json!("a\nb")),
        ("name", json!("a\u{0}b")),
        ("name", json!("a\u{7f}b")),
        ("name", json!("a\u{2028}b")),
        ("name", json!("\u{202E}gnp")),
        ("description", line(5001)),
        ("description", json!("a\u{0}b")),
        ("description", json!("a\u{1b}[31m")),
        ("defaultStreamName", json!("")),
        ("defaultStreamName", line(101)),
        ("defaultStreamName", json!("a\rb")),
        ("topic", json!("no-such-topic")),
        ("topic", json!("")),
        ("topic", json!("a\u{0}b")),
    ];
    for (field, value) in refused {
        let expected = code("BAD_USER_INPUT", &format!("input.{field}"));
        let mut input = json!({"name": "fine"});
        input[field] = value.clone();
        assert_eq!(mia.error(CREATE, json!({"input": input})).await, expected, "create {field} {value:?}");
        let mut input = json!({"id": id});
        input[field] = value.clone();
        assert_eq!(mia.error(UPDATE, json!({"input": input})).await, expected, "update {field} {value:?}");
    }
    let pictures =
        ["", "javascript:alert(1)", "//evil.example/x", "data:image/png;base64,x", "ftp://a", "x", "/a b"];
    for url in pictures {
        let refused = mia.error(UPDATE, json!({"input": {"id": id, "imageUrl": url}})).await;
        assert_eq!(refused, code("BAD_USER_INPUT", "input.imageUrl"), "{url}");
    }
    let seen = mia.data("{ channels { nodes { name } } }", json!({})).await;
    assert_eq!(seen["channels"]["nodes"], json!([{"name": "One"}]), "nothing was made or changed");
}

#[tokio::test(flavor = "multi_thread")]
async fn texts_of_the_greatest_length_in_any_script_are_taken() {
    let site = Site::start().await;
    let mia = site.actor("mia", Role::Streamer).await;
    for letter in ["x", "界", "🎥"] {
        let input = json!({"name": letter.repeat(100), "description": letter.repeat(5000),
            "defaultStreamName": letter.repeat(100)});
        let made = mia.data(CREATE, json!({"input": input})).await["createChannel"]["channel"].take();
        for field in ["name", "description", "defaultStreamName"] {
            assert_eq!(made[field], input[field], "{letter} {field}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_update_keeps_what_it_leaves_out_and_clears_what_it_says_is_null() {
    let site = Site::start().await;
    let mia = site.actor("mia", Role::Streamer).await;
    topic(&site.actor("admin", Role::Admin).await, "go").await;
    let full = json!({"description": "d", "topic": "go", "record": true, "chatEnabled": false, "protected": true,
        "defaultStreamName": "Game"});
    let id = mia.channel("One", full).await["id"].clone();
    let update = async |changes: Value| {
        let mut input = changes;
        input["id"] = id.clone();
        mia.data(UPDATE, json!({"input": input})).await["updateChannel"]["channel"].take()
    };
    site.clock.advance(Duration::from_secs(1));
    let mut expected = update(json!({"imageUrl": "/media/x.png"})).await;
    assert_eq!(expected["updatedAt"], "2026-11-23T12:00:01.000Z");
    assert_eq!(expected["createdAt"], "2026-11-23T12:00:00.000Z");
    assert_eq!((&expected["name"], &expected["imageUrl"]), (&json!("One"), &json!("/media/x.png")));
    assert_eq!(update(json!({})).await, expected, "nothing said, nothing changed");

    for (field, value) in [("name", json!("二")), ("record", json!(false)), ("chatEnabled", json!(true))] {
        let mut change = json!({});
        change[field] = value.clone();
        expected[field] = value;
        assert_eq!(update(change).await, expected);
    }
    for (field, cleared) in [("description", json!("")), ("topic", Value::Null), ("imageUrl", Value::Null)] {
        let mut change = json!({});
        change[field] = Value::Null;
        expected[field] = cleared;
        assert_eq!(update(change).await, expected);
    }
    for field in ["name", "record", "chatEnabled", "protected", "defaultStreamName"] {
        let mut input = json!({"id": id});
        input[field] = Value::Null;
        let refused = mia.error(UPDATE, json!({"input": input})).await;
        assert_eq!(refused, code("BAD_USER_INPUT", &format!("input.{field}")));
    }
    assert_eq!(update(json!({})).await, expected);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_topic_is_chosen_by_its_slug_while_it_is_on_offer() {
    let site = Site::start().await;
    let (mia, admin) = (site.actor("mia", Role::Streamer).await, site.actor("admin", Role::Admin).await);
    let go = topic(&admin, "go").await;
    let id = mia.channel("One", json!({"topic": "go"})).await["id"].clone();
    let retire =
        "mutation ($input: RetireTopicInput!) { retireTopic(input: $input) { topic { slug retired } } }";
    admin.data(retire, json!({"input": {"id": go}})).await;
    let shown = mia.data("{ channels { nodes { topic { slug retired } } } }", json!({})).await;
    assert_eq!(
        shown["channels"]["nodes"],
        json!([{"topic": {"slug": "go", "retired": true}}]),
        "it keeps it"
    );
    let refused = code("BAD_USER_INPUT", "input.topic");
    assert_eq!(mia.error(CREATE, json!({"input": {"name": "Two", "topic": "go"}})).await, refused);
    assert_eq!(mia.error(UPDATE, json!({"input": {"id": id, "topic": "go"}})).await, refused);
    admin.data(retire, json!({"input": {"id": go, "retired": false}})).await;
    mia.data(UPDATE, json!({"input": {"id": id, "topic": "go"}})).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn only_the_owner_and_admins_change_a_channel() {
    let site = Site::start().await;
    let owner = site.actor("mia", Role::Streamer).await;
    let channel = owner.channel("One", json!({})).await;
    let others = [
        (site.anonymous(), "UNAUTHENTICATED"),
        (site.actor("viewer", Role::Viewer).await, "FORBIDDEN"),
        (site.actor("streamer", Role::Streamer).await, "FORBIDDEN"),
        (site.actor("moderator", Role::Moderator).await, "FORBIDDEN"),
    ];
    for (other, expected) in &others {
        let update = json!({"input": {"id": channel["id"], "name": "Mine"}});
        assert_eq!(other.error(UPDATE, update).await, code(expected, ""), "{}", other.handle);
        let key = json!({"input": {"channelId": channel["id"]}});
        assert_eq!(other.error(NEW_KEY, key).await, code(expected, ""), "{}", other.handle);
        let delete = json!({"input": {"id": channel["id"]}});
        assert_eq!(other.error(DELETE, delete).await, code(expected, ""), "{}", other.handle);
    }
    let shown = owner
        .data(
            "query ($loc: UUID!) { channel(loc: $loc) { name ingest { streamKey } } }",
            json!({"loc": channel["loc"]}),
        )
        .await;
    assert_eq!(shown["channel"], json!({"name": "One", "ingest": {"streamKey": channel["key"]}}));
    let admin = site.actor("admin", Role::Admin).await;
    admin.data(UPDATE, json!({"input": {"id": channel["id"], "name": "Two"}})).await;
    owner.data(UPDATE, json!({"input": {"id": channel["id"], "name": "Three"}})).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_key_is_read_by_its_owner_and_admins_and_is_in_no_other_answer() {
    let site = Site::start().await;
    let owner = site.actor("mia", Role::Streamer).await;
    let channel = owner.channel("One", json!({})).await;
    let key = channel["key"].as_str().unwrap();
    assert!(key.starts_with("tk_") && key.len() == 35);
    let loc = json!({"loc": channel["loc"]});
    let ingest = json!({"serverUrl": "rtmp://127.0.0.1:1935/live", "streamKey": key});
    for reader in [&owner, &site.actor("admin", Role::Admin).await] {
        assert_eq!(reader.data(KEY, loc.clone()).await["channel"]["ingest"], ingest);
    }
    let others = [
        site.anonymous(),
        site.actor("viewer", Role::Viewer).await,
        site.actor("streamer", Role::Streamer).await,
        site.actor("moderator", Role::Moderator).await,
    ];
    for other in &others {
        assert_eq!(other.data(KEY, loc.clone()).await["channel"]["ingest"], Value::Null, "{}", other.handle);
        let everywhere = other
            .ask(
                "query ($id: ID!) { node(id: $id) { ... on Channel { ingest { streamKey } } }
                 channels { nodes { ingest { streamKey } owner { channels { nodes { ingest { streamKey } } } } } } }",
                json!({"id": channel["id"]}),
            )
            .await;
        assert_eq!(everywhere["errors"], Value::Null);
        assert!(!everywhere.to_string().contains(key), "{everywhere}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_new_key_is_another_one_and_the_old_one_opens_nothing() {
    let site = Site::start().await;
    let owner = site.actor("mia", Role::Streamer).await;
    let channel = owner.channel("One", json!({})).await;
    let renewed = owner.data(NEW_KEY, json!({"input": {"channelId": channel["id"]}})).await;
    let renewed = &renewed["regenerateStreamKey"]["channel"];
    assert_eq!((&renewed["id"], &renewed["loc"]), (&channel["id"], &channel["loc"]));
    let key = &renewed["ingest"]["streamKey"];
    assert_ne!(key, &channel["key"]);
    let publish = |key: &Value, number: u8| {
        format!("app=live&clientid={number}&call=publish&name={}&type=live", key.as_str().unwrap())
    };
    assert_eq!(site.callback("publish", &publish(&channel["key"], 1)).await.0, 403);
    assert_eq!(site.callback("publish", &publish(key, 2)).await.0, 302);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_deleted_channel_is_gone_from_everywhere() {
    let site = Site::start().await;
    let owner = site.actor("mia", Role::Streamer).await;
    let (gone, kept) = (owner.channel("One two", json!({})).await, owner.channel("Two", json!({})).await);
    let deleted = owner.data(DELETE, json!({"input": {"id": gone["id"]}})).await;
    assert_eq!(deleted["deleteChannel"]["deletedChannelId"], gone["id"]);

    let look = "query ($loc: UUID!, $id: ID!) {
        channel(loc: $loc) { name } node(id: $id) { id } nodes(ids: [$id]) { id }
        channels { totalCount nodes { name } }
        mine: channels(filter: {owner: \"mia\"}) { totalCount nodes { name } }
        found: channels(filter: {search: \"two\"}) { totalCount nodes { name } }
        user(handle: \"mia\") { channels { totalCount nodes { name } } } }";
    let seen = owner.data(look, json!({"loc": gone["loc"], "id": gone["id"]})).await;
    let left = json!({"totalCount": 1, "nodes": [{"name": "Two"}]});
    let expected = json!({"channel": null, "node": null, "nodes": [null], "channels": left, "mine": left,
        "found": left, "user": {"channels": left}});
    assert_eq!(seen, expected);
    for (document, input) in [
        (UPDATE, json!({"id": gone["id"], "name": "Back"})),
        (DELETE, json!({"id": gone["id"]})),
        (NEW_KEY, json!({"channelId": gone["id"]})),
    ] {
        assert_eq!(owner.error(document, json!({"input": input})).await, code("NOT_FOUND", ""));
    }
    let form = format!("app=live&clientid=1&call=publish&name={}&type=live", gone["key"].as_str().unwrap());
    assert_eq!(site.callback("publish", &form).await.0, 403, "its key opens nothing");
    let playback =
        "mutation ($input: StartPlaybackInput!) { startPlayback(input: $input) { playback { url } } }";
    assert_eq!(owner.error(playback, json!({"input": {"loc": gone["loc"]}})).await, code("NOT_FOUND", ""));
    owner.data(UPDATE, json!({"input": {"id": kept["id"], "name": "Still here"}})).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_id_of_something_else_is_refused_with_its_field() {
    let site = Site::start().await;
    let mia = site.actor("mia", Role::Admin).await;
    let user = mia.data("{ me { id } }", json!({})).await["me"]["id"].clone();
    let unknown = json!("ch_018f3c1e7d4a70008000000000000000");
    for id in [user, json!(""), json!("ch_"), json!("ch_x"), json!("1")] {
        let refused = mia.error(DELETE, json!({"input": {"id": id}})).await;
        assert_eq!(refused, code("BAD_USER_INPUT", "input.id"), "{id}");
        let refused = mia.error(NEW_KEY, json!({"input": {"channelId": id}})).await;
        assert_eq!(refused, code("BAD_USER_INPUT", "input.channelId"), "{id}");
    }
    assert_eq!(mia.error(DELETE, json!({"input": {"id": unknown}})).await, code("NOT_FOUND", ""));
}

#[tokio::test(flavor = "multi_thread")]
async fn things_are_found_by_their_ids_in_the_order_asked_for() {
    let site = Site::start().await;
    let mia = site.actor("mia", Role::Admin).await;
    let go = topic(&mia, "go").await;
    let channel = mia.channel("One", json!({})).await["id"].clone();
    let user = mia.data("{ me { id } }", json!({})).await["me"]["id"].clone();
    let look = "query ($ids: [ID!]!) { nodes(ids: $ids) { __typename id } }";
    let ids = json!([channel, "nonsense", go, user, "st_018f3c1e7d4a70008000000000000000", channel]);
    let found = mia.data(look, json!({"ids": ids})).await;
    let of = |name: &str, id: &Value| json!({"__typename": name, "id": id});
    let expected = json!([
        of("Channel", &channel),
        null,
        of("Topic", &go),
        of("User", &user),
        null,
        of("Channel", &channel)
    ]);
    assert_eq!(found["nodes"], expected);
    for ids in [json!([]), json!(vec!["x"; 101])] {
        assert_eq!(mia.error(look, json!({"ids": ids})).await, code("BAD_USER_INPUT", "ids"));
    }
}
