//! Owns every task of the process and brings them all to an end.
//!
//! Nobody spawns alone: a task is named and handed over here. [`Tasks::keep`] is for those that must live as
//! long as the process; when one of them ends early, or panics, the process stops with an error. [`Tasks::pass`]
//! is for those that come and go, such as one connection. A stop is soft first (tokens are cancelled, work
//! drains within a grace period) and hard after that, or at a second signal.

use std::future::Future;
use std::panic::AssertUnwindSafe;
use std::time::Duration;

use futures_util::FutureExt;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::mpsc;
use tokio::time::{Interval, MissedTickBehavior, interval};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

/// How long open work may take to finish once a stop was asked for.
pub const GRACE: Duration = Duration::from_secs(8);

/// What can end a task that should have lived.
pub type Failure = Box<dyn std::error::Error + Send + Sync>;

/// A handle to hand tasks over with; cloned freely.
#[derive(Clone)]
pub struct Tasks {
    tracker: TaskTracker,
    stop: CancellationToken,
    crashes: mpsc::UnboundedSender<Crash>,
}

/// Hears SIGINT and SIGTERM from when it is made: what comes while nobody waits is not lost.
pub struct Stops {
    interrupt: Signal,
    terminate: Signal,
}

impl Stops {
    /// Begins to listen.
    ///
    /// # Errors
    /// When the system does not let us.
    pub fn listen() -> Result<Self, Failure> {
        let (interrupt, terminate) = (signal(SignalKind::interrupt())?, signal(SignalKind::terminate())?);
        Ok(Self { interrupt, terminate })
    }

    /// Waits for the next one.
    pub async fn next(&mut self) {
        tokio::select! {
            _ = self.interrupt.recv() => {}
            _ = self.terminate.recv() => {}
        }
    }
}

/// The owner: made once, awaited once.
pub struct Lifecycle {
    tasks: Tasks,
    crashes: mpsc::UnboundedReceiver<Crash>,
}

/// A task that must live has ended.
#[derive(Debug, thiserror::Error)]
#[error("the task `{name}` ended unexpectedly: {cause}")]
pub struct Crash {
    name: &'static str,
    cause: Failure,
}

impl Tasks {
    /// Runs `task` for as long as the process lives. It must end soon after [`Tasks::stopping`] is cancelled,
    /// and not before.
    pub fn keep<F>(&self, name: &'static str, task: F)
    where
        F: Future<Output = Result<(), Failure>> + Send + 'static,
    {
        let running = self.tracker.spawn(task);
        let (stop, crashes) = (self.stop.clone(), self.crashes.clone());
        self.tracker.spawn(async move {
            let cause = match running.await {
                Ok(Ok(())) if stop.is_cancelled() => return,
                Ok(Ok(())) => Failure::from("it returned"),
                Ok(Err(failure)) => failure,
                Err(panicked) => Failure::from(panicked),
            };
            // Nobody listens any more once the process is on its way out; then the crash no longer matters.
            let _ = crashes.send(Crash { name, cause });
        });
    }

    /// Runs a task that may end at any time; a panic in it is its own affair and is logged.
    pub fn pass<F>(&self, name: &'static str, task: F)
    where
        F: Future<Output = ()> + Send + 'static,
    {
        self.tracker.spawn(async move {
            if AssertUnwindSafe(task).catch_unwind().await.is_err() {
                tracing::error!(task = name, "a task panicked");
            }
        });
    }

    /// Cancelled when the process has begun to stop.
    pub fn stopping(&self) -> &CancellationToken {
        &self.stop
    }
}

/// Beats for a task that does the same thing again and again: at once, then once a period, until the process stops.
/// A beat that comes late delays the ones behind it; none are made up for.
pub struct Pace {
    interval: Interval,
    stop: CancellationToken,
}

impl Pace {
    /// A beat every `period` until `stop` is cancelled.
    pub fn new(period: Duration, stop: CancellationToken) -> Self {
        let mut interval = interval(period);
        interval.set_missed_tick_behavior(MissedTickBehavior::Delay);
        Self { interval, stop }
    }

    /// Waits for the next beat; false when there is none, since the process stops.
    pub async fn beat(&mut self) -> bool {
        tokio::select! {
            biased;
            () = self.stop.cancelled() => false,
            _ = self.interval.tick() => true,
        }
    }
}

impl Default for Lifecycle {
    fn default() -> Self {
        let (sender, crashes) = mpsc::unbounded_channel();
        let tasks = Tasks { tracker: TaskTracker::new(), stop: CancellationToken::new(), crashes: sender };
        Self { tasks, crashes }
    }
}

impl Lifecycle {
    /// The handle that tasks are handed over with.
    pub fn tasks(&self) -> &Tasks {
        &self.tasks
    }

    /// Waits for a signal or a crash, then stops: softly for up to [`GRACE`], or until a second signal.
    ///
    /// # Errors
    /// The crash that made it stop, if one did.
    pub async fn run(mut self, mut stops: Stops) -> Result<(), Failure> {
        let outcome = tokio::select! {
            () = stops.next() => Ok(()),
            Some(crash) = self.crashes.recv() => Err(crash),
        };
        match &outcome {
            Ok(()) => tracing::info!("stopping"),
            Err(crash) => tracing::error!(%crash, "stopping"),
        }
        tokio::select! {
            drained = self.finish() => if !drained { tracing::warn!("some work did not finish in time") },
            () = stops.next() => tracing::warn!("second signal: stopping at once"),
        }
        outcome.map_err(Failure::from)
    }

    /// Stops without waiting for a signal; true when all tasks ended within [`GRACE`].
    pub async fn finish(&mut self) -> bool {
        self.tasks.stop.cancel();
        self.tasks.tracker.close();
        tokio::time::timeout(GRACE, self.tasks.tracker.wait()).await.is_ok()
    }
}

#[cfg(test)]
mod tests {
    use rustix::process::{Signal, getpid, kill_process};
    use tokio::sync::Mutex;

    use super::*;

    /// A signal is heard by everybody in the process.
    static ONE_AT_A_TIME: Mutex<()> = Mutex::const_new(());

    #[tokio::test]
    async fn a_signal_that_comes_while_nobody_waits_stops_the_process_all_the_same() {
        let _turn = ONE_AT_A_TIME.lock().await;
        let (stops, mut heard) = (Stops::listen().unwrap(), Stops::listen().unwrap());
        kill_process(getpid(), Signal::TERM).unwrap();
        heard.next().await;
        let lifecycle = Lifecycle::default();
        let stop = lifecycle.tasks().stopping().clone();
        lifecycle.tasks().keep("work", async move {
            stop.cancelled().await;
            Ok(())
        });
        assert!(lifecycle.run(stops).await.is_ok());
    }

    #[tokio::test]
    async fn a_task_that_ends_early_ends_the_process_with_its_name() {
        let _turn = ONE_AT_A_TIME.lock().await;
        let lifecycle = Lifecycle::default();
        lifecycle.tasks().keep("tail", async { Err("the log is gone".into()) });
        let crash = lifecycle.run(Stops::listen().unwrap()).await.expect_err("a crash");
        assert_eq!(crash.to_string(), "the task `tail` ended unexpectedly: the log is gone");
    }

    #[tokio::test]
    async fn a_stop_waits_for_what_is_under_way() {
        let mut lifecycle = Lifecycle::default();
        let stop = lifecycle.tasks().stopping().clone();
        let (done, mut finished) = mpsc::channel(1);
        lifecycle.tasks().keep("drain", async move {
            stop.cancelled().await;
            tokio::task::yield_now().await;
            done.send(()).await?;
            Ok(())
        });
        assert!(lifecycle.finish().await);
        assert!(finished.try_recv().is_ok());
    }
}
