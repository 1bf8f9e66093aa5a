//! Equal questions of nobody in particular: one execution, one answer, never an old one, never somebody else's.

use std::sync::atomic::Ordering;
use std::time::Duration;

use chrono::DateTime;
use futures_util::future::join_all;
use serde_json::{Value, json};
use tally::ambient::Clock;
use tally::http::Patience;
use tally::store::Role;

use crate::nginx::{Stage, eventually};
use crate::site::Site;
use crate::socket::Socket;
use crate::support::{Reply, Server};
use crate::toy::Toy;

/// A server whose time stands still, its clock, and what it executes.
async fn still() -> (Server, Clock, Toy) {
    let (clock, toy) = (Clock::manual(DateTime::UNIX_EPOCH), Toy::telling());
    (Server::at(clock.clone(), toy.clone(), Patience::default()).await, clock, toy)
}

fn executed(toy: &Toy) -> usize {
    toy.executed.load(Ordering::Relaxed)
}

#[tokio::test(flavor = "multi_thread")]
async fn many_at_once_run_one_execution() {
    let (server, _, toy) = still().await;
    let many = join_all((0..50).map(|_| server.ask("{gated}", &[])));
    let opened = async {
        eventually("one is executed", async || executed(&toy) == 1).await;
        toy.gate.add_permits(1);
    };
    let (replies, ()) = tokio::join!(many, opened);
    assert!(replies.iter().all(|reply| reply.json() == json!({"data": {"gated": true}})));
    assert_eq!(executed(&toy), 1);
    let ids: std::collections::HashSet<_> =
        replies.iter().map(|reply| reply.header("x-request-id")).collect();
    assert_eq!(ids.len(), 50, "each has an id of its own");
}

#[tokio::test]
async fn an_answer_serves_a_quarter_of_a_second_and_not_beyond_what_somebody_was_told() {
    let (server, clock, toy) = still().await;
    let mut expected = 0;
    for (pass, told, more) in
        [(0, 0, 1), (249, 0, 0), (1, 0, 1), (0, 0, 0), (0, 1, 1), (0, 0, 0), (300, 1, 1)]
    {
        clock.advance(Duration::from_millis(pass));
        toy.told.as_ref().unwrap().fetch_add(told, Ordering::Relaxed);
        assert_eq!(server.ask("{me}", &[]).await.json(), json!({"data": {"me": "nobody"}}));
        expected += more;
        assert_eq!(executed(&toy), expected, "after {pass} ms and {told} events");
    }
}

#[tokio::test]
async fn who_says_who_they_are_is_answered_alone() {
    let (server, _, toy) = still().await;
    let me = |reply: Reply| reply.json()["data"]["me"].clone();
    let mia = [("Authorization", "Bearer mia")];
    let cookie = [("Cookie", "tally_session=tom"), ("Origin", "https://tally.example")];
    let over = [("Cookie", "tally_session=over"), ("Origin", "https://tally.example")];
    for _ in 0..2 {
        assert_eq!(me(server.ask("{me}", &mia).await), "mia");
        assert_eq!(me(server.ask("{me}", &[]).await), "nobody");
        assert_eq!(me(server.ask("{me}", &cookie).await), "tom");
        assert_eq!(me(server.ask("{me}", &over).await), "nobody");
        assert_eq!(me(server.ask("{me}", &[("Cookie", "theirs=1")]).await), "nobody");
        assert_eq!(server.ask("{me}", &[("Authorization", "Bearer x")]).await.status, 401);
        assert_eq!(server.ask("{me}", &cookie[..1]).await.status, 403);
    }
    assert_eq!(executed(&toy), 1 + 2 * 3, "once for nobody, each time for everybody else");
}

#[tokio::test]
async fn only_what_is_asked_in_the_same_way_is_equal() {
    let (server, _, toy) = still().await;
    let json = ("Content-Type", "application/json");
    let body = r#"{"query":"{fails}"}"#;
    for _ in 0..2 {
        let plain = server.send("POST", "/graphql", &[json], r#"{"query":"{me}"}"#).await;
        let other = server.send("POST", "/graphql", &[json], r#"{"query": "{me}"}"#).await;
        let get = server.send("GET", "/graphql?query=%7Bme%7D", &[], "").await;
        let new = server.ask("{me}", &[]).await;
        assert!([&plain, &other, &get, &new].iter().all(|reply| reply.json()["data"]["me"] == "nobody"));
        assert_eq!(plain.header("content-type"), Some("application/json; charset=utf-8"));
        assert_eq!(new.header("content-type"), Some("application/graphql-response+json; charset=utf-8"));
        assert_eq!((new.status, new.header("cache-control")), (200, Some("no-store")));
    }
    assert_eq!(executed(&toy), 4);
    // Whatever is kept, what is not taken is refused.
    let text = [("Content-Type", "text/plain")];
    assert_eq!(server.send("POST", "/graphql", &text, r#"{"query":"{me}"}"#).await.status, 415);
    assert_eq!(server.send("POST", "/graphql", &[json, ("Accept", "text/html")], body).await.status, 406);
    assert_eq!(server.send("PUT", "/graphql?query=%7Bme%7D", &[], "").await.status, 405);
}

#[tokio::test]
async fn what_fails_or_changes_something_is_done_each_time() {
    let (server, _, toy) = still().await;
    for (time, document) in
        ["{blurts}", "{fails}", "{panics(really: true)}", "mutation {signIn}"].iter().enumerate()
    {
        let (first, second) = (server.ask(document, &[]).await, server.ask(document, &[]).await);
        assert_eq!(executed(&toy), 2 * (time + 1), "{document}");
        assert_eq!(first.status, second.status);
        assert_eq!(first.header("set-cookie").is_some(), document.starts_with("mutation"));
        let id = |reply: &Reply| reply.json()["errors"][0]["extensions"]["requestId"].clone();
        if id(&first) != Value::Null {
            assert_eq!(id(&first).as_str(), first.header("x-request-id"));
            assert_ne!(id(&first), id(&second));
        }
    }
}

#[tokio::test]
async fn who_asked_first_may_go_and_the_others_are_answered() {
    let (server, _, toy) = still().await;
    {
        let mut first = std::pin::pin!(server.ask("{gated}", &[]));
        let begun = eventually("it is executed", async || executed(&toy) == 1);
        tokio::select! {
            _ = first.as_mut() => panic!("the gate is closed"),
            () = begun => {}
        }
    }
    toy.gate.add_permits(1);
    assert_eq!(server.ask("{gated}", &[]).await.json(), json!({"data": {"gated": true}}));
    assert_eq!(executed(&toy), 1);
}

const CHANNEL: &str = "query ($loc: UUID!) { channel(loc: $loc) { name stream { state } } }";

#[tokio::test(flavor = "multi_thread")]
async fn a_change_shows_within_a_quarter_of_a_second() {
    let site = Site::start().await;
    let admin = site.actor("admin", Role::Admin).await;
    let names = async || site.answer("{ topics { slug } }", json!({})).await["data"]["topics"].clone();
    let before = names().await;
    let create = "mutation { createTopic(input: {slug: \"new\", name: \"New\"}) { topic { id } } }";
    admin.data(create, json!({})).await;
    assert_eq!(names().await, before);
    assert_ne!(
        admin.data("{ topics { slug } }", json!({})).await["topics"],
        before,
        "who is known sees it at once"
    );
    site.clock.advance(Duration::from_millis(250));
    assert_ne!(names().await, before);
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_reads_behind_a_cursor_or_because_of_an_event_finds_what_happened() {
    let stage = Stage::set().await;
    let state = async || {
        let answer = stage.site.answer(CHANNEL, json!({"loc": stage.loc()})).await;
        answer["data"]["channel"]["stream"]["state"].clone()
    };
    assert_eq!(state().await, Value::Null);
    stage.publisher(1).publish(&stage.site).await;
    // The list is of after the start, and so is whatever is read once it is known, though no time has passed.
    let list = stage.site.answer("{ liveStreams { eventCursor } }", json!({})).await;
    assert_eq!(state().await, "LIVE");
    let mut socket = Socket::open(stage.site.public).await;
    let after = list["data"]["liveStreams"]["eventCursor"].clone();
    let follow = "subscription ($after: String) { streamEvents(after: $after) { __typename } }";
    socket.start("events", follow, json!({"after": after})).await;
    stage.publisher(1).done(&stage.site).await;
    assert_eq!(socket.collect("events", 1).await, [json!({"__typename": "StreamInterrupted"})]);
    assert_eq!(state().await, "INTERRUPTED");
}
