//! The public listener: GraphQL over HTTP and over WebSockets, the web pages, health.
//!
//! It promises that a request of any shape costs a bounded amount of time and memory, that every answer carries
//! an id and the headers which keep browsers from being tricked, and that a stop closes what is open, politely.
//! [`public`] makes the routes and [`serve`] answers on them; `command` calls both.

mod assets;
mod bucket;
mod connections;
mod cors;
mod covers;
mod documents;
mod execution;
mod graphql;
mod health;
mod internal;
mod operation;
mod origin;
mod patience;
mod protocol;
mod responses;
mod websocket;

use std::panic::AssertUnwindSafe;
use std::sync::Arc;

use async_graphql::{Request as Document, Response as Answered, ServerError};
use axum::Router;
use axum::extract::{DefaultBodyLimit, Request, State};
use axum::http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, header};
use axum::middleware::{self, Next};
use axum::response::{IntoResponse, Response};
use axum::routing::{MethodRouter, any, get, put};
use bytes::Bytes;
use futures_util::FutureExt;
use futures_util::stream::BoxStream;

pub use self::connections::serve;
use self::documents::Documents;
pub use self::internal::{Internal, internal};
pub use self::origin::ClientAddress;
pub use self::patience::Patience;
use self::responses::Responses;
#[cfg(feature = "fuzz")]
pub use self::websocket::fuzz;
use crate::ambient::{Chance, Clock};
use crate::config::Origin;
pub use crate::graphql::{Asked, Sharing, Told};
use crate::graphql::{Covered, Graph, Requester};
use crate::lifecycle::Tasks;
use crate::store::Loc;

/// What these routes ask of the graph, so that their tests can bring a small one of their own.
pub trait Answers: Clone + Send + Sync + 'static {
    /// Who asks; resolved once per HTTP request or per socket. By default nobody in particular.
    type Requester: Clone + Default + Send + Sync + 'static;

    /// Whether that is nobody in particular.
    fn is_anonymous(requester: &Self::Requester) -> bool;

    /// Who holds `token`, given without its scheme; the error is ready to be sent.
    fn requester(
        &self,
        token: Option<&str>,
    ) -> impl Future<Output = Result<Self::Requester, ServerError>> + Send;

    /// Which of these, who were somebody in particular when they were found out, are that no longer, or may more or
    /// less than then; None when nobody can tell at present.
    fn outdated(&self, requesters: &[Arc<Self::Requester>])
    -> impl Future<Output = Option<Vec<bool>>> + Send;

    /// Runs a query or a mutation.
    fn execute(
        &self,
        request: Document,
        requester: &Self::Requester,
    ) -> impl Future<Output = Answered> + Send;

    /// How many things have happened that anybody may have been told of; equal queries of nobody in particular may
    /// be answered together while that is the same. None when they may not, since answers depend on more.
    fn told(&self) -> Option<i64>;

    /// How equal subscriptions may be served together.
    fn sharing(&self, asked: &Asked) -> Sharing;

    /// Runs a subscription.
    fn subscribe(&self, asked: Asked, requester: &Self::Requester) -> BoxStream<'static, Told>;

    /// Whether the requester may upload a cover of the channel at that address; it counts as tried. By default there are
    /// no channels.
    fn may_cover(&self, _: Loc, _: &Self::Requester) -> impl Future<Output = Result<(), ServerError>> + Send {
        async { Err(operation::error("NOT_FOUND", "There is no such channel.")) }
    }

    /// Makes what was sent the cover of the channel at that address, for a requester who may.
    fn cover(
        &self,
        _: Loc,
        _: Bytes,
        _: &Self::Requester,
    ) -> impl Future<Output = Result<Covered, ServerError>> + Send {
        async { Err(operation::error("NOT_FOUND", "There is no such channel.")) }
    }

    /// What keeps this process from serving.
    fn unready(&self) -> impl Future<Output = Option<String>> + Send;
}

impl Answers for Graph {
    type Requester = Requester;

    fn is_anonymous(requester: &Requester) -> bool {
        requester.is_anonymous()
    }

    async fn requester(&self, token: Option<&str>) -> Result<Requester, ServerError> {
        Self::requester(self, token).await
    }

    async fn outdated(&self, requesters: &[Arc<Requester>]) -> Option<Vec<bool>> {
        let outdated = Self::outdated(self, requesters).await;
        outdated
            .inspect_err(|error| tracing::warn!(%error, "open sockets' sessions cannot be looked up"))
            .ok()
    }

    async fn execute(&self, request: Document, requester: &Requester) -> Answered {
        Self::execute(self, request, requester).await
    }

    fn told(&self) -> Option<i64> {
        Some(Self::told(self))
    }

    fn sharing(&self, asked: &Asked) -> Sharing {
        Self::sharing(self, asked)
    }

    fn subscribe(&self, asked: Asked, requester: &Requester) -> BoxStream<'static, Told> {
        Self::subscribe(self, asked, requester)
    }

    async fn may_cover(&self, loc: Loc, requester: &Requester) -> Result<(), ServerError> {
        Self::may_cover(self, loc, requester).await
    }

    async fn cover(&self, loc: Loc, sent: Bytes, requester: &Requester) -> Result<Covered, ServerError> {
        Self::cover(self, loc, sent, requester).await
    }

    async fn unready(&self) -> Option<String> {
        Self::unready(self).await
    }
}

/// What the public routes need.
pub struct Public<G: Answers> {
    graph: G,
    tasks: Tasks,
    clock: Clock,
    chance: Chance,
    public_url: Arc<str>,
    cors_origins: Vec<Origin>,
    patience: Patience,
    documents: Documents,
    responses: Arc<Responses>,
    uploads: covers::Uploads,
    sockets: websocket::Sockets<G>,
}

impl<G: Answers> Public<G> {
    /// `public_url` is the base of this site's URLs: pages from there may speak by cookie.
    pub fn new(graph: G, tasks: Tasks, clock: Clock, chance: Chance, public_url: &str) -> Self {
        Self {
            graph,
            tasks,
            clock,
            chance,
            public_url: public_url.into(),
            cors_origins: Vec::new(),
            patience: Patience::default(),
            documents: Documents::default(),
            responses: Arc::default(),
            uploads: covers::Uploads::default(),
            sockets: websocket::Sockets::default(),
        }
    }

    /// The same, waiting otherwise.
    #[must_use]
    pub fn with_patience(self, patience: Patience) -> Self {
        Self { patience, ..self }
    }

    /// The same, whose answers pages of these origins may read as well.
    #[must_use]
    pub fn with_cors_origins(self, cors_origins: &[Origin]) -> Self {
        Self { cors_origins: cors_origins.to_vec(), ..self }
    }

    /// The same, with so many places for the WebSockets of one address.
    #[must_use]
    pub fn with_sockets_per_address(self, most: usize) -> Self {
        let sockets = self.sockets.with_places_for_one(most);
        Self { sockets, ..self }
    }
}

/// The public routes, with everything around them that every answer goes through; and tasks that look after the
/// WebSockets and after what those who opened them may do.
pub fn public<G: Answers>(state: Public<G>) -> Router {
    let state = Arc::new(state);
    state.tasks.keep("sockets", websocket::sweep(Arc::clone(&state)));
    state.tasks.keep("rights", websocket::review(Arc::clone(&state)));
    let origins = &state.cors_origins;
    Router::new()
        .route("/graphql", open_to(any(graphql_door::<G>), origins, [Method::GET, Method::POST]))
        .route("/channels/{loc}/cover", open_to(put(covers::put::<G>), origins, [Method::PUT]))
        .route("/healthz", get(health::healthz))
        .route("/readyz", get(health::readyz::<G>))
        .merge(assets::routes())
        .fallback(assets::missing)
        .layer(DefaultBodyLimit::max(0))
        .layer(middleware::from_fn_with_state(state.clone(), around::<G>))
        .with_state(state)
}

/// What pages of these origins may ask by these methods as well.
fn open_to<S: Clone + Send + Sync + 'static, const N: usize>(
    door: MethodRouter<S>,
    origins: &[Origin],
    methods: [Method; N],
) -> MethodRouter<S> {
    match cors::layer(origins, methods) {
        Some(cors) => door.layer(cors),
        None => door,
    }
}

/// One path, two transports.
async fn graphql_door<G: Answers>(State(public): State<Arc<Public<G>>>, request: Request) -> Response {
    if websocket::is_asked_for(request.headers()) {
        websocket::open(public, request).await
    } else {
        graphql::answer(&public, request).await
    }
}

/// The header that carries a request's id.
const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

/// A request's or a socket's id, which its log lines carry and which a client is told with what went wrong.
#[derive(Clone)]
struct RequestId(Arc<str>);

impl RequestId {
    fn new(chance: &Chance) -> Self {
        let mut text = [0; 32];
        Self((&*chance.opaque_id().simple().encode_lower(&mut text)).into())
    }
}

/// Gives the request an id, turns a panic into an answer, and adds the headers of every answer.
async fn around<G: Answers>(
    State(public): State<Arc<Public<G>>>,
    mut request: Request,
    next: Next,
) -> Response {
    let RequestId(id) = RequestId::new(&public.chance);
    request.extensions_mut().insert(RequestId(id.clone()));
    let span = tracing::info_span!("request", id = &*id);
    let uri = request.uri().clone();
    let answered =
        AssertUnwindSafe(tracing::Instrument::instrument(next.run(request), span)).catch_unwind().await;
    let mut response = answered.unwrap_or_else(|_| {
        tracing::error!(id = &*id, path = uri.path(), "a request's handler panicked");
        let body = serde_json::json!({"errors": [{
            "message": "Something went wrong here.",
            "extensions": {"code": "INTERNAL", "requestId": &*id},
        }]});
        (StatusCode::INTERNAL_SERVER_ERROR, axum::Json(body)).into_response()
    });
    add_headers(response.headers_mut());
    if let Ok(id) = HeaderValue::from_str(&id) {
        response.headers_mut().insert(REQUEST_ID, id);
    }
    response
}

/// What a page of ours may load: nothing from elsewhere.
const POLICY: &str = "default-src 'self'; script-src 'self'; style-src 'self'; img-src 'self' data: blob:; \
    media-src 'self' blob:; connect-src 'self' ws: wss:; worker-src 'self' blob:; object-src 'none'; \
    base-uri 'none'; frame-ancestors 'self'";

fn add_headers(headers: &mut HeaderMap) {
    let always = [
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (header::REFERRER_POLICY, "same-origin"),
        (header::CONTENT_SECURITY_POLICY, POLICY),
        (
            HeaderName::from_static("permissions-policy"),
            "camera=(), microphone=(), geolocation=(), payment=(), usb=(), browsing-topics=()",
        ),
    ];
    for (name, value) in always {
        headers.entry(name).or_insert(HeaderValue::from_static(value));
    }
}
