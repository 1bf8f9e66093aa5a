//! Who watches: from nginx's reports of playlist requests to the counts that everybody sees.

use std::net::SocketAddr;
use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use serde_json::{Value, json};
use tally::ambient::Clock;
use tally::realtime::{Presence, listen};
use tally::store::{Loc, Role};
use tokio::net::UdpSocket;

use crate::nginx::{Stage, eventually};
use crate::site::{SECRET, unlike_any};
use crate::socket::Socket;
use crate::sql::Sql;

const COUNTS: &str = "subscription ($locs: [UUID!]!) {
    viewerCountChanged(locs: $locs) { loc currentViewers totalViewers channel { name } }
}";

fn loc_of(stage: &Stage) -> Loc {
    Loc(stage.loc().parse().expect("a uuid"))
}

/// A stage whose stream is on the air and known to presence.
async fn on_the_air() -> Stage {
    let stage = Stage::set().await;
    stage.on_the_air(1).await;
    opened(&stage, &stage.site.presence).await;
    stage
}

async fn opened(stage: &Stage, presence: &Presence) {
    let loc = loc_of(stage);
    eventually("presence knows of the stream", async || presence.is_on_the_air(loc)).await;
}

/// Where nginx sends its reports, and a socket to send them from.
struct Reports {
    to: SocketAddr,
    from: UdpSocket,
    clock: Clock,
}

impl Reports {
    async fn listen(stage: &Stage) -> Self {
        let socket = UdpSocket::bind("127.0.0.1:0").await.expect("a free port");
        let to = socket.local_addr().expect("an address");
        let tasks = stage.site.lifecycle.tasks();
        let is_secret = |shown: &[u8]| shown == SECRET.as_bytes();
        let listening = listen(socket, stage.site.presence.clone(), is_secret, tasks.stopping().clone());
        tasks.keep("reports", listening);
        let clock = stage.site.clock.clone();
        Self { to, from: UdpSocket::bind("127.0.0.1:0").await.expect("a free port"), clock }
    }

    async fn datagram(&self, text: &str) {
        self.from.send_to(text.as_bytes(), self.to).await.expect("sent");
    }

    /// A playlist was given to whoever has that token, or came from that address with that agent.
    async fn playlist(&self, loc: &str, token: &str, address: &str, agent: &str) {
        self.playlist_at(self.clock.now(), loc, token, address, agent).await;
    }

    /// The same, at that time.
    async fn playlist_at(&self, at: DateTime<Utc>, loc: &str, token: &str, address: &str, agent: &str) {
        let (seconds, thousandths) = (at.timestamp(), at.timestamp_subsec_millis());
        let at = format!("{seconds}.{thousandths:03}");
        self.datagram(&format!("<190>Nov 23 12:00:00 tally: {SECRET} {loc} {token} {address} {at} {agent}"))
            .await;
    }
}

/// Waits until presence counts so many now.
async fn counted(stage: &Stage, current: i32) {
    let (presence, loc) = (&stage.site.presence, loc_of(stage));
    let counts = async || presence.counts(loc).is_some_and(|(_, _, counts)| counts.current == current);
    eventually(&format!("{current} are counted"), counts).await;
}

/// Lets seconds pass as the process does, with a tick in each.
fn pass(stage: &Stage, seconds: u32) {
    for _ in 0..seconds {
        stage.site.clock.advance(Duration::from_secs(1));
        stage.site.presence.publish();
    }
}

async fn figures(address: SocketAddr, stage: &Stage) -> Value {
    let query = "query ($loc: UUID!) { channel(loc: $loc) { currentViewers views
        stream { currentViewers peakViewers totalViewers } } }";
    let request = stage.site.client.post(format!("http://{address}/graphql"));
    let body = unlike_any(query, json!({"loc": stage.loc()}));
    let answer =
        request.header("content-type", "application/json").body(body).send().await.expect("an answer");
    let mut answer: Value = serde_json::from_str(&answer.text().await.expect("a body")).expect("JSON");
    answer["data"]["channel"].take()
}

/// Waits until queries say that, the part of it that comes from the database included.
async fn written(stage: &Stage, shown: Value) {
    eventually("it is written", async || figures(stage.site.public, stage).await == shown).await;
}

/// The next figures of a subscription that are these; those before may be on the way there.
async fn told(socket: &mut Socket, id: &str, current: i64, total: i64) {
    loop {
        let news = socket.collect(id, 1).await.remove(0);
        if (&news["currentViewers"], &news["totalViewers"]) == (&json!(current), &json!(total)) {
            return;
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_present_comes_first_and_then_each_change() {
    let stage = on_the_air().await;
    let reports = Reports::listen(&stage).await;
    let mut socket = Socket::open(stage.site.public).await;
    socket.start("1", COUNTS, json!({"locs": [stage.loc()]})).await;
    assert_eq!(
        socket.collect("1", 1).await,
        [json!({"loc": stage.loc(), "currentViewers": 0, "totalViewers": 0, "channel": {"name": "One"}})]
    );
    reports.playlist(&stage.loc(), "-", "10.0.0.7", "Mozilla/5.0 (X11) Safari").await;
    told(&mut socket, "1", 1, 1).await;
    reports.playlist(&stage.loc(), "-", "10.0.0.7", "VLC/3.0").await;
    reports.playlist(&stage.loc(), "-", "10.0.0.8", "VLC/3.0").await;
    reports.playlist(&stage.loc(), "-", "10.0.0.8", "VLC/3.0").await;
    told(&mut socket, "1", 3, 3).await;
    let mut late = Socket::open(stage.site.public).await;
    late.start("1", COUNTS, json!({"locs": [stage.loc()]})).await;
    assert_eq!(late.collect("1", 1).await[0]["currentViewers"], 3, "whoever comes later is told at once");
    pass(&stage, 6);
    reports.playlist(&stage.loc(), "-", "10.0.0.8", "VLC/3.0").await;
    // One datagram after the other: once a fourth is counted, the third has been heard.
    reports.playlist(&stage.loc(), "-", "10.0.0.9", "VLC/3.0").await;
    counted(&stage, 4).await;
    pass(&stage, 5);
    counted(&stage, 4).await;
    pass(&stage, 2);
    told(&mut socket, "1", 2, 4).await;
    pass(&stage, 7);
    told(&mut socket, "1", 0, 4).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_report_that_waited_counts_from_when_the_playlist_was_asked_for() {
    let stage = on_the_air().await;
    let (reports, loc) = (Reports::listen(&stage).await, stage.loc());
    let ago = |seconds: i64| stage.site.clock.now() - TimeDelta::seconds(seconds);
    reports.playlist_at(ago(13), &loc, "-", "10.0.0.1", "over").await;
    reports.playlist_at(ago(9), &loc, "-", "10.0.0.2", "waited").await;
    reports.playlist_at(ago(2), &loc, "-", "10.0.0.3", "twice").await;
    // What is heard late does not make shorter what was heard before.
    reports.playlist_at(ago(9), &loc, "-", "10.0.0.3", "twice").await;
    // No wait is that long, in either direction: the clocks differ.
    reports.playlist_at(ago(3600), &loc, "-", "10.0.0.4", "behind").await;
    reports.playlist_at(ago(-3600), &loc, "-", "10.0.0.5", "ahead").await;
    counted(&stage, 4).await;
    pass(&stage, 4);
    assert_eq!(stage.site.presence.counts(loc_of(&stage)).unwrap().2.current, 3, "its 12 s are over");
    pass(&stage, 6);
    assert_eq!(stage.site.presence.counts(loc_of(&stage)).unwrap().2.current, 2);
    assert_eq!(stage.site.presence.counts(loc_of(&stage)).unwrap().2.total, 4);
}

#[tokio::test(flavor = "multi_thread")]
async fn each_channel_is_told_of_once_however_often_it_is_named() {
    let stage = on_the_air().await;
    let two = stage.owner.channel("Two", json!({})).await;
    let mut socket = Socket::open(stage.site.public).await;
    let locs = json!([two["loc"], stage.loc(), two["loc"], stage.loc().to_uppercase()]);
    socket.start("1", COUNTS, json!({"locs": locs})).await;
    let mut names: Vec<String> = Vec::new();
    for news in socket.collect("1", 2).await {
        names.push(news["channel"]["name"].as_str().unwrap().to_owned());
    }
    names.sort();
    assert_eq!(names, ["One", "Two"]);
    let reports = Reports::listen(&stage).await;
    // Nobody is counted off the air, so the next that is heard is of the channel that is on it.
    reports.playlist(two["loc"].as_str().unwrap(), "-", "10.0.0.7", "VLC").await;
    reports.playlist(&stage.loc(), "-", "10.0.0.7", "VLC").await;
    let next = socket.collect("1", 1).await.remove(0);
    assert_eq!((&next["channel"]["name"], &next["currentViewers"]), (&json!("One"), &json!(1)));
    let refused = ("BAD_USER_INPUT".to_owned(), Some("locs".to_owned()));
    socket.start("none", COUNTS, json!({"locs": []})).await;
    assert_eq!(socket.refusal("none").await, refused);
    socket.start("many", COUNTS, json!({"locs": vec![stage.loc(); 101]})).await;
    assert_eq!(socket.refusal("many").await, refused);
    let unknown = json!([stage.loc(), "018f3c1e-0000-4000-8000-000000000001"]);
    socket.start("unknown", COUNTS, json!({"locs": unknown})).await;
    assert_eq!(socket.refusal("unknown").await, ("NOT_FOUND".to_owned(), None));
}

#[tokio::test(flavor = "multi_thread")]
async fn who_does_not_know_the_secret_reports_nobody() {
    let stage = on_the_air().await;
    let reports = Reports::listen(&stage).await;
    let loc = stage.loc();
    for text in [
        String::new(),
        "tally: ".to_owned(),
        format!("<190>Nov 23 12:00:00 tally: wrong {loc} - 10.0.0.1 1763899200.000 VLC"),
        format!("<190>Nov 23 12:00:00 tally:  {loc} - 10.0.0.1 1763899200.000 VLC"),
        format!("<190>Nov 23 12:00:00 tally: {SECRET}x {loc} - 10.0.0.1 1763899200.000 VLC"),
        format!("<190>Nov 23 12:00:00 tally: {SECRET} {loc}x - 10.0.0.1 1763899200.000 VLC"),
        format!("<190>Nov 23 12:00:00 tally: {SECRET} {loc} - 10.0.0.1 1763899200 VLC"),
        format!("<190>Nov 23 12:00:00 tally: {SECRET} {loc} -"),
        "\u{0}".repeat(5000),
    ] {
        reports.datagram(&text).await;
    }
    // They are heard in order, so all of those were heard when this one counts.
    reports.playlist(&loc, "-", "10.0.0.9", "VLC").await;
    counted(&stage, 1).await;
    assert_eq!(stage.site.presence.counts(loc_of(&stage)).unwrap().2.total, 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_counts_once_and_people_behind_one_address_count_each() {
    let stage = on_the_air().await;
    let reports = Reports::listen(&stage).await;
    let start =
        "mutation ($input: StartPlaybackInput!) { startPlayback(input: $input) { playback { url } } }";
    for _ in 0..3 {
        let answer = stage.site.anonymous().data(start, json!({"input": {"loc": stage.loc()}})).await;
        let url = answer["startPlayback"]["playback"]["url"].as_str().unwrap();
        let token = url.split("/live/~").nth(1).unwrap().split('/').next().unwrap();
        assert!(url.ends_with(&format!("/live/~{token}/{}/index.m3u8", stage.loc())));
        for address in ["10.0.0.1", "10.0.0.1", "192.168.0.9"] {
            reports.playlist(&stage.loc(), token, address, "Mozilla/5.0").await;
        }
    }
    // Without a token, the same player at the same address is one more, and one only.
    reports.playlist(&stage.loc(), "-", "10.0.0.1", "Mozilla/5.0").await;
    reports.playlist(&stage.loc(), "-", "10.0.0.1", "Mozilla/5.0").await;
    counted(&stage, 4).await;
    assert_eq!(stage.site.presence.counts(loc_of(&stage)).unwrap().2.total, 4);
}

#[tokio::test(flavor = "multi_thread")]
async fn queries_and_subscriptions_agree_and_the_figures_outlive_the_stream() {
    let mut stage = on_the_air().await;
    let reports = Reports::listen(&stage).await;
    let mut socket = Socket::open(stage.site.public).await;
    socket.start("1", COUNTS, json!({"locs": [stage.loc()]})).await;
    for viewer in 1..=5 {
        reports.playlist(&stage.loc(), "-", &format!("10.0.0.{viewer}"), "VLC").await;
    }
    told(&mut socket, "1", 5, 5).await;
    pass(&stage, 11);
    for viewer in 4..=6 {
        reports.playlist(&stage.loc(), "-", &format!("10.0.0.{viewer}"), "VLC").await;
    }
    counted(&stage, 6).await;
    pass(&stage, 2);
    told(&mut socket, "1", 3, 6).await;
    stage.site.presence.save(&stage.site.store).await;
    let shown = json!({"currentViewers": 3, "views": 6, "stream": {
        "currentViewers": 3, "peakViewers": 6, "totalViewers": 6
    }});
    // The process saves by itself as well, and may be at it just now.
    written(&stage, shown).await;
    let row = stage.site.store.audiences().await.unwrap().remove(0).1;
    assert_eq!((row.current, row.peak, row.total), (3, 6, 6), "as in the database");
    reports.playlist(&stage.loc(), "-", "10.0.0.7", "VLC").await;
    counted(&stage, 4).await;
    stage.change(&stage.owner, "endStream", "channelId", "stream { id }").await;
    told(&mut socket, "1", 0, 7).await;
    let query = "query ($loc: UUID!) { channel(loc: $loc) { currentViewers views stream { id }
        pastStreams { nodes { currentViewers peakViewers totalViewers } } } }";
    let past = stage.site.anonymous().data(query, json!({"loc": stage.loc()})).await;
    assert_eq!(
        past["channel"],
        json!({"currentViewers": 0, "views": 7, "stream": null, "pastStreams": {"nodes": [
            {"currentViewers": 0, "peakViewers": 6, "totalViewers": 7}
        ]}})
    );
    reports.playlist(&stage.loc(), "-", "10.0.0.8", "VLC").await;
    // The next stream begins with nobody, and the channel's views go on.
    stage.pass(10).await;
    stage.on_the_air(2).await;
    opened(&stage, &stage.site.presence).await;
    told(&mut socket, "1", 0, 0).await;
    reports.playlist(&stage.loc(), "-", "10.0.0.1", "VLC").await;
    told(&mut socket, "1", 1, 1).await;
    stage.site.presence.save(&stage.site.store).await;
    let shown = json!({"currentViewers": 1, "views": 8, "stream": {
        "currentViewers": 1, "peakViewers": 1, "totalViewers": 1
    }});
    written(&stage, shown).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_interrupted_stream_keeps_its_viewers() {
    let stage = Stage::set().await;
    let publisher = stage.on_the_air(1).await;
    opened(&stage, &stage.site.presence).await;
    let reports = Reports::listen(&stage).await;
    reports.playlist(&stage.loc(), "-", "10.0.0.1", "VLC").await;
    counted(&stage, 1).await;
    publisher.done(&stage.site).await;
    stage.publisher(2).publish(&stage.site).await;
    reports.playlist(&stage.loc(), "-", "10.0.0.2", "VLC").await;
    counted(&stage, 2).await;
    assert_eq!(stage.site.presence.counts(loc_of(&stage)).unwrap().2.total, 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_restart_keeps_the_figures_and_counts_nobody_twice() {
    let mut stage = on_the_air().await;
    let reports = Reports::listen(&stage).await;
    for viewer in 1..=3 {
        reports.playlist(&stage.loc(), "-", &format!("10.0.0.{viewer}"), "VLC").await;
    }
    counted(&stage, 3).await;
    assert!(stage.site.lifecycle.finish().await, "it writes what it knows before it stops");
    let again = stage.site.again().await;
    let shown = |current: i32, total: i32| {
        json!({"currentViewers": current, "views": 3, "stream": {
            "currentViewers": current, "peakViewers": 3, "totalViewers": total
        }})
    };
    assert_eq!(figures(again.public, &stage).await, shown(3, 3));
    let mut socket = Socket::open(again.public).await;
    socket.start("1", COUNTS, json!({"locs": [stage.loc()]})).await;
    assert_eq!(socket.collect("1", 1).await[0]["currentViewers"], 3);
    let loc = loc_of(&stage);
    for viewer in 1..=2 {
        let address = format!("10.0.0.{viewer}");
        let session = tally::realtime::Session::Player { address: address.as_bytes(), agent: b"VLC" };
        again.presence.touch(loc, &session);
    }
    assert_eq!(figures(again.public, &stage).await, shown(3, 3), "they were counted before");
    stage.site.clock.advance(Duration::from_secs(11));
    for viewer in 1..=2 {
        let address = format!("10.0.0.{viewer}");
        let session = tally::realtime::Session::Player { address: address.as_bytes(), agent: b"VLC" };
        again.presence.touch(loc, &session);
    }
    stage.site.clock.advance(Duration::from_secs(1));
    again.presence.publish();
    told(&mut socket, "1", 2, 3).await;
    assert!(!again.lifecycle.tasks().stopping().is_cancelled());
}

/// What the door of playback says: the directory that it opens.
pub(crate) async fn door(stage: &Stage, token: &str, loc: &str) -> (u16, Option<String>) {
    let request = stage.site.client.get(format!("http://{}/media-auth", stage.site.internal));
    let request = request.header("x-tally-secret", SECRET).header("x-tally-token", token);
    let answer = request.header("x-tally-loc", loc).send().await.expect("an answer");
    let directory =
        answer.headers().get("x-tally-dir").and_then(|name| name.to_str().ok()).map(str::to_owned);
    (answer.status().as_u16(), directory)
}

pub(crate) async fn token(actor: &crate::site::Actor, loc: &str) -> Result<String, String> {
    let start =
        "mutation ($input: StartPlaybackInput!) { startPlayback(input: $input) { playback { url } } }";
    let answer = actor.ask(start, json!({"input": {"loc": loc}})).await;
    let word = |value: &Value| value.as_str().map(str::to_owned);
    let url = word(&answer["data"]["startPlayback"]["playback"]["url"]);
    let token = url.and_then(|url| Some(url.split("/live/~").nth(1)?.split('/').next()?.to_owned()));
    token.ok_or_else(|| word(&answer["errors"][0]["extensions"]["code"]).expect("a code"))
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_opens_its_channel_until_it_expires_and_nothing_else() {
    let stage = Stage::set().await;
    let other = stage.owner.channel("Two", json!({})).await;
    let loc = stage.loc();
    let token = token(&stage.site.anonymous(), &loc).await.unwrap();
    assert_eq!(door(&stage, &token, &loc).await, (204, Some(loc.clone())));
    let refused = (403, None);
    assert_eq!(door(&stage, &token, other["loc"].as_str().unwrap()).await, refused);
    let swapped = if token.ends_with('A') { "B" } else { "A" };
    for tampered in [
        format!("{}{swapped}", &token[..token.len() - 1]),
        format!("{token}A"),
        token[1..].to_owned(),
        "x".to_owned(),
        String::new(),
    ] {
        assert_eq!(door(&stage, &tampered, &loc).await, refused, "{tampered}");
    }
    assert_eq!(door(&stage, &token, "..").await, refused);
    stage.site.clock.advance(Duration::from_secs(6 * 60 * 60) - Duration::from_millis(1));
    assert_eq!(door(&stage, &token, &loc).await.0, 204);
    stage.site.clock.advance(Duration::from_millis(1));
    assert_eq!(door(&stage, &token, &loc).await, refused);
    let token = self::token(&stage.owner, &loc).await.unwrap();
    stage.change(&stage.owner, "deleteChannel", "id", "deletedChannelId").await;
    assert_eq!(door(&stage, &token, &loc).await, refused, "nothing is there any more");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_protected_channel_opens_to_those_who_may_watch_it() {
    let stage = Stage::with(&[], json!({"protected": true})).await;
    let (stranger, admin) =
        (stage.site.actor("eve", Role::Moderator).await, stage.site.actor("root", Role::Admin).await);
    let loc = stage.loc();
    assert_eq!(token(&stage.site.anonymous(), &loc).await, Err("UNAUTHENTICATED".to_owned()));
    assert_eq!(token(&stranger, &loc).await, Err("FORBIDDEN".to_owned()));
    for actor in [&stage.owner, &admin] {
        let token = token(actor, &loc).await.unwrap();
        assert_eq!(door(&stage, &token, &loc).await, (204, Some(format!("p-{loc}"))));
    }
    // Whoever loses what let them in is out, though the token would go on.
    let token = token(&admin, &loc).await.unwrap();
    let id = admin.data("{ me { id } }", json!({})).await["me"]["id"].clone();
    let set = "mutation ($input: SetRoleInput!) { setRole(input: $input) { user { role } } }";
    let second = stage.site.actor("root2", Role::Admin).await;
    second.data(set, json!({"input": {"userId": id, "role": "VIEWER"}})).await;
    assert_eq!(door(&stage, &token, &loc).await, (403, None));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_for_what_everybody_may_watch_asks_no_database() {
    let stage = on_the_air().await;
    let loc = stage.loc();
    let token = token(&stage.site.anonymous(), &loc).await.unwrap();
    let answer = (204, Some(loc.clone()));
    // A table that nobody gets at would keep every question that goes to the database waiting.
    let mut sql = Sql::on(&stage.site.url).await;
    sql.run("BEGIN; LOCK TABLE channels, streams, users").await;
    assert_eq!(door(&stage, &token, &loc).await, answer);
    assert_eq!(door(&stage, &format!("{token}A"), &loc).await, (403, None));
    sql.run("COMMIT").await;
    // The channel becomes protected: its stream stays as open as it began, and the next one is not for everybody.
    let protect =
        "mutation ($input: UpdateChannelInput!) { updateChannel(input: $input) { channel { id } } }";
    stage.owner.data(protect, json!({"input": {"id": stage.channel["id"], "protected": true}})).await;
    assert_eq!(door(&stage, &token, &loc).await, answer);
    stage.change(&stage.owner, "endStream", "channelId", "stream { id }").await;
    let (presence, here) = (&stage.site.presence, loc_of(&stage));
    eventually("presence knows that it is over", async || !presence.is_on_the_air(here)).await;
    assert_eq!(door(&stage, &token, &loc).await, (403, None));
    stage.site.clock.advance(Duration::from_secs(10));
    assert_eq!(stage.publisher(2).publish(&stage.site).await, (302, Some(format!("p-{loc}"))));
    opened(&stage, presence).await;
    assert_eq!(door(&stage, &token, &loc).await, (403, None));
}
