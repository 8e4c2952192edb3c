//! `guard doctor`: what works on this host, what does not, and the remedy.
//!
//! It changes nothing. Without privilege it says what it could not examine.

mod gateways;
mod host;
mod links;
mod outlook;
mod table;
mod trial;

use serde::Serialize;

pub(crate) use self::host::demand_capabilities;
use crate::{cli::DoctorFlags, config::Config};

/// The remedy where a check could not look.
const AS_ROOT: &str = "run `guard doctor` as root";

/// What was examined.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Report {
    passed: bool,
    checks: Vec<Check>,
}

/// One thing that was examined.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct Check {
    /// A stable lower-case word.
    pub name: &'static str,
    /// The interface it is about, if it is about one.
    pub interface: Option<String>,
    /// How it went.
    pub status: Outcome,
    /// What was found, in a few words.
    pub found: String,
    /// What to do about it. There is one unless the status is [`Outcome::Ok`].
    pub remedy: Option<String>,
}

/// How a check went.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Outcome {
    /// As it should be.
    Ok,
    /// Guard works, but less well; or it could not be examined.
    Warn,
    /// Guard does not work.
    Fail,
}

/// Examines the host, and the interfaces that `flags` name, or else `config`, or else every one that
/// is up but the loopback. Where `flags` name a configuration, also what that would break.
pub async fn run(flags: &DoctorFlags, config: &Config) -> Report {
    let missing = host::missing_capabilities();
    let (program, compiled) = trial::run(config, &missing);
    let mut checks = vec![
        host::kernel(),
        host::types(),
        host::privileges(&missing),
        program,
        host::compiler(compiled),
        host::statistics(),
        host::pins(&config.bpffs),
    ];
    let named = [&flags.interfaces, &config.interfaces];
    let named = named.into_iter().find(|names| !names.is_empty());
    checks.extend(links::examine(named.map_or(&[], Vec::as_slice)).await);
    if flags.config.is_some() {
        checks.extend(outlook::examine(config));
    }
    Report::new(checks)
}

impl Report {
    fn new(checks: Vec<Check>) -> Self {
        let passed = checks.iter().all(|check| check.status != Outcome::Fail);
        Self { passed, checks }
    }

    /// Nothing failed; there may be warnings.
    pub fn passed(&self) -> bool {
        self.passed
    }

    /// For people, at 80 columns.
    pub fn render(&self) -> String {
        table::render(&self.checks)
    }
}

impl Check {
    fn ok(name: &'static str, found: impl Into<String>) -> Self {
        Self {
            name,
            interface: None,
            status: Outcome::Ok,
            found: found.into(),
            remedy: None,
        }
    }

    fn warn(name: &'static str, found: impl Into<String>, remedy: impl Into<String>) -> Self {
        let remedy = Some(remedy.into());
        Self {
            status: Outcome::Warn,
            remedy,
            ..Self::ok(name, found)
        }
    }

    fn fail(name: &'static str, found: impl Into<String>, remedy: impl Into<String>) -> Self {
        Self {
            status: Outcome::Fail,
            ..Self::warn(name, found, remedy)
        }
    }

    fn about(self, interface: &str) -> Self {
        Self {
            interface: Some(interface.to_owned()),
            ..self
        }
    }
}

impl Outcome {
    /// The stable word users see.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Warn => "warn",
            Self::Fail => "fail",
        }
    }
}

#[cfg(test)]
mod tests;
