//! A stream's life, from nginx's callbacks to what a viewer sees.

use serde_json::json;
use tally::store::Role;

use crate::site::Site;

#[tokio::test(flavor = "multi_thread")]
async fn a_publisher_with_the_key_is_live_under_the_channels_address() {
    let site = Site::start().await;
    let owner = site.actor("mia", Role::Streamer).await;
    let channel = owner.channel("One", json!({})).await;
    let form =
        format!("app=live&clientid=1&call=publish&name={}&type=live", channel["key"].as_str().unwrap());
    let (status, name) = site.callback("publish", &form).await;
    assert_eq!((status, name.as_deref()), (302, channel["loc"].as_str()));
    let live = site.anonymous().data("{ liveStreams { nodes { state channel { loc } } } }", json!({})).await;
    assert_eq!(live["liveStreams"]["nodes"], json!([{"state": "LIVE", "channel": {"loc": channel["loc"]}}]));
}
