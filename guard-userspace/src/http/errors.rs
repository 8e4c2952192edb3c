//! Why a request has no answer: a status code, and one sentence that says what to do.

use axum::{
    Json,
    http::StatusCode,
    response::{IntoResponse, Response},
};
use serde::Serialize;

/// Why there is no answer.
#[derive(Debug)]
pub(crate) struct Failure {
    status: StatusCode,
    sentence: String,
}

/// A failure as it goes to whoever asked.
#[derive(Serialize)]
struct Body {
    error: String,
}

impl Failure {
    /// The agent does not do what it is asked for.
    pub(crate) fn refused(error: &anyhow::Error) -> Self {
        Self {
            status: StatusCode::UNPROCESSABLE_ENTITY,
            sentence: format!("{error:#}"),
        }
    }

    /// The agent cannot read what it is asked for; its log says so too.
    pub(crate) fn unreadable(error: &anyhow::Error) -> Self {
        let sentence = format!("{error:#}");
        tracing::error!(error = sentence, "cannot read the kernel side");
        Self {
            status: StatusCode::INTERNAL_SERVER_ERROR,
            sentence,
        }
    }
}

impl IntoResponse for Failure {
    fn into_response(self) -> Response {
        let body = Body {
            error: self.sentence,
        };
        (self.status, Json(body)).into_response()
    }
}
