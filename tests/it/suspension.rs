//! A suspended user is nobody here, at once and everywhere, until an admin takes it back.

use std::time::Duration;

use futures_util::future::join_all;
use serde_json::{Value, json};
use tally::auth::SessionToken;
use tally::store::Role;

use crate::nginx::{Publisher, Stage, eventually};
use crate::presence::{door, token};
use crate::rights::{SET_ROLE, SIGN_IN, end_of, id_of};
use crate::site::{Actor, Site};
use crate::socket::Socket;
use crate::sql::Sql;

const SUSPEND: &str = "mutation ($input: SuspendUserInput!) {
    suspendUser(input: $input) { user { handle suspension { at reason } } } }";
const REINSTATE: &str = "mutation ($input: ReinstateUserInput!) {
    reinstateUser(input: $input) { user { handle suspension { at } } } }";

fn input(of: &Value) -> Value {
    json!({"input": {"userId": of, "reason": "Spam"}})
}

async fn suspend(admin: &Actor, id: &Value) {
    let answer = admin.data(SUSPEND, input(id)).await;
    assert_eq!(answer["suspendUser"]["user"]["suspension"]["reason"], "Spam");
}

async fn reinstate(admin: &Actor, id: &Value) {
    let answer = admin.data(REINSTATE, json!({"input": {"userId": id}})).await;
    assert_eq!(answer["reinstateUser"]["user"]["suspension"], Value::Null);
}

/// What signing in is answered, but for what it cost.
async fn sign_in(site: &Site, handle: &str, password: &str) -> Value {
    let input = json!({"input": {"handle": handle, "password": password}});
    let mut answer = site.anonymous().ask(SIGN_IN, input).await;
    answer["extensions"] = Value::Null;
    answer
}

#[tokio::test(flavor = "multi_thread")]
async fn a_suspended_user_has_no_session_and_opens_none() {
    let site = Site::start().await;
    let root = site.actor("root", Role::Admin).await;
    let mia = site.actor("mia", Role::Moderator).await;
    let second = mia.again(&site).await;
    let beside = site.again().await;
    let mut sockets = [Socket::of(site.public, &mia).await, Socket::of(beside.public, &second).await];
    let id = id_of(&mia).await;
    suspend(&root, &id).await;
    for socket in &mut sockets {
        assert_eq!(end_of(socket).await, 4403);
    }
    for actor in [&mia, &second] {
        assert_eq!(actor.error("{ me { id } }", json!({})).await.0, "UNAUTHENTICATED");
    }
    let right = sign_in(&site, "mia", "password of mia").await;
    assert_eq!(right["errors"][0]["extensions"]["code"], "FORBIDDEN");
    let wrong = sign_in(&site, "mia", "not her password").await;
    assert_eq!(
        wrong,
        sign_in(&site, "nobody", "not her password").await,
        "only who knows the password is told"
    );

    reinstate(&root, &id).await;
    assert_eq!(
        mia.error("{ me { id } }", json!({})).await.0,
        "UNAUTHENTICATED",
        "what has ended stays ended"
    );
    assert_eq!(id_of(&mia.again(&site).await).await, id);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_suspended_users_broadcasts_end_and_their_keys_open_nothing() {
    let stage = Stage::set().await;
    let root = stage.site.actor("root", Role::Admin).await;
    let other = stage.site.actor("other", Role::Streamer).await;
    let theirs = other.channel("Theirs", json!({})).await;
    let kept = Publisher { key: theirs["key"].as_str().unwrap().to_owned(), connection: 9 };
    kept.publish(&stage.site).await;
    let publisher = stage.on_the_air(1).await;
    let id = id_of(&stage.owner).await;
    suspend(&root, &id).await;
    assert_eq!(stage.state().await, "OFF");
    eventually("its publisher is cut off", async || stage.nginx.inside().publishers.is_empty()).await;
    assert_eq!(publisher.update(&stage.site, 1000).await, 403);
    assert_eq!(publisher.publish(&stage.site).await.0, 403);
    assert_eq!(kept.update(&stage.site, 1000).await, 204, "others stay");
    let log = stage.log().await;
    assert_eq!(log, ["started", "started", "stopped: ended_by_moderator"]);
    reinstate(&root, &id).await;
    assert_eq!(publisher.publish(&stage.site).await.0, 302);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_suspended_users_playback_urls_open_no_protected_channel() {
    let stage = Stage::with(&[], json!({"protected": true})).await;
    let root = stage.site.actor("root", Role::Admin).await;
    let watcher = stage.site.actor("watcher", Role::Admin).await;
    stage.on_the_air(1).await;
    let loc = stage.loc();
    let theirs = token(&watcher, &loc).await.unwrap();
    assert_eq!(door(&stage, &theirs, &loc).await.0, 204);
    let id = id_of(&watcher).await;
    suspend(&root, &id).await;
    assert_eq!(door(&stage, &theirs, &loc).await.0, 403);
    assert_eq!(door(&stage, &token(&root, &loc).await.unwrap(), &loc).await.0, 204);
    reinstate(&root, &id).await;
    assert_eq!(door(&stage, &theirs, &loc).await.0, 403, "it is over with the session");
    let watcher = watcher.again(&stage.site).await;
    assert_eq!(door(&stage, &token(&watcher, &loc).await.unwrap(), &loc).await.0, 204);
}

#[tokio::test(flavor = "multi_thread")]
async fn no_admin_suspends_themselves_and_no_site_is_left_without_one() {
    let site = Site::start().await;
    let (ada, bob) = (site.actor("ada", Role::Admin).await, site.actor("bob", Role::Admin).await);
    let (of_ada, of_bob) = (id_of(&ada).await, id_of(&bob).await);
    let conflict = ("CONFLICT".to_owned(), Some("input.userId".to_owned()));
    assert_eq!(ada.error(SUSPEND, input(&of_ada)).await, conflict);
    let (one, other) = tokio::join!(ada.ask(SUSPEND, input(&of_bob)), bob.ask(SUSPEND, input(&of_ada)));
    let done = [&one, &other].map(|answer| answer["errors"] == Value::Null);
    assert!(done[0] != done[1], "{one} {other}");
    let (left, own, gone) = if done[0] { (ada, of_ada, of_bob) } else { (bob, of_bob, of_ada) };
    let demote = |id: &Value| json!({"input": {"userId": id, "role": "VIEWER"}});
    assert_eq!(left.error(SET_ROLE, demote(&own)).await, conflict, "who is suspended is no admin to be left");
    left.data(SET_ROLE, demote(&gone)).await;
    for (id, expected) in [("us_018f3c1e7d4a70008000000000000000", "NOT_FOUND"), ("mia", "BAD_USER_INPUT")] {
        assert_eq!(left.error(SUSPEND, input(&json!(id))).await.0, expected);
        assert_eq!(left.error(REINSTATE, json!({"input": {"userId": id}})).await.0, expected);
    }
    let mia = site.actor("mia", Role::Viewer).await;
    for reason in ["", "a\nb", &"x".repeat(501)] {
        let input = json!({"input": {"userId": id_of(&mia).await, "reason": reason}});
        assert_eq!(left.error(SUSPEND, input).await.1.as_deref(), Some("input.reason"));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_second_suspension_changes_nothing_and_each_change_is_on_record_once() {
    let site = Site::start().await;
    let root = site.actor("root", Role::Admin).await;
    let id = id_of(&site.actor("mia", Role::Viewer).await).await;
    suspend(&root, &id).await;
    let again = json!({"input": {"userId": id, "reason": "Another"}});
    let user = root.data(SUSPEND, again).await["suspendUser"]["user"].clone();
    assert_eq!(user["suspension"], json!({"at": "2026-11-23T12:00:00.000Z", "reason": "Spam"}));
    for _ in 0..2 {
        reinstate(&root, &id).await;
    }
    for (kind, detail) in [("SUSPENDED", json!("Spam")), ("REINSTATED", Value::Null)] {
        let query = "query ($kind: AuditKind) { auditRecords(kind: $kind, subject: \"mia\", actor: \"root\") { nodes { detail times } } }";
        let read = root.data(query, json!({"kind": kind})).await;
        assert_eq!(read["auditRecords"]["nodes"], json!([{"detail": detail, "times": 1}]));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_comes_while_a_user_is_suspended_is_let_in_before_it_or_not_at_all() {
    let stage = Stage::set().await;
    let root = stage.site.actor("root", Role::Admin).await;
    let id = id_of(&stage.owner).await;
    for round in 0..10 {
        // So that no sign-in is one too many.
        stage.site.clock.advance(Duration::from_secs(60));
        let comes = async |number: i64| {
            stage.publisher(round * 10 + number).publish(&stage.site).await;
        };
        let publishers = join_all((0..3).map(comes));
        let sign_ins = join_all((0..3).map(|_| sign_in(&stage.site, "mia", "password of mia")));
        let (_, entered, ()) = tokio::join!(publishers, sign_ins, suspend(&root, &id));
        assert_eq!(stage.state().await, "OFF");
        reinstate(&root, &id).await;
        let limited = json!("RATE_LIMITED");
        assert!(entered.iter().all(|answer| answer["errors"][0]["extensions"]["code"] != limited));
        for answer in entered {
            let Some(token) = answer["data"]["signIn"]["token"].as_str() else { continue };
            let hash = token.parse::<SessionToken>().unwrap().hash();
            let session = stage.site.store.session(&hash, stage.site.clock.now()).await.unwrap();
            assert!(session.is_none(), "a session outlived the suspension");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_admin_who_was_shut_out_takes_nothing_back_over_a_socket_that_is_still_open() {
    let site = Site::start().await;
    let (ada, bob) = (site.actor("ada", Role::Admin).await, site.actor("bob", Role::Admin).await);
    let (of_ada, of_bob) = (id_of(&ada).await, id_of(&bob).await);
    let deeds = [
        (REINSTATE, json!({"input": {"userId": of_bob}})),
        (SUSPEND, input(&of_ada)),
        (SET_ROLE, json!({"input": {"userId": of_ada, "role": "VIEWER"}})),
    ];
    let mut sockets = Vec::new();
    for _ in &deeds {
        sockets.push(Socket::of(site.public, &bob).await);
    }
    suspend(&ada, &of_bob).await;
    for (socket, (document, variables)) in sockets.iter_mut().zip(deeds) {
        socket.start("1", document, variables).await;
        // Its socket is closed within seconds; whatever comes before that is refused.
        if let Ok(said) = socket.read().await {
            assert!(said.to_string().contains("FORBIDDEN"), "{said}");
        }
    }
    let still = ada.data("{ user(handle: \"bob\") { suspension { reason } } }", json!({})).await;
    assert_eq!(still["user"]["suspension"]["reason"], "Spam");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_suspension_that_waits_for_a_stream_keeps_nobody_else_waiting() {
    let stage = Stage::set().await;
    let root = stage.site.actor("root", Role::Admin).await;
    let other = stage.site.actor("other", Role::Streamer).await;
    let theirs = other.channel("Theirs", json!({})).await;
    let second = stage.owner.channel("Two", json!({})).await;
    stage.on_the_air(1).await;
    let key = |channel: &Value| channel["key"].as_str().unwrap().to_owned();
    assert_eq!(Publisher { key: key(&second), connection: 2 }.publish(&stage.site).await.0, 302);
    // Somebody has the later channel's stream, as a callback about it does, and will write to the log.
    let mut callback = Sql::on(&stage.site.url).await;
    callback.run("BEGIN; SELECT FROM streams WHERE connection = 2 FOR NO KEY UPDATE").await;
    let id = id_of(&stage.owner).await;
    let suspending = suspend(&root, &id);
    let meanwhile = async {
        let waiting = "SELECT count(*)::text AS line FROM pg_stat_activity
            WHERE datname = current_database() AND wait_event_type = 'Lock'";
        let mut looking = Sql::on(&stage.site.url).await;
        eventually("the suspension waits", async || looking.lines(waiting).await == ["1"]).await;
        let kept = Publisher { key: key(&theirs), connection: 9 };
        assert_eq!(kept.publish(&stage.site).await.0, 302, "the log is free");
        callback.run("COMMIT").await;
    };
    tokio::join!(suspending, meanwhile);
    let log = stage.log().await;
    assert_eq!(log[3..], ["stopped: ended_by_moderator", "stopped: ended_by_moderator"]);
}
