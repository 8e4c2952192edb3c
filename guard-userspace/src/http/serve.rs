//! Serves a router to clients that may be slow, many, or hostile: few connections at a time, one
//! request each, and little time for it.

use std::{sync::Arc, time::Duration};

use axum::{Router, serve::Listener};
use hyper::server::conn::http1;
use hyper_util::{rt::TokioIo, service::TowerToHyperService};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    sync::Semaphore,
    task::JoinSet,
    time::timeout,
};

/// Connections at a time. Further ones wait in the kernel's queue.
const CONNECTIONS: usize = 32;
/// How long a connection may take for its request and the answer.
const TIME: Duration = Duration::from_secs(5);

/// Serves for ever. Dropping the future closes every connection.
pub(crate) async fn serve<L: Listener>(mut listener: L, router: Router) {
    let places = Arc::new(Semaphore::new(CONNECTIONS));
    let mut connections = JoinSet::new();
    // The semaphore is never closed.
    while let Ok(place) = Arc::clone(&places).acquire_owned().await {
        let (stream, _) = listener.accept().await;
        let router = router.clone();
        connections.spawn(async move {
            // Whoever takes longer is cut off, and whoever breaks off does not want an answer.
            let _ = timeout(TIME, answer(stream, router)).await;
            drop(place);
        });
        while connections.try_join_next().is_some() {}
    }
}

/// Answers one request.
async fn answer<S>(stream: S, router: Router) -> hyper::Result<()>
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    http1::Builder::new()
        .keep_alive(false)
        .header_read_timeout(None)
        .serve_connection(TokioIo::new(stream), TowerToHyperService::new(router))
        .await
}
