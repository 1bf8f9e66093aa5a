//! Groups of equal subscribers. One execution serves them all: what it makes is written out once and handed to each
//! member, which only adds the name that it knows the subscription by.
//!
//! A member gets what came before it, as far as its subscription's present state consists of that ([`Past`]), then
//! every update in order, each once: updates are numbered, joining and numbering happen under one lock, and a member
//! knows the number that it has seen. A group goes at the pace of its fastest member; what a slower one does about
//! that is the affair of its [`Outlet`].
//!
//! Lock order: the registry, a group, an outlet.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use slab::Slab;
use tokio::sync::Notify;
use tokio::task::yield_now;
use uuid::Uuid;

/// How many members are written to before others have their turn.
const TURN: usize = 16;
/// How much of its past a group keeps for those who ask for all of it; beyond, nobody joins any more.
const LONGEST_PAST: usize = 16 * 1024;

/// What equal subscriptions have in common: a digest that nobody can find a second text for.
pub type Key = [u8; 32];

/// A member's own number for its subscription.
pub type Ticket = u32;

/// One thing to tell every member.
#[derive(Clone, Debug)]
pub struct Update {
    /// What it is the present state of; None when it is an event of its own. A newer update takes the place of an
    /// older one with the same subject.
    pub subject: Option<Uuid>,
    /// The text, ready to be sent.
    pub payload: Arc<str>,
}

/// Updates that go out together, numbered from `first`.
#[derive(Clone, Copy)]
pub struct Batch<'a> {
    /// The number of the first one.
    pub first: u64,
    /// At least one.
    pub updates: &'a [Update],
}

impl Batch<'_> {
    /// The number of the last one.
    pub fn last(&self) -> u64 {
        self.first + self.updates.len() as u64 - 1
    }

    /// Whether nobody needs to be told of these once there are newer ones.
    pub fn replace_each_other(&self) -> bool {
        self.updates.iter().all(|update| update.subject.is_some())
    }
}

/// What became of a batch at an outlet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Delivery {
    /// It is on its way.
    Sent,
    /// The outlet cannot take more at present.
    Stuck,
}

/// What a group writes to: a connection with its subscriptions.
pub trait Outlet: Sized + Send + Sync + 'static {
    /// The subscription `ticket` is in the group now; `past` is what a newcomer is told first.
    fn joined(&self, ticket: Ticket, membership: Membership<Self>, past: &[Update]);
    /// Something new for the subscription `ticket`, which may be over by now.
    fn deliver(&self, ticket: Ticket, batch: Batch<'_>) -> Delivery;
    /// The subscription is over: it has ended by itself, or never began for these reasons.
    fn ended(&self, ticket: Ticket, end: &End);
}

/// How a group ends.
#[derive(Clone, Debug)]
pub enum End {
    /// Everything has been said.
    Complete,
    /// It could not begin; the errors, ready to be sent.
    Refused(Arc<str>),
}

/// Which of its updates a group tells a newcomer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Keeps {
    /// Those that are the present state of something.
    Newest,
    /// All: the subscription begins at a point that its document names.
    All,
}

/// What kind of group.
#[derive(Clone, Copy, Debug)]
pub struct Manner {
    /// By which others find it; without one, nobody else can join it.
    pub key: Option<Key>,
    /// Whether the answers are the same whoever asks.
    pub is_public: bool,
    /// What newcomers are told.
    pub keeps: Keeps,
}

/// A place in a group. It must be given back to [`Groups::leave`].
pub struct Membership<O> {
    /// The group.
    pub group: Arc<Group<O>>,
    place: usize,
    /// The number of the newest update that the member has been told.
    pub seen: u64,
}

/// Equal subscribers.
pub struct Group<O> {
    manner: Manner,
    state: Mutex<State<O>>,
    /// Somebody can be written to, again or for the first time, or has left.
    stirred: Notify,
}

struct State<O> {
    members: Slab<(Arc<O>, Ticket)>,
    /// The past that newcomers are told, with the number of each update.
    past: Vec<(u64, Update)>,
    past_bytes: usize,
    newest: u64,
    over: bool,
}

/// All groups that can be joined.
pub struct Groups<O>(Mutex<HashMap<Key, Arc<Group<O>>>>);

impl<O> Default for Groups<O> {
    fn default() -> Self {
        Self(Mutex::default())
    }
}

impl<O: Outlet> Groups<O> {
    /// Joins the group of `key`, if there is one, and if it is for somebody like that.
    pub fn join(&self, key: &Key, anonymous: bool, outlet: &Arc<O>, ticket: Ticket) -> bool {
        let group = lock(&self.0).get(key).filter(|group| anonymous || group.manner.is_public).cloned();
        group.is_some_and(|group| group.join(outlet, ticket))
    }

    /// Makes a group with a first member, whom the caller serves from now on; None when there has come to be one of
    /// that key in the meantime and the member has joined it.
    pub fn open(&self, manner: Manner, outlet: &Arc<O>, ticket: Ticket) -> Option<Arc<Group<O>>> {
        let mut groups = lock(&self.0);
        if let Some(known) = manner.key.and_then(|key| groups.get(&key))
            && known.join(outlet, ticket)
        {
            return None;
        }
        let group = Arc::new(Group::new(manner));
        group.join(outlet, ticket);
        if let Some(key) = manner.key {
            groups.insert(key, Arc::clone(&group));
        }
        Some(group)
    }

    /// Gives a place back. A group that nobody is in any more is over.
    pub fn leave(&self, membership: &Membership<O>) {
        let group = &membership.group;
        let mut groups = lock(&self.0);
        let mut state = lock(&group.state);
        state.members.try_remove(membership.place);
        if state.members.is_empty() {
            state.over = true;
            self.forget(&mut groups, group);
        }
        group.stirred.notify_one();
    }

    /// Ends a group for all its members.
    pub fn end(&self, group: &Arc<Group<O>>, end: &End) {
        self.close(group);
        let members: Vec<_> = {
            let mut state = lock(&group.state);
            state.over = true;
            state.members.drain().collect()
        };
        for (outlet, ticket) in members {
            outlet.ended(ticket, end);
        }
    }

    /// Lets nobody else join.
    fn close(&self, group: &Arc<Group<O>>) {
        self.forget(&mut lock(&self.0), group);
    }

    fn forget(&self, groups: &mut HashMap<Key, Arc<Group<O>>>, group: &Arc<Group<O>>) {
        if let Some(key) = group.manner.key
            && groups.get(&key).is_some_and(|known| Arc::ptr_eq(known, group))
        {
            groups.remove(&key);
        }
    }

    /// Tells all members, and waits when not one of them can take it.
    pub async fn publish(&self, group: &Arc<Group<O>>, updates: &[Update]) {
        let (first, too_long) = group.remember(updates);
        if too_long {
            self.close(group);
        }
        let batch = Batch { first, updates };
        let (mut next, mut members, mut sent) = (0, Vec::new(), 0);
        loop {
            next = group.members_from(next, &mut members);
            if members.is_empty() {
                break;
            }
            let deliveries = members.drain(..).map(|(outlet, ticket)| outlet.deliver(ticket, batch));
            sent += deliveries.filter(|delivery| *delivery == Delivery::Sent).count();
            yield_now().await;
        }
        metrics::counter!("tally_deliveries_total").increment(sent as u64);
        // Whoever leaves last says so once: it may have been heard already.
        if sent == 0 && !lock(&group.state).over {
            group.stirred.notified().await;
        }
    }
}

impl<O: Outlet> Group<O> {
    fn new(manner: Manner) -> Self {
        let state = State { members: Slab::new(), past: Vec::new(), past_bytes: 0, newest: 0, over: false };
        Self { manner, state: Mutex::new(state), stirred: Notify::new() }
    }

    fn join(self: &Arc<Self>, outlet: &Arc<O>, ticket: Ticket) -> bool {
        let mut state = lock(&self.state);
        if state.over {
            return false;
        }
        let place = state.members.insert((Arc::clone(outlet), ticket));
        let membership = Membership { group: Arc::clone(self), place, seen: state.newest };
        let past: Vec<Update> = state.past.iter().map(|(_, update)| update.clone()).collect();
        outlet.joined(ticket, membership, &past);
        drop(state);
        // A newcomer can be told what is new, even if nobody before it could.
        self.stir();
        true
    }

    /// Shows a member that was stuck what has been said, numbered, with the newest number: under the group's lock, so
    /// that nothing newer can overtake it.
    pub fn catch_up(&self, make_up: impl FnOnce(u64, &[(u64, Update)])) {
        let state = lock(&self.state);
        make_up(state.newest, &state.past);
    }

    /// A member that was stuck can be written to again.
    pub fn stir(&self) {
        self.stirred.notify_one();
    }

    /// Waits until nobody is in the group.
    pub async fn abandoned(&self) {
        while !lock(&self.state).over {
            self.stirred.notified().await;
        }
    }

    /// Numbers the updates and keeps what newcomers will be told; the first number, and whether that has become too
    /// much to keep.
    fn remember(&self, updates: &[Update]) -> (u64, bool) {
        let mut state = lock(&self.state);
        let first = state.newest + 1;
        for update in updates {
            state.newest += 1;
            let number = state.newest;
            match (update.subject, self.manner.keeps) {
                (Some(_), _) => {
                    state.past.retain(|(_, old)| old.subject != update.subject);
                    // Most groups are about one thing: room for exactly that.
                    state.past.reserve_exact(1);
                    state.past.push((number, update.clone()));
                }
                (None, Keeps::All) if state.past_bytes <= LONGEST_PAST => {
                    state.past_bytes += update.payload.len();
                    state.past.push((number, update.clone()));
                }
                (None, _) => {}
            }
        }
        let too_long = state.past_bytes > LONGEST_PAST;
        if too_long {
            state.past = Vec::new();
        }
        (first, too_long)
    }

    /// Some of the members, from a place on; the place behind them.
    fn members_from(&self, place: usize, some: &mut Vec<(Arc<O>, Ticket)>) -> usize {
        let state = lock(&self.state);
        let end = state.members.capacity();
        let mut next = place;
        while next < end && some.len() < TURN {
            some.extend(state.members.get(next).map(|(outlet, ticket)| (Arc::clone(outlet), *ticket)));
            next += 1;
        }
        next
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use std::future::Future;
    use std::pin::pin;

    use futures_util::{FutureExt, poll};

    use super::*;

    /// A connection of one subscription, and the numbers of the updates that it has been told.
    #[derive(Default)]
    struct Reader {
        is_stuck: bool,
        told: Mutex<Vec<u64>>,
    }

    impl Outlet for Reader {
        fn joined(&self, _: Ticket, membership: Membership<Self>, past: &[Update]) {
            let first = membership.seen + 1 - past.len() as u64;
            lock(&self.told).extend(first..=membership.seen);
        }

        fn deliver(&self, _: Ticket, batch: Batch<'_>) -> Delivery {
            if self.is_stuck {
                return Delivery::Stuck;
            }
            lock(&self.told).extend(batch.first..=batch.last());
            Delivery::Sent
        }

        fn ended(&self, _: Ticket, _: &End) {}
    }

    /// Whether it is still under way after all the turns that a publication among so few takes.
    async fn waits(publication: &mut (impl Future<Output = ()> + Unpin)) -> bool {
        for _ in 0..10 {
            if poll!(&mut *publication).is_ready() {
                return false;
            }
        }
        true
    }

    #[tokio::test]
    async fn a_newcomer_is_told_what_is_new_however_many_before_it_are_stuck() {
        let groups = Groups::default();
        let manner = Manner { key: Some([1; 32]), is_public: true, keeps: Keeps::All };
        let stuck = Arc::new(Reader { is_stuck: true, ..Reader::default() });
        let group = groups.open(manner, &stuck, 1).expect("a group of its own");
        // As whoever serves a group does, before every update.
        assert!(group.abandoned().now_or_never().is_none());
        let update = |payload: &str| [Update { subject: None, payload: payload.into() }];
        let (first, second) = (update("first"), update("second"));
        let mut publication = pin!(groups.publish(&group, &first));
        assert!(waits(&mut publication).await, "a group goes no faster than its fastest member");
        let newcomer = Arc::new(Reader::default());
        assert!(groups.join(&[1; 32], true, &newcomer, 2));
        assert!(!waits(&mut publication).await, "there is somebody who can be written to");
        let mut publication = pin!(groups.publish(&group, &second));
        assert!(!waits(&mut publication).await);
        assert_eq!(*lock(&newcomer.told), [1, 2]);
    }
}
