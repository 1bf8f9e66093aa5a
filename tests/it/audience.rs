//! How many watched, over a stream's time: kept by the minute, for as long as the stream is.

use std::net::SocketAddr;
use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use serde_json::{Value, json};
use tally::realtime::{Presence, Session};
use tally::store::{Loc, Role, StreamId};

use crate::nginx::{Publisher, Stage, eventually};
use crate::site::unlike_any;
use crate::sql::Sql;

async fn on_the_air(stage: &Stage, connection: i64) -> StreamId {
    stage.on_the_air(connection).await;
    let (presence, loc) = (&stage.site.presence, loc_of(stage));
    eventually("presence knows of the stream", async || presence.is_on_the_air(loc)).await;
    StreamId(stage.stream().await["uuid"].as_str().unwrap().parse().unwrap())
}

fn loc_of(stage: &Stage) -> Loc {
    Loc(stage.loc().parse().expect("a uuid"))
}

/// So many ask for the playlist.
fn watch(presence: &Presence, loc: Loc, viewers: u8) {
    for viewer in 0..viewers {
        presence.touch(loc, &Session::Player { address: &[viewer], agent: b"VLC" });
    }
}

/// Lets seconds pass as the process does, with a tick in each.
fn pass(stage: &Stage, presence: &Presence, seconds: u64) {
    for _ in 0..seconds {
        stage.site.clock.advance(Duration::from_secs(1));
        presence.publish();
    }
}

const AUDIENCE: &str = "query ($id: ID!, $points: Int) { node(id: $id) { ... on Stream { audience(points: $points) { at viewers } } } }";

/// What an API says of a stream's audience: minutes and seconds, and how many.
async fn audience(stage: &Stage, address: SocketAddr, id: &Value, points: Value) -> Vec<(String, i64)> {
    let request = stage.site.client.post(format!("http://{address}/graphql"));
    let body = unlike_any(AUDIENCE, json!({"id": id, "points": points}));
    let answer = request.header("content-type", "application/json").body(body).send().await.unwrap();
    let answer: Value = serde_json::from_str(&answer.text().await.unwrap()).unwrap();
    let points = answer["data"]["node"]["audience"].as_array().unwrap_or_else(|| panic!("{answer}"));
    let point = |point: &Value| {
        let at: DateTime<Utc> = point["at"].as_str().unwrap().parse().unwrap();
        (at.format("%M:%S").to_string(), point["viewers"].as_i64().unwrap())
    };
    points.iter().map(point).collect()
}

/// Waits until an API says that; the process saves by itself as well, and may be at it just now.
async fn told(stage: &Stage, address: SocketAddr, id: &Value, told: &[(&str, i64)]) {
    let is_told = async || audience(stage, address, id, Value::Null).await == points(told);
    eventually(&format!("{told:?} is told"), is_told).await;
}

/// The rows of all streams.
const ROWS: &str = "SELECT minutes || ': ' || viewers::text AS line FROM stream_audiences";

fn points(points: &[(&str, i64)]) -> Vec<(String, i64)> {
    points.iter().map(|(at, viewers)| ((*at).to_owned(), *viewers)).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn each_minute_keeps_its_most_over_a_restart_and_beyond_the_end() {
    let mut stage = Stage::set().await;
    stage.site.clock.advance(Duration::from_secs(20));
    let stream = on_the_air(&stage, 1).await;
    let (presence, store, loc) = (stage.site.presence.clone(), stage.site.store.clone(), loc_of(&stage));
    let (id, here) = (stage.stream().await["id"].clone(), stage.site.public);
    presence.publish();
    watch(&presence, loc, 3);
    pass(&stage, &presence, 39);
    presence.save(&store).await;
    assert_eq!(audience(&stage, here, &id, Value::Null).await, [], "the minute is not over");
    pass(&stage, &presence, 31);
    presence.save(&store).await;
    told(&stage, here, &id, &[("00:20", 3)]).await;
    watch(&presence, loc, 2);
    pass(&stage, &presence, 5);
    assert!(stage.site.lifecycle.finish().await, "it writes what it knows before it stops");
    let again = stage.site.again().await;
    watch(&again.presence, loc, 5);
    pass(&stage, &again.presence, 25);
    again.presence.save(&store).await;
    told(&stage, again.public, &id, &[("00:20", 3), ("01:00", 5)]).await;
    watch(&again.presence, loc, 1);
    pass(&stage, &again.presence, 1);
    let channel = store.streams(&[stream]).await.unwrap().remove(0).channel_id;
    assert!(store.delete_channel(channel, &stage.site.deed()).await.unwrap().is_some());
    eventually("presence knows that it is over", async || !again.presence.is_on_the_air(loc)).await;
    again.presence.save(&store).await;
    let mut sql = Sql::on(&stage.site.url).await;
    let ended = async || sql.lines(ROWS).await == ["1: {3,5,1}"];
    eventually("the minute that it ended in is kept", ended).await;
    stage.site.clock.advance(Duration::from_secs(9 * 24 * 60 * 60));
    tally::command::sweep::forget(&store, &stage.site.clock).await.unwrap();
    assert_eq!(
        Sql::on(&stage.site.url).await.lines(ROWS).await,
        Vec::<String>::new(),
        "gone with its channel"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn the_whole_sites_audience_is_that_of_all_streams_minute_by_minute() {
    let stage = Stage::set().await;
    let (site, store) = (&stage.site, &stage.site.store);
    let admin = site.actor("root", Role::Admin).await;
    let seen = async || {
        let status = admin.data("{ siteStatus { audience { at viewers } } }", json!({})).await;
        let points = status["siteStatus"]["audience"].as_array().unwrap().clone();
        let minute = |point: &Value| point["at"].as_str().unwrap()[11..16].to_owned();
        points.iter().map(|it| (minute(it), it["viewers"].as_i64().unwrap())).collect::<Vec<_>>()
    };
    let quiet = seen().await;
    assert_eq!(quiet.len(), 60, "an hour of which it is known that nobody watched");
    assert_eq!((quiet[0].0.as_str(), quiet[59].0.as_str()), ("11:00", "11:59"));
    assert!(quiet.iter().all(|(_, viewers)| *viewers == 0), "{quiet:?}");

    site.clock.advance(Duration::from_secs(90));
    let first = on_the_air(&stage, 1).await;
    let two = stage.owner.channel("Two", json!({})).await;
    let (status, _) =
        Publisher { key: two["key"].as_str().unwrap().to_owned(), connection: 2 }.publish(site).await;
    assert_eq!(status, 302);
    let other = stage
        .owner
        .data("query ($loc: UUID!) { channel(loc: $loc) { stream { uuid } } }", json!({"loc": two["loc"]}))
        .await;
    let other = StreamId(other["channel"]["stream"]["uuid"].as_str().unwrap().parse().unwrap());
    let start = site.clock.now();
    let keep = async |minute: i64, most: &[(StreamId, i32)]| {
        store.keep_audiences(start + TimeDelta::minutes(minute), most).await.unwrap();
    };
    keep(0, &[(first, 3), (other, 4)]).await;
    keep(1, &[(first, 5)]).await;
    // Nobody counted in the third minute.
    keep(3, &[(first, 1), (other, 1)]).await;
    site.clock.advance(Duration::from_secs(4 * 60));
    let told = seen().await;
    let told: Vec<_> =
        told.iter().skip(told.len() - 4).map(|(at, viewers)| (at.as_str(), *viewers)).collect();
    assert_eq!(told, [("12:00", 0), ("12:01", 7), ("12:02", 5), ("12:04", 2)]);

    // What has ended counts for as long as it was on the air.
    let channel = store.streams(&[other]).await.unwrap().remove(0).channel_id;
    assert!(store.delete_channel(channel, &site.deed()).await.unwrap().is_some());
    site.clock.advance(Duration::from_secs(3 * 60));
    keep(5, &[(first, 2)]).await;
    assert_eq!(seen().await.last().unwrap(), &("12:06".to_owned(), 2));
    site.clock.advance(Duration::from_secs(50 * 60));
    assert!(seen().await.contains(&("12:01".to_owned(), 7)), "the other one's viewers are not forgotten");
}

#[tokio::test(flavor = "multi_thread")]
async fn minutes_wait_for_a_database_that_is_away() {
    let stage = Stage::set().await;
    on_the_air(&stage, 1).await;
    let (presence, store, loc) = (&stage.site.presence, &stage.site.store, loc_of(&stage));
    let (id, here) = (stage.stream().await["id"].clone(), stage.site.public);
    presence.publish();
    let mut sql = Sql::on(&stage.site.url).await;
    sql.run("ALTER TABLE stream_audiences RENAME TO away").await;
    for viewers in [2, 4] {
        watch(presence, loc, viewers);
        pass(&stage, presence, 60);
        presence.save(store).await;
    }
    sql.run("ALTER TABLE away RENAME TO stream_audiences").await;
    presence.save(store).await;
    told(&stage, here, &id, &[("00:00", 2), ("01:00", 4)]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn however_long_a_stream_is_some_hundred_points_are_kept_of_it() {
    let stage = Stage::set().await;
    let (stream, store) = (on_the_air(&stage, 1).await, &stage.site.store);
    let (id, here, start) = (stage.stream().await["id"].clone(), stage.site.public, stage.site.clock.now());
    let keep = async |minute: i64, most| {
        store.keep_audiences(start + TimeDelta::minutes(minute), &[(stream, most)]).await.unwrap();
    };
    for minute in 0..800 {
        keep(minute, i32::try_from(minute).unwrap()).await;
    }
    keep(799, 5).await;
    let told = audience(&stage, here, &id, json!(360)).await;
    assert_eq!(told.len(), 200, "of four minutes each");
    assert_eq!(told[..2], points(&[("00:00", 3), ("04:00", 7)]));
    assert_eq!(told[199].1, 799, "a minute is not made less");
    assert_eq!(audience(&stage, here, &id, json!(10)).await.len(), 10);
    // Nobody counted for days; and a clock that was a year ahead for a moment makes no year of it.
    keep(3 * 24 * 60, 1).await;
    keep(700 * 24 * 60, 9).await;
    // One that was behind, and one of a stream that is not there.
    keep(-5, 2).await;
    store.keep_audiences(start, &[(StreamId(uuid::Uuid::nil()), 1)]).await.unwrap();
    let told = audience(&stage, here, &id, json!(360)).await;
    assert!(told.len() <= 360 && told.last().unwrap().1 == 1, "{told:?}");
    let row =
        Sql::on(&stage.site.url).await.lines("SELECT minutes::text AS line FROM stream_audiences").await;
    assert_eq!(row, ["16"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn points_may_be_asked_for_up_to_as_many_as_are_kept() {
    let stage = Stage::set().await;
    on_the_air(&stage, 1).await;
    let id = stage.stream().await["id"].clone();
    for points in [0, -1, 361] {
        let refused = stage.owner.error(AUDIENCE, json!({"id": id, "points": points})).await;
        assert_eq!(refused, ("BAD_USER_INPUT".to_owned(), Some("points".to_owned())), "{points}");
    }
    let page = "{ liveStreams(first: 20) { nodes { audience(points: 360) { at viewers } } } }";
    assert_eq!(
        stage.owner.error(page, json!({})).await.0,
        "DOCUMENT_REFUSED",
        "twenty times 720 are too many"
    );
    stage.owner.data(&page.replace("(points: 360)", ""), json!({})).await;
}
