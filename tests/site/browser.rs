//! The pages in a real browser.

use std::path::Path;
use std::process::Stdio;

use serde_json::json;
use tokio::process::Command;

use crate::support::{Actor, Site, seconds};

#[tokio::test(flavor = "multi_thread")]
async fn the_pages_show_what_happens_by_themselves() {
    let _turn = crate::turn().await;
    let scripts = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/browser");
    assert!(
        scripts.join("node_modules/playwright-core").exists(),
        "the browser's driver is not installed: `make test` does it, or `npm ci` in tests/browser"
    );
    let site = Site::start(&["--reconnect-window", "4s", "--viewer-ttl", "6s"]).await;
    let streamer = Actor::streamer(&site, "hedy").await;
    let channel = streamer.channel("Hedy tries things", false).await;
    let describe =
        "mutation ($input: UpdateChannelInput!) { updateChannel(input: $input) { channel { id } } }";
    let words = json!({"id": channel.id, "topic": "music", "description": "Frequencies, hopping.",
        "defaultStreamName": "An evening of frequencies"});
    streamer.data(describe, json!({"input": words})).await;

    let mut node = Command::new("node");
    node.arg(scripts.join("run.mjs")).env("TALLY_URL", site.url("")).env("TALLY_RTMP_URL", site.rtmp());
    node.env("TALLY_LOC", &channel.loc).env("TALLY_STREAM_KEY", &channel.key);
    let run = node.stdin(Stdio::null()).kill_on_drop(true).output();
    let output = tokio::time::timeout(seconds(180), run).await.expect("it ends").expect("node runs");
    let said = String::from_utf8_lossy(&output.stdout) + String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{said}");
    site.stop().await;
}
