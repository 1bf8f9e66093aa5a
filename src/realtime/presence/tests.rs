use std::collections::HashMap;

use chrono::DateTime;
use proptest::prelude::*;
use uuid::Uuid;

use super::*;

const TTL: Duration = Duration::from_secs(12);
const LOC: Loc = Loc(Uuid::from_u128(1));
const STREAM: StreamId = StreamId(Uuid::from_u128(2));
const AIRING: Airing =
    Airing { stream: STREAM, channel: ChannelId(Uuid::from_u128(3)), loc: LOC, protected: false };

fn presence() -> (Presence, Clock) {
    let clock = Clock::manual(DateTime::UNIX_EPOCH);
    (Presence::new(clock.clone(), TTL), clock)
}

fn player(agent: &str) -> Session<'_> {
    Session::Player { address: b"10.0.0.1", agent: agent.as_bytes() }
}

fn counts(presence: &Presence) -> (i32, i32, i64) {
    let (_, _, Counts { current, peak, total }) = presence.counts(LOC).unwrap();
    (current, peak, total)
}

fn pass(presence: &Presence, clock: &Clock, seconds: u64) {
    for _ in 0..seconds {
        clock.advance(Duration::from_secs(1));
        presence.publish();
    }
}

#[test]
fn a_session_counts_until_its_time_to_live_is_over() {
    let (presence, clock) = presence();
    presence.open(AIRING, Counts::default());
    presence.touch(LOC, &player("a"));
    presence.touch(LOC, &player("a"));
    presence.touch(LOC, &player("b"));
    assert_eq!(counts(&presence), (2, 2, 2));
    pass(&presence, &clock, 10);
    presence.touch(LOC, &player("a"));
    pass(&presence, &clock, 4);
    assert_eq!(counts(&presence), (1, 2, 2));
    pass(&presence, &clock, 12);
    assert_eq!(counts(&presence), (0, 2, 2));
}

#[test]
fn a_session_that_comes_back_is_no_new_one() {
    let (presence, clock) = presence();
    presence.open(AIRING, Counts::default());
    presence.touch(LOC, &Session::Token(b"t"));
    pass(&presence, &clock, 20);
    presence.touch(LOC, &Session::Token(b"t"));
    assert_eq!(counts(&presence), (1, 1, 1));
}

#[test]
fn nobody_is_counted_off_the_air() {
    let (presence, _) = presence();
    presence.touch(LOC, &player("early"));
    presence.open(AIRING, Counts::default());
    presence.touch(LOC, &player("a"));
    let audience = presence.watch(LOC);
    presence.close(LOC, StreamId(Uuid::nil()));
    assert_eq!(counts(&presence), (1, 1, 1));
    presence.close(LOC, STREAM);
    presence.touch(LOC, &player("late"));
    presence.publish();
    assert!(presence.counts(LOC).is_none());
    assert_eq!((audience.borrow().current, audience.borrow().total), (0, 1));
}

#[test]
fn sessions_from_before_a_crash_are_not_counted_twice() {
    let (presence, clock) = presence();
    presence.open(AIRING, Counts { current: 3, peak: 5, total: 9 });
    presence.touch(LOC, &player("a"));
    presence.touch(LOC, &player("b"));
    assert_eq!(counts(&presence), (3, 5, 9));
    pass(&presence, &clock, 11);
    presence.touch(LOC, &player("a"));
    pass(&presence, &clock, 3);
    assert_eq!(counts(&presence), (1, 5, 9));
    presence.touch(LOC, &player("new"));
    assert_eq!(counts(&presence), (2, 5, 10));
}

#[test]
fn a_watcher_is_told_the_present_first_and_then_the_newest() {
    let (presence, _) = presence();
    presence.open(AIRING, Counts::default());
    let mut audience = presence.watch(LOC);
    assert!(audience.has_changed().unwrap());
    assert_eq!(audience.borrow_and_update().current, 0);
    for agent in ["a", "b", "c"] {
        presence.touch(LOC, &player(agent));
    }
    assert!(!audience.has_changed().unwrap(), "published on the tick only");
    presence.publish();
    assert_eq!(audience.borrow_and_update().current, 3);
}

proptest! {
    /// Against a model that keeps the last touch of everybody.
    #[test]
    fn the_count_is_that_of_the_sessions_touched_lately(
        steps in proptest::collection::vec((0_u8..6, 0_u64..3000), 1..200)
    ) {
        let (presence, clock) = presence();
        presence.open(AIRING, Counts::default());
        let mut model: HashMap<u8, u64> = HashMap::new();
        let (mut now, mut total) = (0_u64, std::collections::HashSet::new());
        for (who, wait) in steps {
            presence.touch(LOC, &player(&who.to_string()));
            model.insert(who, now);
            total.insert(who);
            now += wait;
            clock.advance(Duration::from_millis(wait));
            presence.publish();
            let (current, peak, counted) = counts(&presence);
            let within = |slack: u64| model.values().filter(|last| now - **last < 12_000 + slack).count() as i32;
            // Nobody leaves early, and nobody is more than a second late.
            prop_assert!((within(0)..=within(1000)).contains(&current), "{current} of {model:?} at {now}");
            prop_assert!(peak >= current && counted == total.len() as i64);
        }
    }
}
