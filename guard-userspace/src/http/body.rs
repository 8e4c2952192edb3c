//! What is sent with a request: read whole, bounded, and parsed into what it means.

use axum::{
    Json,
    body::{Body, Bytes},
    extract::{FromRequest, OptionalFromRequest, Request},
    http::{StatusCode, header::CONTENT_TYPE},
};
use http_body_util::{BodyExt as _, LengthLimitError, Limited};
use serde::de::DeserializeOwned;

use super::errors::Failure;

/// All of a body, which may have so many bytes.
pub(super) async fn read(body: Body, most: usize) -> Result<Bytes, Failure> {
    match Limited::new(body, most).collect().await {
        Ok(body) => Ok(body.to_bytes()),
        Err(error) if error.is::<LengthLimitError>() => Err(Failure::too_large(most)),
        Err(error) => Err(Failure::new(
            StatusCode::BAD_REQUEST,
            &format!("the request did not come whole: {error}"),
        )),
    }
}

/// The start of a body, of at least so many bytes if there are; of what has not come whole what came.
pub(super) async fn start(mut body: Body, bytes: usize) -> Vec<u8> {
    let mut start = Vec::new();
    while start.len() < bytes
        && let Some(Ok(frame)) = body.frame().await
    {
        start.extend(frame.into_data().unwrap_or_default());
    }
    start
}

/// What was sent, as JSON. A body that has passed [`read`].
#[derive(Debug)]
pub(super) struct Sent<T>(pub(super) T);

impl<T: DeserializeOwned, S: Send + Sync> FromRequest<S> for Sent<T> {
    type Rejection = Failure;

    async fn from_request(request: Request, state: &S) -> Result<Self, Failure> {
        let Json(value) = <Json<T> as FromRequest<S>>::from_request(request, state).await?;
        Ok(Self(value))
    }
}

/// Where nothing may be sent: neither a content type nor a body.
impl<T: DeserializeOwned, S: Send + Sync> OptionalFromRequest<S> for Sent<T> {
    type Rejection = Failure;

    async fn from_request(request: Request, state: &S) -> Result<Option<Self>, Failure> {
        if request.headers().contains_key(CONTENT_TYPE) {
            return <Self as FromRequest<S>>::from_request(request, state)
                .await
                .map(Some);
        }
        let (_, body) = request.into_parts();
        let is_empty = read(body, 0).await.is_ok();
        let untyped = StatusCode::UNSUPPORTED_MEDIA_TYPE;
        let sentence = "send the request with the header `content-type: application/json`";
        is_empty
            .then_some(None)
            .ok_or_else(|| Failure::new(untyped, sentence))
    }
}
