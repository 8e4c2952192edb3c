//! What the agent serves: metrics and health over TCP, the status over its Unix socket.

mod serve;

use std::{net::IpAddr, sync::Arc};

use axum::{
    Json, Router,
    extract::{Path, State},
    http::{StatusCode, header::CONTENT_TYPE},
    response::{IntoResponse, Response},
    routing::{get, post},
};

use crate::{
    entries::{Banned, Done, Edit, Explanation, List, Listed, Reload, Unban},
    findings::Told,
    metrics,
    status::Status,
};

pub(crate) use self::serve::serve;

/// What the handlers ask of the agent.
pub(crate) trait Source: Send + Sync + 'static {
    /// The agent at this moment.
    fn status(&self) -> anyhow::Result<Status>;
    /// Reads the configuration again and puts it in force.
    fn reload(&self, reload: Reload) -> anyhow::Result<Done>;
    /// Changes a list.
    fn edit(&self, edit: Edit) -> anyhow::Result<Done>;
    /// The entries of a list.
    fn entries(&self, list: List) -> Vec<Listed>;
    /// Who is banned.
    fn bans(&self) -> Vec<Banned>;
    /// Ends bans.
    fn unban(&self, unban: &Unban) -> anyhow::Result<()>;
    /// What decides for packets of an address.
    fn explain(&self, address: IpAddr) -> Explanation;
    /// What was found lately, newest last.
    fn events(&self) -> Vec<Told>;
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
        .route("/v1/reload", post(reload::<S>))
        .route("/v1/entries", post(edit::<S>))
        .route("/v1/entries/{list}", get(entries::<S>))
        .route("/v1/bans", get(bans::<S>))
        .route("/v1/unban", post(unban::<S>))
        .route("/v1/events", get(events::<S>))
        .route("/v1/explain/{address}", get(explain::<S>))
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

async fn reload<S: Source>(State(source): State<Arc<S>>, Json(reload): Json<Reload>) -> Response {
    done(source.reload(reload))
}

async fn edit<S: Source>(State(source): State<Arc<S>>, Json(edit): Json<Edit>) -> Response {
    done(source.edit(edit))
}

async fn entries<S: Source>(State(source): State<Arc<S>>, Path(list): Path<List>) -> Response {
    Json(source.entries(list)).into_response()
}

async fn bans<S: Source>(State(source): State<Arc<S>>) -> Response {
    Json(source.bans()).into_response()
}

async fn events<S: Source>(State(source): State<Arc<S>>) -> Response {
    Json(source.events()).into_response()
}

async fn unban<S: Source>(State(source): State<Arc<S>>, Json(request): Json<Unban>) -> Response {
    done(source.unban(&request).map(|()| Done::default()))
}

async fn explain<S: Source>(State(source): State<Arc<S>>, Path(address): Path<IpAddr>) -> Response {
    Json(source.explain(address)).into_response()
}

/// Whether a change is made; what hinders it is for whoever asked.
fn done(done: anyhow::Result<Done>) -> Response {
    match done {
        Ok(done) => Json(done).into_response(),
        Err(error) => (StatusCode::UNPROCESSABLE_ENTITY, format!("{error:#}\n")).into_response(),
    }
}

fn failure(error: &anyhow::Error) -> Response {
    tracing::error!(error = format!("{error:#}"), "cannot read the kernel side");
    (StatusCode::INTERNAL_SERVER_ERROR, format!("{error:#}\n")).into_response()
}
