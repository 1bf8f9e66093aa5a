//! How many sockets there may be: of this process, and of one address, so that no one client takes all the places.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::auth::network;

/// The most sockets of this process.
const MAX_SOCKETS: usize = 50_000;
/// The most of one address unless told otherwise: a quarter. Behind one there may be a provider's customers, or a proxy
/// with everybody behind it.
const MAX_OF_ONE: usize = MAX_SOCKETS / 4;

type Taken = Mutex<HashMap<IpAddr, usize>>;

/// The places for sockets.
pub(super) struct Rooms {
    free: Arc<Semaphore>,
    taken: Arc<Taken>,
    most_of_one: usize,
}

/// A place; given back when dropped.
pub(super) struct Room {
    _place: OwnedSemaphorePermit,
    of: Option<IpAddr>,
    taken: Arc<Taken>,
}

/// There is no place.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Full {
    /// For nobody.
    All,
    /// For this address.
    Address,
}

impl Default for Rooms {
    fn default() -> Self {
        Self::new(MAX_OF_ONE)
    }
}

impl Rooms {
    pub(super) fn new(most_of_one: usize) -> Self {
        Self { free: Arc::new(Semaphore::new(MAX_SOCKETS)), taken: Arc::default(), most_of_one }
    }

    /// A place for one more from there. An IPv6 customer's addresses are one.
    pub(super) fn admit(&self, address: Option<IpAddr>) -> Result<Room, Full> {
        let place = Arc::clone(&self.free).try_acquire_owned().map_err(|_| Full::All)?;
        let of = address.map(|address| if address.is_ipv6() { network(address) } else { address });
        if let Some(of) = of {
            let mut taken = lock(&self.taken);
            let of_one = taken.entry(of).or_default();
            if *of_one >= self.most_of_one {
                return Err(Full::Address);
            }
            *of_one += 1;
        }
        Ok(Room { _place: place, of, taken: Arc::clone(&self.taken) })
    }
}

impl Drop for Room {
    fn drop(&mut self) {
        let Some(of) = self.of else { return };
        let mut taken = lock(&self.taken);
        let left = taken.get(&of).map_or(0, |of_one| of_one - 1);
        match left {
            0 => taken.remove(&of),
            left => taken.insert(of, left),
        };
    }
}

fn lock(taken: &Taken) -> MutexGuard<'_, HashMap<IpAddr, usize>> {
    taken.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_place_is_one_addresss_until_it_is_given_back() {
        let rooms = Rooms::new(2);
        let admit = |address: &str| rooms.admit(Some(address.parse().unwrap()));
        let first = admit("192.0.2.1").unwrap();
        let _second = admit("192.0.2.1").unwrap();
        assert_eq!(admit("192.0.2.1").err(), Some(Full::Address));
        let next_door = admit("192.0.2.2").unwrap();
        drop(first);
        let _third = admit("192.0.2.1").unwrap();
        drop(next_door);
        assert_eq!(lock(&rooms.taken).len(), 1, "nothing is kept of who has gone");
        let _six = [admit("2001:db8::1").unwrap(), admit("2001:db8::ffff:2").unwrap()];
        assert_eq!(admit("2001:db8:0:1::3").err(), Some(Full::Address));
        assert!(admit("2001:db8:1::1").is_ok());
    }
}
