//! Publishers who come at once begin together: whoever waits while a transaction is under way is in the next one.

use std::time::Duration;

use tokio::sync::{mpsc, oneshot};
use tokio_util::sync::CancellationToken;

use super::incumbent::Incumbents;
use super::{IngestError, LEASE, Why};
use crate::ambient::Chance;
use crate::auth::{Action, Viewer};
use crate::lifecycle::{Failure, Tasks};
use crate::store::{Began, Connection, Loc, NewStream, StoreError, StreamId};

/// So many begin in one transaction.
const MOST: usize = 256;

/// A publisher.
struct Comer {
    connection: Connection,
    worker: Option<i32>,
    key_hash: Vec<u8>,
}

/// A publisher at the door.
struct Waiting {
    comer: Comer,
    answer: oneshot::Sender<Answer>,
}

type Outcome = Result<(Loc, Began), Why>;
type Answer = Result<Outcome, StoreError>;

/// The way in; cloned freely.
#[derive(Clone)]
pub(super) struct Crowd(mpsc::Sender<Waiting>);

impl Crowd {
    /// Opens the door; a channel that was taken off the air is held off for `hold`.
    pub(super) fn new(incumbents: Incumbents, chance: Chance, hold: Duration, tasks: &Tasks) -> Self {
        let (sender, waiting) = mpsc::channel(MOST);
        let usher = Usher { incumbents, chance, hold };
        tasks.keep("publishers", usher.run(waiting, tasks.stopping().clone()));
        Self(sender)
    }

    /// Begins on the channel that a key opens, or says why not.
    ///
    /// # Errors
    /// When the database fails, or the process stops.
    pub(super) async fn begin(
        &self,
        connection: &Connection,
        worker: Option<i32>,
        key_hash: &[u8],
    ) -> Result<Outcome, IngestError> {
        let (answer, answered) = oneshot::channel();
        let comer = Comer { connection: connection.clone(), worker, key_hash: key_hash.to_vec() };
        let waiting = Waiting { comer, answer };
        let stopped = || StoreError::Away("the process stops".to_owned());
        self.0.send(waiting).await.map_err(|_| stopped())?;
        Ok(answered.await.map_err(|_| stopped())??)
    }
}

struct Usher {
    incumbents: Incumbents,
    chance: Chance,
    hold: Duration,
}

impl Usher {
    async fn run(self, mut waiting: mpsc::Receiver<Waiting>, stop: CancellationToken) -> Result<(), Failure> {
        let mut crowd = Vec::with_capacity(MOST);
        while let Some(1..) = stop.run_until_cancelled(waiting.recv_many(&mut crowd, MOST)).await {
            let (comers, answers): (Vec<_>, Vec<_>) =
                crowd.drain(..).map(|waiting| (waiting.comer, waiting.answer)).unzip();
            match self.admit(&comers.iter().collect::<Vec<_>>()).await {
                Ok(outcomes) => {
                    for (answer, outcome) in answers.into_iter().zip(outcomes) {
                        // Whoever has left meanwhile is found out by the lease.
                        let _ = answer.send(Ok(outcome));
                    }
                }
                Err(error) => {
                    let why = error.to_string();
                    for answer in answers {
                        let _ = answer.send(Err(StoreError::Away(why.clone())));
                    }
                }
            }
        }
        Ok(())
    }

    /// Lets those who come begin. Who finds somebody there whose worker has died, perhaps itself, begins once that one was
    /// given up.
    async fn admit(&self, comers: &[&Comer]) -> Result<Vec<Outcome>, StoreError> {
        let mut outcomes = self.begin(comers).await?;
        let busy = outcomes.iter().enumerate().filter_map(|(place, outcome)| match outcome {
            Ok((_, Began::Busy(incumbent))) => Some((place, incumbent)),
            _ => None,
        });
        let busy: Vec<_> = busy.collect();
        let incumbents: Vec<_> = busy.iter().map(|(_, incumbent)| *incumbent).collect();
        let waiting = self.incumbents.give_up_the_dead(&incumbents).await?;
        let free: Vec<usize> = busy
            .iter()
            .filter(|(_, incumbent)| waiting.contains(&incumbent.stream))
            .map(|(place, _)| *place)
            .collect();
        let again: Vec<_> = free.iter().filter_map(|place| comers.get(*place).copied()).collect();
        for (place, outcome) in free.into_iter().zip(self.begin(&again).await?) {
            if let Some(before) = outcomes.get_mut(place) {
                *before = outcome;
            }
        }
        Ok(outcomes)
    }

    async fn begin(&self, comers: &[&Comer]) -> Result<Vec<Outcome>, StoreError> {
        if comers.is_empty() {
            return Ok(Vec::new());
        }
        let store = &self.incumbents.store;
        let hashes: Vec<&[u8]> = comers.iter().map(|comer| comer.key_hash.as_slice()).collect();
        let known = store.channels_of_keys(&hashes).await?;
        let now = self.incumbents.clock.now();
        let mut news = Vec::with_capacity(comers.len());
        let mut outcomes = Vec::with_capacity(comers.len());
        for Comer { connection, worker, key_hash } in comers {
            outcomes.push(match known.get(key_hash) {
                None => Err(Why::Key),
                Some((channel, owner)) => match Viewer::User(owner.clone()).may(Action::Publish(channel)) {
                    Err(_) => Err(Why::Owner),
                    Ok(()) => {
                        news.push(NewStream {
                            id: StreamId(self.chance.id(now)),
                            channel: channel.id,
                            connection: connection.clone(),
                            worker: *worker,
                            key_hash: key_hash.clone(),
                            now,
                            lease_until: now + LEASE,
                            longest_hold: now + self.hold,
                        });
                        Ok(channel.loc)
                    }
                },
            });
        }
        let mut began = store.begin_streams(&news).await?.into_iter();
        let closed = || Began::Closed;
        Ok(outcomes
            .into_iter()
            .map(|outcome| outcome.map(|loc| (loc, began.next().unwrap_or_else(closed))))
            .collect())
    }
}
