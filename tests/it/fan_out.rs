//! Equal subscriptions are served together; whoever is told less or more than others is not equal.

use std::collections::HashSet;

use serde_json::{Value, json};
use tally::store::Role;

use crate::nginx::{Stage, eventually};
use crate::site::Actor;
use crate::socket::Socket;
use crate::toy::Toy;

const EVENTS: &str = "subscription { streamEvents { __typename cursor stream { channel { name } } } }";
const COUNTS: &str = "subscription ($locs: [UUID!]!) { viewerCountChanged(locs: $locs) { loc currentViewers } }";

async fn of(stage: &Stage, actor: Option<&Actor>) -> Socket {
    match actor.and_then(|actor| actor.token.as_deref()) {
        Some(token) => {
            let payload = json!({"authorization": format!("Bearer {token}")});
            Socket::with(stage.site.public, payload).await.expect("an acknowledgement")
        }
        None => Socket::open(stage.site.public).await,
    }
}

/// Something that only the owner may see, in a document that many send.
#[tokio::test(flavor = "multi_thread")]
async fn subscriptions_that_differ_only_in_who_asks_never_see_each_others_data() {
    let stage = Stage::set().await;
    let (eve, root) = (stage.site.actor("eve", Role::Viewer).await, stage.site.actor("root", Role::Admin).await);
    let asked = [
        "subscription { streamEvents { stream { channel { name ingest { streamKey } } } } }",
        "subscription { streamEvents { ...E } } fragment E on StreamEvent { stream { channel { ...C } } }
            fragment C on Channel { name secret: ingest { streamKey } }",
        "subscription { streamEvents { stream { channel { name owner { channels(first: 1) { nodes { ingest \
            { streamKey } } } } } } } }",
    ];
    // In every order of coming, for whoever comes first makes the group.
    let people = [None, Some(&stage.owner), Some(&eve), Some(&root), None, Some(&stage.owner)];
    let mut sockets = Vec::new();
    for turn in 0..people.len() {
        let who = people[turn];
        let mut socket = of(&stage, who).await;
        for (place, document) in asked.iter().enumerate() {
            socket.start(&place.to_string(), document, json!({})).await;
        }
        // Answered behind the subscriptions, which have begun then.
        socket.start("begun", "{ __typename }", json!({})).await;
        socket.next("begun").await;
        let knows = who.is_some_and(|who| who.handle == stage.owner.handle || who.handle == "root");
        sockets.push((socket, knows));
    }
    subscribed(&stage, asked.len() * 4 + asked.len()).await;
    stage.on_the_air(1).await;
    let key = stage.channel["key"].as_str().expect("a key");
    for (socket, knows) in &mut sockets {
        for place in 0..asked.len() {
            let event = socket.collect(&place.to_string(), 1).await.remove(0);
            assert_eq!(event.to_string().contains(key), *knows, "{place}: {event}");
            assert!(event.to_string().contains("One"), "{event}");
        }
    }
}
