//! What every change over the socket passes: who asks, how much is sent, and the audit log.

use std::sync::Arc;

use axum::{
    Extension,
    body::Body,
    extract::Request,
    http::{StatusCode, request::Parts},
    middleware::{Next, from_fn},
    response::{IntoResponse as _, Response},
    routing::MethodRouter,
};

use super::{
    audit::{Asked, Audit},
    body,
    errors::{Failure, Said},
    peer::Peer,
};

/// Bytes of a body that are read of somebody who may change nothing: more are not written down.
const START_OF_REFUSED: usize = 4 << 10;

/// What holds for one kind of change.
#[derive(Clone, Copy, Debug)]
pub(super) struct Change {
    /// The largest body of its request, in bytes.
    pub(super) max_body: usize,
    /// Whether it is only made once it is written down. What brings service back must not wait for
    /// a disk.
    pub(super) needs_audit: bool,
}

impl Change {
    /// What holds for most.
    pub(super) const USUAL: Self = Self {
        max_body: 64 << 10,
        needs_audit: true,
    };
}

/// Writes down every change that is asked for.
#[derive(Clone, Debug)]
pub(crate) struct Gate(Arc<Audit>);

impl Gate {
    /// The gate of an agent with this audit log.
    pub(crate) fn new(audit: Audit) -> Self {
        Self(Arc::new(audit))
    }

    /// Lets the change through that `request` asks for, or says why not.
    async fn pass(
        self,
        change: Change,
        peer: Peer,
        request: Request,
        next: Next,
    ) -> Result<Response, Failure> {
        let (parts, body) = request.into_parts();
        if !peer.may_change {
            return Err(self.refuse(peer, &parts, body).await);
        }
        let body = body::read(body, change.max_body).await?;
        let (noted, written) = self.0.request(&Asked {
            peer,
            method: parts.method.as_str(),
            path: parts.uri.path(),
            body: &body,
        });
        let hindered = written.err().filter(|_| change.needs_audit).map(|error| {
            Failure::unavailable(&format!(
                "the change is not made, since it cannot be written down in {} ({error}): make \
                 room, or let the agent write there",
                self.0.file().display()
            ))
        });
        let response = match hindered {
            Some(failure) => failure.into_response(),
            None => next.run(Request::from_parts(parts, Body::from(body))).await,
        };
        let said = response.extensions().get::<Said>();
        let outcome = said.map_or("done", |Said(said)| said.as_str());
        self.0.outcome(&noted, response.status().as_u16(), outcome);
        Ok(response)
    }

    /// Writes down what somebody asks for who may change nothing, and says so.
    async fn refuse(&self, peer: Peer, parts: &Parts, body: Body) -> Failure {
        let status = StatusCode::FORBIDDEN;
        let body = body::start(body, START_OF_REFUSED).await;
        let asked = Asked {
            peer,
            method: parts.method.as_str(),
            path: parts.uri.path(),
            body: &body,
        };
        self.0.refused(&asked, status.as_u16());
        let sentence = "changes are for root, the agent's own user and the group of the socket: ask \
                        as one of them";
        Failure::new(status, sentence)
    }
}

/// `handler` behind the gate.
pub(super) fn guarded<S: Clone + Send + Sync + 'static>(
    handler: MethodRouter<S>,
    gate: &Gate,
    change: Change,
) -> MethodRouter<S> {
    let gate = gate.clone();
    handler.route_layer(from_fn(
        move |Extension(peer): Extension<Peer>, request: Request, next: Next| {
            let gate = gate.clone();
            async move { gate.pass(change, peer, request, next).await }
        },
    ))
}
