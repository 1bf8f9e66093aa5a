//! What a client is told of a failure: a code that it may branch on, and a sentence for people. Causes go to the
//! log here, and nowhere else.
//!
//! [`ApiError`] has no `Display` on purpose: the library would turn anything that has one into an answer without a
//! code.

use std::sync::Arc;

use async_graphql::{Error, ErrorExtensions};

use crate::auth::{Denied, NotSealedHere, PasswordError};
use crate::ingest::IngestError;
use crate::realtime::LogError;
use crate::store::StoreError;

/// Everything that a resolver can answer instead of data.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum ApiError {
    /// Sign in first.
    Unauthenticated(&'static str),
    /// Signed in, but not allowed.
    Forbidden,
    /// No such thing, or not for this viewer's eyes; `what` says which.
    NotFound { what: &'static str },
    /// An argument cannot be taken; `field` is its path.
    BadInput { field: &'static str, why: String },
    /// Somebody else was first.
    Conflict { field: &'static str, why: String },
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
            Self::NotFound { what } => ("NOT_FOUND", format!("there is no such {what}")),
            Self::BadInput { field, why } => ("BAD_USER_INPUT", format!("{field}: {why}")),
            Self::Conflict { field, why } => ("CONFLICT", format!("{field}: {why}")),
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
        tracing::error!(%error, "a password could not be worked on");
        Self::Internal
    }
}

impl From<NotSealedHere> for ApiError {
    fn from(error: NotSealedHere) -> Self {
        tracing::error!(%error, "is this the data directory that the database belongs to?");
        Self::Internal
    }
}
