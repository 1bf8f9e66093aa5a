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
        if let Err(error) = forget(&store, &clock).await {
            tracing::warn!(%error, "old events cannot be forgotten");
        }
    }
    Ok(())
}

/// One round.
///
/// # Errors
/// When the database fails.
pub async fn forget(store: &Store, clock: &Clock) -> Result<(), StoreError> {
    let now = clock.now();
    let events = store.trim_events(now - EVENTS).await?;
    let channels = store.purge_channels(now - DELETED).await?;
    let attempts = store.forget_attempts(now).await?;
    let records = store.forget_audit(now - AUDIT).await?;
    tracing::debug!(events, channels, attempts, records, "forgotten");
    Ok(())
}
