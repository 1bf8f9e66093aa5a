//! Keeps a server alive: starts it, starts it again when it dies, and hands it back for the stop.

use std::convert::Infallible;
use std::future::{Future, pending};
use std::io;
use std::time::Duration;

use tokio::sync::oneshot;
use tokio_util::sync::CancellationToken;

use crate::ambient::Clock;
use crate::lifecycle::{Failure, Tasks};

const FIRST_PAUSE: Duration = Duration::from_millis(100);
const LONGEST_PAUSE: Duration = Duration::from_secs(5);

/// A server that has lived this long was well; the next trouble is a new one.
const WELL: Duration = Duration::from_secs(30);

/// How often a server that runs is tended. A stranger can have nginx write tens of thousands of lines a second.
const ROUND: Duration = Duration::from_secs(1);

/// A server that `up` keeps.
pub(super) trait Server: Send + 'static {
    /// What it is called in logs.
    const NAME: &'static str;

    /// Starts it, or adopts what an earlier `up` left running, and returns once it answers. Dropped at any
    /// point, it leaves nothing that [`Server::stop`] would not stop.
    fn start(&mut self) -> impl Future<Output = Result<(), Failure>> + Send;

    /// Waits for its end and says how it came. Dropped before, it can be called again.
    fn ended(&mut self) -> impl Future<Output = String> + Send;

    /// Keeps its log from growing without end.
    fn tend(&mut self) -> impl Future<Output = io::Result<()>> + Send;

    /// Stops it and all that belongs to it; returns once nothing is left.
    fn stop(&mut self) -> impl Future<Output = ()> + Send;
}

/// A server in the care of its own task.
pub(super) struct Kept<S> {
    started: Option<oneshot::Receiver<Result<(), Failure>>>,
    back: oneshot::Receiver<S>,
}

impl<S: Server> Kept<S> {
    /// Hands `server` to a task that starts it and keeps it alive until the process begins to stop.
    pub(super) fn new(server: S, tasks: &Tasks) -> Self {
        let (says, started) = oneshot::channel();
        let (hands, back) = oneshot::channel();
        let stop = tasks.stopping().clone();
        tasks.keep(S::NAME, async move {
            let server = keep(server, says, stop).await;
            // Nobody wants it back only when the process is on its way out by force.
            let _ = hands.send(server);
            Ok(())
        });
        Self { started: Some(started), back }
    }

    /// Waits for the first start.
    pub(super) async fn started(&mut self) -> Result<(), Failure> {
        match self.started.take() {
            Some(started) => started.await.unwrap_or_else(|_| Err("stopped while starting".into())),
            None => Ok(()),
        }
    }

    /// Stops the server. Its task has let go of it once the process has begun to stop.
    pub(super) async fn stop(self) {
        if let Ok(mut server) = self.back.await {
            server.stop().await;
        }
    }
}

async fn keep<S: Server>(
    mut server: S,
    says: oneshot::Sender<Result<(), Failure>>,
    stop: CancellationToken,
) -> S {
    let care = async {
        let started = server.start().await;
        let failed = started.is_err();
        let _ = says.send(started);
        if failed {
            // Whoever asked for the start decides what becomes of the process.
            return pending::<Infallible>().await;
        }
        revive(&mut server).await
    };
    stop.run_until_cancelled(care).await;
    server
}

async fn revive<S: Server>(server: &mut S) -> Infallible {
    let clock = Clock::system();
    let mut pause = FIRST_PAUSE;
    loop {
        let since = clock.elapsed();
        let how = tended(server).await;
        tracing::error!(server = S::NAME, %how, "ended by itself: starting it again");
        if clock.elapsed() - since > WELL {
            pause = FIRST_PAUSE;
        }
        loop {
            tokio::time::sleep(pause).await;
            pause = (pause * 2).min(LONGEST_PAUSE);
            match server.start().await {
                Ok(()) => break tracing::info!(server = S::NAME, "runs again"),
                Err(error) => tracing::error!(server = S::NAME, %error, "does not start: trying again"),
            }
        }
    }
}

/// Tends a server until its end, and says how that came.
async fn tended<S: Server>(server: &mut S) -> String {
    loop {
        if let Ok(how) = tokio::time::timeout(ROUND, server.ended()).await {
            return how;
        }
        if let Err(error) = server.tend().await {
            tracing::warn!(server = S::NAME, %error, "its log cannot be put aside");
        }
    }
}
