//! The server's key is replaced: broadcasters notice nothing, and the old key opens nothing.

use std::fs;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use secrecy::ExposeSecret;
use serde_json::json;
use tally::ambient::Chance;
use tally::auth::{Keyring, Secrets, StreamKey};
use tally::command::rotate;
use tally::store::{ChannelId, Loc, Role, Target, TargetId};

use crate::site::Site;

#[tokio::test(flavor = "multi_thread")]
async fn a_new_servers_key_opens_all_stream_keys_and_the_old_one_none() {
    let (site, chance) = (Site::start().await, Chance::system());
    let owner = site.actor("mia", Role::Streamer).await;
    let mut channels: Vec<(ChannelId, StreamKey)> = Vec::new();
    for name in ["One", "Two", "Three"] {
        let channel = owner.channel(name, json!({})).await;
        let loc = Loc(channel["loc"].as_str().unwrap().parse().unwrap());
        let row = site.store.channel_by_loc(loc).await.unwrap().unwrap();
        channels.push((row.id, channel["key"].as_str().unwrap().parse().unwrap()));
    }
    let data = tempfile::tempdir().unwrap();
    let secrets = data.path().join("secrets");
    fs::create_dir(&secrets).unwrap();
    fs::write(secrets.join("server.key"), URL_SAFE_NO_PAD.encode([7; 32])).unwrap();
    let open = || Secrets::open(data.path(), &chance).unwrap();
    let before = Keyring::new(&open(), chance.clone());

    let target = Target {
        id: TargetId(chance.id(site.clock.now())),
        channel_id: channels[0].0,
        url: "rtmp://live.example/app".to_owned(),
        key_sealed: Vec::new(),
        enabled: true,
    };
    let target = Target { key_sealed: before.seal_target("theirs", target.id), ..target };
    assert!(site.store.add_target(&target, 1).await.unwrap());

    assert!(Secrets::rotate(data.path(), &chance).unwrap());
    assert!(!Secrets::rotate(data.path(), &chance).unwrap(), "one at a time");
    let between = Keyring::new(&open(), chance.clone());
    // Whoever was interrupted goes on: one of them was sealed anew, and the key before is still there.
    let kept = fs::read(secrets.join("server.key.previous")).unwrap();
    rotate::finish(&site.store, &open(), &chance).await.unwrap();
    fs::write(secrets.join("server.key.previous"), kept).unwrap();
    let (first, key) = &channels[0];
    let old = before.seal(key, *first);
    assert!(between.open(&old.sealed, *first).is_ok(), "what has not been sealed anew opens meanwhile");
    let sealed = site.store.sealed_key(*first).await.unwrap().unwrap();
    let put_back = tally::store::Resealed { channel: *first, before: sealed, now: old };
    site.store.reseal(&[put_back]).await.unwrap();
    rotate::finish(&site.store, &open(), &chance).await.unwrap();

    assert!(!open().is_rotating());
    let after = Keyring::new(&open(), chance.clone());
    let resealed = site.store.targets(&[target.id]).await.unwrap().remove(0).key_sealed;
    assert_eq!(after.open_target(&resealed, target.id).unwrap().expose_secret(), "theirs");
    assert!(before.open_target(&resealed, target.id).is_err());
    for (channel, key) in channels {
        let sealed = site.store.sealed_key(channel).await.unwrap().unwrap();
        assert_eq!(after.open(&sealed, channel).unwrap(), key);
        assert!(before.open(&sealed, channel).is_err());
        let found = site.store.channels_of_keys(&[&after.lookup(&key)]).await.unwrap();
        assert_eq!(found.values().next().map(|(row, _)| row.id), Some(channel));
        assert!(site.store.channels_of_keys(&[&before.lookup(&key)]).await.unwrap().is_empty());
    }
}
