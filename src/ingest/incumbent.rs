//! Publishers who may be gone without a word: what nginx and its workers say of them.

use std::path::Path;
use std::time::Duration;

use super::nginx::{Carried, Carrier, Nginx};
use crate::ambient::Clock;
use crate::store::{Connection, Publishing, Store, StoreError, StreamId};

/// Those on whose streams somebody is; cloned freely.
#[derive(Clone)]
pub(super) struct Incumbents {
    pub(super) store: Store,
    pub(super) nginx: Nginx,
    pub(super) clock: Clock,
    /// How long their streams wait for them.
    pub(super) window: Duration,
}

impl Incumbents {
    /// What nobody has heard of since it was seen like that is gone. Which streams wait now.
    ///
    /// # Errors
    /// When the database fails; then none does.
    pub(super) async fn give_up(&self, seen: &[&Publishing]) -> Result<Vec<StreamId>, StoreError> {
        if seen.is_empty() {
            return Ok(Vec::new());
        }
        let now = self.clock.now();
        let waiting = self.store.interrupt_silent(seen, now, now + self.window).await?;
        for given_up in seen.iter().filter(|it| waiting.contains(&it.stream)) {
            interrupted(&given_up.connection);
        }
        Ok(waiting)
    }

    /// Gives those up whose worker is dead, so that their publishers, who may be the very ones that ask, need not wait for
    /// the leases to end. Which streams wait now; none when nginx cannot be asked.
    ///
    /// # Errors
    /// When the database fails.
    pub(super) async fn give_up_the_dead(&self, seen: &[&Publishing]) -> Result<Vec<StreamId>, StoreError> {
        // A worker that lives may have let one in a moment ago and not list it yet.
        let mut dead: Vec<&Publishing> =
            seen.iter().copied().filter(|it| it.worker.is_some_and(is_dead)).collect();
        if dead.is_empty() {
            return Ok(Vec::new());
        }
        let Ok(carried) = self.nginx.carried().await else { return Ok(Vec::new()) };
        dead.retain(|it| find(&carried, it).is_none());
        self.give_up(&dead).await
    }
}

/// The connection that nginx lists for a stream's publisher.
pub(super) fn find<'a>(carried: &'a Carried, row: &Publishing) -> Option<&'a Carrier> {
    let carrier = carried.publishers.get(&row.connection.number)?;
    (carrier.name == row.loc.stream_name(row.protected)).then_some(carrier)
}

/// Absence from the list proves something only if the worker that was asked is the one that carried it, or the one
/// that carried it is dead: after a reload the old worker goes on, unlisted.
pub(super) fn is_certainly_gone(carried: &Carried, row: &Publishing) -> bool {
    row.worker.is_some_and(|worker| worker == carried.worker || is_dead(worker))
}

fn is_dead(worker: i32) -> bool {
    !Path::new(&format!("/proc/{worker}")).exists()
}

pub(super) fn interrupted(gone: &Connection) {
    tracing::info!(node = gone.node, connection = gone.number, "a publisher is gone; its stream waits");
}
