//! What a client is told of a failure: a code that it may branch on, and a sentence for people. Causes go to the
//! log here, and nowhere else.
//!
//! [`ApiError`] has no `Display` on purpose: the library would turn anything that has one into an answer without a
//! code.

use std::sync::Arc;

use async_graphql::{Error, ErrorExtensions, Response, ServerError, Value};

use crate::auth::{Denied, NotSealedHere, PasswordError, Unread, Wait};
use crate::ingest::IngestError;
use crate::media::{Uncovered, Uncut, Unsettled};
use crate::realtime::LogError;
use crate::store::StoreError;

/// Everything that a resolver can answer instead of data.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum ApiError {
    /// Sign in first.
    Unauthenticated(&'static str),
    /// Signed in, but not allowed.
    Forbidden,
    /// The right password of somebody who is shut out.
    Suspended,
    /// No such thing, or not for this viewer's eyes; `what` says which.
    NotFound { what: &'static str },
    /// An argument cannot be taken; `field` is its path.
    BadInput { field: &'static str, why: String },
    /// Somebody else was first.
    Conflict { field: &'static str, why: String },
    /// Too often; after so many seconds.
    RateLimited { seconds: u64 },
    /// Not now: what we need is away.
    Unavailable,
    /// Our fault; the log knows more.
    Internal,
}

pub(super) type Result<T> = std::result::Result<T, ApiError>;

impl ApiError {
    /// An argument that cannot be taken.
    pub(super) fn bad(field: &'static str, why: impl Into<String>) -> Self {
        Self::BadInput { field, why: why.into() }
    }

    fn parts(&self) -> (&'static str, String) {
        match self {
            Self::Unauthenticated(why) => ("UNAUTHENTICATED", (*why).to_owned()),
            Self::Forbidden => ("FORBIDDEN", "you may not do this".to_owned()),
            Self::Suspended => ("FORBIDDEN", "this account is suspended".to_owned()),
            Self::NotFound { what } => ("NOT_FOUND", format!("there is no such {what}")),
            Self::BadInput { field, why } => ("BAD_USER_INPUT", format!("{field}: {why}")),
            Self::Conflict { field, why } => ("CONFLICT", format!("{field}: {why}")),
            Self::RateLimited { seconds } => {
                ("RATE_LIMITED", format!("too many attempts; try again in {seconds} s"))
            }
            Self::Unavailable => ("UNAVAILABLE", "the service cannot answer now; try again".to_owned()),
            Self::Internal => ("INTERNAL", "something went wrong here".to_owned()),
        }
    }
}

impl From<ApiError> for Error {
    fn from(error: ApiError) -> Self {
        let (code, message) = error.parts();
        Error::new(message).extend_with(|_, extensions| {
            extensions.set("code", code);
            if let ApiError::BadInput { field, .. } | ApiError::Conflict { field, .. } = &error {
                extensions.set("field", *field);
            }
            if let ApiError::RateLimited { seconds } = &error {
                extensions.set("retryAfterSeconds", *seconds);
            }
        })
    }
}

impl From<Denied> for ApiError {
    fn from(denied: Denied) -> Self {
        match denied {
            Denied::Unauthenticated => Self::Unauthenticated("sign in first"),
            Denied::Forbidden => Self::Forbidden,
        }
    }
}

impl From<&StoreError> for ApiError {
    fn from(error: &StoreError) -> Self {
        tracing::error!(%error, "the store failed");
        match error {
            StoreError::Away(_) => Self::Unavailable,
            StoreError::Query(_) => Self::Internal,
        }
    }
}

impl From<StoreError> for ApiError {
    fn from(error: StoreError) -> Self {
        Self::from(&error)
    }
}

impl From<Arc<StoreError>> for ApiError {
    fn from(error: Arc<StoreError>) -> Self {
        Self::from(&*error)
    }
}

impl From<IngestError> for ApiError {
    fn from(IngestError::Store(error): IngestError) -> Self {
        error.into()
    }
}

impl From<LogError> for ApiError {
    fn from(error: LogError) -> Self {
        match error {
            LogError::Refused => {
                Self::bad("after", "the cursor is unknown here or too old; load the list again")
            }
            LogError::Store(error) => error.into(),
        }
    }
}

impl From<PasswordError> for ApiError {
    fn from(error: PasswordError) -> Self {
        match error {
            PasswordError::Crowded => Self::Unavailable,
            PasswordError::Failed(_) => {
                tracing::error!(%error, "a password could not be worked on");
                Self::Internal
            }
        }
    }
}

impl From<Wait> for ApiError {
    fn from(Wait(wait): Wait) -> Self {
        // Whoever waits for whole seconds has waited long enough.
        Self::RateLimited { seconds: wait.as_nanos().div_ceil(1_000_000_000) as u64 }
    }
}

impl From<Uncut> for ApiError {
    fn from(error: Uncut) -> Self {
        match error {
            Uncut::Nothing => Self::NotFound { what: "stream on the air" },
            Uncut::Busy => Self::Unavailable,
            Uncut::Failed(_) => {
                tracing::error!(%error, "no clip could be cut");
                Self::Internal
            }
        }
    }
}

impl From<Uncovered> for ApiError {
    fn from(error: Uncovered) -> Self {
        match error {
            Uncovered::Busy => Self::Unavailable,
            Uncovered::Unreadable(why) => Self::bad("body", why.to_string()),
            Uncovered::Failed(_) => {
                tracing::error!(%error, "no cover could be made");
                Self::Internal
            }
        }
    }
}

impl From<Unsettled> for ApiError {
    fn from(error: Unsettled) -> Self {
        match error {
            Unsettled::Store(error) => error.into(),
            Unsettled::Disk(_) => {
                tracing::error!(%error, "recordings are not where they belong");
                Self::Internal
            }
        }
    }
}

impl From<Unread> for ApiError {
    fn from(error: Unread) -> Self {
        match error {
            Unread::TooMany(wait) => wait.into(),
            Unread::Password(error) => error.into(),
        }
    }
}

impl From<NotSealedHere> for ApiError {
    fn from(error: NotSealedHere) -> Self {
        tracing::error!(%error, "is this the data directory that the database belongs to?");
        Self::Internal
    }
}

/// Whether something in an answer is missing that can be had later.
pub(super) fn is_unavailable(response: &Response) -> bool {
    let unavailable = Some(Value::from("UNAVAILABLE"));
    let code = |error: &ServerError| error.extensions.as_ref().and_then(|it| it.get("code").cloned());
    response.errors.iter().any(|error| code(error) == unavailable)
}

/// Says which argument a value was given to that a scalar would not have: the scalar does not know, but its error
/// tells where in the document the value stands, and an argument's name stands right before that.
pub(super) fn name_field(error: &mut ServerError, document: &str) {
    let Some(extensions) = &mut error.extensions else { return };
    let refused = extensions.get("code") == Some(&Value::from("BAD_USER_INPUT"));
    if let (true, None, Some(place)) = (refused, extensions.get("field"), error.locations.first()) {
        let before = document.lines().take(place.line).enumerate().map(|(number, line)| {
            let whole = number + 1 < place.line;
            line.chars().take(if whole { usize::MAX } else { place.column - 1 }).collect::<String>()
        });
        let before = before.collect::<Vec<_>>().join("\n");
        // A list's items stand behind its bracket and their commas.
        let before = before.rsplit_once(':').map_or("", |(before, _)| before).trim_end();
        let start = before.rfind(|character: char| !character.is_alphanumeric() && character != '_');
        extensions.set("field", before[start.map_or(0, |start| start + 1)..].to_owned());
    }
}

#[cfg(test)]
mod tests {
    use async_graphql::Pos;

    use super::*;

    #[test]
    fn a_refused_value_is_named_by_its_argument() {
        for (document, line, column, field) in [
            (r#"{ channel(loc: "x") { id } }"#, 1, 16, "loc"),
            ("query ($l: UUID!) {\n  channel(loc: $l) { id }\n}", 2, 16, "loc"),
            (r#"subscription { viewerCountChanged(locs: ["é", "x"]) { at } }"#, 1, 47, "locs"),
        ] {
            let mut error =
                Error::new("no").extend_with(|_, extensions| extensions.set("code", "BAD_USER_INPUT"));
            let mut server_error = error.clone().into_server_error(Pos { line, column });
            name_field(&mut server_error, document);
            error = error.extend_with(|_, extensions| extensions.set("field", field));
            assert_eq!(server_error.extensions, error.extensions, "{document}");
        }
    }
}
