//! One look at the agent.

use std::{
    path::Path,
    time::{Instant, SystemTime, UNIX_EPOCH},
};

use serde::Deserialize;

use crate::{
    client::{self, ClientError},
    entries::Banned,
    status::Status,
    talkers::TopTalkers,
};

/// Everything the agent says at one moment.
#[derive(Clone, Debug)]
pub struct Snapshot {
    /// When it said so.
    pub(super) taken: Instant,
    /// The same in seconds since 1970, by which bans end.
    pub(super) time: u64,
    pub(super) status: Status,
    pub(super) bans: Vec<Banned>,
    pub(super) talkers: TopTalkers,
    /// Newest last.
    pub(super) events: Vec<Event>,
}

/// What was found at some time.
#[derive(Clone, Debug, Deserialize)]
pub(super) struct Event {
    /// Milliseconds since 1970.
    pub(super) time_ms: u64,
    pub(super) text: String,
}

impl Snapshot {
    /// Asks the agent on `socket`.
    pub async fn take(socket: &Path) -> Result<Self, ClientError> {
        let status = client::fetch(socket, "/v1/status").await?;
        let taken = Instant::now();
        let since = SystemTime::now().duration_since(UNIX_EPOCH);
        Ok(Self {
            taken,
            time: since.map_or(0, |since| since.as_secs()),
            status,
            bans: client::fetch(socket, "/v1/bans").await?,
            talkers: client::fetch(socket, "/v1/talkers").await?,
            events: client::fetch(socket, "/v1/events").await?,
        })
    }
}
