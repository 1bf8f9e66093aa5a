//! The graph: one file per noun of the product, with its type, queries, mutations and subscriptions. Resolvers know
//! the store, the log, presence and ingest; they know nothing of sockets. `http` mounts [`Graph`].

mod audience;
mod audit;
#[cfg(feature = "bench")]
mod bench;
mod channel;
mod channels;
mod clip;
mod context;
mod cookie;
mod cover;
mod error;
mod event;
#[cfg(feature = "fuzz")]
mod fuzz;
mod health;
mod ingest;
mod input;
mod invitation;
mod load;
mod node;
mod once;
mod page;
mod playback;
mod price;
mod recording;
mod recording_list;
mod scalar;
pub mod scan;
mod session;
mod simulcast;
mod source;
mod status;
mod stream;
mod stream_list;
mod suspension;
mod topic;
mod user;
mod user_list;
mod viewer_count;

use std::sync::Arc;

use async_graphql::dataloader::DataLoader;
use async_graphql::parser::types::ExecutableDocument;
use async_graphql::{
    MergedObject, MergedSubscription, Pos, Request, Response, Schema, SchemaBuilder, ServerError,
    ValidationMode, Value, Variables,
};
use futures_util::stream::BoxStream;
use tokio::sync::Semaphore;

use crate::auth::{SessionToken, Viewer};
use crate::store::StoreError;
use error::ApiError;
use load::Loads;

#[cfg(feature = "bench")]
pub use bench::{Emission, emit};
pub use context::{Parts, Requester};
pub use cover::Covered;
#[cfg(feature = "fuzz")]
pub use fuzz::fuzz;
pub use source::{Asked, Sharing, Told};

/// Deeper than anything sensible; graphql-js' introspection is 15 deep and must pass.
const DEEPEST: usize = 20;
/// What a document may cost: the dearest of these take less than 20 ms of processor, PostgreSQL's included. A full page of
/// channels with everything that is around each costs a sixth.
const DEAREST: usize = 10_000;
/// What a subscription may cost, which is executed for each of its events: a hundred of them on one socket, each with four
/// events a second, then take less than one processor.
const DEAREST_EVENT: usize = 2_000;

/// The root of all queries.
#[derive(MergedObject, Default)]
#[graphql(name = "Query")]
struct Query(
    node::NodeQuery,
    user::UserQuery,
    user_list::UserListQuery,
    topic::TopicQuery,
    channel::ChannelQuery,
    stream_list::StreamQuery,
    recording_list::RecordingQuery,
    audit::AuditQuery,
    health::HealthQuery,
    status::StatusQuery,
);

/// The root of all mutations. One at a time; each has one `input` and answers with what it changed.
#[derive(MergedObject, Default)]
#[graphql(name = "Mutation")]
struct Mutation(
    user::UserMutation,
    session::SessionMutation,
    suspension::SuspensionMutation,
    topic::TopicMutation,
    channels::ChannelMutation,
    invitation::InvitationMutation,
    recording::RecordingMutation,
    clip::ClipMutation,
    simulcast::SimulcastMutation,
    stream::StreamMutation,
    playback::PlaybackMutation,
);

/// The root of all subscriptions, over `graphql-transport-ws`.
#[derive(MergedSubscription, Default)]
#[graphql(name = "Subscription")]
struct Subscription(
    event::EventSubscription,
    viewer_count::ViewerCountSubscription,
    health::HealthSubscription,
    recording::RecordingSubscription,
    simulcast::SimulcastSubscription,
    #[cfg(feature = "bench")] bench::BenchSubscription,
);

/// Everything that answers documents; cloned freely.
#[derive(Clone)]
pub struct Graph {
    /// Executes what was validated.
    schema: Schema<Query, Mutation, Subscription>,
    /// Validates.
    validating: Schema<Query, Mutation, Subscription>,
    /// Prices what is valid.
    pricing: Schema<Query, Mutation, Subscription>,
    parts: Arc<Parts>,
    /// Whose turn it is to open a subscription.
    openings: Arc<Semaphore>,
}

/// The schema in GraphQL's own language, as `schema.graphql` holds it.
pub fn sdl() -> String {
    builder().finish().sdl()
}

fn builder() -> SchemaBuilder<Query, Mutation, Subscription> {
    Schema::build(Query::default(), Mutation::default(), Subscription::default())
        .limit_complexity(DEAREST)
        .disable_suggestions()
}

fn validating() -> Schema<Query, Mutation, Subscription> {
    builder().limit_depth(DEEPEST).extension(price::Pricing).finish()
}

fn pricing() -> Schema<Query, Mutation, Subscription> {
    builder().validation_mode(ValidationMode::Fast).extension(price::Pricing).finish()
}

impl Graph {
    /// A graph over these parts.
    pub fn new(parts: Parts) -> Self {
        Self {
            schema: builder().validation_mode(ValidationMode::Fast).finish(),
            validating: validating(),
            pricing: pricing(),
            parts: Arc::new(parts),
            openings: Arc::new(Semaphore::new(source::OPENINGS)),
        }
    }

    /// Who holds a session's token; nobody in particular without one.
    ///
    /// # Errors
    /// A ready answer: `UNAUTHENTICATED` when the token is unknown or its session over, `UNAVAILABLE` when that
    /// cannot be found out.
    pub async fn requester(&self, token: Option<&str>) -> Result<Requester, ServerError> {
        let Some(text) = token else { return Ok(Requester::default()) };
        let refused = || server_error(ApiError::Unauthenticated("this session is over; sign in again"));
        let token: SessionToken = text.parse().map_err(|_| refused())?;
        let session = self.parts.store.session(&token.hash(), self.parts.clock.now()).await;
        match session.map_err(|error| server_error(error.into()))? {
            Some(signed_in) => Ok(Requester { viewer: Viewer::User(signed_in.user), token: Some(token) }),
            None => Err(refused()),
        }
    }

    /// Which of these are no longer who they were when they were found out: their session is over, or their role is
    /// another one.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn outdated(&self, requesters: &[Arc<Requester>]) -> Result<Vec<bool>, StoreError> {
        let hash = |it: &Arc<Requester>| it.token.as_ref().map(SessionToken::hash);
        let hashes: Vec<Option<[u8; 32]>> = requesters.iter().map(hash).collect();
        let mut asked: Vec<[u8; 32]> = hashes.iter().copied().flatten().collect();
        asked.sort_unstable();
        asked.dedup();
        let held = self.parts.store.sessions_that_hold(&asked, self.parts.clock.now()).await?;
        let now = |hash: &Option<[u8; 32]>| hash.as_ref().and_then(|hash| held.get(hash.as_slice()).copied());
        let then = requesters.iter().map(|it| it.viewer.role());
        Ok(then.zip(&hashes).map(|(then, hash)| then != now(hash)).collect())
    }

    /// Runs a query or a mutation. What goes wrong is in the response.
    pub async fn execute(&self, mut request: Request, requester: &Requester) -> Response {
        let document = request.query.clone();
        let (name, variables) = (request.operation_name.clone(), request.variables.clone());
        let priced = match request.parsed_query() {
            Ok(parsed) => self.price(parsed, name.as_deref(), &variables, &document).await,
            Err(error) => return Response::from_errors(vec![error]),
        };
        let cost = match priced {
            Ok(cost) => cost,
            Err(refused) => return refused,
        };
        let loader = load::loader(&self.parts.store);
        let mut response = self.schema.execute(self.prepare(request, requester, loader)).await;
        response.errors.iter_mut().for_each(|error| error::name_field(error, &document));
        response.extension("cost", Value::from(cost))
    }

    /// Validates a document with its variables, and says what it costs; `text` is the document's.
    ///
    /// # Errors
    /// The whole answer, when it is not valid or costs too much.
    async fn price(
        &self,
        document: &ExecutableDocument,
        name: Option<&str>,
        variables: &Variables,
        text: &str,
    ) -> Result<usize, Response> {
        let enquiry = |document| price::enquiry(document, name, variables);
        let mut response = self.validating.execute(enquiry(document.clone())).await;
        if response.errors.is_empty() {
            response = self.pricing.execute(enquiry(price::written_out(document))).await;
        }
        if response.errors.is_empty() {
            return Ok(price::read(&response));
        }
        response.errors.iter_mut().for_each(|error| error::name_field(error, text));
        Err(response)
    }

    /// The number of the last event that anybody may have been told of. Whatever is read once this is known was
    /// not read before that event.
    pub fn told(&self) -> i64 {
        self.parts.log.told()
    }

    /// How equal subscriptions may be served together.
    pub fn sharing(&self, asked: &Asked) -> Sharing {
        source::sharing(asked)
    }

    /// Runs a subscription.
    pub fn subscribe(&self, asked: Asked, requester: &Requester) -> BoxStream<'static, Told> {
        source::subscribe(self, asked, requester)
    }

    /// What keeps this process from serving, in words; `None` when all is well.
    pub async fn unready(&self) -> Option<String> {
        match self.parts.store.ping().await {
            Ok(()) => None,
            Err(error) => {
                tracing::warn!(%error, "not ready");
                Some("the database is away".to_owned())
            }
        }
    }

    fn prepare(&self, request: Request, requester: &Requester, loader: Arc<DataLoader<Loads>>) -> Request {
        request.data(Arc::clone(&self.parts)).data(requester.clone()).data(loader)
    }
}

fn server_error(error: ApiError) -> ServerError {
    async_graphql::Error::from(error).into_server_error(Pos::default())
}
