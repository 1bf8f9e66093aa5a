//! The passwords of channels: what opens a protected channel to whoever knows it.
//!
//! A class that comes in one minute all has the same one. So the last password that was found right is remembered, as a
//! keyed hash, until the process ends, and compared before Argon2 is asked.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use secrecy::SecretString;
use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;
use uuid::Uuid;

use super::guesses::Origins;
use super::limit::Wait;
use super::password::{PasswordError, Passwords};
use crate::ambient::{Chance, Clock};

/// Wrong ones in a minute: from an address, from a network.
const WRONG: (usize, usize) = (30, 100);
/// So many are remembered; then it begins anew.
const REMEMBERED: usize = 10_000;

/// Looks at passwords of channels; one for the process.
pub struct ChannelPasswords {
    passwords: Passwords,
    wrong: Origins,
    salt: [u8; 32],
    /// By which password it is.
    right: Mutex<HashMap<Uuid, [u8; 32]>>,
}

/// A password could not be looked at.
#[derive(Debug, thiserror::Error)]
pub enum Unread {
    /// Too many from there were wrong.
    #[error("too many wrong passwords")]
    TooMany(Wait),
    /// It could not be worked on.
    #[error(transparent)]
    Password(#[from] PasswordError),
}

impl ChannelPasswords {
    /// None is known yet.
    pub fn new(passwords: Passwords, clock: &Clock, chance: &Chance) -> Self {
        let wrong = Origins::new(WRONG, Duration::from_secs(60), clock, chance);
        Self { passwords, wrong, salt: chance.bytes(), right: Mutex::default() }
    }

    /// Whether somebody at `address` knows the password `id`, of which `stored` is the hash.
    ///
    /// # Errors
    /// When too many from there were wrong, too many wait for their turn, or the machine has no memory to find out.
    pub async fn is_right(
        &self,
        address: IpAddr,
        (id, stored): (Uuid, String),
        password: String,
    ) -> Result<bool, Unread> {
        self.wrong.check(address).map_err(Unread::TooMany)?;
        let digest: [u8; 32] =
            Sha256::new().chain_update(self.salt).chain_update(&password).finalize().into();
        if let Some(right) = self.compare(address, id, digest)? {
            return Ok(right);
        }
        let turn = self.passwords.turn().await?;
        // Of many who came at once, all but the first few find it known when it is their turn.
        if let Some(right) = self.compare(address, id, digest)? {
            return Ok(right);
        }
        // It counts for a wrong one until it was right; not before, for whoever waits has guessed nothing yet.
        let guess = self.wrong.count(address).map_err(Unread::TooMany)?;
        let right = self.passwords.verify(turn, SecretString::from(password), Some(stored)).await?;
        if right {
            guess.forgive();
            let mut remembered = self.lock();
            if remembered.len() >= REMEMBERED {
                remembered.clear();
            }
            remembered.insert(id, digest);
        }
        Ok(right)
    }

    /// Whether it is the one that was found right, if one was; another one counts as wrong.
    fn compare(&self, address: IpAddr, id: Uuid, digest: [u8; 32]) -> Result<Option<bool>, Unread> {
        let same = self.lock().get(&id).map(|right| bool::from(digest.ct_eq(right)));
        if same == Some(false) {
            self.wrong.count(address).map_err(Unread::TooMany)?;
        }
        Ok(same)
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, HashMap<Uuid, [u8; 32]>> {
        self.right.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use chrono::DateTime;

    use super::*;

    #[tokio::test]
    async fn a_class_that_knows_it_waits_for_one_and_whoever_guesses_is_stopped() {
        let (clock, chance) = (Clock::manual(DateTime::UNIX_EPOCH), Chance::seeded(1));
        let passwords = Passwords::cheap(chance.clone()).unwrap();
        let stored = (Uuid::from_u128(1), passwords.hash("open sesame".into()).await.unwrap());
        let doors = ChannelPasswords::new(passwords.clone(), &clock, &chance);
        let [school, other] = [1, 2].map(|third| IpAddr::from([192, 0, third, 1]));
        let ask = async |from, word: &str| doors.is_right(from, stored.clone(), word.to_owned()).await;
        // A whole class at once, before anybody was right.
        let class = (0..200).map(|_| ask(school, "open sesame"));
        for right in futures_util::future::join_all(class).await {
            assert!(right.unwrap());
        }
        // Nobody has a turn at Argon2 any more.
        let _turns = [passwords.turn().await.unwrap(), passwords.turn().await.unwrap()];
        for _ in 0..500 {
            assert!(ask(school, "open sesame").await.unwrap());
        }
        for _ in 0..30 {
            assert!(!ask(school, "open barley").await.unwrap());
        }
        assert!(matches!(ask(school, "open barley").await, Err(Unread::TooMany(_))));
        assert!(ask(other, "open sesame").await.unwrap());
    }
}
