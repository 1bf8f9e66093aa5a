//! The event log as subscribers see it: every event once, in order, live and from a cursor, whatever breaks.

use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use futures_util::StreamExt;
use futures_util::future::join_all;
use serde_json::{Value, json};
use tally::realtime::{Filter, Log};
use tally::store::{Loc, Role, StreamChange, StreamId};

use crate::nginx::{Publisher, Stage, eventually};
use crate::site::{Site, close_all_connections};
use crate::socket::Socket;

const EVENTS: &str = "subscription ($loc: UUID, $topic: String, $after: String) {
    streamEvents(loc: $loc, topic: $topic, after: $after) {
        __typename cursor at stream { name state channel { name loc } } ... on StreamStopped { reason }
    }
}";
/// The same with little to resolve, for thousands.
const CURSORS: &str = "subscription ($after: String) { streamEvents(after: $after) { cursor } }";

/// The log's end as a client can know it.
async fn end_of_log(site: &Site) -> Value {
    site.anonymous().data("{ liveStreams { eventCursor } }", json!({})).await["liveStreams"]["eventCursor"]
        .clone()
}

/// The number inside a cursor. Clients cannot know it; a test may.
fn number(cursor: &Value) -> i64 {
    let bytes = URL_SAFE_NO_PAD.decode(cursor.as_str().expect("a cursor")).expect("base64");
    i64::from_be_bytes(bytes[16..].try_into().expect("a number"))
}

fn kinds(events: &[Value]) -> Vec<&str> {
    events.iter().map(|event| event["__typename"].as_str().expect("a name")).collect()
}

/// A whole life: five events.
async fn live_through(stage: &Stage) {
    let publisher = stage.on_the_air(1).await;
    publisher.done(&stage.site).await;
    stage.publisher(2).publish(&stage.site).await;
    rename(&stage.site, stream_of(stage).await, "Renamed").await;
    stage.change(&stage.owner, "endStream", "channelId", "stream { id }").await;
}

const LIFE: [&str; 5] =
    ["StreamStarted", "StreamInterrupted", "StreamResumed", "StreamUpdated", "StreamStopped"];

async fn stream_of(stage: &Stage) -> StreamId {
    StreamId(stage.stream().await["uuid"].as_str().expect("on the air").parse().expect("a uuid"))
}

async fn rename(site: &Site, stream: StreamId, name: &str) {
    let change = StreamChange { name: Some(name.to_owned()), topic_id: None };
    site.store.update_stream(stream, &change, site.clock.now()).await.expect("renamed");
}

#[tokio::test(flavor = "multi_thread")]
async fn events_come_as_they_happen_and_in_that_order() {
    let stage = Stage::set().await;
    let mut socket = Socket::open(stage.site.public).await;
    let start = end_of_log(&stage.site).await;
    socket.start("1", EVENTS, json!({"after": start})).await;
    live_through(&stage).await;
    let events = socket.collect("1", 5).await;
    assert_eq!(kinds(&events), LIFE);
    let first = number(&start) + 1;
    let numbers: Vec<i64> = events.iter().map(|event| number(&event["cursor"])).collect();
    assert_eq!(numbers, Vec::from_iter(first..first + 5));
    assert_eq!(events[4]["reason"], "ENDED_BY_OWNER");
    assert_eq!(events[0]["at"], "2026-11-23T12:00:00.000Z");
    assert_eq!(
        events[4]["stream"],
        json!({
            "name": "Renamed", "state": "ENDED", "channel": {"name": "One", "loc": stage.loc()}
        })
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn without_a_cursor_only_what_happens_from_now_on_is_told() {
    let stage = Stage::set().await;
    stage.on_the_air(1).await;
    let stream = stream_of(&stage).await;
    let mut socket = Socket::open(stage.site.public).await;
    socket.start("1", EVENTS, json!({"loc": stage.loc()})).await;
    // When the subscription began cannot be known; that it has begun shows in the first event.
    let mut told = 0;
    let first = loop {
        told += 1;
        rename(&stage.site, stream, &format!("Name {told}")).await;
        if let Ok(event) = tokio::time::timeout(Duration::from_millis(200), socket.next("1")).await {
            break event["streamEvents"].clone();
        }
    };
    assert_eq!(first["__typename"], "StreamUpdated", "the start was before");
    rename(&stage.site, stream, "The next").await;
    let mut last = number(&first["cursor"]);
    loop {
        let event = socket.collect("1", 1).await.remove(0);
        assert_eq!(number(&event["cursor"]), last + 1);
        last += 1;
        if event["stream"]["name"] == "The next" {
            break;
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn from_any_cursor_every_later_event_comes_once_and_then_what_is_new() {
    let stage = Stage::set().await;
    let start = end_of_log(&stage.site).await;
    live_through(&stage).await;
    let mut socket = Socket::open(stage.site.public).await;
    socket.start("all", EVENTS, json!({"after": start})).await;
    let all = socket.collect("all", 5).await;
    for (place, event) in all.iter().enumerate() {
        socket.start(&place.to_string(), EVENTS, json!({"after": event["cursor"]})).await;
    }
    stage.site.clock.advance(Duration::from_secs(10));
    stage.on_the_air(3).await;
    for place in 0..5 {
        let id = place.to_string();
        let events = socket.collect(&id, 5 - place).await;
        let (old, new) = events.split_at(4 - place);
        assert_eq!(old, &all[place + 1..]);
        assert_eq!(new[0]["__typename"], "StreamStarted");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn thousands_of_events_written_from_many_sides_come_each_once_and_in_order() {
    const BEHIND: usize = 1200;
    const MEANWHILE: usize = 400;
    let stage = Stage::set().await;
    let start = end_of_log(&stage.site).await;
    let mut streams = Vec::new();
    for connection in 1..=4 {
        let channel = stage.owner.channel("Many", json!({})).await;
        let key = channel["key"].as_str().unwrap().to_owned();
        Publisher { key, connection }.publish(&stage.site).await;
        let query = "query ($loc: UUID!) { channel(loc: $loc) { stream { uuid } } }";
        let found = stage.site.anonymous().data(query, json!({"loc": channel["loc"]})).await;
        streams.push(StreamId(found["channel"]["stream"]["uuid"].as_str().unwrap().parse().unwrap()));
    }
    let write = async |count: usize| {
        join_all(streams.iter().map(async |stream| {
            for round in 0..count / 4 {
                rename(&stage.site, *stream, &round.to_string()).await;
            }
        }))
        .await;
    };
    write(BEHIND).await;
    // From the very start, from the middle, and from where the memory of this process ends; while more is written.
    let mut sockets = Vec::new();
    for _ in 0..3 {
        sockets.push(Socket::open(stage.site.public).await);
    }
    let all = BEHIND + MEANWHILE + 4;
    let read = join_all(sockets.iter_mut().enumerate().map(async |(place, socket)| {
        socket.start("1", CURSORS, json!({"after": start})).await;
        let events = socket.collect("1", all).await;
        let numbers: Vec<i64> = events.iter().map(|event| number(&event["cursor"])).collect();
        let first = number(&start) + 1;
        assert_eq!(numbers, Vec::from_iter(first..first + all as i64), "socket {place}");
    }));
    tokio::join!(read, write(MEANWHILE));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_subscriber_that_was_busy_elsewhere_misses_nothing() {
    let stage = Stage::set().await;
    stage.on_the_air(1).await;
    let stream = stream_of(&stage).await;
    let log = Log::follow(stage.site.store.clone(), stage.site.clock.clone(), stage.site.lifecycle.tasks())
        .await
        .unwrap();
    let start = stage.site.store.log_end().await.unwrap();
    let late = log.subscribe(None, Filter::default()).await.unwrap();
    let mut prompt = Box::pin(log.subscribe(None, Filter::default()).await.unwrap());
    for round in 0..1300 {
        rename(&stage.site, stream, &round.to_string()).await;
    }
    // More than memory keeps has gone by for the one that never looked.
    for number in start.number + 1..=start.number + 1300 {
        assert_eq!(prompt.next().await.unwrap().position.number, number);
    }
    let mut late = Box::pin(late);
    for number in start.number + 1..=start.number + 1300 {
        assert_eq!(late.next().await.unwrap().position.number, number);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_channel_or_a_topic_is_told_of_alone() {
    let stage = Stage::set().await;
    let admin = stage.site.actor("root", Role::Admin).await;
    for (slug, name) in [("test-chess", "Chess"), ("test-go", "Go")] {
        let create = "mutation ($input: CreateTopicInput!) { createTopic(input: $input) { topic { slug } } }";
        admin.data(create, json!({"input": {"slug": slug, "name": name}})).await;
    }
    let chess = stage.owner.channel("Chess club", json!({"topic": "test-chess"})).await;
    let go = stage.owner.channel("Go club", json!({"topic": "test-go"})).await;
    let start = end_of_log(&stage.site).await;
    let mut socket = Socket::open(stage.site.public).await;
    socket.start("loc", EVENTS, json!({"loc": chess["loc"], "after": start})).await;
    socket.start("topic", EVENTS, json!({"topic": "test-go", "after": start})).await;
    socket.start("both", EVENTS, json!({"loc": chess["loc"], "topic": "test-go", "after": start})).await;
    for (connection, channel) in [(1, &go), (2, &chess), (3, &stage.channel)] {
        let key = channel["key"].as_str().unwrap().to_owned();
        assert_eq!(Publisher { key, connection }.publish(&stage.site).await.0, 302);
    }
    // The chess stream turns to go, and then belongs to that topic's events.
    let query = "query ($loc: UUID!) { channel(loc: $loc) { stream { id } } }";
    let stream = stage.owner.data(query, json!({"loc": chess["loc"]})).await;
    let update = "mutation ($input: UpdateStreamInput!) { updateStream(input: $input) { stream { id } } }";
    let input = json!({"id": stream["channel"]["stream"]["id"], "topic": "test-go"});
    stage.owner.data(update, json!({"input": input})).await;
    let seen = async |socket: &mut Socket, id: &str, count| {
        let told = socket.collect(id, count).await;
        let seen = told.iter().map(|event| {
            let name = event["stream"]["channel"]["name"].as_str().unwrap();
            format!("{} {name}", event["__typename"].as_str().unwrap())
        });
        Vec::from_iter(seen)
    };
    assert_eq!(seen(&mut socket, "loc", 2).await, ["StreamStarted Chess club", "StreamUpdated Chess club"]);
    assert_eq!(seen(&mut socket, "topic", 2).await, ["StreamStarted Go club", "StreamUpdated Chess club"]);
    assert_eq!(seen(&mut socket, "both", 1).await, ["StreamUpdated Chess club"]);
    socket.start("nowhere", EVENTS, json!({"loc": "018f3c1e-0000-4000-8000-000000000001"})).await;
    assert_eq!(socket.refusal("nowhere").await, ("NOT_FOUND".to_owned(), None));
    socket.start("nothing", EVENTS, json!({"topic": "test-nothing"})).await;
    assert_eq!(socket.refusal("nothing").await, ("NOT_FOUND".to_owned(), None));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_list_and_the_events_behind_its_cursor_have_no_gap() {
    let stage = Stage::set().await;
    let mut socket = Socket::open(stage.site.public).await;
    stage.on_the_air(1).await;
    let stream = stream_of(&stage).await;
    let list = "{ liveStreams { nodes { name } eventCursor } }";
    let writing = async {
        for round in 1..=60 {
            rename(&stage.site, stream, &round.to_string()).await;
        }
    };
    let reading = async {
        for place in 0..20 {
            let seen = stage.site.anonymous().data(list, json!({})).await["liveStreams"].take();
            let name = seen["nodes"][0]["name"].as_str().unwrap().parse::<i64>().unwrap_or(0);
            let (id, after) = (place.to_string(), seen["eventCursor"].clone());
            if name == 60 {
                break;
            }
            socket.start(&id, EVENTS, json!({"after": after})).await;
            let next = socket.collect(&id, 1).await.remove(0);
            assert_eq!(number(&next["cursor"]), number(&after) + 1);
            // Event 1 is the start, so the name of round n came with the n-th event behind it.
            assert_eq!(number(&after), stage.start.number + 1 + name, "the list is as of its cursor");
            socket.complete(&id).await;
        }
    };
    tokio::join!(writing, reading);
    let past = "query ($loc: UUID!) { channel(loc: $loc) { pastStreams { eventCursor } } }";
    let past = stage.site.anonymous().data(past, json!({"loc": stage.loc()})).await;
    assert_eq!(past["channel"]["pastStreams"]["eventCursor"], end_of_log(&stage.site).await);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cursor_that_cannot_be_continued_from_is_refused_and_never_answered_with_silence() {
    let stage = Stage::set().await;
    let mut socket = Socket::open(stage.site.public).await;
    let end = end_of_log(&stage.site).await;
    let bytes = URL_SAFE_NO_PAD.decode(end.as_str().unwrap()).unwrap();
    let changed = |place: usize, value: u8| {
        let mut bytes = bytes.clone();
        bytes[place] ^= value;
        URL_SAFE_NO_PAD.encode(bytes)
    };
    let page = stage.site.anonymous().data("{ channels { pageInfo { endCursor } } }", json!({})).await;
    let wrong = [
        json!(""),
        json!("nonsense"),
        json!(changed(3, 1)),
        json!(changed(22, 1)),
        json!(changed(16, 0x80)),
        json!(end.as_str().unwrap()[..20]),
        page["channels"]["pageInfo"]["endCursor"].clone(),
    ];
    let refused = ("BAD_USER_INPUT".to_owned(), Some("after".to_owned()));
    for (place, after) in wrong.iter().enumerate() {
        let id = format!("wrong {place}");
        socket.start(&id, EVENTS, json!({"after": after})).await;
        assert_eq!(socket.refusal(&id).await, refused, "{after}");
    }
    // Seven days on, the cursor from before the first events is too old; that of the last one is not.
    live_through(&stage).await;
    // No process is so far behind that what it has to pass on is forgotten meanwhile; nor is this one, once it has passed
    // on what comes behind.
    let behind = stage.owner.channel("Behind", json!({})).await;
    let key = behind["key"].as_str().unwrap().to_owned();
    assert_eq!(Publisher { key, connection: 9 }.publish(&stage.site).await.0, 302);
    let loc = Loc(behind["loc"].as_str().unwrap().parse().unwrap());
    eventually("all is passed on", async || stage.site.presence.is_on_the_air(loc)).await;
    let life = [&LIFE[..], &["StreamStarted"]].concat();
    socket.start("all", EVENTS, json!({"after": end})).await;
    let last = socket.collect("all", 6).await.remove(5)["cursor"].clone();
    stage.site.clock.advance(Duration::from_secs(7 * 24 * 60 * 60));
    tally::command::sweep::forget(&stage.site.store, &stage.site.clock).await.unwrap();
    socket.start("young", EVENTS, json!({"after": end})).await;
    assert_eq!(kinds(&socket.collect("young", 6).await), life, "kept for seven days");
    stage.site.clock.advance(Duration::from_millis(1));
    tally::command::sweep::forget(&stage.site.store, &stage.site.clock).await.unwrap();
    // Equal subscriptions that still run hold everything since the cursor, and would share it: this one differs.
    socket.start("old", &format!("{EVENTS} # other"), json!({"after": end})).await;
    assert_eq!(socket.refusal("old").await, refused);
    socket.start("last", EVENTS, json!({"after": last})).await;
    stage.on_the_air(3).await;
    assert_eq!(kinds(&socket.collect("last", 1).await), ["StreamStarted"]);
    assert_eq!(
        kinds(&socket.collect("all", 1).await),
        ["StreamStarted"],
        "and who listened all along goes on"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn events_of_a_deleted_channel_still_say_whose_they_were() {
    let stage = Stage::set().await;
    let start = end_of_log(&stage.site).await;
    stage.on_the_air(1).await;
    stage.change(&stage.owner, "deleteChannel", "id", "deletedChannelId").await;
    let mut socket = Socket::open(stage.site.public).await;
    socket.start("1", EVENTS, json!({"after": start, "loc": stage.loc()})).await;
    let events = socket.collect("1", 2).await;
    assert_eq!(kinds(&events), ["StreamStarted", "StreamStopped"]);
    assert_eq!(events[1]["reason"], "CHANNEL_DELETED");
    let stream = json!({"name": "One", "state": "ENDED", "channel": {"name": "One", "loc": stage.loc()}});
    assert_eq!(events[0]["stream"], stream);
    socket.start("2", EVENTS, json!({"loc": stage.loc()})).await;
    assert_eq!(
        socket.refusal("2").await,
        ("NOT_FOUND".to_owned(), None),
        "and there is nothing more to come"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn subscriptions_outlive_every_connection_to_the_database() {
    let stage = Stage::set().await;
    let mut socket = Socket::open(stage.site.public).await;
    let mut cursor = end_of_log(&stage.site).await;
    socket.start("1", EVENTS, json!({"after": cursor})).await;
    let mut connection = 0;
    for _ in 0..3 {
        connection += 1;
        let publisher = stage.publisher(connection);
        let site = &stage.site;
        // nginx refuses a publisher when it gets no answer, and OBS comes again.
        eventually("a publisher is let in", async || publisher.publish(site).await.0 == 302).await;
        assert_eq!(
            kinds(&socket.collect("1", 1).await)[0],
            if connection == 1 { "StreamStarted" } else { "StreamResumed" }
        );
        close_all_connections(&stage.site.url).await;
        eventually("its leaving is heard", async || publisher.done(site).await == 204).await;
        let event = socket.collect("1", 1).await.remove(0);
        assert_eq!(event["__typename"], "StreamInterrupted");
        assert_eq!(number(&event["cursor"]), number(&cursor) + 2, "none missing");
        cursor = event["cursor"].clone();
        close_all_connections(&stage.site.url).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cursor_holds_across_a_restart_and_at_another_node() {
    let mut stage = Stage::set().await;
    let start = end_of_log(&stage.site).await;
    live_through(&stage).await;
    let mut socket = Socket::open(stage.site.public).await;
    socket.start("1", EVENTS, json!({"after": start})).await;
    let seen = socket.collect("1", 2).await;
    assert!(stage.site.lifecycle.finish().await);
    let again = stage.site.again().await;
    let mut socket = Socket::open(again.public).await;
    socket.start("1", EVENTS, json!({"after": seen[1]["cursor"]})).await;
    assert_eq!(kinds(&socket.collect("1", 3).await), LIFE[2..]);
}
