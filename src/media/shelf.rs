//! Where recordings lie: in a directory that everybody may read, or in one that only a playback URL opens. The rows say
//! which, and whether there is such a recording at all; the directories follow them.

use std::io::ErrorKind;
use std::path::Path;
use std::time::Duration;

use chrono::TimeDelta;
use tokio::fs;
use tokio::sync::broadcast;
use tokio_util::sync::CancellationToken;

use super::files::Files;
use crate::ambient::Clock;
use crate::lifecycle::{Failure, Pace};
use crate::store::{Loc, Retention, Store, StoreError, StreamId};

const ROUND: Duration = Duration::from_secs(60);
/// How many changes a slow reader may be behind before it misses some.
const UNREAD: usize = 1024;

/// What is kept of recordings; what is `None` is kept for ever.
#[derive(Clone, Copy, Debug, Default)]
pub struct Keep {
    /// For so long after the end of the stream.
    pub age: Option<Duration>,
    /// So many bytes for each channel, the newest.
    pub bytes_of_channel: Option<u64>,
    /// So many bytes in all, the newest.
    pub bytes: Option<u64>,
}

/// Keeps recordings where they belong.
#[derive(Clone)]
pub struct Shelf {
    files: Files,
    store: Store,
    clock: Clock,
    keep: Keep,
    changes: broadcast::Sender<(Loc, StreamId)>,
}

/// Recordings could not be put where they belong.
#[derive(Debug, thiserror::Error)]
pub enum Unsettled {
    /// The disk would not have it.
    #[error(transparent)]
    Disk(#[from] std::io::Error),
    /// It could not be found out.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl Shelf {
    /// The shelf in `files`.
    pub fn new(files: Files, store: Store, clock: Clock, keep: Keep) -> Self {
        Self { files, store, clock, keep, changes: broadcast::Sender::new(UNREAD) }
    }

    /// Tells whoever watches that a recording of the channel at `loc` has changed.
    pub fn tell(&self, loc: Loc, recording: StreamId) {
        // Nobody listening is no failure.
        let _ = self.changes.send((loc, recording));
    }

    /// Hears of each recording that changes.
    pub fn watch(&self) -> broadcast::Receiver<(Loc, StreamId)> {
        self.changes.subscribe()
    }

    /// Tidies, every minute until `stop`.
    ///
    /// # Errors
    /// Never: what fails is logged and tried again.
    pub async fn run(self, stop: CancellationToken) -> Result<(), Failure> {
        let mut pace = Pace::new(ROUND, stop);
        while pace.beat().await {
            if let Err(error) = self.tidy().await {
                tracing::warn!(%error, "recordings cannot be tidied");
            }
        }
        Ok(())
    }

    /// Lets go of what need not be kept any longer, and puts everything else where it belongs.
    ///
    /// # Errors
    /// When the disk or the database fails.
    pub async fn tidy(&self) -> Result<(), Unsettled> {
        let span = |age: Duration| TimeDelta::from_std(age).unwrap_or(TimeDelta::MAX);
        let bytes = |bytes: u64| i64::try_from(bytes).unwrap_or(i64::MAX);
        let retention = Retention {
            ended_before: self.keep.age.and_then(|age| self.clock.now().checked_sub_signed(span(age))),
            bytes_of_channel: self.keep.bytes_of_channel.map(bytes),
            bytes: self.keep.bytes.map(bytes),
        };
        for (id, loc) in self.store.outlived_recordings(&retention).await? {
            tracing::info!(stream = %id, %loc, "a recording has been kept for long enough");
            self.store.delete_recording(id).await?;
        }
        let mut channels = match fs::read_dir(self.files.recordings()).await {
            Ok(channels) => channels,
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(()),
            Err(error) => return Err(error.into()),
        };
        while let Some(channel) = channels.next_entry().await? {
            if let Some(loc) = channel.file_name().to_str().and_then(|name| name.parse().ok()) {
                self.settle(Loc(loc)).await?;
            }
        }
        Ok(())
    }

    /// Puts the recordings of a channel where they belong, and removes what belongs to none.
    ///
    /// # Errors
    /// When the disk or the database fails.
    pub async fn settle(&self, loc: Loc) -> Result<(), Unsettled> {
        let directory = self.files.recordings_of(loc);
        let mut entries = match fs::read_dir(&directory).await {
            Ok(entries) => entries,
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(()),
            Err(error) => return Err(error.into()),
        };
        let mut found = Vec::new();
        while let Some(entry) = entries.next_entry().await? {
            found.extend(entry.file_name().to_str().and_then(recording_of));
        }
        let ids: Vec<StreamId> = found.iter().map(|(id, _)| *id).collect();
        let there = self.store.recorded(&ids).await?;
        let open = self.store.open_recordings(&ids).await?;
        for (id, is_open) in found {
            let here = self.files.recording(loc, id, is_open);
            if !there.contains(&id) {
                fs::remove_dir_all(here).await?;
            } else if open.contains(&id) != is_open {
                move_to(&here, &self.files.recording(loc, id, !is_open)).await?;
            }
        }
        Ok(())
    }
}

/// Somebody else may have been as quick.
async fn move_to(here: &Path, there: &Path) -> std::io::Result<()> {
    match fs::rename(here, there).await {
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(()),
        moved => moved,
    }
}

/// Whose recording a directory of that name holds, and whether it is the open one.
fn recording_of(name: &str) -> Option<(StreamId, bool)> {
    let id = name.strip_prefix("p-").unwrap_or(name).parse().ok()?;
    Some((StreamId(id), !name.starts_with("p-")))
}
