//! What resolvers stand on: the parts of the product, shared, and the one who asks.

use std::time::Duration;

use async_graphql::Context;
use async_graphql::dataloader::DataLoader;

use super::load::Loads;
use crate::ambient::{Chance, Clock};
use crate::auth::{Keyring, Passwords, SessionToken, Viewer};
use crate::config::SignUp;
use crate::ingest::Ingest;
use crate::media::PlaybackTokens;
use crate::realtime::{Log, Presence};
use crate::store::Store;

/// The parts that the graph is made over.
pub struct Parts {
    /// The database.
    pub store: Store,
    /// Streams' lives.
    pub ingest: Ingest,
    /// The event log.
    pub log: Log,
    /// Who watches.
    pub presence: Presence,
    /// What opens stream keys.
    pub keyring: Keyring,
    /// Hashes.
    pub passwords: Passwords,
    /// Playback URLs.
    pub playback: PlaybackTokens,
    /// The time.
    pub clock: Clock,
    /// Ids and tokens.
    pub chance: Chance,
    /// Base of absolute URLs, without a slash at its end.
    pub public_url: String,
    /// What goes into OBS's "Server".
    pub public_rtmp_url: String,
    /// Who may make an account.
    pub sign_up: SignUp,
    /// How long a session lasts.
    pub session: Duration,
}

/// Who asks: resolved once a request, or once a socket. By default nobody in particular.
#[derive(Clone, Default)]
pub struct Requester {
    /// The viewer.
    pub(super) viewer: Viewer,
    /// The token that it came with.
    pub(super) token: Option<SessionToken>,
}

impl Requester {
    /// Whether it is nobody in particular.
    pub fn is_anonymous(&self) -> bool {
        matches!(self.viewer, Viewer::Anonymous)
    }
}

/// Two words for resolvers: the parts, and the viewer.
pub(super) trait Ask {
    fn parts(&self) -> &Parts;
    fn requester(&self) -> &Requester;
    fn loader(&self) -> &DataLoader<Loads>;

    fn viewer(&self) -> &Viewer {
        &self.requester().viewer
    }
}

impl Ask for Context<'_> {
    fn parts(&self) -> &Parts {
        self.data_unchecked::<std::sync::Arc<Parts>>()
    }

    fn requester(&self) -> &Requester {
        self.data_unchecked()
    }

    fn loader(&self) -> &DataLoader<Loads> {
        self.data_unchecked::<std::sync::Arc<DataLoader<Loads>>>()
    }
}
