//! What counting viewers costs, side by side with the least that it could cost, in one run:
//!
//!     script/with-postgres cargo bench --bench presence
//!
//! The load comes from a process of its own, this program called again, so that the processor time here is the
//! server's alone; what PostgreSQL takes for itself is in none of the figures. Each figure is the median of
//! interleaved rounds, with the least and the most.

#![expect(
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "a bench that cannot go on has failed; it prints"
)]

mod load;
mod rivals;

use std::net::SocketAddr;
use std::process::Stdio;
use std::time::Duration;

use clap::Parser;
use rustix::time::{ClockId, clock_gettime};
use tally::ambient::{Chance, Clock};
use tally::auth::{Keyring, Passwords, Secrets};
use tally::command::api::{Api, Ground};
use tally::config::Settings;
use tally::http;
use tally::lifecycle::Lifecycle;
use tally::media::PlaybackTokens;
use tally::realtime::{Presence, Session, listen};
use tally::store::{
    Airing, ChannelId, Connection, Counts, Created, Deed, Loc, NewChannel, NewUser, Role, Store, StreamId,
    UserId,
};
use tokio::net::{TcpListener, UdpSocket};
use tokio::process::Command;
use uuid::Uuid;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

const ROUNDS: usize = 5;
const CHANNELS: u32 = 10_000;
const SESSIONS: u32 = 1_000_000;
/// Reports of playlists a round, sent in bursts.
const REPORTS: u32 = 1_000_000;
const BURST: u32 = 5_000;
/// Questions of nginx a round.
const QUESTIONS: u32 = 30_000;
const SECRET: &str = "the-secret-of-benches";
const AGENT: &str = "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/126.0.0.0";

/// A line of the table: a figure of each round.
struct Line {
    what: &'static str,
    unit: &'static str,
    figures: Vec<f64>,
}

#[derive(Default)]
struct Table(Vec<Line>);

impl Table {
    fn note(&mut self, what: &'static str, unit: &'static str, figure: f64) {
        match self.0.iter_mut().find(|line| line.what == what) {
            Some(line) => line.figures.push(figure),
            None => self.0.push(Line { what, unit, figures: vec![figure] }),
        }
    }

    fn print(mut self) {
        println!("| what | median | from | to | |\n| --- | ---: | ---: | ---: | --- |");
        for Line { what, unit, figures } in &mut self.0 {
            figures.sort_by(f64::total_cmp);
            let (least, most) = (figures[0], figures[figures.len() - 1]);
            let shown = |figure: f64| {
                if figure >= 1000.0 || figure.fract() == 0.0 {
                    format!("{figure:.0}")
                } else {
                    format!("{figure:.2}")
                }
            };
            let median = figures[figures.len() / 2];
            println!("| {what} | {} | {} | {} | {unit} |", shown(median), shown(least), shown(most));
        }
    }
}

fn main() {
    let words: Vec<String> = std::env::args().collect();
    if load::is_meant(&words) {
        return load::run(&words);
    }
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
    runtime.block_on(measure());
}

async fn measure() {
    println!("load average at the start: {}", load_average());
    let mut table = Table::default();
    let mut site = Site::start().await;
    for _ in 0..ROUNDS {
        sessions(&mut table);
        reports(&mut table).await;
        site.questions(&mut table).await;
    }
    println!("load average at the end: {}\n", load_average());
    table.print();
    site.lifecycle.finish().await;
}

/// Sessions in memory: as they come, and as they ask again.
fn sessions(table: &mut Table) {
    let presence = rooms();
    let before = memory();
    let addresses: Vec<String> = (0..SESSIONS).map(load::address).collect();
    // A stride that is prime to their number meets each once, nowhere near the last.
    let touch = |from: u32, to: u32| {
        for step in from..to {
            let viewer = u64::from(step) * 617_357 % u64::from(SESSIONS);
            let address = addresses[usize::try_from(viewer).unwrap()].as_bytes();
            let channel = u32::try_from(viewer).unwrap() % CHANNELS;
            presence.touch(load::loc(channel), &Session::Player { address, agent: AGENT.as_bytes() });
        }
    };
    let held = memory();
    let clock = Clock::system();
    let begun = clock.elapsed();
    touch(0, SESSIONS);
    table.note("a new session, in memory", "ns", nanoseconds(clock.elapsed() - begun) / f64::from(SESSIONS));
    let grown = memory().saturating_sub(held);
    table.note(
        "memory of a session, its channel's share included",
        "bytes",
        f64::from(u32::try_from(grown).unwrap() / SESSIONS),
    );
    assert!(held >= before);
    let begun = clock.elapsed();
    touch(0, SESSIONS);
    table.note(
        "a known session's touch, in memory",
        "ns",
        nanoseconds(clock.elapsed() - begun) / f64::from(SESSIONS),
    );
    let begun = clock.elapsed();
    std::thread::scope(|scope| {
        scope.spawn(|| touch(0, SESSIONS / 2));
        scope.spawn(|| touch(SESSIONS / 2, SESSIONS));
    });
    table.note(
        "the same from two threads",
        "touches/s",
        f64::from(SESSIONS) / (clock.elapsed() - begun).as_secs_f64(),
    );
    assert_eq!(presence.size(), (CHANNELS, i32::try_from(SESSIONS).unwrap()));
    let begun = clock.elapsed();
    presence.publish();
    table.note("a quarter second's work for all of them", "ms", nanoseconds(clock.elapsed() - begun) / 1e6);
}

/// nginx's datagrams, through a socket.
async fn reports(table: &mut Table) {
    let (mut lifecycle, presence) = (Lifecycle::default(), rooms());
    let socket = UdpSocket::bind("127.0.0.1:0").await.unwrap();
    let to = socket.local_addr().unwrap();
    let secrets = Secrets::of_test([7; 32], SECRET);
    let stop = lifecycle.tasks().stopping();
    let is_secret = move |shown: &[u8]| secrets.is_internal(shown);
    lifecycle.tasks().keep("reports", listen(socket, presence.clone(), is_secret, stop.clone()));
    for what in ["a report by datagram, of a new session", "a report by datagram, of a known session"] {
        let begun = processor();
        load::send(to, REPORTS, BURST).await;
        while queued(to).0 > 0 {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        table.note(what, "µs of processor", microseconds(processor() - begun) / f64::from(REPORTS));
    }
    let (_, lost) = queued(to);
    table.note("lost, of two million in bursts of 5,000", "", f64::from(lost));
    let viewers = presence.size().1;
    assert!(lost > 0 || viewers == i32::try_from(SESSIONS).unwrap(), "{viewers} are counted");
    lifecycle.finish().await;
}

/// An API with a channel on the air, and what it is compared with.
struct Site {
    lifecycle: Lifecycle,
    doors: [(&'static str, SocketAddr, u32); 3],
    token: String,
    loc: Loc,
    _data: tempfile::TempDir,
}

#[derive(Parser)]
struct Flags {
    #[command(flatten)]
    settings: Settings,
}

impl Site {
    async fn start() -> Self {
        let lifecycle = Lifecycle::default();
        let (tasks, chance, clock) = (lifecycle.tasks().clone(), Chance::system(), Clock::system());
        let url = rivals::database().await;
        let store = Store::new(url.clone()).unwrap();
        store.migrate().await.unwrap();
        let data = tempfile::tempdir().unwrap();
        let mut settings = Flags::parse_from(["bench"]).settings;
        settings.data_dir = data.path().to_owned();
        let secrets = || Secrets::of_test([7; 32], SECRET);
        let passwords = Passwords::cheap(chance.clone()).unwrap();
        let ground = Ground {
            store: store.clone(),
            secrets: secrets(),
            clock: clock.clone(),
            chance: chance.clone(),
            passwords,
        };
        let api = Api::new(&settings, ground, &tasks).await.unwrap();
        let loc = broadcast(&store, &api, &chance, &clock).await;
        let keyring = Keyring::new(&secrets(), chance.clone());
        let (token, _) = PlaybackTokens::new(keyring, clock, chance).grant(loc, None, None, None);
        let open = async |routes| {
            let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
            let address = listener.local_addr().unwrap();
            tasks.keep("door", http::serve(listener, routes, tasks.clone()));
            address
        };
        let doors = [
            ("may this token play? a public channel on the air", open(api.internal).await, QUESTIONS),
            ("the same request to a handler over a map", open(rivals::map()).await, QUESTIONS),
            (
                "the same request to a handler with one upsert",
                open(rivals::upsert(&url).await).await,
                QUESTIONS / 5,
            ),
        ];
        Self { lifecycle, doors, token, loc, _data: data }
    }

    async fn questions(&self, table: &mut Table) {
        for (what, door, times) in self.doors {
            let begun = processor();
            load::ask(door, times, &self.token, self.loc).await;
            table.note(what, "µs of processor", microseconds(processor() - begun) / f64::from(times));
        }
    }
}

/// A public channel whose publisher has come.
async fn broadcast(store: &Store, api: &Api, chance: &Chance, clock: &Clock) -> Loc {
    let now = clock.now();
    let (owner_id, id, loc) = (UserId(chance.id(now)), ChannelId(chance.id(now)), Loc(chance.opaque_id()));
    let owner = NewUser {
        id: owner_id,
        handle: "streamer",
        display_name: "Streamer",
        role: Role::Streamer,
        password_hash: "none",
        created_at: now,
    };
    assert!(matches!(
        store.create_user(&owner, &Deed::of_operator(clock, chance)).await.unwrap(),
        Created::Made(_)
    ));
    let (key, sealed) = api.ingest.new_key(id);
    let channel = NewChannel {
        id,
        loc,
        owner_id,
        topic_id: None,
        name: "Bench",
        description: "",
        default_stream_name: "Bench",
        chat_enabled: true,
        record: false,
        clips_enabled: false,
        protected: false,
        key_hash: &sealed.hash,
        key_sealed: &sealed.sealed,
        created_at: now,
        updated_at: now,
    };
    store.create_channel(&channel, None).await.unwrap();
    let publisher = Connection { node: "local".to_owned(), number: 1 };
    api.ingest.publish(publisher, None, key.reveal().as_bytes()).await.unwrap();
    while !api.presence.is_on_the_air(loc) {
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    loc
}

fn rooms() -> Presence {
    let presence = Presence::new(Clock::system(), Duration::from_secs(600));
    for loc in (0..CHANNELS).map(load::loc) {
        let (stream, channel) = (StreamId(Uuid::nil()), ChannelId(Uuid::nil()));
        presence.open(Airing { stream, channel, loc, protected: false }, Counts::default());
    }
    presence
}

/// This process's time on all processors, its own and the system's on its behalf.
fn processor() -> Duration {
    let time = clock_gettime(ClockId::ProcessCPUTime);
    Duration::new(time.tv_sec.try_into().unwrap(), time.tv_nsec.try_into().unwrap())
}

/// Bytes of this process's memory.
fn memory() -> usize {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
    line.trim().trim_end_matches(" kB").parse::<usize>().unwrap() * 1024
}

/// What waits at a UDP socket, and how many datagrams it had no room for.
fn queued(socket: SocketAddr) -> (u64, u32) {
    let sockets = std::fs::read_to_string("/proc/net/udp").unwrap();
    let port = format!(":{:04X}", socket.port());
    let line =
        sockets.lines().find(|line| line.split_whitespace().nth(1).is_some_and(|it| it.ends_with(&port)));
    let fields: Vec<&str> = line.unwrap().split_whitespace().collect();
    let (_, waiting) = fields[4].split_once(':').unwrap();
    (u64::from_str_radix(waiting, 16).unwrap(), fields[12].parse().unwrap())
}

/// Calls this program again, as the one who sends.
async fn elsewhere(words: &[&str]) {
    let program = std::env::current_exe().unwrap();
    let done = Command::new(program).args(words).stdin(Stdio::null()).status().await.unwrap();
    assert!(done.success());
}

fn load_average() -> String {
    let text = std::fs::read_to_string("/proc/loadavg").unwrap();
    text.split(' ').take(3).collect::<Vec<_>>().join(" ")
}

fn nanoseconds(time: Duration) -> f64 {
    time.as_secs_f64() * 1e9
}

fn microseconds(time: Duration) -> f64 {
    time.as_secs_f64() * 1e6
}
