//! The state machine of a stream against a model of it, under everything that nginx, owners and time may do in any
//! order; and the same from many sides at once.

use std::collections::HashMap;
use std::time::Duration;

use chrono::TimeDelta;
use futures_util::future::join_all;
use proptest::prelude::*;
use proptest::test_runner::{Config, RngSeed, TestCaseError, TestRunner};
use serde_json::{Value, json};
use tally::ambient::Chance;
use tally::ingest::{Publish, Why};
use tally::store::{
    Backlog, Channel, ChannelId, Connection, Counts, Event, EventKind, Loc, Role, StopReason, StreamChange,
    StreamId,
};
use tokio::runtime::Handle;

use crate::site::{Actor, Site};

const LEASE: i64 = 12;
const WINDOW: i64 = 10;

/// Something that may happen. Publishers are told apart by their connection; each goes on with the key that was the
/// channel's when it last took one.
#[derive(Clone, Debug)]
enum Step {
    TakeKey(usize),
    Publish(usize),
    Update(usize, bool),
    Done(usize),
    Rename,
    Regenerate,
    End,
    Delete,
    Pass(i64),
    SetClock(i64),
    Sweep,
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let publisher = 0_usize..3;
    let step = prop_oneof![
        2 => publisher.clone().prop_map(Step::TakeKey),
        8 => publisher.clone().prop_map(Step::Publish),
        6 => (publisher.clone(), prop::bool::weighted(0.8)).prop_map(|(who, moves)| Step::Update(who, moves)),
        6 => publisher.prop_map(Step::Done),
        1 => Just(Step::Rename),
        1 => Just(Step::Regenerate),
        2 => Just(Step::End),
        6 => (1_i64..7).prop_map(Step::Pass),
        1 => prop_oneof![Just(-3600), Just(3600)].prop_map(Step::SetClock),
        6 => Just(Step::Sweep),
    ];
    // A deleted channel is soon boring, so it comes late if it comes.
    let last = prop::option::weighted(0.3, (Just(Step::Delete), prop::collection::vec(step.clone(), 0..4)));
    (prop::collection::vec(step, 1..40), last).prop_map(|(mut steps, last)| {
        if let Some((delete, rest)) = last {
            steps.push(delete);
            steps.extend(rest);
        }
        steps
    })
}

/// What is on the air, as the rules say.
#[derive(Clone, Debug)]
struct OnAir {
    publisher: usize,
    live: bool,
    deadline: i64,
    media: i64,
    stalls: u32,
}

/// The rules, in a form that has no database.
#[derive(Default)]
struct Model {
    /// The time of day, and the time that has passed.
    now: i64,
    elapsed: i64,
    /// Both at the last sweep.
    swept: (i64, i64),
    on_air: Option<OnAir>,
    held_until: i64,
    key: usize,
    deleted: bool,
    log: Vec<&'static str>,
}

impl Model {
    fn opens(&self, key: usize) -> bool {
        !self.deleted && key == self.key
    }

    fn publish(&mut self, publisher: usize, key: usize) -> Result<(), Why> {
        if !self.opens(key) {
            return Err(Why::Key);
        }
        if (1..=WINDOW).contains(&(self.held_until - self.now)) {
            return Err(Why::Held);
        }
        let deadline = self.now + LEASE;
        let media = match &self.on_air {
            Some(there) if there.live && there.publisher != publisher => return Err(Why::Busy),
            Some(there) => {
                if !there.live {
                    self.log.push("resumed");
                }
                there.media
            }
            None => {
                // Whom the clock lets in is held off no longer, wherever the clock is set afterwards.
                self.held_until = 0;
                self.log.push("started");
                0
            }
        };
        self.on_air = Some(OnAir { publisher, live: true, deadline, media, stalls: 0 });
        Ok(())
    }

    fn update(&mut self, publisher: usize, key: usize, media: i64) -> bool {
        let (opens, deadline) = (self.opens(key), self.now + LEASE);
        let Some(there) = self.on_air.as_mut().filter(|there| opens && there.publisher == publisher) else {
            return false;
        };
        let stalls = if there.media == media { there.stalls + 1 } else { 0 };
        let resumes = !there.live;
        *there = OnAir { publisher, live: true, deadline, media, stalls: if resumes { 0 } else { stalls } };
        if resumes {
            self.log.push("resumed");
        }
        resumes || stalls < 2
    }

    fn done(&mut self, publisher: usize, key: usize) {
        let (opens, deadline) = (self.opens(key), self.now + WINDOW);
        if let Some(there) = &mut self.on_air
            && there.live
            && opens
            && there.publisher == publisher
        {
            (there.live, there.deadline) = (false, deadline);
            self.log.push("interrupted");
        }
    }

    fn end(&mut self, reason: &'static str) -> bool {
        let ended = self.on_air.take().is_some();
        if ended {
            self.log.push(reason);
        }
        ended
    }

    fn sweep(&mut self) {
        let (told, passed) = (self.now - self.swept.0, self.elapsed - self.swept.1);
        self.swept = (self.now, self.elapsed);
        let Some(there) = &mut self.on_air else { return };
        if passed > 4 || told != passed {
            there.deadline = self.now + if there.live { LEASE } else { WINDOW };
        }
        match there.deadline <= self.now {
            true if there.live => {
                (there.live, there.deadline) = (false, self.now + WINDOW);
                self.log.push("interrupted");
            }
            true => drop(self.end("stopped: publisher_gone")),
            false => {}
        }
    }
}

/// A channel in the real thing, beside its model.
struct Case<'a> {
    site: &'a mut Site,
    owner: &'a Actor,
    channel: Value,
    model: Model,
    keys: Vec<String>,
    /// Each publisher's key, by its place among `keys`.
    held: [usize; 3],
    media: i64,
}

impl Case<'_> {
    async fn change(&self, mutation: &str, field: &str, selection: &str) -> Value {
        let kind = format!("{}{}Input", mutation[..1].to_uppercase(), &mutation[1..]);
        let document =
            format!("mutation ($input: {kind}!) {{ {mutation}(input: $input) {{ {selection} }} }}");
        self.owner.ask(&document, json!({"input": {field: self.channel["id"]}})).await
    }

    async fn take(&mut self, step: &Step) -> Result<(), TestCaseError> {
        let over = |number: usize| Connection { node: "local".to_owned(), number: number as i64 };
        match *step {
            Step::TakeKey(who) => self.held[who] = self.keys.len() - 1,
            Step::Publish(who) => {
                let key = self.keys[self.held[who]].clone();
                let answer =
                    self.site.ingest.publish(over(who), None, key.as_bytes()).await.expect("an answer");
                let expected = match self.model.publish(who, self.held[who]) {
                    Ok(()) => Publish::As(self.channel["loc"].as_str().expect("a loc").to_owned()),
                    Err(why) => Publish::Refused(why),
                };
                prop_assert_eq!(answer, expected);
            }
            Step::Update(who, moves) => {
                self.media += i64::from(moves);
                let key = self.keys[self.held[who]].clone();
                let answer = self.site.ingest.publisher_is_there(over(who), key.as_bytes(), self.media).await;
                prop_assert_eq!(
                    answer.expect("an answer"),
                    self.model.update(who, self.held[who], self.media)
                );
            }
            Step::Done(who) => {
                let key = self.keys[self.held[who]].clone();
                self.site.ingest.publisher_gone(&over(who), key.as_bytes()).await.expect("taken");
                self.model.done(who, self.held[who]);
            }
            Step::Rename => self.rename().await,
            Step::Regenerate if !self.model.deleted => {
                let selection = "channel { ingest { streamKey } }";
                let answer = self.change("regenerateStreamKey", "channelId", selection).await;
                let key = &answer["data"]["regenerateStreamKey"]["channel"]["ingest"]["streamKey"];
                self.keys.push(key.as_str().expect("a key").to_owned());
                self.model.end("stopped: key_regenerated");
                (self.model.key, self.model.held_until) = (self.keys.len() - 1, 0);
            }
            Step::End => {
                let answer = self.change("endStream", "channelId", "stream { id }").await;
                let ended = self.model.end("stopped: ended_by_owner");
                if ended {
                    self.model.held_until = self.model.now + WINDOW;
                }
                prop_assert_eq!(answer["data"]["endStream"].is_object(), ended, "{}", answer);
            }
            Step::Delete => {
                self.change("deleteChannel", "id", "deletedChannelId").await;
                self.model.end("stopped: channel_deleted");
                self.model.deleted = true;
            }
            Step::Regenerate => {}
            Step::Pass(seconds) => {
                self.site.clock.advance(Duration::from_secs(seconds.unsigned_abs()));
                self.model.now += seconds;
                self.model.elapsed += seconds;
            }
            Step::SetClock(seconds) => {
                self.site.clock.step(TimeDelta::seconds(seconds));
                self.model.now += seconds;
            }
            Step::Sweep => {
                self.site.sweeper.sweep().await.expect("swept");
                self.model.sweep();
            }
        }
        self.compare().await
    }

    async fn rename(&mut self) {
        let (row, _) = self.rows().await;
        if let Some((id, _)) = row {
            let change = StreamChange { name: Some("Another".to_owned()), topic_id: None };
            self.site.store.update_stream(id, &change, self.site.clock.now()).await.expect("renamed");
            self.model.log.push("updated");
        }
    }

    /// What is on the air, and the channel's row.
    async fn rows(&self) -> (Option<(StreamId, bool)>, Option<Channel>) {
        let loc = Loc(self.channel["loc"].as_str().expect("a loc").parse().expect("a uuid"));
        let publishing = self.site.store.publishing("local").await.expect("rows");
        let mut here = publishing.into_iter().filter(|row| row.loc == loc);
        let row = here.next().map(|row| (row.stream, row.state == tally::store::StreamState::Live));
        assert!(here.next().is_none(), "one at the most");
        (row, self.site.store.channel_by_loc(loc).await.expect("a row"))
    }

    async fn compare(&self) -> Result<(), TestCaseError> {
        let (row, channel) = self.rows().await;
        prop_assert_eq!(row.map(|(_, live)| live), self.model.on_air.as_ref().map(|there| there.live));
        match channel {
            Some(channel) => prop_assert_eq!(channel.live, self.model.on_air.is_some()),
            None => prop_assert!(self.model.deleted),
        }
        Ok(())
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stream_lives_as_the_model_says_whatever_happens_in_whatever_order() {
    let mut site = Site::with(&["--nginx-control", "http://127.0.0.1:9"]).await;
    let owner = site.actor("mia", Role::Streamer).await;
    let config = config(64);
    let seed = config.rng_seed;
    let outcome = tokio::task::block_in_place(|| {
        let site = std::sync::Mutex::new(&mut site);
        TestRunner::new(config).run(&steps(), |steps| {
            let mut site = site.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
            Handle::current().block_on(run(&mut site, &owner, &steps))
        })
    });
    if let Err(failure) = outcome {
        panic!("the same again with PROPTEST_RNG_SEED, which was {seed}: {failure}");
    }
    check(&everything(&site).await);
}

/// How many cases, from which seed: as the environment says in proptest's own words, PROPTEST_CASES and
/// PROPTEST_RNG_SEED; otherwise `few`, from any.
fn config(few: u32) -> Config {
    let mut config = Config { failure_persistence: None, max_shrink_iters: 40, ..Config::default() };
    if std::env::var_os("PROPTEST_CASES").is_none() {
        config.cases = few;
    }
    if let RngSeed::Random = config.rng_seed {
        config.rng_seed = RngSeed::Fixed(u64::from_le_bytes(Chance::system().bytes()));
    }
    config
}

/// One case, on a channel of its own in the one database: what others left on the air there goes on as well.
async fn run(site: &mut Site, owner: &Actor, steps: &[Step]) -> Result<(), TestCaseError> {
    let channel = owner.channel("One", json!({})).await;
    let start = site.store.log_end().await.expect("a log");
    site.sweeper.sweep().await.expect("swept");
    let keys = vec![channel["key"].as_str().expect("a key").to_owned()];
    let mut case = Case { site, owner, channel, model: Model::default(), keys, held: [0; 3], media: 0 };
    for step in steps {
        case.take(step).await?;
    }
    let loc = Loc(case.channel["loc"].as_str().expect("a loc").parse().expect("a uuid"));
    let read = case.site.store.events_after(start, 10_000).await.expect("a log");
    let Backlog::Events(events) = read else { panic!("the log was trimmed") };
    let log: Vec<String> = events.iter().filter(|event| event.loc == loc).map(words).collect();
    prop_assert_eq!(log, case.model.log);
    Ok(())
}

fn words(event: &Event) -> String {
    match event.reason {
        Some(reason) => format!("{}: {}", event.kind.word(), reason.word()),
        None => event.kind.word().to_owned(),
    }
}

/// The whole log.
async fn everything(site: &Site) -> Vec<Event> {
    let end = site.store.log_end().await.expect("a log");
    let start = tally::store::Position { number: 0, ..end };
    let Backlog::Events(events) = site.store.events_after(start, 100_000).await.expect("a log") else {
        panic!("the log was trimmed")
    };
    assert_eq!(events.len() as i64, end.number, "nothing is missing at the end");
    events
}

/// Numbers without gaps; each stream starts, then changes as it may, and stops at most once, as its last; a channel
/// has one stream at a time.
fn check(events: &[Event]) {
    let mut lives: HashMap<StreamId, Vec<EventKind>> = HashMap::new();
    let mut on_air: HashMap<ChannelId, StreamId> = HashMap::new();
    for (place, event) in events.iter().enumerate() {
        assert_eq!(event.number, place as i64 + 1);
        let life = lives.entry(event.stream_id).or_default();
        life.push(event.kind);
        match event.kind {
            EventKind::Started => assert_eq!(on_air.insert(event.channel_id, event.stream_id), None),
            EventKind::Stopped => assert_eq!(on_air.remove(&event.channel_id), Some(event.stream_id)),
            _ => assert_eq!(on_air.get(&event.channel_id), Some(&event.stream_id)),
        }
    }
    for (stream, life) in lives {
        let mut live = None;
        for kind in &life {
            live = match (live, kind) {
                (None, EventKind::Started) | (Some(false), EventKind::Resumed) => Some(true),
                (Some(true), EventKind::Interrupted) => Some(false),
                (Some(live), EventKind::Updated) => Some(live),
                (Some(_), EventKind::Stopped) => None,
                _ => panic!("{stream}: {life:?}"),
            };
        }
        let count = |kind| life.iter().filter(|it| **it == kind).count();
        assert_eq!(count(EventKind::Started), 1, "{stream}: {life:?}");
        assert!(count(EventKind::Stopped) <= 1 && count(EventKind::Stopped) == usize::from(live.is_none()));
    }
}

/// One of those who act at once: a publisher of a channel, its owner, whoever counts its viewers.
async fn act(site: &Site, channel: &Value, who: usize, chance: Chance) {
    let loc = Loc(channel["loc"].as_str().expect("a loc").parse().expect("a uuid"));
    let key = channel["key"].as_str().expect("a key");
    let row = site.store.channel_by_loc(loc).await.expect("a row").expect("a channel");
    let over = Connection { node: "local".to_owned(), number: who as i64 % 3 };
    for round in 0..40 {
        let [choice, ..] = chance.bytes::<2>();
        match choice % 12 {
            0..3 => drop(site.ingest.publish(over.clone(), None, key.as_bytes()).await.expect("an answer")),
            3..6 => {
                site.ingest.publisher_is_there(over.clone(), key.as_bytes(), round).await.expect("an answer");
            }
            6..9 => site.ingest.publisher_gone(&over, key.as_bytes()).await.expect("taken"),
            9 if choice > 200 => {
                site.ingest.end_stream(&row, StopReason::EndedByOwner, &site.deed()).await.expect("ended");
            }
            10 => {
                let there = site.store.streams_on_the_air(&[row.id]).await.expect("rows");
                for stream in there {
                    let change = StreamChange { name: Some(format!("round {round}")), topic_id: None };
                    site.store.update_stream(stream.id, &change, site.clock.now()).await.expect("renamed");
                }
            }
            _ => {
                let there = site.store.streams_on_the_air(&[row.id]).await.expect("rows");
                let counts = Counts { current: 1, peak: 2, total: 3 };
                let counts: Vec<_> = there.iter().map(|stream| (stream.id, row.id, counts)).collect();
                site.store.write_counts(&counts).await.expect("written");
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn everything_at_once_leaves_a_log_in_order_and_nobody_waiting_in_a_circle() {
    let mut site = Site::with(&["--nginx-control", "http://127.0.0.1:9"]).await;
    let owner = site.actor("mia", Role::Streamer).await;
    let mut channels = Vec::new();
    for name in ["One", "Two", "Three"] {
        channels.push(owner.channel(name, json!({})).await);
    }
    let mut sweeper = tally::ingest::Sweeper::new(site.ingest.clone());
    // How much happens in a round is up to the machine: a channel that was taken off the air early in it stays off.
    for round in 0..10 {
        let seed = |who: usize| Chance::seeded(round * 100 + who as u64);
        let acting = join_all((0..18).map(|who| act(&site, &channels[who % 3], who / 3, seed(who))));
        let sweeping = async {
            for _ in 0..40 {
                site.clock.advance(Duration::from_secs(1));
                sweeper.sweep().await.expect("swept");
            }
        };
        tokio::join!(acting, sweeping);
        for _ in 0..30 {
            site.clock.advance(Duration::from_secs(1));
            site.sweeper.sweep().await.expect("swept");
        }
        let events = everything(&site).await;
        check(&events);
        let count = |kind| events.iter().filter(|event| event.kind == kind).count();
        assert_eq!(count(EventKind::Started), count(EventKind::Stopped), "all of it is over");
        if count(EventKind::Started) > 3 {
            return;
        }
    }
    panic!("too little happened");
}
