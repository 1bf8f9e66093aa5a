//! A whole site of a test's own, as an operator has it: the real program, its nginx, its PostgreSQL. Tests act
//! through what is reachable from outside: HTTP, WebSockets, RTMP, files and processes.

mod api;
mod database;
mod playback;
mod processes;
mod publisher;
mod site;
mod subscription;

pub(crate) use api::{Actor, Channel};
pub(crate) use database::{fresh_database, socket};
pub(crate) use playback::{Playlist, get, raw_status};
pub(crate) use processes::{Process, descendants, is_alive, processes, send};
pub(crate) use publisher::{Broadcast, Persistent};
pub(crate) use site::{Site, Surroundings, tally};
pub(crate) use subscription::Subscription;

use std::time::{Duration, Instant};

/// Asks again and again until there is an answer; panics with `what` when there is none in time.
pub(crate) async fn until<T>(what: &str, within: Duration, mut ask: impl AsyncFnMut() -> Option<T>) -> T {
    let since = Instant::now();
    loop {
        if let Some(answer) = ask().await {
            return answer;
        }
        assert!(since.elapsed() < within, "not within {within:?}: {what}");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

/// Short for whole seconds.
pub(crate) const fn seconds(count: u64) -> Duration {
    Duration::from_secs(count)
}
