//! The API, put together bottom-up from what it stands on. `serve` gives it the machine's own clock and sockets;
//! tests give it theirs.

use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use tokio::net::UdpSocket;
use tokio_util::sync::CancellationToken;

use super::sweep;
use crate::ambient::{Chance, Clock};
use crate::auth::{ChannelPasswords, Guesses, Keyring, Limit, Passwords, Secrets};
use crate::config::Settings;
use crate::graphql::{Graph, Parts as GraphParts};
use crate::http::{self, Internal, Public};
use crate::ingest::{Ingest, Nginx, Parts as IngestParts, Sweeper};
use crate::lifecycle::{Failure, Pace, Tasks};
use crate::media::{
    Bucket, Clips, Covers, Files, Health, Janitor, Joiner, Keep, Mover, PlaybackTokens, Recorder, Renditions,
    Shelf, Simulcast, Thumbnails,
};
use crate::realtime::{self, Log, Presence};
use crate::store::Store;
use crate::telemetry::Metrics;

/// How many clips somebody may cut, in which time.
const CLIPS: (usize, Duration) = (10, Duration::from_secs(10 * 60));

/// How many covers somebody may upload, in which time.
const COVERS: (usize, Duration) = (20, Duration::from_secs(10 * 60));

/// How often figures are summed up.
const SUMMED_UP: Duration = Duration::from_secs(5);

/// What the API stands on.
pub struct Ground {
    /// The database, up to date.
    pub store: Store,
    /// The installation's secrets.
    pub secrets: Secrets,
    /// The time.
    pub clock: Clock,
    /// Ids, tokens and keys.
    pub chance: Chance,
    /// How passwords are hashed.
    pub passwords: Passwords,
}

/// The API: its parts, and its two doors.
pub struct Api {
    /// The life of streams.
    pub ingest: Ingest,
    /// Who watches.
    pub presence: Presence,
    /// What `--listen` answers.
    pub public: Router,
    /// What `--internal` answers.
    pub internal: Router,
    store: Store,
    secrets: Arc<Secrets>,
    clock: Clock,
    media: Media,
}

/// What is made of streams, and what looks after it.
struct Media {
    files: Files,
    shelf: Shelf,
    bucket: Option<Bucket>,
    covers: Covers,
    health: Health,
    simulcast: Simulcast,
    renditions: Renditions,
    dvr_window: Duration,
}

impl Api {
    /// Puts the parts together, and begins to follow the event log and to count viewers.
    ///
    /// # Errors
    /// When the database is away.
    pub async fn new(settings: &Settings, ground: Ground, tasks: &Tasks) -> Result<Self, Failure> {
        let Ground { store, secrets, clock, chance, passwords } = ground;
        let secrets = Arc::new(secrets);
        let keyring = Keyring::new(&secrets, chance.clone());
        let log = Log::follow(store.clone(), clock.clone(), tasks).await?;
        let presence = Presence::new(clock.clone(), settings.viewer_ttl);
        presence.start(store.clone(), &log, tasks).await?;
        let ingest = Ingest::new(IngestParts {
            store: store.clone(),
            presence: presence.clone(),
            keyring: keyring.clone(),
            nginx: Nginx::new(&settings.nginx_control, secrets.internal(), clock.clone())?,
            clock: clock.clone(),
            chance: chance.clone(),
            tasks: tasks.clone(),
            reconnect_window: settings.reconnect_window,
        });
        let media = Media::new(settings, &store, &keyring, &presence, &clock, &chance)?;
        let playback = PlaybackTokens::new(keyring.clone(), clock.clone(), chance.clone());
        let internal = http::internal(Internal {
            secrets: Arc::clone(&secrets),
            ingest: ingest.clone(),
            playback: playback.clone(),
            bucket: media.bucket.clone(),
            store: store.clone(),
            presence: presence.clone(),
            clock: clock.clone(),
            metrics: Metrics::gather(),
        });
        let graph = Graph::new(GraphParts {
            store: store.clone(),
            ingest: ingest.clone(),
            log,
            presence: presence.clone(),
            keyring,
            channel_passwords: ChannelPasswords::new(passwords.clone(), &clock, &chance),
            passwords,
            guesses: Guesses::new(&clock, &chance),
            playback,
            clips: Clips::new(media.files.clone(), tasks.stopping().clone()),
            clip_limit: Limit::new(CLIPS.0, CLIPS.1, &clock, &chance),
            covers: media.covers.clone(),
            cover_limit: Limit::new(COVERS.0, COVERS.1, &clock, &chance),
            shelf: media.shelf.clone(),
            health: media.health.clone(),
            simulcast: media.simulcast.clone(),
            renditions: media.renditions.clone(),
            clock: clock.clone(),
            chance: chance.clone(),
            public_url: settings.public_url(),
            public_rtmp_url: settings.public_rtmp_url(),
            dvr_window: settings.dvr_window,
            sign_up: settings.sign_up,
            started_at: clock.now(),
        });
        let public = Public::new(graph, tasks.clone(), clock.clone(), chance, &settings.public_url());
        let public = public.with_cors_origins(&settings.cors_origin);
        let public = http::public(public.with_sockets_per_address(settings.sockets_per_address));
        Ok(Self { ingest, presence, public, internal, store, secrets, clock, media })
    }

    /// Sets everything going that goes by itself: sweeping, pictures, tidying, and the reports of playlist requests
    /// that come in at `reports`.
    ///
    /// # Errors
    /// When the media directories cannot be made.
    pub async fn go(&self, reports: UdpSocket, tasks: &Tasks) -> Result<(), Failure> {
        let (stop, presence) = (tasks.stopping(), &self.presence);
        let known = Arc::clone(&self.secrets);
        let is_secret = move |shown: &[u8]| known.is_internal(shown);
        let listening = realtime::listen(reports, presence.clone(), is_secret, stop.clone());
        self.media.go(self, tasks).await?;
        tasks.keep("playlist requests", listening);
        tasks.keep("figures", sum_up(stop.clone()));
        tasks.keep("streams", Sweeper::new(self.ingest.clone()).run(stop.clone()));
        tasks.keep("retention", sweep::run(self.store.clone(), self.clock.clone(), stop.clone()));
        Ok(())
    }
}

impl Media {
    fn new(
        settings: &Settings,
        store: &Store,
        keyring: &Keyring,
        presence: &Presence,
        clock: &Clock,
        chance: &Chance,
    ) -> Result<Self, Failure> {
        let files = Files::new(settings.media_root());
        let shelf = Shelf::new(files.clone(), store.clone(), clock.clone(), keep(settings));
        let bucket = settings.recordings_bucket.as_ref().map(Bucket::open).transpose()?;
        let covers = Covers::new(files.clone(), store.clone());
        let simulcast = Simulcast::new(
            files.clone(),
            store.clone(),
            keyring.clone(),
            clock.clone(),
            chance.clone(),
            settings.simulcast_private,
        );
        let health = Health::new(clock.clone());
        let renditions = Renditions::new(files.clone(), presence.clone(), &settings.renditions);
        let dvr_window = settings.dvr_window;
        Ok(Self { files, shelf, bucket, covers, health, simulcast, renditions, dvr_window })
    }

    async fn go(&self, api: &Api, tasks: &Tasks) -> Result<(), Failure> {
        let Self { files, shelf, bucket, covers, health, simulcast, renditions, dvr_window } = self;
        let Api { presence, store, clock, .. } = api;
        let stop = tasks.stopping();
        files.make().await.map_err(|error| format!("{}: {error}", files.hls().display()))?;
        let janitor =
            Janitor::new(files.clone(), presence.clone(), health.clone(), clock.clone(), *dvr_window);
        let recorder = Recorder::new(files.clone(), store.clone(), shelf.clone(), clock.clone());
        tasks.keep("media files", janitor.run(recorder, stop.clone()));
        let joiner = Joiner::new(files.clone(), store.clone(), shelf.clone(), clock.clone());
        tasks.keep("recordings", joiner.run(stop.clone()));
        tasks.keep("recordings' places", shelf.clone().run(stop.clone()));
        if let Some(bucket) = bucket {
            let mover =
                Mover::new(bucket.clone(), files.clone(), store.clone(), shelf.clone(), clock.clone());
            tasks.keep("the bucket", mover.run(stop.clone()));
        }
        tasks.keep("covers", covers.clone().run(stop.clone()));
        let simulcast = simulcast.clone().run(presence.clone(), tasks.clone(), stop.clone());
        tasks.keep("simulcast", simulcast);
        if renditions.are_made() {
            tasks.keep("renditions", renditions.clone().run(tasks.clone(), stop.clone()));
        }
        let thumbnails = Thumbnails::new(files.clone(), presence.clone());
        tasks.keep("thumbnails", thumbnails.run(tasks.clone(), stop.clone()));
        Ok(())
    }
}

async fn sum_up(stop: CancellationToken) -> Result<(), Failure> {
    let (metrics, mut pace) = (Metrics::gather(), Pace::new(SUMMED_UP, stop));
    while pace.beat().await {
        metrics.sum_up();
    }
    Ok(())
}

/// What is kept of recordings.
fn keep(settings: &Settings) -> Keep {
    Keep {
        age: settings.keep_recordings,
        bytes_of_channel: settings.channel_recordings_size,
        bytes: settings.recordings_size,
    }
}
