//! What a connection could not take yet. Nothing is kept for a client that reads as fast as it is written to; what
//! is kept for the others is bounded, for each and for all of them together. So is what has arrived of messages that
//! are not complete.

use std::io;
use std::sync::atomic::{AtomicUsize, Ordering};

use tokio::net::TcpStream;

/// The most bytes that wait for all clients together, and the most of their incomplete messages.
const MOST_OF_ALL: usize = 256 * 1024 * 1024;
/// In how many parts that is looked at.
const PARTS: usize = 256;
/// By how much the room for what waits grows at a time. Doubling it would take twice what is counted.
const STEP: usize = 16 * 1024;

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

    /// What one client may have of `most`: the less, the more waits for all. So a crowd that does not read comes to its
    /// bound before all is taken, and whoever is slow for a moment still finds room.
    pub(super) fn share(&self, most: usize) -> usize {
        let free = MOST_OF_ALL.saturating_sub(self.0.load(Ordering::Relaxed));
        most / PARTS * free.div_ceil(MOST_OF_ALL / PARTS)
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

    /// Writes frames, or keeps what cannot be written, if no more than `most` bytes would have to wait before them, or
    /// this client's share of that.
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
        if self.len() > all.share(most) {
            return Err(Full);
        }
        if all.exchange(0, rest.len()).is_err() {
            all.0.fetch_sub(rest.len(), Ordering::Relaxed);
            return Err(Full);
        }
        if self.waiting.capacity() - self.waiting.len() < rest.len() {
            self.waiting.reserve_exact(rest.len().next_multiple_of(STEP));
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

#[cfg(test)]
mod tests {
    use tokio::net::TcpListener;

    use super::*;

    #[tokio::test]
    async fn a_crowd_that_does_not_read_leaves_room_for_who_is_slow_for_a_moment() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let stream = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
        while stream.try_write(&[0; 64 * 1024]).is_ok() {}
        let (all, most, event) = (Backlog::default(), 256 * 1024, [0; 10_000]);
        let mut alone = Outbox::default();
        while alone.write(&stream, &event, most, &all).is_ok() {}
        assert!((most..most + 2 * event.len()).contains(&alone.len()));
        assert!(alone.waiting.capacity() < alone.len() + 2 * STEP, "hardly more than what is counted");
        alone.clear(&all);

        let mut crowd: Vec<Outbox> = std::iter::repeat_with(Outbox::default).take(10_000).collect();
        let mut refused = 0;
        for _ in 0..10 {
            let writes = crowd.iter_mut().map(|it| it.write(&stream, &event, most, &all));
            refused += writes.filter(Result::is_err).count();
        }
        let waiting: usize = crowd.iter().map(Outbox::len).sum();
        assert!(refused > 10_000 && waiting < MOST_OF_ALL, "{refused} refused, {waiting} bytes wait");
        assert!(alone.write(&stream, &event, most, &all).is_ok());
        assert!(alone.write(&stream, &event, most, &all).is_ok(), "and once more");
        crowd.iter_mut().for_each(|it| it.clear(&all));
        alone.clear(&all);
        assert_eq!(all.share(most), most);
    }
}
