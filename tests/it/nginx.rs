//! What stands outside the API at the media's end: nginx's control door, and publishers and players as nginx
//! reports them.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use axum::Router;
use axum::extract::{Query, State};
use axum::http::{HeaderMap, StatusCode};
use axum::routing::get;
use serde_json::{Value, json};
use tally::lifecycle::Lifecycle;
use tally::store::{Backlog, Position, Role};
use tokio::net::TcpListener;

use crate::site::{Actor, SECRET, Site};

/// A process id that no process has: it is beyond Linux' highest.
pub(crate) const DEAD: i32 = i32::MAX;

/// nginx's inner door with `/stat` and `/control`.
#[derive(Clone)]
pub(crate) struct Nginx {
    pub(crate) address: SocketAddr,
    inside: Arc<Mutex<Inside>>,
    _running: Arc<Lifecycle>,
}

/// What it says and what it was told.
#[derive(Default)]
pub(crate) struct Inside {
    /// The worker that answers.
    pub(crate) worker: i32,
    /// What it lists: a stream's name and its publisher's connection.
    pub(crate) publishers: Vec<(String, i64)>,
    /// The XML of what is being sent, the same for all.
    pub(crate) media: String,
    /// Which names with which connections it was told to drop.
    pub(crate) drops: Vec<(String, Option<i64>)>,
    /// How many it says that it dropped, if not as many as it did.
    pub(crate) answers: Option<u32>,
    /// Whether it answers at all.
    pub(crate) is_away: bool,
}

impl Nginx {
    /// One that lists nothing, with this process for its worker, which is certainly alive.
    pub(crate) async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let address = listener.local_addr().expect("an address");
        let worker = i32::try_from(std::process::id()).expect("a process id");
        let inside = Arc::new(Mutex::new(Inside { worker, ..Inside::default() }));
        let routes = Router::new()
            .route("/stat", get(stat))
            .route("/control/drop/publisher", get(drop_publisher))
            .with_state(Arc::clone(&inside));
        let running = Lifecycle::default();
        running.tasks().pass("nginx", async move {
            let _ = axum::serve(listener, routes).await;
        });
        Self { address, inside, _running: Arc::new(running) }
    }

    /// To look at, or to change.
    pub(crate) fn inside(&self) -> MutexGuard<'_, Inside> {
        self.inside.lock().expect("nobody panicked")
    }

    /// Where to find it, for `--nginx-control`.
    pub(crate) fn url(&self) -> String {
        format!("http://{}", self.address)
    }
}

type Shared = State<Arc<Mutex<Inside>>>;

fn is_known(headers: &HeaderMap) -> bool {
    headers.get("x-tally-secret").is_some_and(|shown| shown == SECRET)
}

async fn stat(State(inside): Shared, headers: HeaderMap) -> (StatusCode, String) {
    let inside = inside.lock().expect("nobody panicked");
    match (inside.is_away, is_known(&headers)) {
        (true, _) => return (StatusCode::BAD_GATEWAY, String::new()),
        (_, false) => return (StatusCode::FORBIDDEN, String::new()),
        _ => {}
    }
    let stream = |(name, connection): &(String, i64)| {
        format!(
            "<stream><name>{name}</name>{}<client><id>{}</id><address>relay</address></client>\
             <client><id>{connection}</id><publishing/><active/></client></stream>",
            inside.media,
            connection + 1,
        )
    };
    let streams: String = inside.publishers.iter().map(stream).collect();
    let xml = format!(
        "<rtmp><pid>{}</pid><server><application><name>live</name><live>{streams}</live></application></server></rtmp>",
        inside.worker
    );
    (StatusCode::OK, xml)
}

async fn drop_publisher(
    State(inside): Shared,
    headers: HeaderMap,
    Query(asked): Query<HashMap<String, String>>,
) -> (StatusCode, String) {
    let mut inside = inside.lock().expect("nobody panicked");
    if inside.is_away || !is_known(&headers) || asked.get("app").map(String::as_str) != Some("live") {
        return (StatusCode::FORBIDDEN, String::new());
    }
    let name = asked.get("name").cloned().unwrap_or_default();
    let connection = asked.get("clientid").map(|id| id.parse().expect("a number"));
    let before = inside.publishers.len();
    inside.publishers.retain(|(there, number)| *there != name || connection.is_some_and(|id| id != *number));
    let dropped = u32::try_from(before - inside.publishers.len()).expect("a few");
    inside.drops.push((name, connection));
    (StatusCode::OK, inside.answers.unwrap_or(dropped).to_string())
}

/// Somebody who sends video over an RTMP connection, as nginx reports it.
#[derive(Clone)]
pub(crate) struct Publisher {
    pub(crate) key: String,
    pub(crate) connection: i64,
}

impl Publisher {
    pub(crate) fn form(&self, call: &str, rest: &str) -> String {
        format!(
            "app=live&flashver=FMLE/3.0%20(compatible%3B%20Lavf59.27&swfurl=&tcurl=rtmp://127.0.0.1:1935/live&pageurl=\
             &addr=127.0.0.1&clientid={}&call={call}{rest}",
            self.connection
        )
    }

    /// It comes: the status, and the name that it is to go by.
    pub(crate) async fn publish(&self, site: &Site) -> (u16, Option<String>) {
        let form = self.form("publish", &format!("&name={}&type=live", self.key));
        site.callback("publish", &form).await
    }

    /// It reports how far its media have come; the status.
    pub(crate) async fn update(&self, site: &Site, media_time: u64) -> u16 {
        let rest = format!("&time=5&timestamp={media_time}&name={}", self.key);
        site.callback("update", &self.form("update_publish", &rest)).await.0
    }

    /// It leaves; the status.
    pub(crate) async fn done(&self, site: &Site) -> u16 {
        let form = self.form("publish_done", &format!("&name={}", self.key));
        site.callback("publish-done", &form).await.0
    }
}

/// A site with an nginx, a streamer, and a channel of hers.
pub(crate) struct Stage {
    pub(crate) site: Site,
    pub(crate) nginx: Nginx,
    pub(crate) owner: Actor,
    pub(crate) channel: Value,
    /// Where the log ended before anything happened.
    pub(crate) start: Position,
}

impl Stage {
    pub(crate) async fn set() -> Self {
        Self::with(&[], json!({})).await
    }

    /// With these flags, and the channel made with these inputs.
    pub(crate) async fn with(flags: &[&str], channel: Value) -> Self {
        let nginx = Nginx::start().await;
        let url = nginx.url();
        let mut site = Site::with(&[&["--nginx-control", &url], flags].concat()).await;
        // As long as it has not listened, the sweeper gives leases anew.
        site.sweeper.sweep().await.expect("swept");
        let owner = site.actor("mia", Role::Streamer).await;
        let channel = owner.channel("One", channel).await;
        let start = site.store.log_end().await.expect("a log");
        Self { site, nginx, owner, channel, start }
    }

    pub(crate) fn loc(&self) -> String {
        self.channel["loc"].as_str().expect("a loc").to_owned()
    }

    /// The channel's publisher over that connection.
    pub(crate) fn publisher(&self, connection: i64) -> Publisher {
        Publisher { key: self.channel["key"].as_str().expect("a key").to_owned(), connection }
    }

    /// One that is let in and that nginx lists.
    pub(crate) async fn on_the_air(&self, connection: i64) -> Publisher {
        let publisher = self.publisher(connection);
        let (status, name) = publisher.publish(&self.site).await;
        assert_eq!(status, 302);
        self.nginx.inside().publishers.push((name.expect("a name"), connection));
        publisher
    }

    /// Lets seconds pass one by one, with a sweep after each, as the process does.
    pub(crate) async fn pass(&mut self, seconds: u32) {
        for _ in 0..seconds {
            self.site.clock.advance(Duration::from_secs(1));
            self.site.sweeper.sweep().await.expect("swept");
        }
    }

    /// What the log says happened since the start, in words.
    pub(crate) async fn log(&self) -> Vec<String> {
        let read = self.site.store.events_after(self.start, 10_000).await.expect("a log");
        let Backlog::Events(events) = read else { panic!("the log was trimmed") };
        let words = |event: tally::store::Event| match event.reason {
            Some(reason) => format!("{}: {}", event.kind.word(), reason.word()),
            None => event.kind.word().to_owned(),
        };
        events.into_iter().map(words).collect()
    }

    /// What viewers see on the channel: the stream on the air, or null.
    pub(crate) async fn stream(&self) -> Value {
        let query = "query ($loc: UUID!) { channel(loc: $loc) { stream { id uuid state name } } }";
        let found = self.site.anonymous().data(query, json!({"loc": self.channel["loc"]})).await;
        found["channel"]["stream"].clone()
    }

    /// Its state, `"OFF"` when there is none.
    pub(crate) async fn state(&self) -> String {
        self.stream().await["state"].as_str().unwrap_or("OFF").to_owned()
    }

    /// A mutation of the channel by `actor`, whose input names it `field`.
    pub(crate) async fn change(&self, actor: &Actor, mutation: &str, field: &str, selection: &str) -> Value {
        let kind = format!("{}{}Input", mutation[..1].to_uppercase(), &mutation[1..]);
        let document =
            format!("mutation ($input: {kind}!) {{ {mutation}(input: $input) {{ {selection} }} }}");
        actor.ask(&document, json!({"input": {field: self.channel["id"]}})).await
    }
}

/// Waits until something holds that comes about by itself.
pub(crate) async fn eventually(what: &str, mut holds: impl AsyncFnMut() -> bool) {
    for _ in 0..1000 {
        if holds().await {
            return;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    panic!("it never came about that {what}");
}
