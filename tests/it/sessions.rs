//! One's own password and sessions: changed, looked at, ended.

use std::time::Duration;

use serde_json::{Value, json};
use tally::store::Role;

use crate::rights::end_of;
use crate::site::{Actor, Site};
use crate::socket::Socket;

const CHANGE: &str = "mutation ($input: ChangePasswordInput!) {
    changePassword(input: $input) { user { handle } revokedSessions } }";
const REVOKE: &str =
    "mutation ($input: RevokeSessionInput!) { revokeSession(input: $input) { revokedSessionId } }";
const SIGN_IN: &str = "mutation ($input: SignInInput!) { signIn(input: $input) { token } }";

fn code(code: &str, field: &str) -> (String, Option<String>) {
    (code.to_owned(), Some(field.to_owned()).filter(|field| !field.is_empty()))
}

fn passwords(current: &str, new: &str) -> Value {
    json!({"input": {"current": current, "new": new}})
}

async fn sessions(actor: &Actor) -> Vec<Value> {
    let query = "{ me { sessions { id createdAt expiresAt current } } }";
    actor.data(query, json!({})).await["me"]["sessions"].as_array().unwrap().clone()
}

async fn sign_in(site: &Site, handle: &str, password: &str) -> (String, Option<String>) {
    let input = json!({"input": {"handle": handle, "password": password}});
    let answer = site.anonymous().ask(SIGN_IN, input).await;
    match answer["errors"][0]["extensions"]["code"].as_str() {
        Some(word) => code(word, ""),
        None => code("in", ""),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_changed_password_opens_the_door_and_the_old_one_does_not() {
    let site = Site::start().await;
    let mia = site.actor("mia", Role::Viewer).await;
    let changed = mia.data(CHANGE, passwords("password of mia", "another password")).await;
    assert_eq!(changed["changePassword"], json!({"user": {"handle": "mia"}, "revokedSessions": 0}));
    assert_eq!(sign_in(&site, "mia", "password of mia").await, code("UNAUTHENTICATED", ""));
    assert_eq!(sign_in(&site, "mia", "another password").await, code("in", ""));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_changed_password_ends_all_other_sessions_of_that_user_alone() {
    let site = Site::start().await;
    let mia = site.actor("mia", Role::Viewer).await;
    let (phone, bob) = (mia.again(&site).await, site.actor("bob", Role::Viewer).await);
    let changed = mia.data(CHANGE, passwords("password of mia", "another password")).await;
    assert_eq!(changed["changePassword"]["revokedSessions"], 1);
    assert_eq!(phone.error("{ me { id } }", json!({})).await, code("UNAUTHENTICATED", ""));
    for still in [&mia, &bob] {
        assert!(still.data("{ me { id } }", json!({})).await["me"]["id"].is_string());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_password_is_changed_only_by_who_knows_it_and_into_one_that_is_long_enough() {
    let site = Site::start().await;
    let mia = site.actor("mia", Role::Viewer).await;
    let refused = mia.error(CHANGE, passwords("not hers", "another password")).await;
    assert_eq!(refused, code("BAD_USER_INPUT", "input.current"));
    for short in ["", "1234567", &"x".repeat(201)] {
        let refused = mia.error(CHANGE, passwords("password of mia", short)).await;
        assert_eq!(refused, code("BAD_USER_INPUT", "input.new"), "{} characters", short.len());
    }
    let nobody = site.anonymous().error(CHANGE, passwords("password of mia", "another password")).await;
    assert_eq!(nobody, code("UNAUTHENTICATED", ""));
    assert_eq!(sign_in(&site, "mia", "password of mia").await, code("in", ""), "nothing has changed");
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_found_a_session_cannot_guess_its_password_without_end() {
    let site = Site::start().await;
    let mia = site.actor("mia", Role::Viewer).await;
    site.clock.advance(Duration::from_secs(61));
    for _ in 0..10 {
        let refused = mia.error(CHANGE, passwords("a guess", "another password")).await;
        assert_eq!(refused, code("BAD_USER_INPUT", "input.current"));
    }
    let refused = mia.error(CHANGE, passwords("password of mia", "another password")).await;
    assert_eq!(refused, code("RATE_LIMITED", ""));
    assert_eq!(
        sign_in(&site, "mia", "password of mia").await,
        code("RATE_LIMITED", ""),
        "they count together"
    );
    let admin = site.actor("admin", Role::Admin).await;
    let query = "{ auditRecords(subject: \"mia\", kind: SIGN_IN_FAILED) { nodes { times } } }";
    let found = admin.data(query, json!({})).await;
    assert_eq!(found["auditRecords"]["nodes"], json!([{"times": 10}]));
}

#[tokio::test(flavor = "multi_thread")]
async fn of_two_changes_at_once_one_is_made() {
    let site = Site::start().await;
    let mia = site.actor("mia", Role::Viewer).await;
    let user = site.store.user_by_handle("mia").await.unwrap().unwrap();
    let (_, before) = site.store.user_with_password("mia").await.unwrap().unwrap();
    let change = async |after: &str| {
        site.store.change_password(user.id, &before, after, &[], &site.deed()).await.unwrap()
    };
    let (one, other) = tokio::join!(change("$one$"), change("$other$"));
    use tally::store::PasswordChange::Superseded;
    assert_ne!(one == Superseded, other == Superseded, "{one:?} {other:?}");
    assert_eq!(mia.error("{ me { id } }", json!({})).await, code("UNAUTHENTICATED", ""));
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_showed_a_password_that_has_changed_since_gets_no_session() {
    let site = Site::start().await;
    site.actor("mia", Role::Viewer).await;
    let (user, before) = site.store.user_with_password("mia").await.unwrap().unwrap();
    site.store.change_password(user.id, &before, "$new$", &[], &site.deed()).await.unwrap();
    let until = site.clock.now() + Duration::from_secs(60);
    let opened = site.store.create_session(&[1; 32], user.id, &before, until, &site.deed()).await.unwrap();
    assert_eq!(opened, tally::store::Opened::PasswordChanged);
}

#[tokio::test(flavor = "multi_thread")]
async fn ones_own_sessions_are_listed_the_newest_first_and_nobody_elses() {
    let site = Site::start().await;
    let mia = site.actor("mia", Role::Viewer).await;
    site.clock.advance(Duration::from_secs(60));
    let phone = mia.again(&site).await;
    let admin = site.actor("admin", Role::Admin).await;
    let listed = sessions(&phone).await;
    let shown: Vec<_> = listed.iter().map(|it| (it["createdAt"].clone(), it["current"].clone())).collect();
    assert_eq!(
        shown,
        [(json!("2026-11-23T12:01:00.000Z"), json!(true)), (json!("2026-11-23T12:00:00.000Z"), json!(false))]
    );
    assert_eq!(listed[0]["expiresAt"], "2026-12-23T12:01:00.000Z");
    assert_eq!(sessions(&mia).await[0]["id"], listed[0]["id"], "the same names for everybody who sees them");
    assert!(
        !listed.iter().any(|it| mia.token.as_deref().unwrap().contains(&it["id"].as_str().unwrap()[3..]))
    );
    let of_mia = "{ user(handle: \"mia\") { sessions { id } } }";
    for other in [&site.anonymous(), &admin] {
        assert_eq!(other.data(of_mia, json!({})).await["user"]["sessions"], Value::Null);
    }
    site.clock.advance(Duration::from_secs(30 * 24 * 60 * 60 - 60));
    assert_eq!(sessions(&phone).await.len(), 1, "one is over");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_session_is_ended_by_its_user_with_its_socket_and_by_nobody_else() {
    let site = Site::start().await;
    let (mia, bob) = (site.actor("mia", Role::Viewer).await, site.actor("bob", Role::Viewer).await);
    let phone = mia.again(&site).await;
    let mut socket = Socket::of(site.public, &phone).await;
    let of_phone = sessions(&phone).await.into_iter().find(|it| it["current"] == true).unwrap();
    let which = json!({"input": {"sessionId": of_phone["id"]}});
    assert_eq!(bob.error(REVOKE, which.clone()).await, code("NOT_FOUND", ""));
    assert_eq!(site.anonymous().error(REVOKE, which.clone()).await, code("UNAUTHENTICATED", ""));
    let revoked = mia.data(REVOKE, which.clone()).await;
    assert_eq!(revoked["revokeSession"]["revokedSessionId"], of_phone["id"]);
    assert_eq!(phone.error("{ me { id } }", json!({})).await, code("UNAUTHENTICATED", ""));
    assert_eq!(mia.error(REVOKE, which).await, code("NOT_FOUND", ""));
    assert_eq!(end_of(&mut socket).await, 4403);
    let admin = site.actor("admin", Role::Admin).await;
    let query = "{ auditRecords(subject: \"mia\", kind: SIGNED_OUT) { nodes { actor { handle } } } }";
    let found = admin.data(query, json!({})).await;
    assert_eq!(found["auditRecords"]["nodes"], json!([{"actor": {"handle": "mia"}}]));
}

#[tokio::test(flavor = "multi_thread")]
async fn ending_the_session_that_one_speaks_with_takes_the_cookie_back() {
    let site = Site::start().await;
    let mia = site.actor("mia", Role::Viewer).await;
    let id = sessions(&mia).await[0]["id"].clone();
    let body = json!({"query": REVOKE, "variables": {"input": {"sessionId": id}}}).to_string();
    let request = site.client.post(format!("http://{}/graphql", site.public)).body(body);
    let request = request.header("content-type", "application/json");
    let token = mia.token.as_deref().unwrap();
    let answer = request.header("authorization", format!("Bearer {token}")).send().await.unwrap();
    let cookie = answer.headers()["set-cookie"].to_str().unwrap().to_owned();
    assert!(cookie.starts_with("tally_session=;") && cookie.contains("Max-Age=0"), "{cookie}");
    assert_eq!(mia.error("{ me { id } }", json!({})).await, code("UNAUTHENTICATED", ""));
}
