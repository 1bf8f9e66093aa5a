//! Where recordings and clips lie: in a directory that everybody may read, or in one that only a playback URL opens. The rows say
//! which, and whether there is such a thing at all; the directories follow them.

use std::io::ErrorKind;
use std::path::Path;
use std::time::Duration;

use chrono::TimeDelta;
use tokio::fs;
use tokio::sync::broadcast;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use super::files::{Files, kept_name, names};
use super::room::Room;
use crate::ambient::Clock;
use crate::lifecycle::{Failure, Pace};
use crate::store::{ClipId, Loc, Retention, Store, StoreError, StreamId};

const ROUND: Duration = Duration::from_secs(60);
/// A clip is made in seconds; what is as old as this is left over.
const SCRAP: Duration = Duration::from_secs(60 * 60);
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

    /// The room that is left for them.
    ///
    /// # Errors
    /// When the disk cannot be looked at.
    pub async fn room(&self) -> std::io::Result<Room> {
        self.files.room().await
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
        for kept in [self.files.recordings(), self.files.clips()] {
            for channel in names(&kept).await? {
                if let Ok(loc) = channel.parse() {
                    self.settle(Loc(loc)).await?;
                    remove_scraps(&kept.join(channel)).await?;
                }
            }
        }
        Ok(())
    }

    /// Puts the recordings and clips of a channel where they belong, and removes what belongs to none.
    ///
    /// # Errors
    /// When the disk or the database fails.
    pub async fn settle(&self, loc: Loc) -> Result<(), Unsettled> {
        let (recordings, clips) = (self.files.recordings_of(loc), self.files.clips_of(loc));
        let found = kept(&recordings).await?;
        let ids: Vec<StreamId> = found.iter().map(|(id, _)| StreamId(*id)).collect();
        let (there, open) = (self.store.recorded(&ids).await?, self.store.open_recordings(&ids).await?);
        arrange(&recordings, found, |id| (there.contains(&StreamId(id)), open.contains(&StreamId(id))))
            .await?;
        let found = kept(&clips).await?;
        let ids: Vec<ClipId> = found.iter().map(|(id, _)| ClipId(*id)).collect();
        let (there, open) = self.store.open_clips(&ids).await?;
        arrange(&clips, found, |id| (there.contains(&ClipId(id)), open.contains(&ClipId(id)))).await
    }
}

/// Removes what is not there any more, and moves what lies in the wrong place. `stand` says of each whether it is there,
/// and whether everybody may have it.
async fn arrange(
    directory: &Path,
    found: Vec<(Uuid, bool)>,
    stand: impl Fn(Uuid) -> (bool, bool),
) -> Result<(), Unsettled> {
    for (id, is_open) in found {
        let here = directory.join(kept_name(id, is_open));
        match stand(id) {
            (false, _) => fs::remove_dir_all(here).await?,
            (true, open) if open != is_open => {
                move_to(&here, &directory.join(kept_name(id, !is_open))).await?
            }
            _ => {}
        }
    }
    Ok(())
}

/// What lies in a channel's directory: whose it is, and whether it is the open one.
pub(super) async fn kept(directory: &Path) -> std::io::Result<Vec<(Uuid, bool)>> {
    let of = |name: String| {
        let id = name.strip_prefix("p-").unwrap_or(&name).parse().ok()?;
        Some((id, !name.starts_with("p-")))
    };
    Ok(names(directory).await?.into_iter().filter_map(of).collect())
}

/// Removes clips that were begun and never kept.
async fn remove_scraps(directory: &Path) -> std::io::Result<()> {
    for name in names(directory).await? {
        let path = directory.join(&name);
        let begun = fs::metadata(&path).await.and_then(|about| about.modified());
        if name.starts_with("cut-") && begun.is_ok_and(|at| at.elapsed().is_ok_and(|age| age > SCRAP)) {
            fs::remove_dir_all(path).await?;
        }
    }
    Ok(())
}

/// Somebody else may have been as quick.
async fn move_to(here: &Path, there: &Path) -> std::io::Result<()> {
    match fs::rename(here, there).await {
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(()),
        moved => moved,
    }
}
