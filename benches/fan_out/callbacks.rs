//! Publishers that come while everybody is being told of events: how long nginx, and so each of them, waits to be let
//! in. Only Tally has this.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::process::Stdio;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::ground::Ground;
use crate::subject::Running;

/// How many publishers come.
const PUBLISHERS: usize = 100;
/// Between two of them.
const PACE: Duration = Duration::from_millis(50);
/// The first of nginx's numbers for their connections.
const FIRST_CONNECTION: usize = 100;

/// Publishers who are about to come.
pub(crate) struct Publishers {
    internal: SocketAddr,
    secret: String,
    keys: Vec<String>,
}

impl Publishers {
    /// A streamer with a channel for each, made through the API.
    pub(crate) fn prepare(ground: &Ground, running: &Running, round: usize) -> Self {
        let handle = format!("streamer_{round}");
        let password = "the password of a benchmark";
        let mut create = ground.tally("user");
        create.args(["create", "--handle", &handle, "--role", "streamer"]).stdin(Stdio::piped());
        let mut create = create.stderr(Stdio::null()).spawn().expect("a process");
        create.stdin.take().expect("a pipe").write_all(password.as_bytes()).expect("room for a password");
        assert!(create.wait().expect("a status").success());
        let sign_in = "mutation ($input: SignInInput!) { signIn(input: $input) { token } }";
        let input = json!({"handle": handle, "password": password});
        let token = graphql(running.server, None, sign_in, &input)["signIn"]["token"].clone();
        let create = "mutation ($input: CreateChannelInput!) { createChannel(input: $input) { channel { ingest { \
            streamKey } } } }";
        let keys = (0..PUBLISHERS).map(|number| {
            let input = json!({"name": format!("Published {number}")});
            let made = graphql(running.server, token.as_str(), create, &input);
            let key = &made["createChannel"]["channel"]["ingest"]["streamKey"];
            key.as_str().expect("a key").to_owned()
        });
        let keys = keys.collect();
        let secret = std::fs::read_to_string(ground.directory.path().join("secrets/internal.secret"));
        let secret = secret.expect("the product has made it").trim().to_owned();
        Self { internal: running.internal, secret, keys }
    }

    /// They come one after the other; how long each has waited, in milliseconds, in ascending order.
    pub(crate) fn come(&self) -> Vec<f64> {
        let began = Instant::now();
        let mut waits = Vec::new();
        for (number, key) in (0u32..).zip(&self.keys) {
            let due = began + PACE * number;
            std::thread::sleep(due.saturating_duration_since(Instant::now()));
            let connection = FIRST_CONNECTION + number as usize;
            let form =
                format!("app=live&addr=127.0.0.1&clientid={connection}&call=publish&name={key}&type=live");
            let headers = format!("X-Tally-Secret: {}\r\nX-Tally-Node: local\r\n", self.secret);
            let asked = Instant::now();
            let answer = post(self.internal, "/rtmp/publish", &headers, &form);
            waits.push(asked.elapsed().as_secs_f64() * 1000.0);
            assert!(answer.starts_with("HTTP/1.1 302"), "{answer}");
        }
        waits.sort_by(f64::total_cmp);
        waits
    }
}

fn graphql(server: SocketAddr, token: Option<&str>, query: &str, input: &Value) -> Value {
    let body = json!({"query": query, "variables": {"input": input}}).to_string();
    let bearer = token.map(|token| format!("Authorization: Bearer {token}\r\n")).unwrap_or_default();
    let answer = post(server, "/graphql", &format!("Content-Type: application/json\r\n{bearer}"), &body);
    let (_, body) = answer.split_once("\r\n\r\n").expect("a body");
    let mut json: Value = serde_json::from_str(body).unwrap_or_else(|error| panic!("{error}: {answer}"));
    json["data"].take()
}

/// The whole answer.
fn post(address: SocketAddr, path: &str, headers: &str, body: &str) -> String {
    let mut stream = TcpStream::connect(address).expect("a connection");
    let head = format!("POST {path} HTTP/1.1\r\nHost: bench\r\nConnection: close\r\n{headers}");
    let request = format!("{head}Content-Length: {}\r\n\r\n{body}", body.len());
    stream.write_all(request.as_bytes()).expect("sent");
    let mut answer = String::new();
    stream.read_to_string(&mut answer).expect("an answer");
    answer
}
