//! Serves a router to clients that may be slow, many, or hostile: few connections at a time, one
//! request each, and little time for it. Whoever comes last is served: the oldest connection makes
//! room, so those that do nothing keep nobody out.

use std::{
    collections::VecDeque,
    convert::Infallible,
    future::pending,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use axum::{Router, body::Body, extract::Request, response::Response, serve::Listener};
use hyper::{
    body::Incoming,
    server::conn::http1,
    service::{Service as _, service_fn},
};
use hyper_util::{rt::TokioIo, service::TowerToHyperService};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::{TcpListener, UnixListener},
    select,
    task::{AbortHandle, JoinSet, yield_now},
    time::{Instant, sleep_until},
};

use super::peer::{Access, Peer};

/// Connections of `listen` at a time.
const PUBLIC_PLACES: usize = 128;
/// Connections of the control socket at a time, without those that follow events.
const CONTROL_PLACES: usize = 32;
/// How long a connection may take for its request, and then for taking the answer.
const TIME: Duration = Duration::from_secs(5);
/// The longest head of a request, in bytes.
const MAX_HEAD: usize = 16 << 10;
/// Headers of a request, at most.
const MAX_HEADERS: usize = 64;

/// Serves metrics and health for ever. Dropping the future closes every connection.
pub(crate) async fn serve_public(listener: TcpListener, router: Router) {
    serve(listener, PUBLIC_PLACES, |_| Some(router.clone())).await;
}

/// Serves the control socket for ever, telling the handlers who asks.
pub(crate) async fn serve_control(listener: UnixListener, router: Router, access: Access) {
    let admit = |stream: &_| match Peer::of(stream, access) {
        Ok(peer) => Some(router.clone().layer(axum::Extension(peer))),
        Err(error) => {
            tracing::warn!(%error, "who asks on the control socket cannot be told");
            None
        }
    };
    serve(listener, CONTROL_PLACES, admit).await;
}

/// Serves each connection with the router that `admit` gives it.
async fn serve<L: Listener>(
    mut listener: L,
    places: usize,
    admit: impl Fn(&L::Io) -> Option<Router>,
) {
    let mut tasks = JoinSet::new();
    let mut connections = Connections::default();
    loop {
        let (stream, _) = listener.accept().await;
        while tasks.try_join_next().is_some() {}
        let Some(router) = admit(&stream) else {
            continue;
        };
        if connections.make_room(places) {
            // Their files are closed before the next one is opened.
            yield_now().await;
        }
        let deadline = Deadline::new();
        let of_task = deadline.clone();
        let task = tasks.spawn(async move {
            select! {
                // Who has asked in time is answered, also where that took the agent longer.
                biased;
                // Whoever breaks off does not want an answer, and whoever takes longer is cut off.
                _ = answer(stream, router, of_task.clone()) => {}
                () = of_task.passes() => {}
            }
        });
        connections.0.push_back(Connection { task, deadline });
    }
}

/// Answers one request.
async fn answer<S>(stream: S, router: Router, deadline: Deadline) -> hyper::Result<()>
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let router = TowerToHyperService::new(router);
    let service = service_fn(move |request: hyper::Request<Incoming>| {
        let deadline = deadline.clone();
        let mut request: Request = request.map(Body::new);
        request.extensions_mut().insert(deadline.clone());
        let answer = router.call(request);
        async move {
            let answer: Result<Response, Infallible> = answer.await;
            deadline.renew();
            answer
        }
    });
    http1::Builder::new()
        .keep_alive(false)
        .header_read_timeout(None)
        .max_buf_size(MAX_HEAD)
        .max_headers(MAX_HEADERS)
        .serve_connection(TokioIo::new(stream), service)
        .await
}

/// Those that are served, the oldest first.
#[derive(Default)]
struct Connections(VecDeque<Connection>);

struct Connection {
    task: AbortHandle,
    deadline: Deadline,
}

impl Connections {
    /// Ends the oldest until there is a place, and says whether any was ended. Those that have no
    /// end are counted elsewhere.
    fn make_room(&mut self, places: usize) -> bool {
        let mut ended = false;
        self.0.retain(|connection| !connection.task.is_finished());
        let ends = |connection: &Connection| connection.deadline.at().is_some();
        while self.0.iter().filter(|connection| ends(connection)).count() >= places {
            let oldest = self.0.iter().position(ends);
            if let Some(oldest) = oldest.and_then(|position| self.0.remove(position)) {
                oldest.task.abort();
                ended = true;
            }
        }
        ended
    }
}

/// When a connection is cut off; nothing for one that goes on as long as both want.
#[derive(Clone, Debug)]
pub(super) struct Deadline(Arc<Mutex<Option<Instant>>>);

impl Deadline {
    /// A connection's first.
    pub(super) fn new() -> Self {
        Self(Arc::new(Mutex::new(Some(Instant::now() + TIME))))
    }

    /// From now on there is none.
    pub(super) fn lift(&self) {
        *self.lock() = None;
    }

    /// Time anew, unless there is no end.
    fn renew(&self) {
        if let Some(at) = self.lock().as_mut() {
            *at = Instant::now() + TIME;
        }
    }

    fn at(&self) -> Option<Instant> {
        *self.lock()
    }

    /// Waits until it has passed.
    async fn passes(&self) {
        loop {
            match self.at() {
                None => pending().await,
                Some(at) if at <= Instant::now() => return,
                Some(at) => sleep_until(at).await,
            }
        }
    }

    fn lock(&self) -> MutexGuard<'_, Option<Instant>> {
        // Nobody leaves it half changed.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
