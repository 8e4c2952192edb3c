//! Asks the running agent over its Unix socket.

use std::{
    io,
    path::{Path, PathBuf},
    time::Duration,
};

use http_body_util::{BodyExt as _, Empty, Limited};
use hyper::{Request, body::Bytes, client::conn::http1};
use hyper_util::rt::TokioIo;
use serde::de::DeserializeOwned;
use thiserror::Error;
use tokio::{net::UnixStream, time::timeout};

/// How long the agent may take to answer.
const PATIENCE: Duration = Duration::from_secs(5);
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
    let body = timeout(PATIENCE, exchange(stream, path))
        .await
        .map_err(|_| wrong(format!("nothing came in {} s", PATIENCE.as_secs())))?
        .map_err(&wrong)?;
    serde_json::from_slice(&body).map_err(|error| wrong(error.to_string()))
}

async fn exchange(stream: UnixStream, path: &str) -> Result<Bytes, String> {
    let text = |error: &dyn std::fmt::Display| error.to_string();
    let (mut sender, connection) = http1::handshake(TokioIo::new(stream))
        .await
        .map_err(|error| text(&error))?;
    let request = Request::get(path)
        .header("host", "guard")
        .body(Empty::<Bytes>::new())
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
            Ok(body)
        } else {
            let said = String::from_utf8_lossy(&body);
            Err(format!("HTTP status {status}: {}", said.trim_end()))
        }
    };
    let (answer, _) = tokio::join!(answer, connection);
    answer
}
