//! Passwords: hashed with Argon2id at the figures that OWASP's password storage cheat sheet gives
//! (19 MiB, 2 passes, 1 lane), few at a time, so that a crowd at the door cannot take the machine's memory.

use std::sync::Arc;

use argon2::password_hash::phc::PasswordHash;
use argon2::password_hash::{PasswordHasher, PasswordVerifier};
use argon2::{Algorithm, Argon2, Params, Version};
use secrecy::{ExposeSecret, SecretString};
use tokio::sync::Semaphore;

use crate::ambient::Chance;

/// How many are hashed at a time.
const AT_A_TIME: usize = 2;

/// Makes and checks hashes of passwords.
#[derive(Clone)]
pub struct Passwords {
    argon2: Argon2<'static>,
    turns: Arc<Semaphore>,
    chance: Chance,
}

/// What an unknown user's password is compared with, so that it takes as long as a known one's. It is nobody's: no
/// password is known to have this hash.
const DECOY: &str =
    "$argon2id$v=19$m=19456,t=2,p=1$bm9ib2R5J3Mgc2FsdCE$AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA";

/// A hash could not be made; the cause is for the log.
#[derive(Debug, thiserror::Error)]
#[error("a password could not be hashed: {0}")]
pub struct PasswordError(String);

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
        let params = params.map_err(|error| PasswordError(error.to_string()))?;
        let argon2 = Argon2::new(Algorithm::Argon2id, Version::V0x13, params);
        Ok(Self { argon2, turns: Arc::new(Semaphore::new(AT_A_TIME)), chance })
    }

    /// The hash to store, in PHC form.
    ///
    /// # Errors
    /// When the machine has no memory to do it.
    pub async fn hash(&self, password: SecretString) -> Result<String, PasswordError> {
        let (argon2, salt) = (self.argon2.clone(), self.chance.bytes());
        self.in_turn(move || hash(&argon2, password.expose_secret().as_bytes(), &salt)).await?
    }

    /// Whether that is the password. With no hash (there is no such user) it is not, after the same time.
    ///
    /// # Errors
    /// When the machine has no memory to find out.
    pub async fn verify(
        &self,
        password: SecretString,
        stored: Option<String>,
    ) -> Result<bool, PasswordError> {
        let argon2 = self.argon2.clone();
        let known = stored.is_some();
        let stored = stored.unwrap_or_else(|| DECOY.to_owned());
        let same = move || {
            let parsed = PasswordHash::new(&stored).map_err(|error| PasswordError(error.to_string()))?;
            Ok(argon2.verify_password(password.expose_secret().as_bytes(), &parsed).is_ok())
        };
        Ok(self.in_turn(same).await?? && known)
    }

    async fn in_turn<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> Result<T, PasswordError> {
        let _turn = self.turns.acquire().await.map_err(|error| PasswordError(error.to_string()))?;
        tokio::task::spawn_blocking(work).await.map_err(|error| PasswordError(error.to_string()))
    }
}

fn hash(argon2: &Argon2<'_>, password: &[u8], salt: &[u8; 16]) -> Result<String, PasswordError> {
    let hashed = argon2.hash_password_with_salt(password, salt);
    hashed.map(|hash| hash.to_string()).map_err(|error| PasswordError(error.to_string()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn only_the_same_password_of_a_known_user_passes() {
        let passwords = Passwords::cheap(Chance::seeded(1)).unwrap();
        let stored = passwords.hash("correct horse".into()).await.unwrap();
        assert!(passwords.verify("correct horse".into(), Some(stored.clone())).await.unwrap());
        assert!(!passwords.verify("wrong horse".into(), Some(stored)).await.unwrap());
        assert!(!passwords.verify("correct horse".into(), None).await.unwrap());
    }

    #[tokio::test]
    async fn passwords_are_hashed_at_owasps_figures() {
        let stored = Passwords::new(Chance::system()).unwrap().hash("x".into()).await.unwrap();
        let figures = "$argon2id$v=19$m=19456,t=2,p=1$";
        assert!(stored.starts_with(figures) && DECOY.starts_with(figures), "{stored}");
    }
}
