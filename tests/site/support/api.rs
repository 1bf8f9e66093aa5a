//! Somebody who uses the API, through the public door.

use serde_json::{Value, json};

use super::{Site, Subscription};

/// Somebody, signed in or not.
#[derive(Clone)]
pub(crate) struct Actor {
    client: reqwest::Client,
    graph: String,
    socket: String,
    pub(crate) token: Option<String>,
    /// The id of the account.
    pub(crate) id: String,
}

/// A channel of the actor's own.
pub(crate) struct Channel {
    pub(crate) id: String,
    pub(crate) loc: String,
    pub(crate) key: String,
}

impl Actor {
    pub(crate) fn anonymous(site: &Site) -> Self {
        let (client, graph) = (site.client.clone(), site.url("/graphql"));
        Self { client, graph, socket: site.websocket(), token: None, id: String::new() }
    }

    pub(crate) async fn sign_in(site: &Site, handle: &str, password: &str) -> Self {
        let document = "mutation ($input: SignInInput!) { signIn(input: $input) { token user { id } } }";
        Self::enter(site, document, "signIn", handle, password).await
    }

    /// A new account, a viewer's.
    pub(crate) async fn sign_up(site: &Site, handle: &str) -> Self {
        let document = "mutation ($input: SignUpInput!) { signUp(input: $input) { token user { id } } }";
        Self::enter(site, document, "signUp", handle, &format!("the password of {handle}")).await
    }

    /// A new account whom the admin has made a streamer.
    pub(crate) async fn streamer(site: &Site, handle: &str) -> Self {
        let streamer = Self::sign_up(site, handle).await;
        let document = "mutation ($user: ID!) { setRole(input: {userId: $user, role: STREAMER}) {
            user { role } } }";
        let set = site.admin().await.data(document, json!({"user": streamer.id})).await;
        assert_eq!(set["setRole"]["user"]["role"], "STREAMER");
        streamer
    }

    async fn enter(site: &Site, document: &str, field: &str, handle: &str, password: &str) -> Self {
        let mut actor = Self::anonymous(site);
        let input = json!({"input": {"handle": handle, "password": password}});
        let opened = actor.data(document, input).await;
        actor.token = Some(opened[field]["token"].as_str().expect("a token").to_owned());
        opened[field]["user"]["id"].as_str().expect("an id").clone_into(&mut actor.id);
        actor
    }

    /// The whole answer to a document.
    pub(crate) async fn ask(&self, query: &str, variables: Value) -> Value {
        self.try_ask(query, variables).await.expect("an answer")
    }

    /// The same; None when there is nobody to answer.
    pub(crate) async fn try_ask(&self, query: &str, variables: Value) -> Option<Value> {
        let mut request = self.client.post(&self.graph).header("content-type", "application/json");
        if let Some(token) = &self.token {
            request = request.header("authorization", format!("Bearer {token}"));
        }
        let body = json!({"query": query, "variables": variables}).to_string();
        let text = request.body(body).send().await.ok()?.text().await.ok()?;
        Some(serde_json::from_str(&text).unwrap_or_else(|_| panic!("not JSON: {text}")))
    }

    /// The data of an answer that must have no errors.
    pub(crate) async fn data(&self, query: &str, variables: Value) -> Value {
        let answer = self.ask(query, variables).await;
        assert_eq!(answer["errors"], Value::Null, "{query}");
        answer["data"].clone()
    }

    /// The code of the error that an answer must have.
    pub(crate) async fn refused(&self, query: &str, variables: Value) -> String {
        let answer = self.ask(query, variables).await;
        let code = answer["errors"][0]["extensions"]["code"].as_str();
        code.unwrap_or_else(|| panic!("no error: {answer}")).to_owned()
    }

    pub(crate) async fn channel(&self, name: &str, protected: bool) -> Channel {
        let document = "mutation ($input: CreateChannelInput!) { createChannel(input: $input) { channel {
            id loc ingest { streamKey } } } }";
        let made = self.data(document, json!({"input": {"name": name, "protected": protected}})).await;
        let channel = &made["createChannel"]["channel"];
        let word = |value: &Value| value.as_str().expect("a word").to_owned();
        let key = word(&channel["ingest"]["streamKey"]);
        Channel { id: word(&channel["id"]), loc: word(&channel["loc"]), key }
    }

    /// A key in place of the channel's present one.
    pub(crate) async fn regenerate(&self, channel: &Channel) -> String {
        let document = "mutation ($id: ID!) { regenerateStreamKey(input: {channelId: $id}) {
            channel { ingest { streamKey } } } }";
        let changed = self.data(document, json!({"id": channel.id})).await;
        let key = &changed["regenerateStreamKey"]["channel"]["ingest"]["streamKey"];
        key.as_str().expect("a key").to_owned()
    }

    /// The stream on the air at `loc`, or null.
    pub(crate) async fn stream(&self, loc: &str) -> Value {
        let document = "query ($loc: UUID!) { channel(loc: $loc) { stream {
            uuid state currentViewers playbackUrl thumbnailUrl previewUrl } } }";
        self.data(document, json!({"loc": loc})).await["channel"]["stream"].clone()
    }

    /// A URL to watch the channel at `loc` with.
    pub(crate) async fn playback(&self, loc: &str) -> String {
        let document = "mutation ($loc: UUID!) { startPlayback(input: {loc: $loc}) { playback { url } } }";
        let started = self.data(document, json!({"loc": loc})).await;
        started["startPlayback"]["playback"]["url"].as_str().expect("a URL").to_owned()
    }

    /// All that happens at `loc` from `after` on, or from now.
    pub(crate) async fn events(&self, loc: &str, after: Option<&str>) -> Subscription {
        let document = "subscription ($loc: UUID, $after: String) { streamEvents(loc: $loc, after: $after) {
            __typename cursor at stream { uuid state } ... on StreamStopped { reason } } }";
        self.subscribe(document, json!({"loc": loc, "after": after})).await
    }

    /// The audience at `loc`.
    pub(crate) async fn viewers(&self, loc: &str) -> Subscription {
        let document = "subscription ($locs: [UUID!]!) { viewerCountChanged(locs: $locs) {
            loc currentViewers totalViewers } }";
        self.subscribe(document, json!({"locs": [loc]})).await
    }

    pub(crate) async fn subscribe(&self, document: &str, variables: Value) -> Subscription {
        Subscription::open(&self.socket, self.token.as_deref(), document, variables).await
    }
}
