//! Reports that could not be written down, or not yet: a publisher that was heard is there, whatever became of its lease.
//! Normally there are none.

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use super::LEASE;
use crate::ambient::Clock;
use crate::store::Connection;

/// Whose reports they are, and since when; cloned freely.
#[derive(Clone)]
pub(super) struct Unwritten {
    since: Arc<Mutex<HashMap<Connection, Duration>>>,
    clock: Clock,
}

impl Unwritten {
    pub(super) fn new(clock: Clock) -> Self {
        Self { since: Arc::default(), clock }
    }

    /// A publisher was heard. It counts from now on, also if whoever writes it down is broken off.
    pub(super) fn add(&self, publisher: &Connection) {
        self.with(|since| since.insert(publisher.clone(), self.clock.elapsed()));
    }

    /// That has been written down.
    pub(super) fn remove(&self, publisher: &Connection) {
        self.with(|since| since.remove(publisher));
    }

    /// Who was heard within the time of a lease without its row saying so; who was before is forgotten.
    pub(super) fn all(&self) -> HashSet<Connection> {
        let now = self.clock.elapsed();
        self.with(|since| {
            since.retain(|_, at| now - *at < LEASE);
            since.keys().cloned().collect()
        })
    }

    fn with<T>(&self, work: impl FnOnce(&mut HashMap<Connection, Duration>) -> T) -> T {
        work(&mut self.since.lock().unwrap_or_else(PoisonError::into_inner))
    }
}
