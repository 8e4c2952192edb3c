//! What the agent is asked to do, as it goes over its socket.

use serde::{Deserialize, Serialize};

/// Longest time that something new is on trial, in seconds.
pub const LONGEST_TRIAL: u64 = 3600;
/// Longest time that everything passes, in seconds.
pub const LONGEST_BYPASS: u64 = 24 * 3600;

/// Read the configuration again.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Reload {
    /// Take lists of feeds that have grown suddenly, too.
    pub force: bool,
    /// Go back to what was in force unless that is confirmed within so many seconds: up to
    /// [`LONGEST_TRIAL`].
    pub confirm_seconds: Option<u64>,
}

/// Let everything pass, or enforce again.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Bypass {
    /// For how many seconds from now: 1 to [`LONGEST_BYPASS`]. Nothing: not any more.
    pub seconds: Option<u64>,
}
