//! Session tokens: 256 random bits that only their bearer has; we keep a hash.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use sha2::{Digest, Sha256};
use uuid::Uuid;

use crate::ambient::Chance;

/// How long a session lasts.
pub const SESSION: Duration = Duration::from_secs(30 * 24 * 60 * 60);

/// Tells what the token is to whoever finds one lying about, secret scanners among them.
const PREFIX: &str = "tally_session_";

/// What a session is called where it is listed, by the hash of its token: it leads back to neither.
pub fn session_id(token_hash: &[u8]) -> Uuid {
    let digest: [u8; 32] =
        Sha256::new().chain_update("the name of a session").chain_update(token_hash).finalize().into();
    Uuid::from_u128(u128::from_be_bytes(std::array::from_fn(|index| digest[index])))
}

/// What a client sends as `Authorization: Bearer TOKEN`.
#[derive(Clone, PartialEq, Eq)]
pub struct SessionToken([u8; 32]);

/// Not a token of ours.
#[derive(Debug, thiserror::Error)]
#[error("not a session token")]
pub struct NoSessionToken;

impl SessionToken {
    /// A new one.
    pub fn new(chance: &Chance) -> Self {
        Self(chance.bytes())
    }

    /// The token itself, for its bearer alone.
    pub fn reveal(&self) -> String {
        format!("{PREFIX}{}", URL_SAFE_NO_PAD.encode(self.0))
    }

    /// What is stored of it. A plain hash will do: there is nothing to guess in 256 random bits.
    pub fn hash(&self) -> [u8; 32] {
        Sha256::digest(self.0).into()
    }
}

impl FromStr for SessionToken {
    type Err = NoSessionToken;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let encoded = text.strip_prefix(PREFIX).ok_or(NoSessionToken)?;
        let bytes = URL_SAFE_NO_PAD.decode(encoded).map_err(|_| NoSessionToken)?;
        bytes.try_into().map(Self).map_err(|_| NoSessionToken)
    }
}

impl fmt::Debug for SessionToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SessionToken")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_comes_back_as_itself_and_is_never_shown() {
        let token = SessionToken::new(&Chance::seeded(3));
        assert_eq!(token.reveal().parse::<SessionToken>().unwrap(), token);
        assert_eq!(format!("{token:?}"), "SessionToken");
        assert!("tally_session_short".parse::<SessionToken>().is_err());
        assert!("".parse::<SessionToken>().is_err());
    }
}
