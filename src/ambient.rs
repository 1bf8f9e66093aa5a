//! Time and chance, which come in from outside so that a test can own both.
//!
//! Nothing else in the crate asks the system for the time or for random bytes; `clippy.toml` bans the direct
//! calls and names these instead.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use chrono::{DateTime, SubsecRound, TimeDelta, Utc};
use rand::rngs::{StdRng, SysRng};
use rand::{Rng, SeedableRng, TryRng};
use uuid::Uuid;

/// Says which cryptography TLS stands on in this process, which HTTP clients do not know by themselves: ring's.
pub fn cryptography() {
    // That somebody has said so before is no failure.
    let _ = tokio_rustls::rustls::crypto::ring::default_provider().install_default();
}

/// An HTTP client in the making, which goes through no proxy, whatever the environment says.
#[expect(clippy::disallowed_methods, reason = "the one place that makes them")]
pub fn http_client() -> reqwest::ClientBuilder {
    cryptography();
    reqwest::Client::builder().no_proxy()
}

/// Tells the time: of day for what is stored and shown, monotonic for what merely waits.
#[derive(Clone)]
pub struct Clock(Source);

#[derive(Clone)]
enum Source {
    System { started: Instant },
    Manual(Arc<Mutex<Manual>>),
}

struct Manual {
    now: DateTime<Utc>,
    elapsed: Duration,
}

impl Clock {
    /// The machine's own clock.
    #[expect(clippy::disallowed_methods, reason = "the one place that asks the system")]
    pub fn system() -> Self {
        Self(Source::System { started: Instant::now() })
    }

    /// A clock that stands still at `now` until [`Clock::advance`] moves it.
    pub fn manual(now: DateTime<Utc>) -> Self {
        Self(Source::Manual(Arc::new(Mutex::new(Manual { now, elapsed: Duration::ZERO }))))
    }

    /// The time of day, cut to the milliseconds that the API shows.
    #[expect(clippy::disallowed_methods, reason = "the one place that asks the system")]
    pub fn now(&self) -> DateTime<Utc> {
        match &self.0 {
            Source::System { .. } => Utc::now().trunc_subsecs(3),
            Source::Manual(manual) => manual.lock().unwrap_or_else(PoisonError::into_inner).now,
        }
    }

    /// Time since this clock was made; it never goes back, whatever is done to the time of day.
    pub fn elapsed(&self) -> Duration {
        match &self.0 {
            Source::System { started } => started.elapsed(),
            Source::Manual(manual) => manual.lock().unwrap_or_else(PoisonError::into_inner).elapsed,
        }
    }

    /// Moves a manual clock forward.
    ///
    /// # Panics
    /// On the system's clock, which nobody moves.
    pub fn advance(&self, by: Duration) {
        let Source::Manual(manual) = &self.0 else { panic!("only a manual clock can be moved") };
        let mut manual = manual.lock().unwrap_or_else(PoisonError::into_inner);
        manual.now += by;
        manual.elapsed += by;
    }

    /// Sets a manual clock's time of day forward or back, as whoever looks after the machine may do at any moment;
    /// no time passes.
    ///
    /// # Panics
    /// On the system's clock.
    pub fn step(&self, by: TimeDelta) {
        let Source::Manual(manual) = &self.0 else { panic!("only a manual clock can be stepped") };
        manual.lock().unwrap_or_else(PoisonError::into_inner).now += by;
    }
}

/// Gives random bytes: the system's, or a reproducible run of them from a seed.
#[derive(Clone)]
pub struct Chance(Option<Arc<Mutex<StdRng>>>);

impl Chance {
    /// The system's generator, fit for secrets.
    pub fn system() -> Self {
        Self(None)
    }

    /// The same bytes for the same seed, for tests.
    pub fn seeded(seed: u64) -> Self {
        Self(Some(Arc::new(Mutex::new(StdRng::seed_from_u64(seed)))))
    }

    /// `N` random bytes.
    ///
    /// # Panics
    /// When the system has no randomness to give: nothing safe can be done without.
    pub fn bytes<const N: usize>(&self) -> [u8; N] {
        let mut bytes = [0; N];
        match &self.0 {
            None => SysRng.try_fill_bytes(&mut bytes).expect("the system gives random bytes"),
            Some(seeded) => seeded.lock().unwrap_or_else(PoisonError::into_inner).fill_bytes(&mut bytes),
        }
        bytes
    }

    /// A fresh version 7 id: ids made later sort later, so that they can serve as keyset cursors.
    #[expect(clippy::disallowed_methods, reason = "the one place that makes ids")]
    pub fn id(&self, now: DateTime<Utc>) -> Uuid {
        let milliseconds = u64::try_from(now.timestamp_millis()).unwrap_or(0);
        uuid::Builder::from_unix_timestamp_millis(milliseconds, &self.bytes()).into_uuid()
    }

    /// A random version 4 id, for what must tell nothing, not even when it was made.
    pub fn opaque_id(&self) -> Uuid {
        uuid::Builder::from_random_bytes(self.bytes()).into_uuid()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_made_later_sort_later() {
        let clock = Clock::manual(DateTime::UNIX_EPOCH);
        let chance = Chance::seeded(1);
        let earlier = chance.id(clock.now());
        clock.advance(Duration::from_millis(1));
        assert!(chance.id(clock.now()) > earlier);
        assert_eq!(clock.elapsed(), Duration::from_millis(1));
    }

    #[test]
    fn the_same_seed_gives_the_same_bytes() {
        assert_eq!(Chance::seeded(7).bytes::<16>(), Chance::seeded(7).bytes::<16>());
        assert_ne!(Chance::system().bytes::<16>(), Chance::system().bytes::<16>());
    }
}
