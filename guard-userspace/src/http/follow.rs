//! Events as they come, a JSON object a line, for as long as somebody reads.

use std::{convert::Infallible, sync::Arc};

use axum::{
    Extension,
    body::Body,
    extract::State,
    http::header::CONTENT_TYPE,
    response::{IntoResponse as _, Response},
};
use bytes::Bytes;
use futures_util::stream;

use super::{Source, errors::Failure, serve::Deadline};

pub(super) async fn follow<S: Source>(
    State(source): State<Arc<S>>,
    Extension(deadline): Extension<Deadline>,
) -> Result<Response, Failure> {
    let Some(follower) = source.follow() else {
        return Err(Failure::unavailable(
            "as many follow the events as may: end another `guard events --follow`",
        ));
    };
    deadline.lift();
    let lines = stream::unfold(follower, async |mut follower| {
        let line = follower.next().await?;
        Some((Ok::<Bytes, Infallible>(line), follower))
    });
    let body = Body::from_stream(lines);
    Ok(([(CONTENT_TYPE, "application/x-ndjson")], body).into_response())
}
