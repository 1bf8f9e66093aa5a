//! What resolvers stand on: the parts of the product, shared, and the one who asks.

use std::net::{IpAddr, Ipv4Addr};
use std::time::Duration;

use async_graphql::Context;
use async_graphql::dataloader::DataLoader;
use chrono::{DateTime, Utc};

use super::load::Loads;
use crate::ambient::{Chance, Clock};
use crate::auth::{ChannelPasswords, Guesses, Keyring, Limit, Passwords, SessionToken, Viewer};
use crate::config::SignUp;
use crate::ingest::Ingest;
use crate::media::{Clips, Covers, Health, PlaybackTokens, Renditions, Shelf, Simulcast};
use crate::realtime::{Log, Presence};
use crate::store::{Deed, Store};

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
    /// What opens protected channels.
    pub channel_passwords: ChannelPasswords,
    /// How often passwords may be guessed.
    pub guesses: Guesses,
    /// Playback URLs.
    pub playback: PlaybackTokens,
    /// How well broadcasts arrive.
    pub health: Health,
    /// Cuts clips.
    pub clips: Clips,
    /// How many clips somebody may cut.
    pub clip_limit: Limit,
    /// Covers of channels.
    pub covers: Covers,
    /// How many covers somebody may upload.
    pub cover_limit: Limit,
    /// Where recordings and clips lie.
    pub shelf: Shelf,
    /// The sizes in which what is on the air can be watched.
    pub renditions: Renditions,
    /// Passes broadcasts on.
    pub simulcast: Simulcast,
    /// The time.
    pub clock: Clock,
    /// Ids and tokens.
    pub chance: Chance,
    /// Base of absolute URLs, without a slash at its end.
    pub public_url: String,
    /// What goes into OBS's "Server".
    pub public_rtmp_url: String,
    /// How far one can go back in what is on the air.
    pub dvr_window: Duration,
    /// Who may make an account.
    pub sign_up: SignUp,
    /// When this process began.
    pub started_at: DateTime<Utc>,
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

/// A few words for resolvers: the parts, the viewer, where they are.
pub(super) trait Ask {
    fn parts(&self) -> &Parts;
    fn requester(&self) -> &Requester;
    fn loader(&self) -> &DataLoader<Loads>;
    /// Where the request or the socket comes from. Those of which nobody knows are all from one place.
    fn address(&self) -> IpAddr;

    fn viewer(&self) -> &Viewer {
        &self.requester().viewer
    }

    /// What is done now by whoever asks, for the record.
    fn deed(&self) -> Deed;
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

    fn address(&self) -> IpAddr {
        self.data_opt().copied().unwrap_or(Ipv4Addr::UNSPECIFIED.into())
    }

    fn deed(&self) -> Deed {
        let address = self.data_opt::<IpAddr>().copied();
        Deed::new(self.viewer().id(), address, &self.parts().clock, &self.parts().chance)
    }
}
