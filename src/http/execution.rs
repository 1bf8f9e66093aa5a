//! Runs the operations of WebSockets: queries and mutations each by itself, subscriptions once for all that are
//! equal.
//!
//! Equal means: the same document, operation, variables and extensions, and nobody in particular who asks; or
//! somebody, when the document selects nothing that depends on who that is. A shared execution is always nobody's:
//! were the distinction ever wrong, members would be told less than they may know, never more.

use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::Duration;

use async_graphql::parser::types::OperationType;
use async_graphql::{Request, Response};
use futures_util::future::abortable;
use futures_util::stream::BoxStream;
use futures_util::{FutureExt, StreamExt};
use tokio::time::timeout;

use super::operation::{Answer, Operation, Parameters, error};
use super::protocol::Ticket;
use super::websocket::Connection;
use super::{Answers, Asked, Public, RequestId, Sharing, Told};
use crate::ambient::Clock;
use crate::realtime::{End, Group, Manner, Update};
use crate::telemetry::Queries;

/// How many updates go out together at the most.
const BATCH: usize = 64;
/// How many bytes of payload go out together, unless one update has more.
const BATCH_BYTES: usize = 64 * 1024;

/// Begins an operation of a connection, whose answers come by themselves.
pub(super) fn start<G: Answers>(
    connection: &Arc<Connection<G>>,
    requester: &Arc<G::Requester>,
    ticket: Ticket,
    parameters: Parameters,
) {
    let public = &connection.public;
    let anonymous = G::is_anonymous(requester);
    let key = parameters.digest();
    if public.sockets.groups.join(&key, anonymous, connection, ticket) {
        return;
    }
    let operation = match parameters.admit(&public.documents, connection.address) {
        Ok(operation) => operation,
        Err(refused) => return connection.refuse(ticket, &refused.into()),
    };
    if operation.kind != OperationType::Subscription {
        return execute(connection, requester, ticket, operation);
    }
    let Operation { request, document, kind, name } = operation;
    let asked = Asked {
        document: Arc::clone(&document.parsed),
        text: Arc::clone(&document.text),
        name: request.operation_name,
        variables: request.variables,
    };
    let Sharing { is_public, keeps } = public.graph.sharing(&asked);
    let shared = anonymous || is_public;
    let manner = Manner { key: shared.then_some(key), is_public, keeps };
    let Some(group) = public.sockets.groups.open(manner, connection, ticket) else { return };
    let line = Line::new(kind, name, &public.clock);
    let responses = match shared {
        true => public.graph.subscribe(asked, &G::Requester::default()),
        false => public.graph.subscribe(asked, requester),
    };
    let service = Service { public: Arc::clone(public), group, end: End::Complete };
    public.tasks.pass("subscription", serve(service, responses, line, connection.id.clone()));
}

/// Runs a query or a mutation.
fn execute<G: Answers>(
    connection: &Arc<Connection<G>>,
    requester: &Arc<G::Requester>,
    ticket: Ticket,
    operation: Operation,
) {
    let Operation { request, kind, name, .. } = operation;
    let line = Line::new(kind, name, &connection.public.clock);
    let (connection, requester) = (Arc::clone(connection), Arc::clone(requester));
    let tasks = connection.public.tasks.clone();
    let holder = Arc::clone(&connection);
    let (run, abort) = abortable(async move {
        let public = &connection.public;
        let answer = Answer::from(answered(public, request, &requester, &line).await).with_id(&connection.id);
        match answer.data {
            None => connection.refuse(ticket, &answer),
            Some(_) => connection.answer(ticket, &answer),
        }
    });
    holder.hold(ticket, abort);
    tasks.pass("operation", run.map(drop));
}

async fn answered<G: Answers>(
    public: &Public<G>,
    request: Request,
    requester: &G::Requester,
    line: &Line,
) -> Response {
    let executed = line.queries.of(AssertUnwindSafe(public.graph.execute(request, requester)).catch_unwind());
    match timeout(public.patience.execution, executed).await {
        Ok(Ok(response)) => response,
        Ok(Err(_)) => failed(),
        Err(_) => Response::from_errors(vec![error("UNAVAILABLE", "It took too long; try again later.")]),
    }
}

/// Whoever serves a group. When that ends, however it does, so does the group.
struct Service<G: Answers> {
    public: Arc<Public<G>>,
    group: Arc<Group<Connection<G>>>,
    end: End,
}

impl<G: Answers> Drop for Service<G> {
    fn drop(&mut self) {
        self.public.sockets.groups.end(&self.group, &self.end);
    }
}

/// Serves a group until its subscription ends or nobody is in it any more.
async fn serve<G: Answers>(
    mut service: Service<G>,
    mut responses: BoxStream<'static, Told>,
    line: Line,
    id: RequestId,
) {
    let mut first = true;
    loop {
        let told = tokio::select! {
            biased;
            () = service.group.abandoned() => return,
            told = next(&mut responses, &line) => told,
        };
        let Some(told) = told else { return };
        // A first response that holds only errors, after which nothing comes, says that the subscription never began,
        // whether it was the document or the resolver that would not have it.
        let only_errors =
            told.response.data == async_graphql::Value::Null && !told.response.errors.is_empty();
        let mut following = next(&mut responses, &line).now_or_never();
        if first && only_errors && matches!(following, Some(None)) {
            let refused = Answer::from(Response::from_errors(told.response.errors)).with_id(&id);
            service.end = End::Refused(refused.errors_to_json().into());
            return;
        }
        first = false;
        let mut updates = vec![update(told, &id)];
        let mut bytes = updates[0].payload.len();
        while let Some(Some(told)) = following {
            updates.push(update(told, &id));
            bytes += updates[updates.len() - 1].payload.len();
            let enough = updates.len() >= BATCH || bytes >= BATCH_BYTES;
            following = if enough { None } else { next(&mut responses, &line).now_or_never() };
        }
        service.public.sockets.groups.publish(&service.group, &updates).await;
        if matches!(following, Some(None)) {
            return;
        }
    }
}

/// The next response of a subscription. A panic ends it.
async fn next(responses: &mut BoxStream<'static, Told>, line: &Line) -> Option<Told> {
    let next = AssertUnwindSafe(responses.next()).catch_unwind();
    match line.queries.of(next).await {
        Ok(told) => told,
        Err(_) => {
            *responses = futures_util::stream::empty().boxed();
            Some(Told { subject: None, response: failed() })
        }
    }
}

fn update(told: Told, id: &RequestId) -> Update {
    let payload = Answer::from(told.response).with_id(id).to_json();
    Update { subject: told.subject, payload: payload.into() }
}

/// What a client is told of a panic; the panic itself has been written to the log.
fn failed() -> Response {
    tracing::error!("a resolver panicked");
    Response::from_errors(vec![error("INTERNAL", "Something went wrong here.")])
}

/// Logs the operation once it has ended, however it did: its kind, its name, its queries, its time.
struct Line {
    kind: OperationType,
    name: Option<String>,
    clock: Clock,
    started: Duration,
    queries: Queries,
}

impl Line {
    fn new(kind: OperationType, name: Option<String>, clock: &Clock) -> Self {
        Self { kind, name, clock: clock.clone(), started: clock.elapsed(), queries: Queries::default() }
    }
}

impl Drop for Line {
    fn drop(&mut self) {
        let milliseconds = self.clock.elapsed().saturating_sub(self.started).as_millis();
        let name = self.name.as_deref().unwrap_or("-");
        let (kind, queries) = (self.kind, self.queries.count());
        tracing::info!(operation = %format_args!("{kind} {name}"), queries, milliseconds, "graphql over a websocket");
    }
}
