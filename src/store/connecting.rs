//! How a connection to the database is made, and when it is given up.
//!
//! The server ends what takes it too long, but a server that stands still, or a network that has lost the connection
//! without a word, ends nothing. So whoever waits for the answer to a statement longer than any can take loses the
//! connection, and is told that the database is away; otherwise they would wait for as long as the process lives.

use std::future::pending;
use std::time::Duration;

use diesel::connection::InstrumentationEvent;
use diesel::{ConnectionError, ConnectionResult};
use diesel_async::{AsyncConnection, AsyncPgConnection, SimpleAsyncConnection};
use tokio::sync::watch;
use tokio::time::timeout;
use tokio_postgres::tls::NoTlsStream;
use tokio_postgres::{Connection, NoTls, Socket};

use crate::telemetry::Queries;

/// No statement of ours takes seconds, and a transaction that somebody forgot must not hold its locks.
const LIMITS: &str = "SET statement_timeout = '5s'; SET lock_timeout = '4s'; \
    SET idle_in_transaction_session_timeout = '10s'; SET timezone = 'UTC'";
/// How long the answer to a statement may be owed: longer than the server's own limit.
const PATIENCE: Duration = Duration::from_secs(8);

/// Makes connections to ask on. Clones know of each other's: when one is given up, so are those that rest, which a
/// network has probably lost as well, before somebody has to wait for each of them.
#[derive(Clone)]
pub(super) struct Connector(watch::Sender<()>);

/// The oldest statement that waits for its answer, by its number on its connection.
type Owed = Option<u64>;

impl Connector {
    pub(super) fn new() -> Self {
        Self(watch::Sender::new(()))
    }

    #[expect(
        clippy::disallowed_methods,
        reason = "what drives a connection ends with it, and nobody waits for that"
    )]
    pub(super) async fn connect(self, url: String) -> ConnectionResult<AsyncPgConnection> {
        let connected = tokio_postgres::connect(&url, NoTls).await;
        let (client, driver) =
            connected.map_err(|error| ConnectionError::BadConnection(error.to_string()))?;
        let (owes, owed) = watch::channel(None);
        tokio::spawn(self.drive(driver, owed));
        let mut connection = limited(AsyncPgConnection::try_from(client).await?).await?;
        let mut number = 0;
        connection.set_instrumentation(move |event: InstrumentationEvent<'_>| match event {
            InstrumentationEvent::StartQuery { .. } => {
                Queries::note();
                number += 1;
                // Whoever asked before and went away without the answer is owed it still.
                owes.send_if_modified(|owed| owed.replace(owed.unwrap_or(number)).is_none());
            }
            InstrumentationEvent::FinishQuery { .. } => drop(owes.send_replace(None)),
            _ => {}
        });
        Ok(connection)
    }

    async fn drive(self, driver: Connection<Socket, NoTlsStream>, owed: watch::Receiver<Owed>) {
        let mut doubts = self.0.subscribe();
        let resting = owed.clone();
        tokio::select! {
            _ = driver => {}
            () = overdue(owed) => {
                tracing::warn!("the database owes an answer for too long: giving connections up");
                self.0.send_replace(());
            }
            () = async { while doubts.changed().await.is_ok() && resting.borrow().is_some() {} } => {}
        }
    }
}

/// A connection to listen on: nothing is owed there, and silence says nothing.
pub(super) async fn listen(url: &str) -> ConnectionResult<AsyncPgConnection> {
    limited(AsyncPgConnection::establish(url).await?).await
}

async fn limited(mut connection: AsyncPgConnection) -> ConnectionResult<AsyncPgConnection> {
    connection.batch_execute(LIMITS).await.map_err(ConnectionError::CouldntSetupConfiguration)?;
    Ok(connection)
}

/// Waits until an answer has been owed for too long.
async fn overdue(mut owed: watch::Receiver<Owed>) {
    while let Ok(waiting) = owed.wait_for(Option::is_some).await.map(|waiting| *waiting) {
        let answered = async {
            // Whoever asked may drop the connection without the answer: what drives it waits for that all the same.
            if owed.wait_for(|now| *now != waiting).await.is_err() {
                pending().await
            }
        };
        if timeout(PATIENCE, answered).await.is_err() {
            return;
        }
    }
    // Nobody can ask on it any more.
    pending().await
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt;
    use tokio::time::advance;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn an_answer_is_waited_for_and_not_for_ever() {
        let (owes, owed) = watch::channel(None);
        let mut overdue = std::pin::pin!(overdue(owed));
        for number in 1..100 {
            owes.send_replace(Some(number));
            assert!(timeout(PATIENCE / 2, &mut overdue).await.is_err(), "another one is owed by now");
        }
        owes.send_replace(None);
        assert!(timeout(PATIENCE * 10, &mut overdue).await.is_err(), "nothing is owed");
        owes.send_replace(Some(100));
        timeout(PATIENCE * 2, overdue).await.expect("it is given up");
    }

    #[tokio::test(start_paused = true)]
    async fn an_answer_to_a_connection_that_was_dropped_is_waited_for_as_long_and_no_longer() {
        let (owes, owed) = watch::channel(Some(1));
        let mut given_up = std::pin::pin!(overdue(owed));
        assert_eq!(given_up.as_mut().now_or_never(), None);
        advance(PATIENCE / 2).await;
        drop(owes);
        assert_eq!(given_up.as_mut().now_or_never(), None, "it may still come");
        advance(PATIENCE / 2 + Duration::from_millis(1)).await;
        assert_eq!(given_up.as_mut().now_or_never(), Some(()), "not as long again, either");
    }

    #[tokio::test(start_paused = true)]
    async fn a_connection_that_was_dropped_without_owing_anything_is_not_given_up() {
        let (owes, owed) = watch::channel(None);
        drop(owes);
        assert!(timeout(PATIENCE * 10, overdue(owed)).await.is_err());
    }
}
