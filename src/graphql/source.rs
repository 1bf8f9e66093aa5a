//! Subscriptions in GraphQL's two steps: a source of events, opened once, and an execution of the document for each
//! event. Between two events nothing of an execution is kept, so an idle subscription is its source and the
//! arguments that it was asked with.
//!
//! A subscription's resolver is called for both: to open its source, and again for each event to say how the event
//! looks. [`follow`] tells the two apart, so that a resolver is written as if it gave a stream.

use std::any::Any;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use async_graphql::dataloader::DataLoader;
use async_graphql::parser::types::{ExecutableDocument, Field, OperationDefinition, Selection, SelectionSet};
use async_graphql::{Context, Request, Response, ServerError, Value, Variables};
use futures_util::FutureExt;
use futures_util::future::join_all;
use futures_util::stream::{self, BoxStream, Stream, StreamExt};
use tokio::sync::broadcast;
use tokio::sync::broadcast::error::RecvError;
use uuid::Uuid;

use super::error::{self, Result};
use super::load::{self, Loads};
use super::{DEAREST_EVENT, Graph, Requester, price};
use crate::realtime::Keeps;
use crate::store::{Loc, StoreError};

/// How many events are answered together, with shared loads.
const TOGETHER: usize = 64;
/// How many subscriptions are opened at a time. When everybody comes back at once, whoever waits here waits for its turn
/// with nothing but its arguments in hand, and half of the connections to the database stay free for others.
pub(super) const OPENINGS: usize = 8;
/// How long to wait when the database is away, before an event is answered again.
const BREATHER: Duration = Duration::from_secs(1);
/// The fields that depend on who asks. `tests/it/fan_out.rs` holds this to the code.
const PERSONAL: [&str; 14] = [
    "ingest",
    "invitedViewers",
    "recordings",
    "recording",
    "recordingChanged",
    "streamHealth",
    "simulcastTargets",
    "simulcastChanged",
    "suspension",
    "sessions",
    "me",
    "auditRecords",
    "users",
    "siteStatus",
];

/// What a subscriber is told.
pub struct Told {
    /// What it is the present state of; None when it is an event of its own.
    pub subject: Option<Uuid>,
    /// The answer.
    pub response: Response,
}

/// How equal subscriptions may be served together.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sharing {
    /// Whether the answers are the same whoever asks.
    pub is_public: bool,
    /// What those who come later are told first.
    pub keeps: Keeps,
}

/// Something that happened, as its resolver will find it again.
#[derive(Clone)]
struct Event {
    subject: Option<Uuid>,
    what: Arc<dyn Any + Send + Sync>,
}

type Events = BoxStream<'static, Event>;

/// What a resolver is called for.
enum Turn {
    /// To put its source here.
    Open(Mutex<Option<Events>>),
    /// To say how this looks.
    Answer(Event),
}

/// A subscription's events: opens the source when it is asked to, else gives the one event that is to be answered.
/// An event comes with its subject, if newer ones of the same subject replace it.
///
/// # Errors
/// Those of opening.
pub(super) async fn follow<T, S>(
    ctx: &Context<'_>,
    open: impl Future<Output = Result<S>>,
) -> Result<stream::Iter<std::option::IntoIter<T>>>
where
    T: Clone + Send + Sync + 'static,
    S: Stream<Item = (Option<Uuid>, T)> + Send + 'static,
{
    let event = match &**ctx.data_unchecked::<Arc<Turn>>() {
        Turn::Answer(event) => event.what.downcast_ref::<T>().cloned(),
        Turn::Open(source) => {
            let events = open.await?.map(|(subject, what)| Event { subject, what: Arc::new(what) });
            *source.lock().unwrap_or_else(PoisonError::into_inner) = Some(events.boxed());
            None
        }
    };
    Ok(stream::iter(event))
}

/// What changes at `loc`, of all that is told of, as `look` finds it by its id: with none, whatever may have changed there,
/// for a reader that is too slow misses some. While the database is away it is waited for.
pub(super) fn at<Id, T, F>(
    loc: Loc,
    changes: broadcast::Receiver<(Loc, Id)>,
    look: impl Fn(Option<Id>) -> F + Send,
) -> impl Stream<Item = T> + Send
where
    Id: Copy + Send + 'static,
    T: Send,
    F: Future<Output = std::result::Result<Vec<T>, StoreError>> + Send,
{
    let found = stream::unfold((changes, look), move |(mut changes, look)| async move {
        let id = loop {
            match changes.recv().await {
                Ok((there, id)) if there == loc => break Some(id),
                Ok(_) => {}
                Err(RecvError::Lagged(_)) => break None,
                Err(RecvError::Closed) => return None,
            }
        };
        loop {
            match look(id).await {
                Ok(found) => return Some((stream::iter(found), (changes, look))),
                Err(error) => tracing::warn!(%error, "what has changed cannot be told of yet"),
            }
            tokio::time::sleep(BREATHER).await;
        }
    });
    found.flatten()
}

/// A subscription as it was asked for. Many have the same document, of which there is one copy.
#[derive(Clone)]
pub struct Asked {
    /// The document.
    pub document: Arc<ExecutableDocument>,
    /// Its text.
    pub text: Arc<str>,
    /// The operation that is meant, if the document has several.
    pub name: Option<String>,
    /// Its variables.
    pub variables: Variables,
}

/// A subscription by somebody; answered as often as something happens.
struct Subscription {
    graph: Graph,
    requester: Requester,
    document: Arc<ExecutableDocument>,
    text: Arc<str>,
    name: Option<String>,
    /// As JSON, which takes a tenth of the room.
    variables: Box<str>,
}

/// A subscription on its way.
enum Course {
    Opening(Arc<Subscription>),
    Open(Arc<Subscription>, Events),
    Over,
}

/// A subscription's answers. One that could not begin is a single answer with nothing but errors.
pub(super) fn subscribe(graph: &Graph, asked: Asked, requester: &Requester) -> BoxStream<'static, Told> {
    let Asked { document, text, name, variables } = asked;
    let variables = serde_json::to_string(&variables).unwrap_or_default().into();
    let (graph, requester) = (graph.clone(), requester.clone());
    let subscription = Subscription { graph, requester, document, text, name, variables };
    let course = stream::unfold(Course::Opening(Arc::new(subscription)), Course::step);
    course.flat_map(stream::iter).boxed()
}

impl Course {
    /// What happens next. It is in boxes, which are there only while something happens.
    async fn step(self) -> Option<(Vec<Told>, Self)> {
        match self {
            Self::Opening(subscription) => {
                let turn = subscription.graph.openings.acquire().await;
                let opened = Box::pin(subscription.open()).await;
                drop(turn);
                Some(match opened {
                    Ok(events) => (Vec::new(), Self::Open(subscription, events)),
                    Err(response) => (vec![Told { subject: None, response }], Self::Over),
                })
            }
            Self::Open(subscription, mut events) => {
                let mut together = vec![events.next().await?];
                while together.len() < TOGETHER
                    && let Some(Some(event)) = events.next().now_or_never()
                {
                    together.push(event);
                }
                let told = Box::pin(subscription.tell(together)).await;
                Some((told, Self::Open(subscription, events)))
            }
            Self::Over => None,
        }
    }
}

impl Subscription {
    /// Its events, or why there are none.
    async fn open(&self) -> std::result::Result<Events, Response> {
        let (document, variables) = (&self.document, self.variables());
        let cost = self.graph.price(document, self.name.as_deref(), &variables, &self.text).await?;
        if cost > DEAREST_EVENT {
            let told = format!("A subscription may cost {DEAREST_EVENT}, and this one costs {cost}.");
            return Err(Response::from_errors(vec![ServerError::new(told, None)]));
        }
        let turn = Arc::new(Turn::Open(Mutex::default()));
        let loader = load::loader(&self.graph.parts.store);
        let refused = self.execute(Arc::clone(&turn), loader).await;
        let Turn::Open(source) = &*turn else { return Err(refused.unwrap_or_default()) };
        let events = source.lock().unwrap_or_else(PoisonError::into_inner).take();
        events.filter(|_| refused.is_none()).ok_or_else(|| refused.unwrap_or_default())
    }

    /// How events look, in their order, with what they load loaded together.
    async fn tell(&self, events: Vec<Event>) -> Vec<Told> {
        let loader = load::loader(&self.graph.parts.store);
        join_all(events.into_iter().map(|event| self.tell_one(event, Arc::clone(&loader)))).await
    }

    /// How an event looks. While the database is away it is waited for: an event must not be missed.
    async fn tell_one(&self, event: Event, loader: Arc<DataLoader<Loads>>) -> Told {
        let subject = event.subject;
        let turn = Arc::new(Turn::Answer(event));
        loop {
            let response = self.execute(Arc::clone(&turn), Arc::clone(&loader)).await.unwrap_or_default();
            if !error::is_unavailable(&response) {
                return Told { subject, response };
            }
            tokio::time::sleep(BREATHER).await;
        }
    }

    fn variables(&self) -> Variables {
        serde_json::from_str(&self.variables).unwrap_or_default()
    }

    fn request(&self) -> Request {
        price::enquiry((*self.document).clone(), self.name.as_deref(), &self.variables())
    }

    async fn execute(&self, turn: Arc<Turn>, loader: Arc<DataLoader<Loads>>) -> Option<Response> {
        let request = self.graph.prepare(self.request().data(turn), &self.requester, loader);
        let mut response = self.graph.schema.execute_stream(request).next().await?;
        response.errors.iter_mut().for_each(|error| error::name_field(error, &self.text));
        Some(response)
    }
}

/// How a subscription may be shared, from what its document selects and how it is asked.
pub(super) fn sharing(asked: &Asked) -> Sharing {
    let document = &*asked.document;
    // Whether they are reached or not: to take too many for personal is no harm.
    let fragments = document.fragments.values().map(|fragment| &fragment.node.selection_set.node);
    let operations = document.operations.iter().map(|(_, operation)| &operation.node.selection_set.node);
    let is_public = !fragments.chain(operations).any(is_personal);
    let operation = document.operations.iter().find(|(name, _)| {
        asked.name.as_ref().is_none_or(|wanted| name.is_some_and(|name| name.as_str() == wanted))
    });
    let resumes = operation.is_some_and(|(_, operation)| {
        let field = root_field(document, &operation.node.selection_set.node);
        let after = field.and_then(|field| field.get_argument("after"));
        after.is_some_and(|after| is_given(&after.node.to_string(), &operation.node, &asked.variables))
    });
    Sharing { is_public, keeps: if resumes { Keeps::All } else { Keeps::Newest } }
}

/// Whether a field that depends on who asks is selected in the set, fragments apart.
fn is_personal(set: &SelectionSet) -> bool {
    set.items.iter().any(|selection| match &selection.node {
        Selection::Field(field) => {
            PERSONAL.contains(&field.node.name.node.as_str()) || is_personal(&field.node.selection_set.node)
        }
        Selection::InlineFragment(inline) => is_personal(&inline.node.selection_set.node),
        Selection::FragmentSpread(_) => false,
    })
}

/// The one field that a subscription selects.
fn root_field<'a>(document: &'a ExecutableDocument, set: &'a SelectionSet) -> Option<&'a Field> {
    set.items.iter().find_map(|selection| match &selection.node {
        Selection::Field(field) => Some(&field.node),
        Selection::InlineFragment(inline) => root_field(document, &inline.node.selection_set.node),
        Selection::FragmentSpread(spread) => {
            let fragment = document.fragments.get(&spread.node.fragment_name.node)?;
            root_field(document, &fragment.node.selection_set.node)
        }
    })
}

/// Whether an argument, as it stands in the document, has a value that is not null.
fn is_given(argument: &str, operation: &OperationDefinition, variables: &Variables) -> bool {
    let Some(name) = argument.strip_prefix('$') else { return argument != "null" };
    let definition = operation.variable_definitions.iter().find(|it| it.node.name.node == name);
    let default = definition.and_then(|it| it.node.default_value.as_ref()).map(|value| &value.node);
    variables.get(name).or(default).is_some_and(|value| *value != Value::Null)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What is looked for, one after the other, of what is sent before anybody reads.
    async fn looked_for(room: usize, sent: &[(Loc, u32)]) -> Vec<Option<u32>> {
        let (changes, unread) = broadcast::channel(room);
        for change in sent {
            changes.send(*change).unwrap();
        }
        drop(changes);
        at(Loc(Uuid::nil()), unread, |id| async move { Ok(vec![id]) }).collect().await
    }

    #[tokio::test]
    async fn what_changes_elsewhere_is_not_told() {
        let (here, there) = (Loc(Uuid::nil()), Loc(Uuid::max()));
        assert_eq!(looked_for(4, &[(here, 1), (there, 2), (here, 3)]).await, [Some(1), Some(3)]);
    }

    #[tokio::test]
    async fn who_missed_something_is_told_of_all_that_may_have_changed() {
        let here = Loc(Uuid::nil());
        assert_eq!(looked_for(2, &[(here, 1), (here, 2), (here, 3)]).await, [None, Some(2), Some(3)]);
    }

    #[tokio::test(start_paused = true)]
    async fn what_changes_while_the_database_is_away_is_told_once_it_is_back() {
        let (changes, unread) = broadcast::channel(1);
        changes.send((Loc(Uuid::nil()), 1)).unwrap();
        let tries = std::sync::atomic::AtomicU32::new(0);
        let mut told = std::pin::pin!(at(Loc(Uuid::nil()), unread, |id| {
            let tried = tries.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
            async move { if tried < 3 { Err(StoreError::Away("gone".into())) } else { Ok(vec![id]) } }
        }));
        assert_eq!(told.next().await, Some(Some(1)));
    }
}
