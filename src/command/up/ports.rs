//! Addresses: those that the operator chose must be free, those that are nobody's business are picked.

use std::fs;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpListener, UdpSocket};
use std::path::Path;

use serde::{Deserialize, Serialize};

use crate::config::Settings;
use crate::lifecycle::Failure;

/// Below the range from which systems take ports for outgoing connections.
const FIRST: u16 = 20_000;
const SPAN: u16 = 10_000;

/// nginx's addresses that only this machine uses; kept, so that the next `up` renders the same configuration.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Inside {
    /// Callbacks, `/stat`, `/control`.
    pub(super) http: SocketAddr,
    /// RTMP, behind the door.
    pub(super) rtmp: SocketAddr,
    /// RTMP on its way into HLS.
    pub(super) relay: SocketAddr,
}

impl Inside {
    /// The addresses that were picked before.
    pub(super) fn remembered(file: &Path) -> Option<Self> {
        serde_json::from_slice(&fs::read(file).ok()?).ok()
    }

    /// Three that are free and not among the operator's own. Where the search begins depends on the data
    /// directory, so that several installations do not meet.
    pub(super) fn pick(data_dir: &Path, settings: &Settings) -> Result<Self, Failure> {
        let mut hasher = DefaultHasher::new();
        data_dir.hash(&mut hasher);
        let start = u16::try_from(hasher.finish() % u64::from(SPAN))?;
        let chosen = chosen(settings).map(|(_, address)| address.port());
        let mut free = (0..SPAN)
            .map(|step| FIRST + (start + step) % SPAN)
            .filter(|port| !chosen.contains(port))
            .map(|port| SocketAddr::from((Ipv4Addr::LOCALHOST, port)))
            .filter(|address| TcpListener::bind(address).is_ok());
        match (free.next(), free.next(), free.next()) {
            (Some(http), Some(rtmp), Some(relay)) => Ok(Self { http, rtmp, relay }),
            _ => Err(format!("no port is free from {FIRST} to {}", FIRST + SPAN - 1).into()),
        }
    }

    /// Writes them down.
    pub(super) fn remember(&self, file: &Path) -> io::Result<()> {
        fs::write(file, serde_json::to_vec(self)?)
    }

    /// Whether all could be listened on now.
    pub(super) fn are_free(&self) -> bool {
        [self.http, self.rtmp, self.relay].iter().all(|address| TcpListener::bind(address).is_ok())
    }
}

fn chosen(settings: &Settings) -> [(&'static str, SocketAddr); 4] {
    [
        ("--http", settings.http),
        ("--rtmp", settings.rtmp),
        ("--listen", settings.listen),
        ("--internal", settings.internal),
    ]
}

/// Says which flag's address cannot be listened on. Those of nginx are left out while it holds them itself.
pub(super) fn check(settings: &Settings, nginx_runs: bool) -> Result<(), Failure> {
    let chosen = chosen(settings);
    for (index, (flag, address)) in chosen.iter().enumerate() {
        if let Some((twin, _)) = chosen[..index].iter().find(|(_, other)| other == address) {
            return Err(format!("{twin} and {flag} are both {address}: give one of them another").into());
        }
    }
    for (flag, address) in chosen.into_iter().skip(if nginx_runs { 2 } else { 0 }) {
        TcpListener::bind(address).map_err(|error| refusal(flag, address, &error))?;
    }
    UdpSocket::bind(settings.internal).map_err(|error| refusal("--internal", settings.internal, &error))?;
    Ok(())
}

fn refusal(flag: &str, address: SocketAddr, error: &io::Error) -> Failure {
    let why = match error.kind() {
        io::ErrorKind::AddrInUse => {
            return format!("{address} is taken by another program: stop it, or give another {flag}").into();
        }
        io::ErrorKind::PermissionDenied => "ports this low need root".to_owned(),
        io::ErrorKind::AddrNotAvailable => "this machine does not have that address".to_owned(),
        _ => error.to_string(),
    };
    format!("cannot listen on {address}: {why}; give another {flag}").into()
}

/// Where to reach a listener from this machine: one on all addresses is reached over the loopback.
pub(super) fn reachable(address: SocketAddr) -> SocketAddr {
    let ip = match address.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => Ipv4Addr::LOCALHOST.into(),
        IpAddr::V6(ip) if ip.is_unspecified() => Ipv6Addr::LOCALHOST.into(),
        ip => ip,
    };
    SocketAddr::new(ip, address.port())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_listener_on_all_addresses_is_reached_over_the_loopback() {
        assert_eq!(reachable("0.0.0.0:80".parse().unwrap()).to_string(), "127.0.0.1:80");
        assert_eq!(reachable("[::]:80".parse().unwrap()).to_string(), "[::1]:80");
        assert_eq!(reachable("192.0.2.1:80".parse().unwrap()).to_string(), "192.0.2.1:80");
    }

    #[test]
    fn a_taken_port_is_told_with_its_flag() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let error = TcpListener::bind(address).unwrap_err();
        let told = refusal("--rtmp", address, &error).to_string();
        assert_eq!(told, format!("{address} is taken by another program: stop it, or give another --rtmp"));
    }
}
