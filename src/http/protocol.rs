//! `graphql-transport-ws`, the state of one connection: what a client's message means, and which text answers.
//!
//! It knows neither sockets nor time nor execution, so that each rule of the protocol can be tested by itself and
//! the transport beneath may be exchanged. Whoever drives it hands in each text that arrives and does what the
//! [`Step`] says, and asks it for the text of everything that goes out. It promises that no message is sent for
//! an operation that is not running, and that one id never stands for two operations at a time.

use std::collections::HashSet;

use serde_json::{Map, Value};

use super::operation::{Answer, Parameters, error};

/// The most operations that may run on one connection.
pub(super) const MAX_OPERATIONS: usize = 100;
/// The longest operation id: it is repeated with every answer. Clients send UUIDs or small numbers.
const MAX_ID: usize = 128;

/// Why the server closes a connection; the numbers are the protocol's.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Close {
    /// The message was not one of the protocol's.
    BadRequest,
    /// An operation before the acknowledgement.
    Unauthorized,
    /// The token is not good, or the cookie's request is not from this site.
    Forbidden,
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
}

/// What the driver has to do about a message.
#[derive(Debug, PartialEq)]
pub(super) enum Step {
    /// Nothing.
    Rest,
    /// Send this text.
    Send(String),
    /// Find out who holds the token of `connection_init`; without one, whoever opened the connection. Then say
    /// so with [`Protocol::welcome`].
    Identify(Option<String>),
    /// Run this, answering under the id.
    Start(String, Parameters),
    /// Stop what runs under the id.
    Stop(String),
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

/// One connection's state.
#[derive(Debug, Default)]
pub(super) struct Protocol {
    phase: Phase,
    running: HashSet<String>,
}

impl Protocol {
    /// Takes a text message.
    pub(super) fn receive(&mut self, text: &str) -> Step {
        self.understand(text).unwrap_or(Step::Close(Close::BadRequest))
    }

    /// None for what is not a message of the protocol.
    fn understand(&mut self, text: &str) -> Option<Step> {
        let Ok(Value::Object(mut message)) = serde_json::from_str(text) else { return None };
        let Some(Value::String(kind)) = message.remove("type") else { return None };
        match kind.as_str() {
            "connection_init" => Some(self.initialise(&optional_object(&mut message)?)),
            "ping" => {
                let payload = optional_object(&mut message)?;
                Some(Step::Send(match payload.is_empty() {
                    true => r#"{"type":"pong"}"#.to_owned(),
                    false => serde_json::json!({"type": "pong", "payload": payload}).to_string(),
                }))
            }
            "pong" => optional_object(&mut message).map(|_| Step::Rest),
            "subscribe" => {
                let id = id_of(&mut message)?;
                let parameters = Parameters::from_json(message.remove("payload")?).ok()?;
                Some(self.begin(id, parameters))
            }
            "complete" => {
                let id = id_of(&mut message)?;
                Some(if self.running.remove(&id) { Step::Stop(id) } else { Step::Rest })
            }
            _ => None,
        }
    }

    fn initialise(&mut self, payload: &Map<String, Value>) -> Step {
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

    fn begin(&mut self, id: String, parameters: Parameters) -> Step {
        if self.phase != Phase::Acknowledged {
            return Step::Close(Close::Unauthorized);
        }
        if self.running.contains(&id) {
            return Step::Close(Close::SubscriberExists(id));
        }
        if self.running.len() >= MAX_OPERATIONS {
            let mut error = error("RATE_LIMITED", "Too many operations run on this connection.");
            if let Some(extensions) = &mut error.extensions {
                extensions.set("retryAfterSeconds", 1);
            }
            return Step::Send(refusal(&id, &error.into()));
        }
        self.running.insert(id.clone());
        Step::Start(id, parameters)
    }

    /// The text of a result; None when nobody waits for it any more.
    pub(super) fn next(&self, id: &str, answer: &Answer) -> Option<String> {
        let payload = answer.to_json();
        self.running
            .contains(id)
            .then(|| format!(r#"{{"id":{},"type":"next","payload":{payload}}}"#, quoted(id)))
    }

    /// Ends an operation that cannot be executed; the text that says why.
    pub(super) fn refuse(&mut self, id: &str, answer: &Answer) -> Option<String> {
        self.running.remove(id).then(|| refusal(id, answer))
    }

    /// Ends an operation that has given all its results; the text that says so.
    pub(super) fn complete(&mut self, id: &str) -> Option<String> {
        self.running.remove(id).then(|| format!(r#"{{"id":{},"type":"complete"}}"#, quoted(id)))
    }
}

impl Close {
    /// The number and the reason that are sent with it; a reason has at most 123 bytes.
    pub(super) fn code_and_reason(&self) -> (u16, String) {
        let (code, reason) = match self {
            Self::BadRequest => (4400, "Invalid message"),
            Self::Unauthorized => (4401, "Unauthorized"),
            Self::Forbidden => (4403, "Forbidden"),
            Self::SubprotocolNotAcceptable => (4406, "Subprotocol not acceptable"),
            Self::InitialisationTimeout => (4408, "Connection initialisation timeout"),
            Self::TooManyInitialisations => (4429, "Too many initialisation requests"),
            Self::MessageTooBig => (1009, "Message too big"),
            Self::Restarting => (1012, "restarting"),
            Self::TryAgainLater => (1013, "Try again later"),
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

fn refusal(id: &str, answer: &Answer) -> String {
    serde_json::json!({"id": id, "type": "error", "payload": answer.errors}).to_string()
}

fn quoted(id: &str) -> String {
    Value::from(id).to_string()
}

#[cfg(test)]
mod tests;
