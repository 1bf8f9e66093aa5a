//! The graph, as a stand-in: the seam that `http` is written against, over a toy schema.

use std::sync::Arc;
use std::time::Duration;

use async_graphql::{
    Context, ErrorExtensionValues, Object, Request, Response, Schema, ServerError, Subscription,
};
use futures_util::stream::{self, BoxStream, StreamExt};

pub mod scan;

/// Everything that answers documents.
#[derive(Clone)]
pub struct Graph {
    schema: Schema<Query, Mutation, Subscriptions>,
    unready: Option<Arc<str>>,
}

/// Who asks. Resolved once per HTTP request or per socket.
#[derive(Clone)]
pub struct Requester {
    name: Arc<str>,
}

impl Default for Graph {
    fn default() -> Self {
        let schema = Schema::build(Query, Mutation, Subscriptions).disable_suggestions().finish();
        Self { schema, unready: None }
    }
}

impl Graph {
    /// One that says why it cannot serve.
    pub fn that_is_unready(reason: &str) -> Self {
        Self { unready: Some(reason.into()), ..Self::default() }
    }

    /// `token` is the bearer token without its scheme.
    ///
    /// # Errors
    /// A ready answer with a code.
    pub async fn requester(&self, token: Option<&str>) -> Result<Requester, ServerError> {
        match token {
            None => Ok(Requester { name: "nobody".into() }),
            Some(name @ ("mia" | "tom")) => Ok(Requester { name: name.into() }),
            Some(_) => {
                let mut error = ServerError::new("The token is unknown or has expired.", None);
                error
                    .extensions
                    .get_or_insert_with(ErrorExtensionValues::default)
                    .set("code", "UNAUTHENTICATED");
                Err(error)
            }
        }
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
        self.unready.as_deref().map(str::to_owned)
    }
}

struct Query;

#[Object]
impl Query {
    /// Who the server takes you for.
    async fn me(&self, ctx: &Context<'_>) -> String {
        ctx.data_unchecked::<Requester>().name.to_string()
    }

    async fn answer(&self) -> i32 {
        42
    }

    async fn fails(&self) -> async_graphql::Result<Option<i32>> {
        let mut error = async_graphql::Error::new("not here");
        error.extensions.get_or_insert_with(ErrorExtensionValues::default).set("code", "NOT_FOUND");
        Err(error)
    }

    async fn panics(&self) -> i32 {
        if true { panic!("a resolver panicked") } else { 0 }
    }

    async fn waits(&self, milliseconds: u64) -> i32 {
        tokio::time::sleep(Duration::from_millis(milliseconds)).await;
        1
    }

    async fn echo(&self, text: String) -> String {
        text
    }
}

struct Mutation;

#[Object]
impl Mutation {
    async fn sign_in(&self, ctx: &Context<'_>) -> bool {
        ctx.append_http_header("Set-Cookie", "tally_session=mia; HttpOnly; SameSite=Lax; Path=/");
        true
    }
}

struct Subscriptions;

#[Subscription]
impl Subscriptions {
    /// Counts up to a number, at once.
    async fn count(&self, to: i32) -> BoxStream<'static, i32> {
        stream::iter(1..=to).boxed()
    }

    /// Nothing, for ever.
    async fn silence(&self) -> BoxStream<'static, i32> {
        stream::pending().boxed()
    }

    /// As much text as there is time to send.
    async fn flood(&self, bytes: usize) -> BoxStream<'static, String> {
        stream::repeat_with(move || "x".repeat(bytes.min(100_000))).boxed()
    }
}
