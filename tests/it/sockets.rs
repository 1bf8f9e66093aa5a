//! The real graph over graphql-transport-ws.

use serde_json::{Value, json};

use tally::store::Role;

use crate::nginx::Stage;
use crate::socket::Socket;
use crate::sql::Sql;

#[tokio::test(flavor = "multi_thread")]
async fn queries_and_mutations_run_over_a_socket_as_whoever_opened_it() {
    let stage = Stage::set().await;
    let mut nobody = Socket::open(stage.site.public).await;
    let mut owner = Socket::of(stage.site.public, &stage.owner).await;
    for (socket, me) in [(&mut nobody, Value::Null), (&mut owner, json!({"handle": "mia"}))] {
        socket.start("me", "{ me { handle } }", json!({})).await;
        assert_eq!(socket.next("me").await, json!({"me": me}));
        assert_eq!(socket.hear("me").await, json!({"id": "me", "type": "complete"}));
    }
    let update =
        "mutation ($input: UpdateChannelInput!) { updateChannel(input: $input) { channel { name } } }";
    let input = json!({"input": {"id": stage.channel["id"], "name": "By socket"}});
    nobody.start("m", update, input.clone()).await;
    let refused = nobody.hear("m").await;
    let errors = refused["payload"].get("errors").unwrap_or(&refused["payload"]);
    assert_eq!(errors[0]["extensions"]["code"], "UNAUTHENTICATED", "{refused}");
    owner.start("m", update, input).await;
    assert_eq!(owner.next("m").await["updateChannel"]["channel"]["name"], "By socket");
    assert_eq!(owner.hear("m").await["type"], "complete");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_that_opens_nothing_closes_the_socket() {
    let stage = Stage::set().await;
    let over = stage.owner.token.clone().expect("signed in");
    stage.owner.data("mutation { signOut }", json!({})).await;
    for token in ["nonsense", "", &over] {
        let payload = json!({"authorization": format!("Bearer {token}")});
        let Err(code) = Socket::with(stage.site.public, payload).await else { panic!("{token} was let in") };
        assert_eq!(code, 4403, "{token}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_is_in_a_subscriptions_events_for_its_owner_alone() {
    let stage = Stage::set().await;
    let (eve, root) =
        (stage.site.actor("eve", Role::Moderator).await, stage.site.actor("root", Role::Admin).await);
    let events = "subscription { streamEvents { stream { channel { ingest { streamKey } } } } }";
    let query = "{ liveStreams { eventCursor } }";
    let start = stage.site.anonymous().data(query, json!({})).await["liveStreams"]["eventCursor"].clone();
    let events = events.replace("streamEvents", &format!("streamEvents(after: {start})"));
    let mut sockets = vec![
        (Socket::open(stage.site.public).await, Value::Null),
        (Socket::of(stage.site.public, &eve).await, Value::Null),
    ];
    for actor in [&stage.owner, &root] {
        sockets
            .push((Socket::of(stage.site.public, actor).await, json!({"streamKey": stage.channel["key"]})));
    }
    for (socket, _) in &mut sockets {
        socket.start("1", &events, json!({})).await;
    }
    stage.on_the_air(1).await;
    for (socket, ingest) in &mut sockets {
        let event = socket.collect("1", 1).await.remove(0);
        assert_eq!(event["stream"]["channel"]["ingest"], *ingest);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stop_of_the_api_tells_subscribers_to_come_again() {
    let mut stage = Stage::set().await;
    let mut socket = Socket::open(stage.site.public).await;
    socket.start("1", "subscription { streamEvents { cursor } }", json!({})).await;
    let counts = "subscription ($locs: [UUID!]!) { viewerCountChanged(locs: $locs) { currentViewers } }";
    socket.start("2", counts, json!({"locs": [stage.loc()]})).await;
    socket.collect("2", 1).await;
    let (said, drained) = tokio::join!(socket.read(), stage.site.lifecycle.finish());
    assert_eq!(said, Err(1012));
    assert!(drained, "every task has ended");
}

#[tokio::test(flavor = "multi_thread")]
async fn many_that_wait_to_be_opened_leave_the_database_to_others() {
    let stage = Stage::set().await;
    let mut holder = Sql::on(&stage.site.url).await;
    holder.run("BEGIN; LOCK TABLE channels").await;
    let mut socket = Socket::open(stage.site.public).await;
    for number in 0..50 {
        let counts = format!(
            "subscription ($locs: [UUID!]!) {{ n{number}: viewerCountChanged(locs: $locs) {{ currentViewers }} }}"
        );
        socket.start(&number.to_string(), &counts, json!({"locs": [stage.loc()]})).await;
    }
    let waiting = "SELECT count(*)::text AS line FROM pg_locks JOIN pg_database ON pg_database.oid = database
        WHERE datname = current_database() AND relation = 'channels'::regclass AND NOT granted";
    while holder.lines(waiting).await[0].parse::<u32>().unwrap() < 8 {}
    for _ in 0..20 {
        stage.site.anonymous().data("{ topics { name } }", json!({})).await;
    }
    assert_eq!(holder.lines(waiting).await, ["8"]);
    holder.run("COMMIT").await;
    for number in 0..50 {
        socket.collect(&number.to_string(), 1).await;
    }
}
