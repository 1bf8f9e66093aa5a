//! `tally demo`: a broadcast without any broadcasting software.

use std::process::Stdio;

use serde_json::json;

use crate::support::{Actor, Playlist, Site, processes, seconds, tally, until};

#[tokio::test(flavor = "multi_thread")]
async fn the_demo_broadcasts_and_shows_its_key_to_nobody() {
    let _turn = crate::turn().await;
    let site = Site::start(&["--reconnect-window", "0s"]).await;
    let anybody = Actor::anonymous(&site);
    let listed = anybody.data("{ channels(first: 1) { nodes { name loc } } }", json!({})).await;
    let loc = listed["channels"]["nodes"][0]["loc"].as_str().expect("the demo channel").to_owned();
    let mut events = anybody.events(&loc, None).await;
    let mut demo = tally();
    demo.arg("demo").arg("--data-dir").arg(site.data_dir()).args(["--seconds", "8"]);
    let demo = demo.stderr(Stdio::piped()).spawn().expect("it starts");

    events.expect("StreamStarted", seconds(10)).await;
    let told: Vec<_> = processes().into_iter().filter(|it| it.command.contains(&site.demo_key)).collect();
    assert!(told.is_empty(), "the key is in a command line");
    let url = site.url(&format!("/live/{loc}/index.m3u8"));
    Playlist::of(&site.client, &url, 1).await.plays(&site.client).await;

    let ended = tokio::time::timeout(seconds(30), demo.wait_with_output()).await;
    let output = ended.expect("it ends by itself").expect("a status");
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{said}");
    assert!(said.contains(&site.url(&format!("/view/{loc}/"))) && !said.contains(&site.demo_key), "{said}");
    // Without a reconnect window there is nothing to wait for.
    events.expect("StreamInterrupted", seconds(5)).await;
    events.expect("StreamStopped", seconds(5)).await;
    until("it is off the air", seconds(2), async || anybody.stream(&loc).await.is_null().then_some(())).await;
    site.stop().await;
}
