//! Why a request has no answer: a status code, and one sentence that says what to do.

use axum::{
    Json,
    extract::rejection::{JsonRejection, PathRejection, QueryRejection},
    http::StatusCode,
    response::{IntoResponse, Response},
};
use serde::Serialize;

use crate::printable;

/// The longest sentence, in characters: a refused configuration may have many problems.
const LONGEST: usize = 64 << 10;

/// Why there is no answer.
#[derive(Clone, Debug)]
pub(crate) struct Failure {
    status: StatusCode,
    sentence: String,
}

/// A failure as it goes to whoever asked.
#[derive(Serialize)]
struct Body<'a> {
    error: &'a str,
}

/// What was said of a failure, kept with the answer for the audit log.
#[derive(Clone, Debug)]
pub(super) struct Said(pub(super) String);

impl Failure {
    /// What was asked for is repeated in sentences, so it is escaped here, whatever it is.
    pub(super) fn new(status: StatusCode, sentence: &str) -> Self {
        Self {
            status,
            sentence: printable::start(sentence, LONGEST),
        }
    }

    /// A configuration is not taken: a line for each problem, and its place.
    pub(super) fn bad_configuration(error: &anyhow::Error) -> Self {
        let report = format!("{error:#}");
        let cut = report.char_indices().nth(LONGEST);
        let report = &report[..cut.map_or(report.len(), |(end, _)| end)];
        Self {
            status: StatusCode::UNPROCESSABLE_ENTITY,
            sentence: printable::lines(report).into_owned(),
        }
    }

    /// The agent does not do what it is asked for.
    pub(crate) fn refused(error: &anyhow::Error) -> Self {
        Self::new(StatusCode::UNPROCESSABLE_ENTITY, &format!("{error:#}"))
    }

    /// The agent cannot do it now.
    pub(super) fn unavailable(sentence: &str) -> Self {
        Self::new(StatusCode::SERVICE_UNAVAILABLE, sentence)
    }

    /// The agent cannot read what it is asked for; its log says so too.
    pub(crate) fn unreadable(error: &anyhow::Error) -> Self {
        let sentence = format!("{error:#}");
        tracing::error!(error = sentence, "cannot read the kernel side");
        Self::new(StatusCode::INTERNAL_SERVER_ERROR, &sentence)
    }

    /// There is nothing at this path.
    pub(super) fn no_route() -> Self {
        let sentence = "there is nothing at this path: docs/API.md and /v1/openapi.json list what \
                        there is";
        Self::new(StatusCode::NOT_FOUND, sentence)
    }

    /// What is at this path is asked for in another way.
    pub(super) fn no_method() -> Self {
        let sentence =
            "this path does not take this method: the header `allow` says which it takes";
        Self::new(StatusCode::METHOD_NOT_ALLOWED, sentence)
    }

    /// The body holds more than `bytes`.
    pub(super) fn too_large(bytes: usize) -> Self {
        let sentence = format!(
            "the request is larger than {} KiB: send it in parts",
            bytes >> 10
        );
        Self::new(StatusCode::PAYLOAD_TOO_LARGE, &sentence)
    }
}

impl From<JsonRejection> for Failure {
    fn from(rejection: JsonRejection) -> Self {
        let status = rejection.status();
        let text = rejection.body_text();
        // What axum puts before it says no more than the status.
        let cause = text.split_once(": ").map_or(&*text, |(_, cause)| cause);
        let sentence = match rejection {
            JsonRejection::JsonDataError(_) => {
                format!("the request is not as it should be: {cause}")
            }
            JsonRejection::JsonSyntaxError(_) => format!("the request cannot be read: {cause}"),
            JsonRejection::MissingJsonContentType(_) => {
                "send the request with the header `content-type: application/json`".to_owned()
            }
            _ => text,
        };
        Self::new(status, &sentence)
    }
}

impl From<PathRejection> for Failure {
    fn from(rejection: PathRejection) -> Self {
        Self::new(rejection.status(), &rejection.body_text())
    }
}

impl From<QueryRejection> for Failure {
    fn from(rejection: QueryRejection) -> Self {
        let text = rejection.body_text();
        let cause = text.split_once(": ").map_or(&*text, |(_, cause)| cause);
        let sentence = format!("what is behind the `?` is not as it should be: {cause}");
        Self::new(rejection.status(), &sentence)
    }
}

impl IntoResponse for Failure {
    fn into_response(self) -> Response {
        let body = Json(Body {
            error: &self.sentence,
        });
        let mut response = (self.status, body).into_response();
        response.extensions_mut().insert(Said(self.sentence));
        response
    }
}
