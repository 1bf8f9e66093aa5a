//! Who did what: on record, for admins, and for good.

use std::time::Duration;

use serde_json::{Value, json};
use tally::command::sweep::forget;
use tally::store::Role;

use crate::nginx::Stage;
use crate::site::{Actor, Site};
use crate::sql::Sql;

const SIGN_IN: &str = "mutation ($input: SignInInput!) { signIn(input: $input) { token } }";
const SIGN_UP: &str = "mutation ($input: SignUpInput!) { signUp(input: $input) { user { handle } } }";
const SET_ROLE: &str = "mutation ($input: SetRoleInput!) { setRole(input: $input) { user { role } } }";
const RECORDS: &str = "query ($first: Int, $after: String, $last: Int, $before: String, $actor: String, $subject: String,
    $kind: AuditKind) { auditRecords(first: $first, after: $after, last: $last, before: $before, actor: $actor,
        subject: $subject, kind: $kind) {
    totalCount pageInfo { hasNextPage hasPreviousPage startCursor endCursor }
    nodes { kind at actor { handle } subject { handle } channelId address detail times } } }";

/// What is on record, in a line each: the newest first.
async fn records(admin: &Actor, which: Value) -> Vec<String> {
    let read = admin.data(RECORDS, which).await;
    let handle = |user: &Value| user["handle"].as_str().unwrap_or("-").to_owned();
    let word = |word: &Value| word.as_str().unwrap_or("-").to_owned();
    let line = |node: &Value| {
        let (kind, actor, subject) = (word(&node["kind"]), handle(&node["actor"]), handle(&node["subject"]));
        format!(
            "{kind} {actor} {subject} {} {} x{}",
            word(&node["address"]),
            word(&node["detail"]),
            node["times"]
        )
    };
    read["auditRecords"]["nodes"].as_array().unwrap().iter().map(line).collect()
}

async fn fail_to_sign_in(site: &Site, handle: &str) {
    let input = json!({"input": {"handle": handle, "password": "not the password"}});
    assert_eq!(site.anonymous().error(SIGN_IN, input).await.0, "UNAUTHENTICATED");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_done_to_accounts_is_on_record_with_who_and_from_where() {
    let site = Site::start().await;
    let admin = site.actor("admin", Role::Admin).await;
    let input = json!({"input": {"handle": "mia", "password": "a long password"}});
    site.anonymous().data(SIGN_UP, input.clone()).await;
    let token = site.anonymous().data(SIGN_IN, input).await["signIn"]["token"].clone();
    let mia = site.anonymous().with_token(token.as_str().unwrap());
    let id = mia.data("{ me { id } }", json!({})).await["me"]["id"].clone();
    for _ in 0..2 {
        admin.data(SET_ROLE, json!({"input": {"userId": id, "role": "STREAMER"}})).await;
    }
    mia.data("mutation { signOut }", json!({})).await;
    let user = site.store.user_by_handle("mia").await.unwrap().unwrap();
    site.store.set_role(user.id, Role::Viewer, &site.deed()).await.unwrap();
    site.store.set_password(user.id, "$argon2id$", &site.deed()).await.unwrap();
    let expected = [
        "PASSWORD_SET - mia - - x1",
        "ROLE_CHANGED - mia - streamer to viewer x1",
        "SIGNED_OUT mia mia 127.0.0.1 - x1",
        "ROLE_CHANGED admin mia 127.0.0.1 viewer to streamer x1",
        "SIGNED_IN mia mia 127.0.0.1 - x1",
        "SIGNED_IN mia mia 127.0.0.1 - x1",
        "SIGNED_UP mia mia 127.0.0.1 viewer x1",
        "SIGNED_IN admin admin 127.0.0.1 - x1",
        "SIGNED_UP - admin - admin x1",
    ];
    let mut found = records(&admin, json!({})).await;
    // They are of the same moment, in which their order is not kept.
    let mut expected = expected.map(str::to_owned).to_vec();
    found.sort();
    expected.sort();
    assert_eq!(found, expected);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_done_to_channels_is_on_record_and_never_a_key() {
    let stage = Stage::set().await;
    let root = stage.site.actor("root", Role::Admin).await;
    let judge = stage.site.actor("judge", Role::Moderator).await;
    let owner = &stage.owner;
    stage.site.clock.advance(Duration::from_secs(3600));
    for actor in [owner, owner, &root, &judge] {
        let ask = "query ($loc: UUID!) { channel(loc: $loc) { ingest { serverUrl streamKey } } }";
        actor.data(ask, json!({"loc": stage.loc()})).await;
        actor
            .data(
                "query ($loc: UUID!) { channel(loc: $loc) { ingest { serverUrl } } }",
                json!({"loc": stage.loc()}),
            )
            .await;
    }
    stage.on_the_air(1).await;
    stage.change(owner, "endStream", "channelId", "stream { state }").await;
    stage.site.clock.advance(Duration::from_secs(60));
    stage.on_the_air(2).await;
    for _ in 0..2 {
        stage.change(&judge, "endStream", "channelId", "stream { state }").await;
    }
    let renewed =
        stage.change(owner, "regenerateStreamKey", "channelId", "channel { ingest { streamKey } }").await;
    stage.change(&root, "deleteChannel", "id", "deletedChannelId").await;
    let seen = |kind: &str| json!({"subject": "mia", "kind": kind});
    let lines = [
        ("STREAM_ENDED", vec!["STREAM_ENDED judge mia 127.0.0.1 One x1"]),
        ("KEY_REGENERATED", vec!["KEY_REGENERATED mia mia 127.0.0.1 One x1"]),
        ("CHANNEL_DELETED", vec!["CHANNEL_DELETED root mia 127.0.0.1 One x1"]),
        (
            "KEY_READ",
            // The new key; the old one an hour after it was made; when it was made.
            vec![
                "KEY_READ mia mia 127.0.0.1 - x1",
                "KEY_READ mia mia 127.0.0.1 - x1",
                "KEY_READ mia mia 127.0.0.1 - x2",
                "KEY_READ root mia 127.0.0.1 - x1",
            ],
        ),
    ];
    for (kind, expected) in lines {
        let mut found = records(&root, seen(kind)).await;
        found.sort();
        assert_eq!(found, expected);
    }
    let all = root.data(RECORDS, json!({"first": 100})).await;
    for node in all["auditRecords"]["nodes"].as_array().unwrap() {
        let about_channel = node["channelId"] == stage.channel["id"];
        assert_eq!(about_channel, node["channelId"] != Value::Null, "{node}");
    }
    let keys =
        [&stage.channel["key"], &renewed["data"]["regenerateStreamKey"]["channel"]["ingest"]["streamKey"]];
    let rows =
        Sql::on(&stage.site.url).await.lines("SELECT audit_records::text AS line FROM audit_records").await;
    for secret in keys.map(|key| key.as_str().unwrap().to_owned()).iter().chain(owner.token.iter()) {
        assert!(rows.iter().all(|row| !row.contains(secret)));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_flood_of_failures_is_a_record_a_minute_for_each_account() {
    let site = Site::start().await;
    let admin = site.actor("admin", Role::Admin).await;
    site.actor("mia", Role::Viewer).await;
    let failed = json!({"kind": "SIGN_IN_FAILED"});
    for handle in ["mia", "ghost", "nobody", "mia", "wraith", "admin", "mia", "' OR 1=1"] {
        fail_to_sign_in(&site, handle).await;
    }
    let mut found = records(&admin, failed.clone()).await;
    found.sort();
    let expected = [
        "SIGN_IN_FAILED - - 127.0.0.1 ghost x4",
        "SIGN_IN_FAILED - admin 127.0.0.1 admin x1",
        "SIGN_IN_FAILED - mia 127.0.0.1 mia x3",
    ];
    assert_eq!(found, expected);
    site.clock.advance(Duration::from_secs(60));
    fail_to_sign_in(&site, "mia").await;
    assert_eq!(records(&admin, failed).await[0], "SIGN_IN_FAILED - mia 127.0.0.1 mia x1");
    let mias = records(&admin, json!({"kind": "SIGN_IN_FAILED", "subject": "mia"})).await;
    assert_eq!(mias.len(), 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_page_goes_on_where_the_last_one_ended_whatever_is_added() {
    let site = Site::start().await;
    let admin = site.actor("admin", Role::Admin).await;
    for number in 0..5 {
        site.clock.advance(Duration::from_secs(1));
        site.actor(&format!("user_{number}"), Role::Viewer).await;
    }
    let kind = json!("SIGNED_UP");
    let page = async |which: Value| {
        let mut variables = which;
        variables["kind"] = kind.clone();
        let read = admin.data(RECORDS, variables).await["auditRecords"].clone();
        let handles = read["nodes"].as_array().unwrap().iter();
        let handles: Vec<String> =
            handles.map(|node| node["subject"]["handle"].as_str().unwrap().to_owned()).collect();
        (handles, read)
    };
    let (first, read) = page(json!({"first": 2})).await;
    assert_eq!((first, &read["totalCount"]), (vec!["user_4".to_owned(), "user_3".to_owned()], &json!(6)));
    site.clock.advance(Duration::from_secs(1));
    site.actor("later", Role::Viewer).await;
    let (second, read) = page(json!({"first": 2, "after": read["pageInfo"]["endCursor"]})).await;
    assert_eq!(second, ["user_2", "user_1"]);
    let (back, _) = page(json!({"last": 2, "before": read["pageInfo"]["startCursor"]})).await;
    assert_eq!(back, ["user_4", "user_3"]);
    for (field, which) in [
        ("first", json!({"first": 0})),
        ("after", json!({"after": "x"})),
        ("last", json!({"first": 1, "last": 1})),
    ] {
        assert_eq!(admin.error(RECORDS, which).await, ("BAD_USER_INPUT".to_owned(), Some(field.to_owned())));
    }
    assert_eq!(records(&admin, json!({"actor": "no such user"})).await, Vec::<String>::new());
    assert_eq!(records(&admin, json!({"actor": "later"})).await, ["SIGNED_IN later later 127.0.0.1 - x1"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_on_record_can_be_changed_or_removed_before_its_time() {
    let site = Site::start().await;
    let admin = site.actor("admin", Role::Admin).await;
    let mut sql = Sql::on(&site.url).await;
    for statement in [
        "UPDATE audit_records SET detail = 'nothing'",
        "UPDATE audit_records SET times = times + 1, actor_id = NULL",
        "UPDATE audit_records SET times = 0",
        "DELETE FROM audit_records",
        "SET tally.audit_horizon = ''; DELETE FROM audit_records",
        "TRUNCATE audit_records",
        "TRUNCATE users CASCADE",
    ] {
        let refused = sql.attempt(statement).await.expect_err(statement);
        assert!(refused.contains("only ever added"), "{statement}: {refused}");
    }
    let all = async || records(&admin, json!({})).await.len();
    assert_eq!(all().await, 2);
    site.clock.advance(Duration::from_secs(365 * 24 * 3600));
    forget(&site.store, &site.clock).await.unwrap();
    let admin = admin.again(&site).await;
    let left = records(&admin, json!({})).await;
    assert_eq!(left.len(), 3, "a year is not over before it is over: {left:?}");
    site.clock.advance(Duration::from_secs(1));
    forget(&site.store, &site.clock).await.unwrap();
    assert_eq!(records(&admin, json!({})).await, ["SIGNED_IN admin admin 127.0.0.1 - x1"]);
}
