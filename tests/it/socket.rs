//! A client of the real graph over graphql-transport-ws.

use std::net::SocketAddr;
use std::time::Duration;

use futures_util::{SinkExt, StreamExt};
use serde_json::{Value, json};
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::client::IntoClientRequest;
use tokio_tungstenite::{MaybeTlsStream, WebSocketStream, connect_async};

use crate::site::Actor;

/// How long anything may take that is to come at once.
const PATIENCE: Duration = Duration::from_secs(20);

/// A socket that was acknowledged, and what it has heard that nobody has asked for yet.
pub(crate) struct Socket {
    socket: WebSocketStream<MaybeTlsStream<TcpStream>>,
    heard: Vec<Value>,
}

impl Socket {
    /// Opens one for nobody in particular.
    pub(crate) async fn open(address: SocketAddr) -> Self {
        Self::with(address, json!({})).await.expect("an acknowledgement")
    }

    /// Opens one with this payload of `connection_init`; else the code that it was closed with.
    pub(crate) async fn with(address: SocketAddr, payload: Value) -> Result<Self, u16> {
        let mut request = format!("ws://{address}/graphql").into_client_request().expect("a URL");
        let protocol = "graphql-transport-ws".parse().expect("a header");
        request.headers_mut().insert("sec-websocket-protocol", protocol);
        let (socket, _) = connect_async(request).await.expect("an upgrade");
        let mut opened = Self { socket, heard: Vec::new() };
        opened.say(json!({"type": "connection_init", "payload": payload})).await;
        let acknowledged = opened.read().await?;
        assert_eq!(acknowledged, json!({"type": "connection_ack"}));
        Ok(opened)
    }

    /// Opens one as somebody who has signed in.
    pub(crate) async fn of(address: SocketAddr, actor: &Actor) -> Self {
        let token = actor.token.as_deref().expect("signed in");
        let payload = json!({"authorization": format!("Bearer {token}")});
        Self::with(address, payload).await.expect("an acknowledgement")
    }

    pub(crate) async fn say(&mut self, message: Value) {
        self.socket.send(Message::text(message.to_string())).await.expect("sent");
    }

    /// Begins an operation.
    pub(crate) async fn start(&mut self, id: &str, query: &str, variables: Value) {
        let payload = json!({"query": query, "variables": variables});
        self.say(json!({"id": id, "type": "subscribe", "payload": payload})).await;
    }

    /// The next message, or the code of the close.
    pub(crate) async fn read(&mut self) -> Result<Value, u16> {
        let reading = async {
            loop {
                match self.socket.next().await {
                    Some(Ok(Message::Text(text))) => break Ok(serde_json::from_str(&text).expect("JSON")),
                    Some(Ok(Message::Close(Some(frame)))) => break Err(frame.code.into()),
                    Some(Ok(_)) => {}
                    end => panic!("no close was said: {end:?}"),
                }
            }
        };
        timeout(PATIENCE, reading).await.expect("the server says something")
    }

    /// The next message of an operation.
    pub(crate) async fn hear(&mut self, id: &str) -> Value {
        loop {
            if let Some(place) = self.heard.iter().position(|message| message["id"] == id) {
                return self.heard.remove(place);
            }
            let message = self.read().await.expect("no close");
            self.heard.push(message);
        }
    }

    /// The data of the next result of an operation, which must have no errors.
    pub(crate) async fn next(&mut self, id: &str) -> Value {
        let mut message = self.hear(id).await;
        assert_eq!(
            (&message["type"], &message["payload"]["errors"]),
            (&json!("next"), &Value::Null),
            "{message}"
        );
        message["payload"]["data"].take()
    }

    /// The next `count` results of a subscription, each the value of its one field.
    pub(crate) async fn collect(&mut self, id: &str, count: usize) -> Vec<Value> {
        let mut collected = Vec::with_capacity(count);
        for _ in 0..count {
            let data = self.next(id).await;
            let fields = data.as_object().expect("an object");
            collected.push(fields.values().next().expect("a field").clone());
        }
        collected
    }

    /// The code and the field of the `error` that an operation is refused with.
    pub(crate) async fn refusal(&mut self, id: &str) -> (String, Option<String>) {
        let message = self.hear(id).await;
        assert_eq!(message["type"], "error", "{message}");
        let extensions = &message["payload"][0]["extensions"];
        let word = |name: &str| extensions[name].as_str().map(str::to_owned);
        (word("code").unwrap_or_else(|| panic!("no code: {message}")), word("field"))
    }

    /// Says that an operation is of no more interest.
    pub(crate) async fn complete(&mut self, id: &str) {
        self.say(json!({"id": id, "type": "complete"})).await;
        self.heard.retain(|message| message["id"] != id);
    }
}
