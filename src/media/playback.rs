//! Playback tokens: who may play which channel until when, signed, in a form that fits into a URL's path.
//!
//! A token holds a version, the id of its viewer session, what it was given for (the session of somebody who had signed
//! in, the channel's password, or neither), and when it expires; the signature covers these and the channel's address, so
//! a token opens no other channel. What it was given for is looked at again whenever a protected channel is played: a
//! token is over with its session or its password.

use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use chrono::{DateTime, TimeDelta, Utc};
use subtle::ConstantTimeEq;
use uuid::Uuid;

use crate::ambient::{Chance, Clock};
use crate::auth::Keyring;
use crate::store::Loc;

/// How long a token opens playback.
const LIFETIME: Duration = Duration::from_secs(6 * 60 * 60);
const VERSION: u8 = 2;
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
    /// The hash of the session token of whoever asked for it, had they signed in.
    pub signed_in: Option<[u8; 32]>,
    /// The channel's password that it was given for.
    pub password: Option<Uuid>,
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

    /// A token for the channel at `loc`; of the session of `renewed`, or of a new one.
    pub fn grant(
        &self,
        loc: Loc,
        renewed: Option<&Grant>,
        signed_in: Option<[u8; 32]>,
        password: Option<Uuid>,
    ) -> (String, Grant) {
        let session = renewed.map_or_else(|| self.chance.opaque_id(), |grant| grant.session);
        let grant = Grant { session, signed_in, password, expires_at: self.clock.now() + LIFETIME };
        let mut token = grant.bytes();
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
        let signed = bytes.len().checked_sub(SIGNATURE).ok_or(Refused)?;
        let (signed, signature) = bytes.split_at(signed);
        if !bool::from(self.sign(signed, loc).as_slice().ct_eq(signature)) {
            return Err(Refused);
        }
        let grant = Grant::of_bytes(signed).ok_or(Refused)?;
        if grant.expires_at <= self.clock.now() { Err(Refused) } else { Ok(grant) }
    }

    fn sign(&self, signed: &[u8], loc: Loc) -> [u8; SIGNATURE] {
        let mac = self.keyring.sign_playback(&[loc.0.as_bytes(), signed]);
        std::array::from_fn(|place| mac[place])
    }
}

impl Grant {
    /// How many characters all tokens of a session begin with alike, whatever they were given for: the version and its id
    /// are 17 bytes, of which these hold all but four bits. Viewers are told apart by them.
    #[cfg(test)]
    const SESSION: usize = 22;

    fn bytes(&self) -> Vec<u8> {
        let parts = u8::from(self.signed_in.is_some()) | u8::from(self.password.is_some()) << 1;
        let mut bytes = vec![VERSION];
        bytes.extend(self.session.as_bytes());
        bytes.push(parts);
        bytes.extend(self.signed_in.iter().flatten());
        bytes.extend(self.password.iter().flat_map(Uuid::as_bytes));
        bytes.extend(self.expires_at.timestamp_millis().to_be_bytes());
        bytes
    }

    fn of_bytes(bytes: &[u8]) -> Option<Self> {
        let (&version, rest) = bytes.split_first()?;
        let (session, rest) = rest.split_first_chunk()?;
        let (&parts, mut rest) = rest.split_first()?;
        let (mut signed_in, mut password) = (None, None);
        if parts & 1 != 0 {
            let (hash, others) = rest.split_first_chunk()?;
            (signed_in, rest) = (Some(*hash), others);
        }
        if parts & 2 != 0 {
            let (id, others) = rest.split_first_chunk()?;
            (password, rest) = (Some(Uuid::from_bytes(*id)), others);
        }
        let millis = i64::from_be_bytes(rest.try_into().ok()?);
        let expires_at = DateTime::UNIX_EPOCH + TimeDelta::try_milliseconds(millis)?;
        let session = Uuid::from_bytes(*session);
        (version == VERSION).then_some(Self { session, signed_in, password, expires_at })
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
        for (signed_in, password) in [
            (None, None),
            (Some([7; 32]), None),
            (None, Some(Uuid::from_u128(8))),
            (Some([7; 32]), Some(Uuid::from_u128(8))),
        ] {
            let (token, grant) = tokens.grant(HERE, None, signed_in, password);
            assert_eq!((grant.signed_in, grant.password), (signed_in, password));
            assert_eq!(tokens.read(&token, HERE), Ok(grant));
            assert_eq!(tokens.read(&token, ELSEWHERE), Err(Refused));
            let in_a_path = |byte: u8| byte.is_ascii_alphanumeric() || b"-_".contains(&byte);
            assert!(token.len() <= 200 && token.bytes().all(in_a_path), "as nginx expects it");
            clock.advance(LIFETIME);
            assert_eq!(tokens.read(&token, HERE), Err(Refused));
        }
    }

    #[test]
    fn a_renewed_token_goes_on_with_its_session_and_lasts_longer() {
        let (tokens, clock) = tokens();
        let (first, grant) = tokens.grant(HERE, None, Some([7; 32]), None);
        clock.advance(LIFETIME / 2);
        let (second, renewed) = tokens.grant(HERE, Some(&grant), Some([7; 32]), None);
        assert_eq!(first[..Grant::SESSION], second[..Grant::SESSION]);
        assert_ne!(first[..Grant::SESSION], tokens.grant(HERE, None, None, None).0[..Grant::SESSION]);
        clock.advance(LIFETIME / 2);
        assert_eq!((tokens.read(&first, HERE), tokens.read(&second, HERE)), (Err(Refused), Ok(renewed)));
    }

    proptest! {
        #[test]
        fn a_token_with_any_byte_changed_opens_nothing(place in 0_usize..42, change in 1_u8..=255) {
            let (tokens, _) = tokens();
            let (token, _) = tokens.grant(HERE, None, None, None);
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
