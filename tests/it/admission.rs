//! Who gets into a protected channel besides its owner: by invitation, by password; and for how long.

use serde_json::{Value, json};
use tally::store::Role;

use crate::nginx::{Publisher, Stage, eventually};
use crate::presence::{door, token};
use crate::rights::id_of;
use crate::site::Actor;

const INVITE: &str = "mutation ($input: InviteViewerInput!) {
    inviteViewer(input: $input) { user { handle } channel { invitedViewers { totalCount nodes { handle } } } } }";
const UNINVITE: &str = "mutation ($input: UninviteViewerInput!) {
    uninviteViewer(input: $input) { channel { invitedViewers { totalCount } } } }";
const START: &str = "mutation ($input: StartPlaybackInput!) {
    startPlayback(input: $input) { playback { url thumbnailUrl previewUrl expiresAt } } }";

async fn protected() -> Stage {
    Stage::with(&[], json!({"protected": true})).await
}

async fn invite(stage: &Stage, handle: &str) -> Value {
    let input = json!({"input": {"channelId": stage.channel["id"], "handle": handle}});
    stage.owner.data(INVITE, input).await["inviteViewer"].take()
}

async fn set_password(stage: &Stage, password: Value) {
    let update = "mutation ($input: UpdateChannelInput!) { updateChannel(input: $input) { channel { opensWithPassword } } }";
    let is_set = !password.is_null();
    let input = json!({"input": {"id": stage.channel["id"], "password": password}});
    let updated = stage.owner.data(update, input).await;
    assert_eq!(updated["updateChannel"]["channel"]["opensWithPassword"], is_set);
}

/// The token of the URL that a password opens the stage's channel with, or the error's code and field.
async fn with_password(
    stage: &Stage,
    actor: &Actor,
    password: &str,
) -> Result<String, (String, Option<String>)> {
    let answer = actor.ask(START, json!({"input": {"loc": stage.loc(), "password": password}})).await;
    let word = |value: &Value| value.as_str().map(str::to_owned);
    match word(&answer["data"]["startPlayback"]["playback"]["url"]) {
        Some(url) => Ok(token_of(&url)),
        None => {
            let extensions = &answer["errors"][0]["extensions"];
            Err((word(&extensions["code"]).expect("a code"), word(&extensions["field"])))
        }
    }
}

fn token_of(url: &str) -> String {
    url.split("/~").nth(1).and_then(|rest| rest.split('/').next()).expect("a token").to_owned()
}

async fn is_open(stage: &Stage, token: &str) -> bool {
    door(stage, token, &stage.loc()).await == (204, Some(format!("p-{}", stage.loc())))
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_is_invited_watches_until_that_is_taken_back() {
    let stage = protected().await;
    let guest = stage.site.actor("guest", Role::Viewer).await;
    let loc = stage.loc();
    assert_eq!(token(&guest, &loc).await, Err("FORBIDDEN".to_owned()));
    let invited = json!({
        "user": {"handle": "guest"},
        "channel": {"invitedViewers": {"totalCount": 1, "nodes": [{"handle": "guest"}]}}
    });
    for _ in 0..2 {
        assert_eq!(invite(&stage, "guest").await, invited, "a second time changes nothing");
    }
    let opened = token(&guest, &loc).await.unwrap();
    assert!(is_open(&stage, &opened).await);
    assert_eq!(token(&stage.site.anonymous(), &loc).await, Err("UNAUTHENTICATED".to_owned()));

    let input = json!({"input": {"channelId": stage.channel["id"], "userId": id_of(&guest).await}});
    let taken_back = stage.owner.data(UNINVITE, input.clone()).await;
    assert_eq!(taken_back["uninviteViewer"]["channel"]["invitedViewers"]["totalCount"], 0);
    assert!(!is_open(&stage, &opened).await);
    assert_eq!(token(&guest, &loc).await, Err("FORBIDDEN".to_owned()));
    assert_eq!(stage.owner.error(UNINVITE, input).await.0, "NOT_FOUND");
    let nobody = json!({"input": {"channelId": stage.channel["id"], "handle": "nobody"}});
    assert_eq!(stage.owner.error(INVITE, nobody).await.0, "NOT_FOUND");
    invite(&stage, "guest").await;
    assert!(is_open(&stage, &opened).await, "it lets in whoever is invited again");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_played_ends_with_the_session_that_asked_for_it() {
    let stage = protected().await;
    let guest = stage.site.actor("guest", Role::Viewer).await;
    invite(&stage, "guest").await;
    let here = guest.again(&stage.site).await;
    let (on_the_phone, at_home) =
        (token(&guest, &stage.loc()).await.unwrap(), token(&here, &stage.loc()).await.unwrap());
    guest.data("mutation { signOut }", json!({})).await;
    assert!(!is_open(&stage, &on_the_phone).await);
    assert!(is_open(&stage, &at_home).await);
}

#[tokio::test(flavor = "multi_thread")]
async fn those_who_were_invited_are_pages_for_the_owner_alone() {
    let stage = protected().await;
    for number in 0..5 {
        stage.site.actor(&format!("guest_{number}"), Role::Viewer).await;
        invite(&stage, &format!("guest_{number}")).await;
        stage.site.clock.advance(std::time::Duration::from_secs(1));
    }
    let list = "query ($loc: UUID!, $after: String) { channel(loc: $loc) {
        invitedViewers(first: 2, after: $after) { nodes { handle } edges { cursor } pageInfo { hasNextPage endCursor } } } }";
    let mut handles = Vec::new();
    let mut after = Value::Null;
    loop {
        let page = stage.owner.data(list, json!({"loc": stage.loc(), "after": after})).await;
        let page = &page["channel"]["invitedViewers"];
        handles.extend(page["nodes"].as_array().unwrap().iter().map(|node| node["handle"].clone()));
        if page["pageInfo"]["hasNextPage"] == false {
            break;
        }
        after = page["pageInfo"]["endCursor"].clone();
    }
    assert_eq!(handles, ["guest_4", "guest_3", "guest_2", "guest_1", "guest_0"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_password_opens_the_channel_to_whoever_knows_it_until_there_is_another() {
    let stage = protected().await;
    let anybody = stage.site.anonymous();
    let wrong = Err(("BAD_USER_INPUT".to_owned(), Some("input.password".to_owned())));
    assert_eq!(with_password(&stage, &anybody, "open sesame").await, wrong, "there is none yet");
    set_password(&stage, json!("open sesame")).await;
    assert_eq!(with_password(&stage, &anybody, "open barley").await, wrong);
    let opened = with_password(&stage, &anybody, "open sesame").await.unwrap();
    assert!(is_open(&stage, &opened).await);
    assert_eq!(token(&anybody, &stage.loc()).await, Err("UNAUTHENTICATED".to_owned()));
    assert!(with_password(&stage, &stage.owner, "open barley").await.is_ok(), "the owner needs none");

    set_password(&stage, json!("another one")).await;
    assert!(!is_open(&stage, &opened).await);
    assert_eq!(with_password(&stage, &anybody, "open sesame").await, wrong);
    let opened = with_password(&stage, &anybody, "another one").await.unwrap();
    assert!(is_open(&stage, &opened).await);
    set_password(&stage, Value::Null).await;
    assert!(!is_open(&stage, &opened).await);
    set_password(&stage, json!("another one")).await;
    assert!(!is_open(&stage, &opened).await, "the same words are another password");
    for bad in ["short", &"x".repeat(201)] {
        let update =
            "mutation ($input: UpdateChannelInput!) { updateChannel(input: $input) { channel { id } } }";
        let input = json!({"input": {"id": stage.channel["id"], "password": bad}});
        assert_eq!(stage.owner.error(update, input).await.1.as_deref(), Some("input.password"));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_channels_password_is_not_guessed() {
    let stage = protected().await;
    set_password(&stage, json!("open sesame")).await;
    let anybody = stage.site.anonymous();
    for _ in 0..30 {
        assert!(with_password(&stage, &anybody, "a guess that is wrong").await.is_err());
    }
    let limited = Err(("RATE_LIMITED".to_owned(), None));
    assert_eq!(with_password(&stage, &anybody, "open sesame").await, limited);
    stage.site.clock.advance(std::time::Duration::from_secs(60));
    assert!(with_password(&stage, &anybody, "open sesame").await.is_ok());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_url_that_renews_another_goes_on_with_its_session() {
    let stage = protected().await;
    let start = async |renews: Value| {
        let answer = stage.owner.data(START, json!({"input": {"loc": stage.loc(), "renews": renews}})).await;
        answer["startPlayback"]["playback"].clone()
    };
    let first = start(Value::Null).await;
    let of = |playback: &Value| token_of(playback["url"].as_str().unwrap());
    stage.site.clock.advance(std::time::Duration::from_secs(3600));
    let renewed = start(first["url"].clone()).await;
    // As presence tells viewers apart.
    assert_eq!(of(&renewed)[..22], of(&first)[..22]);
    assert!(renewed["expiresAt"].as_str() > first["expiresAt"].as_str());
    assert!(is_open(&stage, &of(&renewed)).await);
    for other in ["", "https://tally.example/live/~AAAA/x/index.m3u8", "~~~"] {
        assert_ne!(of(&start(json!(other)).await)[..22], of(&first)[..22], "{other}");
    }
    for picture in ["thumbnailUrl", "previewUrl"] {
        assert_eq!(token_of(first[picture].as_str().unwrap()), of(&first));
    }
    // Who signs out and asks for what everybody may watch is still the same viewer.
    let open = stage.owner.channel("Open", json!({})).await;
    let ask = async |actor: &Actor, renews: &Value| {
        let answer = actor.data(START, json!({"input": {"loc": open["loc"], "renews": renews}})).await;
        answer["startPlayback"]["playback"].clone()
    };
    let signed_in = ask(&stage.owner, &Value::Null).await;
    let signed_out = ask(&stage.site.anonymous(), &signed_in["url"]).await;
    assert_eq!(of(&signed_out)[..22], of(&signed_in)[..22]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_broadcast_stays_as_open_as_it_began_whatever_is_said_of_its_channel() {
    let stage = protected().await;
    set_password(&stage, json!("open sesame")).await;
    let update =
        "mutation ($input: UpdateChannelInput!) { updateChannel(input: $input) { channel { protected } } }";
    let set = async |channel: &Value, protected: bool| {
        let input = json!({"input": {"id": channel["id"], "protected": protected}});
        stage.owner.data(update, input).await;
    };
    let (anybody, stranger) = (stage.site.anonymous(), stage.site.actor("stranger", Role::Viewer).await);
    let _publisher = stage.on_the_air(1).await;
    let stream = stage.stream().await["id"].take();
    set(&stage.channel, false).await;
    eventually("it is known how it began", async || {
        token(&stranger, &stage.loc()).await == Err("FORBIDDEN".to_owned())
    })
    .await;
    let opened = with_password(&stage, &anybody, "open sesame").await.unwrap();
    assert!(is_open(&stage, &opened).await, "the password is what it was given for");
    let cut = "mutation ($input: CreateClipInput!) { createClip(input: $input) { clip { id } } }";
    let clip = json!({"input": {"streamId": stream, "lastSeconds": 5, "title": "Hidden"}});
    assert_eq!(stranger.error(cut, clip).await.0, "FORBIDDEN");

    let open = stage.owner.channel("Open", json!({})).await;
    let key = open["key"].as_str().expect("a key").to_owned();
    assert_eq!(Publisher { key, connection: 2 }.publish(&stage.site).await.0, 302);
    set(&open, true).await;
    let loc = open["loc"].as_str().expect("a loc");
    eventually("it is known of this one too", async || token(&stranger, loc).await.is_ok()).await;
}
