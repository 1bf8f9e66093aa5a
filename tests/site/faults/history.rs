//! What everybody saw and when, and whether that is what was promised.

use std::collections::HashMap;
use std::time::Duration;

use crate::support::seconds;

/// How long what the API says of a channel may be wrong; while it says nothing, nothing is wrong.
const WRONG: Duration = seconds(15);
/// The API knows of a publisher before its pictures are seen to arrive.
const NOTICED: Duration = seconds(3);
/// How late a join may be counted, and how late a leave.
const JOIN: Duration = seconds(5);
const LEAVE: Duration = seconds(3);
/// For how long a count from before the API was away may hold once it is back: nobody has asked for a playlist yet.
const WELCOME: Duration = seconds(2);
/// How old at the most the count is that outlives the API.
const KEPT: Duration = seconds(1);
/// Looks are taken this often; two that are further apart are not of the same moment.
pub(super) const LOOK: Duration = Duration::from_millis(250);

/// What the API says of a channel.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Claim {
    Live,
    Interrupted,
    Off,
}

/// One channel at a moment.
#[derive(Clone, Debug)]
pub(super) struct Look {
    pub(super) at: Duration,
    /// Whether its publisher's pictures arrive at nginx.
    pub(super) sends: bool,
    /// What the API says, and how many it says are watching; None when it says nothing.
    pub(super) said: Option<(Claim, i64)>,
}

/// A playlist that a viewer was given.
#[derive(Clone, Debug)]
pub(super) struct Touch {
    pub(super) at: Duration,
    pub(super) viewer: String,
}

/// An event, as the log or a subscriber has it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Event {
    pub(super) kind: String,
    pub(super) stream: String,
    pub(super) loc: String,
}

/// A channel's looks and touches, each in the order of time.
#[derive(Clone, Debug, Default)]
pub(super) struct Channel {
    pub(super) looks: Vec<Look>,
    pub(super) touches: Vec<Touch>,
}

impl Channel {
    /// Where the API was wrong of the channel for longer than promised. While `Interrupted` a stream waits for
    /// `window`, which begins anew when nobody could have come back.
    pub(super) fn wrong_claims(&self, window: Duration) -> Vec<String> {
        let mut wrong = Vec::new();
        let mut waits_since = None;
        for (place, look) in self.looks.iter().enumerate() {
            let claim = look.said.map(|(claim, _)| claim);
            if claim != Some(Claim::Interrupted) || look.sends {
                waits_since = None;
            }
            let Some(claim) = claim else { continue };
            let lately = self.lately(place);
            let soon = self.looks[place..].iter().take_while(|later| later.at - look.at <= NOTICED);
            if !lately.chain(soon).any(|around| around.sends == (claim == Claim::Live)) {
                wrong.push(format!("{:?}: {claim:?} for more than {WRONG:?} though it was not", look.at));
            }
            if claim != Claim::Interrupted {
                continue;
            }
            let since = *waits_since.get_or_insert(look.at);
            if look.at - since > window + WRONG {
                wrong.push(format!("{:?}: waits since {since:?}, and nobody came", look.at));
            }
        }
        wrong
    }

    /// The looks up to that one, as far back as something may be said that is wrong.
    fn lately(&self, place: usize) -> impl Iterator<Item = &Look> {
        let looks = self.looks[..=place].iter().rev();
        let pairs =
            looks.clone().zip(looks.clone().skip(1)).scan(Duration::ZERO, |shown, (later, earlier)| {
                if later.said.is_some() && earlier.said.is_some() {
                    *shown += later.at - earlier.at;
                }
                (*shown <= WRONG).then_some(earlier)
            });
        looks.take(1).chain(pairs)
    }

    /// For how long at the longest the API called a channel live that was not, or not live that was.
    pub(super) fn longest_wrong(&self) -> Duration {
        let (mut longest, mut right) = (Duration::ZERO, Duration::ZERO);
        for look in &self.looks {
            match look.said {
                Some((claim, _)) if (claim == Claim::Live) != look.sends => {
                    longest = longest.max(look.at - right)
                }
                _ => right = look.at,
            }
        }
        longest
    }

    /// The highest count that the API may have kept of those it said before that look, when it said nothing any more.
    fn counted_before(&self, place: usize) -> i64 {
        let said = self.looks[..place].iter().rev().filter_map(|look| Some((look.at, look.said?.1)));
        let last = said.clone().next().map_or(Duration::ZERO, |(at, _)| at);
        said.take_while(|(at, _)| last - *at <= KEPT + LOOK).map(|(_, count)| count).max().unwrap_or(0)
    }

    /// Where the number of viewers was further from the truth than promised. Who asked for the playlist before the
    /// API was away, or before the stream was live, may have gone unheard.
    pub(super) fn wrong_counts(&self, ttl: Duration) -> Vec<String> {
        let mut wrong = Vec::new();
        let mut heard_since = None;
        // The moment in which the API was back after it had said nothing, and what it had counted before.
        let (mut back, mut away) = (None, false);
        for (place, look) in self.looks.iter().enumerate() {
            if look.said.is_none_or(|(claim, _)| claim != Claim::Live) {
                heard_since = None;
            }
            let Some((claim, count)) = look.said else {
                away = true;
                continue;
            };
            if std::mem::take(&mut away) {
                back = Some((look.at, self.counted_before(place)));
            }
            let held =
                back.filter(|(since, _)| look.at - *since <= WELCOME + LOOK).map_or(0, |(_, held)| held);
            let heard_since = *heard_since.get_or_insert(look.at);
            let within = |from: Duration, to: Duration| {
                let touches = self.touches.iter().filter(|touch| touch.at >= from && touch.at <= to);
                touches.map(|touch| touch.viewer.as_str()).collect::<std::collections::HashSet<_>>().len()
                    as i64
            };
            let most = within(look.at.saturating_sub(ttl + LEAVE), look.at + LOOK).max(held);
            let from = look.at.saturating_sub(ttl).max(heard_since);
            let least =
                if claim == Claim::Live { within(from + LOOK, look.at.saturating_sub(JOIN)) } else { 0 };
            if !(least..=most).contains(&count) {
                wrong.push(format!("{:?}: {count} viewers, not {least} to {most} with {held} held", look.at));
            }
        }
        wrong
    }
}

/// What is wrong with a log: each stream starts once, as its first, and stops at most once, as its last; what lies
/// between is interrupted and resumed in turn; a channel has one at a time.
pub(super) fn breaches(log: &[Event]) -> Vec<String> {
    let mut lives: HashMap<&str, Vec<&str>> = HashMap::new();
    let mut on_air: HashMap<&str, &str> = HashMap::new();
    let mut wrong = Vec::new();
    for event in log {
        let life = lives.entry(&event.stream).or_default();
        let fits = match (life.last().copied(), event.kind.as_str()) {
            (None, "started") => on_air.insert(&event.loc, &event.stream).is_none(),
            (Some("started" | "resumed"), "interrupted" | "stopped") => true,
            (Some("interrupted"), "resumed" | "stopped") => true,
            _ => false,
        };
        life.push(&event.kind);
        if event.kind == "stopped" {
            on_air.remove(event.loc.as_str());
        }
        if !fits {
            wrong.push(format!("{} of {}: {life:?}", event.kind, event.stream));
        }
    }
    wrong
}

#[cfg(test)]
mod tests {
    use super::*;

    fn event(kind: &str, stream: &str) -> Event {
        Event { kind: kind.to_owned(), stream: stream.to_owned(), loc: "here".to_owned() }
    }

    /// A look each second.
    fn channel(looks: &[(u64, bool, Option<Claim>)]) -> Channel {
        let mut channel = Channel::default();
        for (count, sends, claim) in looks {
            for _ in 0..*count {
                let at = seconds(channel.looks.len() as u64);
                channel.looks.push(Look { at, sends: *sends, said: claim.map(|claim| (claim, 0)) });
            }
        }
        channel
    }

    #[test]
    fn a_claim_may_be_wrong_for_a_while_and_no_longer() {
        use Claim::{Interrupted, Live, Off};
        let wrong = |looks: &[_]| channel(looks).wrong_claims(seconds(10)).len();
        assert_eq!(wrong(&[(3, true, Some(Live)), (14, false, Some(Live)), (9, false, Some(Off))]), 0);
        assert_eq!(wrong(&[(3, true, Some(Live)), (17, false, Some(Live)), (9, false, Some(Off))]), 2);
        assert_eq!(wrong(&[(20, false, Some(Off)), (17, true, Some(Off))]), 2);
        assert_eq!(wrong(&[(3, true, Some(Live)), (9, false, None), (16, false, Some(Live))]), 0);
        assert_eq!(wrong(&[(3, true, Some(Live)), (9, false, None), (18, false, Some(Live))]), 2);
        assert_eq!(wrong(&[(20, false, Some(Off)), (40, true, None), (3, true, Some(Live))]), 0);
        assert_eq!(wrong(&[(3, true, Some(Live)), (26, false, Some(Interrupted))]), 0);
        assert_eq!(wrong(&[(3, true, Some(Live)), (28, false, Some(Interrupted))]), 2);
        let looks = [(3, true, Some(Live)), (4, false, Some(Live)), (9, false, None), (2, true, Some(Live))];
        assert_eq!(channel(&looks).longest_wrong(), seconds(4));
    }

    #[test]
    fn a_count_follows_those_who_ask_for_the_playlist() {
        let mut channel = Channel::default();
        for second in 0..40 {
            let at = seconds(second);
            if (10..20).contains(&second) {
                channel.touches.push(Touch { at, viewer: "one".to_owned() });
            }
            let counted = i64::from((13..31).contains(&second));
            channel.looks.push(Look { at, sends: true, said: Some((Claim::Live, counted)) });
        }
        assert_eq!(channel.wrong_counts(seconds(12)), Vec::<String>::new());
        for (second, count) in [(12, -1), (20, 0), (38, 1)] {
            let mut wrong = channel.clone();
            wrong.looks[second].said = Some((Claim::Live, count));
            assert_eq!(wrong.wrong_counts(seconds(12)).len(), 1, "{count} at {second}");
        }
    }

    #[test]
    fn a_count_from_before_the_api_was_away_holds_for_a_moment() {
        let mut channel = Channel::default();
        for second in 0..40 {
            let at = seconds(second);
            if second < 5 {
                channel.touches.push(Touch { at, viewer: "one".to_owned() });
            }
            let said = !(10..25).contains(&second);
            let counted = i64::from(second < 28);
            channel.looks.push(Look { at, sends: true, said: said.then_some((Claim::Live, counted)) });
        }
        assert_eq!(channel.wrong_counts(seconds(12)), Vec::<String>::new());
        channel.looks[28].said = Some((Claim::Live, 1));
        assert_eq!(channel.wrong_counts(seconds(12)).len(), 1);
        // Who left in the last second may have been kept.
        channel.looks[9].said = Some((Claim::Live, 0));
        assert_eq!(channel.counted_before(25), 1);
        channel.looks[8].said = Some((Claim::Live, 0));
        assert_eq!(channel.counted_before(25), 0);
    }

    #[test]
    fn a_log_tells_of_one_start_and_one_stop() {
        let log =
            |kinds: &[&str]| breaches(&kinds.iter().map(|kind| event(kind, "a")).collect::<Vec<_>>()).len();
        assert_eq!(log(&["started", "interrupted", "resumed", "interrupted", "stopped"]), 0);
        assert_eq!(log(&["started", "started"]), 1);
        assert_eq!(log(&["started", "stopped", "stopped"]), 1);
        assert_eq!(log(&["started", "resumed"]), 1);
        assert_eq!(breaches(&[event("started", "a"), event("started", "b")]).len(), 1);
    }
}
