//! The control socket: what is asked of the agent, and what it is told to do. `docs/API.md` is the
//! user's side of it, and `openapi.json` beside this file has every route.

use std::{net::IpAddr, num::NonZeroU16, sync::Arc};

use axum::{
    Json, Router,
    extract::{
        DefaultBodyLimit, Path, Query, State,
        rejection::{PathRejection, QueryRejection},
    },
    http::{StatusCode, header::CONTENT_TYPE},
    response::{IntoResponse, Response},
    routing::{MethodRouter, get, post},
};
use serde::Deserialize;

use super::{
    Source,
    body::Sent,
    change::{self, Change, Gate},
    errors::Failure,
    follow,
};
use crate::{
    control::{Bypass, Reload},
    entries::{Banned, Done, Edit, List, Listed, Unban},
    explanation::Explanation,
    findings::Told,
    printable,
    status::Status,
    talkers::TopTalkers,
};

/// The largest body of a request that changes entries, in bytes: it may name 100,000 of them.
const MAX_ENTRIES_BODY: usize = 16 << 20;
/// What every client of the socket can be made from.
const OPENAPI: &str = include_str!("openapi.json");

/// An answer, or why there is none.
type Answer<T> = Result<Json<T>, Failure>;

/// One thing that can be asked for.
struct Route<S> {
    path: &'static str,
    handler: MethodRouter<Arc<S>>,
    /// What holds for it when it changes something: then it is a POST, else a GET.
    change: Option<Change>,
}

impl<S> Route<S> {
    const fn read(path: &'static str, handler: MethodRouter<Arc<S>>) -> Self {
        Self {
            path,
            handler,
            change: None,
        }
    }

    const fn change(path: &'static str, handler: MethodRouter<Arc<S>>, change: Change) -> Self {
        Self {
            path,
            handler,
            change: Some(change),
        }
    }
}

/// Everything that the socket serves.
fn routes<S: Source>() -> Vec<Route<S>> {
    let of_entries = Change {
        max_body: MAX_ENTRIES_BODY,
        ..Change::USUAL
    };
    // What restores service is done also when it cannot be written down.
    let of_rescue = Change {
        needs_audit: false,
        ..Change::USUAL
    };
    vec![
        Route::read("/v1/status", get(status::<S>)),
        Route::read("/v1/entries/{list}", get(entries::<S>)),
        Route::read("/v1/bans", get(bans::<S>)),
        Route::read("/v1/talkers", get(talkers::<S>)),
        Route::read("/v1/events", get(events::<S>)),
        Route::read("/v1/events/stream", get(follow::follow::<S>)),
        Route::read("/v1/explain/{address}", get(explain::<S>)),
        Route::read("/v1/openapi.json", get(openapi)),
        Route::change("/v1/entries", post(edit::<S>), of_entries),
        Route::change("/v1/unban", post(unban::<S>), Change::USUAL),
        Route::change("/v1/reload", post(reload::<S>), Change::USUAL),
        Route::change("/v1/confirm", post(confirm::<S>), of_rescue),
        Route::change("/v1/bypass", post(bypass::<S>), of_rescue),
    ]
}

/// What the socket serves; every change passes the `gate`.
pub(crate) fn control<S: Source>(source: Arc<S>, gate: &Gate) -> Router {
    let router = routes::<S>()
        .into_iter()
        .fold(Router::new(), |router, route| {
            let handler = match route.change {
                Some(change) => change::guarded(route.handler, gate, change),
                None => route.handler,
            };
            router.route(route.path, handler)
        });
    router
        .fallback(async || Failure::no_route())
        .method_not_allowed_fallback(async || Failure::no_method())
        // The gate has one for each change, and nothing else takes a body.
        .layer(DefaultBodyLimit::disable())
        .with_state(source)
}

async fn status<S: Source>(State(source): State<Arc<S>>) -> Answer<Status> {
    let status = source.status();
    status
        .map(Json)
        .map_err(|error| Failure::unreadable(&error))
}

async fn entries<S: Source>(
    State(source): State<Arc<S>>,
    list: Result<Path<String>, PathRejection>,
) -> Answer<Vec<Listed>> {
    let Path(list) = list?;
    let list = match list.as_str() {
        "allow" => List::Allow,
        "deny" => List::Deny,
        other => {
            let other = printable::start(other, 60);
            let sentence = format!("there is no list `{other}`: ask for allow or deny");
            return Err(Failure::new(StatusCode::NOT_FOUND, &sentence));
        }
    };
    Ok(Json(source.entries(list)))
}

async fn bans<S: Source>(State(source): State<Arc<S>>) -> Json<Vec<Banned>> {
    Json(source.bans())
}

async fn talkers<S: Source>(State(source): State<Arc<S>>) -> Json<TopTalkers> {
    Json(source.talkers())
}

async fn events<S: Source>(State(source): State<Arc<S>>) -> Json<Vec<Told>> {
    Json(source.events())
}

/// What else is asked for beside an address.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct At {
    port: Option<NonZeroU16>,
}

async fn explain<S: Source>(
    State(source): State<Arc<S>>,
    address: Result<Path<String>, PathRejection>,
    at: Result<Query<At>, QueryRejection>,
) -> Answer<Explanation> {
    let Path(address) = address?;
    let Query(At { port }) = at?;
    let address: IpAddr = address.parse().map_err(|_| {
        let shown = printable::start(&address, 60);
        let sentence = format!("`{shown}` is not an IP address: ask for one like 192.0.2.7");
        Failure::new(StatusCode::BAD_REQUEST, &sentence)
    })?;
    Ok(Json(source.explain(address, port.map(NonZeroU16::get))))
}

async fn openapi() -> Response {
    ([(CONTENT_TYPE, "application/json")], OPENAPI).into_response()
}

async fn reload<S: Source>(
    State(source): State<Arc<S>>,
    request: Option<Sent<Reload>>,
) -> Answer<Done> {
    let reload = request.map_or_else(Reload::default, |Sent(reload)| reload);
    source
        .reload(reload)
        .map(Json)
        .map_err(|error| Failure::bad_configuration(&error))
}

/// An object with nothing in it.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Nothing {}

async fn confirm<S: Source>(
    State(source): State<Arc<S>>,
    _: Option<Sent<Nothing>>,
) -> Answer<Done> {
    done(source.confirm())
}

async fn bypass<S: Source>(
    State(source): State<Arc<S>>,
    Sent(request): Sent<Bypass>,
) -> Answer<Done> {
    done(source.bypass(request))
}

async fn edit<S: Source>(State(source): State<Arc<S>>, Sent(edit): Sent<Edit>) -> Answer<Done> {
    done(source.edit(edit))
}

async fn unban<S: Source>(
    State(source): State<Arc<S>>,
    Sent(request): Sent<Unban>,
) -> Answer<Done> {
    done(source.unban(&request).map(|()| Done::default()))
}

/// Whether a change is made; what hinders it is for whoever asked.
fn done(done: anyhow::Result<Done>) -> Answer<Done> {
    done.map(Json).map_err(|error| Failure::refused(&error))
}

#[cfg(test)]
mod tests;
