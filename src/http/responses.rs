//! Equal questions of nobody in particular, answered once: those that come while one is being answered wait for that
//! answer, and those that come within a quarter of a second are given the same bytes.
//!
//! An answer serves no question that comes more than [`FRESH`] after it was begun, and none that comes after anybody
//! was told of something that happened since: whoever reads because of an event, or behind a cursor, finds it. What
//! failed is told to those who waited for it, and to nobody later. When all who wait have gone, so has the work.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use axum::http::StatusCode;
use bytes::Bytes;
use futures_util::FutureExt;
use futures_util::future::{BoxFuture, Shared, WeakShared, ready};

/// How long an answer may be given again.
const FRESH: Duration = Duration::from_millis(250);
/// The most answers that are kept or on their way.
const MAX_ANSWERS: usize = 1024;
/// How many bytes the kept ones may have together.
const MAX_BYTES: usize = 32 * 1024 * 1024;
/// The longest question whose answer is kept.
const MAX_QUESTION: usize = 16 * 1024;

/// An answer, ready to be written.
pub(super) struct Finished {
    pub(super) status: StatusCode,
    pub(super) body: Bytes,
    /// The kind and the name of the operation, for the log.
    pub(super) operation: Arc<str>,
    /// Whether it may be given to those who ask later.
    pub(super) lasts: bool,
}

/// An answer on its way, or there.
pub(super) type Flight = Shared<BoxFuture<'static, Arc<Finished>>>;

/// Everything that an answer depends on besides time: the request as it came, and the form of the answer.
#[derive(Clone, PartialEq, Eq, Hash)]
pub(super) struct Question {
    pub(super) is_get: bool,
    pub(super) is_graphql: bool,
    pub(super) request: Bytes,
}

/// When something is asked: by the clock, and by what has been told of what happens.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) struct Moment {
    pub(super) time: Duration,
    pub(super) told: i64,
}

/// The answers of the last quarter of a second.
#[derive(Default)]
pub(super) struct Responses(Mutex<Kept>);

#[derive(Default)]
struct Kept {
    answers: HashMap<Question, Entry>,
    bytes: usize,
    swept: Duration,
}

struct Entry {
    asked: Moment,
    course: Course,
    bytes: usize,
}

enum Course {
    /// On its way, held by those who wait for it alone: were it held here too, nobody would go on with it once they have
    /// gone, and it would keep what it has in hand, such as a connection to the database.
    Coming(WeakShared<BoxFuture<'static, Arc<Finished>>>),
    There(Flight),
}

impl Entry {
    /// The answer, if it serves a question of that moment.
    fn serve(&self, now: Moment) -> Option<Flight> {
        if now.time.saturating_sub(self.asked.time) >= FRESH || now.told != self.asked.told {
            return None;
        }
        match &self.course {
            Course::Coming(flight) => flight.upgrade(),
            Course::There(flight) => Some(flight.clone()),
        }
    }
}

impl Responses {
    /// The answer to a question like this, if one will do.
    pub(super) fn find(&self, question: &Question, now: Moment) -> Option<Flight> {
        self.kept().answers.get(question).and_then(|entry| entry.serve(now))
    }

    /// Sends a question on its way, unless one like it is; whether it did. `answer` runs as long as anybody waits.
    pub(super) fn join(
        self: &Arc<Self>,
        question: Question,
        now: Moment,
        answer: impl Future<Output = Finished> + Send + 'static,
    ) -> (Flight, bool) {
        let mut kept = self.kept();
        if let Some(flight) = kept.answers.get(&question).and_then(|entry| entry.serve(now)) {
            return (flight, false);
        }
        let (all, asked) = (Arc::clone(self), question.clone());
        let settled = async move {
            let finished = Arc::new(answer.await);
            all.kept().settle(&asked, now, &finished);
            finished
        };
        let flight = settled.boxed().shared();
        if question.request.len() <= MAX_QUESTION {
            kept.sweep(now);
            if kept.answers.len() < MAX_ANSWERS
                && let Some(coming) = flight.downgrade()
            {
                kept.put(question, Entry { asked: now, course: Course::Coming(coming), bytes: 0 });
            }
        }
        (flight, true)
    }

    fn kept(&self) -> MutexGuard<'_, Kept> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Kept {
    fn put(&mut self, question: Question, entry: Entry) {
        if let Some(old) = self.answers.insert(question, entry) {
            self.bytes -= old.bytes;
        }
    }

    /// Counts an answer that is there, or forgets it if it is not to be given again.
    fn settle(&mut self, question: &Question, asked: Moment, finished: &Arc<Finished>) {
        let size = question.request.len() + finished.body.len();
        let fits = self.bytes + size <= MAX_BYTES;
        let Some(entry) = self.answers.get_mut(question).filter(|entry| entry.asked == asked) else { return };
        if finished.lasts && fits {
            entry.course = Course::There(ready(Arc::clone(finished)).boxed().shared());
            entry.bytes = size;
            self.bytes += size;
        } else {
            self.answers.remove(question);
        }
    }

    /// Forgets what is too old, once in as long as it takes to become so.
    fn sweep(&mut self, now: Moment) {
        if now.time.saturating_sub(self.swept) >= FRESH {
            self.swept = now.time;
            self.answers.retain(|_, entry| now.time.saturating_sub(entry.asked.time) < FRESH);
            self.bytes = self.answers.values().map(|entry| entry.bytes).sum();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn question(text: &str) -> Question {
        Question { is_get: false, is_graphql: false, request: Bytes::copy_from_slice(text.as_bytes()) }
    }

    fn at(milliseconds: u64) -> Moment {
        Moment { time: Duration::from_millis(milliseconds), told: 0 }
    }

    fn finished(size: usize, lasts: bool) -> Finished {
        let body = Bytes::from(vec![b' '; size]);
        Finished { status: StatusCode::OK, body, operation: "query -".into(), lasts }
    }

    async fn ask(all: &Arc<Responses>, text: &str, now: Moment, lasts: bool) -> bool {
        let (flight, is_new) = all.join(question(text), now, async move { finished(10, lasts) });
        flight.await;
        is_new
    }

    #[tokio::test]
    async fn an_answer_is_given_again_for_a_quarter_of_a_second() {
        let all = Arc::new(Responses::default());
        assert!(ask(&all, "a", at(0), true).await);
        assert!(!ask(&all, "a", at(249), true).await);
        assert!(ask(&all, "b", at(249), true).await);
        assert!(all.find(&question("a"), at(249)).is_some() && all.find(&question("a"), at(250)).is_none());
        assert!(all.find(&Question { is_get: true, ..question("a") }, at(1)).is_none());
        assert!(all.find(&Question { is_graphql: true, ..question("a") }, at(1)).is_none());
        assert!(ask(&all, "a", at(250), true).await);
        let later = Moment { told: 1, ..at(251) };
        assert!(ask(&all, "a", later, true).await, "something was told in between");
    }

    #[tokio::test]
    async fn those_who_wait_share_what_failed_and_nobody_else_does() {
        let all = Arc::new(Responses::default());
        let (first, is_new) = all.join(question("a"), at(0), async { finished(10, false) });
        let (second, also_new) = all.join(question("a"), at(0), async { finished(10, true) });
        assert!(is_new && !also_new);
        drop(first);
        assert!(!second.await.lasts, "who asked first is gone, and the answer came");
        assert!(all.find(&question("a"), at(0)).is_none());
        assert!(ask(&all, "a", at(0), true).await);
    }

    #[tokio::test]
    async fn what_nobody_waits_for_any_more_is_given_up() {
        let all = Arc::new(Responses::default());
        let in_hand = Arc::new(());
        let held = Arc::clone(&in_hand);
        let answer = async move {
            std::future::pending::<()>().await;
            drop(held);
            finished(10, true)
        };
        let (mut first, _) = all.join(question("a"), at(0), answer);
        let second = all.find(&question("a"), at(1)).unwrap();
        assert!((&mut first).now_or_never().is_none());
        drop(first);
        assert_eq!(Arc::strong_count(&in_hand), 2, "somebody waits");
        drop(second);
        assert_eq!(Arc::strong_count(&in_hand), 1);
        assert!(ask(&all, "a", at(2), true).await, "it is asked anew");
    }

    #[tokio::test]
    async fn what_is_kept_is_bounded_and_forgotten() {
        let all = Arc::new(Responses::default());
        for number in 0..2 * MAX_ANSWERS {
            ask(&all, &number.to_string(), at(0), true).await;
        }
        let kept = || {
            let kept = all.kept();
            (kept.answers.len(), kept.bytes)
        };
        assert_eq!(kept().0, MAX_ANSWERS);
        ask(&all, "later", at(300), true).await;
        assert_eq!(kept(), (1, 15));
        for number in 0..40 {
            all.join(question(&number.to_string()), at(301), async { finished(1 << 20, true) }).0.await;
        }
        let (length, bytes) = kept();
        assert!(bytes <= MAX_BYTES, "{bytes}");
        assert!(ask(&all, &"x".repeat(MAX_QUESTION + 1), at(302), true).await);
        assert_eq!(kept().0, length, "a long question's answer is not kept");
    }
}
