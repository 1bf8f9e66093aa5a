//! A small graph, for tests of what carries documents rather than of what answers them.

use std::sync::atomic::{AtomicI64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_graphql::{
    Context, Error, ErrorExtensionValues, Object, Request, Response, Schema, ServerError, Subscription,
};
use futures_util::stream::{self, BoxStream, Stream, StreamExt};
use tally::http::{Answers, Asked, Sharing, Told};
use tally::realtime::Keeps;
use tokio::sync::{Semaphore, broadcast};

#[derive(Clone)]
pub(crate) struct Toy {
    schema: Schema<Query, Mutation, Subscriptions>,
    unready: Option<String>,
    /// How many results of `flood` were made so far.
    pub(crate) flooded: Arc<AtomicUsize>,
    /// How many documents were executed so far.
    pub(crate) executed: Arc<AtomicUsize>,
    /// What `gated` waits for.
    pub(crate) gate: Arc<Semaphore>,
    /// How much anybody may have been told; none when answers depend on more than that.
    pub(crate) told: Option<Arc<AtomicI64>>,
    /// Who is no longer what they were; none when nobody can tell.
    pub(crate) outdated: Arc<Mutex<Option<&'static [&'static str]>>>,
    reviews: Arc<AtomicUsize>,
    news: Arc<News>,
}

/// What `news` and `gauge` tell.
struct News {
    told: broadcast::Sender<i32>,
    announced: AtomicUsize,
    floods: AtomicUsize,
}

#[derive(Clone)]
pub(crate) struct Name(String);

impl Default for Name {
    fn default() -> Self {
        Self("nobody".to_owned())
    }
}

impl Default for Toy {
    fn default() -> Self {
        let flooded = Arc::new(AtomicUsize::new(0));
        let news = Arc::new(News {
            told: broadcast::Sender::new(64),
            announced: AtomicUsize::new(0),
            floods: AtomicUsize::new(0),
        });
        let gate = Arc::new(Semaphore::new(0));
        let schema = Schema::build(Query, Mutation, Subscriptions)
            .disable_suggestions()
            .data(flooded.clone())
            .data(gate.clone())
            .data(news.clone())
            .finish();
        Self {
            schema,
            unready: None,
            flooded,
            executed: Arc::default(),
            gate,
            told: None,
            outdated: Arc::default(),
            reviews: Arc::default(),
            news,
        }
    }
}

impl Toy {
    /// Executes a document without anything around it; the size of the answer.
    pub(crate) async fn answer(&self, query: &str, variables: serde_json::Value) -> usize {
        let request = Request::new(query).variables(async_graphql::Variables::from_json(variables));
        let response = self.execute(request, &Name::default()).await;
        serde_json::to_string(&response).map_or(0, |text| text.len())
    }

    /// The same graph behind the library's own HTTP layer.
    pub(crate) fn behind_the_library(&self) -> axum::Router {
        let executor = async_graphql_axum::GraphQL::new(self.schema.clone());
        axum::Router::new().route_service("/graphql", executor)
    }

    /// Lets something happen.
    pub(crate) fn tell(&self, number: i32) {
        let _ = self.news.told.send(number);
    }

    /// How many executions wait for something to happen.
    pub(crate) fn listeners(&self) -> usize {
        self.news.told.receiver_count()
    }

    /// How many floods there are.
    pub(crate) fn floods(&self) -> usize {
        self.news.floods.load(Ordering::Relaxed)
    }

    /// How often something was put into an answer.
    pub(crate) fn announced(&self) -> usize {
        self.news.announced.load(Ordering::Relaxed)
    }

    /// How often it was asked who is no longer what they were.
    pub(crate) fn reviews(&self) -> usize {
        self.reviews.load(Ordering::Relaxed)
    }

    /// One whose answers to nobody in particular are the same until somebody is told of something.
    pub(crate) fn telling() -> Self {
        Self { told: Some(Arc::default()), ..Self::default() }
    }

    pub(crate) fn unready(reason: &str) -> Self {
        Self { unready: Some(reason.to_owned()), ..Self::default() }
    }
}

fn coded(code: &str) -> Option<ErrorExtensionValues> {
    let mut extensions = ErrorExtensionValues::default();
    extensions.set("code", code);
    Some(extensions)
}

fn failing(code: &str) -> Error {
    Error { extensions: coded(code), ..Error::new("as asked") }
}

impl Answers for Toy {
    type Requester = Name;

    async fn requester(&self, token: Option<&str>) -> Result<Name, ServerError> {
        match token {
            None => Ok(Name::default()),
            Some(name @ ("mia" | "tom")) => Ok(Name(name.to_owned())),
            Some("slow") => {
                tokio::time::sleep(Duration::from_millis(300)).await;
                Ok(Name("slow".to_owned()))
            }
            Some("away") => {
                Err(ServerError { extensions: coded("UNAVAILABLE"), ..ServerError::new("away", None) })
            }
            Some(_) => {
                Err(ServerError { extensions: coded("UNAUTHENTICATED"), ..ServerError::new("who?", None) })
            }
        }
    }

    async fn outdated(&self, requesters: &[Arc<Name>]) -> Option<Vec<bool>> {
        self.reviews.fetch_add(1, Ordering::Relaxed);
        let outdated = (*self.outdated.lock().expect("nobody panicked"))?;
        Some(requesters.iter().map(|name| outdated.contains(&name.0.as_str())).collect())
    }

    async fn execute(&self, request: Request, requester: &Name) -> Response {
        self.executed.fetch_add(1, Ordering::Relaxed);
        self.schema.execute(request.data(requester.clone())).await
    }

    fn is_anonymous(requester: &Name) -> bool {
        requester.0 == "nobody"
    }

    fn told(&self) -> Option<i64> {
        self.told.as_ref().map(|told| told.load(Ordering::Relaxed))
    }

    fn sharing(&self, asked: &Asked) -> Sharing {
        let lives = asked.text.contains("news") || asked.text.contains("flood");
        Sharing { is_public: false, keeps: if lives { Keeps::Newest } else { Keeps::All } }
    }

    fn subscribe(&self, asked: Asked, requester: &Name) -> BoxStream<'static, Told> {
        // A gauge has a newest value; what else there is are events.
        let subject = asked.text.contains("gauge").then(uuid::Uuid::nil);
        let mut request = Request::new(&*asked.text).variables(asked.variables);
        request.operation_name = asked.name;
        let responses = self.schema.execute_stream(request.data(requester.clone()));
        responses.map(move |response| Told { subject, response }).boxed()
    }

    async fn unready(&self) -> Option<String> {
        self.unready.clone()
    }
}

struct Query;

#[Object]
impl Query {
    /// Whom the server takes the client for.
    async fn me(&self, ctx: &Context<'_>) -> String {
        ctx.data_unchecked::<Name>().0.clone()
    }

    /// Where the server takes the client to be.
    async fn address(&self, ctx: &Context<'_>) -> String {
        ctx.data_unchecked::<std::net::IpAddr>().to_string()
    }

    async fn fails(&self) -> Result<i32, Error> {
        Err(failing("NOT_FOUND"))
    }

    async fn fails_softly(&self) -> Option<Result<i32, Error>> {
        Some(Err(failing("NOT_FOUND")))
    }

    async fn blurts(&self) -> Result<i32, Error> {
        Err(Error::new("the cause, which is nobody's business"))
    }

    async fn panics(&self, really: Option<bool>) -> i32 {
        assert!(really.is_none(), "as asked");
        1
    }

    async fn waits(&self, milliseconds: i32) -> i32 {
        tokio::time::sleep(Duration::from_millis(milliseconds.unsigned_abs().into())).await;
        milliseconds
    }

    /// Waits until the gate opens.
    async fn gated(&self, ctx: &Context<'_>) -> bool {
        ctx.data_unchecked::<Arc<Semaphore>>().acquire().await.is_ok()
    }

    async fn echo(&self, text: String) -> String {
        text
    }
}

struct Mutation;

#[Object]
impl Mutation {
    async fn sign_in(&self, ctx: &Context<'_>) -> bool {
        ctx.append_http_header("Set-Cookie", "tally_session=mia; HttpOnly");
        ctx.append_http_header("Set-Cookie", "other=1");
        true
    }
}

struct Subscriptions;

#[Subscription]
impl Subscriptions {
    /// Counts up, at once.
    async fn count(&self, to: i32) -> BoxStream<'static, i32> {
        stream::iter(1..=to).boxed()
    }

    /// Nothing, for ever.
    async fn silence(&self) -> BoxStream<'static, i32> {
        stream::pending().boxed()
    }

    /// As much as the client takes.
    async fn flood(&self, ctx: &Context<'_>, bytes: i32) -> BoxStream<'static, String> {
        let flooded = ctx.data_unchecked::<Arc<AtomicUsize>>().clone();
        let bytes = usize::try_from(bytes).unwrap_or(0);
        let flood = Flood::of(ctx.data_unchecked());
        stream::repeat_with(move || {
            let _runs = &flood;
            flooded.fetch_add(1, Ordering::Relaxed);
            "x".repeat(bytes)
        })
        .boxed()
    }

    /// What happens, as it happens.
    async fn news(&self, ctx: &Context<'_>) -> BoxStream<'static, i32> {
        let news = ctx.data_unchecked::<Arc<News>>().clone();
        happens(ctx)
            .inspect(move |_| {
                news.announced.fetch_add(1, Ordering::Relaxed);
            })
            .boxed()
    }

    /// What happened last, behind so many letters.
    async fn gauge(&self, ctx: &Context<'_>, bytes: i32) -> BoxStream<'static, String> {
        let letters = "x".repeat(usize::try_from(bytes).unwrap_or(0));
        happens(ctx).map(move |number| format!("{letters}{}", number)).boxed()
    }

    /// Does not begin.
    async fn refuses(&self) -> Result<BoxStream<'static, i32>, Error> {
        Err(failing("BAD_USER_INPUT"))
    }

    /// Begins, fails once, and goes on.
    async fn stumbles(&self) -> BoxStream<'static, Result<i32, Error>> {
        stream::iter([Err(failing("UNAVAILABLE")), Ok(2), Ok(3)]).boxed()
    }

    /// Begins and breaks.
    async fn breaks(&self) -> BoxStream<'static, i32> {
        stream::iter(1..3).map(|n| if n == 2 { panic!("as asked") } else { n }).boxed()
    }
}

fn happens(ctx: &Context<'_>) -> impl Stream<Item = i32> + Send + use<> {
    let told = ctx.data_unchecked::<Arc<News>>().told.subscribe();
    stream::unfold(told, async |mut told| {
        loop {
            match told.recv().await {
                Ok(number) => break Some((number, told)),
                Err(broadcast::error::RecvError::Lagged(_)) => {}
                Err(broadcast::error::RecvError::Closed) => break None,
            }
        }
    })
}

/// A flood, for as long as it lasts.
struct Flood(Arc<News>);

impl Flood {
    fn of(news: &Arc<News>) -> Self {
        news.floods.fetch_add(1, Ordering::Relaxed);
        Self(news.clone())
    }
}

impl Drop for Flood {
    fn drop(&mut self) {
        self.0.floods.fetch_sub(1, Ordering::Relaxed);
    }
}
