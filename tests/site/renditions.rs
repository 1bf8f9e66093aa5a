//! Smaller sizes of what is on the air.

use rustix::process::Signal;
use serde_json::{Value, json};
use tokio::process::Command;

use crate::support::{Actor, Broadcast, Playlist, Process, Site, get, processes, seconds, send, until};

/// The height of a segment's picture, and when its first picture is shown.
async fn probed(site: &Site, url: &str) -> (i64, String) {
    let (status, bytes) = get(&site.client, url).await;
    assert_eq!(status, 200, "{url}");
    let file = tempfile::NamedTempFile::new().expect("a file");
    std::fs::write(file.path(), bytes).expect("written");
    let mut probe = Command::new("ffprobe");
    probe.args(["-loglevel", "error", "-of", "json", "-select_streams", "v", "-show_entries"]);
    let output = probe.arg("stream=height,start_time").arg(file.path()).output().await.expect("ffprobe");
    let found: Value = serde_json::from_slice(&output.stdout).expect("JSON");
    let stream = &found["streams"][0];
    let (height, start) = (stream["height"].as_i64(), stream["start_time"].as_str());
    (height.expect("a picture"), start.expect("a time").to_owned())
}

/// The number of the first segment that a playlist lists, and the names of all of them.
async fn listed(site: &Site, url: &str) -> Option<(String, Vec<String>)> {
    let text = site.client.get(url).send().await.ok()?.error_for_status().ok()?.text().await.ok()?;
    let number = text.lines().find_map(|line| line.strip_prefix("#EXT-X-MEDIA-SEQUENCE:"))?.to_owned();
    let names = text.lines().filter(|line| !line.is_empty() && !line.starts_with('#'));
    Some((number, names.map(str::to_owned).collect()))
}

#[tokio::test(flavor = "multi_thread")]
async fn viewers_choose_among_sizes_and_the_source_stands_in_for_what_cannot_be_made() {
    let _turn = crate::turn().await;
    // The picture that is sent is 180 high: of these one is smaller.
    let site = Site::start(&["--renditions", "720p:2500k,144p:100k", "--viewer-ttl", "6s"]).await;
    let owner = Actor::streamer(&site, "owner").await;
    let channel = owner.channel("Large and small", false).await;
    let _publisher = Broadcast::begin(&site, &channel.key);
    let query = "query ($loc: UUID!) { channel(loc: $loc) { currentViewers stream { playbackUrl
        renditions { name width height kbps playlistUrl } } } }";
    let ask = async || owner.data(query, json!({"loc": channel.loc})).await["channel"].take();
    let stream = until("the sizes are known", seconds(20), async || {
        let stream = ask().await["stream"].take();
        stream["renditions"].as_array().is_some_and(|all| all.len() == 2).then_some(stream)
    })
    .await;
    assert_eq!(stream["playbackUrl"], format!("/live/{}/master.m3u8", channel.loc));
    let [source, small] = [&stream["renditions"][0], &stream["renditions"][1]];
    assert_eq!((&source["name"], &source["height"]), (&json!("source"), &json!(180)));
    assert_eq!(
        (&small["name"], &small["width"], &small["height"]),
        (&json!("144p"), &json!(256), &json!(144))
    );

    let master =
        Playlist::of(&site.client, &site.url(stream["playbackUrl"].as_str().expect("a URL")), 2).await;
    let [large_url, small_url] = <[String; 2]>::try_from(master.segments()).expect("both sizes");
    assert!(small_url.ends_with(small["playlistUrl"].as_str().expect("a URL")));
    let both = until("a segment is there in both sizes", seconds(10), async || {
        let (number, names) = listed(&site, &small_url).await?;
        let (first, sources) = listed(&site, &large_url).await?;
        (number == first && names.len() >= 2).then_some((names, sources))
    })
    .await;
    let (names, sources) = both;
    let own = sources.iter().map(|name| format!("144p-{name}"));
    assert!(own.zip(&names).all(|(own, name)| own == *name), "{names:?} of {sources:?}");
    let (large, begins) = probed(&site, &large_url.replace("index.m3u8", &sources[1])).await;
    let small = probed(&site, &small_url.replace("144p.m3u8", &names[1])).await;
    assert_eq!((large, small), (180, (144, begins)), "it begins when the source's does");
    until("who watches a smaller size counts as well, once", seconds(10), async || {
        let _ = (listed(&site, &small_url).await, listed(&site, &large_url).await);
        (ask().await["currentViewers"] == 1).then_some(())
    })
    .await;

    let makes = |process: &Process| process.command.contains("scale=-2:144");
    until("what could not be made is listed as it came", seconds(30), async || {
        for process in processes().into_iter().filter(makes) {
            send(process.pid, Signal::KILL);
        }
        let (_, names) = listed(&site, &small_url).await?;
        (!names.last()?.starts_with("144p-")).then_some(())
    })
    .await;
    until("it is made again", seconds(20), async || {
        let (_, names) = listed(&site, &small_url).await?;
        names.last()?.starts_with("144p-").then_some(())
    })
    .await;
    assert_eq!(owner.stream(&channel.loc).await["state"], "LIVE");

    let protected = owner.channel("For some", true).await;
    let _other = Broadcast::begin(&site, &protected.key);
    let url = owner.playback(&protected.loc).await;
    let master = Playlist::of(&site.client, &url, 2).await;
    let small = Playlist::of(&site.client, &master.newest(), 2).await;
    assert!(small.newest().contains("/144p-"), "{}", small.newest());
    small.plays(&site.client).await;
    let open = site.url(&format!("/live/{}/144p.m3u8", protected.loc));
    assert!(get(&site.client, &open).await.0 == 404, "without its token nothing of it opens");
    site.stop().await;
}
