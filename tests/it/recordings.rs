//! The recordings of the whole site: what everybody may play, and nothing else.

use std::time::Duration;

use serde_json::{Value, json};

use crate::permissions::Cast;
use crate::site::Actor;

const LIST: &str = "query ($first: Int, $after: String, $last: Int, $before: String) {
    recordings(first: $first, after: $after, last: $last, before: $before) {
        totalCount pageInfo { hasNextPage hasPreviousPage startCursor endCursor } nodes { id channel { loc } } } }";

async fn listed(actor: &Actor, page: Value) -> Vec<Value> {
    let list = actor.data(LIST, page).await["recordings"].take();
    list["nodes"].as_array().unwrap().iter().map(|node| node["channel"]["loc"].clone()).collect()
}

/// A channel on the air, a second after the one before: ids are as old as the clock says.
async fn on_the_air(cast: &mut Cast, inputs: Value) -> Value {
    cast.site.clock.advance(Duration::from_secs(1));
    cast.channel(inputs, true).await
}

async fn update(cast: &Cast, kind: &str, input: Value) {
    let document = match kind {
        "Channel" => {
            "mutation ($input: UpdateChannelInput!) { updateChannel(input: $input) { channel { id } } }"
        }
        _ => {
            "mutation ($input: UpdateRecordingInput!) { updateRecording(input: $input) { recording { id } } }"
        }
    };
    cast.owner().data(document, json!({"input": input})).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_sites_recordings_are_those_that_everybody_may_play() {
    let mut cast = Cast::gather().await;
    let recorded = |protected: bool| json!({"record": true, "protected": protected});
    let [one, two, three] = [
        on_the_air(&mut cast, recorded(false)).await,
        on_the_air(&mut cast, recorded(false)).await,
        on_the_air(&mut cast, recorded(false)).await,
    ];
    let secret = on_the_air(&mut cast, recorded(true)).await;
    let unrecorded = on_the_air(&mut cast, json!({})).await;
    assert_eq!(unrecorded["protected"], false);
    let locs = |channels: &[&Value]| channels.iter().map(|it| it["loc"].clone()).collect::<Vec<_>>();
    let all = || json!({});
    assert_eq!(listed(cast.owner(), all()).await, locs(&[]), "they are still being recorded");
    cast.make_ready().await;
    for actor in [&cast.actors[0], cast.owner(), cast.admin()] {
        assert_eq!(listed(actor, all()).await, locs(&[&three, &two, &one]), "the newest first");
    }

    let recording = two["stream"].as_str().unwrap().replace("st_", "re_");
    update(&cast, "Recording", json!({"id": recording, "published": false})).await;
    assert_eq!(listed(cast.owner(), all()).await, locs(&[&three, &one]), "one is taken back");
    update(&cast, "Channel", json!({"id": three["id"], "protected": true})).await;
    update(&cast, "Channel", json!({"id": secret["id"], "protected": false})).await;
    assert_eq!(listed(&cast.actors[0], all()).await, locs(&[&secret, &one]), "as their channels are now");
    let delete =
        "mutation ($input: DeleteChannelInput!) { deleteChannel(input: $input) { deletedChannelId } }";
    cast.owner().data(delete, json!({"input": {"id": secret["id"]}})).await;
    assert_eq!(listed(&cast.actors[0], all()).await, locs(&[&one]), "a channel is gone");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_sites_recordings_come_in_pages_that_newer_ones_do_not_shift() {
    let mut cast = Cast::gather().await;
    let mut channels = Vec::new();
    for _ in 0..3 {
        channels.insert(0, on_the_air(&mut cast, json!({"record": true})).await["loc"].clone());
    }
    cast.make_ready().await;
    let nobody = cast.actors[0].clone();
    let first = nobody.data(LIST, json!({"first": 2})).await["recordings"].take();
    assert_eq!((&first["totalCount"], &first["pageInfo"]["hasNextPage"]), (&json!(3), &json!(true)));
    on_the_air(&mut cast, json!({"record": true})).await;
    cast.make_ready().await;
    let end = &first["pageInfo"]["endCursor"];
    assert_eq!(listed(&nobody, json!({"first": 2, "after": end})).await, channels[2..]);
    assert_eq!(listed(&nobody, json!({"last": 1, "before": end})).await, channels[..1]);
    let (code, field) = nobody.error(LIST, json!({"after": "not one"})).await;
    assert_eq!((&*code, field.as_deref()), ("BAD_USER_INPUT", Some("after")));
}
