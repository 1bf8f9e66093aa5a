//! The graph, as a stand-in: the seam that `http` is written against.

use async_graphql::{EmptyMutation, EmptySubscription, Object, Request, Response, Schema, ServerError};
use futures_util::stream::{BoxStream, StreamExt};

pub mod scan;

/// Everything that answers documents.
#[derive(Clone)]
pub struct Graph {
    schema: Schema<Query, EmptyMutation, EmptySubscription>,
}

/// Who asks. Resolved once per HTTP request or per socket.
#[derive(Clone)]
pub struct Requester;

impl Default for Graph {
    fn default() -> Self {
        Self { schema: Schema::build(Query, EmptyMutation, EmptySubscription).disable_suggestions().finish() }
    }
}

impl Graph {
    /// `token` is the bearer token without its scheme.
    ///
    /// # Errors
    /// A ready answer with a code.
    pub async fn requester(&self, _token: Option<&str>) -> Result<Requester, ServerError> {
        Ok(Requester)
    }

    /// Queries and mutations. Never fails otherwise than in the response.
    pub async fn execute(&self, request: Request, requester: &Requester) -> Response {
        self.schema.execute(request.data(requester.clone())).await
    }

    /// Any operation, as a stream of responses; a query or mutation gives one.
    pub fn subscribe(&self, request: Request, requester: &Requester) -> BoxStream<'static, Response> {
        self.schema.execute_stream(request.data(requester.clone())).boxed()
    }

    /// What keeps this process from serving, in words; None when all is well.
    pub async fn unready(&self) -> Option<String> {
        None
    }
}

struct Query;

#[Object]
impl Query {
    async fn answer(&self) -> i32 {
        42
    }
}
