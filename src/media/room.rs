//! How much room there is on the disk that the media lie on.

use std::io::{Error, Result};

use super::files::Files;

/// A disk, in bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Room {
    /// What can still be written.
    pub free: u64,
    /// All of it.
    pub total: u64,
}

impl Files {
    /// The room on the disk below the root.
    ///
    /// # Errors
    /// When there is no such directory, or its disk does not answer.
    pub async fn room(&self) -> Result<Room> {
        let root = self.root().to_owned();
        // A disk that is far away may take its time.
        let looked = tokio::task::spawn_blocking(move || rustix::fs::statvfs(&root)).await;
        let disk = looked.map_err(Error::other)??;
        let room = |blocks: u64| blocks.saturating_mul(disk.f_frsize);
        Ok(Room { free: room(disk.f_bavail), total: room(disk.f_blocks) })
    }
}
