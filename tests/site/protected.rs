//! A protected channel: its files are for those alone to whom `startPlayback` gave a URL.

use serde_json::json;

use crate::support::{Actor, Broadcast, Playlist, Site, get, raw_status, seconds};

#[tokio::test(flavor = "multi_thread")]
async fn a_protected_channel_plays_for_its_owner_and_for_nobody_else() {
    let _turn = crate::turn().await;
    let site = Site::start(&[]).await;
    let owner = Actor::streamer(&site, "owner").await;
    let (hidden, open) = (owner.channel("Hidden", true).await, owner.channel("Open", false).await);
    let mut events = owner.events(&hidden.loc, None).await;
    let _publishers = [Broadcast::begin(&site, &hidden.key), Broadcast::begin(&site, &open.key)];
    events.expect("StreamStarted", seconds(5)).await;

    let own = owner.playback(&hidden.loc).await;
    let playlist = Playlist::of(&site.client, &own, 2).await;
    playlist.plays(&site.client).await;
    let start = "mutation ($loc: UUID!) { startPlayback(input: {loc: $loc}) { playback { url } } }";
    let (anybody, viewer) = (Actor::anonymous(&site), Actor::sign_up(&site, "viewer").await);
    assert_eq!(anybody.refused(start, json!({"loc": hidden.loc})).await, "UNAUTHENTICATED");
    assert_eq!(viewer.refused(start, json!({"loc": hidden.loc})).await, "FORBIDDEN");

    let segment = playlist.newest();
    let segment = segment.rsplit('/').next().expect("a name");
    let token = own.split('~').nth(1).and_then(|rest| rest.split('/').next()).expect("a token");
    let elsewhere = anybody.playback(&open.loc).await;
    Playlist::of(&site.client, &elsewhere, 1).await.plays(&site.client).await;
    let elsewhere = elsewhere.split('~').nth(1).and_then(|rest| rest.split('/').next()).expect("a token");
    let (loc, other, forged) = (&hidden.loc, &open.loc, token.replace(|_: char| true, "A"));
    for file in ["index.m3u8", segment] {
        assert_eq!(raw_status(&own, &format!("/live/~{token}/{loc}/{file}")).await, 200, "the way in");
        for path in [
            format!("/live/{loc}/{file}"),
            format!("/live/p-{loc}/{file}"),
            format!("/live/~{elsewhere}/{loc}/{file}"),
            format!("/live/~{forged}/{loc}/{file}"),
            format!("/live/~{}/{loc}/{file}", &token[1..]),
            format!("/live/~{elsewhere}/{other}/../p-{loc}/{file}"),
            format!("/live/~{elsewhere}/{other}/..%2fp-{loc}/{file}"),
            format!("/live/{other}/../p-{loc}/{file}"),
            format!("/live/{other}/%2e%2e/p-{loc}/{file}"),
            format!("/live/{other}%2f..%2fp-{loc}%2f{file}"),
            format!("/live/~{token}/../{loc}/{file}"),
            format!("/live//p-{loc}/{file}"),
            format!("/live/p-{loc}%00/{file}"),
            format!("/stream-thumb/../hls/p-{loc}/{file}"),
            format!("/stream-thumb/..%2fhls/p-{loc}/{file}"),
        ] {
            let status = raw_status(&own, &path).await;
            assert!((400..500).contains(&status), "{path}: {status}");
        }
    }
    let (_, placeholder) = get(&site.client, &site.url("/stream-thumb/placeholder.png")).await;
    let (_, shown) = get(&site.client, &site.url(&format!("/stream-thumb/{loc}.png"))).await;
    assert!(shown == placeholder, "it has no picture");
    site.stop().await;
}
