//! Clips: what has just been seen, cut out by whoever saw it.

use serde_json::json;
use tokio::process::Command;

use crate::support::{Actor, Broadcast, Playlist, Site, get, raw_status, seconds, until};

const CREATE: &str = "mutation ($input: CreateClipInput!) { createClip(input: $input) { clip {
    id title durationSeconds bytes width height videoUrl posterUrl creator { handle } stream { id } } } }";

/// How long ffprobe says that a video is.
async fn length(url: &str) -> f64 {
    let mut ffprobe = Command::new("ffprobe");
    ffprobe.args(["-v", "error", "-of", "csv=p=0", "-show_entries", "format=duration", url]);
    let output = ffprobe.output().await.expect("ffprobe runs");
    String::from_utf8_lossy(&output.stdout).trim().parse().expect("a duration")
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_watches_cuts_out_what_they_have_just_seen() {
    let _turn = crate::turn().await;
    let site = Site::start(&[]).await;
    let owner = Actor::streamer(&site, "owner").await;
    let (viewer, other) = (Actor::sign_up(&site, "viewer").await, Actor::sign_up(&site, "other").await);
    let channel = owner.channel("Goals", false).await;
    let loc = channel.loc.as_str();
    let mut events = owner.events(loc, None).await;
    let _publisher = Broadcast::begin(&site, &channel.key);
    let started = events.expect("StreamStarted", seconds(5)).await;
    let uuid = started["stream"]["uuid"].as_str().expect("a uuid").replace('-', "");
    let stream = format!("st_{uuid}");
    let cut = |seconds: i32, title: &str| json!({"input": {"streamId": stream, "lastSeconds": seconds, "title": title}});
    assert_eq!(Actor::anonymous(&site).refused(CREATE, cut(5, "Goal")).await, "UNAUTHENTICATED");
    assert_eq!(viewer.refused(CREATE, cut(4, "Goal")).await, "BAD_USER_INPUT");
    assert_eq!(viewer.refused(CREATE, cut(121, "Goal")).await, "BAD_USER_INPUT");
    let playlist = site.url(&format!("/live/{loc}/index.m3u8"));
    Playlist::of(&site.client, &playlist, 7).await;
    let clip = viewer.data(CREATE, cut(5, "A goal ⚽")).await["createClip"]["clip"].take();
    assert_eq!((&clip["title"], &clip["creator"]["handle"]), (&json!("A goal ⚽"), &json!("viewer")));
    assert_eq!((&clip["stream"]["id"], &clip["height"]), (&json!(stream), &json!(180)));
    let path = |field: &str| clip[field].as_str().expect("a path").to_owned();
    let long = length(&site.url(&path("videoUrl"))).await;
    assert!((4.5..7.0).contains(&long), "{long} s");
    assert!((clip["durationSeconds"].as_f64().expect("a duration") - long).abs() < 0.2);
    let (status, poster) = get(&site.client, &site.url(&path("posterUrl"))).await;
    assert!(status == 200 && poster.starts_with(&[0xff, 0xd8]), "a JPEG");
    let list = "query ($loc: UUID!) { channel(loc: $loc) { clips { totalCount nodes { id title } } } }";
    let listed = json!({"totalCount": 1, "nodes": [{"id": clip["id"], "title": "A goal ⚽"}]});
    let anybody = Actor::anonymous(&site);
    let clips = async |actor: &Actor| actor.data(list, json!({"loc": loc})).await["channel"]["clips"].take();
    until("everybody sees it", seconds(2), async || (clips(&anybody).await == listed).then_some(())).await;

    // On a protected channel it opens to those who may watch; where the owner does not want clips, nobody else cuts any.
    let update = "mutation ($input: UpdateChannelInput!) { updateChannel(input: $input) { channel { id } } }";
    let input = json!({"id": channel.id, "protected": true, "clipsEnabled": false});
    owner.data(update, json!({"input": input})).await;
    let status = async |path: &str| raw_status(&site.url(""), path).await;
    assert_eq!(status(&path("videoUrl")).await, 404);
    let start =
        "mutation ($input: StartPlaybackInput!) { startPlayback(input: $input) { playback { url } } }";
    let input = json!({"input": {"loc": loc, "clipId": clip["id"]}});
    assert_eq!(viewer.refused(start, input.clone()).await, "FORBIDDEN");
    let opened = owner.data(start, input).await["startPlayback"]["playback"]["url"].take();
    let opened = opened.as_str().expect("a URL")[site.url("").len()..].to_owned();
    assert_eq!(status(&opened).await, 200);
    assert_eq!(status(&opened.replace("/clips/", "/recordings/")).await, 403);
    assert_eq!(viewer.refused(CREATE, cut(5, "Again")).await, "FORBIDDEN");
    owner.data(CREATE, cut(5, "The owner's")).await;

    let delete = "mutation ($id: ID!) { deleteClip(input: {id: $id}) { deletedClipId } }";
    assert_eq!(other.refused(delete, json!({"id": clip["id"]})).await, "FORBIDDEN");
    viewer.data(delete, json!({"id": clip["id"]})).await;
    assert_eq!(clips(&owner).await["totalCount"], 1);
    let left = std::fs::read_dir(site.data_dir().join("media/clips").join(loc)).expect("its clips").count();
    assert_eq!(left, 1, "its files are gone");
    assert_eq!(owner.refused(start, json!({"input": {"loc": loc, "clipId": clip["id"]}})).await, "NOT_FOUND");
    site.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_of_the_broadcast_before_is_in_a_clip_or_can_be_gone_back_to() {
    let _turn = crate::turn().await;
    let site = Site::start(&["--reconnect-window", "0s"]).await;
    let owner = Actor::streamer(&site, "owner").await;
    let channel = owner.channel("Goals", false).await;
    let loc = channel.loc.as_str();
    let mut events = owner.events(loc, None).await;
    let publisher = Broadcast::begin(&site, &channel.key);
    events.expect("StreamStarted", seconds(5)).await;
    let of = |name: &str| site.url(&format!("/live/{loc}/{name}.m3u8"));
    Playlist::of(&site.client, &of("dvr"), 7).await;
    publisher.end().await;
    for expected in ["StreamInterrupted", "StreamStopped"] {
        events.expect(expected, seconds(5)).await;
    }
    let _publisher = Broadcast::begin(&site, &channel.key);
    let started = events.expect("StreamStarted", seconds(5)).await;
    let uuid = started["stream"]["uuid"].as_str().expect("a uuid").replace('-', "");
    // Its id says when it began, a segment's name when that was.
    let start = i64::from_str_radix(&uuid[..12], 16).expect("milliseconds");
    let own = async |name: &str| {
        let listed = Playlist::get(&site.client, &of(name)).await?.segments();
        let begun = |url: &String| url.rsplit_once('/')?.1.strip_suffix(".ts")?.parse::<i64>().ok();
        let own = listed.iter().filter_map(begun).filter(|begun| *begun >= start).count();
        Some((own, listed.len()))
    };
    until("some of it is there", seconds(15), async || (own("index").await?.0 >= 2).then_some(())).await;
    let input =
        json!({"input": {"streamId": format!("st_{uuid}"), "lastSeconds": 120, "title": "All of it"}});
    let clip = owner.data(CREATE, input).await["createClip"]["clip"].take();
    let (there, listed) = own("index").await.expect("a playlist");
    assert!(listed >= there + 7, "nginx goes on where the broadcast before was");
    let long = clip["durationSeconds"].as_f64().expect("a duration");
    assert!(long < there as f64 + 1.0, "{long} s, of which {there} are its own");
    until("one can go back to its beginning", seconds(5), async || {
        let (there, listed) = own("dvr").await?;
        (there >= 2 && there == listed).then_some(())
    })
    .await;
    site.stop().await;
}
