//! What the server's key opens: the keys derived from it, each for one purpose; stream keys under them, and the keys that
//! other servers gave.

use std::fmt;
use std::str::FromStr;

use chacha20poly1305::aead::{Aead, KeyInit, Payload};
use chacha20poly1305::{XChaCha20Poly1305, XNonce};
use hmac::{Hmac, Mac};
use secrecy::SecretString;
use sha2::Sha256;
use uuid::Uuid;

use super::Secrets;
use crate::ambient::Chance;
use crate::store::{ChannelId, Sealed, TargetId};

/// Tells what the key is to whoever finds one lying about.
const PREFIX: &str = "tk_";
/// 32 letters that cannot be taken for one another: 5 bits each.
const ALPHABET: &[u8; 32] = b"abcdefghijkmnpqrstuvwxyz23456789";
/// 32 of them are 160 bits.
const LENGTH: usize = 32;
const NONCE: usize = 24;

/// The secret that goes into OBS: whoever has it may broadcast on the channel.
#[derive(Clone, PartialEq, Eq)]
pub struct StreamKey(String);

/// Not of the form of a stream key.
#[derive(Debug, thiserror::Error)]
#[error("not a stream key")]
pub struct NoStreamKey;

impl StreamKey {
    /// A new one.
    pub fn new(chance: &Chance) -> Self {
        let letter = |byte: u8| char::from(ALPHABET[usize::from(byte % 32)]);
        let letters = chance.bytes::<LENGTH>().map(letter);
        Self(PREFIX.chars().chain(letters).collect())
    }

    /// The key itself, for its owner alone.
    pub fn reveal(&self) -> &str {
        &self.0
    }
}

impl FromStr for StreamKey {
    type Err = NoStreamKey;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let letters = text.strip_prefix(PREFIX).ok_or(NoStreamKey)?;
        if letters.len() == LENGTH && letters.bytes().all(|byte| ALPHABET.contains(&byte)) {
            Ok(Self(text.to_owned()))
        } else {
            Err(NoStreamKey)
        }
    }
}

impl fmt::Debug for StreamKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("StreamKey")
    }
}

/// The keys of this installation.
#[derive(Clone)]
pub struct Keyring {
    lookup: [u8; 32],
    stream_keys: Seal,
    target_keys: Seal,
    /// Begun: a token is signed or read each time that somebody watches, and the beginning is the same.
    playback: Hmac<Sha256>,
    chance: Chance,
}

/// A sealed key does not open: it was sealed under another server's key, or was tampered with.
#[derive(Debug, thiserror::Error)]
#[error("a sealed key does not open under this server's key")]
pub struct NotSealedHere;

/// What secrets of a kind are sealed under, each for one thing that it belongs to.
#[derive(Clone)]
struct Seal {
    key: [u8; 32],
    /// What opens copies that were sealed under the server's key before this one.
    before: Option<[u8; 32]>,
}

impl Seal {
    fn of(secrets: &Secrets, purpose: &str) -> Self {
        let derive = |key: &[u8; 32]| mac(key, &[purpose.as_bytes()]);
        Self { key: derive(secrets.key()), before: secrets.previous_key().map(derive) }
    }

    fn close(&self, secret: &str, owner: Uuid, chance: &Chance) -> Vec<u8> {
        let nonce = XNonce::from(chance.bytes::<NONCE>());
        let payload = Payload { msg: secret.as_bytes(), aad: owner.as_bytes() };
        let sealed = XChaCha20Poly1305::new(&self.key.into()).encrypt(&nonce, payload);
        // Encryption fails only on messages beyond 256 GiB.
        [nonce.as_slice(), &sealed.unwrap_or_default()].concat()
    }

    fn open(&self, sealed: &[u8], owner: Uuid) -> Result<String, NotSealedHere> {
        match (open(&self.key, sealed, owner), &self.before) {
            (Err(NotSealedHere), Some(before)) => open(before, sealed, owner),
            (opened, _) => opened,
        }
    }

    /// What was sealed, if it was sealed under the server's key before this one.
    fn open_before(&self, sealed: &[u8], owner: Uuid) -> Result<Option<String>, NotSealedHere> {
        if open(&self.key, sealed, owner).is_ok() {
            return Ok(None);
        }
        self.open(sealed, owner).map(Some)
    }
}

impl Keyring {
    /// Derives the keys from the server's own.
    pub fn new(secrets: &Secrets, chance: Chance) -> Self {
        let derive = |purpose: &str| mac(secrets.key(), &[purpose.as_bytes()]);
        Self {
            lookup: derive("tally stream key lookup 1"),
            stream_keys: Seal::of(secrets, "tally stream key seal 1"),
            target_keys: Seal::of(secrets, "tally simulcast key seal 1"),
            playback: keyed(&derive("tally playback token 1")),
            chance,
        }
    }

    /// What a stream key is looked up by.
    pub fn lookup(&self, key: &StreamKey) -> Vec<u8> {
        mac(&self.lookup, &[key.0.as_bytes()]).to_vec()
    }

    /// The form in which a channel's stream key is kept.
    pub fn seal(&self, key: &StreamKey, channel: ChannelId) -> Sealed {
        let sealed = self.stream_keys.close(&key.0, channel.0, &self.chance);
        Sealed { hash: self.lookup(key), sealed }
    }

    /// A channel's stream key again.
    ///
    /// # Errors
    /// When it was sealed under another key, or for another channel.
    pub fn open(&self, sealed: &[u8], channel: ChannelId) -> Result<StreamKey, NotSealedHere> {
        self.stream_keys.open(sealed, channel.0)?.parse().map_err(|_| NotSealedHere)
    }

    /// A channel's stream key in the form in which it is kept now; `None` when it is in that form.
    ///
    /// # Errors
    /// As [`Keyring::open`].
    pub fn reseal(&self, sealed: &[u8], channel: ChannelId) -> Result<Option<Sealed>, NotSealedHere> {
        let Some(before) = self.stream_keys.open_before(sealed, channel.0)? else { return Ok(None) };
        Ok(Some(self.seal(&before.parse().map_err(|_| NotSealedHere)?, channel)))
    }

    /// The form in which the key that another server gave is kept.
    pub fn seal_target(&self, key: &str, target: TargetId) -> Vec<u8> {
        self.target_keys.close(key, target.0, &self.chance)
    }

    /// The key that another server gave again.
    ///
    /// # Errors
    /// When it was sealed under another key, or for another target.
    pub fn open_target(&self, sealed: &[u8], target: TargetId) -> Result<SecretString, NotSealedHere> {
        self.target_keys.open(sealed, target.0).map(SecretString::from)
    }

    /// The same in the form in which it is kept now; `None` when it is in that form.
    ///
    /// # Errors
    /// As [`Keyring::open_target`].
    pub fn reseal_target(&self, sealed: &[u8], target: TargetId) -> Result<Option<Vec<u8>>, NotSealedHere> {
        let before = self.target_keys.open_before(sealed, target.0)?;
        Ok(before.map(|key| self.seal_target(&key, target)))
    }

    /// Signs the parts of a playback token.
    pub fn sign_playback(&self, parts: &[&[u8]]) -> [u8; 32] {
        finish(self.playback.clone(), parts)
    }
}

fn open(seal: &[u8; 32], sealed: &[u8], owner: Uuid) -> Result<String, NotSealedHere> {
    let (nonce, sealed) = sealed.split_first_chunk::<NONCE>().ok_or(NotSealedHere)?;
    let payload = Payload { msg: sealed, aad: owner.as_bytes() };
    let opened = XChaCha20Poly1305::new(seal.into()).decrypt(&XNonce::from(*nonce), payload);
    String::from_utf8(opened.map_err(|_| NotSealedHere)?).map_err(|_| NotSealedHere)
}

/// HMAC-SHA256 over parts of fixed sizes, the last of which may vary.
fn mac(key: &[u8; 32], parts: &[&[u8]]) -> [u8; 32] {
    finish(keyed(key), parts)
}

fn keyed(key: &[u8; 32]) -> Hmac<Sha256> {
    // HMAC fills its key up to a block with zeros; done here, it cannot fail for its length.
    let mut block = [0; 64];
    block[..32].copy_from_slice(key);
    <Hmac<Sha256> as hmac::KeyInit>::new(&block.into())
}

fn finish(mut mac: Hmac<Sha256>, parts: &[&[u8]]) -> [u8; 32] {
    for part in parts {
        mac.update(part);
    }
    mac.finalize().into_bytes().into()
}

#[cfg(test)]
mod tests {
    use secrecy::ExposeSecret;

    use super::*;

    fn keyring() -> Keyring {
        Keyring::new(&Secrets::of_test([1; 32], "internal"), Chance::seeded(1))
    }

    #[test]
    fn a_sealed_key_opens_for_its_channel_only_and_under_its_server_only() {
        let key = StreamKey::new(&Chance::system());
        let (channel, other) = (ChannelId(Uuid::from_u128(1)), ChannelId(Uuid::from_u128(2)));
        let kept = keyring().seal(&key, channel);
        assert_eq!(keyring().open(&kept.sealed, channel).unwrap(), key);
        assert!(keyring().open(&kept.sealed, other).is_err());
        let stranger = Keyring::new(&Secrets::of_test([2; 32], "internal"), Chance::seeded(1));
        assert!(stranger.open(&kept.sealed, channel).is_err());
        assert!(keyring().open(&kept.sealed[..10], channel).is_err());
        assert!(
            !kept.sealed.windows(8).any(|part| key.reveal().as_bytes().windows(8).any(|own| own == part))
        );
    }

    #[test]
    fn the_key_of_another_server_opens_for_its_target_only() {
        let (target, other) = (TargetId(Uuid::from_u128(1)), TargetId(Uuid::from_u128(2)));
        let sealed = keyring().seal_target("live_123?bandwidthtest=true", target);
        assert_eq!(
            keyring().open_target(&sealed, target).unwrap().expose_secret(),
            "live_123?bandwidthtest=true"
        );
        assert!(keyring().open_target(&sealed, other).is_err());
        // Not even as the stream key of a channel of the same id.
        let key = StreamKey::new(&Chance::system());
        let sealed = keyring().seal_target(key.reveal(), target);
        assert!(keyring().open(&sealed, ChannelId(target.0)).is_err());
    }

    #[test]
    fn a_key_has_a_form_of_its_own() {
        let key = StreamKey::new(&Chance::system());
        assert_eq!(key.reveal().parse::<StreamKey>().unwrap(), key);
        for wrong in ["", "tk_", "tk_0000000000000000000000000000000O", "sk_abcdefghijkmnpqrstuvwxyz234567"] {
            assert!(wrong.parse::<StreamKey>().is_err(), "{wrong}");
        }
        assert_eq!(format!("{key:?}"), "StreamKey");
    }
}
