//! A client that does nothing wrong.

use std::{
    net::Ipv4Addr,
    sync::atomic::{AtomicBool, Ordering},
    thread,
    time::Duration,
};

use anyhow::Result;
use lab::{
    curl::{Curl, Outcome},
    servers::Nginx,
    stage::{CLIENT, SERVER, Stage},
};

pub(crate) const TLS_PORT: u16 = 8443;
/// Between two requests.
const PAUSE: Duration = Duration::from_millis(200);
/// A lost segment is sent again after 1, 3 and 7 seconds.
const PATIENCE: Duration = Duration::from_secs(20);

/// What became of its requests.
#[derive(Debug, Default)]
pub(crate) struct Requests {
    pub(crate) served: u64,
    pub(crate) failed: Vec<Outcome>,
}

/// One request over TLS from this address of the client's.
pub(crate) fn request(stage: &Stage, nginx: &Nginx, source: Ipv4Addr) -> Result<Outcome> {
    Curl::new(stage.client.namespace())
        .from(source.into())
        .trust(&nginx.certificate())
        .timeout(PATIENCE)
        .https(SERVER.into(), TLS_PORT, "/")
}

/// Asks again and again until it is told to stop.
pub(crate) fn keep_asking(stage: &Stage, nginx: &Nginx, stop: &AtomicBool) -> Result<Requests> {
    let mut requests = Requests::default();
    while !stop.load(Ordering::Relaxed) {
        let outcome = request(stage, nginx, CLIENT)?;
        if outcome.is_ok() {
            requests.served += 1;
        } else {
            requests.failed.push(outcome);
        }
        thread::sleep(PAUSE);
    }
    Ok(requests)
}
