//! What viewers and subscribers take of the process's memory. A binary of its own, so that nothing else grows beside.

mod small;

use std::time::Duration;

use chrono::DateTime;
use tally::ambient::{Chance, Clock};
use tally::http::{self, Public, serve};
use tally::lifecycle::Lifecycle;
use tally::realtime::{Presence, Session};
use tally::store::{Airing, ChannelId, Counts, Loc, StreamId};
use tokio::net::TcpListener;
use tokio::sync::Mutex;
use uuid::Uuid;

use small::{Small, memory, subscriber};

/// The tests of this file measure the same process.
static ONE_AT_A_TIME: Mutex<()> = Mutex::const_new(());
/// Few enough for the files that a process may have open.
const SUBSCRIBERS: usize = 400;
const CHANNELS: u32 = 10_000;
const SESSIONS: u32 = 1_000_000;
/// The bound, with everything around a session counted in: its channel's share, the allocator's.
const MOST: usize = 64;

#[test]
fn a_million_sessions_take_at_most_64_bytes_each_while_they_last_and_after() {
    let _alone = ONE_AT_A_TIME.blocking_lock();
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

#[tokio::test]
async fn an_idle_subscriber_takes_little_and_least_among_equals() {
    let _alone = ONE_AT_A_TIME.lock().await;
    let lifecycle = Lifecycle::default();
    let tasks = lifecycle.tasks().clone();
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let address = listener.local_addr().expect("an address");
    let public =
        Public::new(Small(None), tasks.clone(), Clock::system(), Chance::system(), "http://tally.example");
    tasks.keep("public", serve(listener, http::public(public), tasks.clone()));
    let own = |number: usize| format!("subscription {{ silence(number: {number}) }}");
    // What is grown once is grown before.
    let mut sockets = vec![subscriber(address, &own(0)).await];
    for (equal, most) in [(true, 4), (false, 8)] {
        let before = memory();
        for number in 0..SUBSCRIBERS {
            let document = if equal { "subscription { silence }".to_owned() } else { own(number + 1) };
            sockets.push(subscriber(address, &document).await);
        }
        let each = memory().saturating_sub(before) / SUBSCRIBERS;
        println!("bytes an idle subscriber: {each}{}", if equal { ", all equal" } else { ", each its own" });
        assert!(each <= most * 1024, "{each}");
    }
}
