//! Covers of channels: the pictures that people upload, as files that nginx gives out. The row says which one is the
//! channel's; each has a name of its own, so that whoever has one need never ask for it again.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use tokio::fs;
use tokio::io::AsyncWriteExt;
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use super::files::{Files, names};
use super::picture::{self, Unreadable};
use crate::lifecycle::{Failure, Pace};
use crate::store::{Loc, Store, StoreError};

const ROUND: Duration = Duration::from_secs(60 * 60);
/// A cover has its row in seconds; what is as old as this and has none is left over.
const SCRAP: Duration = Duration::from_secs(60 * 60);
/// So many pictures are worked on at a time: each may take some 300 MiB for a moment.
const AT_A_TIME: usize = 1;
/// How long one waits for its turn.
const PATIENCE: Duration = Duration::from_secs(8);

/// Keeps covers; cloned freely.
#[derive(Clone)]
pub struct Covers {
    files: Files,
    store: Store,
    turns: Arc<Semaphore>,
}

/// There is no cover.
#[derive(Debug, thiserror::Error)]
pub enum Uncovered {
    /// Not from this.
    #[error(transparent)]
    Unreadable(#[from] Unreadable),
    /// Too many are being worked on.
    #[error("too many pictures are being worked on")]
    Busy,
    /// The disk would not have it, or the work broke off.
    #[error(transparent)]
    Failed(#[from] std::io::Error),
}

impl Covers {
    /// The covers in `files`.
    pub fn new(files: Files, store: Store) -> Self {
        Self { files, store, turns: Arc::new(Semaphore::new(AT_A_TIME)) }
    }

    /// Makes a cover of what was sent; its path on this site. It is the channel's once the row says so.
    ///
    /// # Errors
    /// When it cannot be made.
    pub async fn make(&self, loc: Loc, name: Uuid, sent: Bytes) -> Result<String, Uncovered> {
        let turn = tokio::time::timeout(PATIENCE, Arc::clone(&self.turns).acquire_owned()).await;
        let Ok(Ok(turn)) = turn else { return Err(Uncovered::Busy) };
        // The turn goes along: nothing stops the work when nobody waits for it any more.
        let work = move || {
            let _turn = turn;
            picture::repaint(&sent)
        };
        let jpeg = tokio::task::spawn_blocking(work).await.map_err(std::io::Error::other)??;
        let directory = self.files.covers_of(loc);
        fs::create_dir_all(&directory).await?;
        let aside = directory.join(format!("{name}.new"));
        let mut file = fs::File::create(&aside).await?;
        file.write_all(&jpeg).await?;
        file.sync_all().await?;
        fs::rename(aside, directory.join(format!("{name}.jpg"))).await?;
        Ok(path(loc, &format!("{name}.jpg")))
    }

    /// Removes a cover that was the channel's, if `url` is of one; it may be the address of any picture.
    pub async fn forget(&self, loc: Loc, url: &str) {
        let name = url.strip_prefix(&path(loc, "")).and_then(|file| file.strip_suffix(".jpg"));
        if let Some(name) = name.and_then(|name| name.parse::<Uuid>().ok()) {
            let file = self.files.covers_of(loc).join(format!("{name}.jpg"));
            // Should it stay for now, it is swept later.
            if let Err(error) = fs::remove_file(&file).await {
                tracing::warn!(path = %file.display(), %error, "a cover cannot be removed");
            }
        }
    }

    /// Sweeps, every hour until `stop`.
    ///
    /// # Errors
    /// Never: what fails is logged and tried again.
    pub async fn run(self, stop: CancellationToken) -> Result<(), Failure> {
        let mut pace = Pace::new(ROUND, stop);
        while pace.beat().await {
            if let Err(error) = self.sweep().await {
                tracing::warn!(%error, "covers cannot be swept");
            }
        }
        Ok(())
    }

    /// Removes what is no channel's cover, unless it may be about to become one.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn sweep(&self) -> Result<(), StoreError> {
        for channel in names(&self.files.covers()).await.unwrap_or_default() {
            let Ok(loc) = channel.parse().map(Loc) else { continue };
            let directory = self.files.covers_of(loc);
            let of = self.store.channel_by_loc(loc).await?;
            let url = of.and_then(|channel| channel.image_url).unwrap_or_default();
            for name in names(&directory).await.unwrap_or_default() {
                let file = directory.join(&name);
                if url != path(loc, &name) && is_old(&file).await {
                    tracing::debug!(path = %file.display(), "a cover that is nobody's");
                    let _ = fs::remove_file(file).await;
                }
            }
            // Refused as long as something is in it.
            let _ = fs::remove_dir(directory).await;
        }
        Ok(())
    }
}

fn path(loc: Loc, file: &str) -> String {
    format!("/covers/{loc}/{file}")
}

async fn is_old(file: &Path) -> bool {
    let made = fs::metadata(file).await.and_then(|about| about.modified());
    made.is_ok_and(|at| at.elapsed().is_ok_and(|age| age > SCRAP))
}
