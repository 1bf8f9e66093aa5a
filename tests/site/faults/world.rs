//! A site with everybody around it, all of it observed: broadcasters behind a network that can be broken, viewers, a
//! client that follows the log, and somebody who asks the API again and again what is on the air.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use diesel::QueryableByName;
use diesel::sql_types::{BigInt, Text};
use diesel_async::{AsyncConnection, AsyncPgConnection, RunQueryDsl};
use serde_json::{Value, json};
use tokio_util::task::AbortOnDropHandle;

use super::callers::FILES;
use super::disk::Disk;
use super::fault::Held;
use super::follower::Follower;
use super::history::{self, Claim, Event, LOOK, Look, Touch};
use super::proxy::{Behind, Proxy};
use crate::support::{
    Actor, Channel, Persistent, Playlist, Site, Surroundings, fresh_database, seconds, socket, until,
};

/// How long a stream waits for its publisher, and how long a session counts: the product's defaults.
const WINDOW: Duration = seconds(10);
const TTL: Duration = seconds(12);
/// How long a look at the API may take; a later answer is none.
const PATIENCE: Duration = seconds(2);

pub(super) struct World {
    pub(super) site: Site,
    /// Where its database is, without a detour.
    pub(super) database: String,
    /// Between the API and its database, if that is not the site's own.
    pub(super) line: Proxy,
    /// Where HLS and pictures go, if that is a disk of its own.
    pub(super) disk: Option<Disk>,
    pub(super) held: Held,
    pub(super) streamer: Actor,
    pub(super) stages: Vec<Stage>,
    follower: Follower,
    observed: Arc<Observed>,
    looking: AbortOnDropHandle<()>,
}

/// A channel and its broadcaster, who comes back whenever it is cut off.
pub(super) struct Stage {
    pub(super) channel: Channel,
    pub(super) network: Arc<Proxy>,
    pub(super) publisher: Persistent,
    viewers: Vec<AbortOnDropHandle<()>>,
}

/// What has been seen so far, on one clock.
struct Observed {
    since: Instant,
    channels: Mutex<Vec<history::Channel>>,
    complaints: Mutex<Vec<String>>,
}

#[derive(QueryableByName)]
struct Row {
    #[diesel(sql_type = Text)]
    kind: String,
    #[diesel(sql_type = Text)]
    stream: String,
    #[diesel(sql_type = Text)]
    loc: String,
}

/// A row of one number.
#[derive(QueryableByName)]
pub(super) struct Number {
    #[diesel(sql_type = BigInt)]
    pub(super) number: i64,
}

impl World {
    /// So many broadcasters on a site with a PostgreSQL of its own, all on the air, two viewers each.
    pub(super) async fn of(broadcasters: usize) -> Self {
        let site = Site::start(&[]).await;
        let (database, line) = (site.database(), Proxy::to(Behind::Socket(socket())).await);
        Self::around(site, database, line, None, broadcasters).await
    }

    /// The same on a site that can run out of files, and whose database is elsewhere, behind a line that can be broken;
    /// HLS and pictures go to a small disk where the machine lets us have one.
    pub(super) async fn with_a_line(name: &str, broadcasters: usize) -> Self {
        let disk = Disk::new();
        let media = disk.as_ref().map(|disk| disk.path().display().to_string());
        let line = Proxy::to(Behind::Socket(socket())).await;
        let database = fresh_database(name).await;
        let (_, name) = database.rsplit_once('/').expect("a URL with a database");
        let url = format!("postgres://tally@{}/{name}", line.address);
        let mut flags = vec!["--database-url", &url];
        flags.extend(media.iter().flat_map(|media| ["--media-root", media]));
        let site =
            Site::start_in(Surroundings { files: Some(FILES), ..Surroundings::default() }, &flags).await;
        Self::around(site, database, line, disk, broadcasters).await
    }

    async fn around(
        site: Site,
        database: String,
        line: Proxy,
        disk: Option<Disk>,
        broadcasters: usize,
    ) -> Self {
        let follower = Follower::begin(&site).await;
        let streamer = Actor::streamer(&site, "grace").await;
        let observed = Arc::new(Observed {
            since: Instant::now(),
            channels: Mutex::new(vec![history::Channel::default(); broadcasters]),
            complaints: Mutex::default(),
        });
        let mut stages = Vec::new();
        for place in 0..broadcasters {
            let channel = streamer.channel(&format!("Channel {place}"), false).await;
            let rtmp = site.rtmp();
            let nginx = rtmp.trim_start_matches("rtmp://").trim_end_matches("/live").parse();
            let network = Arc::new(Proxy::to(Behind::Tcp(nginx.expect("an address"))).await);
            let publisher = Persistent::begin(&format!("rtmp://{}/live", network.address), &channel.key);
            stages.push(Stage { channel, network, publisher, viewers: Vec::new() });
        }
        let networks = stages.iter().map(|stage| Arc::clone(&stage.network)).collect();
        let look = look_all(Actor::anonymous(&site), document(&stages), networks, Arc::clone(&observed));
        let looking = AbortOnDropHandle::new(tokio::spawn(look));
        let mut world = Self {
            site,
            database,
            line,
            disk,
            held: Held::default(),
            streamer,
            stages,
            follower,
            observed,
            looking,
        };
        world.settled().await;
        for place in 0..broadcasters {
            world.watch(place, "a quiet viewer");
            world.watch(place, "another one");
        }
        world
    }

    /// The time on the clock of what is observed.
    pub(super) fn now(&self) -> Duration {
        self.observed.since.elapsed()
    }

    /// Adds a viewer to a channel, who stays.
    pub(super) fn watch(&mut self, place: usize, name: &str) {
        let stage = &mut self.stages[place];
        let url = self.site.url(&format!("/live/{}/index.m3u8", stage.channel.loc));
        let watching = watch(Arc::clone(&self.observed), place, name.to_owned(), url);
        stage.viewers.push(AbortOnDropHandle::new(tokio::spawn(watching)));
    }

    /// Adds viewers to a channel, every other one by a URL of its own, as `startPlayback` gives it.
    pub(super) async fn crowd(&mut self, place: usize, viewers: usize) {
        for viewer in 0..viewers {
            let name = format!("one of {viewers}, number {viewer}");
            if viewer % 2 == 0 {
                self.watch(place, &name);
                continue;
            }
            let url = Actor::anonymous(&self.site).playback(&self.stages[place].channel.loc).await;
            let watching = watch(Arc::clone(&self.observed), place, name, url);
            self.stages[place].viewers.push(AbortOnDropHandle::new(tokio::spawn(watching)));
        }
    }

    /// Waits until the API says that so many watch a channel. Whether it says so in time is judged in the end.
    pub(super) async fn until_counted(&self, place: usize, viewers: i64) {
        until(&format!("channel {place} has {viewers} viewers"), seconds(30), async || {
            let said = self.observed.channels()[place].looks.last()?.said?;
            (said.1 == viewers).then_some(())
        })
        .await;
    }

    /// Takes the last viewer away from a channel.
    pub(super) fn leave(&mut self, place: usize) {
        self.stages[place].viewers.pop();
    }

    /// Waits until a channel's playlist goes on; whoever looks is a viewer as well.
    pub(super) async fn plays(&self, place: usize) {
        let url = self.site.url(&format!("/live/{}/index.m3u8", self.stages[place].channel.loc));
        let (client, mut newest) = (&self.site.client, None);
        until("the playlist goes on", seconds(15), async || {
            let playlist = Playlist::try_get(client, &url).await?;
            let touch = Touch { at: self.observed.since.elapsed(), viewer: "whoever looks".to_owned() };
            self.observed.channels()[place].touches.push(touch);
            let now = playlist.segments().pop();
            (newest.get_or_insert_with(|| now.clone()) != &now).then_some(())
        })
        .await;
    }

    /// How often each broadcaster has had to begin.
    pub(super) fn runs(&self) -> Vec<i32> {
        self.stages.iter().map(|stage| stage.publisher.runs()).collect()
    }

    /// Waits until everybody is on the air and the API says so.
    pub(super) async fn settled(&self) {
        // What was seen before counts for nothing.
        let from = self.observed.since.elapsed();
        until("everybody is on the air, and known to be", seconds(40), async || {
            let channels = self.observed.channels();
            let well = |channel: &history::Channel| {
                let look = channel.looks.last();
                look.is_some_and(|it| {
                    it.at > from && it.sends && it.said.is_some_and(|(claim, _)| claim == Claim::Live)
                })
            };
            channels.iter().all(well).then_some(())
        })
        .await;
    }

    /// Waits until the API says that of a channel.
    pub(super) async fn until_said(&self, place: usize, claim: Claim) {
        until(&format!("the API says {claim:?} of channel {place}"), seconds(20), async || {
            let said = self.observed.channels()[place].looks.last()?.said?;
            (said.0 == claim).then_some(())
        })
        .await;
    }

    /// Waits until all is well again, then holds what everybody saw against what is promised. Nothing may be wrong,
    /// and there must have been so many streams, if that can be told.
    pub(super) async fn judge(mut self, streams: Option<usize>) {
        self.settled().await;
        let log = self.log().await;
        let told = until("the follower has heard everything", seconds(10), async || {
            Some(self.follower.seen()).filter(|seen| seen.len() >= log.len())
        })
        .await;
        self.looking.abort();
        // Had it ended by itself, it would say why.
        if let Err(error) = (&mut self.looking).await {
            assert!(error.is_cancelled(), "{error}");
        }
        let mut wrong = history::breaches(&log);
        if told[..log.len()] != log {
            wrong.push(format!("the follower was told {told:?}, and the log says {log:?}"));
        }
        let started = log.iter().filter(|event| event.kind == "started").count();
        if streams.is_some_and(|streams| streams != started) {
            wrong.push(format!("{started} streams have been, not {streams:?}: {log:?}"));
        }
        wrong.extend(self.forgotten_transactions().await);
        wrong.extend(self.follower.complaints());
        wrong.extend(lock(&self.observed.complaints).iter().cloned());
        let longest = self.observed.channels().iter().map(history::Channel::longest_wrong).max();
        eprintln!("{} events; a channel was called wrongly for {longest:?} at the longest", log.len());
        for (place, channel) in self.observed.channels().iter().enumerate() {
            let all = channel.wrong_claims(WINDOW).into_iter().chain(channel.wrong_counts(TTL));
            wrong.extend(all.map(|what| format!("channel {place} at {what}")));
        }
        assert!(wrong.is_empty(), "{}", wrong.join("\n"));
        self.site.stop().await;
    }

    pub(super) async fn connection(&self) -> AsyncPgConnection {
        AsyncPgConnection::establish(&self.database).await.expect("PostgreSQL answers")
    }

    /// The whole log, whose numbers must have no gaps.
    async fn log(&self) -> Vec<Event> {
        let mut connection = self.connection().await;
        let select = "SELECT kind, stream_id::text AS stream, loc::text AS loc FROM events ORDER BY number";
        let rows: Vec<Row> = diesel::sql_query(select).load(&mut connection).await.expect("rows");
        let last = "SELECT max(number) AS number FROM events";
        let last: Number = diesel::sql_query(last).get_result(&mut connection).await.expect("a number");
        assert_eq!(rows.len() as i64, last.number, "numbers have no gaps");
        rows.into_iter().map(|Row { kind, stream, loc }| Event { kind, stream, loc }).collect()
    }

    /// Connections that rest inside a transaction.
    async fn forgotten_transactions(&self) -> Option<String> {
        let select = "SELECT count(*) AS number FROM pg_stat_activity WHERE datname = current_database() \
            AND state LIKE 'idle in transaction%' AND application_name <> 'other' AND state_change < now() - interval '1 second'";
        let query = diesel::sql_query(select);
        let found: Number = query.get_result(&mut self.connection().await).await.expect("a number");
        (found.number > 0).then(|| format!("{} connections rest inside a transaction", found.number))
    }
}

impl Observed {
    fn channels(&self) -> MutexGuard<'_, Vec<history::Channel>> {
        lock(&self.channels)
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// One question about all channels.
fn document(stages: &[Stage]) -> String {
    let ask = |(place, stage): (usize, &Stage)| {
        format!("c{place}: channel(loc: \"{}\") {{ stream {{ state currentViewers }} }}", stage.channel.loc)
    };
    format!("{{ {} }}", stages.iter().enumerate().map(ask).collect::<Vec<_>>().join(" "))
}

async fn look_all(anybody: Actor, document: String, networks: Vec<Arc<Proxy>>, observed: Arc<Observed>) {
    loop {
        let answer = tokio::time::timeout(PATIENCE, anybody.try_ask(&document, json!({}))).await;
        let answer = answer.ok().flatten().unwrap_or_default();
        let code = &answer["errors"][0]["extensions"]["code"];
        if !code.is_null() && code != "UNAVAILABLE" {
            lock(&observed.complaints).push(answer.to_string());
        }
        let at = observed.since.elapsed();
        for (place, network) in networks.iter().enumerate() {
            let said = read(&answer, &format!("c{place}"));
            observed.channels()[place].looks.push(Look { at, sends: network.carries(), said });
        }
        tokio::time::sleep(LOOK).await;
    }
}

/// What an answer says of a channel. A field with an error is null as well, which says nothing.
fn read(answer: &Value, name: &str) -> Option<(Claim, i64)> {
    let errors = answer["errors"].as_array().into_iter().flatten();
    if errors.into_iter().any(|error| error["path"][0] == name) {
        return None;
    }
    let stream = answer["data"][name].get("stream")?;
    let claim = match stream["state"].as_str() {
        Some("LIVE") => Claim::Live,
        Some("INTERRUPTED") => Claim::Interrupted,
        _ => Claim::Off,
    };
    Some((claim, stream["currentViewers"].as_i64().unwrap_or(0)))
}

/// Asks for a playlist each second, as players do.
async fn watch(observed: Arc<Observed>, place: usize, viewer: String, url: String) {
    let client = tally::ambient::http_client().user_agent(viewer.clone()).timeout(PATIENCE).build();
    let client = client.expect("a client");
    loop {
        if Playlist::try_get(&client, &url).await.is_some() {
            let touch = Touch { at: observed.since.elapsed(), viewer: viewer.clone() };
            observed.channels()[place].touches.push(touch);
        }
        tokio::time::sleep(seconds(1)).await;
    }
}
