//! Guessing of stream keys: how many may open nothing, for the address of their publisher and for their own
//! beginning, before no more of them are looked up.
//!
//! A key that opened something before is let through all the same: whoever broadcasts from an address, or with a key
//! that begins as the guessed ones do, is not kept from coming back. To know it takes no look into the database, and it
//! is nothing that a guess could be.

use std::net::IpAddr;
use std::num::NonZero;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use lru::LruCache;

use crate::ambient::{Chance, Clock};
use crate::auth::{Limit, Origins};

const MINUTE: Duration = Duration::from_secs(60);
/// Bad keys in a minute: from an address, from a network.
const FROM: (usize, usize) = (30, 100);
/// Bad keys in a minute that begin alike.
const ALIKE: usize = 10;
/// The beginning: what every key begins with, and 8 letters of 32.
const BEGINNING: usize = 11;
/// How many keys that opened something are remembered.
const KNOWN: NonZero<usize> = NonZero::new(10_000).expect("more than none");

/// What was tried at the publishers' door; cloned freely.
#[derive(Clone)]
pub(super) struct Guesses(Arc<Inside>);

struct Inside {
    origins: Origins,
    beginnings: Limit,
    /// The keyed hashes of keys.
    known: Mutex<LruCache<Vec<u8>, ()>>,
}

/// A key that somebody shows.
pub(super) struct Shown<'a> {
    pub(super) name: &'a [u8],
    /// None for what has not the form of a key.
    pub(super) hash: Option<Vec<u8>>,
    pub(super) address: IpAddr,
}

impl Shown<'_> {
    fn beginning(&self) -> &[u8] {
        &self.name[..self.name.len().min(BEGINNING)]
    }
}

impl Guesses {
    pub(super) fn new(clock: &Clock, chance: &Chance) -> Self {
        Self(Arc::new(Inside {
            origins: Origins::new(FROM, MINUTE, clock, chance),
            beginnings: Limit::new(ALIKE, MINUTE, clock, chance),
            known: Mutex::new(LruCache::new(KNOWN)),
        }))
    }

    /// Whether it may be looked up what the key opens.
    pub(super) fn may_try(&self, shown: &Shown<'_>) -> bool {
        let Inside { origins, beginnings, .. } = &*self.0;
        let few = origins.check(shown.address).is_ok() && beginnings.check(shown.beginning()).is_ok();
        few || shown.hash.as_ref().is_some_and(|hash| self.known().get(hash).is_some())
    }

    /// It opened something.
    pub(super) fn was_right(&self, shown: Shown<'_>) {
        if let Some(hash) = shown.hash {
            self.known().put(hash, ());
        }
    }

    /// It opened nothing. Says so in the log when it was the last one that is looked up for a while.
    pub(super) fn was_wrong(&self, shown: &Shown<'_>) {
        let Inside { origins, beginnings, .. } = &*self.0;
        if let Some(hash) = &shown.hash {
            self.known().pop(hash);
        }
        // What is over its limit by now, since others came at the same time, is over it one way or the other.
        let _ = origins.count(shown.address);
        let _ = beginnings.count(shown.beginning());
        if !self.may_try(shown) {
            tracing::warn!(address = %shown.address, "too many bad stream keys; no more are looked up for a while");
        }
    }

    fn known(&self) -> MutexGuard<'_, LruCache<Vec<u8>, ()>> {
        self.0.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
