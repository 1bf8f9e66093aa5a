//! What the fuzz targets call (`make fuzz`): each takes any bytes, and must neither panic nor take long.

use std::sync::OnceLock;

use uuid::Uuid;

use crate::ambient::{Chance, Clock};
use crate::auth::{Keyring, Secrets};
use crate::graphql;
use crate::http;
use crate::ingest::Callback;
use crate::media::PlaybackTokens;
use crate::store::Loc;

/// A document: it is looked over, and what is let through is parsed and validated.
pub fn document(bytes: &[u8]) {
    if let Ok(text) = std::str::from_utf8(bytes) {
        graphql::fuzz(text);
    }
}

/// A client's bytes on a WebSocket, however they are cut.
pub fn websocket(bytes: &[u8]) {
    http::fuzz(bytes);
}

/// A callback's form.
pub fn callback(bytes: &[u8]) {
    Callback::parse(bytes);
}

/// The token in a playback URL: one that was not given out opens nothing.
pub fn playback(bytes: &[u8]) {
    static TOKENS: OnceLock<PlaybackTokens> = OnceLock::new();
    let tokens = TOKENS.get_or_init(|| {
        let chance = Chance::seeded(1);
        let keyring = Keyring::new(&Secrets::of_test([1; 32], "internal"), chance.clone());
        PlaybackTokens::new(keyring, Clock::system(), chance)
    });
    if let Ok(token) = std::str::from_utf8(bytes) {
        assert!(tokens.read(token, Loc(Uuid::nil())).is_err(), "a token was made up");
    }
}
