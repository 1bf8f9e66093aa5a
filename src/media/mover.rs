//! Moves recordings that can be played from this machine's disk into the bucket, and removes from there what was deleted.
//!
//! A recording is played from the disk until all of it has arrived, and a bucket that is away only makes them wait there.
//! Whatever breaks off is begun again: what may lie in the bucket is on record before it is sent.

use std::collections::HashMap;
use std::time::Duration;

use tokio_util::sync::CancellationToken;

use super::bucket::Bucket;
use super::files::{self, Files};
use super::shelf::{Shelf, Unsettled, kept};
use crate::ambient::Clock;
use crate::lifecycle::{Failure, Pace};
use crate::store::{Loc, RecordingPlace, Store, StoreError, StreamId};

const ROUND: Duration = Duration::from_secs(5);
/// How long it is left alone after it failed: at first, and at most.
const PAUSE: (Duration, Duration) = (Duration::from_secs(5), Duration::from_secs(5 * 60));

/// Moves recordings, one at a time.
pub struct Mover {
    bucket: Bucket,
    files: Files,
    store: Store,
    shelf: Shelf,
    clock: Clock,
}

/// It did not work this time.
#[derive(Debug, thiserror::Error)]
pub enum Unmoved {
    /// A file cannot be read, or the bucket does not take it.
    #[error("it cannot be sent: {0}")]
    Unsent(#[from] std::io::Error),
    /// The bucket does not let go of it.
    #[error("it cannot be removed: {0}")]
    Unremoved(#[from] object_store::Error),
    /// The database.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The place on the disk.
    #[error(transparent)]
    Unsettled(#[from] Unsettled),
}

impl Mover {
    /// One that moves what is in `files` into `bucket`.
    pub fn new(bucket: Bucket, files: Files, store: Store, shelf: Shelf, clock: Clock) -> Self {
        Self { bucket, files, store, shelf, clock }
    }

    /// Works until `stop`.
    ///
    /// # Errors
    /// Never: what fails is logged and tried again.
    pub async fn run(self, stop: CancellationToken) -> Result<(), Failure> {
        let mut pace = Pace::new(ROUND, stop.clone());
        let (mut pause, mut after) = (PAUSE.0, Duration::ZERO);
        while pace.beat().await {
            if self.clock.elapsed() < after {
                continue;
            }
            let worked = tokio::select! {
                () = stop.cancelled() => return Ok(()),
                worked = self.work() => worked,
            };
            if let Err(error) = worked {
                tracing::warn!(%error, again_in = ?pause, "recordings stay where they are");
                after = self.clock.elapsed() + pause;
                pause = (2 * pause).min(PAUSE.1);
            } else {
                pause = PAUSE.0;
            }
        }
        Ok(())
    }

    /// One round.
    ///
    /// # Errors
    /// At the first thing that fails.
    pub async fn work(&self) -> Result<(), Unmoved> {
        for id in self.store.discarded_recordings().await? {
            self.bucket.remove(id).await?;
            self.store.forget_discarded(id).await?;
        }
        // Where each lies that is on the disk, and whether everybody may see it there.
        let mut here: HashMap<StreamId, (Loc, bool)> = HashMap::new();
        for channel in files::names(&self.files.recordings()).await? {
            let Ok(loc) = channel.parse().map(Loc) else { continue };
            for (id, is_open) in kept(&self.files.recordings_of(loc)).await? {
                here.entry(StreamId(id)).or_insert((loc, is_open)).1 |= is_open;
            }
        }
        let ids: Vec<StreamId> = here.keys().copied().collect();
        for id in self.store.recordings_to_move(&ids).await? {
            if let Some(&(loc, is_open)) = here.get(&id) {
                self.move_one(loc, id, is_open).await?;
            }
        }
        Ok(())
    }

    /// Moves one from the place in which it was found. Should it be put into its other place meanwhile, it is sent in the
    /// next round.
    async fn move_one(&self, loc: Loc, id: StreamId, is_open: bool) -> Result<(), Unmoved> {
        if !self.store.place_recording(id, RecordingPlace::Moving).await? {
            return Ok(());
        }
        self.bucket.put(id, &self.files.recording(loc, id, is_open)).await?;
        if !self.store.place_recording(id, RecordingPlace::Bucket).await? {
            // Deleted meanwhile, and perhaps removed before all of it had arrived.
            return Ok(self.bucket.remove(id).await?);
        }
        tracing::info!(stream = %id, %loc, "a recording is in the bucket");
        Ok(self.shelf.settle(loc).await?)
    }
}
