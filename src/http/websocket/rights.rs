//! What those may do who opened sockets as somebody in particular. It was found out when they did, and holds for as
//! long as the socket is open; so all of it is looked up again every [`ROUND`], in one question, wherever and by
//! whichever process it was changed. A socket for which it has changed is closed, and its client comes back as what
//! it is now. While nobody can tell, sockets stay as they are.
//!
//! Sockets of nobody in particular have no entry here.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use crate::http::protocol::Close;
use crate::http::{Answers, Public};
use crate::lifecycle::{Failure, Pace};

/// How often. A change reaches every open socket within 5 s: a round, and what the question may take.
const ROUND: Duration = Duration::from_secs(2);

/// Who was believed to be whom, by the place of their connection.
pub(super) struct Rights<R>(Mutex<HashMap<usize, Arc<R>>>);

impl<R> Default for Rights<R> {
    fn default() -> Self {
        Self(Mutex::default())
    }
}

impl<R> Rights<R> {
    /// Remembers whom the connection at a place speaks for.
    pub(super) fn believe(&self, place: usize, requester: R) -> Arc<R> {
        let requester = Arc::new(requester);
        self.lock().insert(place, Arc::clone(&requester));
        requester
    }

    /// The connection at that place is gone.
    pub(super) fn forget(&self, place: usize) {
        self.lock().remove(&place);
    }

    fn all(&self) -> (Vec<usize>, Vec<Arc<R>>) {
        self.lock().iter().map(|(place, requester)| (*place, Arc::clone(requester))).unzip()
    }

    /// Whether it is still this one who speaks from there: places are used again.
    fn speaks_from(&self, place: usize, requester: &Arc<R>) -> bool {
        self.lock().get(&place).is_some_and(|there| Arc::ptr_eq(there, requester))
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<usize, Arc<R>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Looks up what may have changed until the process stops, and closes the sockets for which it has.
pub(in crate::http) async fn review<G: Answers>(public: Arc<Public<G>>) -> Result<(), Failure> {
    let sockets = &public.sockets;
    let mut pace = Pace::new(ROUND, public.tasks.stopping().clone());
    while pace.beat().await {
        let (places, requesters) = sockets.rights.all();
        if places.is_empty() {
            continue;
        }
        let Some(outdated) = public.graph.outdated(&requesters).await else { continue };
        let changed = places.into_iter().zip(&requesters).zip(outdated).filter(|(_, outdated)| *outdated);
        for ((place, requester), _) in changed {
            let connection = sockets.at(place).filter(|_| sockets.rights.speaks_from(place, requester));
            if let Some(connection) = connection {
                connection.close(&Close::RightsChanged);
            }
        }
    }
    Ok(())
}
