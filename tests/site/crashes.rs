//! One part of the site dies during a broadcast.

use diesel::sql_types::{Bool, Text};
use diesel_async::{AsyncConnection, AsyncPgConnection, RunQueryDsl, SimpleAsyncConnection};
use rustix::process::Signal;
use serde_json::json;

use crate::support::{Actor, Broadcast, Persistent, Playlist, Site, seconds, send, until};

#[tokio::test(flavor = "multi_thread")]
async fn a_broadcast_outlives_an_api_that_is_killed_and_started_again() {
    let _turn = crate::turn().await;
    let mut site = Site::start(&[]).await;
    let streamer = Actor::streamer(&site, "grace").await;
    let (kept, lost) = (streamer.channel("Kept", false).await, streamer.channel("Lost", false).await);
    let mut events = streamer.events(&kept.loc, None).await;
    let mut publisher = Broadcast::begin(&site, &kept.key);
    let started = events.expect("StreamStarted", seconds(5)).await;
    let cursor = started["cursor"].as_str().expect("a cursor");
    let other = Broadcast::begin(&site, &lost.key);
    let url = site.url(&format!("/live/{}/index.m3u8", kept.loc));
    let playlist = Playlist::of(&site.client, &url, 2).await;

    site.kill_api().await;
    events.until_cut(seconds(2)).await;
    let playlist = playlist.grows(&site.client, seconds(5)).await;
    // Nobody hears of this one's end while it happens.
    other.crash().await;
    tokio::time::sleep(seconds(6)).await;
    let playlist = playlist.grows(&site.client, seconds(5)).await;
    site.start_again().await;

    // One log of all channels, from where the subscriber was: what happened before, meanwhile and since.
    let document = "subscription ($after: String) { streamEvents(after: $after) {
        __typename stream { channel { loc } } } }";
    let mut events = streamer.subscribe(document, json!({"after": cursor})).await;
    for expected in ["StreamStarted", "StreamInterrupted"] {
        let event = events.expect(expected, seconds(15)).await;
        assert_eq!(event["stream"]["channel"]["loc"], lost.loc.as_str());
    }
    assert!(publisher.goes_on(), "the publisher was not dropped");
    playlist.grows(&site.client, seconds(5)).await.plays(&site.client).await;
    // One can go back to what nobody but nginx saw.
    let longer = site.url(&format!("/live/{}/dvr.m3u8", kept.loc));
    let longer = until("one can go back to its beginning", seconds(5), async || {
        let longer = Playlist::get(&site.client, &longer).await?;
        (longer.segments().len() >= 8).then_some(longer)
    })
    .await;
    longer.plays(&site.client).await;
    let listed = Playlist::of(&site.client, &url, 2).await.segments();
    assert_eq!(longer.segments()[..3], listed[..3], "all of it is less than nginx lists");
    let stream = streamer.stream(&kept.loc).await;
    assert_eq!((&stream["uuid"], &stream["state"]), (&started["stream"]["uuid"], &json!("LIVE")));

    // The new process knows the publisher well enough to notice its end.
    publisher.crash().await;
    let mut of_kept = streamer.events(&kept.loc, Some(cursor)).await;
    of_kept.expect("StreamInterrupted", seconds(3)).await;
    site.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_broadcast_goes_on_when_nginxs_worker_is_killed() {
    let _turn = crate::turn().await;
    let site = Site::start(&[]).await;
    let streamer = Actor::streamer(&site, "linus").await;
    let channel = streamer.channel("Stubborn", false).await;
    let mut events = streamer.events(&channel.loc, None).await;
    let publisher = Persistent::begin(&site.rtmp(), &channel.key);
    let started = events.expect("StreamStarted", seconds(5)).await;
    let url = site.url(&format!("/live/{}/index.m3u8", channel.loc));
    Playlist::of(&site.client, &url, 2).await;
    // A worker that died before it was known could not be told from one that was only told to reload.
    until("what is sent is known", seconds(10), async || {
        let document = "query ($loc: UUID!) { channel(loc: $loc) { stream { media { height } } } }";
        let shown = streamer.data(document, json!({"loc": channel.loc})).await;
        (shown["channel"]["stream"]["media"]["height"] == 180).then_some(())
    })
    .await;

    send(site.nginx_worker(), Signal::KILL);
    // Subscribers come through the same worker; they go on from where they were.
    events.until_cut(seconds(2)).await;
    let mut events = streamer.events(&channel.loc, started["cursor"].as_str()).await;
    let mut event = events.next(seconds(15)).await;
    if event["__typename"] == "StreamInterrupted" {
        event = events.next(seconds(15)).await;
    }
    assert_eq!(event["__typename"], "StreamResumed", "{event}");
    assert_eq!(event["stream"]["uuid"], started["stream"]["uuid"]);
    assert!(publisher.runs() > 1);
    let playlist = Playlist::of(&site.client, &url, 1).await.grows(&site.client, seconds(10)).await;
    playlist.plays(&site.client).await;
    let stream = streamer.stream(&channel.loc).await;
    assert_eq!((&stream["uuid"], &stream["state"]), (&started["stream"]["uuid"], &json!("LIVE")));
    site.stop().await;
}

async fn connection(site: &Site) -> AsyncPgConnection {
    AsyncPgConnection::establish(&site.database()).await.expect("PostgreSQL answers")
}

/// Waits until somebody waits for the event log in that mode.
async fn awaited(connection: &mut AsyncPgConnection, mode: &str) {
    #[derive(diesel::QueryableByName)]
    struct Waits {
        #[diesel(sql_type = Bool)]
        waits: bool,
    }
    let question = "SELECT EXISTS (SELECT FROM pg_locks
        WHERE relation = 'events'::regclass AND mode = $1 AND NOT granted) AS waits";
    for _ in 0..500 {
        let asked = diesel::sql_query(question).bind::<Text, _>(mode);
        let Waits { waits } = asked.get_result(connection).await.expect("an answer");
        if waits {
            return;
        }
        tokio::time::sleep(std::time::Duration::from_millis(10)).await;
    }
    panic!("nobody waits for {mode}");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_committed_when_the_api_died_and_told_to_nobody_is_told_by_the_next_one() {
    const LOCK: &str = "BEGIN; LOCK TABLE events IN ACCESS EXCLUSIVE MODE";
    let _turn = crate::turn().await;
    let mut site = Site::start(&[]).await;
    let streamer = Actor::streamer(&site, "barbara").await;
    let channel = streamer.channel("Told once", false).await;
    let mut events = streamer.events(&channel.loc, None).await;
    let now = streamer.data("{ liveStreams { eventCursor } }", json!({})).await;
    let cursor = now["liveStreams"]["eventCursor"].as_str().expect("a cursor");

    // Three queue for the log: us, whoever writes that the stream has started, and us again, before whoever reads it.
    let (mut before, mut behind) = (connection(&site).await, connection(&site).await);
    let mut looking = connection(&site).await;
    before.batch_execute(LOCK).await.expect("locked");
    let mut publisher = Broadcast::begin(&site, &channel.key);
    awaited(&mut looking, "RowExclusiveLock").await;
    let waiting = tokio::spawn(async move {
        behind.batch_execute(LOCK).await.expect("locked");
        behind
    });
    awaited(&mut looking, "AccessExclusiveLock").await;
    before.batch_execute("COMMIT").await.expect("let go");
    let mut behind = waiting.await.expect("locked once the start is committed");
    let url = site.url(&format!("/live/{}/index.m3u8", channel.loc));
    Playlist::of(&site.client, &url, 1).await;
    assert_eq!(events.try_next(seconds(0)).await, None, "nobody could read it");
    site.kill_api().await;
    behind.batch_execute("COMMIT").await.expect("let go");
    site.start_again().await;

    let mut events = streamer.events(&channel.loc, Some(cursor)).await;
    let started = events.expect("StreamStarted", seconds(5)).await;
    assert_eq!(started["stream"]["uuid"], streamer.stream(&channel.loc).await["uuid"]);
    assert!(publisher.goes_on(), "the publisher was not dropped");
    publisher.crash().await;
    events.expect("StreamInterrupted", seconds(15)).await;
    site.stop().await;
}
