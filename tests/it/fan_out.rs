//! Equal subscriptions are served together; whoever is told less or more than others is not equal.

use std::time::Duration;

use serde_json::{Value, json};
use tally::ambient::Clock;
use tally::http::Patience;
use tally::store::Role;
use tokio::time::timeout;

use crate::nginx::{Stage, eventually};
use crate::site::Actor;
use crate::socket::Socket;
use crate::support::Server;
use crate::toy::Toy;

async fn of(stage: &Stage, actor: Option<&Actor>) -> Socket {
    match actor.and_then(|actor| actor.token.as_deref()) {
        Some(token) => {
            let payload = json!({"authorization": format!("Bearer {token}")});
            Socket::with(stage.site.public, payload).await.expect("an acknowledgement")
        }
        None => Socket::open(stage.site.public).await,
    }
}

async fn end_of_log(stage: &Stage) -> Value {
    let query = "{ liveStreams { eventCursor } }";
    stage.site.anonymous().data(query, json!({})).await["liveStreams"]["eventCursor"].clone()
}

#[tokio::test(flavor = "multi_thread")]
async fn subscriptions_that_differ_only_in_who_asks_never_see_each_others_data() {
    let stage = Stage::set().await;
    let eve = stage.site.actor("eve", Role::Viewer).await;
    let root = stage.site.actor("root", Role::Admin).await;
    let documents = [
        "subscription ($after: String!) { streamEvents(after: $after) { stream { channel { name ingest { \
            streamKey } } } } }",
        "subscription ($after: String!) { streamEvents(after: $after) { ...E } }
            fragment E on StreamEvent { stream { channel { ...C } } }
            fragment C on Channel { name secret: ingest { streamKey } }",
        "subscription ($after: String!) { streamEvents(after: $after) { ... on StreamStarted { stream { channel {
            owner { channels(first: 1) { nodes { name ingest { streamKey } } } } } } } } }",
    ];
    let after = end_of_log(&stage).await;
    // In any order of coming, for whoever comes first makes a group, before the event and after it.
    let people = [None, Some(&stage.owner), Some(&eve), Some(&root), None, Some(&stage.owner), Some(&eve)];
    let mut sockets = Vec::new();
    for (turn, who) in people.into_iter().enumerate() {
        if turn == 4 {
            stage.on_the_air(1).await;
        }
        let mut socket = of(&stage, who).await;
        for (place, document) in documents.iter().enumerate() {
            socket.start(&place.to_string(), document, json!({"after": after})).await;
        }
        sockets.push((socket, who.is_some_and(|who| who.handle != eve.handle)));
    }
    let key = stage.channel["key"].as_str().expect("a key");
    for (socket, may_know) in &mut sockets {
        for place in 0..documents.len() {
            let event = socket.collect(&place.to_string(), 1).await.remove(0).to_string();
            assert!(event.contains("One"), "{event}");
            assert_eq!(event.contains(key), *may_know, "{place}: {event}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn only_what_the_list_of_personal_fields_names_depends_on_who_asks() {
    // Resolvers learn who asks from one word. Where it stands outside of mutations, the field must be on the list.
    let personal = std::fs::read_to_string("src/graphql/source.rs").expect("the file");
    let mut fields = Vec::new();
    for file in std::fs::read_dir("src/graphql").expect("the graph") {
        let path = file.expect("a file").path();
        let Ok(text) = std::fs::read_to_string(&path) else { continue };
        let mut inside = (String::new(), String::new());
        for line in text.lines() {
            let words: Vec<&str> = line.split_whitespace().collect();
            match words.as_slice() {
                ["}"] if line.starts_with('}') => inside = (String::new(), String::new()),
                ["impl", rest @ ..] => inside.0 = rest.join(" "),
                ["async", "fn", name, ..] => inside.1 = name.split('(').next().unwrap_or_default().to_owned(),
                _ if line.contains(".viewer()") || line.contains(".requester()") => {
                    fields.push(inside.clone())
                }
                _ => {}
            }
        }
    }
    // What stands outside of a type is there for mutations.
    fields.retain(|(of, _)| !of.is_empty() && !of.contains("Mutation") && !of.contains("Ask"));
    let names: Vec<&str> = fields.iter().map(|(_, name)| name.as_str()).collect();
    assert!(names.contains(&"ingest"), "{fields:?}");
    for name in names {
        let words: Vec<&str> = name.split('_').collect();
        let rest = words[1..].iter().map(|word| format!("{}{}", word[..1].to_uppercase(), &word[1..]));
        let field = rest.fold(words[0].to_owned(), |field, word| field + &word);
        assert!(personal.contains(&format!("\"{field}\"")), "{field} is not in PERSONAL");
    }
}

#[tokio::test]
async fn an_event_is_executed_once_for_all_who_ask_the_same() {
    let toy = Toy::default();
    let server = Server::of(toy.clone()).await;
    let mut sockets = Vec::new();
    for number in 0..30 {
        let mut socket = Socket::open(server.address).await;
        for id in ["a", "b"] {
            socket.start(&format!("{id}{number}"), "subscription { news }", json!({})).await;
        }
        // Another document, if only by a space, and the same one from somebody in particular.
        socket.start("other", "subscription {  news }", json!({})).await;
        sockets.push(socket);
    }
    let mut mia = Socket::with(server.address, json!({"authorization": "Bearer mia"})).await.expect("in");
    mia.start("mine", "subscription { news }", json!({})).await;
    eventually("all three executions listen", async || toy.listeners() == 3).await;
    eventually("everybody is in", async || {
        toy.tell(0);
        let mut in_time = true;
        for socket in &mut sockets {
            in_time &= timeout(Duration::from_millis(100), socket.read()).await.is_ok();
        }
        in_time
    })
    .await;
    let before = toy.announced();
    for number in 1..=3 {
        toy.tell(number);
    }
    for (place, socket) in sockets.iter_mut().enumerate() {
        for id in [format!("a{place}"), format!("b{place}"), "other".to_owned()] {
            let mut heard = Vec::new();
            while heard.len() < 3 {
                let number = socket.next(&id).await["news"].as_i64().expect("a number");
                heard.extend((number > 0).then_some(number));
            }
            assert_eq!(heard, [1, 2, 3], "{id}");
        }
    }
    eventually("all have been told", async || toy.announced() >= before + 9).await;
    assert_eq!(toy.announced(), before + 9, "three executions an event: two documents, and one for somebody");
    drop(sockets);
    mia.complete("mine").await;
    eventually("nobody listens to nothing", async || toy.listeners() == 0).await;
}

#[tokio::test]
async fn a_slow_reader_of_events_is_told_to_resume_and_holds_nobody_up() {
    let toy = Toy::default();
    // However short the patience for an answer to our close: it begins when the close has been written.
    let patience = Patience { goodbye: Duration::from_millis(20), ..Patience::default() };
    let server = Server::with(toy.clone(), patience).await;
    let (mut slow, mut fast) = (Socket::open(server.address).await, Socket::open(server.address).await);
    slow.start("own", "subscription { news }", json!({})).await;
    for socket in [&mut slow, &mut fast] {
        socket.start("1", "subscription { flood(bytes: 10000) }", json!({})).await;
        socket.next("1").await;
    }
    // Far more than the system and we keep for somebody who does not read: it is closed, and what it had of its own
    // ends. Its close waits behind what it has not read, for longer than it may take to answer one.
    while toy.listeners() > 0 {
        fast.next("1").await;
    }
    let clock = Clock::system();
    while clock.elapsed() < 10 * patience.goodbye {
        fast.next("1").await;
    }
    let code = loop {
        if let Err(code) = slow.read().await {
            break code;
        }
    };
    assert_eq!(code, 1013);
    fast.next("1").await;
}

#[tokio::test]
async fn a_slow_reader_of_a_figure_is_passed_over_and_then_told_the_newest() {
    let toy = Toy::default();
    let server = Server::of(toy.clone()).await;
    let gauge = "subscription { gauge(bytes: 50000) }";
    let (mut slow, mut fast) = (Socket::open(server.address).await, Socket::open(server.address).await);
    slow.start("1", gauge, json!({})).await;
    fast.start("1", gauge, json!({})).await;
    eventually("it is listened to", async || toy.listeners() == 1).await;
    let number = |data: &Value| -> i32 {
        data["gauge"].as_str().and_then(|text| text.trim_start_matches('x').parse().ok()).expect("a number")
    };
    let last = 600;
    for n in 1..=last {
        toy.tell(n);
        while number(&fast.next("1").await) < n {}
    }
    let mut heard = Vec::new();
    while heard.last() != Some(&last) {
        heard.push(number(&slow.next("1").await));
    }
    assert!(heard.is_sorted_by(|a, b| a < b), "each is newer than the one before: {heard:?}");
    assert!(heard.len() < 600, "not all {} of them", heard.len());
    toy.tell(last + 1);
    assert_eq!(number(&slow.next("1").await), last + 1, "and from then on at once");
}

#[tokio::test]
async fn a_newcomer_is_told_what_is_then_everything_once() {
    let toy = Toy::default();
    let server = Server::of(toy.clone()).await;
    let gauge = "subscription { gauge(bytes: 0) }";
    let mut first = Socket::open(server.address).await;
    first.start("1", gauge, json!({})).await;
    eventually("it is listened to", async || toy.listeners() == 1).await;
    toy.tell(7);
    assert_eq!(first.next("1").await, json!({"gauge": "7"}));
    let mut second = Socket::open(server.address).await;
    second.start("1", gauge, json!({})).await;
    assert_eq!(second.next("1").await, json!({"gauge": "7"}), "the state as it is");
    toy.tell(8);
    for socket in [&mut first, &mut second] {
        assert_eq!(socket.next("1").await, json!({"gauge": "8"}));
    }
}
