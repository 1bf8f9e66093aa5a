//! One subscription on a WebSocket of its own.

use std::time::Duration;

use futures_util::{SinkExt, StreamExt};
use serde_json::{Value, json};
use tokio::sync::mpsc;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::client::IntoClientRequest;

/// What it sends, in order; read all the time, so that the server never waits for the test.
pub(crate) struct Subscription {
    sent: mpsc::UnboundedReceiver<Value>,
    reader: tokio::task::JoinHandle<()>,
}

impl Subscription {
    pub(super) async fn open(url: &str, token: Option<&str>, document: &str, variables: Value) -> Self {
        Self::try_open(url, token, document, variables).await.expect("the server takes the connection")
    }

    /// The same, if the server takes the connection.
    pub(crate) async fn try_open(
        url: &str,
        token: Option<&str>,
        document: &str,
        variables: Value,
    ) -> Option<Self> {
        let mut request = url.into_client_request().expect("a URL");
        let protocol = "graphql-transport-ws".parse().expect("a header");
        request.headers_mut().insert("sec-websocket-protocol", protocol);
        let (mut socket, _) = tokio_tungstenite::connect_async(request).await.ok()?;
        let payload = token.map(|token| json!({"authorization": format!("Bearer {token}")}));
        let greeting = json!({"type": "connection_init", "payload": payload.unwrap_or(json!({}))});
        socket.send(Message::text(greeting.to_string())).await.ok()?;
        let (sender, mut sent) = mpsc::unbounded_channel();
        let order =
            json!({"id": "1", "type": "subscribe", "payload": {"query": document, "variables": variables}});
        let reader = tokio::spawn(async move {
            while let Some(Ok(message)) = socket.next().await {
                let Message::Text(text) = message else { continue };
                let message: Value = serde_json::from_str(&text).expect("JSON");
                let answer = match message["type"].as_str() {
                    Some("connection_ack") => order.clone(),
                    Some("ping") => json!({"type": "pong"}),
                    _ => {
                        let _ = sender.send(message);
                        continue;
                    }
                };
                if socket.send(Message::text(answer.to_string())).await.is_err() {
                    return;
                }
                if message["type"] == "connection_ack" {
                    // A mark for the opener: from here on the server has the order.
                    let _ = sender.send(Value::Null);
                }
            }
        });
        if sent.recv().await != Some(Value::Null) {
            return None;
        }
        // It has the order, and begins with it before it reads what another connection sends later; for HTTP
        // that is not certain, so it is given a moment.
        tokio::time::sleep(Duration::from_millis(100)).await;
        Some(Self { sent, reader })
    }

    /// The next message, whatever it says; None when the connection has ended.
    pub(crate) async fn message(&mut self) -> Option<Value> {
        self.sent.recv().await
    }

    /// The first field of the next payload.
    pub(crate) async fn next(&mut self, within: Duration) -> Value {
        self.try_next(within).await.unwrap_or_else(|| panic!("nothing arrives within {within:?}"))
    }

    /// The same, if something comes.
    pub(crate) async fn try_next(&mut self, within: Duration) -> Option<Value> {
        let message = tokio::time::timeout(within, self.sent.recv()).await.ok().flatten()?;
        assert_eq!(message["type"], "next", "{message}");
        assert_eq!(message["payload"]["errors"], Value::Null, "{message}");
        message["payload"]["data"].as_object()?.values().next().cloned()
    }

    /// The next event, which must be of this type.
    pub(crate) async fn expect(&mut self, event: &str, within: Duration) -> Value {
        let next = self.try_next(within).await;
        let next = next.unwrap_or_else(|| panic!("no {event} within {within:?}"));
        assert_eq!(next["__typename"], event, "{next}");
        next
    }

    /// Waits for that many viewers.
    pub(crate) async fn expect_viewers(&mut self, viewers: i64, within: Duration) {
        let arrives = async { while self.next(within).await["currentViewers"] != viewers {} };
        let arrived = tokio::time::timeout(within, arrives).await;
        arrived.unwrap_or_else(|_| panic!("not {viewers} viewers within {within:?}"));
    }

    /// Nothing more comes for so long.
    pub(crate) async fn expect_silence(&mut self, during: Duration) {
        assert_eq!(self.try_next(during).await, None);
    }

    /// Waits until the server ends the connection.
    pub(crate) async fn until_cut(mut self, within: Duration) {
        let over = tokio::time::timeout(within, async { while self.sent.recv().await.is_some() {} });
        over.await.expect("the connection ends");
    }
}

impl Drop for Subscription {
    fn drop(&mut self) {
        self.reader.abort();
    }
}
