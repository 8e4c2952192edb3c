//! Asks the running agent over its Unix socket.

mod lines;

use std::{
    io,
    path::{Path, PathBuf},
    time::Duration,
};

use bytes::Bytes;
use http_body_util::{BodyExt as _, Full, Limited};
use hyper::{
    Request, Response, StatusCode, body::Incoming, client::conn::http1, http::request::Builder,
};
use hyper_util::rt::TokioIo;
use serde::{Deserialize, Serialize, de::DeserializeOwned};
use thiserror::Error;
use tokio::{net::UnixStream, spawn, time::timeout};

pub use self::lines::Lines;
use crate::{entries::Done, printable};

/// How long the agent may take to answer.
const PATIENCE: Duration = Duration::from_secs(5);
/// How long it may take for a change: large lists have to be read and laid out.
const CHANGE_PATIENCE: Duration = Duration::from_mins(1);
/// The largest answer, in bytes: a list may have a million entries.
const MAX_ANSWER: usize = 256 << 20;

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
    /// Somebody may listen there, but not to this user.
    #[error(
        "this user may not use {}: ask as root, or as a member of the group that the agent was \
         given with --socket-group",
        socket.display()
    )]
    Forbidden {
        /// The socket.
        socket: PathBuf,
    },
    /// The agent does not do what it is asked for, as that is not right.
    #[error("{0}")]
    Refused(String),
    /// The agent does not do what it is asked for, for another reason.
    #[error("{0}")]
    Failed(String),
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

/// What the agent on `socket` answers to a GET of `path`, line by line for as long as it goes on.
pub async fn follow(socket: &Path, path: &str) -> Result<Lines, ClientError> {
    let asked = request(socket, Request::get(path), Vec::new());
    let response = timeout(PATIENCE, asked)
        .await
        .map_err(|_| too_late(socket, PATIENCE))??;
    if !response.status().is_success() {
        let (status, body) = timeout(PATIENCE, whole(socket, response))
            .await
            .map_err(|_| too_late(socket, PATIENCE))??;
        return Err(refusal(socket, status, &body));
    }
    Ok(Lines::new(response.into_body()))
}

async fn ask<T: DeserializeOwned>(
    socket: &Path,
    builder: Builder,
    body: Vec<u8>,
    patience: Duration,
) -> Result<T, ClientError> {
    let exchange = async {
        let response = request(socket, builder, body).await?;
        whole(socket, response).await
    };
    let (status, body) = timeout(patience, exchange)
        .await
        .map_err(|_| too_late(socket, patience))??;
    if !status.is_success() {
        return Err(refusal(socket, status, &body));
    }
    serde_json::from_slice(&body).map_err(|error| wrong(socket, &error))
}

/// Sends a request, and takes the head of the answer.
async fn request(
    socket: &Path,
    builder: Builder,
    body: Vec<u8>,
) -> Result<Response<Incoming>, ClientError> {
    let stream = UnixStream::connect(socket).await.map_err(|cause| {
        let socket = socket.to_owned();
        match cause.kind() {
            io::ErrorKind::PermissionDenied => ClientError::Forbidden { socket },
            _ => ClientError::NoAgent { socket, cause },
        }
    })?;
    let (mut sender, connection) = http1::handshake(TokioIo::new(stream))
        .await
        .map_err(|error| wrong(socket, &error))?;
    // What goes wrong with it is told by the answer, too.
    spawn(connection);
    let request = builder
        .header("host", "guard")
        .body(Full::new(Bytes::from(body)))
        .map_err(|error| wrong(socket, &error))?;
    let response = sender.send_request(request).await;
    response.map_err(|error| wrong(socket, &error))
}

/// The status of an answer and all of its body.
async fn whole(
    socket: &Path,
    response: Response<Incoming>,
) -> Result<(StatusCode, Bytes), ClientError> {
    let status = response.status();
    let body = Limited::new(response.into_body(), MAX_ANSWER);
    let body = body
        .collect()
        .await
        .map_err(|error| wrong(socket, &error))?;
    Ok((status, body.to_bytes()))
}

/// What an agent says of a failure, for people.
fn refusal(socket: &Path, status: StatusCode, body: &[u8]) -> ClientError {
    /// A failure as the agent writes it.
    #[derive(Deserialize)]
    struct Failure {
        error: String,
    }
    match serde_json::from_slice(body) {
        Ok(Failure { error }) if status == StatusCode::UNPROCESSABLE_ENTITY => {
            ClientError::Refused(printable::lines(&error).into_owned())
        }
        Ok(Failure { error }) => ClientError::Failed(printable::lines(&error).into_owned()),
        Err(_) => {
            let said = String::from_utf8_lossy(body);
            let said = printable::start(said.trim_end(), 500);
            wrong(socket, &format!("HTTP status {status}: {said}"))
        }
    }
}

fn too_late(socket: &Path, patience: Duration) -> ClientError {
    wrong(socket, &format!("nothing came in {} s", patience.as_secs()))
}

fn wrong(socket: &Path, cause: &dyn std::fmt::Display) -> ClientError {
    ClientError::Answer {
        socket: socket.to_owned(),
        cause: printable::line(&cause.to_string()).into_owned(),
    }
}
