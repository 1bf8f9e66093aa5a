//! The pages in a real browser.

use std::path::Path;
use std::process::Stdio;

use serde_json::json;
use tokio::process::Command;

use crate::support::{Actor, Site, seconds};

/// What tells that story, once it knows where the site is.
pub(crate) fn story(name: &str, site: &Site) -> Command {
    let scripts = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/browser");
    assert!(
        scripts.join("node_modules/axe-core").exists(),
        "what drives the browser is not installed: `make test` does it, or `npm ci` in tests/browser"
    );
    let mut node = Command::new("node");
    node.arg(scripts.join(name)).env("TALLY_URL", site.url("")).stdin(Stdio::null()).kill_on_drop(true);
    node
}

pub(crate) async fn tell(mut story: Command) -> String {
    let output =
        tokio::time::timeout(seconds(600), story.output()).await.expect("it ends").expect("node runs");
    let said = String::from_utf8_lossy(&output.stdout) + String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{said}");
    said.into_owned()
}

#[tokio::test(flavor = "multi_thread")]
async fn somebody_new_broadcasts_with_what_the_pages_offer() {
    let _turn = crate::turn().await;
    let site = Site::start(&["--reconnect-window", "4s", "--viewer-ttl", "6s"]).await;
    let mut node = story("newcomer.mjs", &site);
    node.env("TALLY_ADMIN_PASSWORD", &site.admin_password);
    tell(node).await;
    site.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_pages_show_what_happens_by_themselves() {
    let _turn = crate::turn().await;
    let site = Site::start(&["--reconnect-window", "8s", "--viewer-ttl", "6s"]).await;
    let streamer = Actor::streamer(&site, "hedy").await;
    let channel = streamer.channel("Hedy tries things", false).await;
    let describe =
        "mutation ($input: UpdateChannelInput!) { updateChannel(input: $input) { channel { id } } }";
    let words = json!({"id": channel.id, "topic": "music", "description": "Frequencies, hopping.",
        "defaultStreamName": "An evening of frequencies"});
    streamer.data(describe, json!({"input": words})).await;

    let mut node = story("run.mjs", &site);
    node.env("TALLY_RTMP_URL", site.rtmp()).env("TALLY_LOC", &channel.loc);
    node.env("TALLY_STREAM_KEY", &channel.key);
    tell(node).await;
    site.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_player_takes_a_smaller_size_over_a_slow_line() {
    let _turn = crate::turn().await;
    let site = Site::start(&["--renditions", "144p:100k"]).await;
    let streamer = Actor::streamer(&site, "hedy").await;
    let channel = streamer.channel("Large and small", false).await;
    let mut node = story("sizes.mjs", &site);
    node.env("TALLY_RTMP_URL", site.rtmp()).env("TALLY_LOC", &channel.loc);
    node.env("TALLY_STREAM_KEY", &channel.key);
    tell(node).await;
    site.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "it takes five minutes: make latency"]
async fn how_far_behind_viewers_are() {
    let site = Site::start(&[]).await;
    let streamer = Actor::streamer(&site, "hedy").await;
    let channel = streamer.channel("What time it is", false).await;
    let mut node = story("latency.mjs", &site);
    node.env("TALLY_RTMP_URL", site.rtmp()).env("TALLY_LOC", &channel.loc);
    node.env("TALLY_STREAM_KEY", &channel.key);
    println!("{}", tell(node).await);
    site.stop().await;
}
