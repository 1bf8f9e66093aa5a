//! How often something may be tried: so many times in any stretch of time, counted by who tries.
//!
//! Who tries is told apart by a hash into a fixed number of places, so that no crowd of names or addresses takes more
//! memory than was set apart for it. Two who fall into one place are counted together. So a try is never forgotten to
//! make room for another; nobody can choose with whom to share, since the hash is another one in each process.

use std::collections::{HashMap, VecDeque};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use sha2::{Digest, Sha256};

use crate::ambient::{Chance, Clock};

/// How many places there are.
const PLACES: u16 = 1 << 13;

/// Not now; after this time, if nobody tries meanwhile.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Wait(pub Duration);

/// So many tries in any stretch of so much time.
pub struct Limit {
    most: usize,
    within: Duration,
    clock: Clock,
    salt: [u8; 16],
    /// When there was a try, the oldest first; of the places where there ever was one.
    places: Mutex<HashMap<u16, VecDeque<Duration>>>,
}

impl Limit {
    /// `most` tries `within` any stretch of that time.
    pub fn new(most: usize, within: Duration, clock: &Clock, chance: &Chance) -> Self {
        Self { most, within, clock: clock.clone(), salt: chance.bytes(), places: Mutex::default() }
    }

    /// Whether one more may be tried; counts nothing.
    ///
    /// # Errors
    /// When there were too many.
    pub fn check(&self, who: &[u8]) -> Result<(), Wait> {
        let now = self.clock.elapsed();
        let places = self.lock();
        let tries = places.get(&self.place(who));
        tries.map_or(Ok(()), |tries| self.is_free(tries, now))
    }

    /// Counts one more; the moment by which [`Limit::forgive`] finds it again.
    ///
    /// # Errors
    /// When there were too many; it is not counted then.
    pub fn count(&self, who: &[u8]) -> Result<Duration, Wait> {
        let now = self.clock.elapsed();
        let mut places = self.lock();
        let tries = places.entry(self.place(who)).or_default();
        self.is_free(tries, now)?;
        if tries.len() == self.most {
            tries.pop_front();
        }
        tries.push_back(now);
        Ok(now)
    }

    /// Takes back what was counted at that moment.
    pub fn forgive(&self, who: &[u8], counted: Duration) {
        let (place, mut places) = (self.place(who), self.lock());
        let Some(tries) = places.get_mut(&place) else { return };
        if let Some(found) = tries.iter().rposition(|at| *at == counted) {
            tries.remove(found);
        }
        if tries.is_empty() {
            places.remove(&place);
        }
    }

    /// Only the oldest of the most that may be matters: once it is long ago, there is room for one.
    fn is_free(&self, tries: &VecDeque<Duration>, now: Duration) -> Result<(), Wait> {
        match tries.front().filter(|_| tries.len() >= self.most) {
            Some(oldest) if *oldest + self.within > now => Err(Wait(*oldest + self.within - now)),
            _ => Ok(()),
        }
    }

    fn place(&self, who: &[u8]) -> u16 {
        let digest = Sha256::new().chain_update(self.salt).chain_update(who).finalize();
        u16::from_be_bytes([digest[0], digest[1]]) % PLACES
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<u16, VecDeque<Duration>>> {
        self.places.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use chrono::DateTime;
    use proptest::prelude::*;

    use super::*;

    const MINUTE: Duration = Duration::from_secs(60);

    fn limit() -> (Limit, Clock) {
        let clock = Clock::manual(DateTime::UNIX_EPOCH);
        (Limit::new(10, MINUTE, &clock, &Chance::seeded(1)), clock)
    }

    #[test]
    fn the_eleventh_waits_until_the_first_is_a_minute_ago() {
        let (limit, clock) = limit();
        for _ in 0..10 {
            assert!(limit.check(b"mia").is_ok() && limit.count(b"mia").is_ok());
            clock.advance(Duration::from_secs(1));
        }
        assert_eq!(limit.count(b"mia"), Err(Wait(Duration::from_secs(50))));
        assert_eq!(limit.check(b"mia"), Err(Wait(Duration::from_secs(50))));
        assert!(limit.count(b"tom").is_ok(), "another one has tries of their own");
        clock.advance(Duration::from_secs(50));
        assert!(limit.count(b"mia").is_ok());
        assert_eq!(limit.count(b"mia"), Err(Wait(Duration::from_secs(1))), "the second is 59 s ago");
    }

    #[test]
    fn what_is_taken_back_was_never_counted() {
        let (limit, _) = limit();
        for _ in 0..100 {
            let counted = limit.count(b"mia").unwrap();
            limit.forgive(b"mia", counted);
        }
        assert!(limit.lock().is_empty());
    }

    #[test]
    fn no_crowd_takes_more_than_its_places() {
        let (limit, _) = limit();
        for number in 0..200_000_u32 {
            let _ = limit.count(&number.to_be_bytes());
        }
        let places = limit.lock();
        assert!(places.len() <= usize::from(PLACES));
        assert!(places.values().all(|tries| tries.len() <= 10));
    }

    proptest! {
        /// Whenever they come.
        #[test]
        fn no_minute_has_more_than_its_most(pauses in prop::collection::vec(0u64..20_000, 1..200)) {
            let (limit, clock) = limit();
            let mut counted = Vec::new();
            for pause in pauses {
                clock.advance(Duration::from_millis(pause));
                counted.extend(limit.count(b"mia"));
            }
            prop_assert!(counted.windows(11).all(|tries| tries[10] - tries[0] >= MINUTE));
        }
    }
}
