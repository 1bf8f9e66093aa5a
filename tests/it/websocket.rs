//! graphql-transport-ws, over real sockets.

use std::sync::atomic::Ordering;
use std::time::Duration;

use futures_util::{SinkExt, StreamExt};
use serde_json::{Value, json};
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::client::IntoClientRequest;
use tokio_tungstenite::tungstenite::protocol::CloseFrame;
use tokio_tungstenite::{MaybeTlsStream, WebSocketStream, connect_async};

use crate::nginx::eventually;
use crate::support::Server;
use crate::toy::Toy;

struct Client(WebSocketStream<MaybeTlsStream<TcpStream>>);

/// What the server said: a message, or why it closed.
#[derive(Debug, PartialEq)]
enum Said {
    Json(Value),
    Closed(u16, String),
    Nothing,
}

impl Client {
    async fn open(server: &Server, headers: &[(&'static str, &str)]) -> Result<Self, u16> {
        let mut request = format!("ws://{}/graphql", server.address).into_client_request().expect("a URL");
        for (name, value) in headers {
            request.headers_mut().insert(*name, value.parse().expect("a header"));
        }
        match connect_async(request).await {
            Ok((socket, _)) => Ok(Self(socket)),
            Err(tokio_tungstenite::tungstenite::Error::Http(response)) => Err(response.status().as_u16()),
            Err(error) => panic!("{error}"),
        }
    }

    /// Opened with the right subprotocol.
    async fn fresh(server: &Server) -> Self {
        Self::open(server, &[("sec-websocket-protocol", "graphql-transport-ws")]).await.expect("a socket")
    }

    /// Opened and acknowledged.
    async fn ready(server: &Server) -> Self {
        let mut client = Self::fresh(server).await;
        client.say(json!({"type": "connection_init"})).await;
        assert_eq!(client.hear().await, Said::Json(json!({"type": "connection_ack"})));
        client
    }

    async fn say(&mut self, message: Value) {
        self.0.send(Message::text(message.to_string())).await.expect("sent");
    }

    async fn subscribe(&mut self, id: &str, query: &str) {
        self.say(json!({"id": id, "type": "subscribe", "payload": {"query": query}})).await;
    }

    async fn hear(&mut self) -> Said {
        let wait = async {
            loop {
                match self.0.next().await {
                    Some(Ok(Message::Text(text))) => {
                        break Said::Json(serde_json::from_str(&text).expect("JSON"));
                    }
                    Some(Ok(Message::Close(Some(CloseFrame { code, reason })))) => {
                        break Said::Closed(code.into(), reason.to_string());
                    }
                    Some(Ok(_)) => {}
                    _ => break Said::Nothing,
                }
            }
        };
        timeout(Duration::from_secs(5), wait).await.expect("the server says something")
    }

    async fn hear_json(&mut self) -> Value {
        match self.hear().await {
            Said::Json(json) => json,
            other => panic!("expected a message, got {other:?}"),
        }
    }
}

fn next(id: &str, data: Value) -> Value {
    json!({"id": id, "type": "next", "payload": {"data": data}})
}

fn complete(id: &str) -> Value {
    json!({"id": id, "type": "complete"})
}

#[tokio::test]
async fn queries_mutations_and_subscriptions_all_run() {
    let server = Server::start().await;
    let mut client = Client::ready(&server).await;
    client.subscribe("q", "{ me }").await;
    assert_eq!(client.hear_json().await, next("q", json!({"me": "nobody"})));
    assert_eq!(client.hear_json().await, complete("q"));
    client.subscribe("m", "mutation { signIn }").await;
    assert_eq!(client.hear_json().await, next("m", json!({"signIn": true})));
    assert_eq!(client.hear_json().await, complete("m"));
    client.subscribe("s", "subscription { count(to: 200) }").await;
    for n in 1..=200 {
        assert_eq!(client.hear_json().await, next("s", json!({"count": n})));
    }
    assert_eq!(client.hear_json().await, complete("s"));
}

#[tokio::test]
async fn requests_that_cannot_run_get_an_error_and_no_result() {
    let server = Server::start().await;
    let mut client = Client::ready(&server).await;
    let cases = [
        ("{", "DOCUMENT_REFUSED"),
        ("{ nothing }", "DOCUMENT_REFUSED"),
        ("subscription { nothing }", "DOCUMENT_REFUSED"),
        ("{ a(x: [[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[1]]) }", "DOCUMENT_REFUSED"),
        ("subscription { refuses }", "BAD_USER_INPUT"),
    ];
    for (query, code) in cases {
        client.subscribe("1", query).await;
        let said = client.hear_json().await;
        assert_eq!(
            (&said["type"], &said["payload"][0]["extensions"]["code"]),
            (&json!("error"), &json!(code)),
            "{query}"
        );
    }
    client.subscribe("1", "{ me }").await;
    assert_eq!(client.hear_json().await["type"], "next", "the id is free again");
}

#[tokio::test]
async fn what_fails_while_it_runs_is_a_result_with_errors() {
    let server = Server::start().await;
    let mut client = Client::ready(&server).await;
    client.subscribe("q", "{ fails }").await;
    let said = client.hear_json().await;
    assert_eq!((&said["type"], &said["payload"]["data"]), (&json!("next"), &json!(null)));
    assert_eq!(said["payload"]["errors"][0]["extensions"]["code"], "NOT_FOUND");
    assert_eq!(client.hear_json().await, complete("q"));
    client.subscribe("s", "subscription { stumbles }").await;
    let first = client.hear_json().await;
    assert_eq!(
        (&first["type"], &first["payload"]["errors"][0]["message"]),
        (&json!("next"), &json!("as asked"))
    );
    assert_eq!(client.hear_json().await, next("s", json!({"stumbles": 2})));
    assert_eq!(client.hear_json().await, next("s", json!({"stumbles": 3})));
    assert_eq!(client.hear_json().await, complete("s"));
}

#[tokio::test]
async fn a_panic_ends_its_operation_and_nothing_else() {
    let server = Server::start().await;
    let mut client = Client::ready(&server).await;
    client.subscribe("q", "{ panics(really: true) }").await;
    let said = client.hear_json().await;
    assert_eq!(
        (&said["type"], &said["payload"][0]["extensions"]["code"]),
        (&json!("error"), &json!("INTERNAL"))
    );
    assert!(said["payload"][0]["extensions"]["requestId"].is_string(), "{said}");
    client.subscribe("s", "subscription { breaks }").await;
    assert_eq!(client.hear_json().await, next("s", json!({"breaks": 1})));
    let broken = client.hear_json().await;
    assert_eq!(broken["payload"]["errors"][0]["extensions"]["code"], "INTERNAL", "{broken}");
    assert_eq!(client.hear_json().await, complete("s"));
    client.subscribe("q", "{ me }").await;
    assert_eq!(client.hear_json().await["type"], "next");
}

#[tokio::test]
async fn each_breach_closes_with_its_code() {
    let server = Server::impatient().await;
    let closed = async |mut client: Client| match client.hear().await {
        Said::Closed(code, _) => code,
        other => panic!("expected a close, got {other:?}"),
    };
    assert_eq!(closed(Client::fresh(&server).await).await, 4408);
    assert_eq!(closed(Client::open(&server, &[]).await.unwrap()).await, 4406);
    let mut early = Client::fresh(&server).await;
    early.subscribe("1", "{ me }").await;
    assert_eq!(closed(early).await, 4401);
    let mut waiting = Client::fresh(&server).await;
    waiting.say(json!({"type": "connection_init", "payload": {"authorization": "Bearer slow"}})).await;
    waiting.subscribe("1", "{ me }").await;
    assert_eq!(closed(waiting).await, 4401);
    let mut twice = Client::ready(&server).await;
    twice.say(json!({"type": "connection_init"})).await;
    assert_eq!(closed(twice).await, 4429);
    let mut nonsense = Client::ready(&server).await;
    nonsense.say(json!({"type": "nonsense"})).await;
    assert_eq!(closed(nonsense).await, 4400);
    let mut binary = Client::ready(&server).await;
    binary.0.send(Message::binary(b"{}".as_slice())).await.unwrap();
    assert_eq!(closed(binary).await, 4400);
    let mut same = Client::ready(&server).await;
    same.subscribe("1", "subscription { silence }").await;
    same.subscribe("1", "subscription { silence }").await;
    assert_eq!(same.hear().await, Said::Closed(4409, "Subscriber for 1 already exists".to_owned()));
}

#[tokio::test]
async fn a_token_comes_with_the_init_or_with_the_upgrade() {
    let server = Server::start().await;
    let protocol = ("sec-websocket-protocol", "graphql-transport-ws");
    let me = async |headers: &[(&'static str, &str)], payload: Value| {
        let mut client = Client::open(&server, headers).await?;
        client.say(json!({"type": "connection_init", "payload": payload})).await;
        match client.hear().await {
            Said::Closed(code, _) => Err(code),
            _ => {
                client.subscribe("1", "{ me }").await;
                Ok(client.hear_json().await["payload"]["data"]["me"].as_str().unwrap_or("?").to_owned())
            }
        }
    };
    assert_eq!(me(&[protocol], json!({"Authorization": "bearer mia"})).await, Ok("mia".to_owned()));
    assert_eq!(me(&[protocol, ("authorization", "Bearer tom")], json!(null)).await, Ok("tom".to_owned()));
    assert_eq!(
        me(&[protocol, ("authorization", "Bearer tom")], json!({"authorization": "Bearer mia"})).await,
        Ok("mia".to_owned())
    );
    assert_eq!(me(&[protocol], json!({"authorization": "Bearer x"})).await, Err(4403));
    assert_eq!(me(&[protocol], json!({"authorization": "Bearer away"})).await, Err(1013));
    let cookie = ("cookie", "tally_session=mia");
    assert_eq!(
        me(&[protocol, cookie, ("origin", "https://tally.example")], json!({})).await,
        Ok("mia".to_owned())
    );
    assert_eq!(me(&[protocol, cookie, ("origin", "https://evil.example")], json!({})).await, Err(403));
    assert_eq!(me(&[protocol, cookie], json!({})).await, Err(403));
}

#[tokio::test]
async fn a_page_of_another_site_opens_no_websocket_with_or_without_a_cookie() {
    let server = Server::start().await;
    let protocol = ("sec-websocket-protocol", "graphql-transport-ws");
    for (origin, opens) in
        [("https://tally.example", true), ("https://evil.example", false), ("http://127.0.0.1:1", false)]
    {
        let opened = Client::open(&server, &[protocol, ("origin", origin)]).await;
        assert_eq!(opened.map(drop).err(), (!opens).then_some(403), "{origin}");
    }
}

#[tokio::test]
async fn pings_are_answered_on_both_levels_and_silence_ends_a_socket() {
    let server = Server::impatient().await;
    let mut client = Client::ready(&server).await;
    client.say(json!({"type": "ping", "payload": {"n": 1}})).await;
    assert_eq!(client.hear_json().await, json!({"type": "pong", "payload": {"n": 1}}));
    client.0.send(Message::Ping("x".into())).await.unwrap();
    let pong = async { while !matches!(client.0.next().await, Some(Ok(Message::Pong(_)))) {} };
    timeout(Duration::from_secs(1), pong).await.expect("a pong");
    // A client that reads answers the server's pings and lives; one that does not is gone after a few.
    let mut silent = Client::ready(&server).await;
    assert!(timeout(Duration::from_secs(2), client.hear()).await.is_err(), "the one that answers is kept");
    let mut heard = 0;
    while let Some(Ok(_)) = silent.0.next().await {
        heard += 1;
    }
    assert!(heard >= 1, "pings, then the end");
}

#[tokio::test]
async fn a_busy_subscription_starves_neither_the_reading_half_nor_the_others() {
    let server = Server::start().await;
    let mut client = Client::ready(&server).await;
    client.subscribe("f", "subscription { flood(bytes: 100) }").await;
    client.subscribe("q", "{ me }").await;
    client.say(json!({"type": "ping"})).await;
    let (mut answered, mut ponged) = (false, false);
    for _ in 0..20_000 {
        let said = client.hear_json().await;
        answered |= said["id"] == "q";
        ponged |= said["type"] == "pong";
        if answered && ponged {
            break;
        }
    }
    assert!(answered && ponged);
    client.say(complete("f")).await;
    client.subscribe("end", "{ me }").await;
    let mut after = false;
    for _ in 0..20_000 {
        let said = client.hear_json().await;
        assert!(!(after && said["id"] == "f"), "nothing after complete was taken");
        after |= said["id"] == "end";
        if after && said["type"] == "complete" {
            break;
        }
    }
    assert!(after);
}

#[tokio::test]
async fn a_client_that_does_not_read_stops_its_streams_and_is_dropped() {
    let toy = Toy::default();
    let server = Server::short_of_patience(toy.clone()).await;
    let mut client = Client::ready(&server).await;
    client.subscribe("f", "subscription { flood(bytes: 100000) }").await;
    eventually("the flood begins", async || toy.floods() == 1).await;
    eventually("it is given up", async || toy.floods() == 0).await;
    let made = toy.flooded.load(Ordering::Relaxed);
    assert!(
        made < 2_000,
        "{made} results of 100 kB were made for nobody: the stream rests while nobody reads"
    );
    let mut read = 0;
    while let Some(Ok(_)) = client.0.next().await {
        read += 1;
    }
    assert!(read <= made, "the rest never comes");
}

#[tokio::test]
async fn a_message_that_does_not_come_to_its_end_is_not_waited_for() {
    let server = Server::impatient().await;
    let mut client = Client::ready(&server).await;
    let MaybeTlsStream::Plain(raw) = client.0.get_mut() else { panic!("no TLS here") };
    // The beginning of a text frame of ten thousand bytes. The client's pongs go on being its next bytes, so it is no
    // silence that ends it.
    raw.write_all(&[0x81, 0x80 | 126, 0x27, 0x10, 0, 0, 0, 0, b'{']).await.expect("sent");
    let ended =
        timeout(Duration::from_secs(5), async { while let Some(Ok(_)) = client.0.next().await {} }).await;
    assert!(ended.is_ok(), "the socket ends");
}

#[tokio::test]
async fn too_many_operations_and_too_large_a_message_are_refused() {
    let server = Server::start().await;
    let mut client = Client::ready(&server).await;
    for n in 0..100 {
        client.subscribe(&n.to_string(), "subscription { silence }").await;
    }
    client.subscribe("more", "subscription { silence }").await;
    let said = client.hear_json().await;
    assert_eq!(
        (&said["id"], &said["payload"][0]["extensions"]["code"]),
        (&json!("more"), &json!("RATE_LIMITED"))
    );
    client.say(complete("5")).await;
    client.subscribe("more", "{ me }").await;
    assert_eq!(client.hear_json().await["type"], "next");
    // Judged by its header: no more of it is waited for.
    for size in [300 * 1024, 900 * 1024] {
        let mut large = Client::ready(&server).await;
        let _ = large.0.send(Message::text("x".repeat(size))).await;
        assert_eq!(large.hear().await, Said::Closed(1009, "Message too big".to_owned()));
    }
}

#[tokio::test]
async fn a_stop_tells_clients_to_come_back() {
    let mut server = Server::start().await;
    let mut client = Client::ready(&server).await;
    client.subscribe("s", "subscription { silence }").await;
    let (said, drained) = tokio::join!(client.hear(), server.lifecycle.finish());
    assert_eq!(said, Said::Closed(1012, "restarting".to_owned()));
    assert!(drained, "every socket's task has ended");
}
