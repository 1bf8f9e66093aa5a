//! Topics: what a new site offers, and how admins look after it.

use serde_json::{Value, json};
use tally::store::Role;

use crate::site::{Actor, Site};

const CREATE: &str =
    "mutation ($input: CreateTopicInput!) { createTopic(input: $input) { topic { id slug name retired } } }";
const RENAME: &str =
    "mutation ($input: RenameTopicInput!) { renameTopic(input: $input) { topic { id slug name retired } } }";
const RETIRE: &str =
    "mutation ($input: RetireTopicInput!) { retireTopic(input: $input) { topic { id slug name retired } } }";

fn code(code: &str, field: &str) -> (String, Option<String>) {
    (code.to_owned(), Some(field.to_owned()).filter(|field| !field.is_empty()))
}

/// What a new site offers, by name.
const SEED: [&str; 12] = [
    "art",
    "education",
    "food",
    "games",
    "just-chatting",
    "music",
    "news",
    "science",
    "software",
    "sports",
    "talks",
    "travel",
];

async fn slugs(actor: &Actor) -> Vec<String> {
    let topics = actor.data("{ topics { slug } }", json!({})).await;
    topics["topics"].as_array().unwrap().iter().map(|it| it["slug"].as_str().unwrap().to_owned()).collect()
}

/// The topics on offer that did not come with the site.
async fn added(actor: &Actor) -> Vec<String> {
    slugs(actor).await.into_iter().filter(|slug| !SEED.contains(&slug.as_str())).collect()
}

async fn create(admin: &Actor, slug: &str, name: &str) -> Value {
    admin.data(CREATE, json!({"input": {"slug": slug, "name": name}})).await["createTopic"]["topic"].take()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_new_site_offers_topics_and_what_admins_make_of_them_stays() {
    let site = Site::start().await;
    assert_eq!(slugs(&site.anonymous()).await, SEED);

    let admin = site.actor("admin", Role::Admin).await;
    let topics = admin.data("{ topics { id slug } }", json!({})).await;
    let art = &topics["topics"][0]["id"];
    admin.data(RETIRE, json!({"input": {"id": art}})).await;
    site.store.migrate().await.unwrap();
    assert_eq!(slugs(&site.anonymous()).await, SEED[1..]);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_admin_adds_a_topic_that_is_offered_by_name() {
    let site = Site::start().await;
    let admin = site.actor("admin", Role::Admin).await;
    let go = create(&admin, "go", " 围棋 ").await;
    assert_eq!(go, json!({"id": go["id"], "slug": "go", "name": "围棋", "retired": false}));
    create(&admin, "z-first", "Art").await;
    create(&admin, "a-last", "Music").await;
    let offered = added(&site.anonymous()).await;
    assert_eq!(offered, ["z-first", "a-last", "go"]);
    let taken = admin.error(CREATE, json!({"input": {"slug": "go", "name": "Go"}})).await;
    assert_eq!(taken, code("CONFLICT", "input.slug"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_topic_that_breaks_a_rule_is_refused_with_its_field() {
    let site = Site::start().await;
    let admin = site.actor("admin", Role::Admin).await;
    let long = "x".repeat(51);
    for slug in ["", "-a", "a-", "a--b", "Go", "围棋", "a b", "a\u{0}", &long] {
        let refused = admin.error(CREATE, json!({"input": {"slug": slug, "name": "Name"}})).await;
        assert_eq!(refused, code("BAD_USER_INPUT", "input.slug"), "{slug:?}");
    }
    let id = create(&admin, "go", "Go").await["id"].clone();
    for name in ["", " ", "a\nb", "a\u{0}b", &"界".repeat(51)] {
        let refused = admin.error(CREATE, json!({"input": {"slug": "new", "name": name}})).await;
        assert_eq!(refused, code("BAD_USER_INPUT", "input.name"), "{name:?}");
        let refused = admin.error(RENAME, json!({"input": {"id": id, "name": name}})).await;
        assert_eq!(refused, code("BAD_USER_INPUT", "input.name"), "{name:?}");
    }
    create(&admin, &"x".repeat(50), &"界".repeat(50)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_topic_is_renamed_under_the_same_slug() {
    let site = Site::start().await;
    let admin = site.actor("admin", Role::Admin).await;
    let go = create(&admin, "go", "Go").await;
    let renamed = admin.data(RENAME, json!({"input": {"id": go["id"], "name": "围棋"}})).await;
    assert_eq!(
        renamed["renameTopic"]["topic"],
        json!({"id": go["id"], "slug": "go", "name": "围棋", "retired": false})
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_retired_topic_is_not_offered_but_still_there() {
    let site = Site::start().await;
    let admin = site.actor("admin", Role::Admin).await;
    let go = create(&admin, "go", "Go").await;
    admin.channel("One", json!({"topic": "go"})).await;
    let retired = admin.data(RETIRE, json!({"input": {"id": go["id"]}})).await;
    assert_eq!(retired["retireTopic"]["topic"]["retired"], true);
    assert_eq!(added(&admin).await, Vec::<String>::new());
    let look = "query ($id: ID!) { node(id: $id) { ... on Topic { slug } }
        channels(filter: {topic: \"go\"}) { nodes { name topic { slug } } } }";
    let seen = admin.data(look, json!({"id": go["id"]})).await;
    assert_eq!(seen["node"], json!({"slug": "go"}));
    assert_eq!(seen["channels"]["nodes"], json!([{"name": "One", "topic": {"slug": "go"}}]));
    admin.data(RETIRE, json!({"input": {"id": go["id"], "retired": false}})).await;
    assert_eq!(added(&admin).await, ["go"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn only_admins_look_after_topics() {
    let site = Site::start().await;
    let go = create(&site.actor("admin", Role::Admin).await, "go", "Go").await;
    let others = [
        (site.anonymous(), "UNAUTHENTICATED"),
        (site.actor("viewer", Role::Viewer).await, "FORBIDDEN"),
        (site.actor("streamer", Role::Streamer).await, "FORBIDDEN"),
        (site.actor("moderator", Role::Moderator).await, "FORBIDDEN"),
    ];
    for (other, expected) in &others {
        for (document, input) in [
            (CREATE, json!({"slug": "mine", "name": "Mine"})),
            (RENAME, json!({"id": go["id"], "name": "Mine"})),
            (RETIRE, json!({"id": go["id"]})),
        ] {
            assert_eq!(other.error(document, json!({"input": input})).await, code(expected, ""));
        }
    }
    assert_eq!(added(&site.anonymous()).await, ["go"]);
    let topic = site
        .anonymous()
        .data("query ($id: ID!) { node(id: $id) { ... on Topic { name retired } } }", json!({"id": go["id"]}))
        .await;
    assert_eq!(topic["node"], json!({"name": "Go", "retired": false}));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_topic_that_is_not_there_is_said_not_to_be() {
    let site = Site::start().await;
    let admin = site.actor("admin", Role::Admin).await;
    let unknown = "to_018f3c1e7d4a70008000000000000000";
    for (id, expected) in [(unknown, code("NOT_FOUND", "")), ("go", code("BAD_USER_INPUT", "input.id"))] {
        assert_eq!(admin.error(RENAME, json!({"input": {"id": id, "name": "Name"}})).await, expected);
        assert_eq!(admin.error(RETIRE, json!({"input": {"id": id}})).await, expected);
    }
}
