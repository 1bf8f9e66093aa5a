//! Which pages of other origins may read what `/graphql` and uploads answer: those that the operator names, to the letter.
//!
//! They speak with bearer tokens. No answer says that credentials are allowed, so a browser neither sends a cookie along
//! nor shows them what one brought; and [`origin`] refuses a cookie from another site whatever the browser does.
//!
//! [`origin`]: super::origin

use std::time::Duration;

use axum::http::{HeaderValue, Method, header};
use tower_http::cors::CorsLayer;

use super::REQUEST_ID;
use crate::config::Origin;

/// How long a browser may remember that it may ask. The browsers' own limits are lower.
const REMEMBERED: Duration = Duration::from_secs(24 * 60 * 60);

/// Speaks to pages of these origins, which ask by these methods; None when there are none, and then nothing at all is said.
pub(super) fn layer<const N: usize>(origins: &[Origin], methods: [Method; N]) -> Option<CorsLayer> {
    let origins: Vec<HeaderValue> = origins.iter().filter_map(|it| it.as_str().parse().ok()).collect();
    let layer = || {
        CorsLayer::new()
            .allow_origin(origins.clone())
            .allow_methods(methods.clone())
            .allow_headers([header::AUTHORIZATION, header::CONTENT_TYPE])
            .expose_headers([REQUEST_ID])
            .max_age(REMEMBERED)
    };
    (!origins.is_empty()).then(layer)
}
