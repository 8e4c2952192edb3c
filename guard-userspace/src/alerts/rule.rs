//! The words of alerts: which rules there are, and how bad it is when one holds.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::config::units::{self, Invalid};

/// What there are alerts for.
#[derive(Clone, Copy, Debug, Deserialize, Eq, Hash, Ord, PartialEq, PartialOrd, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Rule {
    /// A service that requires encryption answered a request in clear.
    PlaintextServed,
    /// A credential was sent in clear.
    CredentialExposed,
    /// Sources are banned.
    Ban,
    /// Many packets are dropped for one reason.
    Flood,
    /// Sources that are not known are shut out, since together they send too much.
    NewSourcesGateClosed,
    /// The agent does less than it should.
    AgentDegraded,
    /// Entries are configured for which the kernel side has no rule.
    ConfiguredNotEnforced,
}

impl Rule {
    /// Every rule, in the order they are shown.
    pub const ALL: [Self; 7] = [
        Self::PlaintextServed,
        Self::CredentialExposed,
        Self::Ban,
        Self::Flood,
        Self::NewSourcesGateClosed,
        Self::AgentDegraded,
        Self::ConfiguredNotEnforced,
    ];

    /// The stable word users see.
    pub const fn name(self) -> &'static str {
        match self {
            Self::PlaintextServed => "plaintext_served",
            Self::CredentialExposed => "credential_exposed",
            Self::Ban => "ban",
            Self::Flood => "flood",
            Self::NewSourcesGateClosed => "new_sources_gate_closed",
            Self::AgentDegraded => "agent_degraded",
            Self::ConfiguredNotEnforced => "configured_not_enforced",
        }
    }

    /// What Alertmanager calls it.
    pub const fn alert_name(self) -> &'static str {
        match self {
            Self::PlaintextServed => "GuardPlaintextServed",
            Self::CredentialExposed => "GuardCredentialExposed",
            Self::Ban => "GuardBan",
            Self::Flood => "GuardFlood",
            Self::NewSourcesGateClosed => "GuardNewSourcesGateClosed",
            Self::AgentDegraded => "GuardAgentDegraded",
            Self::ConfiguredNotEnforced => "GuardConfiguredNotEnforced",
        }
    }

    /// Reads the name of a rule.
    ///
    /// # Errors
    /// There is no such rule.
    pub fn parse(text: &str) -> Result<Self, Invalid> {
        units::choice(text, &Self::ALL.map(|rule| (rule.name(), rule)))
    }
}

impl fmt::Display for Rule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// How bad it is.
#[derive(Clone, Copy, Debug, Deserialize, Eq, Ord, PartialEq, PartialOrd, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Severity {
    /// Good to know.
    Info,
    /// To be looked at.
    Warning,
    /// To be looked at now.
    Critical,
}

impl Severity {
    /// The stable word users see.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Info => "info",
            Self::Warning => "warning",
            Self::Critical => "critical",
        }
    }
}

impl fmt::Display for Severity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}
