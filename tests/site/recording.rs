//! Recordings: what was broadcast is there afterwards, all of it, for whoever may watch it.

use std::path::PathBuf;

use rustix::process::Signal;
use serde_json::{Value, json};
use tokio::process::Command;

use crate::browser::{story, tell};
use crate::support::{Actor, Broadcast, Channel, Playlist, Site, get, raw_status, seconds, send, until};

/// A channel that is recorded.
pub(crate) async fn recorded(owner: &Actor, name: &str) -> Channel {
    let channel = owner.channel("Recorded", false).await;
    let update =
        "mutation ($input: UpdateChannelInput!) { updateChannel(input: $input) { channel { record } } }";
    let input = json!({"id": channel.id, "record": true, "defaultStreamName": name});
    let updated = owner.data(update, json!({"input": input})).await;
    assert_eq!(updated["updateChannel"]["channel"]["record"], true);
    channel
}

/// The channel's recordings as somebody sees them.
pub(crate) async fn recordings(actor: &Actor, loc: &str) -> Vec<Value> {
    let list = "query ($loc: UUID!) { channel(loc: $loc) { recordings { nodes {
        id name state failure published durationSeconds bytes width height views playbackUrl downloadUrl posterUrl
        stream { uuid } } } } }";
    let listed = actor.data(list, json!({"loc": loc})).await;
    listed["channel"]["recordings"]["nodes"].as_array().expect("a list").clone()
}

/// Waits until a channel's only recording is ready.
pub(crate) async fn ready(actor: &Actor, loc: &str) -> Value {
    until("the recording is ready", seconds(40), async || {
        let recording = recordings(actor, loc).await.pop()?;
        assert_ne!(recording["state"], "FAILED", "{recording}");
        (recording["state"] == "READY").then_some(recording)
    })
    .await
}

/// What ffmpeg counts in a video: pictures, and seconds of them. It must have nothing to complain about.
pub(crate) async fn pictures(input: &str) -> usize {
    let mut ffmpeg = Command::new("ffmpeg");
    ffmpeg.args(["-nostdin", "-v", "error", "-i", input, "-map", "0:v:0", "-f", "framemd5", "-"]);
    let output = ffmpeg.output().await.expect("ffmpeg runs");
    let complaint = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{complaint}");
    String::from_utf8_lossy(&output.stdout).lines().filter(|line| !line.starts_with('#')).count()
}

/// A publisher that tries until it is let in, as broadcasting software does.
async fn comes_back(site: &Site, key: &str) -> Broadcast {
    until("the publisher is let in again", seconds(20), async || {
        let mut publisher = Broadcast::begin(site, key);
        (!publisher.is_turned_away(seconds(2)).await).then_some(publisher)
    })
    .await
}

pub(crate) fn parts(site: &Site, loc: &str) -> usize {
    let channel = site.data_dir().join("media/recordings").join(loc);
    let directories = std::fs::read_dir(channel).into_iter().flatten().flatten();
    let files =
        directories.flat_map(|entry| std::fs::read_dir(entry.path().join("parts")).into_iter().flatten());
    files.flatten().filter(|file| file.path().extension().is_some_and(|it| it == "ts")).count()
}

pub(crate) fn path(recording: &Value, field: &str) -> String {
    recording[field].as_str().expect("a path").to_owned()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_broadcast_is_recorded_whole_however_often_anything_dies() {
    let _turn = crate::turn().await;
    let mut site = Site::start(&["--reconnect-window", "30s"]).await;
    let owner = Actor::streamer(&site, "owner").await;
    let channel = recorded(&owner, "No. {number} of {date}").await;
    let loc = channel.loc.as_str();
    let first = Broadcast::begin(&site, &channel.key);
    until("some of it is kept", seconds(20), async || (parts(&site, loc) >= 3).then_some(())).await;

    // The publisher dies and comes back, while nobody looks.
    site.kill_api().await;
    first.crash().await;
    site.start_again().await;
    let second = comes_back(&site, &channel.key).await;
    let kept = parts(&site, loc);
    until("it goes on", seconds(20), async || (parts(&site, loc) >= kept + 3).then_some(())).await;

    // nginx loses what it carries.
    send(site.nginx_worker(), Signal::KILL);
    second.crash().await;
    let kept = parts(&site, loc);
    let third = comes_back(&site, &channel.key).await;
    until("it goes on again", seconds(20), async || (parts(&site, loc) >= kept + 3).then_some(())).await;
    let streams = owner.stream(loc).await;
    third.end().await;
    let end = "mutation ($id: ID!) { endStream(input: {channelId: $id}) { stream { id } } }";
    owner.data(end, json!({"id": channel.id})).await;

    // While it is made, the program dies once more.
    until("it is being made", seconds(20), async || {
        let state = recordings(&owner, loc).await.pop()?["state"].take();
        (state == "PROCESSING" || state == "READY").then_some(())
    })
    .await;
    site.kill_api().await;
    site.start_again().await;
    let recording = ready(&owner, loc).await;
    assert_eq!(recording["stream"]["uuid"], streams["uuid"], "one recording of one stream");
    let name = recording["name"].as_str().expect("a name");
    assert!(name.starts_with("No. 1 of 20") && name.len() == "No. 1 of 2026-11-25".len(), "{name}");
    assert_eq!((&recording["width"], &recording["height"]), (&json!(320), &json!(180)));
    let seconds_long = recording["durationSeconds"].as_f64().expect("a duration");
    let bytes = recording["bytes"].as_u64().expect("a size");
    assert!(seconds_long >= 9.0 && bytes > 200_000, "{recording}");

    let (mp4, playlist) = (path(&recording, "downloadUrl"), path(&recording, "playbackUrl"));
    let of_mp4 = pictures(&site.url(&mp4)).await;
    assert!(of_mp4 as f64 >= 0.9 * 30.0 * seconds_long.min(9.0), "{of_mp4} pictures in {seconds_long} s");
    assert_eq!(pictures(&site.url(&playlist)).await, of_mp4, "the same by HLS");
    let (status, video) = get(&site.client, &site.url(&mp4)).await;
    let place = |name: &[u8]| video.windows(4).position(|window| window == name);
    assert!(status == 200 && place(b"moov") < place(b"mdat"), "it plays before it is loaded");
    let (status, poster) = get(&site.client, &site.url(&path(&recording, "posterUrl"))).await;
    assert!(status == 200 && poster.starts_with(&[0xff, 0xd8]), "a JPEG");
    assert_eq!(parts(&site, loc), 0, "nothing is left of the work");
    tell(story("recording.mjs", &site)).await;
    site.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_recording_opens_to_whoever_may_watch_it_and_to_nobody_else() {
    let _turn = crate::turn().await;
    let site = Site::start(&["--reconnect-window", "0s"]).await;
    let owner = Actor::streamer(&site, "owner").await;
    let (guest, anybody) = (Actor::sign_up(&site, "guest").await, Actor::anonymous(&site));
    let channel = recorded(&owner, "Talk").await;
    let loc = channel.loc.as_str();
    let document = "subscription ($loc: UUID!) { recordingChanged(loc: $loc) { state } }";
    let mut told = owner.subscribe(document, json!({"loc": loc})).await;
    let publisher = Broadcast::begin(&site, &channel.key);
    until("some of it is kept", seconds(20), async || (parts(&site, loc) >= 3).then_some(())).await;
    assert_eq!(recordings(&anybody, loc).await, Vec::<Value>::new(), "it is still made");
    assert_eq!(recordings(&owner, loc).await[0]["state"], "RECORDING");
    assert_eq!(told.next(seconds(5)).await, json!({"state": "RECORDING"}));
    publisher.end().await;
    for state in ["PROCESSING", "READY"] {
        assert_eq!(told.next(seconds(20)).await, json!({"state": state}));
    }
    let recording = ready(&owner, loc).await;
    let file = path(&recording, "downloadUrl");
    let status = async |path: &str| raw_status(&site.url(""), path).await;
    assert_eq!(status(&file).await, 200);
    assert_eq!(recordings(&anybody, loc).await.len(), 1);

    let start = "mutation ($input: StartPlaybackInput!) { startPlayback(input: $input) { playback { url downloadUrl } } }";
    let play = async |actor: &Actor| {
        let input = json!({"input": {"loc": loc, "recordingId": recording["id"]}});
        let answer = actor.ask(start, input).await;
        let url = answer["data"]["startPlayback"]["playback"]["downloadUrl"].as_str();
        url.map(|url| url[site.url("").len()..].to_owned())
    };
    let by_guest = play(&guest).await.expect("a URL");
    assert_eq!(status(&by_guest).await, 200);

    // Not published: for its owner alone.
    let update = "mutation ($input: UpdateRecordingInput!) { updateRecording(input: $input) { recording { published name } } }";
    let change = async |published: bool| {
        let input = json!({"input": {"id": recording["id"], "published": published, "name": "The talk"}});
        owner.data(update, input).await["updateRecording"]["recording"].take()
    };
    assert_eq!(change(false).await, json!({"published": false, "name": "The talk"}));
    until("nobody else sees it", seconds(2), async || {
        recordings(&anybody, loc).await.is_empty().then_some(())
    })
    .await;
    assert_eq!(play(&anybody).await, None);
    assert_eq!(status(&file).await, 404);
    until("who was given a URL before is out", seconds(10), async || {
        (status(&by_guest).await == 403).then_some(())
    })
    .await;
    let by_owner = play(&owner).await.expect("a URL");
    assert_eq!(status(&by_owner).await, 200);
    change(true).await;
    assert_eq!(status(&file).await, 200);

    // On a protected channel: for those who may watch it.
    let protect =
        "mutation ($id: ID!) { updateChannel(input: {id: $id, protected: true}) { channel { id } } }";
    owner.data(protect, json!({"id": channel.id})).await;
    assert_eq!(status(&file).await, 404);
    assert_eq!(play(&guest).await, None);
    let invite =
        "mutation ($id: ID!) { inviteViewer(input: {channelId: $id, handle: \"guest\"}) { user { id } } }";
    owner.data(invite, json!({"id": channel.id})).await;
    let by_guest = play(&guest).await.expect("a URL");
    assert_eq!(status(&by_guest).await, 200);
    let other = owner.channel("Other", false).await;
    let id = file.split('/').nth(3).expect("an id");
    let token = by_guest.split('/').nth(2).expect("a token");
    for path in [
        format!("/recordings/{loc}/p-{id}/video.mp4"),
        format!("/recordings/{loc}/{id}/../p-{id}/video.mp4"),
        format!("/recordings/{loc}/{id}/..%2fp-{id}/video.mp4"),
        format!("/recordings/{}/{id}/video.mp4", loc.to_uppercase()),
        format!("/recordings/{token}/{}/{id}/video.mp4", other.loc),
        format!("/recordings/{token}/{loc}/{}/video.mp4", other.loc),
        format!("/recordings/{token}/{loc}/{id}/parts/list"),
        format!("/recordings/~AAAAAAAA/{loc}/{id}/video.mp4"),
    ] {
        let refused = status(&path).await;
        assert!((400..500).contains(&refused), "{path}: {refused}");
    }
    let views = recordings(&owner, loc).await.pop().expect("a recording")["views"].take();
    assert_eq!(views, 3, "as often as it was to be played");

    let delete = "mutation ($id: ID!) { deleteRecording(input: {id: $id}) { deletedRecordingId } }";
    assert_eq!(guest.refused(delete, json!({"id": recording["id"]})).await, "FORBIDDEN");
    owner.data(delete, json!({"id": recording["id"]})).await;
    assert_eq!(recordings(&owner, loc).await, Vec::<Value>::new());
    until("nothing opens it any more", seconds(10), async || (status(&by_guest).await >= 400).then_some(()))
        .await;
    let left: Vec<PathBuf> = std::fs::read_dir(site.data_dir().join("media/recordings").join(loc))
        .into_iter()
        .flatten()
        .flatten()
        .map(|entry| entry.path())
        .collect();
    assert_eq!(left, Vec::<PathBuf>::new());
    let playlist = site.url(&format!("/live/{loc}/index.m3u8"));
    assert!(Playlist::get(&site.client, &playlist).await.is_none_or(|playlist| playlist.is_over()));
    site.stop().await;
}
