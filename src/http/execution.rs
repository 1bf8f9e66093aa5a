//! Runs one operation of a WebSocket and says how it goes: results, then an end; or a refusal and nothing else.

use std::net::IpAddr;
use std::panic::AssertUnwindSafe;
use std::time::Duration;

use async_graphql::parser::types::OperationType;
use async_graphql::{Response, ServerError};
use futures_util::stream::{self, BoxStream};
use futures_util::{FutureExt, StreamExt};
use tokio::time::timeout;

use super::operation::{Answer, Operation, Parameters, error};
use super::{Answers, Public, RequestId};
use crate::ambient::Clock;
use crate::telemetry::Queries;

/// What comes of an operation.
pub(super) enum Outcome {
    /// A result.
    Next(Answer),
    /// It cannot be executed; nothing follows.
    Refused(Answer),
    /// Everything has been said.
    Complete,
}

impl Outcome {
    fn with_id(self, id: &RequestId) -> Self {
        match self {
            Self::Next(answer) => Self::Next(answer.with_id(id)),
            Self::Refused(answer) => Self::Refused(answer.with_id(id)),
            Self::Complete => Self::Complete,
        }
    }
}

/// The outcomes of an operation, made as they are asked for; the last one is never `Next`.
pub(super) fn outcomes<G: Answers>(
    public: &Public<G>,
    requester: &G::Requester,
    parameters: Parameters,
    address: Option<IpAddr>,
    id: &RequestId,
) -> BoxStream<'static, Outcome> {
    let Operation { request, kind, name } = match parameters.admit(address) {
        Ok(operation) => operation,
        Err(refused) => return stream::once(async { Outcome::Refused(refused.into()) }).boxed(),
    };
    let (clock, started) = (public.clock.clone(), public.clock.elapsed());
    let line = Line { kind, name, clock, started, queries: Queries::default() };
    let (graph, requester) = (public.graph.clone(), requester.clone());
    let id = id.clone();
    if kind == OperationType::Subscription {
        let outcomes = until_the_end(graph.subscribe(request, &requester), line);
        return outcomes.map(move |outcome| outcome.with_id(&id)).boxed();
    }
    let patience = public.patience.execution;
    let answered = async move {
        let executed = line.queries.of(AssertUnwindSafe(graph.execute(request, &requester)).catch_unwind());
        let response = match timeout(patience, executed).await {
            Ok(Ok(response)) => response,
            Ok(Err(_)) => failed(),
            Err(_) => Response::from_errors(vec![error("UNAVAILABLE", "It took too long; try again later.")]),
        };
        let answer = Answer::from(response);
        drop(line);
        if answer.data.is_none() {
            stream::iter(vec![Outcome::Refused(answer)])
        } else {
            stream::iter(vec![Outcome::Next(answer), Outcome::Complete])
        }
    };
    answered.flatten_stream().map(move |outcome| outcome.with_id(&id)).boxed()
}

/// A subscription's results. A first response that holds only errors, after which the stream ends, says that the
/// subscription never began, whether it was the document or the resolver that would not have it.
fn until_the_end(responses: BoxStream<'static, Response>, line: Line) -> BoxStream<'static, Outcome> {
    let responses =
        AssertUnwindSafe(responses).catch_unwind().map(|caught| caught.unwrap_or_else(|_| failed()));
    let state = (responses.boxed(), Some(line), Place::First);
    let outcomes = stream::unfold(state, |(mut responses, line, place)| async move {
        match place {
            Place::Ended => None,
            Place::Held(answer) => Some((Outcome::Next(answer), (responses, line, Place::Later))),
            Place::First | Place::Later => {
                let first = matches!(place, Place::First);
                let next = match &line {
                    Some(line) => line.queries.of(responses.next()).await,
                    None => responses.next().await,
                };
                let Some(response) = next else {
                    return Some((Outcome::Complete, (responses, None, Place::Ended)));
                };
                let only_errors = response.data == async_graphql::Value::Null && !response.errors.is_empty();
                if first && only_errors {
                    let errors = response.errors.clone();
                    return Some(first_failure(response, errors, responses, line).await);
                }
                Some((Outcome::Next(response.into()), (responses, line, Place::Later)))
            }
        }
    });
    outcomes.boxed()
}

type State = (BoxStream<'static, Response>, Option<Line>, Place);

/// Where a subscription's stream is.
enum Place {
    First,
    Later,
    /// One more result was read and waits.
    Held(Answer),
    Ended,
}

/// Looks whether the stream ends with its first, failed response.
async fn first_failure(
    response: Response,
    errors: Vec<ServerError>,
    mut responses: BoxStream<'static, Response>,
    line: Option<Line>,
) -> (Outcome, State) {
    match responses.next().now_or_never() {
        Some(None) => {
            let refused = Answer::from(Response::from_errors(errors));
            (Outcome::Refused(refused), (responses, None, Place::Ended))
        }
        Some(Some(second)) => (Outcome::Next(response.into()), (responses, line, Place::Held(second.into()))),
        None => (Outcome::Next(response.into()), (responses, line, Place::Later)),
    }
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

impl Drop for Line {
    fn drop(&mut self) {
        let milliseconds = self.clock.elapsed().saturating_sub(self.started).as_millis();
        let name = self.name.as_deref().unwrap_or("-");
        let (kind, queries) = (self.kind, self.queries.count());
        tracing::info!(operation = %format_args!("{kind} {name}"), queries, milliseconds, "graphql over a websocket");
    }
}
