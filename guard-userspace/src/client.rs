//! Asks the running agent over its Unix socket.

use std::{
    io,
    path::{Path, PathBuf},
    time::Duration,
};

use http_body_util::{BodyExt as _, Full, Limited};
use hyper::{Request, StatusCode, body::Bytes, client::conn::http1, http::request::Builder};
use hyper_util::rt::TokioIo;
use serde::{Deserialize, Serialize, de::DeserializeOwned};
use thiserror::Error;
use tokio::{net::UnixStream, time::timeout};

use crate::entries::Done;

/// How long the agent may take to answer.
const PATIENCE: Duration = Duration::from_secs(5);
/// How long it may take for a change: large lists have to be read and laid out.
const CHANGE_PATIENCE: Duration = Duration::from_mins(1);
/// The largest answer, in bytes.
const MAX_ANSWER: usize = 16 << 20;

/// Why there is no answer.
#[derive(Debug, Error)]
pub enum ClientError {
    /// Nobody listens there.
    #[error(
        "no agent answers on {} ({cause}): start one with `guard run`, or name its socket with \
         --socket",
        socket.display()
    )]
    NoAgent {
        /// The socket.
        socket: PathBuf,
        /// What the system said.
        cause: io::Error,
    },
    /// The agent does not do what it was asked for.
    #[error("{0}")]
    Refused(String),
    /// Somebody listens, but answers with an error, or not as an agent does.
    #[error("the agent on {} does not answer as it should: {cause}", socket.display())]
    Answer {
        /// The socket.
        socket: PathBuf,
        /// What went wrong.
        cause: String,
    },
}

/// What the agent on `socket` answers to a GET of `path`.
pub async fn fetch<T: DeserializeOwned>(socket: &Path, path: &str) -> Result<T, ClientError> {
    ask(socket, Request::get(path), Vec::new(), PATIENCE).await
}

/// Asks the agent on `socket` for a change: a POST of `body` to `path`.
pub async fn change<B: Serialize>(
    socket: &Path,
    path: &str,
    body: &B,
) -> Result<Done, ClientError> {
    let body = serde_json::to_vec(body).map_err(|error| ClientError::Refused(error.to_string()))?;
    let request = Request::post(path).header("content-type", "application/json");
    ask(socket, request, body, CHANGE_PATIENCE).await
}

async fn ask<T: DeserializeOwned>(
    socket: &Path,
    request: Builder,
    body: Vec<u8>,
    patience: Duration,
) -> Result<T, ClientError> {
    let wrong = |cause: String| ClientError::Answer {
        socket: socket.to_owned(),
        cause,
    };
    let stream = UnixStream::connect(socket)
        .await
        .map_err(|cause| ClientError::NoAgent {
            socket: socket.to_owned(),
            cause,
        })?;
    let body = timeout(patience, exchange(stream, request, body))
        .await
        .map_err(|_| wrong(format!("nothing came in {} s", patience.as_secs())))?
        .map_err(&wrong)?
        .map_err(ClientError::Refused)?;
    serde_json::from_slice(&body).map_err(|error| wrong(error.to_string()))
}

/// The answer, or in its place why the agent refuses; or what went wrong.
async fn exchange(
    stream: UnixStream,
    request: Builder,
    body: Vec<u8>,
) -> Result<Result<Bytes, String>, String> {
    let text = |error: &dyn std::fmt::Display| error.to_string();
    let (mut sender, connection) = http1::handshake(TokioIo::new(stream))
        .await
        .map_err(|error| text(&error))?;
    let request = request
        .header("host", "guard")
        .body(Full::new(Bytes::from(body)))
        .map_err(|error| text(&error))?;
    let answer = async move {
        let response = sender
            .send_request(request)
            .await
            .map_err(|error| text(&error))?;
        let status = response.status();
        let body = Limited::new(response.into_body(), MAX_ANSWER);
        let body = body
            .collect()
            .await
            .map_err(|error| text(&error))?
            .to_bytes();
        if status.is_success() {
            return Ok(Ok(body));
        }
        let said = said(&body);
        if status == StatusCode::UNPROCESSABLE_ENTITY {
            Ok(Err(said))
        } else {
            Err(format!("HTTP status {status}: {said}"))
        }
    };
    let (answer, _) = tokio::join!(answer, connection);
    answer
}

/// What an agent says of a failure, for people.
fn said(body: &[u8]) -> String {
    /// A failure as the agent writes it.
    #[derive(Deserialize)]
    struct Failure {
        error: String,
    }
    match serde_json::from_slice(body) {
        Ok(Failure { error }) => error,
        Err(_) => String::from_utf8_lossy(body).trim_end().to_owned(),
    }
}
