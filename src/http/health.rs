//! Whether this process lives, and whether it can serve: for load balancers and operators.

use std::time::Duration;

use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::IntoResponse;
use tokio::time::timeout;

use super::{Answers, Public};

/// How long to look before "not ready" is the answer.
const PATIENCE: Duration = Duration::from_secs(2);

/// 200 for as long as anything can be answered.
pub(super) async fn healthz() -> impl IntoResponse {
    ([(header::CACHE_CONTROL, "no-store")], "ok\n")
}

/// 200 when all that is needed is there; 503 with the reason otherwise, and while stopping.
pub(super) async fn readyz<G: Answers>(State(public): State<std::sync::Arc<Public<G>>>) -> impl IntoResponse {
    let reason = if public.tasks.stopping().is_cancelled() {
        Some("stopping".to_owned())
    } else {
        timeout(PATIENCE, public.graph.unready())
            .await
            .unwrap_or_else(|_| Some("no answer in time".to_owned()))
    };
    let status = if reason.is_some() { StatusCode::SERVICE_UNAVAILABLE } else { StatusCode::OK };
    let text = reason.unwrap_or_else(|| "ready".to_owned());
    (status, [(header::CACHE_CONTROL, "no-store")], format!("{text}\n"))
}
