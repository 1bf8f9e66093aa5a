//! nginx's reports of playlist requests: one syslog datagram each, so that no viewer ever waits for us and
//! playback goes on when we are away.

use std::io::ErrorKind;

use rustix::net::sockopt::set_socket_recv_buffer_size;
use tokio::net::UdpSocket;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use super::presence::{Presence, Session};
use crate::lifecycle::Failure;
use crate::store::Loc;

/// The longest report: nginx cuts a User-Agent long before.
const LONGEST: usize = 4096;

/// How many bytes may wait at the socket, where the system allows it: some ten thousand reports.
const ROOM: usize = 4 * 1024 * 1024;
/// A viewer is told by the beginning of a playback token, which stays the same when the viewer is given another one:
/// all of a token, if it is shorter. What it was given for comes right behind and may change.
const SESSION: usize = 22;
/// How many reports are taken in a row before others have a turn.
const AT_ONCE: usize = 256;

/// A playlist was given out.
#[derive(Debug, PartialEq, Eq)]
struct Report<'a> {
    secret: &'a [u8],
    loc: Loc,
    token: Option<&'a [u8]>,
    address: &'a [u8],
    /// In milliseconds since 1970, by the clock of nginx's machine.
    at: i64,
    agent: &'a [u8],
}

/// Receives reports until `stop`. One without the secret, which `is_secret` knows, counts for nothing.
///
/// # Errors
/// When the socket fails for good.
pub async fn listen(
    socket: UdpSocket,
    presence: Presence,
    is_secret: impl Fn(&[u8]) -> bool + Send,
    stop: CancellationToken,
) -> Result<(), Failure> {
    if let Err(error) = set_socket_recv_buffer_size(&socket, ROOM) {
        tracing::warn!(%error, "reports of playlist requests have little room to wait in");
    }
    let mut datagram = [0; LONGEST];
    while let Some(ready) = stop.run_until_cancelled(socket.readable()).await {
        ready?;
        // One turn of the runtime for all that wait, not one for each.
        let mut is_drained = false;
        let (mut taken, mut longest) = (0, None);
        for _ in 0..AT_ONCE {
            let length = match socket.try_recv(&mut datagram) {
                Ok(length) => length,
                Err(error) if error.kind() == ErrorKind::WouldBlock => {
                    is_drained = true;
                    break;
                }
                Err(error) => {
                    tracing::warn!(%error, "a report of a playlist request was lost");
                    break;
                }
            };
            match Report::parse(&datagram[..length]) {
                Some(report) if is_secret(report.secret) => {
                    taken += 1;
                    longest = longest.max(Some(presence.touch_at(report.loc, &report.session(), report.at)));
                }
                _ => tracing::debug!("a datagram that is no report"),
            }
        }
        if let Some(longest) = longest {
            metrics::counter!("tally_playlist_reports_total").increment(taken);
            metrics::histogram!("tally_playlist_report_delay_seconds").record(longest);
        }
        // To wait for more is a turn for others as well.
        if !is_drained {
            tokio::task::yield_now().await;
        }
    }
    Ok(())
}

impl<'a> Report<'a> {
    /// Reads `…tally: SECRET LOC TOKEN ADDRESS TIME AGENT`; `-` stands for no token, the time is in seconds with three
    /// decimals, and the agent may hold spaces.
    fn parse(datagram: &'a [u8]) -> Option<Self> {
        const TAG: &[u8] = b"tally: ";
        let start = datagram.windows(TAG.len()).position(|window| window == TAG)? + TAG.len();
        let mut fields = datagram[start..].splitn(6, |byte| *byte == b' ');
        let (secret, loc, token) = (fields.next()?, fields.next()?, fields.next()?);
        let (address, at, agent) = (fields.next()?, millis(fields.next()?)?, fields.next()?);
        let loc = Loc(Uuid::try_parse_ascii(loc).ok()?);
        Some(Self { secret, loc, token: (token != b"-").then_some(token), address, at, agent })
    }

    fn session(&self) -> Session<'a> {
        match self.token {
            Some(token) => Session::Token(token.get(..SESSION).unwrap_or(token)),
            None => Session::Player { address: self.address, agent: self.agent },
        }
    }
}

/// Reads `SECONDS.mmm`.
fn millis(text: &[u8]) -> Option<i64> {
    let (seconds, thousandths) = std::str::from_utf8(text).ok()?.split_once('.')?;
    let thousandths: i64 = (thousandths.len() == 3).then(|| thousandths.parse().ok())??;
    seconds.parse::<i64>().ok()?.checked_mul(1000)?.checked_add(thousandths)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const LOC: &str = "018f3c1e-0000-4000-8000-000000000001";

    #[test]
    fn a_report_says_who_asked_for_which_playlist() {
        let datagram = format!(
            "<190>Nov 23 12:00:00 tally: s3 {LOC} - 10.0.0.7 1763899200.042 Mozilla/5.0 (X11) Safari"
        );
        let report = Report::parse(datagram.as_bytes()).unwrap();
        assert_eq!(report.secret, b"s3");
        assert_eq!(report.loc, Loc(LOC.parse().unwrap()));
        assert_eq!(report.token, None);
        assert_eq!((report.address, report.agent), (&b"10.0.0.7"[..], &b"Mozilla/5.0 (X11) Safari"[..]));
        assert_eq!(report.at, 1_763_899_200_042);
        let datagram = format!("<190>Nov  3 12:00:00 tally: s3 {LOC} abc.def 10.0.0.7 1763899200.042 -");
        assert_eq!(Report::parse(datagram.as_bytes()).unwrap().token, Some(&b"abc.def"[..]));
    }

    proptest! {
        #[test]
        fn no_datagram_is_a_danger(datagram: Vec<u8>, tail: Vec<u8>) {
            Report::parse(&datagram);
            Report::parse(&[&datagram[..], b"tally: ", &tail[..]].concat());
        }
    }
}
