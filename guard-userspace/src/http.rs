//! What the agent serves: metrics and health over TCP, the status over its Unix socket.

mod serve;

use std::sync::Arc;

use axum::{
    Json, Router,
    extract::State,
    http::{StatusCode, header::CONTENT_TYPE},
    response::{IntoResponse, Response},
    routing::get,
};

use crate::{metrics, status::Status};

pub(crate) use self::serve::serve;

/// What the handlers ask of the agent.
pub(crate) trait Source: Send + Sync + 'static {
    /// The agent at this moment.
    fn status(&self) -> anyhow::Result<Status>;
    /// Whether the program is attached wherever it should be.
    fn is_ready(&self) -> bool;
}

/// Metrics and health.
pub(crate) fn public<S: Source>(source: Arc<S>) -> Router {
    Router::new()
        .route("/metrics", get(serve_metrics::<S>))
        .route("/healthz", get(async || "ok\n"))
        .route("/readyz", get(serve_readiness::<S>))
        .with_state(source)
}

/// The control socket.
pub(crate) fn control<S: Source>(source: Arc<S>) -> Router {
    Router::new()
        .route("/v1/status", get(serve_status::<S>))
        .with_state(source)
}

async fn serve_metrics<S: Source>(State(source): State<Arc<S>>) -> Response {
    match source.status().and_then(|status| metrics::render(&status)) {
        Ok(text) => ([(CONTENT_TYPE, "text/plain; version=0.0.4")], text).into_response(),
        Err(error) => failure(&error),
    }
}

async fn serve_readiness<S: Source>(State(source): State<Arc<S>>) -> Response {
    if source.is_ready() {
        return "ready\n".into_response();
    }
    let text = "not ready: an interface has no program attached, see `guard status`\n";
    (StatusCode::SERVICE_UNAVAILABLE, text).into_response()
}

async fn serve_status<S: Source>(State(source): State<Arc<S>>) -> Response {
    match source.status() {
        Ok(status) => Json(status).into_response(),
        Err(error) => failure(&error),
    }
}

fn failure(error: &anyhow::Error) -> Response {
    tracing::error!(error = format!("{error:#}"), "cannot read the kernel side");
    (StatusCode::INTERNAL_SERVER_ERROR, format!("{error:#}\n")).into_response()
}
