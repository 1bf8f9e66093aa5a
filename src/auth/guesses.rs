//! Guessing at the door: how often a sign-in may be tried for an account, and from an address; how many accounts an
//! address may make.
//!
//! An account's limit counts every try, for a handle of nobody as for any other, so that it does not tell which exist.
//! An address may be a school's: its limit counts what went wrong, so that those who know their passwords are never
//! kept out by how many they are. Networks count beside their addresses, for whoever has many of them.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::time::Duration;

use super::limit::{Limit, Wait};
use crate::ambient::{Chance, Clock};

const MINUTE: Duration = Duration::from_secs(60);
/// Sign-ins for one handle in a minute.
const ACCOUNT: usize = 10;
/// Sign-ins in a minute that went wrong: of an address, of a network.
const SIGN_INS: (usize, usize) = (30, 100);
/// Accounts made in ten minutes: by an address, by a network. A school's classes may make theirs in one lesson.
const SIGN_UPS: (usize, usize) = (100, 300);

/// What is tried at the door; one for the process.
pub struct Guesses {
    accounts: Limit,
    sign_ins: Origins,
    sign_ups: Origins,
}

impl Guesses {
    /// Nothing was tried yet.
    pub fn new(clock: &Clock, chance: &Chance) -> Self {
        Self {
            accounts: Limit::new(ACCOUNT, MINUTE, clock, chance),
            sign_ins: Origins::new(SIGN_INS, MINUTE, clock, chance),
            sign_ups: Origins::new(SIGN_UPS, 10 * MINUTE, clock, chance),
        }
    }

    /// Somebody comes to sign in.
    ///
    /// # Errors
    /// When there were too many tries for the account, or too many wrong ones from there.
    pub fn sign_in(&self, handle: &str, address: IpAddr) -> Result<(), Wait> {
        let free = self.sign_ins.check(address).and_then(|()| self.accounts.check(handle.as_bytes()));
        free.inspect_err(|_| limited("sign_in"))
    }

    /// The password is about to be looked at: it counts for the account, whoever it is, and for a wrong one from that
    /// address until it was right. Not before, and for both or neither: whoever breaks off while waiting for a turn, or
    /// is refused for where they come from, uses up nobody's tries.
    ///
    /// # Errors
    /// When too many were tried or wrong since it came.
    pub fn password(&self, handle: &str, address: IpAddr) -> Result<Counted<'_>, Wait> {
        let counted =
            self.sign_ins.count(address).and_then(|wrong| match self.accounts.count(handle.as_bytes()) {
                Ok(_) => Ok(wrong),
                Err(wait) => {
                    wrong.forgive();
                    Err(wait)
                }
            });
        counted.inspect_err(|_| limited("sign_in"))
    }

    /// Somebody makes an account.
    ///
    /// # Errors
    /// When too many were made from there.
    pub fn sign_up(&self, address: IpAddr) -> Result<(), Wait> {
        self.sign_ups.count(address).map(drop).inspect_err(|_| limited("sign_up"))
    }
}

/// Counts who was told to come later, and where.
fn limited(at: &'static str) {
    metrics::counter!("tally_limited_total", "at" => at).increment(1);
}

/// A limit for each address, and one for each network.
pub struct Origins {
    addresses: Limit,
    networks: Limit,
}

/// A try that counts for an address and its network.
pub struct Counted<'a> {
    origins: &'a Origins,
    address: IpAddr,
    for_address: Duration,
    for_network: Duration,
}

impl Origins {
    /// So many tries for an address and for a network, in any stretch of so much time.
    pub fn new((address, network): (usize, usize), within: Duration, clock: &Clock, chance: &Chance) -> Self {
        let limit = |most| Limit::new(most, within, clock, chance);
        Self { addresses: limit(address), networks: limit(network) }
    }

    /// Whether there may be one more from there.
    ///
    /// # Errors
    /// When there were too many.
    pub fn check(&self, address: IpAddr) -> Result<(), Wait> {
        self.addresses.check(&bytes(address))?;
        self.networks.check(&bytes(network(address)))
    }

    /// Counts one from there.
    ///
    /// # Errors
    /// When there were too many.
    pub fn count(&self, address: IpAddr) -> Result<Counted<'_>, Wait> {
        let for_address = self.addresses.count(&bytes(address))?;
        match self.networks.count(&bytes(network(address))) {
            Ok(for_network) => Ok(Counted { origins: self, address, for_address, for_network }),
            Err(wait) => {
                self.addresses.forgive(&bytes(address), for_address);
                Err(wait)
            }
        }
    }
}

impl Counted<'_> {
    /// Takes it back: it was no guess.
    pub fn forgive(self) {
        self.origins.addresses.forgive(&bytes(self.address), self.for_address);
        self.origins.networks.forgive(&bytes(network(self.address)), self.for_network);
    }
}

/// What is usually in one hand: 256 addresses of IPv4, a customer's share of IPv6.
pub fn network(address: IpAddr) -> IpAddr {
    match address {
        IpAddr::V4(address) => Ipv4Addr::from_bits(address.to_bits() & (!0 << 8)).into(),
        IpAddr::V6(address) => Ipv6Addr::from_bits(address.to_bits() & (!0 << 72)).into(),
    }
}

fn bytes(address: IpAddr) -> [u8; 16] {
    match address {
        IpAddr::V4(address) => address.to_ipv6_mapped().octets(),
        IpAddr::V6(address) => address.octets(),
    }
}

#[cfg(test)]
mod tests {
    use chrono::DateTime;

    use super::*;

    fn origins() -> Origins {
        let clock = Clock::manual(DateTime::UNIX_EPOCH);
        Origins::new((30, 100), MINUTE, &clock, &Chance::seeded(1))
    }

    fn let_in(origins: &Origins, addresses: impl Iterator<Item = IpAddr>) -> usize {
        addresses.filter(|address| origins.count(*address).is_ok()).count()
    }

    #[test]
    fn whoever_breaks_off_or_is_refused_uses_up_nobodys_tries() {
        let clock = Clock::manual(DateTime::UNIX_EPOCH);
        let guesses = Guesses::new(&clock, &Chance::seeded(1));
        let [here, there] = [1, 2].map(|last| IpAddr::from([192, 0, 2, last]));
        for _ in 0..100 {
            assert!(guesses.sign_in("mia", here).is_ok(), "nobody has looked at a password");
        }
        for number in 0..30 {
            assert!(guesses.password(&format!("handle_{number}"), here).is_ok());
        }
        for _ in 0..100 {
            assert!(guesses.sign_in("mia", here).is_err() && guesses.password("mia", here).is_err());
        }
        for _ in 0..10 {
            assert!(guesses.sign_in("mia", there).is_ok());
            guesses.password("mia", there).unwrap_or_else(|_| panic!("these are the first")).forgive();
        }
        assert!(guesses.sign_in("mia", there).is_err());
        assert!(guesses.password("mia", there).is_err());
        assert!(
            guesses.sign_in("tom", there).is_ok(),
            "what was refused does not count against where it came from"
        );
    }

    #[test]
    fn many_addresses_of_one_network_are_limited_together() {
        for network in [0x2001_0db8_0000_0a00_u64, 0x2001_0db8_0000_0b00] {
            let origins = origins();
            // Each another one of 2^72.
            let address = |number: u64| {
                IpAddr::from(Ipv6Addr::from_bits(
                    u128::from(network | (number & 0xff)) << 64 | u128::from(number),
                ))
            };
            assert_eq!(let_in(&origins, (0..1000).map(address)), 100);
        }
        let origins = origins();
        assert_eq!(let_in(&origins, (0..=255).map(|last| IpAddr::from([192, 0, 2, last]))), 100);
        assert_eq!(let_in(&origins, (0..40).map(|_| IpAddr::from([198, 51, 100, 1]))), 30);
        assert_eq!(let_in(&origins, (0..40).map(|_| IpAddr::from([198, 51, 100, 2]))), 30);
    }

    #[test]
    fn those_who_know_their_passwords_lock_nobody_out() {
        let origins = origins();
        let school = IpAddr::from([192, 0, 2, 1]);
        for _ in 0..1000 {
            let Ok(counted) = origins.count(school) else { panic!("nobody was wrong") };
            counted.forgive();
        }
        assert_eq!(let_in(&origins, std::iter::repeat_n(school, 40)), 30);
        // What was refused for its network was not counted for its address.
        let _ = let_in(&origins, (2..=255).map(|last| IpAddr::from([192, 0, 2, last])));
        let other = bytes(IpAddr::from([192, 0, 2, 200]));
        assert!(origins.addresses.check(&other).is_ok());
    }
}
