//! How well a broadcast arrives, as its owner sees it.

use rustix::process::Signal;
use serde_json::{Value, json};

use crate::support::{Actor, Broadcast, Site, seconds, send, until};

#[tokio::test(flavor = "multi_thread")]
async fn an_owner_sees_what_arrives_and_what_is_wrong_with_it() {
    let _turn = crate::turn().await;
    let site = Site::start(&[]).await;
    let owner = Actor::streamer(&site, "owner").await;
    let channel = owner.channel("Healthy", false).await;
    let query = "query ($loc: UUID!) { streamHealth(loc: $loc) { now { frameRate } } }";
    assert_eq!(
        Actor::anonymous(&site).data(query, json!({"loc": channel.loc})).await["streamHealth"],
        Value::Null
    );
    let document = "subscription ($loc: UUID!) { streamHealth(loc: $loc) {
        now { frameRate keyframeSeconds videoKbps audioKbps missingFrames } warnings { kind message } points { at } } }";
    let mut health = owner.subscribe(document, json!({"loc": channel.loc})).await;
    let first = health.next(seconds(5)).await;
    assert_eq!(first, json!({"now": null, "warnings": [], "points": []}), "nothing is sent yet");

    let publisher = Broadcast::begin(&site, &channel.key);
    let well = until("four seconds have arrived", seconds(20), async || {
        let told = health.next(seconds(5)).await;
        (told["points"].as_array().is_some_and(|points| points.len() >= 4)).then_some(told)
    })
    .await;
    let figure = |name: &str| well["now"][name].as_f64().expect("a figure");
    assert!((28.0..32.0).contains(&figure("frameRate")), "{well}");
    assert!((0.9..1.1).contains(&figure("keyframeSeconds")), "{well}");
    assert!(figure("videoKbps") > 50.0 && figure("audioKbps") > 30.0, "{well}");
    assert_eq!((&well["now"]["missingFrames"], &well["warnings"]), (&json!(0), &json!([])), "{well}");

    send(publisher.pid(), Signal::STOP);
    let warned = until("the silence is noticed", seconds(15), async || {
        let told = health.next(seconds(5)).await;
        (told["warnings"] != json!([])).then_some(told)
    })
    .await;
    assert_eq!(warned["warnings"][0]["kind"], "SILENT", "{warned}");
    send(publisher.pid(), Signal::CONT);
    site.stop().await;
}
