//! The WebSocket beneath [`protocol`]: one task a socket, which reads, runs operations and writes in turn.
//!
//! Memory is bounded both ways. Nothing is queued for the client: an operation's stream is polled only once what
//! came before has been written, so a client that reads slowly slows only its own streams, whose resolvers keep
//! the newest or end; one that does not read for as long as a write may take is dropped. Results that are ready together go
//! out in one write. Reading takes its turn after each such write, however busy the streams are.
//!
//! [`protocol`]: super::protocol

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use async_graphql::ServerError;
use axum::extract::ws::{CloseFrame, Message, WebSocket, WebSocketUpgrade};
use axum::extract::{FromRequestParts, Request};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use futures_util::future::{self, BoxFuture};
use futures_util::stream::{AbortHandle, BoxStream, SelectAll, abortable};
use futures_util::{FutureExt, SinkExt, StreamExt};
use tokio::sync::{OwnedSemaphorePermit, oneshot};
use tokio::time::{Instant, Sleep, sleep, timeout};
use tracing::Instrument;

use super::execution::{self, Outcome};
use super::operation::{Parameters, code};
use super::origin::{self, ClientAddress, Shown};
use super::protocol::{Close, Protocol, Step};
use super::{Answers, Public, RequestId};

/// The protocol's name in the upgrade.
const SUBPROTOCOL: &str = "graphql-transport-ws";
/// The most sockets of this process.
pub(super) const MAX_SOCKETS: usize = 50_000;
/// The largest message from a client; as over HTTP.
const MAX_MESSAGE: usize = 256 * 1024;
/// What the library takes in before it breaks off without a word: enough to say so first, to all but the worst.
const MAX_BUFFERED: usize = 2 * MAX_MESSAGE;
/// Each socket holds a buffer of this size for as long as it lives.
const READ_BUFFER: usize = 4096;
/// Results that are ready together are gathered up to this size, then written.
const WRITE_BUFFER: usize = 16 * 1024;
/// How many results one write gathers before reading takes its turn.
const BURST: usize = 64;
/// After how many pings without a sign of life a client is gone.
const SILENT_PINGS: u32 = 3;
/// How long the client may take to answer a close.
const CLOSING: Duration = Duration::from_secs(1);

/// Whether a request wants to become a WebSocket.
pub(super) fn is_asked_for(headers: &HeaderMap) -> bool {
    headers.get(header::UPGRADE).is_some_and(|value| value.as_bytes().eq_ignore_ascii_case(b"websocket"))
}

/// Answers the upgrade and hands the socket to a task of its own.
///
/// A client that does not offer the subprotocol is let in and closed with 4406, since a browser shows a page
/// nothing of an upgrade that is refused.
pub(super) async fn open<G: Answers>(public: Public<G>, request: Request) -> Response {
    let (mut parts, _) = request.into_parts();
    let shown = match origin::shown(&parts.headers, &public.public_url) {
        Ok(shown) => shown,
        Err(error) if code(&error) == Some("UNAUTHENTICATED") => {
            return (StatusCode::UNAUTHORIZED, format!("{}\n", error.message)).into_response();
        }
        Err(error) => return (StatusCode::FORBIDDEN, format!("{}\n", error.message)).into_response(),
    };
    let Ok(permit) = public.sockets.clone().try_acquire_owned() else {
        return (StatusCode::SERVICE_UNAVAILABLE, "too many connections\n").into_response();
    };
    let Ok(ClientAddress(address)) = ClientAddress::from_request_parts(&mut parts, &()).await;
    let upgrade = match WebSocketUpgrade::from_request_parts(&mut parts, &()).await {
        Ok(upgrade) => upgrade,
        Err(rejection) => return rejection.into_response(),
    };
    let upgrade = upgrade
        .protocols([SUBPROTOCOL])
        .read_buffer_size(READ_BUFFER)
        .write_buffer_size(WRITE_BUFFER)
        .max_message_size(MAX_BUFFERED)
        .max_frame_size(MAX_BUFFERED);
    let accepted = upgrade.selected_protocol().is_some();
    // The socket comes back here, so that its task is one of `Tasks`, which a stop waits for.
    let (hand_over, socket) = oneshot::channel();
    let id = parts.extensions.get::<RequestId>().cloned().unwrap_or_else(|| RequestId::new(&public.chance));
    let span = tracing::info_span!("socket", id = &*id.0);
    let connection = Connection { public: public.clone(), id, shown, address, _permit: permit };
    let live = async move {
        if let Ok(socket) = socket.await {
            Session::new(socket, connection).run(accepted).await;
        }
    };
    public.tasks.pass("socket", live.instrument(span));
    upgrade.on_upgrade(async move |socket| {
        let _ = hand_over.send(socket);
    })
}

/// What is known of a connection before its first message.
struct Connection<G> {
    public: Public<G>,
    id: RequestId,
    /// In the headers of the upgrade; `connection_init` may name another token.
    shown: Shown,
    address: Option<std::net::IpAddr>,
    _permit: OwnedSemaphorePermit,
}

/// What came of the operation with this id.
type Answered = (Arc<str>, Outcome);

struct Session<G: Answers> {
    socket: WebSocket,
    connection: Connection<G>,
    protocol: Protocol,
    identifying: Option<BoxFuture<'static, Result<G::Requester, ServerError>>>,
    requester: Option<G::Requester>,
    operations: SelectAll<BoxStream<'static, Answered>>,
    /// How to stop each operation that runs.
    handles: HashMap<String, AbortHandle>,
    /// First the end of the time for `connection_init`, then the next ping.
    timer: std::pin::Pin<Box<Sleep>>,
    silent_pings: u32,
}

/// Why a socket's task ends.
enum End {
    /// With a close frame.
    Close(Close),
    /// The client closed, broke off, or cannot be written to.
    Gone,
}

impl From<axum::Error> for End {
    fn from(_: axum::Error) -> Self {
        Self::Gone
    }
}

/// What happened next on a socket.
enum Event<R> {
    Stopping,
    Message(Option<Result<Message, axum::Error>>),
    Identified(Result<R, ServerError>),
    Answered(Answered),
    Timer,
}

impl<G: Answers> Session<G> {
    fn new(socket: WebSocket, connection: Connection<G>) -> Self {
        let timer = Box::pin(sleep(connection.public.patience.initialisation));
        Self {
            socket,
            connection,
            protocol: Protocol::default(),
            identifying: None,
            requester: None,
            operations: SelectAll::new(),
            handles: HashMap::new(),
            timer,
            silent_pings: 0,
        }
    }

    async fn run(mut self, accepted: bool) {
        let end = if accepted { self.converse().await } else { End::Close(Close::SubprotocolNotAcceptable) };
        // What was running ends here, before the client has had its say about the close.
        self.operations.clear();
        if let End::Close(close) = end {
            self.close(&close).await;
        }
    }

    async fn converse(&mut self) -> End {
        let stopping = self.connection.public.tasks.stopping().clone();
        loop {
            let event = tokio::select! {
                () = stopping.cancelled() => Event::Stopping,
                message = self.socket.recv() => Event::Message(message),
                who = poll_identifying(&mut self.identifying) => Event::Identified(who),
                Some(answered) = self.operations.next() => Event::Answered(answered),
                () = self.timer.as_mut() => Event::Timer,
            };
            let done = match event {
                Event::Stopping => Err(End::Close(Close::Restarting)),
                Event::Message(Some(Ok(message))) => self.receive(message).await,
                Event::Message(_) => Err(End::Gone),
                Event::Identified(who) => self.identified(who).await,
                Event::Answered(first) => self.write_results(first).await,
                Event::Timer => self.tick().await,
            };
            if let Err(end) = done {
                return end;
            }
        }
    }

    async fn receive(&mut self, message: Message) -> Result<(), End> {
        self.silent_pings = 0;
        let step = match message {
            Message::Text(text) if text.len() > MAX_MESSAGE => Step::Close(Close::MessageTooBig),
            Message::Text(text) => self.protocol.receive(text.as_str()),
            Message::Binary(_) => Step::Close(Close::BadRequest),
            // The library has queued the answer to these two; it goes out now.
            Message::Close(_) => return self.flush().await.and(Err(End::Gone)),
            Message::Ping(_) => return self.flush().await,
            Message::Pong(_) => Step::Rest,
        };
        match step {
            Step::Rest => Ok(()),
            Step::Send(text) => self.write(text).await,
            Step::Identify(token) => {
                self.identify(token);
                Ok(())
            }
            Step::Start(id, parameters) => {
                self.start(id, parameters);
                Ok(())
            }
            Step::Stop(id) => {
                self.stop(&id);
                Ok(())
            }
            Step::Close(close) => Err(End::Close(close)),
        }
    }

    /// Looks the token up while messages go on being read, for those that come too early must be refused.
    fn identify(&mut self, token: Option<String>) {
        let graph = self.connection.public.graph.clone();
        let shown = token.map_or_else(|| self.connection.shown.clone(), Shown::Bearer);
        self.identifying = Some(async move { shown.requester(&graph).await }.boxed());
    }

    async fn identified(&mut self, who: Result<G::Requester, ServerError>) -> Result<(), End> {
        self.identifying = None;
        match who {
            Ok(requester) => {
                self.requester = Some(requester);
                self.timer.as_mut().reset(soon(self.connection.public.patience.ping));
                let acknowledgement = self.protocol.welcome();
                self.write(acknowledgement.to_owned()).await
            }
            Err(error) if code(&error) == Some("UNAUTHENTICATED") => Err(End::Close(Close::Forbidden)),
            Err(_) => Err(End::Close(Close::TryAgainLater)),
        }
    }

    fn start(&mut self, operation: String, parameters: Parameters) {
        let Some(requester) = &self.requester else { return };
        let shared: Arc<str> = operation.as_str().into();
        let Connection { public, address, id, .. } = &self.connection;
        let outcomes = execution::outcomes(public, requester, parameters, *address, id);
        let (outcomes, handle) = abortable(outcomes.map(move |outcome| (shared.clone(), outcome)));
        self.handles.insert(operation, handle);
        self.operations.push(outcomes.boxed());
    }

    /// Drops the operation at its next turn, which comes at once.
    fn stop(&mut self, id: &str) {
        if let Some(handle) = self.handles.remove(id) {
            handle.abort();
        }
    }

    /// Writes a result, and with it those that are ready as well.
    async fn write_results(&mut self, first: Answered) -> Result<(), End> {
        let mut answered = Some(first);
        for more in (0..BURST).rev() {
            let Some((id, outcome)) = answered else { break };
            let text = match &outcome {
                Outcome::Next(answer) => self.protocol.next(&id, answer),
                Outcome::Refused(answer) => self.protocol.refuse(&id, answer),
                Outcome::Complete => self.protocol.complete(&id),
            };
            if !matches!(outcome, Outcome::Next(_)) {
                self.stop(&id);
            }
            if let Some(text) = text {
                in_time(self.connection.public.patience.write, self.socket.feed(Message::Text(text.into())))
                    .await?;
            }
            answered = if more > 0 { self.operations.next().now_or_never().flatten() } else { None };
        }
        self.flush().await
    }

    async fn tick(&mut self) -> Result<(), End> {
        if !self.protocol.is_initialised() {
            return Err(End::Close(Close::InitialisationTimeout));
        }
        if self.silent_pings == SILENT_PINGS {
            return Err(End::Gone);
        }
        self.silent_pings += 1;
        self.timer.as_mut().reset(soon(self.connection.public.patience.ping));
        in_time(self.connection.public.patience.write, self.socket.send(Message::Ping(Default::default())))
            .await
    }

    async fn write(&mut self, text: String) -> Result<(), End> {
        in_time(self.connection.public.patience.write, self.socket.send(Message::Text(text.into()))).await
    }

    async fn flush(&mut self) -> Result<(), End> {
        in_time(self.connection.public.patience.write, self.socket.flush()).await
    }

    /// Says why, and waits a moment for the client to answer, so that the reason is not lost on the way.
    async fn close(&mut self, close: &Close) {
        let (code, reason) = close.code_and_reason();
        let frame = CloseFrame { code, reason: reason.into() };
        let _ = timeout(CLOSING, async {
            self.socket.send(Message::Close(Some(frame))).await?;
            while let Some(Ok(_)) = self.socket.recv().await {}
            Ok::<_, axum::Error>(())
        })
        .await;
    }
}

async fn in_time(
    patience: Duration,
    write: impl Future<Output = Result<(), axum::Error>>,
) -> Result<(), End> {
    timeout(patience, write).await.map_err(|_| End::Gone)?.map_err(End::from)
}

/// Never ready while nobody is being identified.
async fn poll_identifying<T>(identifying: &mut Option<BoxFuture<'static, T>>) -> T {
    match identifying {
        Some(identifying) => identifying.await,
        None => future::pending().await,
    }
}

#[expect(clippy::disallowed_methods, reason = "a sleep is told the runtime's own time, which tests can own")]
fn soon(after: Duration) -> Instant {
    Instant::now() + after
}
