//! Playback tokens: who may play which channel until when, signed, in a form that fits into a URL's path.
//!
//! A token holds a version, the id of its session, the user that it was given to (zero for nobody), and when it
//! expires; the signature covers these and the channel's address, so a token opens no other channel.

use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use chrono::{DateTime, TimeDelta, Utc};
use subtle::ConstantTimeEq;
use uuid::Uuid;

use crate::ambient::{Chance, Clock};
use crate::auth::Keyring;
use crate::store::{Loc, UserId};

/// How long a token opens playback.
const LIFETIME: Duration = Duration::from_secs(6 * 60 * 60);
const VERSION: u8 = 1;
const SIGNED: usize = 1 + 16 + 16 + 8;
const SIGNATURE: usize = 16;

/// Gives tokens out and reads them again.
#[derive(Clone)]
pub struct PlaybackTokens {
    keyring: Keyring,
    clock: Clock,
    chance: Chance,
}

/// What a token grants.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Grant {
    /// The viewer's session, however often it asks.
    pub session: Uuid,
    /// Who asked for it.
    pub user: Option<UserId>,
    /// Until when.
    pub expires_at: DateTime<Utc>,
}

/// A token opens nothing here: it is another channel's, has expired, or is none of ours.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the token opens nothing here")]
pub struct Refused;

impl PlaybackTokens {
    /// Tokens under the server's key.
    pub fn new(keyring: Keyring, clock: Clock, chance: Chance) -> Self {
        Self { keyring, clock, chance }
    }

    /// A new session's token for the channel at `loc`.
    pub fn grant(&self, loc: Loc, user: Option<UserId>) -> (String, Grant) {
        let expires_at = self.clock.now() + LIFETIME;
        let grant = Grant { session: self.chance.opaque_id(), user, expires_at };
        let mut token = Vec::with_capacity(SIGNED + SIGNATURE);
        token.push(VERSION);
        token.extend(grant.session.as_bytes());
        token.extend(user.map_or(Uuid::nil(), |user| user.0).as_bytes());
        token.extend(expires_at.timestamp_millis().to_be_bytes());
        let signature = self.sign(&token, loc);
        token.extend(&signature);
        (URL_SAFE_NO_PAD.encode(token), grant)
    }

    /// What a token grants on the channel at `loc`.
    ///
    /// # Errors
    /// When it grants nothing there, or no longer.
    pub fn read(&self, token: &str, loc: Loc) -> Result<Grant, Refused> {
        let bytes = URL_SAFE_NO_PAD.decode(token).map_err(|_| Refused)?;
        let (signed, signature) = bytes.split_at_checked(SIGNED).ok_or(Refused)?;
        if !bool::from(self.sign(signed, loc).as_slice().ct_eq(signature)) {
            return Err(Refused);
        }
        let (&version, rest) = signed.split_first().ok_or(Refused)?;
        let (session, rest) = rest.split_first_chunk::<16>().ok_or(Refused)?;
        let (user, rest) = rest.split_first_chunk::<16>().ok_or(Refused)?;
        let millis = i64::from_be_bytes(rest.try_into().map_err(|_| Refused)?);
        let expires_at = DateTime::UNIX_EPOCH + TimeDelta::try_milliseconds(millis).ok_or(Refused)?;
        if version != VERSION || expires_at <= self.clock.now() {
            return Err(Refused);
        }
        let user = Some(Uuid::from_bytes(*user)).filter(|user| !user.is_nil()).map(UserId);
        Ok(Grant { session: Uuid::from_bytes(*session), user, expires_at })
    }

    fn sign(&self, signed: &[u8], loc: Loc) -> [u8; SIGNATURE] {
        let mac = self.keyring.sign_playback(&[loc.0.as_bytes(), signed]);
        std::array::from_fn(|place| mac[place])
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::auth::Secrets;

    const HERE: Loc = Loc(Uuid::from_u128(1));
    const ELSEWHERE: Loc = Loc(Uuid::from_u128(2));

    fn tokens() -> (PlaybackTokens, Clock) {
        let clock = Clock::manual(DateTime::UNIX_EPOCH);
        let keyring = Keyring::new(&Secrets::of_test([1; 32], "internal"), Chance::seeded(1));
        (PlaybackTokens::new(keyring, clock.clone(), Chance::seeded(2)), clock)
    }

    #[test]
    fn a_token_opens_its_channel_until_it_expires() {
        let (tokens, clock) = tokens();
        let (token, grant) = tokens.grant(HERE, Some(UserId(Uuid::from_u128(7))));
        assert_eq!(tokens.read(&token, HERE), Ok(grant));
        assert_eq!(tokens.read(&token, ELSEWHERE), Err(Refused));
        assert!(token.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_".contains(&byte)));
        clock.advance(LIFETIME);
        assert_eq!(tokens.read(&token, HERE), Err(Refused));
    }

    proptest! {
        #[test]
        fn a_token_with_any_byte_changed_opens_nothing(place in 0_usize..57, change in 1_u8..=255) {
            let (tokens, _) = tokens();
            let (token, _) = tokens.grant(HERE, None);
            let mut bytes = URL_SAFE_NO_PAD.decode(token).unwrap();
            bytes[place] ^= change;
            prop_assert_eq!(tokens.read(&URL_SAFE_NO_PAD.encode(bytes), HERE), Err(Refused));
        }

        #[test]
        fn no_text_is_a_danger(token: String) {
            prop_assert_eq!(tokens().0.read(&token, HERE), Err(Refused));
        }
    }
}
