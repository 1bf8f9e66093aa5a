//! `graphql-transport-ws`, the state of one connection: what a client's message means, and which text answers.
//!
//! It knows neither sockets nor time nor execution, so that each rule of the protocol can be tested by itself and
//! the transport beneath may be exchanged. Whoever drives it hands in each [`Message`] that arrives, does what the
//! [`Step`] says, and asks it for what runs before anything goes out. It promises that no message is sent for an
//! operation that is not running, and that one id never stands for two operations at a time.

use serde_json::{Map, Value};

use super::operation::{Answer, Parameters, error};

/// The most operations that may run on one connection.
pub(super) const MAX_OPERATIONS: usize = 100;
/// The longest operation id: it is repeated with every answer. Clients send UUIDs or small numbers.
const MAX_ID: usize = 128;

/// An operation's own number: unlike its id, it is never used again on its connection.
pub(super) type Ticket = u32;

/// Why the server closes a connection; the numbers are the protocol's.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Close {
    /// The message was not one of the protocol's.
    BadRequest,
    /// An operation before the acknowledgement.
    Unauthorized,
    /// The token is not good, or the cookie's request is not from this site.
    Forbidden,
    /// The session of whoever opened it is over, or they may more or less than when they did.
    RightsChanged,
    /// The client wants no protocol that this server speaks.
    SubprotocolNotAcceptable,
    /// No `connection_init` in time.
    InitialisationTimeout,
    /// An id that is in use.
    SubscriberExists(String),
    /// A second `connection_init`.
    TooManyInitialisations,
    /// A message larger than what is taken.
    MessageTooBig,
    /// The process stops; another one will take the client.
    Restarting,
    /// Something that is needed is away.
    TryAgainLater,
    /// The client does not read as fast as things happen.
    TooSlow,
    /// Pings without end, or other frames that say nothing.
    Flood,
    /// The bytes were not WebSocket's.
    NotWebSocket,
    /// A text was not UTF-8.
    NotUtf8,
}

/// What a client may say.
#[derive(Debug)]
pub(super) enum Message {
    /// `connection_init`, with its payload.
    Init(Map<String, Value>),
    /// `ping`, with its payload.
    Ping(Map<String, Value>),
    /// `pong`.
    Pong,
    /// `subscribe`, with its id.
    Subscribe(String, Box<Parameters>),
    /// `complete`, with its id.
    Complete(String),
}

impl Message {
    /// None for what is not a message of the protocol.
    pub(super) fn read(text: &str) -> Option<Self> {
        let Ok(Value::Object(mut message)) = serde_json::from_str(text) else { return None };
        let Some(Value::String(kind)) = message.remove("type") else { return None };
        match kind.as_str() {
            "connection_init" => optional_object(&mut message).map(Self::Init),
            "ping" => optional_object(&mut message).map(Self::Ping),
            "pong" => optional_object(&mut message).map(|_| Self::Pong),
            "subscribe" => {
                let id = id_of(&mut message)?;
                let parameters = Parameters::from_json(message.remove("payload")?).ok()?;
                Some(Self::Subscribe(id, Box::new(parameters)))
            }
            "complete" => id_of(&mut message).map(Self::Complete),
            _ => None,
        }
    }
}

/// What the driver has to do about a message. `H` is what it holds an operation by.
#[derive(Debug, PartialEq)]
pub(super) enum Step<H> {
    /// Nothing.
    Rest,
    /// Send this text.
    Send(String),
    /// Find out who holds the token of `connection_init`; without one, whoever opened the connection. Then say
    /// so with [`Protocol::welcome`].
    Identify(Option<String>),
    /// Run this operation.
    Start(Ticket, Box<Parameters>),
    /// Stop what is held by this.
    Stop(H),
    /// Close the connection.
    Close(Close),
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Phase {
    #[default]
    Opened,
    Identifying,
    Acknowledged,
}

/// An operation that runs.
#[derive(Debug)]
pub(super) struct Running<H> {
    pub(super) ticket: Ticket,
    /// Its id as JSON.
    pub(super) id: Box<str>,
    /// What it is held by, once it has begun.
    pub(super) handle: Option<H>,
}

/// One connection's state.
#[derive(Debug)]
pub(super) struct Protocol<H> {
    phase: Phase,
    tickets: Ticket,
    running: Vec<Running<H>>,
}

impl<H> Default for Protocol<H> {
    fn default() -> Self {
        Self { phase: Phase::default(), tickets: 0, running: Vec::new() }
    }
}

impl<H> Protocol<H> {
    /// Takes a message.
    pub(super) fn receive(&mut self, message: Message) -> Step<H> {
        match message {
            Message::Init(payload) => self.initialise(&payload),
            Message::Ping(payload) if payload.is_empty() => Step::Send(r#"{"type":"pong"}"#.to_owned()),
            Message::Ping(payload) => {
                Step::Send(serde_json::json!({"type": "pong", "payload": payload}).to_string())
            }
            Message::Pong => Step::Rest,
            Message::Subscribe(id, parameters) => self.begin(&id, parameters),
            Message::Complete(id) => {
                let id = quoted(&id);
                let place = self.running.iter().position(|running| *running.id == id);
                let ended = place.map(|place| self.running.swap_remove(place));
                ended.and_then(|ended| ended.handle).map_or(Step::Rest, Step::Stop)
            }
        }
    }

    fn initialise(&mut self, payload: &Map<String, Value>) -> Step<H> {
        if self.phase != Phase::Opened {
            return Step::Close(Close::TooManyInitialisations);
        }
        let offered = payload.iter().find(|(key, _)| key.eq_ignore_ascii_case("authorization"));
        let token = match offered.map(|(_, value)| value) {
            None | Some(Value::Null) => None,
            Some(Value::String(value)) => match super::origin::bearer(value) {
                Some(token) => Some(token.to_owned()),
                None => return Step::Close(Close::Forbidden),
            },
            Some(_) => return Step::Close(Close::Forbidden),
        };
        self.phase = Phase::Identifying;
        Step::Identify(token)
    }

    /// The acknowledgement; from now on operations are taken.
    pub(super) fn welcome(&mut self) -> &'static str {
        self.phase = Phase::Acknowledged;
        r#"{"type":"connection_ack"}"#
    }

    /// Whether `connection_init` has been received.
    pub(super) fn is_initialised(&self) -> bool {
        self.phase != Phase::Opened
    }

    fn begin(&mut self, id: &str, parameters: Box<Parameters>) -> Step<H> {
        if self.phase != Phase::Acknowledged {
            return Step::Close(Close::Unauthorized);
        }
        let quoted = quoted(id);
        if self.running.iter().any(|running| *running.id == quoted) {
            return Step::Close(Close::SubscriberExists(id.to_owned()));
        }
        if self.running.len() >= MAX_OPERATIONS {
            let mut error = error("RATE_LIMITED", "Too many operations run on this connection.");
            if let Some(extensions) = &mut error.extensions {
                extensions.set("retryAfterSeconds", 1);
            }
            return Step::Send(refusal(&quoted, &Answer::from(error).errors_to_json()).concat());
        }
        self.tickets = self.tickets.wrapping_add(1);
        // Most connections run one.
        self.running.reserve_exact(1);
        self.running.push(Running { ticket: self.tickets, id: quoted.into(), handle: None });
        Step::Start(self.tickets, parameters)
    }

    /// The operation with that ticket, if it still runs.
    pub(super) fn running(&mut self, ticket: Ticket) -> Option<&mut Running<H>> {
        self.running.iter_mut().find(|running| running.ticket == ticket)
    }

    /// All that runs.
    pub(super) fn all(&mut self) -> impl Iterator<Item = &mut Running<H>> {
        self.running.iter_mut()
    }

    /// Ends an operation; it, if it still ran.
    pub(super) fn end(&mut self, ticket: Ticket) -> Option<Running<H>> {
        let place = self.running.iter().position(|running| running.ticket == ticket)?;
        Some(self.running.swap_remove(place))
    }

    /// Ends all.
    pub(super) fn end_all(&mut self) -> Vec<Running<H>> {
        std::mem::take(&mut self.running)
    }
}

/// The text of a result, in parts; `id` and `payload` are JSON.
pub(super) fn next<'a>(id: &'a str, payload: &'a str) -> [&'a str; 5] {
    [r#"{"id":"#, id, r#","type":"next","payload":"#, payload, "}"]
}

/// The text that says that an operation has given all its results.
pub(super) fn complete(id: &str) -> [&str; 3] {
    [r#"{"id":"#, id, r#","type":"complete"}"#]
}

/// The text that says why an operation cannot be executed; `errors` is a list in JSON.
pub(super) fn refusal<'a>(id: &'a str, errors: &'a str) -> [&'a str; 5] {
    [r#"{"id":"#, id, r#","type":"error","payload":"#, errors, "}"]
}

impl Close {
    /// The number and the reason that are sent with it; a reason has at most 123 bytes.
    pub(super) fn code_and_reason(&self) -> (u16, String) {
        let (code, reason) = match self {
            Self::BadRequest => (4400, "Invalid message"),
            Self::Unauthorized => (4401, "Unauthorized"),
            Self::Forbidden => (4403, "Forbidden"),
            Self::RightsChanged => (4403, "Forbidden: the session is over or its rights have changed"),
            Self::SubprotocolNotAcceptable => (4406, "Subprotocol not acceptable"),
            Self::InitialisationTimeout => (4408, "Connection initialisation timeout"),
            Self::TooManyInitialisations => (4429, "Too many initialisation requests"),
            Self::MessageTooBig => (1009, "Message too big"),
            Self::Restarting => (1012, "restarting"),
            Self::TryAgainLater => (1013, "Try again later"),
            Self::TooSlow => (1013, "Too slow: resume after the cursor of the last event received"),
            Self::Flood => (1008, "Too many pings, pongs or empty fragments"),
            Self::NotWebSocket => (1002, "Not a WebSocket frame"),
            Self::NotUtf8 => (1007, "Not UTF-8"),
            Self::SubscriberExists(id) => {
                let whole = format!("Subscriber for {id} already exists");
                let reason = if whole.len() > 123 { "Subscriber already exists".to_owned() } else { whole };
                return (4409, reason);
            }
        };
        (code, reason.to_owned())
    }
}

/// The payload, which may be absent or null; None when it is something else than an object.
fn optional_object(message: &mut Map<String, Value>) -> Option<Map<String, Value>> {
    match message.remove("payload") {
        None | Some(Value::Null) => Some(Map::new()),
        Some(Value::Object(payload)) => Some(payload),
        Some(_) => None,
    }
}

fn id_of(message: &mut Map<String, Value>) -> Option<String> {
    match message.remove("id") {
        Some(Value::String(id)) if !id.is_empty() && id.len() <= MAX_ID => Some(id),
        _ => None,
    }
}

fn quoted(id: &str) -> String {
    Value::from(id).to_string()
}

#[cfg(test)]
mod tests;
