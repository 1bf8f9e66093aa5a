//! `tally serve`: the API, built bottom-up.

use std::sync::Arc;

use tokio::net::{TcpListener, UdpSocket};

use crate::ambient::{Chance, Clock};
use crate::auth::{Keyring, Passwords, SESSION, Secrets};
use crate::config::{DatabaseUrl, Settings};
use crate::graphql::{Graph, Parts as GraphParts};
use crate::http::{self, Internal, Public};
use crate::ingest::{Ingest, Nginx, Parts as IngestParts, Sweeper};
use crate::lifecycle::{Failure, Tasks};
use crate::media::{Files, Janitor, PlaybackTokens, Thumbnails};
use crate::realtime::{self, Log, Presence};
use crate::store::Store;
use crate::telemetry::Metrics;

use super::sweep;

/// Starts the API: connects to the database, opens both listeners, hands the tasks over.
///
/// It returns once both listeners answer. `settings` must have a database.
///
/// # Errors
/// When the settings do not hold together, a port is taken, or the database is away or not migrated.
pub async fn start(settings: &Settings, tasks: &Tasks) -> Result<(), Failure> {
    let store = open_store(settings.database_url.as_ref()).await?;
    // Bound first: whoever finds a port taken has changed nothing.
    let listen = bind("--listen", settings.listen).await?;
    let internal = bind("--internal", settings.internal).await?;
    let reports = UdpSocket::bind(settings.internal).await;
    let reports = reports.map_err(|error| format!("--internal {} (UDP): {error}", settings.internal))?;
    start_on(settings, store, Doors { listen, internal, reports }, tasks).await
}

/// The sockets that the API answers on.
pub struct Doors {
    /// The public listener.
    pub listen: TcpListener,
    /// The internal one.
    pub internal: TcpListener,
    /// Where nginx reports requests for playlists.
    pub reports: UdpSocket,
}

/// Starts the API on sockets that are already open.
///
/// # Errors
/// As [`start`].
pub async fn start_on(settings: &Settings, store: Store, doors: Doors, tasks: &Tasks) -> Result<(), Failure> {
    let (clock, chance, stop) = (Clock::system(), Chance::system(), tasks.stopping());
    let metrics = Metrics::gather();
    let secrets = Arc::new(Secrets::open(&settings.data_dir, &chance)?);
    let keyring = Keyring::new(&secrets, chance.clone());

    let log = Log::follow(store.clone(), tasks).await?;
    let presence = Presence::new(clock.clone(), settings.viewer_ttl);
    presence.start(store.clone(), &log, tasks).await?;
    let known = Arc::clone(&secrets);
    let is_secret = move |shown: &[u8]| known.is_internal(shown);
    let reports = realtime::listen(doors.reports, presence.clone(), is_secret, stop.clone());
    tasks.keep("playlist requests", reports);

    let ingest = Ingest::new(IngestParts {
        store: store.clone(),
        presence: presence.clone(),
        keyring: keyring.clone(),
        nginx: Nginx::new(&settings.nginx_control, secrets.internal())?,
        clock: clock.clone(),
        chance: chance.clone(),
        tasks: tasks.clone(),
        reconnect_window: settings.reconnect_window,
    });
    tasks.keep("streams", Sweeper::new(ingest.clone()).run(stop.clone()));
    start_media(settings, &presence, &clock, tasks).await?;
    tasks.keep("retention", sweep::run(store.clone(), clock.clone(), stop.clone()));

    let playback = PlaybackTokens::new(keyring.clone(), clock.clone(), chance.clone());
    let routes = http::internal(Internal {
        secrets,
        ingest: ingest.clone(),
        playback: playback.clone(),
        store: store.clone(),
        metrics,
    });
    tasks.keep("internal listener", serve(doors.internal, routes, tasks.clone()));
    let graph = Graph::new(GraphParts {
        store,
        ingest,
        log,
        presence,
        keyring,
        passwords: Passwords::new(chance.clone())?,
        playback,
        clock: clock.clone(),
        chance: chance.clone(),
        public_url: settings.public_url(),
        public_rtmp_url: settings.public_rtmp_url(),
        sign_up: settings.sign_up,
        session: SESSION,
    });
    let public = Public::new(graph, tasks.clone(), clock, chance, &settings.public_url());
    tasks.keep("public listener", serve(doors.listen, http::public(public), tasks.clone()));
    Ok(())
}

/// The database that is meant, if it answers and is up to date.
///
/// # Errors
/// In one line that says what to do.
async fn open_store(url: Option<&DatabaseUrl>) -> Result<Store, Failure> {
    let store =
        Store::new(url.cloned().ok_or("give --database-url: `serve` keeps no PostgreSQL of its own")?)?;
    if store.is_behind().await? {
        return Err("the database is not up to date: run `tally migrate` first".into());
    }
    Ok(store)
}

async fn start_media(
    settings: &Settings,
    presence: &Presence,
    clock: &Clock,
    tasks: &Tasks,
) -> Result<(), Failure> {
    let files = Files::new(settings.media_root());
    files.make().await.map_err(|error| format!("{}: {error}", settings.media_root().display()))?;
    let stop = tasks.stopping();
    let janitor = Janitor::new(files.clone(), presence.clone(), clock.clone());
    tasks.keep("media files", janitor.run(stop.clone()));
    tasks.keep("thumbnails", Thumbnails::new(files, presence.clone()).run(tasks.clone(), stop.clone()));
    Ok(())
}

async fn bind(flag: &str, address: std::net::SocketAddr) -> Result<TcpListener, Failure> {
    let bound = TcpListener::bind(address).await;
    bound.map_err(|error| format!("{flag} {address}: {error}; choose another one").into())
}

async fn serve(listener: TcpListener, routes: axum::Router, tasks: Tasks) -> Result<(), Failure> {
    http::serve(listener, routes, tasks).await?;
    Ok(())
}
