//! What is kept for a time and then forgotten: events, what is left of deleted channels, idempotency keys,
//! the record of who did what.

use std::time::Duration;

use chrono::TimeDelta;
use tokio_util::sync::CancellationToken;

use crate::ambient::Clock;
use crate::lifecycle::{Failure, Pace};
use crate::store::{Store, StoreError};

const ROUND: Duration = Duration::from_secs(60 * 60);
/// How long the event log is kept: part of the API's promise.
const EVENTS: TimeDelta = TimeDelta::days(7);
/// How long it is on record who did what.
const AUDIT: TimeDelta = TimeDelta::days(365);
/// A deleted channel's rows must outlive every event that speaks of them.
const DELETED: TimeDelta = TimeDelta::days(8);

/// Forgets, every hour until `stop`.
///
/// # Errors
/// Never: what fails is tried again.
pub async fn run(store: Store, clock: Clock, stop: CancellationToken) -> Result<(), Failure> {
    let mut pace = Pace::new(ROUND, stop);
    while pace.beat().await {
        // What fails has said so.
        let _ = forget(&store, &clock).await;
    }
    Ok(())
}

/// One round. What cannot be forgotten keeps nothing else from it, but for the channels, which go after their events.
///
/// # Errors
/// When the database fails: what failed first.
pub async fn forget(store: &Store, clock: &Clock) -> Result<(), StoreError> {
    let now = clock.now();
    let events = told("events", store.trim_events(now - EVENTS).await);
    let channels = match &events {
        Ok(()) => told("deleted channels", store.purge_channels(now - DELETED).await),
        // With a channel go those of its events that are still there, and the log would not say that they are gone.
        Err(_) => Ok(()),
    };
    let attempts = told("idempotency keys", store.forget_attempts(now).await);
    let records = told("audit records", store.forget_audit(now - AUDIT).await);
    events.and(channels).and(attempts).and(records)
}

fn told(what: &str, forgotten: Result<usize, StoreError>) -> Result<(), StoreError> {
    match &forgotten {
        Ok(number) => tracing::debug!(what, number, "forgotten"),
        Err(error) => tracing::warn!(what, %error, "what is old cannot be forgotten"),
    }
    forgotten.map(drop)
}
