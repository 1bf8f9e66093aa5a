//! What only the benchmarks ask for: events that are numbered and never conflated, so that each one can be followed
//! to each subscriber. No release has this; see the feature `bench`.

use async_graphql::{Context, Object, Subscription};
use chrono::Utc;
use futures_util::stream::{self, Stream, StreamExt};
use std::sync::LazyLock;
use std::sync::atomic::{AtomicI32, Ordering};
use tokio::sync::broadcast;
use uuid::Uuid;

use super::error::Result;
use super::scalar::{DateTime, UuidScalar};
use super::source;

/// More than any burst that is measured.
const CAPACITY: usize = 1024;

/// One for the process: what is measured is the way from here to the sockets.
static EVENTS: LazyLock<broadcast::Sender<BenchEvent>> = LazyLock::new(|| broadcast::Sender::new(CAPACITY));
static LAST: AtomicI32 = AtomicI32::new(0);

/// What is to be emitted.
#[derive(serde::Deserialize)]
pub struct Emission {
    /// The address that the events are of.
    loc: Uuid,
    /// How many.
    count: u32,
}

/// Emits events; all of them are on their way when this returns.
pub fn emit(asked: &Emission, at: chrono::DateTime<Utc>) {
    for _ in 0..asked.count {
        let number = LAST.fetch_add(1, Ordering::Relaxed) + 1;
        // Nobody listens before the first subscription and after the last.
        let _ = EVENTS.send(BenchEvent { loc: asked.loc, number, at });
    }
}

/// An event of a benchmark.
#[derive(Clone, Copy)]
pub(super) struct BenchEvent {
    loc: Uuid,
    number: i32,
    at: chrono::DateTime<Utc>,
}

/// An event of a benchmark.
#[Object]
impl BenchEvent {
    /// The address it was emitted for.
    async fn loc(&self) -> UuidScalar {
        UuidScalar(self.loc)
    }

    /// Its place among all events since the start, from 1.
    async fn number(&self) -> i32 {
        self.number
    }

    /// When it was emitted.
    async fn at(&self) -> DateTime {
        DateTime(self.at)
    }
}

/// Subscriptions of benchmarks.
#[derive(Default)]
pub(super) struct BenchSubscription;

#[Subscription]
impl BenchSubscription {
    /// Every event emitted for an address from now on. It ends when the subscriber has fallen too far behind.
    async fn bench_events(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "The address.")] loc: UuidScalar,
    ) -> Result<impl Stream<Item = BenchEvent> + use<>> {
        let events = stream::unfold(EVENTS.subscribe(), async |mut events| {
            let event = events.recv().await.ok()?;
            Some((event, events))
        });
        let events = events.filter(move |event| std::future::ready(event.loc == loc.0));
        source::follow(ctx, async { Ok(events.map(|event| (None, event))) }).await
    }
}
