//! Accounts: signing up, in and out; what a session is worth, and for how long; roles.

use std::time::Duration;

use reqwest::header::{HeaderMap, SET_COOKIE};
use serde_json::{Value, json};
use tally::store::Role;

use crate::site::{Actor, Site, unlike_any};

const SIGN_UP: &str = "mutation ($input: SignUpInput!) {
    signUp(input: $input) { token expiresAt user { handle displayName role createdAt } } }";
const SIGN_IN: &str =
    "mutation ($input: SignInInput!) { signIn(input: $input) { token expiresAt user { handle } } }";
const SET_ROLE: &str = "mutation ($input: SetRoleInput!) { setRole(input: $input) { user { id role } } }";

fn code(code: &str, field: &str) -> (String, Option<String>) {
    (code.to_owned(), Some(field.to_owned()).filter(|field| !field.is_empty()))
}

async fn me(actor: &Actor) -> Value {
    actor.data("{ me { handle } }", json!({})).await["me"]["handle"].clone()
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_signs_up_is_a_viewer_and_signed_in() {
    let site = Site::start().await;
    let input = json!({"handle": "mia_1", "password": "a long password", "displayName": "  米娅 🎥 "});
    let made = site.anonymous().data(SIGN_UP, json!({"input": input})).await["signUp"].clone();
    let user = json!({"handle": "mia_1", "displayName": "米娅 🎥", "role": "VIEWER",
        "createdAt": "2026-11-23T12:00:00.000Z"});
    assert_eq!(made["user"], user);
    assert_eq!(made["expiresAt"], "2026-12-23T12:00:00.000Z");
    let mia = site.anonymous().with_token(made["token"].as_str().unwrap());
    assert_eq!(me(&mia).await, "mia_1");
    let plain = json!({"handle": "bob", "password": "a long password"});
    let made = site.anonymous().data(SIGN_UP, json!({"input": plain})).await;
    assert_eq!(made["signUp"]["user"]["displayName"], "bob");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_account_that_breaks_a_rule_is_refused_with_the_field() {
    let site = Site::start().await;
    let long = "x".repeat(31);
    for handle in ["", "ab", "Mia", "mía", "mi a", "mia-1", "mia\u{0}", "米娅米娅", long.as_str()] {
        let input = json!({"handle": handle, "password": "a long password"});
        let refused = site.anonymous().error(SIGN_UP, json!({"input": input})).await;
        assert_eq!(refused, code("BAD_USER_INPUT", "input.handle"), "{handle:?}");
    }
    for password in ["", "1234567", &"x".repeat(201)] {
        let input = json!({"handle": "mia", "password": password});
        let refused = site.anonymous().error(SIGN_UP, json!({"input": input})).await;
        assert_eq!(refused, code("BAD_USER_INPUT", "input.password"), "{} characters", password.len());
    }
    for name in ["", "  ", "a\nb", "a\u{202E}b", &"界".repeat(51)] {
        let input = json!({"handle": "mia", "password": "a long password", "displayName": name});
        let refused = site.anonymous().error(SIGN_UP, json!({"input": input})).await;
        assert_eq!(refused, code("BAD_USER_INPUT", "input.displayName"), "{name:?}");
    }
    for (handle, password) in [("abc", "界".repeat(8)), (&long[..30], "x".repeat(200))] {
        let input = json!({"handle": handle, "password": password, "displayName": "界".repeat(50)});
        site.anonymous().data(SIGN_UP, json!({"input": input})).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_handle_belongs_to_the_first_who_takes_it() {
    let site = Site::start().await;
    site.actor("mia", Role::Viewer).await;
    let input = json!({"handle": "mia", "password": "another password"});
    let refused = site.anonymous().error(SIGN_UP, json!({"input": input})).await;
    assert_eq!(refused, code("CONFLICT", "input.handle"));
}

#[tokio::test(flavor = "multi_thread")]
async fn where_sign_up_is_closed_nobody_makes_an_account() {
    let site = Site::with(&["--sign-up", "closed"]).await;
    let input = json!({"handle": "mia", "password": "a long password"});
    let refused = site.anonymous().error(SIGN_UP, json!({"input": input})).await;
    assert_eq!(refused, code("FORBIDDEN", ""));
    assert_eq!(me(&site.actor("operator", Role::Admin).await).await, "operator", "who has one signs in");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_wrong_password_and_an_unknown_handle_are_answered_alike() {
    let site = Site::start().await;
    site.actor("mia", Role::Viewer).await;
    let mut answers = Vec::new();
    for handle in ["mia", "nobody", "MIA", "", "mia\u{0}", "' OR 1=1"] {
        let input = json!({"handle": handle, "password": "not hers"});
        let mut answer = site.anonymous().ask(SIGN_IN, json!({"input": input})).await;
        answer["extensions"] = Value::Null;
        answers.push(answer);
    }
    assert_eq!(answers[0]["errors"][0]["extensions"]["code"], "UNAUTHENTICATED");
    assert!(answers.iter().all(|answer| *answer == answers[0]), "{answers:#?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn signing_out_ends_that_session_only() {
    let site = Site::start().await;
    let first = site.actor("mia", Role::Viewer).await;
    let input = json!({"handle": "mia", "password": "password of mia"});
    let again = site.anonymous().data(SIGN_IN, json!({"input": input})).await;
    let second = first.with_token(again["signIn"]["token"].as_str().unwrap());
    assert_ne!(first.token, second.token);

    assert_eq!(first.data("mutation { signOut }", json!({})).await, json!({"signOut": true}));
    assert_eq!(first.error("{ me { handle } }", json!({})).await, code("UNAUTHENTICATED", ""));
    assert_eq!(me(&second).await, "mia");
    let nobody = site.anonymous().data("mutation { signOut }", json!({})).await;
    assert_eq!(nobody, json!({"signOut": false}));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_session_ends_when_its_time_is_over() {
    let site = Site::start().await;
    let mia = site.actor("mia", Role::Viewer).await;
    site.clock.advance(Duration::from_secs(30 * 24 * 60 * 60 - 1));
    assert_eq!(me(&mia).await, "mia");
    site.clock.advance(Duration::from_secs(1));
    assert_eq!(mia.error("{ me { handle } }", json!({})).await, code("UNAUTHENTICATED", ""));
}

#[tokio::test(flavor = "multi_thread")]
async fn nobody_in_particular_is_null_and_a_made_up_token_is_refused() {
    let site = Site::start().await;
    assert_eq!(me(&site.anonymous()).await, Value::Null);
    for token in ["x", "tally_session_x", &format!("tally_session_{}", "A".repeat(43))] {
        let stranger = site.anonymous().with_token(token);
        assert_eq!(
            stranger.error("{ me { handle } }", json!({})).await,
            code("UNAUTHENTICATED", ""),
            "{token}"
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn users_are_found_by_handle() {
    let site = Site::start().await;
    site.actor("mia", Role::Moderator).await;
    let of = "query ($handle: String!) { user(handle: $handle) { handle role } }";
    for (handle, found) in [
        ("mia", json!({"handle": "mia", "role": "MODERATOR"})),
        ("MIA", Value::Null),
        ("nobody", Value::Null),
        ("", Value::Null),
        ("mia\u{0}", Value::Null),
    ] {
        assert_eq!(site.anonymous().data(of, json!({"handle": handle})).await["user"], found, "{handle:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn admins_give_roles_and_they_hold_at_once() {
    let site = Site::start().await;
    let admin = site.actor("admin", Role::Admin).await;
    let mia = site.actor("mia", Role::Viewer).await;
    let id = mia.data("{ me { id } }", json!({})).await["me"]["id"].clone();
    let create = "mutation { createChannel(input: {name: \"One\"}) { channel { name } } }";
    assert_eq!(mia.error(create, json!({})).await, code("FORBIDDEN", ""));
    for role in ["STREAMER", "MODERATOR", "ADMIN", "VIEWER", "STREAMER"] {
        let given = admin.data(SET_ROLE, json!({"input": {"userId": id, "role": role}})).await;
        assert_eq!(given["setRole"]["user"], json!({"id": id, "role": role}));
        assert_eq!(mia.data("{ me { role } }", json!({})).await["me"]["role"], role);
    }
    mia.data(create, json!({})).await;
    let own = json!({"input": {"userId": id, "role": "ADMIN"}});
    assert_eq!(mia.error(SET_ROLE, own).await, code("FORBIDDEN", ""), "nobody raises themselves");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_role_for_nobody_is_refused() {
    let site = Site::start().await;
    let admin = site.actor("admin", Role::Admin).await;
    let channel = admin.channel("One", json!({})).await["id"].clone();
    let unknown = "us_018f3c1e7d4a70008000000000000000";
    for (id, expected) in [
        (json!(unknown), code("NOT_FOUND", "")),
        (json!("mia"), code("BAD_USER_INPUT", "input.userId")),
        (channel, code("BAD_USER_INPUT", "input.userId")),
    ] {
        assert_eq!(admin.error(SET_ROLE, json!({"input": {"userId": id, "role": "ADMIN"}})).await, expected);
    }
}

/// Sends a document as a browser does, and gives back the answer with its headers.
async fn as_browser(site: &Site, headers: &[(&'static str, &str)], query: &str) -> (HeaderMap, Value) {
    let mut request = site.client.post(format!("http://{}/graphql", site.public));
    request = request.header("content-type", "application/json");
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    let answer = request.body(unlike_any(query, json!({}))).send().await.unwrap();
    let headers = answer.headers().clone();
    (headers, serde_json::from_str(&answer.text().await.unwrap()).unwrap())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_browser_of_this_site_is_signed_in_by_a_cookie_out_of_its_scripts_reach() {
    let site = Site::start().await;
    site.actor("mia", Role::Viewer).await;
    let sign_in = "mutation { signIn(input: {handle: \"mia\", password: \"password of mia\"}) { token } }";
    let (headers, signed_in) = as_browser(&site, &[], sign_in).await;
    let cookie = headers[SET_COOKIE].to_str().unwrap().to_owned();
    let token = signed_in["data"]["signIn"]["token"].as_str().unwrap();
    let month = 30 * 24 * 60 * 60;
    assert_eq!(cookie, format!("tally_session={token}; Path=/; HttpOnly; SameSite=Lax; Max-Age={month}"));

    let own = format!("http://{}", site.public);
    let sent = format!("other=1; tally_session={token}");
    let ask = async |origin: Option<&str>| {
        let mut headers = vec![("cookie", sent.as_str())];
        headers.extend(origin.map(|origin| ("origin", origin)));
        as_browser(&site, &headers, "{ me { handle } }").await.1
    };
    assert_eq!(ask(Some(&own)).await["data"]["me"]["handle"], "mia");
    for other in [None, Some("https://elsewhere.example"), Some("null"), Some("http://127.0.0.1:1")] {
        assert_eq!(ask(other).await["errors"][0]["extensions"]["code"], "FORBIDDEN", "{other:?}");
    }

    let with = [("cookie", sent.as_str()), ("origin", own.as_str())];
    let (headers, signed_out) = as_browser(&site, &with, "mutation { signOut }").await;
    assert_eq!(signed_out["data"]["signOut"], true);
    assert_eq!(headers[SET_COOKIE], "tally_session=; Path=/; HttpOnly; SameSite=Lax; Max-Age=0");
    assert_eq!(ask(Some(&own)).await["data"], json!({"me": null}));
}

#[tokio::test(flavor = "multi_thread")]
async fn whose_session_is_over_can_still_sign_in_by_the_same_browser() {
    let site = Site::start().await;
    let mia = site.actor("mia", Role::Viewer).await;
    mia.data("mutation { signOut }", json!({})).await;
    let (own, cookie) =
        (format!("http://{}", site.public), format!("tally_session={}", mia.token.as_deref().unwrap()));
    let sign_in =
        "mutation { signIn(input: {handle: \"mia\", password: \"password of mia\"}) { user { handle } } }";
    let headers = [("cookie", cookie.as_str()), ("origin", own.as_str())];
    // No script of the page can take such a cookie away: until then it counts for nothing.
    let (_, answer) = as_browser(&site, &headers, "{ me { handle } }").await;
    assert_eq!(answer["data"], json!({"me": null}));
    let (_, answer) = as_browser(&site, &headers, sign_in).await;
    assert_eq!(answer["data"]["signIn"]["user"]["handle"], "mia");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_cookie_is_for_encrypted_connections_where_the_site_has_them() {
    let site = Site::with(&["--public-url", "https://tally.example"]).await;
    site.actor("mia", Role::Viewer).await;
    let sign_in = "mutation { signIn(input: {handle: \"mia\", password: \"password of mia\"}) { token } }";
    let (headers, _) = as_browser(&site, &[], sign_in).await;
    assert!(headers[SET_COOKIE].to_str().unwrap().ends_with("; Secure"));
}
