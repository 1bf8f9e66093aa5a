//! Recordings in a bucket: moved there, played from there, gone from there; and a store that is away.

use std::fs;
use std::net::TcpListener;
use std::path::Path;
use std::process::Stdio;

use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::process::{Child, Command};

use crate::recording::{parts, path, pictures, ready, recorded, recordings};
use crate::support::{Actor, Broadcast, Channel, Site, Surroundings, get, raw_status, seconds, until};

/// A server of the test's own that speaks as S3 does.
struct Bucket {
    port: u16,
    dir: TempDir,
    server: Option<Child>,
}

impl Bucket {
    async fn start() -> Self {
        let free = TcpListener::bind("127.0.0.1:0").expect("a port");
        let port = free.local_addr().expect("an address").port();
        drop(free);
        let dir = tempfile::Builder::new().prefix("tally-bucket-").tempdir().expect("a directory");
        let mut bucket = Self { port, dir, server: None };
        bucket.come_back().await;
        bucket
    }

    async fn come_back(&mut self) {
        let mut server = Command::new("node");
        server.arg(Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/bucket/serve.mjs"));
        server.arg(self.port.to_string()).arg(self.dir.path()).stdin(Stdio::null()).kill_on_drop(true);
        self.server = Some(server.spawn().expect("node runs"));
        let client = tally::ambient::http_client().build().expect("a client");
        let url = format!("http://127.0.0.1:{}/site", self.port);
        until("the bucket is there", seconds(20), async || client.get(&url).send().await.ok().map(drop))
            .await;
    }

    async fn go_away(&mut self) {
        self.server.take().expect("it runs").kill().await.expect("killed");
    }

    /// Where it is and the keys to it, as the program's environment says.
    fn surroundings(&self) -> Surroundings {
        let variables = vec![
            ("AWS_ENDPOINT_URL", format!("http://127.0.0.1:{}", self.port)),
            ("AWS_ACCESS_KEY_ID", "S3RVER".to_owned()),
            ("AWS_SECRET_ACCESS_KEY", "S3RVER".to_owned()),
        ];
        Surroundings { variables, ..Surroundings::default() }
    }

    /// How many files it holds of that recording.
    fn holds(&self, id: &str) -> usize {
        let directory = self.dir.path().join("site/recordings").join(id);
        let names = fs::read_dir(directory).into_iter().flatten().flatten();
        names.filter(|entry| entry.file_name().to_string_lossy().ends_with("_object")).count()
    }
}

/// Broadcasts for a moment, and ends it.
async fn broadcast(site: &Site, channel: &Channel) {
    let publisher = Broadcast::begin(site, &channel.key);
    let loc = channel.loc.as_str();
    until("some of it is kept", seconds(20), async || (parts(site, loc) >= 3).then_some(())).await;
    publisher.end().await;
}

/// What lies on the site's disk of a channel's recordings.
fn on_the_disk(site: &Site, loc: &str) -> usize {
    fs::read_dir(site.data_dir().join("media/recordings").join(loc)).into_iter().flatten().count()
}

/// What a recording lies under.
fn key(recording: &Value) -> String {
    recording["stream"]["uuid"].as_str().expect("an id").to_owned()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_recording_is_moved_into_the_bucket_and_plays_from_there_to_whoever_may_watch_it() {
    let _turn = crate::turn().await;
    let bucket = Bucket::start().await;
    let flags = ["--reconnect-window", "0s", "--recordings-bucket", "s3://site/recordings"];
    let site = Site::start_in(bucket.surroundings(), &flags).await;
    let owner = Actor::streamer(&site, "owner").await;
    let channel = recorded(&owner, "Talk").await;
    let loc = channel.loc.as_str();
    broadcast(&site, &channel).await;
    let recording = ready(&owner, loc).await;
    let (mp4, playlist) = (path(&recording, "downloadUrl"), path(&recording, "playbackUrl"));
    let before = pictures(&site.url(&mp4)).await;
    until("it is moved", seconds(30), async || (on_the_disk(&site, loc) == 0).then_some(())).await;
    assert_eq!(bucket.holds(&key(&recording)), 4, "a playlist, two videos and a poster");

    assert_eq!(pictures(&site.url(&mp4)).await, before, "all of it");
    assert_eq!(pictures(&site.url(&playlist)).await, before, "the same by HLS, by ranges of bytes");
    let (status, whole) = get(&site.client, &site.url(&mp4)).await;
    assert_eq!(status, 200);
    let ranged = async |range: &str| {
        let answer = site.client.get(site.url(&mp4)).header("range", range).send().await.expect("an answer");
        let said = |name: &str| answer.headers().get(name).map(|it| it.to_str().expect("text").to_owned());
        let (status, place) = (answer.status().as_u16(), said("content-range"));
        assert_eq!(said("content-type").as_deref(), (status == 206).then_some("video/mp4"));
        (status, place.unwrap_or_default(), answer.bytes().await.expect("a body"))
    };
    let size = whole.len();
    let (status, place, part) = ranged("bytes=100-199").await;
    assert_eq!((status, place, &part[..]), (206, format!("bytes 100-199/{size}"), &whole[100..200]));
    let (status, place, part) = ranged("bytes=-50").await;
    assert_eq!((status, place), (206, format!("bytes {}-{}/{size}", size - 50, size - 1)));
    assert_eq!(part[..], whole[size - 50..]);
    let (status, place, _) = ranged(&format!("bytes={size}-")).await;
    assert_eq!((status, place), (416, format!("bytes */{size}")));
    let saved = site.client.head(site.url(&format!("{mp4}?download"))).send().await.expect("an answer");
    let said = |name: &str| saved.headers()[name].to_str().expect("text").to_owned();
    assert_eq!(said("content-disposition"), "attachment; filename=video.mp4");
    assert_eq!(said("content-length"), size.to_string());
    let tag = said("etag");
    let known = site.client.get(site.url(&mp4)).header("if-none-match", tag).send().await.expect("an answer");
    assert_eq!(known.status(), 304);

    // Not published: for its owner alone, wherever it lies.
    let update =
        "mutation ($input: UpdateRecordingInput!) { updateRecording(input: $input) { recording { id } } }";
    let start = "mutation ($input: StartPlaybackInput!) { startPlayback(input: $input) { playback { downloadUrl } } }";
    owner.data(update, json!({"input": {"id": recording["id"], "published": false}})).await;
    let status = async |path: &str| raw_status(&site.url(""), path).await;
    assert_eq!(status(&mp4).await, 404);
    assert_eq!(status(&mp4.replacen(&key(&recording), &format!("p-{}", key(&recording)), 1)).await, 404);
    let input = json!({"input": {"loc": loc, "recordingId": recording["id"]}});
    let given = owner.data(start, input).await;
    let given = given["startPlayback"]["playback"]["downloadUrl"].as_str().expect("a URL").to_owned();
    let (opened, video) = get(&site.client, &given).await;
    assert!(opened == 200 && video == whole, "{opened}");
    owner.data(update, json!({"input": {"id": recording["id"], "published": true}})).await;
    assert_eq!(status(&mp4).await, 200);
    let other = owner.channel("Other", false).await;
    assert_eq!(status(&mp4.replacen(loc, &other.loc, 1)).await, 404, "it is on one channel");

    let delete = "mutation ($id: ID!) { deleteRecording(input: {id: $id}) { deletedRecordingId } }";
    owner.data(delete, json!({"id": recording["id"]})).await;
    assert_eq!(status(&mp4).await, 404);
    until("nothing of it is left", seconds(20), async || (bucket.holds(&key(&recording)) == 0).then_some(()))
        .await;
    site.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_bucket_that_is_away_loses_no_recording() {
    let _turn = crate::turn().await;
    let mut bucket = Bucket::start().await;
    let flags = ["--reconnect-window", "0s", "--recordings-bucket", "s3://site/recordings"];
    let mut site = Site::start_in(bucket.surroundings(), &flags).await;
    let owner = Actor::streamer(&site, "owner").await;
    let channel = recorded(&owner, "Talk").await;
    let loc = channel.loc.as_str();
    bucket.go_away().await;
    broadcast(&site, &channel).await;
    let recording = ready(&owner, loc).await;
    until("it was tried", seconds(30), async || {
        site.log().contains("recordings stay where they are").then_some(())
    })
    .await;
    assert!(!site.log().contains("S3RVER"), "nothing of the keys is logged");
    let mp4 = site.url(&path(&recording, "downloadUrl"));
    let before = pictures(&mp4).await;

    // The program dies as well, perhaps in the middle of it.
    site.kill_api().await;
    bucket.come_back().await;
    site.start_again().await;
    until("it is moved", seconds(30), async || (on_the_disk(&site, loc) == 0).then_some(())).await;
    assert_eq!(pictures(&mp4).await, before, "all of it");

    bucket.go_away().await;
    assert_eq!(get(&site.client, &mp4).await.0, 503);
    let delete = "mutation ($id: ID!) { deleteChannel(input: {id: $id}) { deletedChannelId } }";
    assert_eq!(recordings(&owner, loc).await.len(), 1);
    owner.data(delete, json!({"id": channel.id})).await;
    assert_eq!(get(&site.client, &mp4).await.0, 404, "what is not there needs no bucket");
    site.stop().await;
}
