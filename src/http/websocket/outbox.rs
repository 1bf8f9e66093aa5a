//! What a connection could not take yet. Nothing is kept for a client that reads as fast as it is written to; what
//! is kept for the others is bounded, for each and for all of them together. So is what has arrived of messages that
//! are not complete.

use std::io;
use std::sync::atomic::{AtomicUsize, Ordering};

use tokio::net::TcpStream;

/// The most bytes that wait for all clients together, and the most of their incomplete messages.
const MOST_OF_ALL: usize = 256 * 1024 * 1024;

/// Bytes that wait for something, of all clients.
#[derive(Default)]
pub(super) struct Backlog(AtomicUsize);

impl Backlog {
    /// Counts so many in place of so many.
    ///
    /// # Errors
    /// [`Full`] when there are too many now; they are counted nevertheless.
    pub(super) fn exchange(&self, old: usize, new: usize) -> Result<(), Full> {
        self.0.fetch_sub(old, Ordering::Relaxed);
        let others = self.0.fetch_add(new, Ordering::Relaxed);
        if new > 0 && others > MOST_OF_ALL { Err(Full) } else { Ok(()) }
    }
}

/// The bytes that wait for one client.
#[derive(Default)]
pub(super) struct Outbox {
    waiting: Vec<u8>,
    gone: usize,
}

/// More would wait than may.
#[derive(Debug)]
pub(super) struct Full;

impl Outbox {
    /// How many bytes wait.
    pub(super) fn len(&self) -> usize {
        self.waiting.len() - self.gone
    }

    pub(super) fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Writes frames, or keeps what cannot be written, if no more than `most` bytes would have to wait before them.
    ///
    /// # Errors
    /// [`Full`] when they would, or when the connection is broken.
    pub(super) fn write(
        &mut self,
        stream: &TcpStream,
        frames: &[u8],
        most: usize,
        all: &Backlog,
    ) -> Result<(), Full> {
        let written = match self.is_empty() {
            true => match stream.try_write(frames) {
                Ok(written) => written,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => 0,
                Err(_) => return Err(Full),
            },
            false => 0,
        };
        let rest = &frames[written..];
        if rest.is_empty() {
            return Ok(());
        }
        if self.len() > most {
            return Err(Full);
        }
        if all.exchange(0, rest.len()).is_err() {
            all.0.fetch_sub(rest.len(), Ordering::Relaxed);
            return Err(Full);
        }
        self.waiting.extend_from_slice(rest);
        Ok(())
    }

    /// Writes what waits; true when nothing waits any more.
    ///
    /// # Errors
    /// When the connection is broken.
    pub(super) fn flush(&mut self, stream: &TcpStream, all: &Backlog) -> io::Result<bool> {
        while !self.is_empty() {
            match stream.try_write(&self.waiting[self.gone..]) {
                Ok(written) => {
                    self.gone += written;
                    all.0.fetch_sub(written, Ordering::Relaxed);
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(false),
                Err(error) => return Err(error),
            }
        }
        self.gone = 0;
        self.waiting = Vec::new();
        Ok(true)
    }

    /// Forgets what waits.
    pub(super) fn clear(&mut self, all: &Backlog) {
        all.0.fetch_sub(self.len(), Ordering::Relaxed);
        *self = Self::default();
    }
}
