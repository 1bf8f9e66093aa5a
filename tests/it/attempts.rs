//! Idempotency keys: what is asked for twice under one key happens once.

use std::time::Duration;

use futures_util::future::join_all;
use serde_json::{Value, json};
use tally::store::Role;

use crate::nginx::eventually;
use crate::site::{Actor, Site};
use crate::sql::Sql;

const CREATE: &str = "mutation ($input: CreateChannelInput!) {
    createChannel(input: $input) { channel { id name ingest { streamKey } } } }";
const NEW_KEY: &str = "mutation ($input: RegenerateStreamKeyInput!) {
    regenerateStreamKey(input: $input) { channel { id ingest { streamKey } } } }";

async fn create(actor: &Actor, name: &str, key: &str) -> Value {
    let input = json!({"name": name, "idempotencyKey": key});
    actor.data(CREATE, json!({"input": input})).await["createChannel"]["channel"].take()
}

async fn new_key(actor: &Actor, channel: &Value, key: &str) -> Value {
    let input = json!({"channelId": channel["id"], "idempotencyKey": key});
    actor.data(NEW_KEY, json!({"input": input})).await["regenerateStreamKey"]["channel"].take()
}

async fn names(site: &Site) -> Vec<String> {
    let all = site.anonymous().data("{ channels(orderBy: NAME) { nodes { name } } }", json!({})).await;
    let nodes = all["channels"]["nodes"].as_array().unwrap().clone();
    nodes.iter().map(|node| node["name"].as_str().unwrap().to_owned()).collect()
}

fn conflict() -> (String, Option<String>) {
    ("CONFLICT".to_owned(), Some("input.idempotencyKey".to_owned()))
}

#[tokio::test(flavor = "multi_thread")]
async fn a_retry_under_the_same_key_makes_no_second_channel() {
    let site = Site::start().await;
    let (mia, leo) = (site.actor("mia", Role::Streamer).await, site.actor("leo", Role::Streamer).await);
    let first = create(&mia, "A", "k").await;
    assert_eq!(create(&mia, "A", "k").await, first);
    let spelled_out = json!({"name": "A", "description": null, "topic": null, "idempotencyKey": "k"});
    let again = mia.data(CREATE, json!({"input": spelled_out})).await;
    assert_eq!(again["createChannel"]["channel"], first, "null is as good as left out");
    let document =
        r#"mutation { createChannel(input: {idempotencyKey: "k", name: "A"}) { channel { id } } }"#;
    let again = mia.data(document, json!({})).await;
    assert_eq!(again["createChannel"]["channel"]["id"], first["id"], "however it is written");
    create(&mia, "B", "another").await;
    create(&leo, "C", "k").await;
    assert_eq!(names(&site).await, ["A", "B", "C"], "another key and another user's are their own");
    let other = json!({"name": "D", "idempotencyKey": "k"});
    assert_eq!(mia.error(CREATE, json!({"input": other})).await, conflict());
    assert_eq!(names(&site).await, ["A", "B", "C"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_is_remembered_for_a_day_and_no_longer() {
    let site = Site::start().await;
    let mia = site.actor("mia", Role::Streamer).await;
    let first = create(&mia, "A", "k").await;
    let remembered = async || {
        tally::command::sweep::forget(&site.store, &site.clock).await.unwrap();
        Sql::on(&site.url).await.lines("SELECT mutation || ' ' || key AS line FROM attempts").await
    };
    site.clock.advance(Duration::from_secs(24 * 60 * 60) - Duration::from_secs(1));
    assert_eq!(remembered().await, ["create_channel k"]);
    assert_eq!(create(&mia, "A", "k").await, first);
    site.clock.advance(Duration::from_secs(1));
    let second = create(&mia, "A", "k").await;
    assert_ne!(second["id"], first["id"], "not swept yet, and no longer held");
    assert_eq!(create(&mia, "A", "k").await, second);
    site.clock.advance(Duration::from_secs(24 * 60 * 60));
    assert_eq!(remembered().await, Vec::<String>::new());
}

#[tokio::test(flavor = "multi_thread")]
async fn many_at_the_very_same_time_make_one_channel() {
    let site = Site::start().await;
    let mia = site.actor("mia", Role::Streamer).await;
    let mut gate = Sql::on(&site.url).await;
    gate.run("BEGIN; LOCK TABLE channels IN SHARE MODE").await;
    let (channels, ()) = tokio::join!(join_all((0..8).map(|_| create(&mia, "A", "k"))), async {
        // One is about to insert the channel, all others wait for what becomes of its key.
        let waiting = "SELECT pid::text AS line FROM pg_locks WHERE NOT granted AND pid IN
            (SELECT pid FROM pg_stat_activity WHERE datname = current_database())";
        let mut look = Sql::on(&site.url).await;
        eventually("all wait", async || look.lines(waiting).await.len() == 8).await;
        gate.run("COMMIT").await;
    });
    assert!(channels.iter().all(|channel| *channel == channels[0]), "{channels:?}");
    assert_eq!(names(&site).await, ["A"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_retried_regeneration_keeps_the_key_that_was_just_handed_out() {
    let site = Site::start().await;
    let mia = site.actor("mia", Role::Streamer).await;
    let (one, two) = (create(&mia, "A", "k").await, create(&mia, "B", "l").await);
    let renewed = new_key(&mia, &one, "k").await;
    assert_ne!(renewed["ingest"], one["ingest"], "the key of a creation is not that of a regeneration");
    assert_eq!(new_key(&mia, &one, "k").await, renewed);
    let other = json!({"channelId": two["id"], "idempotencyKey": "k"});
    assert_eq!(mia.error(NEW_KEY, json!({"input": other})).await, conflict());
    let at_once = join_all((0..8).map(|_| new_key(&mia, &one, "m"))).await;
    assert_ne!(at_once[0], renewed);
    assert!(at_once.iter().all(|channel| *channel == at_once[0]), "{at_once:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_stays_free_when_what_it_came_with_failed() {
    let site = Site::start().await;
    let mia = site.actor("mia", Role::Streamer).await;
    let mut sql = Sql::on(&site.url).await;
    sql.run("ALTER TABLE channels ADD CONSTRAINT nothing CHECK (name <> 'A')").await;
    let input = json!({"input": {"name": "A", "idempotencyKey": "k"}});
    assert_eq!(mia.error(CREATE, input).await, ("INTERNAL".to_owned(), None));
    sql.run("ALTER TABLE channels DROP CONSTRAINT nothing").await;
    let made = create(&mia, "A", "k").await;
    assert_eq!(create(&mia, "A", "k").await, made);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_deleted_since_is_not_made_again() {
    let site = Site::start().await;
    let mia = site.actor("mia", Role::Streamer).await;
    let made = create(&mia, "A", "k").await;
    let delete =
        "mutation ($input: DeleteChannelInput!) { deleteChannel(input: $input) { deletedChannelId } }";
    mia.data(delete, json!({"input": {"id": made["id"]}})).await;
    let input = json!({"input": {"name": "A", "idempotencyKey": "k"}});
    assert_eq!(mia.error(CREATE, input).await, ("NOT_FOUND".to_owned(), None));
    assert_eq!(names(&site).await, Vec::<String>::new());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_is_of_visible_characters() {
    let site = Site::start().await;
    let mia = site.actor("mia", Role::Streamer).await;
    let refused = ("BAD_USER_INPUT".to_owned(), Some("input.idempotencyKey".to_owned()));
    for key in ["", " ", "a b", "a\n", "ä", "\u{0}", &"x".repeat(101)] {
        let input = json!({"input": {"name": "A", "idempotencyKey": key}});
        assert_eq!(mia.error(CREATE, input).await, refused, "{key:?}");
    }
    create(&mia, "A", &"x".repeat(100)).await;
    assert_eq!(names(&site).await, ["A"]);
}
