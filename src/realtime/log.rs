//! The event log as this process sees it. One tail reads it from the database and is the only source of all
//! subscribers here, so there is one path and one order in every deployment.
//!
//! A subscriber knows the number that it must see next. Numbers have no gaps, so whatever it missed, for whatever
//! reason, it notices and reads from the database: nothing is lost, repeated or out of order.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use futures_util::stream::{self, Stream, StreamExt};
use tokio::sync::broadcast::{self, error::TryRecvError};
use tokio::time::{MissedTickBehavior, interval};
use tokio_util::sync::CancellationToken;

use crate::ambient::Clock;
use crate::lifecycle::{Failure, Tasks};
use crate::store::{Backlog, Event, Loc, Position, Store, StoreError, TopicId, WakeUps};

/// How many events wait in memory for subscribers that are slow; behind that they read from the database.
const KEPT: usize = 1024;
/// How many events are read at a time.
const BATCH: i64 = 500;
/// How often the tail looks though nothing woke it: what makes it certain, where a wake-up makes it prompt.
const SWEEP: Duration = Duration::from_secs(1);

/// The log, followed; cloned freely.
#[derive(Clone)]
pub struct Log {
    store: Store,
    clock: Clock,
    live: broadcast::Sender<Arc<Event>>,
    epoch: uuid::Uuid,
    seen: Arc<AtomicI64>,
    told: Arc<AtomicI64>,
}

/// Which events a subscriber wants.
#[derive(Clone, Copy, Debug, Default)]
pub struct Filter {
    /// Of one channel.
    pub loc: Option<Loc>,
    /// Of a topic.
    pub topic: Option<TopicId>,
}

impl Filter {
    fn admits(&self, event: &Event) -> bool {
        self.loc.is_none_or(|loc| loc == event.loc)
            && self.topic.is_none_or(|topic| Some(topic) == event.topic_id)
    }
}

/// An event, and where the log stands behind it.
#[derive(Clone, Debug)]
pub struct Followed {
    /// What happened.
    pub event: Arc<Event>,
    /// To go on from.
    pub position: Position,
}

/// How far the tail has come.
enum Advanced {
    Further,
    Nowhere,
}

/// Why a subscription to the log ends before its subscriber does.
#[derive(Debug, thiserror::Error)]
pub enum LogError {
    /// Its cursor is unknown here, or too old.
    #[error("the cursor is unknown or too old")]
    Refused,
    /// The database fails.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl Log {
    /// Begins to follow the log, from its end as it is now.
    ///
    /// # Errors
    /// When the database is away.
    pub async fn follow(store: Store, clock: Clock, tasks: &Tasks) -> Result<Self, StoreError> {
        let end = store.log_end().await?;
        let log = Self {
            store,
            clock,
            live: broadcast::channel(KEPT).0,
            epoch: end.epoch,
            seen: Arc::new(AtomicI64::new(end.number)),
            told: Arc::new(AtomicI64::new(end.number)),
        };
        tasks.keep("event log", log.clone().tail(tasks.stopping().clone()));
        Ok(log)
    }

    /// The events that `filter` admits: first those behind `after`, none missing and none twice, then live.
    /// Without `after`, from now. While the database is away they wait; they end only if the log is replaced, as the
    /// process then does.
    ///
    /// # Errors
    /// [`LogError::Refused`] when `after` is not a position that can be continued from.
    pub async fn subscribe(
        &self,
        after: Option<Position>,
        filter: Filter,
    ) -> Result<impl Stream<Item = Followed> + Send + use<>, LogError> {
        // First register, then read what was before, then drop what comes twice.
        let live = self.live.subscribe();
        let (start, backlog) = match after {
            Some(after) => (after, self.read(after).await?),
            // Not where the tail is: it may be a moment behind, and what happened before now is not asked for.
            None => (self.store.log_end().await?, Vec::new()),
        };
        self.tell(start);
        let subscriber = Subscriber { log: self.clone(), live, last: start.number, ready: backlog.into() };
        let events = stream::unfold(subscriber, |mut subscriber| async move {
            Some((subscriber.next().await?, subscriber))
        });
        Ok(events.filter(move |followed| {
            let wanted = filter.admits(&followed.event);
            async move { wanted }
        }))
    }

    /// The number of the last event that anybody may have been told of, here.
    pub fn told(&self) -> i64 {
        self.told.load(Ordering::Acquire)
    }

    /// Notes that somebody is about to be told of this place, as the end of the log.
    pub fn tell(&self, position: Position) {
        self.told.fetch_max(position.number, Ordering::AcqRel);
    }

    fn position(&self, number: i64) -> Position {
        Position { epoch: self.epoch, number }
    }

    async fn read(&self, after: Position) -> Result<Vec<Arc<Event>>, LogError> {
        match self.store.events_after(after, BATCH).await? {
            Backlog::Events(events) => {
                if let Some(last) = events.last() {
                    self.tell(self.position(last.number));
                }
                Ok(events.into_iter().map(Arc::new).collect())
            }
            Backlog::Refused => Err(LogError::Refused),
        }
    }

    async fn tail(self, stop: CancellationToken) -> Result<(), Failure> {
        let mut sweep = interval(SWEEP);
        sweep.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut ears = None;
        let mut woken = true;
        loop {
            if ears.is_none() {
                ears = self
                    .store
                    .wake_ups()
                    .await
                    .inspect_err(|error| tracing::warn!(%error, "tailing by sweeps"))
                    .ok();
                // What happened before it listened it could not hear of.
                woken = true;
            }
            match self.advance().await {
                // Nobody said so: the connection that listens may be lost without a word, as networks lose them.
                Ok(Advanced::Further) if !woken => ears = None,
                Ok(Advanced::Further | Advanced::Nowhere) => {}
                // Another log is behind the same address, as after a restored backup: no cursor given out here
                // holds, so the process starts anew and its clients with it.
                Err(LogError::Refused) => return Err("the event log was replaced".into()),
                Err(LogError::Store(error)) => tracing::warn!(%error, "the event log cannot be read"),
            }
            tokio::select! {
                biased;
                () = stop.cancelled() => return Ok(()),
                // Before the sweep: what was said and found at the same moment was said.
                heard = hear(&mut ears) => {
                    woken = true;
                    if let Err(error) = heard {
                        tracing::warn!(%error, "tailing by sweeps");
                        ears = None;
                    }
                }
                _ = sweep.tick() => woken = false,
            }
        }
    }

    fn note(&self, event: &Event) {
        metrics::counter!("tally_events_total", "kind" => event.kind.word()).increment(1);
        if let Some(reason) = event.reason {
            metrics::counter!("tally_stops_total", "reason" => reason.word()).increment(1);
        }
        let delay = (self.clock.now() - event.at).to_std().unwrap_or_default();
        metrics::histogram!("tally_event_delay_seconds").record(delay);
    }

    /// Reads whatever is new and passes it on.
    async fn advance(&self) -> Result<Advanced, LogError> {
        let mut advanced = Advanced::Nowhere;
        loop {
            let events = self.read(self.position(self.seen.load(Ordering::Acquire))).await?;
            let Some(last) = events.last().map(|event| event.number) else { return Ok(advanced) };
            advanced = Advanced::Further;
            for event in events {
                self.note(&event);
                // Nobody listening is no failure.
                let _ = self.live.send(event);
            }
            self.seen.store(last, Ordering::Release);
        }
    }
}

async fn hear(ears: &mut Option<WakeUps>) -> Result<(), StoreError> {
    match ears {
        Some(ears) => ears.next().await,
        None => std::future::pending().await,
    }
}

struct Subscriber {
    log: Log,
    live: broadcast::Receiver<Arc<Event>>,
    last: i64,
    ready: VecDeque<Arc<Event>>,
}

impl Subscriber {
    /// The next event by number; None when the log it was in is no more.
    async fn next(&mut self) -> Option<Followed> {
        loop {
            while let Some(event) = self.ready.pop_front() {
                if event.number > self.last {
                    self.last = event.number;
                    let position = self.log.position(event.number);
                    return Some(Followed { event, position });
                }
            }
            let event = match self.live.try_recv() {
                // Behind the tail with nothing waiting: what is missing is in the database.
                Err(TryRecvError::Empty) if self.last < self.log.seen.load(Ordering::Acquire) => None,
                Err(TryRecvError::Empty) => self.live.recv().await.ok(),
                received => received.ok(),
            };
            match event {
                Some(event) if event.number <= self.last => {}
                Some(event) if event.number == self.last + 1 => self.ready.push_back(event),
                _ => match self.log.read(self.log.position(self.last)).await {
                    Ok(events) => self.ready = events.into(),
                    Err(LogError::Refused) => return None,
                    Err(LogError::Store(error)) => {
                        tracing::warn!(%error, "a subscriber waits for the event log");
                        tokio::time::sleep(SWEEP).await;
                    }
                },
            }
        }
    }
}
