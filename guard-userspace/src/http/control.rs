//! The control socket: what is asked of the agent, and what it is told to do. `docs/API.md` is the
//! user's side of it.

use std::{net::IpAddr, sync::Arc};

use axum::{
    Json, Router,
    extract::{Path, State},
    routing::{get, post},
};

use super::{Source, errors::Failure};
use crate::{
    entries::{Banned, Done, Edit, Explanation, List, Listed, Unban},
    findings::Told,
    status::Status,
};

/// An answer, or why there is none.
type Answer<T> = Result<Json<T>, Failure>;

/// What the socket serves.
pub(crate) fn control<S: Source>(source: Arc<S>) -> Router {
    reads().merge(changes()).with_state(source)
}

/// What changes nothing.
fn reads<S: Source>() -> Router<Arc<S>> {
    Router::new()
        .route("/v1/status", get(status::<S>))
        .route("/v1/entries/{list}", get(entries::<S>))
        .route("/v1/bans", get(bans::<S>))
        .route("/v1/events", get(events::<S>))
        .route("/v1/explain/{address}", get(explain::<S>))
}

/// What changes something.
fn changes<S: Source>() -> Router<Arc<S>> {
    Router::new()
        .route("/v1/reload", post(reload::<S>))
        .route("/v1/entries", post(edit::<S>))
        .route("/v1/unban", post(unban::<S>))
}

async fn status<S: Source>(State(source): State<Arc<S>>) -> Answer<Status> {
    let status = source.status();
    status
        .map(Json)
        .map_err(|error| Failure::unreadable(&error))
}

async fn entries<S: Source>(
    State(source): State<Arc<S>>,
    Path(list): Path<List>,
) -> Json<Vec<Listed>> {
    Json(source.entries(list))
}

async fn bans<S: Source>(State(source): State<Arc<S>>) -> Json<Vec<Banned>> {
    Json(source.bans())
}

async fn events<S: Source>(State(source): State<Arc<S>>) -> Json<Vec<Told>> {
    Json(source.events())
}

async fn explain<S: Source>(
    State(source): State<Arc<S>>,
    Path(address): Path<IpAddr>,
) -> Json<Explanation> {
    Json(source.explain(address))
}

async fn reload<S: Source>(State(source): State<Arc<S>>) -> Answer<Done> {
    done(source.reload())
}

async fn edit<S: Source>(State(source): State<Arc<S>>, Json(edit): Json<Edit>) -> Answer<Done> {
    done(source.edit(edit))
}

async fn unban<S: Source>(
    State(source): State<Arc<S>>,
    Json(request): Json<Unban>,
) -> Answer<Done> {
    done(source.unban(&request).map(|()| Done::default()))
}

/// Whether a change is made; what hinders it is for whoever asked.
fn done(done: anyhow::Result<Done>) -> Answer<Done> {
    done.map(Json).map_err(|error| Failure::refused(&error))
}
