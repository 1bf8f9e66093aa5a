//! How the parts of the site are, for admins.

use std::time::Duration;

use serde_json::{Value, json};
use tally::store::Role;

use crate::nginx::Nginx;
use crate::site::Site;

const STATUS: &str = "{ siteStatus { at version startedAt database { state answerMilliseconds }
    nginx { state lastAnsweredAt } mediaDisk { freeBytes totalBytes } liveStreams currentViewers } }";

#[tokio::test(flavor = "multi_thread")]
async fn admins_see_how_each_part_is() {
    let (nginx, media) = (Nginx::start().await, tempfile::tempdir().unwrap());
    let media = media.path().to_str().unwrap().to_owned() + "/";
    let site = Site::with(&["--nginx-control", &nginx.url(), "--media-root", &media]).await;
    let admin = site.actor("root", Role::Admin).await;
    let status = async || admin.data(STATUS, json!({})).await["siteStatus"].take();
    site.clock.advance(Duration::from_secs(60));
    let seen = status().await;
    assert_eq!(seen["version"], env!("CARGO_PKG_VERSION"));
    assert_eq!(seen["startedAt"], "2026-11-23T12:00:00.000Z");
    assert_eq!(seen["at"], "2026-11-23T12:01:00.000Z");
    assert_eq!(seen["database"], json!({"state": "WORKS", "answerMilliseconds": 0.0}), "the clock stands");
    assert_eq!(seen["nginx"], json!({"state": "WORKS", "lastAnsweredAt": "2026-11-23T12:01:00.000Z"}));
    let bytes = |name: &str| seen["mediaDisk"][name].as_i64().unwrap();
    assert_eq!((&seen["liveStreams"], &seen["currentViewers"]), (&json!(0), &json!(0)));
    assert!(0 < bytes("freeBytes") && bytes("freeBytes") < bytes("totalBytes"), "{seen}");

    nginx.inside().is_away = true;
    site.clock.advance(Duration::from_secs(60));
    let seen = status().await;
    assert_eq!(seen["nginx"], json!({"state": "AWAY", "lastAnsweredAt": "2026-11-23T12:01:00.000Z"}));
    assert_eq!(seen["database"]["state"], "WORKS", "the others are as they were");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_found_out_is_null() {
    let site = Site::with(&["--nginx-control", "http://127.0.0.1:9", "--media-root", "/nowhere"]).await;
    let admin = site.actor("root", Role::Admin).await;
    let seen = admin.data(STATUS, json!({})).await["siteStatus"].take();
    assert_eq!(seen["nginx"], json!({"state": "AWAY", "lastAnsweredAt": null}));
    assert_eq!(seen["mediaDisk"], Value::Null);
    let moderator = site.actor("mod", Role::Moderator).await;
    assert_eq!(moderator.error(STATUS, json!({})).await.0, "FORBIDDEN");
}
