//! A whole API of a test's own: the real routers on real sockets, a database cloned from a migrated template, a
//! clock that stands still until the test moves it, and actors who act through the API alone.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering};

use chrono::{DateTime, Utc};
use clap::Parser;
use diesel_async::{AsyncConnection, AsyncPgConnection, SimpleAsyncConnection};
use serde_json::{Value, json};
use tally::ambient::{Chance, Clock};
use tally::auth::{Passwords, Secrets};
use tally::command::api::{Api, Ground};
use tally::config::{DatabaseUrl, Settings};
use tally::http;
use tally::ingest::{Ingest, Sweeper};
use tally::lifecycle::Lifecycle;
use tally::realtime::Presence;
use tally::store::{Created, Deed, NewUser, Role, Store, UserId};
use tokio::net::TcpListener;
use tokio::sync::OnceCell;

/// What nginx shows the internal door in tests.
pub(crate) const SECRET: &str = "the-secret-of-tests";
const TEMPLATE: &str = "tally_template";

/// A running API and everything a test may want to touch of it.
pub(crate) struct Site {
    pub(crate) store: Store,
    pub(crate) url: DatabaseUrl,
    pub(crate) clock: Clock,
    pub(crate) ingest: Ingest,
    pub(crate) presence: Presence,
    pub(crate) sweeper: Sweeper,
    pub(crate) public: SocketAddr,
    pub(crate) internal: SocketAddr,
    pub(crate) client: reqwest::Client,
    pub(crate) lifecycle: Lifecycle,
    chance: Chance,
    pub(crate) passwords: Passwords,
    _data: tempfile::TempDir,
}

/// The command line's own settings, so that tests run with the product's defaults.
#[derive(Parser)]
struct Line {
    #[command(flatten)]
    settings: Settings,
}

impl Site {
    /// One with the product's defaults.
    pub(crate) async fn start() -> Self {
        Self::with(&[]).await
    }

    /// One told otherwise, for instance `["--reconnect-window", "0s"]`.
    pub(crate) async fn with(flags: &[&str]) -> Self {
        let data = tempfile::tempdir().expect("a directory");
        let url = database().await;
        let store = Store::new(url.clone()).expect("a store");
        let clock = Clock::manual("2026-11-23T12:00:00Z".parse::<DateTime<Utc>>().expect("a moment"));
        let (chance, lifecycle) = (Chance::system(), Lifecycle::default());
        let passwords = Passwords::cheap(chance.clone()).expect("passwords");
        let mut settings = Line::parse_from([&["test"], flags].concat()).settings;
        settings.data_dir = data.path().to_owned();
        let ground = Ground {
            store: store.clone(),
            secrets: Secrets::of_test([7; 32], SECRET),
            clock: clock.clone(),
            chance: chance.clone(),
            passwords: passwords.clone(),
        };
        let tasks = lifecycle.tasks().clone();
        let api = Api::new(&settings, ground, &tasks).await.expect("an API");
        let mut addresses = Vec::new();
        for (name, routes) in [("public", api.public), ("internal", api.internal)] {
            let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
            addresses.push(listener.local_addr().expect("an address"));
            let serving = http::serve(listener, routes, tasks.clone());
            tasks.keep(name, serving);
        }
        Self {
            store,
            url,
            clock,
            sweeper: Sweeper::new(api.ingest.clone()),
            ingest: api.ingest,
            presence: api.presence,
            public: addresses[0],
            internal: addresses[1],
            client: tally::ambient::http_client().build().expect("a client"),
            lifecycle,
            chance,
            passwords,
            _data: data,
        }
    }

    /// Where media files lie.
    pub(crate) fn media(&self) -> PathBuf {
        self._data.path().join("media")
    }

    /// Nobody in particular.
    pub(crate) fn anonymous(&self) -> Actor {
        Actor { client: self.client.clone(), public: self.public, token: None, handle: String::new() }
    }

    /// What nobody in particular is told who sends exactly this.
    pub(crate) async fn answer(&self, query: &str, variables: Value) -> Value {
        let request = self.client.post(format!("http://{}/graphql", self.public));
        let request = request.header("content-type", "application/json");
        let body = json!({"query": query, "variables": variables}).to_string();
        let text = request.body(body).send().await.expect("an answer").text().await.expect("a body");
        serde_json::from_str(&text).unwrap_or_else(|_| panic!("not JSON: {text}"))
    }

    /// Somebody new with that role, signed in.
    pub(crate) async fn actor(&self, handle: &str, role: Role) -> Actor {
        let password = format!("password of {handle}");
        let password_hash = self.passwords.hash(password.as_str().into()).await.expect("a hash");
        let now = self.clock.now();
        let new = NewUser {
            id: UserId(self.chance.id(now)),
            handle,
            display_name: handle,
            role,
            password_hash: &password_hash,
            created_at: now,
        };
        let Ok(Created::Made(_)) = self.store.create_user(&new, &self.deed()).await else {
            panic!("{handle} is taken")
        };
        let actor = Actor { handle: handle.to_owned(), ..self.anonymous() };
        actor.again(self).await
    }

    /// Something that the operator does.
    pub(crate) fn deed(&self) -> Deed {
        Deed::of_operator(&self.clock, &self.chance)
    }

    /// A callback of nginx; its status, and the name that it was redirected to.
    pub(crate) async fn callback(&self, path: &str, form: &str) -> (u16, Option<String>) {
        self.callback_from("", path, form).await
    }

    /// The same from a worker that says which one it is.
    pub(crate) async fn callback_from(&self, worker: &str, path: &str, form: &str) -> (u16, Option<String>) {
        let client = tally::ambient::http_client().redirect(reqwest::redirect::Policy::none());
        let request = client.build().expect("a client").post(format!("http://{}/rtmp/{path}", self.internal));
        let request = request.header("X-Tally-Secret", SECRET).header("X-Tally-Node", "local");
        let request = request.header("X-Tally-Worker", worker);
        let answer = request.body(form.to_owned()).send().await.expect("an answer");
        let name = answer.headers().get("location").and_then(|name| name.to_str().ok()).map(str::to_owned);
        (answer.status().as_u16(), name)
    }
}

/// Somebody who uses the API.
#[derive(Clone)]
pub(crate) struct Actor {
    client: reqwest::Client,
    public: SocketAddr,
    pub(crate) token: Option<String>,
    pub(crate) handle: String,
}

impl Actor {
    /// The whole answer to a document.
    pub(crate) async fn ask(&self, query: &str, variables: Value) -> Value {
        let text = self.text(query, variables).await;
        serde_json::from_str(&text).unwrap_or_else(|_| panic!("not JSON: {text}"))
    }

    /// The same, byte for byte.
    pub(crate) async fn text(&self, query: &str, variables: Value) -> String {
        let mut request = self.client.post(format!("http://{}/graphql", self.public));
        request = request.header("content-type", "application/json");
        if let Some(token) = &self.token {
            request = request.header("authorization", format!("Bearer {token}"));
        }
        let body = unlike_any(query, variables);
        request.body(body).send().await.expect("an answer").text().await.expect("a body")
    }

    /// The data of an answer that must have no errors.
    pub(crate) async fn data(&self, query: &str, variables: Value) -> Value {
        let answer = self.ask(query, variables).await;
        assert_eq!(answer["errors"], Value::Null, "{query}");
        answer["data"].clone()
    }

    /// The first error's code, and its field if it names one.
    pub(crate) async fn error(&self, query: &str, variables: Value) -> (String, Option<String>) {
        let answer = self.ask(query, variables).await;
        let extensions = &answer["errors"][0]["extensions"];
        let word = |name: &str| extensions[name].as_str().map(str::to_owned);
        (word("code").unwrap_or_else(|| panic!("no error: {answer}")), word("field"))
    }

    /// Makes a channel with these inputs besides its name; `{id, loc, key}` and the rest of it.
    pub(crate) async fn channel(&self, name: &str, rest: Value) -> Value {
        let mut input = json!({"name": name});
        for (field, value) in rest.as_object().into_iter().flatten() {
            input[field] = value.clone();
        }
        let made = self
            .data(
                "mutation ($input: CreateChannelInput!) { createChannel(input: $input) { channel {
                    id loc name protected ingest { serverUrl streamKey } } } }",
                json!({"input": input}),
            )
            .await;
        let mut channel = made["createChannel"]["channel"].clone();
        channel["key"] = channel["ingest"]["streamKey"].clone();
        channel
    }
}

/// A request's body that is equal to none before, so that it is executed: the clock stands still, and what equal ones
/// are told is a story of its own.
pub(crate) fn unlike_any(query: &str, variables: Value) -> String {
    static NUMBER: AtomicU64 = AtomicU64::new(0);
    let number = NUMBER.fetch_add(1, Ordering::Relaxed);
    json!({"query": query, "variables": variables, "number": number}).to_string()
}

/// The URL of a fresh database, cloned from a template that was migrated once for this run of the suite.
pub(crate) async fn database() -> DatabaseUrl {
    static TEMPLATED: OnceCell<()> = OnceCell::const_new();
    static NUMBER: AtomicU64 = AtomicU64::new(0);
    TEMPLATED
        .get_or_init(|| async {
            execute(&format!("DROP DATABASE IF EXISTS {TEMPLATE}")).await;
            execute(&format!("CREATE DATABASE {TEMPLATE}")).await;
            Store::new(url_of(TEMPLATE)).expect("a store").migrate().await.expect("migrated");
        })
        .await;
    let name = format!("tally_{}_{}", std::process::id(), NUMBER.fetch_add(1, Ordering::Relaxed));
    execute(&format!("CREATE DATABASE {name} TEMPLATE {TEMPLATE}")).await;
    url_of(&name)
}

/// An empty database, without even a schema.
pub(crate) async fn empty_database() -> DatabaseUrl {
    static NUMBER: AtomicU64 = AtomicU64::new(0);
    let name = format!("tally_empty_{}_{}", std::process::id(), NUMBER.fetch_add(1, Ordering::Relaxed));
    execute(&format!("CREATE DATABASE {name}")).await;
    url_of(&name)
}

fn server() -> String {
    std::env::var("TALLY_TEST_DATABASE_URL")
        .expect("run the tests with `make test`, or with `script/with-postgres cargo test`")
}

fn url_of(database: &str) -> DatabaseUrl {
    let server = server();
    let (host, _) = server.rsplit_once('/').expect("a URL with a database");
    format!("{host}/{database}").parse().expect("a database URL")
}

async fn execute(statement: &str) {
    static ONE_AT_A_TIME: tokio::sync::Mutex<()> = tokio::sync::Mutex::const_new(());
    // CREATE DATABASE … TEMPLATE wants nobody else in the template, another copy included.
    let _turn = ONE_AT_A_TIME.lock().await;
    let mut connection = AsyncPgConnection::establish(&server()).await.expect("PostgreSQL answers");
    connection.batch_execute(statement).await.expect(statement);
}

impl Actor {
    /// The same, signed in anew.
    pub(crate) async fn again(&self, site: &Site) -> Self {
        let input = json!({"handle": self.handle, "password": format!("password of {}", self.handle)});
        let sign_in = "mutation ($input: SignInInput!) { signIn(input: $input) { token } }";
        let answer = site.anonymous().data(sign_in, json!({"input": input})).await;
        self.with_token(answer["signIn"]["token"].as_str().expect("a token"))
    }

    /// The same, speaking with another session's token.
    pub(crate) fn with_token(&self, token: &str) -> Self {
        Self { token: Some(token.to_owned()), ..self.clone() }
    }
}

/// Another API over a site's database and clock: the same one after a restart, or one beside it.
pub(crate) struct Again {
    pub(crate) presence: Presence,
    pub(crate) public: SocketAddr,
    pub(crate) lifecycle: Lifecycle,
}

impl Site {
    /// Starts an API over what this one stands on; it knows nothing that is not in the database.
    pub(crate) async fn again(&self) -> Again {
        let lifecycle = Lifecycle::default();
        let mut settings = Line::parse_from(["test"]).settings;
        settings.data_dir = self._data.path().to_owned();
        let ground = Ground {
            store: Store::new(self.url.clone()).expect("a store"),
            secrets: Secrets::of_test([7; 32], SECRET),
            clock: self.clock.clone(),
            chance: self.chance.clone(),
            passwords: self.passwords.clone(),
        };
        let tasks = lifecycle.tasks().clone();
        let api = Api::new(&settings, ground, &tasks).await.expect("an API");
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let public = listener.local_addr().expect("an address");
        tasks.keep("public", http::serve(listener, api.public, tasks.clone()));
        Again { presence: api.presence, public, lifecycle }
    }
}

/// Closes every other connection to a site's database, as a crash of PostgreSQL does.
pub(crate) async fn close_all_connections(url: &DatabaseUrl) {
    let mut connection = AsyncPgConnection::establish(url.reveal()).await.expect("PostgreSQL answers");
    let terminate = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity \
        WHERE datname = current_database() AND pid <> pg_backend_pid()";
    connection.batch_execute(terminate).await.expect("closed");
}
