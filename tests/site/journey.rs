//! A channel's life from its creation to the end of its last broadcast, as everybody around it sees it.

use std::path::Path;

use serde_json::{Value, json};

use crate::support::{Actor, Broadcast, Playlist, Site, Subscription, get, processes, seconds, until};

#[tokio::test(flavor = "multi_thread")]
async fn a_channel_lives_from_its_creation_to_the_end_of_its_last_broadcast() {
    let _turn = crate::turn().await;
    // Everything is logged that can be: what a secret is in is then found in the end.
    let site = Site::start(&["--viewer-ttl", "3s", "--reconnect-window", "6s", "--log", "trace"]).await;
    let streamer = Actor::streamer(&site, "ada").await;
    let (anybody, channel) = (Actor::anonymous(&site), streamer.channel("Ada's channel", false).await);
    let brief = streamer.channel("A brief one", false).await;
    let mut events = anybody.events(&channel.loc, None).await;
    let mut viewers = anybody.viewers(&channel.loc).await;
    viewers.expect_viewers(0, seconds(5)).await;

    // Meanwhile another channel is on the air for a moment only; what it leaves is looked at in the end.
    let other = Broadcast::begin(&site, &brief.key);
    let publisher = Broadcast::begin(&site, &channel.key);
    let started = events.expect("StreamStarted", seconds(5)).await;
    let uuid = &started["stream"]["uuid"];
    placeholders_are_shown(&site, &channel.loc).await;
    let url = site.url(&format!("/live/{}/index.m3u8", channel.loc));
    let playlist = Playlist::of(&site.client, &url, 1).await;
    playlist.plays(&site.client).await;
    Playlist::of(&site.client, &site.url(&format!("/live/{}/index.m3u8", brief.loc)), 1).await;
    end_stream(&streamer, &brief.id).await;
    let brief_ended = std::time::Instant::now();
    drop(other);

    let ticket = viewers_are_counted(&site, &anybody, &channel.loc, &mut viewers).await;
    pictures_are_taken(&site, &channel.loc).await;

    publisher.crash().await;
    let interrupted = events.expect("StreamInterrupted", seconds(2)).await;
    assert_eq!(&interrupted["stream"]["uuid"], uuid);
    let mut publisher = Broadcast::begin(&site, &channel.key);
    let resumed = events.expect("StreamResumed", seconds(5)).await;
    assert_eq!(&resumed["stream"]["uuid"], uuid);
    let playlist = Playlist::of(&site.client, &url, 1).await.grows(&site.client, seconds(8)).await;
    playlist.plays(&site.client).await;

    let mut second = Broadcast::begin(&site, &channel.key);
    assert!(second.is_turned_away(seconds(5)).await, "a second publisher is refused");
    assert!(publisher.goes_on(), "and the first goes on");
    let playlist = playlist.grows(&site.client, seconds(5)).await;
    assert_eq!(&anybody.stream(&channel.loc).await["uuid"], uuid);

    end_stream(&streamer, &channel.id).await;
    let stopped = events.expect("StreamStopped", seconds(2)).await;
    assert_eq!((&stopped["stream"]["uuid"], &stopped["reason"]), (uuid, &json!("ENDED_BY_OWNER")));
    assert!(publisher.is_turned_away(seconds(5)).await, "its publisher is cut off");
    assert_eq!(anybody.stream(&channel.loc).await, Value::Null);
    until("the playlist ends", seconds(5), async || is_over(&site, &url).await.then_some(())).await;
    let mut again = Broadcast::begin(&site, &channel.key);
    assert!(again.is_turned_away(seconds(5)).await, "and held off");

    // Another key lifts that, and cuts off whoever has the one before.
    let second_key = streamer.regenerate(&channel).await;
    let mut publisher = Broadcast::begin(&site, &second_key);
    let started = events.expect("StreamStarted", seconds(5)).await;
    assert_ne!(&started["stream"]["uuid"], uuid, "it is another stream");
    Playlist::of(&site.client, &url, 1).await.grows(&site.client, seconds(8)).await;
    let third_key = streamer.regenerate(&channel).await;
    let stopped = events.expect("StreamStopped", seconds(2)).await;
    assert_eq!(stopped["reason"], "KEY_REGENERATED");
    assert!(publisher.is_turned_away(seconds(5)).await, "its publisher is cut off");
    for old in [&channel.key, &second_key] {
        assert!(Broadcast::begin(&site, old).is_turned_away(seconds(5)).await, "an old key opens nothing");
    }
    events.expect_silence(seconds(1)).await;
    let publisher = Broadcast::begin(&site, &third_key);
    events.expect("StreamStarted", seconds(5)).await;
    Playlist::of(&site.client, &url, 1).await.grows(&site.client, seconds(8)).await;
    assert!(playlist.segments().len() > 1);

    let secrets = [&channel.key, &second_key, &third_key, &brief.key, &site.demo_key, &site.admin_password];
    let tokens = [streamer.token.as_ref().expect("a token"), &ticket];
    secrets_slip(&site, &streamer, &secrets.into_iter().chain(tokens).collect::<Vec<_>>()).await;
    nothing_tells(&site, &channel.loc, &secrets.into_iter().chain(tokens).collect::<Vec<_>>(), &publisher)
        .await;

    publisher.end().await;
    events.expect("StreamInterrupted", seconds(2)).await;
    let stopped = events.expect("StreamStopped", seconds(10)).await;
    assert_eq!(stopped["reason"], "PUBLISHER_GONE");
    until("the playlist ends", seconds(5), async || is_over(&site, &url).await.then_some(())).await;
    let patience = seconds(30).saturating_sub(brief_ended.elapsed());
    let left = site.data_dir().join("media");
    until("the files of an ended stream go away", patience, async || {
        (!left.join("hls").join(&brief.loc).exists()).then_some(())
    })
    .await;
    for kind in ["png", "gif"] {
        assert!(!left.join(format!("thumb/{}.{kind}", brief.loc)).exists(), "and its {kind}");
    }
    site.stop().await;
}

async fn end_stream(streamer: &Actor, channel: &str) {
    let document = "mutation ($id: ID!) { endStream(input: {channelId: $id}) { stream { state } } }";
    let ended = streamer.data(document, json!({"id": channel})).await;
    assert_eq!(ended["endStream"]["stream"]["state"], "ENDED");
}

/// Its playlist says that it is over, or is gone.
async fn is_over(site: &Site, url: &str) -> bool {
    Playlist::get(&site.client, url).await.is_none_or(|playlist| playlist.is_over())
}

async fn placeholders_are_shown(site: &Site, loc: &str) {
    for (kind, magic) in [("png", &b"\x89PNG\r\n\x1a\n"[..]), ("gif", b"GIF8")] {
        let (status, placeholder) =
            get(&site.client, &site.url(&format!("/stream-thumb/placeholder.{kind}"))).await;
        assert!(status == 200 && placeholder.starts_with(magic), "{kind}: {status}");
        let (status, shown) = get(&site.client, &site.url(&format!("/stream-thumb/{loc}.{kind}"))).await;
        assert!(status == 200 && shown == placeholder, "{kind}: {status}");
    }
}

async fn pictures_are_taken(site: &Site, loc: &str) {
    for (kind, magic) in [("png", &b"\x89PNG\r\n\x1a\n"[..]), ("gif", b"GIF8")] {
        let (_, placeholder) =
            get(&site.client, &site.url(&format!("/stream-thumb/placeholder.{kind}"))).await;
        let shown = until(&format!("a real {kind}"), seconds(15), async || {
            let (status, shown) = get(&site.client, &site.url(&format!("/stream-thumb/{loc}.{kind}"))).await;
            (status == 200 && shown != placeholder).then_some(shown)
        })
        .await;
        assert!(shown.starts_with(magic), "{kind}");
    }
}

/// Two come, one without and one with a URL of its own, and leave one after the other; the token in that URL.
async fn viewers_are_counted(site: &Site, anybody: &Actor, loc: &str, viewers: &mut Subscription) -> String {
    let open = site.url(&format!("/live/{loc}/index.m3u8"));
    let own = anybody.playback(loc).await;
    assert!(own.starts_with(&site.url("/live/~")), "{own}");
    // The journey itself has asked for the playlist before; that session has to go first.
    viewers.expect_viewers(0, seconds(8)).await;
    assert!(Playlist::get(&site.client, &open).await.is_some());
    viewers.expect_viewers(1, seconds(5)).await;
    let watching = async {
        for _ in 0..8 {
            let mine = Playlist::get(&site.client, &own).await.expect("its own playlist");
            mine.plays(&site.client).await;
            tokio::time::sleep(seconds(1)).await;
        }
    };
    let counting = async {
        viewers.expect_viewers(2, seconds(5)).await;
        viewers.expect_viewers(1, seconds(6)).await;
    };
    tokio::join!(watching, counting);
    viewers.expect_viewers(0, seconds(6)).await;
    assert_eq!(anybody.stream(loc).await["currentViewers"], 0);
    own.split('~').nth(1).and_then(|rest| rest.split('/').next()).expect("a token").to_owned()
}

/// Secrets are sent to where they do not belong, by mistake; no answer and no log may repeat one.
async fn secrets_slip(site: &Site, owner: &Actor, secrets: &[&String]) {
    for secret in secrets {
        for document in [
            format!("{{ channel(loc: \"{secret}\") {{ name }} }}"),
            format!("{{ channel(loc: \"{secret} }}"),
            format!("{{ node(id: \"{secret}\") {{ id }} }}"),
        ] {
            let answer = owner.ask(&document, json!({})).await;
            assert!(!answer.to_string().contains(*secret), "{answer}");
        }
        let sign_in = "mutation ($input: SignInInput!) { signIn(input: $input) { token } }";
        let mistaken = json!({"input": {"handle": secret, "password": format!("{secret}, mistyped")}});
        let code = owner.refused(sign_in, mistaken).await;
        assert!(matches!(&*code, "UNAUTHENTICATED" | "RATE_LIMITED"), "{code}");
        let mut stranger = owner.clone();
        stranger.token = Some(format!("{secret}x"));
        assert_eq!(stranger.refused("{ me { id } }", json!({})).await, "UNAUTHENTICATED");
        for path in
            [format!("/{secret}"), format!("/live/{secret}/index.m3u8"), format!("/graphql?query={secret}")]
        {
            let (_, answer) = get(&site.client, &site.url(&path)).await;
            assert!(!holds(&answer, secret.as_bytes()), "{path} is answered with it");
        }
        let mut misplaced = Broadcast::begin(site, &format!("{secret}x?key={secret}"));
        assert!(misplaced.is_turned_away(seconds(5)).await, "{secret}");
    }
}

/// No secret is where somebody could find it.
async fn nothing_tells(site: &Site, loc: &str, secrets: &[&String], publisher: &Broadcast) {
    let tells = |bytes: &[u8]| secrets.iter().any(|secret| holds(bytes, secret.as_bytes()));
    let mut files = 0;
    // There nginx remembers which playback tokens it has asked about.
    let authorised = site.data_dir().join("nginx/authorised");
    each_file(&site.data_dir(), &mut |path, bytes| {
        files += 1;
        assert!(path.starts_with(&authorised) || !tells(bytes), "a secret is in {}", path.display());
    });
    assert!(files > 500, "PostgreSQL's files are among them: {files}");
    let log = site.log();
    let telling = log.lines().filter(|line| tells(line.as_bytes()));
    let whereabouts: Vec<_> = telling.map(|line| line.chars().take(60).collect::<String>()).collect();
    assert!(
        whereabouts.is_empty(),
        "a secret is in the log: {:#?}",
        &whereabouts[..whereabouts.len().min(20)]
    );
    for process in processes().into_iter().filter(|process| process.pid != publisher.pid()) {
        assert!(!tells(process.command.as_bytes()), "a secret is in a command line: {}", process.command);
    }
    let (stat, secret) = (statistics(&site.data_dir()), site.internal_secret());
    let carried = site.client.get(stat).header("x-tally-secret", secret).send().await.expect("an answer");
    let carried = carried.bytes().await.expect("a body");
    assert!(holds(&carried, loc.as_bytes()) && !tells(&carried), "nginx's statistics");
    let live = site.url(&format!("/live/{loc}/index.m3u8"));
    for url in [site.internal("/metrics"), site.url("/"), site.url(&format!("/view/{loc}/")), live] {
        let (status, page) = get(&site.client, &url).await;
        assert!(status == 200 && !tells(&page), "{url}: {status}");
    }
    let document = "query ($loc: UUID!) { channel(loc: $loc) { ingest { streamKey } owner { handle } } }";
    for actor in [Actor::anonymous(site), Actor::sign_up(site, "mallory").await] {
        let seen = actor.data(document, json!({"loc": loc})).await;
        assert_eq!(seen["channel"]["ingest"], Value::Null);
    }
}

fn holds(bytes: &[u8], secret: &[u8]) -> bool {
    assert!(secret.len() > 8);
    let Some((first, rest)) = secret.split_first() else { return false };
    let mut places = bytes.iter().enumerate().filter(|(_, byte)| *byte == first);
    places.any(|(place, _)| bytes[place + 1..].starts_with(rest))
}

fn each_file(dir: &Path, look: &mut impl FnMut(&Path, &[u8])) {
    for entry in std::fs::read_dir(dir).expect("a directory").flatten() {
        let path = entry.path();
        match entry.file_type() {
            Ok(kind) if kind.is_dir() => each_file(&path, look),
            // Files come and go while one looks.
            Ok(kind) if kind.is_file() => look(&path, &std::fs::read(&path).unwrap_or_default()),
            _ => {}
        }
    }
}

/// nginx's own statistics.
fn statistics(data_dir: &Path) -> String {
    let ports = std::fs::read(data_dir.join("nginx/ports.json")).expect("the ports");
    let ports: Value = serde_json::from_slice(&ports).expect("JSON");
    format!("http://{}/stat", ports["http"].as_str().expect("an address"))
}
