//! `/graphql` over HTTP, as GraphQL over HTTP says: which answers a client takes, which requests are taken,
//! which status goes with which answer. Every choice about the status is in [`status`].

use std::panic::AssertUnwindSafe;
use std::sync::Arc;

use async_graphql::parser::types::OperationType;
use async_graphql::{Request as Document, Response as GraphResponse, ServerError};
use axum::body::{Body, to_bytes};
use axum::extract::{FromRequestParts, Request};
use axum::http::{HeaderMap, HeaderValue, Method, StatusCode, Uri, header};
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use futures_util::FutureExt;
use serde::Deserialize;
use serde_json::Value;
use tokio::time::timeout;

use super::operation::{Answer, Operation, Parameters, code, error};
use super::origin::{self, ClientAddress, Shown};
use super::responses::{Finished, Flight, Moment, Question};
use super::{Answers, Public, RequestId};
use crate::telemetry::Queries;

/// The largest body: a document and variables of the largest sizes that the scan admits, escaped.
const MAX_BODY: usize = 256 * 1024;

/// In which form the client wants its answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Media {
    /// `application/graphql-response+json`: the status tells what happened.
    GraphQl,
    /// `application/json`: a well-formed request is answered with 200, whatever happened.
    Json,
}

/// Answers a query or a mutation.
pub(super) async fn answer<G: Answers>(public: &Arc<Public<G>>, request: Request) -> Response {
    let Some(media) = negotiate(request.headers()) else {
        let refused =
            error("BAD_USER_INPUT", "Accept application/graphql-response+json or application/json.");
        return written(StatusCode::NOT_ACCEPTABLE, Media::Json, Answer::from(refused).to_json());
    };
    let started = public.clock.elapsed();
    let mut line = Line::default();
    let response = match attempt(public, request, media, &mut line).await {
        Ok(response) => response,
        Err(refused) => refused.written(media),
    };
    let took = public.clock.elapsed().saturating_sub(started);
    let milliseconds = took.as_millis();
    let operation = line.operation.as_deref().unwrap_or("none");
    let (status, queries) = (response.status().as_u16(), line.queries.map_or(0, |queries| queries.count()));
    tracing::info!(operation = %operation, status, queries, milliseconds, "graphql");
    metrics::counter!("tally_graphql_requests_total", "status" => status.to_string()).increment(1);
    metrics::histogram!("tally_graphql_seconds").record(took);
    response
}

/// What the request's log line says about it: never its arguments.
#[derive(Default)]
struct Line {
    /// Its kind and its name.
    operation: Option<Arc<str>>,
    /// The statements that were sent for it; none for what another's answer is given to.
    queries: Option<Queries>,
}

/// A request that was not executed. Without a status, the status follows from the error as for any answer.
struct Refused {
    status: Option<StatusCode>,
    error: Box<ServerError>,
    /// The methods that would have been right.
    allow: Option<&'static str>,
}

impl From<ServerError> for Refused {
    fn from(error: ServerError) -> Self {
        Self { status: None, error: Box::new(error), allow: None }
    }
}

impl Refused {
    fn written(self, media: Media) -> Response {
        let answer = Answer::from(*self.error);
        let mut response =
            written(self.status.unwrap_or_else(|| status(&answer, media)), media, answer.to_json());
        if let Some(methods) = self.allow {
            response.headers_mut().insert(header::ALLOW, HeaderValue::from_static(methods));
        }
        response
    }
}

fn refuse(status: StatusCode, message: &str) -> Refused {
    Refused { status: Some(status), ..error("BAD_USER_INPUT", message).into() }
}

fn not_allowed(allow: &'static str, message: &str) -> Refused {
    Refused { allow: Some(allow), ..refuse(StatusCode::METHOD_NOT_ALLOWED, message) }
}

async fn attempt<G: Answers>(
    public: &Arc<Public<G>>,
    request: Request,
    media: Media,
    line: &mut Line,
) -> Result<Response, Refused> {
    let (mut parts, body) = request.into_parts();
    let is_get = parts.method == Method::GET;
    let asked = match parts.method {
        Method::POST => of_body(public, &parts.headers, body).await?,
        Method::GET => Bytes::copy_from_slice(parts.uri.query().unwrap_or_default().as_bytes()),
        _ => return Err(not_allowed("GET, POST", "Use POST, or GET for a query.")),
    };
    let shown = origin::shown(&parts.headers, &public.public_url).map_err(outright)?;
    // Nobody in particular, from wherever, is told what everybody is told.
    let told = public.graph.told().filter(|_| shown == Shown::Nothing);
    let equal = told.map(|told| {
        let question = Question { is_get, is_graphql: media == Media::GraphQl, request: asked.clone() };
        (question, Moment { time: public.clock.elapsed(), told })
    });
    if let Some((question, now)) = &equal
        && let Some(flight) = public.responses.find(question, *now)
    {
        return Ok(given(flight, media, line).await);
    }
    let parameters = if is_get { of_query(&asked) } else { of_json(&asked) }?;
    let Operation { request, kind, name, .. } = parameters.admit(&public.documents, None)?;
    line.operation = Some(format!("{kind} {}", name.as_deref().unwrap_or("-")).into());
    if is_get && kind != OperationType::Query {
        return Err(not_allowed("POST", "Only queries may be sent with GET."));
    }
    if kind == OperationType::Subscription {
        return Err(error("DOCUMENT_REFUSED", "A subscription needs a WebSocket.").into());
    }
    let id = parts.extensions.get::<RequestId>().cloned().unwrap_or_else(|| RequestId::new(&public.chance));
    let queries = line.queries.insert(Queries::default()).clone();
    if let Some((question, now)) = equal.filter(|_| kind == OperationType::Query) {
        let operation = line.operation.clone().unwrap_or_default();
        let answer = finish(Arc::clone(public), request, media, id, operation);
        let (flight, is_new) = public.responses.join(question, now, async move { queries.of(answer).await });
        line.queries = line.queries.take().filter(|_| is_new);
        return Ok(given(flight, media, line).await);
    }
    let Ok(ClientAddress(address)) = ClientAddress::from_request_parts(&mut parts, &()).await;
    let request = address.into_iter().fold(request, Document::data);
    let execution = queries.of(async {
        let requester = shown.requester(&public.graph).await.map_err(outright)?;
        Ok::<_, Refused>(public.graph.execute(request, &requester).await)
    });
    let graph = timeout(public.patience.execution, execution).await.map_err(|_| too_long())??;
    let headers = passed_on(&graph.http_headers);
    let answer = Answer::from(graph).with_id(&id);
    let mut response = written(status(&answer, media), media, answer.to_json());
    response.headers_mut().extend(headers);
    Ok(response)
}

/// Executes a query for everybody who asks the same: as nobody, from nowhere. It sets no headers; what does is a
/// mutation.
async fn finish<G: Answers>(
    public: Arc<Public<G>>,
    request: Document,
    media: Media,
    id: RequestId,
    operation: Arc<str>,
) -> Finished {
    let nobody = G::Requester::default();
    let execution = timeout(public.patience.execution, public.graph.execute(request, &nobody));
    let (status, answer) = match AssertUnwindSafe(execution).catch_unwind().await {
        Ok(Ok(graph)) => {
            let answer = Answer::from(graph);
            (status(&answer, media), answer)
        }
        Ok(Err(_)) => (StatusCode::SERVICE_UNAVAILABLE, Answer::from(*too_long().error)),
        Err(_) => {
            tracing::error!("a resolver panicked");
            let failed = GraphResponse::from_errors(vec![error("INTERNAL", "Something went wrong here.")]);
            (StatusCode::INTERNAL_SERVER_ERROR, Answer::from(failed))
        }
    };
    let lasts = answer.errors.is_empty();
    Finished { status, body: answer.with_id(&id).to_json().into(), operation, lasts }
}

/// Writes an answer that is shared.
async fn given(flight: Flight, media: Media, line: &mut Line) -> Response {
    let finished = flight.await;
    line.operation = Some(Arc::clone(&finished.operation));
    written(finished.status, media, finished.body.clone())
}

fn too_long() -> Refused {
    outright(error("UNAVAILABLE", "It took too long; try again later."))
}

/// What kept the document from being looked at: the status says so in every form of answer.
fn outright(error: ServerError) -> Refused {
    Refused { status: Some(status_of_code(code(&error))), ..error.into() }
}

/// The status of an answer. The newest draft wants 422 and 294 in places; this follows what clients check today.
fn status(answer: &Answer, media: Media) -> StatusCode {
    match (media, &answer.data) {
        (Media::Json, _) | (_, Some(_)) => StatusCode::OK,
        (Media::GraphQl, None) => status_of_code(answer.errors.first().and_then(code)),
    }
}

pub(super) fn status_of_code(code: Option<&str>) -> StatusCode {
    match code {
        Some("UNAUTHENTICATED") => StatusCode::UNAUTHORIZED,
        Some("FORBIDDEN") => StatusCode::FORBIDDEN,
        Some("RATE_LIMITED") => StatusCode::TOO_MANY_REQUESTS,
        Some("UNAVAILABLE") => StatusCode::SERVICE_UNAVAILABLE,
        Some("INTERNAL") => StatusCode::INTERNAL_SERVER_ERROR,
        _ => StatusCode::BAD_REQUEST,
    }
}

fn written(status: StatusCode, media: Media, body: impl Into<Body>) -> Response {
    let media = match media {
        Media::GraphQl => "application/graphql-response+json; charset=utf-8",
        Media::Json => "application/json; charset=utf-8",
    };
    let headers = [
        (header::CONTENT_TYPE, HeaderValue::from_static(media)),
        (header::CACHE_CONTROL, HeaderValue::from_static("no-store")),
        (header::VARY, HeaderValue::from_static("Accept, Authorization, Cookie, Origin")),
    ];
    (status, headers, body.into()).into_response()
}

/// The headers that resolvers asked for; those of this answer itself are not theirs to set.
fn passed_on(asked: &HeaderMap) -> HeaderMap {
    let ours = [header::CONTENT_TYPE, header::CONTENT_LENGTH, header::TRANSFER_ENCODING];
    let theirs = asked.iter().filter(|(name, _)| !ours.contains(name));
    theirs.map(|(name, value)| (name.clone(), value.clone())).collect()
}

/// The body, which must be of the right type and size, and be there in time.
async fn of_body<G: Answers>(public: &Public<G>, headers: &HeaderMap, body: Body) -> Result<Bytes, Refused> {
    if !is_json(headers) {
        let told = "Send the request as application/json in UTF-8.";
        return Err(refuse(StatusCode::UNSUPPORTED_MEDIA_TYPE, told));
    }
    let too_large = || refuse(StatusCode::PAYLOAD_TOO_LARGE, "The body is larger than 256 KiB.");
    let announced =
        headers.get(header::CONTENT_LENGTH).and_then(|value| value.to_str().ok()?.parse::<usize>().ok());
    if announced.is_some_and(|length| length > MAX_BODY) {
        return Err(too_large());
    }
    match timeout(public.patience.body, to_bytes(body, MAX_BODY)).await {
        Ok(bytes) => bytes.map_err(|_| too_large()),
        Err(_) => Err(refuse(StatusCode::REQUEST_TIMEOUT, "The body did not arrive in time.")),
    }
}

fn of_json(bytes: &[u8]) -> Result<Parameters, Refused> {
    let json = serde_json::from_slice(bytes);
    let json = json.map_err(|_| refuse(StatusCode::BAD_REQUEST, "The body is not JSON that can be read."))?;
    Parameters::from_json(json).map_err(|told| refuse(StatusCode::BAD_REQUEST, told))
}

fn is_json(headers: &HeaderMap) -> bool {
    let Some(value) = headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok()) else {
        return false;
    };
    let mut parts = value.split(';').map(str::trim);
    let json = parts.next().is_some_and(|media| media.eq_ignore_ascii_case("application/json"));
    let charset =
        parts.find_map(|part| part.to_ascii_lowercase().strip_prefix("charset=").map(str::to_owned));
    json && charset.is_none_or(|charset| matches!(charset.trim_matches('"'), "utf-8" | "utf8"))
}

/// The parameters of a GET: `variables` and `extensions` are JSON texts.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Query {
    query: Option<String>,
    operation_name: Option<String>,
    variables: Option<String>,
    extensions: Option<String>,
}

fn of_query(query: &[u8]) -> Result<Parameters, Refused> {
    let bad = |told: &str| refuse(StatusCode::BAD_REQUEST, told);
    let uri = [b"/?", query].concat();
    let uri = Uri::from_maybe_shared(uri).map_err(|_| bad("The URL cannot be read."))?;
    let axum::extract::Query(Query { query, operation_name, variables, extensions }) =
        axum::extract::Query::try_from_uri(&uri).map_err(|_| bad("The URL's parameters cannot be read."))?;
    let json = |text: Option<String>| match text {
        None => Ok(Value::Null),
        Some(text) => {
            serde_json::from_str(&text).map_err(|_| bad("`variables` and `extensions` must be JSON."))
        }
    };
    let members = serde_json::json!({
        "query": query,
        "operationName": operation_name.filter(|name| !name.is_empty()),
        "variables": json(variables)?,
        "extensions": json(extensions)?,
    });
    Parameters::from_json(members).map_err(bad)
}

/// The form that the client likes best; of equals the one it names first; JSON when it does not care.
fn negotiate(headers: &HeaderMap) -> Option<Media> {
    let accepted = headers.get_all(header::ACCEPT).iter().filter_map(|value| value.to_str().ok());
    let mut ranges =
        accepted.flat_map(|value| value.split(',')).map(str::trim).filter(|range| !range.is_empty());
    let mut best: Option<(Media, f32)> = None;
    let mut none = true;
    for range in ranges.by_ref() {
        none = false;
        let mut parts = range.split(';').map(str::trim);
        let media = match parts.next().unwrap_or_default().to_ascii_lowercase().as_str() {
            "application/graphql-response+json" => Media::GraphQl,
            "application/json" | "application/*" | "*/*" => Media::Json,
            _ => continue,
        };
        let weight = parts.find_map(|part| part.strip_prefix("q=")?.parse().ok()).unwrap_or(1.0);
        if weight > best.map_or(0.0, |(_, weight)| weight) {
            best = Some((media, weight));
        }
    }
    if none { Some(Media::Json) } else { best.map(|(media, _)| media) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn accepting(value: &'static str) -> Option<Media> {
        negotiate(&HeaderMap::from_iter([(header::ACCEPT, HeaderValue::from_static(value))]))
    }

    #[test]
    fn the_answer_has_the_form_that_the_client_likes_best() {
        assert_eq!(negotiate(&HeaderMap::new()), Some(Media::Json));
        assert_eq!(accepting("*/*"), Some(Media::Json));
        assert_eq!(
            accepting("application/graphql-response+json, application/json;q=0.9"),
            Some(Media::GraphQl)
        );
        assert_eq!(accepting("application/graphql-response+json;q=0.5, application/json"), Some(Media::Json));
        assert_eq!(
            accepting("text/html, Application/GraphQL-Response+JSON; charset=utf-8"),
            Some(Media::GraphQl)
        );
        assert_eq!(accepting("text/html, application/json;q=0"), None);
    }

    #[test]
    fn only_json_in_utf_8_is_json() {
        let of = |value: &'static str| {
            is_json(&HeaderMap::from_iter([(header::CONTENT_TYPE, HeaderValue::from_static(value))]))
        };
        assert!(of("application/json") && of("Application/JSON; charset=\"UTF-8\""));
        assert!(!of("text/plain") && !of("application/json; charset=latin1") && !of("application/jsonp"));
        assert!(!is_json(&HeaderMap::new()));
    }
}
