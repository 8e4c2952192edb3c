//! Metrics and health, for whoever can reach `listen`: nothing here changes anything.

use std::sync::Arc;

use axum::{
    Router,
    extract::State,
    http::{StatusCode, header::CONTENT_TYPE},
    response::{IntoResponse, Response},
    routing::get,
};

use super::{Source, errors::Failure};
use crate::metrics;

/// What `listen` serves.
pub(crate) fn public<S: Source>(source: Arc<S>) -> Router {
    Router::new()
        .route("/metrics", get(serve_metrics::<S>))
        .route("/healthz", get(async || "ok\n"))
        .route("/readyz", get(serve_readiness::<S>))
        .with_state(source)
}

async fn serve_metrics<S: Source>(State(source): State<Arc<S>>) -> Result<Response, Failure> {
    let text = source.status().and_then(|status| metrics::render(&status));
    let text = text.map_err(|error| Failure::unreadable(&error))?;
    Ok(([(CONTENT_TYPE, "text/plain; version=0.0.4")], text).into_response())
}

async fn serve_readiness<S: Source>(State(source): State<Arc<S>>) -> Response {
    if source.is_ready() {
        return "ready\n".into_response();
    }
    let text = "not ready: an interface has no program attached, see `guard status`\n";
    (StatusCode::SERVICE_UNAVAILABLE, text).into_response()
}
