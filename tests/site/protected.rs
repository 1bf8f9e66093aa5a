//! A protected channel: its files are for those alone to whom `startPlayback` gave a URL.

use rustix::process::Signal;
use serde_json::json;

use crate::support::{Actor, Broadcast, Playlist, Site, get, raw_status, seconds, send, until};

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
            format!("/live/~{token}/{}/{file}", loc.to_uppercase()),
            format!("/live/{}/{file}", loc.to_uppercase()),
            format!("/live/~{elsewhere}//{loc}/{file}"),
            format!("/live//{loc}/{file}"),
            format!("/live/~{elsewhere}/{other}//../p-{loc}/{file}"),
            format!("/live/~{token}/{other}/{file}"),
            format!("/stream-thumb/../hls/p-{loc}/{file}"),
            format!("/stream-thumb/..%2fhls/p-{loc}/{file}"),
        ] {
            let status = raw_status(&own, &path).await;
            assert!((400..500).contains(&status), "{path}: {status}");
        }
    }
    let (_, placeholder) = get(&site.client, &site.url("/stream-thumb/placeholder.png")).await;
    until("it has a picture for those who may watch", seconds(20), async || {
        let (status, shown) =
            get(&site.client, &site.url(&format!("/stream-thumb/~{token}/{loc}.png"))).await;
        (status == 200 && shown != placeholder).then_some(())
    })
    .await;
    let (_, shown) = get(&site.client, &site.url(&format!("/stream-thumb/{loc}.png"))).await;
    assert!(shown == placeholder, "and none for others");
    for path in [
        format!("/stream-thumb/~{elsewhere}/{loc}.png"),
        format!("/stream-thumb/~{forged}/{loc}.png"),
        format!("/stream-thumb/p-{loc}.png"),
        format!("/stream-thumb/../thumb/p-{loc}.png"),
        format!("/stream-thumb/..%2fthumb%2fp-{loc}.png"),
    ] {
        let status = raw_status(&own, &path).await;
        assert!((400..500).contains(&status), "{path}: {status}");
    }
    site.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_was_let_in_plays_until_that_ends_or_nobody_can_tell() {
    let _turn = crate::turn().await;
    let mut site = Site::start(&[]).await;
    let owner = Actor::streamer(&site, "owner").await;
    let (hidden, open) = (owner.channel("Hidden", true).await, owner.channel("Open", false).await);
    let mut events = owner.events(&hidden.loc, None).await;
    let _publishers = [Broadcast::begin(&site, &hidden.key), Broadcast::begin(&site, &open.key)];
    events.expect("StreamStarted", seconds(5)).await;
    let (guest, other) = (Actor::sign_up(&site, "guest").await, Actor::sign_up(&site, "other").await);
    let invite = "mutation ($id: ID!, $handle: String!) {
        inviteViewer(input: {channelId: $id, handle: $handle}) { user { id } } }";
    for handle in ["guest", "other"] {
        owner.data(invite, json!({"id": hidden.id, "handle": handle})).await;
    }
    let (by_guest, by_other) = (guest.playback(&hidden.loc).await, other.playback(&hidden.loc).await);
    for url in [&by_guest, &by_other] {
        Playlist::of(&site.client, url, 1).await.plays(&site.client).await;
    }
    let is_out = async |url: &str| (get(&site.client, url).await.0 == 403).then_some(());
    let uninvite = "mutation ($id: ID!, $user: ID!) {
        uninviteViewer(input: {channelId: $id, userId: $user}) { channel { id } } }";
    owner.data(uninvite, json!({"id": hidden.id, "user": guest.id})).await;
    until("who is not invited any more is out", seconds(10), async || is_out(&by_guest).await).await;
    assert!(Playlist::get(&site.client, &by_other).await.is_some());
    other.data("mutation { signOut }", json!({})).await;
    until("who has signed out is out", seconds(10), async || is_out(&by_other).await).await;

    let (own, public) = (owner.playback(&hidden.loc).await, owner.playback(&open.loc).await);
    let bare = site.url(&format!("/live/{}/index.m3u8", open.loc));
    for url in [&own, &public, &bare] {
        Playlist::of(&site.client, url, 1).await;
    }
    send(site.pid(), Signal::STOP);
    until("nobody gets in by an answer of before while another waits", seconds(20), async || {
        let (one, another) = tokio::join!(get(&site.client, &own), get(&site.client, &own));
        (one.0 >= 400 && another.0 >= 400).then_some(())
    })
    .await;
    send(site.pid(), Signal::CONT);
    Playlist::of(&site.client, &own, 1).await;
    site.kill_api().await;
    until("nobody can tell who may watch", seconds(10), async || {
        let (status, _) = get(&site.client, &own).await;
        (status >= 400).then_some(())
    })
    .await;
    for url in [&public, &bare] {
        let playlist = Playlist::get(&site.client, url).await.expect("public channels play on");
        playlist.grows(&site.client, seconds(5)).await.plays(&site.client).await;
    }
    site.start_again().await;
    Playlist::of(&site.client, &own, 1).await.plays(&site.client).await;
    site.stop().await;
}
