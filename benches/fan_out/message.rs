//! Looks at each message that arrives: whose it is, which number it has, and now and then all of it.

use serde_json::Value;
use uuid::Uuid;

/// How many messages pass between two that are read as JSON.
const SAMPLE: u64 = 1024;

/// What was wrong with messages; all of it must be 0.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Faults {
    /// Never came.
    pub(crate) lost: u64,
    /// Came a second time, or behind a later one.
    pub(crate) stale: u64,
    /// Carried the id of another operation.
    pub(crate) wrong_id: u64,
    /// Did not say what was asked for.
    pub(crate) malformed: u64,
}

impl Faults {
    pub(crate) fn sum(&self) -> u64 {
        self.lost + self.stale + self.wrong_id + self.malformed
    }

    pub(crate) fn add(&mut self, other: Self) {
        self.lost += other.lost;
        self.stale += other.stale;
        self.wrong_id += other.wrong_id;
        self.malformed += other.malformed;
    }
}

/// The operation id of a subscriber.
pub(crate) fn operation_id(subscriber: usize) -> Uuid {
    // Spread, as ids that are drawn at random would be.
    let spread = (subscriber as u64 + 1).wrapping_mul(0x9E37_79B9_7F4A_7C15);
    uuid::Builder::from_random_bytes(Uuid::from_u64_pair(spread, spread.rotate_left(29)).into_bytes())
        .into_uuid()
}

/// What the messages of a subscription look like.
pub(crate) struct Reader {
    /// The field that was subscribed to, and which field of its value is a number.
    fields: [&'static str; 2],
    /// The one channel of all, when there is one.
    loc: Option<String>,
    id: Pattern,
    number: Pattern,
    seen: u64,
}

impl Reader {
    pub(crate) fn new(fields: [&'static str; 2], loc: Option<Uuid>) -> Self {
        let number = Pattern::new(&format!("\"{}\":", fields[1]));
        Self { fields, loc: loc.map(|loc| loc.to_string()), id: Pattern::new("\"id\":\""), number, seen: 0 }
    }

    /// The number in a message that is for `id`.
    pub(crate) fn read(&mut self, text: &[u8], id: Uuid, faults: &mut Faults) -> Option<u32> {
        let at = self.id.find(text)?;
        let mut expected = [0; 36];
        id.hyphenated().encode_lower(&mut expected);
        if text.get(at..at + 36)? != expected {
            faults.wrong_id += 1;
        }
        let digits = text.get(self.number.find(text)?..)?.iter().take_while(|byte| byte.is_ascii_digit());
        let number = digits.fold(0, |number: u32, digit| number.wrapping_mul(10) + u32::from(digit - b'0'));
        self.seen += 1;
        (!self.seen.is_multiple_of(SAMPLE) || self.is_whole(text, id, number)).then_some(number)
    }

    fn is_whole(&self, text: &[u8], id: Uuid, number: u32) -> bool {
        let Ok(message) = serde_json::from_slice::<Value>(text) else { return false };
        let event = &message["payload"]["data"][self.fields[0]];
        message["type"] == "next"
            && message["id"] == id.to_string()
            && message["payload"].get("errors").is_none()
            && self.loc.as_ref().is_none_or(|loc| event["loc"] == *loc)
            && event[self.fields[1]] == number
            && event["at"].as_str().is_some_and(|at| chrono::DateTime::parse_from_rfc3339(at).is_ok())
    }
}

/// Text that is looked for first where it was the last time.
struct Pattern {
    text: Vec<u8>,
    last: usize,
}

impl Pattern {
    fn new(text: &str) -> Self {
        Self { text: text.as_bytes().to_vec(), last: 0 }
    }

    /// Where it ends.
    fn find(&mut self, bytes: &[u8]) -> Option<usize> {
        if !bytes.get(self.last..).is_some_and(|rest| rest.starts_with(&self.text)) {
            self.last = bytes.windows(self.text.len()).position(|window| window == self.text)?;
        }
        Some(self.last + self.text.len())
    }
}
