//! Waits for many sockets at once.

use std::os::fd::{AsFd, OwnedFd};
use std::time::Duration;

use rustix::event::{Timespec, epoll};

/// How many sockets are told of at a time.
const BATCH: usize = 1024;

/// The sockets that are waited for, each under a number.
pub(crate) struct Poll {
    epoll: OwnedFd,
    ready: Vec<epoll::Event>,
}

impl Poll {
    pub(crate) fn new() -> Self {
        let epoll = epoll::create(epoll::CreateFlags::CLOEXEC).expect("an epoll");
        Self { epoll, ready: Vec::with_capacity(BATCH) }
    }

    pub(crate) fn add(&self, socket: impl AsFd, number: usize, interest: epoll::EventFlags) {
        epoll::add(&self.epoll, socket, epoll::EventData::new_u64(number as u64), interest).expect("room");
    }

    /// The numbers of the sockets that are ready, after `patience` at the latest.
    pub(crate) fn wait(&mut self, patience: Duration) -> Vec<usize> {
        self.ready.clear();
        let timeout = Timespec::try_from(patience).expect("a short time");
        let waited =
            epoll::wait(&self.epoll, rustix::buffer::spare_capacity(&mut self.ready), Some(&timeout));
        // A signal is as good as nothing ready.
        let _ = waited;
        self.ready.iter().map(|event| usize::try_from(event.data.u64()).expect("a number")).collect()
    }
}
