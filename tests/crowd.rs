//! A hostile crowd, which subscribes and never reads: what it takes of the process's memory, and of an honest client. A
//! binary of its own, so that nothing else grows beside.

mod small;

use std::io::{BufRead, BufReader, Read};
use std::net::SocketAddr;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use tally::ambient::{Chance, Clock};
use tally::http::{self, Patience, Public, serve};
use tally::lifecycle::Lifecycle;
use tokio::io::AsyncReadExt;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Mutex, broadcast};
use tokio::time::timeout;

use small::{Small, memory, subscriber};

/// The tests of this file measure the same process.
static ONE_AT_A_TIME: Mutex<()> = Mutex::const_new(());
/// How many events: more than what the system and we keep for somebody who reads nothing.
const EVENTS: usize = 500;
/// Where the crowd is to go, and how many it is; they are in a process of their own, which may open as many files.
const CROWD: [&str; 2] = ["CROWD_AT", "CROWD_OF"];

/// Subscribes and never reads.
fn crowd(address: SocketAddr, size: usize) -> Child {
    let itself = std::env::current_exe().expect("this program");
    let mut child = Command::new(itself)
        .args(["--exact", "a_crowd_comes_and_reads_nothing", "--ignored", "--nocapture"])
        .env(CROWD[0], address.to_string())
        .env(CROWD[1], size.to_string())
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("a crowd");
    let mut lines = BufReader::new(child.stdout.take().expect("its words")).lines();
    assert!(lines.any(|line| line.expect("a line").ends_with("here")), "all have come");
    child
}

#[tokio::test]
#[ignore = "it is the other side of those below"]
async fn a_crowd_comes_and_reads_nothing() {
    let [Ok(address), Ok(size)] = CROWD.map(std::env::var) else { return };
    let mut sockets = Vec::new();
    for _ in 0..size.parse().expect("a number") {
        sockets.push(subscriber(address.parse().expect("an address"), "subscription { news }").await);
    }
    println!("here");
    // Until the other side has seen enough.
    let _ = std::io::stdin().read(&mut [0]);
}

/// The number that an honest subscriber is told next.
async fn told(socket: &mut TcpStream) -> usize {
    let mut head = [0; 2];
    while head != [0x81, 126] {
        socket.read_exact(&mut head).await.expect("a frame");
        assert!([[0x81, 126], [0x89, 0]].contains(&head), "an event, or a ping");
    }
    let mut text = vec![0; socket.read_u16().await.expect("its length").into()];
    socket.read_exact(&mut text).await.expect("the rest");
    let text = String::from_utf8(text).expect("a text");
    let number = text.trim_end_matches('}').trim_end_matches('"').rsplit('x').next();
    number.and_then(|number| number.parse().ok()).unwrap_or_else(|| panic!("no number: {text}"))
}

fn open_files() -> usize {
    std::fs::read_dir("/proc/self/fd").expect("Linux").count()
}

/// A crowd that never reads beside somebody who does. The most memory that it took.
async fn beside_a_crowd_of(size: usize, patience: Patience) -> usize {
    let _alone = ONE_AT_A_TIME.lock().await;
    let lifecycle = Lifecycle::default();
    let tasks = lifecycle.tasks().clone();
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let address = listener.local_addr().expect("an address");
    let news = broadcast::Sender::new(16);
    let graph = Small(Some(news.clone()));
    let public = Public::new(graph, tasks.clone(), Clock::system(), Chance::system(), "http://tally.example");
    let public = http::public(public.with_patience(patience));
    tasks.keep("public", serve(listener, public, tasks.clone()));
    let mut honest = subscriber(address, "subscription { news }").await;
    let mut child = tokio::task::spawn_blocking(move || crowd(address, size)).await.expect("a crowd");
    let (before, mut most) = (memory(), 0);
    assert!(open_files() > size);
    for number in 1..=EVENTS {
        news.send(number).expect("somebody listens");
        let heard = timeout(Duration::from_secs(60), told(&mut honest)).await;
        assert_eq!(heard.expect("it is told"), number, "everything, once, in order");
        most = most.max(memory().saturating_sub(before));
    }
    let dropped = async {
        while open_files() > size / 10 + 50 {
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    };
    timeout(Duration::from_secs(120), dropped).await.expect("who does not read is dropped");
    child.kill().expect("killed");
    child.wait().expect("gone");
    most
}

#[tokio::test(flavor = "multi_thread")]
async fn a_crowd_that_never_reads_takes_no_more_than_its_share_and_nothing_from_who_does() {
    let patience = Patience { write: Duration::from_secs(2), ..Patience::default() };
    let most = beside_a_crowd_of(400, patience).await;
    println!("{} KiB each at most", most / 1024 / 400);
    assert!(most < 400 * 400 * 1024, "{most}");
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "by hand, with 10,100 files that may be open"]
async fn ten_thousand_that_never_read_take_no_more_than_what_may_wait_for_all() {
    let most = beside_a_crowd_of(10_000, Patience::default()).await;
    println!("{} KiB each at most", most / 1024 / 10_000);
    assert!(most < 384 * 1024 * 1024, "{most}");
}
