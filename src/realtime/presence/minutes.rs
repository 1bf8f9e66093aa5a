//! What is kept of audiences for later: for each stream the most at one time in each minute, written when the minute is
//! over, all streams of it in one statement.

use std::collections::{BTreeMap, HashMap};

use chrono::{DateTime, TimeDelta, Utc};

use super::{Presence, lock};
use crate::store::{Store, StreamId};

/// How long the figures of a minute wait for a database that is away.
const PATIENCE: TimeDelta = TimeDelta::hours(1);

/// A minute of a stream.
#[derive(Clone, Copy)]
pub(super) struct Minute {
    pub(super) stream: StreamId,
    /// When it began.
    pub(super) at: DateTime<Utc>,
    /// The most that watched at one time.
    pub(super) most: i32,
}

/// The minute that a moment is in.
pub(super) fn minute_of(at: DateTime<Utc>) -> DateTime<Utc> {
    at - TimeDelta::milliseconds(at.timestamp_millis().rem_euclid(60_000))
}

impl Presence {
    /// Takes the present minute for over, as far as it has come: the process stops.
    pub(super) fn end_minute(&self) {
        self.0.shards.iter().for_each(|shard| lock(shard).end_minute());
    }

    /// Writes the minutes that are over. Those that cannot be written wait.
    pub(super) async fn save_minutes(&self, store: &Store) {
        let over = self.0.shards.iter().flat_map(|shard| lock(shard).take_minutes());
        let mut minutes: BTreeMap<_, HashMap<StreamId, i32>> = BTreeMap::new();
        // A clock that is set back has a stream tell of a minute twice.
        for Minute { stream, at, most } in over {
            let known = minutes.entry(at).or_default().entry(stream).or_default();
            *known = most.max(*known);
        }
        let oldest = self.0.clock.now() - PATIENCE;
        for (at, most) in minutes {
            let most: Vec<_> = most.into_iter().collect();
            let Err(error) = store.keep_audiences(at, &most).await else { continue };
            tracing::warn!(%error, minute = %at, "audiences cannot be written");
            if at > oldest {
                let back = most.into_iter().map(|(stream, most)| Minute { stream, at, most });
                lock(&self.0.shards[0]).wait_with(back);
            }
        }
    }
}
