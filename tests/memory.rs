//! What viewers and subscribers take of the process's memory. A binary of its own, so that nothing else grows beside.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use async_graphql::{Request, Response, ServerError};
use chrono::DateTime;
use futures_util::stream::{self, BoxStream, StreamExt};
use serde_json::json;
use tally::ambient::{Chance, Clock};
use tally::http::{self, Answers, Asked, Public, Sharing, Told, serve};
use tally::lifecycle::Lifecycle;
use tally::realtime::{Keeps, Presence, Session};
use tally::store::{Airing, ChannelId, Counts, Loc, StreamId};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Mutex;
use uuid::Uuid;

/// The tests of this file measure the same process.
static ONE_AT_A_TIME: Mutex<()> = Mutex::const_new(());
/// Few enough for the files that a process may have open.
const SUBSCRIBERS: usize = 400;
const CHANNELS: u32 = 10_000;
const SESSIONS: u32 = 1_000_000;
/// The bound, with everything around a session counted in: its channel's share, the allocator's.
const MOST: usize = 64;

/// The process's memory in bytes, as the system counts it.
fn memory() -> usize {
    let status = std::fs::read_to_string("/proc/self/status").expect("Linux");
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).expect("a line");
    let kilobytes: usize = line.trim().trim_end_matches(" kB").parse().expect("a number");
    kilobytes * 1024
}

#[test]
fn a_million_sessions_take_at_most_64_bytes_each_while_they_last_and_after() {
    let _alone = ONE_AT_A_TIME.blocking_lock();
    let clock = Clock::manual(DateTime::UNIX_EPOCH);
    let presence = Presence::new(clock.clone(), Duration::from_secs(12));
    let loc = |channel: u32| Loc(Uuid::from_u64_pair(0, u64::from(channel)));
    let before = memory();
    for loc in (0..CHANNELS).map(loc) {
        let (stream, channel) = (StreamId(Uuid::nil()), ChannelId(Uuid::nil()));
        presence.open(Airing { stream, channel, loc, protected: false }, Counts::default());
    }
    let ask = || {
        for viewer in 0..SESSIONS {
            let session = Session::Rtmp { node: "local", connection: i64::from(viewer) };
            presence.touch(loc(viewer % CHANNELS), &session);
            if viewer % (SESSIONS / 40) == 0 {
                clock.advance(Duration::from_millis(250));
                presence.publish();
            }
        }
    };
    let each = || (memory() - before) / SESSIONS as usize;
    ask();
    let come = each();
    ask();
    let stay = each();
    assert_eq!(presence.size(), (CHANNELS, i32::try_from(SESSIONS).expect("fits")));
    clock.advance(Duration::from_secs(20));
    presence.publish();
    assert_eq!(presence.size(), (CHANNELS, 0));
    let gone = each();
    println!(
        "bytes a session: {come} when all have come, {stay} while they stay, {gone} when they have gone"
    );
    assert!(come.max(stay).max(gone) <= MOST, "{come}, {stay}, {gone}");
}

/// A graph whose one subscription is silent.
#[derive(Clone)]
struct Silent;

impl Answers for Silent {
    type Requester = ();

    fn is_anonymous((): &()) -> bool {
        true
    }

    async fn requester(&self, _: Option<&str>) -> Result<(), ServerError> {
        Ok(())
    }

    async fn outdated(&self, requesters: &[Arc<()>]) -> Option<Vec<bool>> {
        Some(vec![false; requesters.len()])
    }

    async fn execute(&self, _: Request, (): &()) -> Response {
        Response::default()
    }

    fn told(&self) -> Option<i64> {
        None
    }

    fn sharing(&self, _: &Asked) -> Sharing {
        Sharing { is_public: true, keeps: Keeps::Newest }
    }

    fn subscribe(&self, _: Asked, (): &()) -> BoxStream<'static, Told> {
        stream::pending().boxed()
    }

    async fn unready(&self) -> Option<String> {
        None
    }
}

/// A subscriber that keeps nothing itself.
async fn subscriber(address: SocketAddr, document: &str) -> TcpStream {
    let mut socket = TcpStream::connect(address).await.expect("a connection");
    let upgrade = format!(
        "GET /graphql HTTP/1.1\r\nHost: {address}\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
         Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\
         Sec-WebSocket-Protocol: graphql-transport-ws\r\n\r\n"
    );
    socket.write_all(upgrade.as_bytes()).await.expect("sent");
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(socket.read_u8().await.expect("an answer"));
    }
    let subscribe = json!({"id": "1", "type": "subscribe", "payload": {"query": document}});
    say(&mut socket, r#"{"type":"connection_init"}"#).await;
    hear(&mut socket).await;
    say(&mut socket, &subscribe.to_string()).await;
    // Answered behind the subscription, which has begun then.
    say(&mut socket, r#"{"type":"ping"}"#).await;
    hear(&mut socket).await;
    socket
}

/// Sends a short text, masked with zeros.
async fn say(socket: &mut TcpStream, text: &str) {
    let mut frame = vec![0x81, 0x80 | 126];
    frame.extend_from_slice(&u16::try_from(text.len()).expect("short").to_be_bytes());
    frame.extend_from_slice(&[0; 4]);
    frame.extend_from_slice(text.as_bytes());
    socket.write_all(&frame).await.expect("sent");
}

/// Waits for a short frame.
async fn hear(socket: &mut TcpStream) {
    socket.read_u8().await.expect("a frame");
    let length = socket.read_u8().await.expect("its length");
    let mut rest = vec![0; usize::from(length)];
    socket.read_exact(&mut rest).await.expect("the rest");
}

#[tokio::test]
async fn an_idle_subscriber_takes_little_and_least_among_equals() {
    let _alone = ONE_AT_A_TIME.lock().await;
    let lifecycle = Lifecycle::default();
    let tasks = lifecycle.tasks().clone();
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let address = listener.local_addr().expect("an address");
    let public =
        Public::new(Silent, tasks.clone(), Clock::system(), Chance::system(), "http://tally.example");
    tasks.keep("public", serve(listener, http::public(public), tasks.clone()));
    let own = |number: usize| format!("subscription {{ silence(number: {number}) }}");
    // What is grown once is grown before.
    let mut sockets = vec![subscriber(address, &own(0)).await];
    for (equal, most) in [(true, 4), (false, 8)] {
        let before = memory();
        for number in 0..SUBSCRIBERS {
            let document = if equal { "subscription { silence }".to_owned() } else { own(number + 1) };
            sockets.push(subscriber(address, &document).await);
        }
        let each = memory().saturating_sub(before) / SUBSCRIBERS;
        println!("bytes an idle subscriber: {each}{}", if equal { ", all equal" } else { ", each its own" });
        assert!(each <= most * 1024, "{each}");
    }
}
