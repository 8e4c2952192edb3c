//! What a message looks like to whoever receives it.

mod alertmanager;
mod json;

use serde::{Deserialize, Serialize};

use super::{message::Message, rules::Now};
use crate::config::units::{self, Invalid};

/// How a receiver wants to be told.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Format {
    /// Alertmanager's API, version 2.
    Alertmanager,
    /// An object of our own: `docs/ALERTS.md`.
    Json,
}

impl Format {
    /// Reads `alertmanager` or `json`.
    ///
    /// # Errors
    /// It is neither.
    pub fn parse(text: &str) -> Result<Self, Invalid> {
        let choices = [("alertmanager", Self::Alertmanager), ("json", Self::Json)];
        units::choice(text, &choices)
    }

    /// The stable word users see.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Alertmanager => "alertmanager",
            Self::Json => "json",
        }
    }

    /// Whether it has to be told again and again of what goes on.
    pub(super) const fn forgets(self) -> bool {
        matches!(self, Self::Alertmanager)
    }

    /// The body of a request. `instance` is the name of this host.
    pub(super) fn body(self, message: &Message, instance: &str, now: Now) -> String {
        let body = match self {
            Self::Alertmanager => alertmanager::body(message, instance, now),
            Self::Json => json::body(message, instance),
        };
        body.to_string()
    }
}

/// A time as both write it.
fn time(unix_ms: u64) -> String {
    let time = jiff::Timestamp::from_millisecond(unix_ms.cast_signed());
    time.map_or_else(|_| unix_ms.to_string(), |time| format!("{time:.3}"))
}

#[cfg(test)]
mod tests;
