//! How long a connection has been as it is. No connection has a timer of its own: a sweep looks after all of them,
//! and its beats are the time.

use std::time::Duration;

use crate::http::Patience;

/// After how many pings without a sign of life a client is gone.
const SILENT_PINGS: u8 = 3;

/// The number of a sweep.
pub(super) type Beat = u32;

/// The time of a sweep.
pub(super) struct Hour {
    pub(super) now: Beat,
    /// Between two beats.
    pub(super) period: Duration,
    pub(super) patience: Patience,
}

impl Hour {
    /// How often connections are looked after: often enough for the shortest patience.
    pub(super) fn period(patience: &Patience) -> Duration {
        let Patience { initialisation, ping, write, body, goodbye, .. } = *patience;
        let shortest = initialisation.min(ping).min(write).min(body).min(goodbye);
        (shortest / 8).max(Duration::from_millis(5))
    }

    fn has_passed_since(&self, beat: Beat, duration: Duration) -> bool {
        self.period * self.now.wrapping_sub(beat) >= duration
    }
}

/// Since when a connection has been as it is.
pub(super) struct Ages {
    born: Beat,
    pinged: Beat,
    silent_pings: u8,
    begun: Option<Beat>,
    stuck: Option<Beat>,
    closing: Option<Beat>,
}

impl Ages {
    pub(super) fn new(now: Beat) -> Self {
        Self { born: now, pinged: now, silent_pings: 0, begun: None, stuck: None, closing: None }
    }

    /// The client has given a sign of life; maybe only the beginning of a message.
    pub(super) fn heard(&mut self, now: Beat, is_incomplete: bool) {
        self.silent_pings = 0;
        self.begun = is_incomplete.then(|| self.begun.unwrap_or(now));
    }

    /// Something waits for the client to read.
    pub(super) fn stuck(&mut self, now: Beat) {
        self.stuck.get_or_insert(now);
    }

    /// Nothing waits for the client any more. Only now can it have read our goodbye, if there was one.
    pub(super) fn free(&mut self, now: Beat) {
        if self.stuck.take().is_some() {
            self.closing = self.closing.map(|_| now);
        }
    }

    /// We have said goodbye.
    pub(super) fn close(&mut self, now: Beat) {
        self.closing.get_or_insert(now);
    }

    /// Whether the client is given up: it does not read, does not come to the end of a message or answer our close,
    /// or shows no sign of life.
    pub(super) fn is_over(&self, hour: &Hour) -> bool {
        let for_too_long =
            |since: Option<Beat>, patience| since.is_some_and(|since| hour.has_passed_since(since, patience));
        for_too_long(self.stuck, hour.patience.write)
            || for_too_long(self.begun, hour.patience.body)
            || for_too_long(self.closing.filter(|_| self.stuck.is_none()), hour.patience.goodbye)
            || self.silent_pings >= SILENT_PINGS && hour.has_passed_since(self.pinged, hour.patience.ping)
    }

    pub(super) fn is_uninitialised_for_too_long(&self, hour: &Hour) -> bool {
        hour.has_passed_since(self.born, hour.patience.initialisation)
    }

    /// Whether a ping is due, which it then takes for sent.
    pub(super) fn is_ping_due(&mut self, hour: &Hour) -> bool {
        let due = self.closing.is_none() && hour.has_passed_since(self.pinged, hour.patience.ping);
        if due {
            self.pinged = hour.now;
            self.silent_pings += 1;
        }
        due
    }
}
