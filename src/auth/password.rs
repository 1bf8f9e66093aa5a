//! Passwords: hashed with Argon2id at the figures that OWASP's password storage cheat sheet gives
//! (19 MiB, 2 passes, 1 lane), few at a time, so that a crowd at the door cannot take the machine's memory. How many
//! wait for their turn is bounded as well; those beyond are told at once to come later.

use std::sync::Arc;

use argon2::password_hash::phc::PasswordHash;
use argon2::password_hash::{PasswordHasher, PasswordVerifier};
use argon2::{Algorithm, Argon2, Params, Version};
use secrecy::{ExposeSecret, SecretString};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::ambient::Chance;

/// How many are hashed at a time.
const AT_A_TIME: usize = 2;
/// How many may be hashed or wait for it: as many as have their turn within the 10 s that a request may take, when a
/// hash takes 50 ms.
const ADMITTED: usize = 256;

/// Makes and checks hashes of passwords.
#[derive(Clone)]
pub struct Passwords {
    argon2: Argon2<'static>,
    room: Arc<Semaphore>,
    turns: Arc<Semaphore>,
    chance: Chance,
}

/// The right to hash one password now.
pub struct Turn {
    _room: OwnedSemaphorePermit,
    _turn: OwnedSemaphorePermit,
}

/// What an unknown user's password is compared with, so that it takes as long as a known one's. It is nobody's: no
/// password is known to have this hash.
const DECOY: &str =
    "$argon2id$v=19$m=19456,t=2,p=1$bm9ib2R5J3Mgc2FsdCE$AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA";

/// A password could not be worked on.
#[derive(Debug, thiserror::Error)]
pub enum PasswordError {
    /// Too many wait for their turn.
    #[error("too many passwords wait to be looked at")]
    Crowded,
    /// The cause is for the log.
    #[error("a password could not be hashed: {0}")]
    Failed(String),
}

fn failed(error: impl ToString) -> PasswordError {
    PasswordError::Failed(error.to_string())
}

impl Passwords {
    /// At OWASP's figures.
    ///
    /// # Errors
    /// Never with these figures.
    pub fn new(chance: Chance) -> Result<Self, PasswordError> {
        Self::at_cost(Params::new(19 * 1024, 2, 1, None), chance)
    }

    /// At next to no cost, for tests.
    ///
    /// # Errors
    /// Never with these figures.
    pub fn cheap(chance: Chance) -> Result<Self, PasswordError> {
        Self::at_cost(Params::new(8, 1, 1, None), chance)
    }

    fn at_cost(params: argon2::Result<Params>, chance: Chance) -> Result<Self, PasswordError> {
        let argon2 = Argon2::new(Algorithm::Argon2id, Version::V0x13, params.map_err(failed)?);
        let (room, turns) = (Semaphore::new(ADMITTED), Semaphore::new(AT_A_TIME));
        Ok(Self { argon2, room: Arc::new(room), turns: Arc::new(turns), chance })
    }

    /// Waits for its turn.
    ///
    /// # Errors
    /// When too many wait already.
    pub async fn turn(&self) -> Result<Turn, PasswordError> {
        let room = Arc::clone(&self.room).try_acquire_owned().map_err(|_| PasswordError::Crowded)?;
        let turn = Arc::clone(&self.turns).acquire_owned().await.map_err(failed)?;
        Ok(Turn { _room: room, _turn: turn })
    }

    /// The hash to store, in PHC form.
    ///
    /// # Errors
    /// When too many wait, or the machine has no memory to do it.
    pub async fn hash(&self, password: SecretString) -> Result<String, PasswordError> {
        let turn = self.turn().await?;
        let (argon2, salt) = (self.argon2.clone(), self.chance.bytes());
        apart(turn, move || hash(&argon2, password.expose_secret().as_bytes(), &salt)).await
    }

    /// Whether that is the password. With no hash (there is no such user) it is not, after the same time.
    ///
    /// # Errors
    /// When the machine has no memory to find out.
    pub async fn verify(
        &self,
        turn: Turn,
        password: SecretString,
        stored: Option<String>,
    ) -> Result<bool, PasswordError> {
        let argon2 = self.argon2.clone();
        let known = stored.is_some();
        let stored = stored.unwrap_or_else(|| DECOY.to_owned());
        let same = move || {
            let parsed = PasswordHash::new(&stored).map_err(failed)?;
            Ok(argon2.verify_password(password.expose_secret().as_bytes(), &parsed).is_ok())
        };
        Ok(apart(turn, same).await? && known)
    }
}

/// Does the work on a thread of its own. The turn lasts as long as the work, for that goes on when whoever waits for
/// it has gone.
async fn apart<T: Send + 'static>(
    turn: Turn,
    work: impl FnOnce() -> Result<T, PasswordError> + Send + 'static,
) -> Result<T, PasswordError> {
    let work = move || {
        let _turn = turn;
        work()
    };
    tokio::task::spawn_blocking(work).await.map_err(failed)?
}

fn hash(argon2: &Argon2<'_>, password: &[u8], salt: &[u8; 16]) -> Result<String, PasswordError> {
    argon2.hash_password_with_salt(password, salt).map(|hash| hash.to_string()).map_err(failed)
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt;

    use super::*;

    #[tokio::test]
    async fn only_the_same_password_of_a_known_user_passes() {
        let passwords = Passwords::cheap(Chance::seeded(1)).unwrap();
        let stored = passwords.hash("correct horse".into()).await.unwrap();
        for (password, stored, right) in [
            ("correct horse", Some(stored.clone()), true),
            ("wrong horse", Some(stored), false),
            ("correct horse", None, false),
        ] {
            let turn = passwords.turn().await.unwrap();
            assert_eq!(passwords.verify(turn, password.into(), stored).await.unwrap(), right, "{password}");
        }
    }

    #[tokio::test]
    async fn a_crowd_waits_for_its_turn_up_to_a_bound() {
        let passwords = Passwords::cheap(Chance::seeded(1)).unwrap();
        let (first, _second) = (passwords.turn().await.unwrap(), passwords.turn().await.unwrap());
        let mut crowd: Vec<_> = (AT_A_TIME..ADMITTED).map(|_| Box::pin(passwords.turn())).collect();
        for waiting in &mut crowd {
            assert!(waiting.now_or_never().is_none());
        }
        assert!(matches!(passwords.turn().await, Err(PasswordError::Crowded)));
        assert!(matches!(passwords.hash("x".into()).await, Err(PasswordError::Crowded)));
        drop(first);
        assert!(crowd.remove(0).await.is_ok());
        assert!(passwords.turn().now_or_never().is_none(), "there is room for one more to wait");
    }

    #[tokio::test]
    async fn a_turn_lasts_as_long_as_the_work_even_if_nobody_waits_for_it() {
        let passwords = Passwords::new(Chance::seeded(1)).unwrap();
        let mut left = Box::pin(passwords.hash("x".into()));
        assert!((&mut left).now_or_never().is_none());
        drop(left);
        assert_eq!(passwords.turns.available_permits(), AT_A_TIME - 1);
        let _one = passwords.turn().await.unwrap();
        let _two = passwords.turn().await.unwrap();
    }

    #[tokio::test]
    async fn passwords_are_hashed_at_owasps_figures() {
        let stored = Passwords::new(Chance::system()).unwrap().hash("x".into()).await.unwrap();
        let figures = "$argon2id$v=19$m=19456,t=2,p=1$";
        assert!(stored.starts_with(figures) && DECOY.starts_with(figures), "{stored}");
    }
}
