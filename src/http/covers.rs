//! Uploads of covers: `PUT /channels/LOC/cover`, with the picture itself as the body.
//!
//! Who asks is known before anything of the body is read, and of many bodies only a few are in memory at a time. What the
//! client says of the picture is not listened to.

use std::sync::Arc;

use async_graphql::ServerError;
use axum::body::{Body, to_bytes};
use axum::extract::{Path, Request, State};
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use serde_json::json;
use tokio::sync::Semaphore;
use tokio::time::timeout;

use super::graphql::status_of_code;
use super::operation::{Answer, code, error};
use super::{Answers, Public, RequestId, origin};
use crate::graphql::Covered;
use crate::media::Unreadable;
use crate::store::Loc;

/// The largest picture. nginx knows the same figure.
const LARGEST: usize = 8 * 1024 * 1024;
/// So many are in memory at a time.
const AT_A_TIME: usize = 4;

/// Turns of those who upload.
pub(super) struct Uploads(Semaphore);

impl Default for Uploads {
    fn default() -> Self {
        Self(Semaphore::new(AT_A_TIME))
    }
}

/// An upload that came to nothing.
struct Refused(StatusCode, Box<ServerError>);

impl From<ServerError> for Refused {
    fn from(error: ServerError) -> Self {
        let status = match code(&error) {
            Some("NOT_FOUND") => StatusCode::NOT_FOUND,
            code => status_of_code(code),
        };
        Self(status, Box::new(error))
    }
}

/// What is wrong with the body.
fn refuse(status: StatusCode, message: &str) -> Refused {
    let mut error = error("BAD_USER_INPUT", message);
    error.extensions.get_or_insert_default().set("field", "body");
    Refused(status, Box::new(error))
}

/// Answers an upload with `{"imageUrl": PATH}`, or with errors in the form that the graph has.
pub(super) async fn put<G: Answers>(
    State(public): State<Arc<Public<G>>>,
    Path(loc): Path<String>,
    request: Request,
) -> Response {
    let id = request.extensions().get::<RequestId>().cloned();
    let id = id.unwrap_or_else(|| RequestId::new(&public.chance));
    let started = public.clock.elapsed();
    let (status, body) = match attempt(&public, &loc, request).await {
        Ok(url) => (StatusCode::OK, json!({"imageUrl": url}).to_string()),
        Err(Refused(status, error)) => (status, Answer::from(*error).with_id(&id).to_json()),
    };
    let milliseconds = public.clock.elapsed().saturating_sub(started).as_millis();
    tracing::info!(status = status.as_u16(), milliseconds, "cover");
    let headers = [
        (header::CONTENT_TYPE, HeaderValue::from_static("application/json; charset=utf-8")),
        (header::CACHE_CONTROL, HeaderValue::from_static("no-store")),
        (header::VARY, HeaderValue::from_static("Authorization, Cookie, Origin")),
    ];
    (status, headers, body).into_response()
}

async fn attempt<G: Answers>(public: &Public<G>, loc: &str, request: Request) -> Result<String, Refused> {
    let (parts, body) = request.into_parts();
    let shown = origin::shown(&parts.headers, &public.public_url)?;
    let requester = shown.requester(&public.graph).await?;
    let loc = loc.parse().map(Loc).map_err(|_| error("NOT_FOUND", "there is no such channel"))?;
    public.graph.may_cover(loc, &requester).await?;
    let turn = public.uploads.0.try_acquire();
    let _turn = turn.map_err(|_| error("UNAVAILABLE", "Too many are uploading; try again."))?;
    let sent = of_body(public, &parts.headers, body).await?;
    match public.graph.cover(loc, sent, &requester).await? {
        Covered::By(url) => Ok(url),
        Covered::Not(why @ Unreadable::NoPicture) => {
            Err(refuse(StatusCode::UNSUPPORTED_MEDIA_TYPE, &why.to_string()))
        }
        Covered::Not(why @ Unreadable::TooLarge) => {
            Err(refuse(StatusCode::UNPROCESSABLE_ENTITY, &why.to_string()))
        }
    }
}

/// The body, which must be of the right size, and be there in time.
async fn of_body<G: Answers>(public: &Public<G>, headers: &HeaderMap, body: Body) -> Result<Bytes, Refused> {
    let too_large = || refuse(StatusCode::PAYLOAD_TOO_LARGE, "The picture is larger than 8 MiB.");
    let announced = headers.get(header::CONTENT_LENGTH).and_then(|length| length.to_str().ok());
    if announced.and_then(|length| length.parse().ok()).is_some_and(|length: usize| length > LARGEST) {
        return Err(too_large());
    }
    match timeout(public.patience.body, to_bytes(body, LARGEST)).await {
        Ok(bytes) => bytes.map_err(|_| too_large()),
        Err(_) => Err(refuse(StatusCode::REQUEST_TIMEOUT, "The picture did not arrive in time.")),
    }
}
