//! What a viewer's session takes of the process's memory. A binary of its own, so that nothing else grows beside it.

use std::time::Duration;

use chrono::DateTime;
use tally::ambient::Clock;
use tally::realtime::{Presence, Session};
use tally::store::{Airing, ChannelId, Counts, Loc, StreamId};
use uuid::Uuid;

const CHANNELS: u32 = 10_000;
const SESSIONS: u32 = 1_000_000;
/// The bound, with everything around a session counted in: its channel's share, the allocator's.
const MOST: usize = 64;

/// The process's memory in bytes, as the system counts it.
fn memory() -> usize {
    let status = std::fs::read_to_string("/proc/self/status").expect("Linux");
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).expect("a line");
    let kilobytes: usize = line.trim().trim_end_matches(" kB").parse().expect("a number");
    kilobytes * 1024
}

#[test]
fn a_million_sessions_take_at_most_64_bytes_each_while_they_last_and_after() {
    let clock = Clock::manual(DateTime::UNIX_EPOCH);
    let presence = Presence::new(clock.clone(), Duration::from_secs(12));
    let loc = |channel: u32| Loc(Uuid::from_u64_pair(0, u64::from(channel)));
    let before = memory();
    for loc in (0..CHANNELS).map(loc) {
        let (stream, channel) = (StreamId(Uuid::nil()), ChannelId(Uuid::nil()));
        presence.open(Airing { stream, channel, loc, protected: false }, Counts::default());
    }
    let ask = || {
        for viewer in 0..SESSIONS {
            let session = Session::Rtmp { node: "local", connection: i64::from(viewer) };
            presence.touch(loc(viewer % CHANNELS), &session);
            if viewer % (SESSIONS / 40) == 0 {
                clock.advance(Duration::from_millis(250));
                presence.publish();
            }
        }
    };
    let each = || (memory() - before) / SESSIONS as usize;
    ask();
    let come = each();
    ask();
    let stay = each();
    assert_eq!(presence.size(), (CHANNELS, i32::try_from(SESSIONS).expect("fits")));
    clock.advance(Duration::from_secs(20));
    presence.publish();
    assert_eq!(presence.size(), (CHANNELS, 0));
    let gone = each();
    println!(
        "bytes a session: {come} when all have come, {stay} while they stay, {gone} when they have gone"
    );
    assert!(come.max(stay).max(gone) <= MOST, "{come}, {stay}, {gone}");
}
