//! What somebody may no longer do ends within seconds: on the sockets that are open, wherever it was decided.

use std::time::Duration;

use serde_json::{Value, json};
use tally::store::Role;

use crate::nginx::{Stage, eventually};
use crate::site::{Actor, Site};
use crate::socket::Socket;
use crate::support::Server;
use crate::toy::Toy;

pub(crate) const SIGN_IN: &str =
    "mutation ($input: SignInInput!) { signIn(input: $input) { token user { id } } }";
pub(crate) const SET_ROLE: &str =
    "mutation ($input: SetRoleInput!) { setRole(input: $input) { user { role } } }";

pub(crate) async fn id_of(actor: &Actor) -> Value {
    actor.data("{ me { id } }", json!({})).await["me"]["id"].clone()
}

/// What a socket says to the question who it speaks for.
async fn me(socket: &mut Socket, id: &str) -> Value {
    socket.start(id, "{ me { handle role } }", json!({})).await;
    socket.next(id).await["me"].clone()
}

/// The code that a socket is closed with, whatever it says before.
pub(crate) async fn end_of(socket: &mut Socket) -> u16 {
    loop {
        if let Err(code) = socket.read().await {
            return code;
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn signing_out_closes_the_sockets_of_that_session_and_no_others() {
    let stage = Stage::set().await;
    let beside = stage.site.again().await;
    let first = stage.owner.clone();
    let input = json!({"input": {"handle": "mia", "password": "password of mia"}});
    let again = stage.site.anonymous().data(SIGN_IN, input).await;
    let second = first.with_token(again["signIn"]["token"].as_str().unwrap());
    let mut ended = [Socket::of(stage.site.public, &first).await, Socket::of(beside.public, &first).await];
    let mut kept = Socket::of(stage.site.public, &second).await;
    let mut nobody = Socket::open(stage.site.public).await;
    let keys = "subscription { streamEvents { stream { channel { ingest { streamKey } } } } }";
    for socket in ended.iter_mut().chain([&mut kept, &mut nobody]) {
        socket.start("keys", keys, json!({})).await;
        me(socket, "me").await;
    }
    first.data("mutation { signOut }", json!({})).await;
    for socket in &mut ended {
        assert_eq!(end_of(socket).await, 4403);
    }
    stage.on_the_air(1).await;
    let key = stage.channel["key"].clone();
    for (socket, told) in [(&mut kept, json!({"streamKey": key})), (&mut nobody, Value::Null)] {
        assert_eq!(socket.collect("keys", 1).await[0]["stream"]["channel"]["ingest"], told);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_session_that_runs_out_closes_its_sockets() {
    let site = Site::start().await;
    let mut socket = Socket::of(site.public, &site.actor("mia", Role::Viewer).await).await;
    site.clock.advance(Duration::from_secs(30 * 24 * 60 * 60));
    assert_eq!(end_of(&mut socket).await, 4403);
}

#[tokio::test(flavor = "multi_thread")]
async fn another_role_closes_the_sockets_of_its_user_who_comes_back_with_it() {
    let site = Site::start().await;
    let admin = site.actor("admin", Role::Admin).await;
    let mia = site.actor("mia", Role::Moderator).await;
    let beside = site.again().await;
    let id = id_of(&mia).await;
    for role in ["VIEWER", "ADMIN"] {
        let mut sockets = [Socket::of(site.public, &mia).await, Socket::of(beside.public, &mia).await];
        admin.data(SET_ROLE, json!({"input": {"userId": id, "role": role}})).await;
        for socket in &mut sockets {
            assert_eq!(end_of(socket).await, 4403);
        }
        let mut socket = Socket::of(site.public, &mia).await;
        assert_eq!(me(&mut socket, "me").await, json!({"handle": "mia", "role": role}));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn of_two_admins_who_demote_each_other_at_once_one_stays() {
    let site = Site::start().await;
    let (ada, bob) = (site.actor("ada", Role::Admin).await, site.actor("bob", Role::Admin).await);
    let input = async |whom: &Actor| json!({"input": {"userId": id_of(whom).await, "role": "VIEWER"}});
    let (of_ada, of_bob) = (input(&ada).await, input(&bob).await);
    let (one, other) = tokio::join!(ada.ask(SET_ROLE, of_bob.clone()), bob.ask(SET_ROLE, of_ada.clone()));
    let refused = [&one, &other].map(|answer| answer["errors"][0]["extensions"]["code"].clone());
    assert_eq!(refused.iter().filter(|code| **code == Value::Null).count(), 1, "{one} {other}");
    assert!(refused.contains(&json!("CONFLICT")) || refused.contains(&json!("FORBIDDEN")), "{one} {other}");
    let (left, whom) = if refused[0] == Value::Null { (ada, of_ada) } else { (bob, of_bob) };
    assert_eq!(left.error(SET_ROLE, whom).await, ("CONFLICT".to_owned(), Some("input.userId".to_owned())));
}

#[tokio::test(flavor = "multi_thread")]
async fn while_nobody_can_tell_sockets_stay_and_are_looked_at_afterwards() {
    let toy = Toy::default();
    let server = Server::of(toy.clone()).await;
    let who = |name: &str| json!({"authorization": format!("Bearer {name}")});
    let mut mia = Socket::with(server.address, who("mia")).await.expect("in");
    let mut tom = Socket::with(server.address, who("tom")).await.expect("in");
    eventually("somebody has asked twice", async || toy.reviews() >= 2).await;
    for socket in [&mut mia, &mut tom] {
        socket.start("1", "{ me }", json!({})).await;
        socket.next("1").await;
        socket.hear("1").await;
    }
    *toy.outdated.lock().unwrap() = Some(&["mia"]);
    assert_eq!(end_of(&mut mia).await, 4403);
    tom.start("2", "{ me }", json!({})).await;
    assert_eq!(tom.next("2").await, json!({"me": "tom"}));
}
