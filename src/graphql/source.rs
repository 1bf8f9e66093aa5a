//! Subscriptions in GraphQL's two steps: a source of events, opened once, and an execution of the document for each
//! event. Between two events nothing of an execution is kept, so an idle subscription is its source and the
//! arguments that it was asked with.
//!
//! A subscription's resolver is called for both: to open its source, and again for each event to say how the event
//! looks. [`follow`] tells the two apart, so that a resolver is written as if it gave a stream.

use std::any::Any;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use async_graphql::parser::types::{ExecutableDocument, Field, OperationDefinition, Selection, SelectionSet};
use async_graphql::{Context, Request, Response, Value, Variables};
use futures_util::future::join_all;
use futures_util::stream::{self, BoxStream, Stream, StreamExt};
use uuid::Uuid;

use super::error::{self, Result};
use super::{Graph, Requester, price};
use crate::realtime::Keeps;

/// How many events are answered together, with shared loads.
const TOGETHER: usize = 64;
/// How long to wait when the database is away, before an event is answered again.
const BREATHER: Duration = Duration::from_secs(1);
/// The fields that depend on who asks. `tests/it/fan_out.rs` holds this to the code.
const PERSONAL: [&str; 2] = ["ingest", "me"];

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

/// A subscription as it was asked for; answered as often as something happens.
struct Asked {
    graph: Graph,
    requester: Requester,
    document: Arc<ExecutableDocument>,
    text: Arc<str>,
    name: Option<String>,
    variables: Variables,
}

/// A subscription on its way.
enum Course {
    Opening(Arc<Asked>),
    Open(Arc<Asked>, Events),
    Over,
}

/// A subscription's answers. One that could not begin is a single answer with nothing but errors.
pub(super) fn subscribe(
    graph: &Graph,
    mut request: Request,
    requester: &Requester,
) -> BoxStream<'static, Told> {
    let document = match request.parsed_query() {
        Ok(document) => Arc::new(document.clone()),
        Err(error) => {
            let response = Response::from_errors(vec![error]);
            return stream::once(async { Told { subject: None, response } }).boxed();
        }
    };
    let asked = Asked {
        graph: graph.clone(),
        requester: requester.clone(),
        document,
        text: std::mem::take(&mut request.query).into(),
        name: request.operation_name,
        variables: request.variables,
    };
    // The step is in a box of its own, which is only there while something happens.
    let course = stream::unfold(Course::Opening(Arc::new(asked)), |course| course.step());
    course.flat_map(stream::iter).boxed()
}

impl Course {
    async fn step(self) -> Option<(Vec<Told>, Self)> {
        match self {
            Self::Opening(asked) => {
                if let Err(response) = Box::pin(asked.graph.price(asked.request(), &asked.text)).await {
                    return Some((vec![Told { subject: None, response }], Self::Over));
                }
                let turn = Arc::new(Turn::Open(Mutex::default()));
                let refused = Box::pin(asked.execute(Arc::clone(&turn))).await;
                let Turn::Open(source) = &*turn else { return None };
                let source = source.lock().unwrap_or_else(PoisonError::into_inner).take();
                match (refused, source) {
                    (None, Some(events)) => Some((Vec::new(), Self::Open(asked, events))),
                    (Some(response), _) => Some((vec![Told { subject: None, response }], Self::Over)),
                    (None, None) => None,
                }
            }
            Self::Open(asked, mut events) => {
                let mut together = vec![events.next().await?];
                while together.len() < TOGETHER
                    && let Some(Some(event)) = futures_util::FutureExt::now_or_never(events.next())
                {
                    together.push(event);
                }
                let told = Box::pin(join_all(together.into_iter().map(|event| asked.tell(event)))).await;
                Some((told, Self::Open(asked, events)))
            }
            Self::Over => None,
        }
    }
}

impl Asked {
    /// How an event looks. While the database is away it is waited for: an event must not be missed.
    async fn tell(&self, event: Event) -> Told {
        loop {
            let answered = self.execute(Arc::new(Turn::Answer(event.clone()))).await;
            match answered {
                Some(response) if error::is_unavailable(&response) => tokio::time::sleep(BREATHER).await,
                Some(response) => return Told { subject: event.subject, response },
                None => return Told { subject: event.subject, response: Response::new(Value::Null) },
            }
        }
    }

    fn request(&self) -> Request {
        price::enquiry(&self.document, self.name.as_deref(), &self.variables)
    }

    async fn execute(&self, turn: Arc<Turn>) -> Option<Response> {
        let request = self.graph.prepare(self.request().data(turn), &self.requester);
        let mut response = self.graph.schema.execute_stream(request).next().await?;
        response.errors.iter_mut().for_each(|error| error::name_field(error, &self.text));
        Some(response)
    }
}

/// How a subscription may be shared, from what its document selects and how it is asked.
pub(super) fn sharing(request: &mut Request) -> Sharing {
    let (variables, wanted) = (request.variables.clone(), request.operation_name.clone());
    let Ok(document) = request.parsed_query() else {
        return Sharing { is_public: false, keeps: Keeps::Newest };
    };
    // Whether they are reached or not: no more than that must never be wrong.
    let fragments = document.fragments.values().map(|fragment| &fragment.node.selection_set.node);
    let operations = document.operations.iter().map(|(_, operation)| &operation.node.selection_set.node);
    let is_public = !fragments.chain(operations).any(is_personal);
    let operation = document.operations.iter().find(|(name, _)| {
        wanted.as_ref().is_none_or(|wanted| name.is_some_and(|name| name.as_str() == wanted))
    });
    let resumes = operation.is_some_and(|(_, operation)| {
        let field = root_field(document, &operation.node.selection_set.node);
        let after = field.and_then(|field| field.get_argument("after"));
        after.is_some_and(|after| is_given(&after.node.to_string(), &operation.node, &variables))
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
