//! Makes what we say follow what is: deadlines that have passed, and publishers that nginx no longer carries.

use std::collections::HashSet;
use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;

use super::incumbent::{find, is_certainly_gone};
use super::{Ingest, LEASE, Result};
use crate::lifecycle::{Failure, Pace};
use crate::store::{Connection, EndedStream, Removed, StreamId, StreamState};

/// How often deadlines are looked at.
const SWEEP: Duration = Duration::from_secs(1);
/// A sweep that comes later than this after the last good one has not listened to nginx in between, or could not
/// write down what it heard; then deadlines are given anew before any is called over.
const DEAF: Duration = Duration::from_secs(4);
/// So long a round ends streams; then the next goes on with it, after another look at everything else. Each end is a
/// transaction, and a crowd's would take longer than may lie between two rounds; nginx may have taken two seconds before.
const ENDING: Duration = Duration::from_secs(1);
/// So far the time of day may stray from the time that passes, between two sweeps; beyond, somebody set the clock.
const STEP: TimeDelta = TimeDelta::seconds(1);
/// What is being sent is written down every so many rounds.
const NOTED: u32 = 5;
/// The one media node that this configuration knows.
const NODE: &str = "local";

/// When a round began: the time of day, and the time that had passed.
#[derive(Clone, Copy)]
struct Moment {
    now: DateTime<Utc>,
    elapsed: Duration,
}

impl Moment {
    /// Whether deadlines from before a later moment hold at that moment.
    fn leads_to(self, later: Self) -> bool {
        let passed = later.elapsed - self.elapsed;
        let strayed = later.now - self.now - TimeDelta::from_std(passed).unwrap_or(TimeDelta::MAX);
        passed <= DEAF && strayed.abs() <= STEP
    }
}

/// Sweeps on behalf of [`Ingest`]; made once a process.
pub struct Sweeper {
    ingest: Ingest,
    last: Option<Moment>,
    rounds: u32,
    /// Whether the last round left streams to the next that were to be ended.
    unfinished: bool,
    /// Publishers that nginx did not list the last time: one look may fall between accept and registration.
    missing: HashSet<(StreamId, Connection)>,
}

impl Sweeper {
    /// A sweeper that has not listened yet.
    pub fn new(ingest: Ingest) -> Self {
        Self { ingest, last: None, rounds: 0, unfinished: false, missing: HashSet::new() }
    }

    /// Sweeps until `stop`.
    ///
    /// # Errors
    /// Never: what fails is tried again.
    pub async fn run(mut self, stop: CancellationToken) -> std::result::Result<(), Failure> {
        let mut pace = Pace::new(SWEEP, stop.clone());
        while (self.unfinished && !stop.is_cancelled()) || pace.beat().await {
            let outcome = match self.sweep().await {
                Ok(()) => "whole",
                Err(error) => {
                    tracing::warn!(%error, "streams cannot be swept");
                    "failed"
                }
            };
            metrics::counter!("tally_sweeps_total", "outcome" => outcome).increment(1);
        }
        Ok(())
    }

    /// One round.
    ///
    /// # Errors
    /// When the database fails; then deadlines are given anew in the next good round.
    pub async fn sweep(&mut self) -> Result<()> {
        let (clock, store) = (self.ingest.clock.clone(), self.ingest.store.clone());
        // Whoever is late for this moment is late. What passes while the round is held up, nobody could have heard; and
        // the clock may be set in the middle of it.
        let begun = Moment { now: clock.now(), elapsed: clock.elapsed() };
        let now = begun.now;
        self.unfinished = false;
        if !self.last.take().is_some_and(|last| last.leads_to(begun)) {
            // Nobody could come back while the door was closed either.
            store.renew_deadlines(now + LEASE, now + self.ingest.window).await?;
        }
        self.reconcile().await?;
        let overdue = store.overdue_streams(now).await?;
        let (mut silent, waited): (Vec<_>, Vec<_>) =
            overdue.iter().partition(|it| it.state == StreamState::Live);
        let unwritten = self.ingest.unwritten.all();
        silent.retain(|it| !unwritten.contains(&it.connection));
        for silent in &silent {
            tracing::info!(loc = %silent.loc, "nothing was heard of a publisher for too long");
        }
        self.ingest.incumbents.give_up(&silent).await?;
        let (started, mut waited) = (clock.elapsed(), waited.into_iter());
        for waited in waited.by_ref() {
            self.ingest.end_overdue(waited, now).await?;
            if clock.elapsed() - started >= ENDING {
                break;
            }
        }
        self.unfinished = waited.len() > 0;
        self.last = Some(begun);
        Ok(())
    }

    /// Compares the rows with nginx's own list. Silence of nginx decides nothing: leases do.
    async fn reconcile(&mut self) -> Result<()> {
        let rows = self.ingest.store.publishing(NODE).await?;
        if rows.is_empty() {
            self.missing.clear();
            return Ok(());
        }
        let Ok(carried) = self.ingest.nginx.carried().await else {
            metrics::counter!("tally_nginx_silent_total").increment(1);
            return Ok(());
        };
        self.rounds = self.rounds.wrapping_add(1);
        let renoted = self.rounds.is_multiple_of(NOTED);
        let (mut missing, mut gone, mut seen) = (HashSet::new(), Vec::new(), Vec::new());
        for row in rows.iter().filter(|row| row.state == StreamState::Live) {
            match find(&carried, row) {
                Some(_) if row.worker == Some(carried.worker) && !renoted => {}
                Some(carrier) => seen.push((row, &carrier.media)),
                None if is_certainly_gone(&carried, row) => {
                    let publisher = (row.stream, row.connection.clone());
                    if self.missing.contains(&publisher) {
                        gone.push(row);
                    } else {
                        missing.insert(publisher);
                    }
                }
                None => {}
            }
        }
        self.missing = missing;
        self.ingest.store.note_publishing(carried.worker, &seen).await?;
        self.ingest.incumbents.give_up(&gone).await?;
        Ok(())
    }
}

impl Ingest {
    /// Cuts the publisher of an ended stream off, and keeps at it until nginx carries it no more: it may have been
    /// let in a moment ago and not be on nginx's list yet. Should all that fail, its next report is refused.
    pub(super) fn cut_off(&self, removed: Option<Removed>) -> Option<Removed> {
        if let Some(ended) = removed.as_ref().and_then(|removed| removed.ended.as_ref()) {
            self.cut(ended);
        }
        removed
    }

    /// The same, of a stream that has ended.
    pub(super) fn cut(&self, ended: &EndedStream) {
        tracing::info!(loc = %ended.loc, "a stream was ended; its publisher is cut off");
        let (ingest, ended) = (self.clone(), ended.clone());
        self.tasks.pass("cut off", async move { ingest.keep_cutting(&ended).await });
    }

    async fn keep_cutting(&self, ended: &EndedStream) {
        let name = ended.loc.stream_name(ended.protected);
        for wait in [0, 200, 500, 1000, 2000] {
            sleep(Duration::from_millis(wait)).await;
            match self.nginx.drop_publisher(&name, ended.connection.number).await {
                Ok(0) => {}
                Ok(_) => return,
                Err(error) => tracing::warn!(%error, "a publisher could not be cut off"),
            }
        }
    }
}
