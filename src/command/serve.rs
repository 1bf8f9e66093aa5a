//! `tally serve`: the API on this machine's clock and sockets.

use std::net::SocketAddr;

use tokio::net::{TcpListener, TcpSocket, UdpSocket};

use super::api::{Api, Ground};
use super::rotate;
use crate::ambient::{Chance, Clock};
use crate::auth::{Passwords, Secrets};
use crate::config::{DatabaseUrl, Settings};
use crate::http;
use crate::lifecycle::{Failure, Tasks};
use crate::store::Store;

/// How many connections may wait to be accepted, if the system lets them: whoever finds no room tries again a second
/// later, and when we come back from a restart everybody comes at once.
const QUEUE: u32 = 4096;

/// Starts the API: connects to the database, opens both listeners, hands the tasks over.
///
/// It returns once both listeners answer. `settings` must have a database.
///
/// # Errors
/// When the settings do not hold together, a port is taken, or the database is away or not migrated.
pub async fn start(settings: &Settings, tasks: &Tasks) -> Result<(), Failure> {
    let store = open_store(settings.database_url.as_ref()).await?;
    // Bound before anything begins: whoever finds a port taken has changed nothing.
    let listen = bind("--listen", settings.listen)?;
    let internal = bind("--internal", settings.internal)?;
    let reports = UdpSocket::bind(settings.internal).await;
    let reports = reports.map_err(|error| format!("--internal {} (UDP): {error}", settings.internal))?;

    let chance = Chance::system();
    let secrets = Secrets::open(&settings.data_dir, &chance)?;
    rotate::finish(&store, &secrets, &chance).await?;
    let passwords = Passwords::new(chance.clone())?;
    let ground = Ground { store, secrets, clock: Clock::system(), chance, passwords };
    let api = Api::new(settings, ground, tasks).await?;
    api.go(reports, tasks).await?;
    tasks.keep("internal listener", answer(internal, api.internal, tasks.clone()));
    tasks.keep("public listener", answer(listen, api.public, tasks.clone()));
    Ok(())
}

/// The database that is meant, if it answers and is up to date.
async fn open_store(url: Option<&DatabaseUrl>) -> Result<Store, Failure> {
    let url = url.cloned().ok_or("give --database-url: `serve` keeps no PostgreSQL of its own")?;
    let store = Store::new(url)?;
    if store.is_behind().await? {
        return Err("the database is not up to date: run `tally migrate` first".into());
    }
    Ok(store)
}

fn bind(flag: &str, address: SocketAddr) -> Result<TcpListener, Failure> {
    let listen = || -> std::io::Result<TcpListener> {
        let socket = if address.is_ipv4() { TcpSocket::new_v4() } else { TcpSocket::new_v6() }?;
        socket.set_reuseaddr(true)?;
        socket.bind(address)?;
        socket.listen(QUEUE)
    };
    listen().map_err(|error| format!("{flag} {address}: {error}; choose another one").into())
}

async fn answer(listener: TcpListener, routes: axum::Router, tasks: Tasks) -> Result<(), Failure> {
    http::serve(listener, routes, tasks).await?;
    Ok(())
}
