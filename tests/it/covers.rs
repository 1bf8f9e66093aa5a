//! Covers of channels: who may upload one, what becomes of what is sent, and where it ends.

use std::io::Cursor;
use std::path::PathBuf;
use std::time::{Duration, SystemTime};

use serde_json::{Value, json};
use tally::media::{Covers, Files};
use tally::store::{Loc, Role};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use uuid::Uuid;

use crate::site::{Actor, Site};

/// A picture of that size.
fn picture(width: u32, height: u32) -> Vec<u8> {
    let drawn = image::RgbImage::from_fn(width, height, |x, y| image::Rgb([x as u8, y as u8, 90]));
    let mut bytes = Vec::new();
    drawn.write_to(&mut Cursor::new(&mut bytes), image::ImageFormat::Png).unwrap();
    bytes
}

/// Sends a picture for the channel at `loc`, with these headers; the status and what was said.
async fn put(site: &Site, loc: &Value, headers: &[(&str, String)], body: Vec<u8>) -> (u16, Value) {
    let url = format!("http://{}/channels/{}/cover", site.public, loc.as_str().unwrap());
    let request = site.client.put(url).body(body);
    let request = headers.iter().fold(request, |request, (name, value)| request.header(*name, value));
    let answer = request.send().await.unwrap();
    let status = answer.status().as_u16();
    (status, serde_json::from_str(&answer.text().await.unwrap()).unwrap())
}

fn bearer(actor: &Actor) -> Vec<(&'static str, String)> {
    let token = actor.token.iter().map(|token| ("authorization", format!("Bearer {token}")));
    // What is said of the type is not listened to.
    token.chain([("content-type", "text/html".to_owned())]).collect()
}

async fn image_url(site: &Site, loc: &Value) -> Value {
    let query = "query ($loc: UUID!) { channel(loc: $loc) { imageUrl } }";
    site.anonymous().data(query, json!({"loc": loc})).await["channel"]["imageUrl"].clone()
}

/// Where a cover lies.
fn file(site: &Site, url: &Value) -> PathBuf {
    site.media().join(url.as_str().unwrap().trim_start_matches('/'))
}

const UPDATE: &str =
    "mutation ($input: UpdateChannelInput!) { updateChannel(input: $input) { channel { imageUrl } } }";

#[tokio::test(flavor = "multi_thread")]
async fn a_cover_is_made_of_what_the_owner_sends_and_goes_when_it_is_replaced_or_taken_away() {
    let site = Site::start().await;
    let owner = site.actor("mia", Role::Streamer).await;
    let channel = owner.channel("One", json!({"protected": true})).await;
    let (status, first) = put(&site, &channel["loc"], &bearer(&owner), picture(1600, 900)).await;
    assert_eq!(status, 200, "{first}");
    let first = &first["imageUrl"];
    assert_eq!(
        image_url(&site, &channel["loc"]).await,
        *first,
        "everybody sees it, of a protected channel too"
    );
    let cover = image::load_from_memory(&std::fs::read(file(&site, first)).unwrap()).unwrap();
    assert_eq!((cover.width(), cover.height()), (1280, 720));
    let (_, second) = put(&site, &channel["loc"], &bearer(&owner), picture(20, 20)).await;
    let second = &second["imageUrl"];
    assert_ne!(second, first);
    assert!(!file(&site, first).exists() && file(&site, second).exists());
    owner.data(UPDATE, json!({"input": {"id": channel["id"], "name": "Two"}})).await;
    assert!(file(&site, second).exists(), "another change leaves it");
    owner.data(UPDATE, json!({"input": {"id": channel["id"], "imageUrl": null}})).await;
    assert_eq!(image_url(&site, &channel["loc"]).await, Value::Null);
    assert!(!file(&site, second).exists());
    let (_, third) = put(&site, &channel["loc"], &bearer(&owner), picture(20, 20)).await;
    let delete =
        "mutation ($input: DeleteChannelInput!) { deleteChannel(input: $input) { deletedChannelId } }";
    owner.data(delete, json!({"input": {"id": channel["id"]}})).await;
    assert!(!file(&site, &third["imageUrl"]).exists());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_channel_of_somebody_else_is_not_there_to_be_covered() {
    let site = Site::start().await;
    let owner = site.actor("mia", Role::Streamer).await;
    let channel = owner.channel("One", json!({})).await;
    let code = |said: &Value| said["errors"][0]["extensions"]["code"].as_str().unwrap_or_default().to_owned();
    let (status, said) = put(&site, &channel["loc"], &[], picture(8, 8)).await;
    assert_eq!((status, code(&said).as_str()), (401, "UNAUTHENTICATED"));
    for (handle, role) in [("vera", Role::Viewer), ("tom", Role::Streamer), ("moe", Role::Moderator)] {
        let stranger = site.actor(handle, role).await;
        let here = put(&site, &channel["loc"], &bearer(&stranger), picture(8, 8)).await;
        let nowhere = put(&site, &json!(Uuid::nil()), &bearer(&stranger), picture(8, 8)).await;
        assert_eq!((here.0, code(&here.1).as_str()), (404, "NOT_FOUND"));
        assert_eq!(here, nowhere);
    }
    let nonsense = put(&site, &json!("nonsense"), &bearer(&owner), picture(8, 8)).await;
    assert_eq!(nonsense.0, 404);
    let admin = site.actor("root", Role::Admin).await;
    assert_eq!(put(&site, &channel["loc"], &bearer(&admin), picture(8, 8)).await.0, 200);
    // A browser sends the cookie along for any page; only this site's count.
    let cookie = ("cookie", format!("tally_session={}", owner.token.as_ref().unwrap()));
    for (from, status) in [("cross-site", 403), ("same-origin", 200)] {
        let headers = [cookie.clone(), ("sec-fetch-site", from.to_owned())];
        assert_eq!(put(&site, &channel["loc"], &headers, picture(8, 8)).await.0, status, "{from}");
    }
    assert_eq!(put(&site, &channel["loc"], &[cookie], picture(8, 8)).await.0, 403);
}

/// Sends without an end, and without reading meanwhile; how the answer begins.
async fn endless(site: &Site, owner: &Actor, loc: &Value, length: &str) -> String {
    let mut socket = TcpStream::connect(site.public).await.unwrap();
    let (loc, token) = (loc.as_str().unwrap(), owner.token.as_ref().unwrap());
    let head = format!(
        "PUT /channels/{loc}/cover HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {token}\r\n{length}\r\n\r\n"
    );
    socket.write_all(head.as_bytes()).await.unwrap();
    let (mut answers, mut rest) = socket.into_split();
    site.lifecycle.tasks().pass("a sender", async move {
        let chunk = [b"100000\r\n".as_slice(), &vec![0; 0x10_0000], b"\r\n"].concat();
        while rest.write_all(&chunk).await.is_ok() {}
    });
    let mut status = [0; 12];
    answers.read_exact(&mut status).await.unwrap();
    String::from_utf8_lossy(&status).into_owned()
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_too_large_or_no_picture_is_refused_and_changes_nothing() {
    let site = Site::start().await;
    let owner = site.actor("mia", Role::Streamer).await;
    let channel = owner.channel("One", json!({})).await;
    let svg = b"<svg xmlns='http://www.w3.org/2000/svg'><script>alert(1)</script></svg>".to_vec();
    let cut = picture(64, 64)[..90].to_vec();
    for (sent, status) in [(svg, 415), (cut, 415), (Vec::new(), 415), (picture(16_385, 1), 422)] {
        let said = put(&site, &channel["loc"], &bearer(&owner), sent).await;
        assert_eq!(said.0, status, "{}", said.1);
        let extensions = &said.1["errors"][0]["extensions"];
        assert_eq!((&extensions["code"], &extensions["field"]), (&json!("BAD_USER_INPUT"), &json!("body")));
    }
    for length in ["Content-Length: 8388609", "Transfer-Encoding: chunked"] {
        assert_eq!(endless(&site, &owner, &channel["loc"], length).await, "HTTP/1.1 413", "{length}");
    }
    assert_eq!(image_url(&site, &channel["loc"]).await, Value::Null);
    assert!(!site.media().join("covers").join(channel["loc"].as_str().unwrap()).exists());
}

#[tokio::test(flavor = "multi_thread")]
async fn nobody_uploads_more_than_twenty_in_ten_minutes() {
    let site = Site::start().await;
    let [owner, other] = [site.actor("mia", Role::Streamer).await, site.actor("tom", Role::Streamer).await];
    let (channel, theirs) = (owner.channel("One", json!({})).await, other.channel("Two", json!({})).await);
    for _ in 0..20 {
        assert_eq!(put(&site, &channel["loc"], &bearer(&owner), Vec::new()).await.0, 415);
    }
    let (status, said) = put(&site, &channel["loc"], &bearer(&owner), picture(8, 8)).await;
    assert_eq!((status, &said["errors"][0]["extensions"]["code"]), (429, &json!("RATE_LIMITED")));
    assert_eq!(said["errors"][0]["extensions"]["retryAfterSeconds"], json!(600));
    assert_eq!(put(&site, &theirs["loc"], &bearer(&other), picture(8, 8)).await.0, 200);
    site.clock.advance(Duration::from_secs(600));
    assert_eq!(put(&site, &channel["loc"], &bearer(&owner), picture(8, 8)).await.0, 200);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_left_over_is_swept_and_what_is_somebodys_is_not() {
    let site = Site::start().await;
    let owner = site.actor("mia", Role::Streamer).await;
    let channel = owner.channel("One", json!({})).await;
    let (_, cover) = put(&site, &channel["loc"], &bearer(&owner), picture(8, 8)).await;
    let directory = site.media().join("covers");
    let (kept, here) = (file(&site, &cover["imageUrl"]), directory.join(channel["loc"].as_str().unwrap()));
    let gone = directory.join(Uuid::from_u128(1).to_string());
    std::fs::create_dir(&gone).unwrap();
    let [fresh, broken, nobodys] = [here.join("fresh.jpg"), here.join("x.new"), gone.join("old.jpg")];
    for left in [&fresh, &broken, &nobodys] {
        std::fs::write(left, "").unwrap();
    }
    for old in [&broken, &nobodys, &kept] {
        let file = std::fs::File::options().write(true).open(old).unwrap();
        file.set_modified(SystemTime::UNIX_EPOCH).unwrap();
    }
    Covers::new(Files::new(site.media()), site.store.clone()).sweep().await.unwrap();
    assert!(kept.exists() && fresh.exists());
    assert!(!broken.exists() && !gone.exists());
    // Whatever else an address may be, nothing is removed for it.
    let loc = Loc(channel["loc"].as_str().unwrap().parse().unwrap());
    let covers = Covers::new(Files::new(site.media()), site.store.clone());
    for url in
        ["https://elsewhere.example/x.jpg", "/covers/../fresh.jpg", "", &format!("/covers/{loc}/fresh.jpg")]
    {
        covers.forget(loc, url).await;
    }
    assert!(kept.exists() && fresh.exists());
}
