//! Entries of the running agent's lists, as they go over its socket.

use std::{fmt, net::IpAddr};

use clap::ValueEnum;
use guard_common::reason::{Reason, Verdict};
use ipnet::IpNet;
use serde::{Deserialize, Serialize};

use crate::config::Entry;

/// A list of networks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, ValueEnum)]
#[serde(rename_all = "lowercase")]
pub enum List {
    /// Never limited.
    Allow,
    /// Never let in.
    Deny,
}

impl fmt::Display for List {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Allow => "allow",
            Self::Deny => "deny",
        })
    }
}

/// Where an entry comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Origin {
    /// The configuration: file or flags.
    Configuration,
    /// `guard allow` or `guard deny`.
    Runtime,
}

/// An entry of a list.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Listed {
    /// Which list.
    pub list: List,
    /// Whom it names.
    pub cidr: IpNet,
    /// Where it comes from.
    pub origin: Origin,
    /// Why it is there.
    pub reason: Option<String>,
    /// When it ends, in seconds since 1970.
    pub expires: Option<u64>,
}

impl Listed {
    /// An entry of the configuration.
    pub(crate) fn configured(list: List, entry: &Entry) -> Self {
        Self {
            list,
            cidr: entry.cidr,
            origin: Origin::Configuration,
            reason: entry.reason.clone(),
            expires: entry.expires,
        }
    }
}

/// A change of a list: all of it is done, or nothing.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Edit {
    /// Which list.
    pub list: List,
    /// Networks to add. Those that are on the list already get the new reason and end.
    #[serde(default)]
    pub add: Vec<IpNet>,
    /// Networks to take off.
    #[serde(default)]
    pub remove: Vec<IpNet>,
    /// Why those that are added are there.
    pub reason: Option<String>,
    /// After how many seconds those that are added end.
    pub seconds: Option<u64>,
}

/// What decides for packets of an address.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Explanation {
    /// The address.
    pub source: IpAddr,
    /// `pass` or `drop`: what becomes of a sound packet that keeps to the limits.
    pub verdict: String,
    /// Why: `allow`, `deny` or `pass`.
    pub reason: String,
    /// Entries whose network holds the address. The first one, the most specific, decides.
    pub entries: Vec<Matching>,
}

/// An entry that holds an address.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Matching {
    /// The entry.
    #[serde(flatten)]
    pub entry: Listed,
    /// Packets it has decided since the last reload; nothing where there are too many entries for
    /// each to have a count.
    pub packets: Option<u64>,
}

impl Explanation {
    /// Of the entries that hold an address, the most specific one first.
    pub(crate) fn new(source: IpAddr, entries: Vec<Matching>) -> Self {
        let (verdict, reason) = match entries.first().map(|first| first.entry.list) {
            Some(List::Deny) => (Verdict::Drop, Reason::Deny),
            Some(List::Allow) => (Verdict::Pass, Reason::Allow),
            None => (Verdict::Pass, Reason::Pass),
        };
        Self {
            source,
            verdict: verdict.name().to_owned(),
            reason: reason.name().to_owned(),
            entries,
        }
    }

    /// For people.
    pub fn render(&self) -> String {
        let Self {
            source,
            verdict,
            reason,
            entries,
        } = self;
        let limits = if reason == "pass" {
            ", within the limits"
        } else {
            ""
        };
        let text = format!("{source}: {verdict} ({reason}{limits})\n");
        entries
            .iter()
            .fold(text, |text, Matching { entry, packets }| {
                let packets = packets.map_or("-".to_owned(), |packets| packets.to_string());
                format!("{text}  {}  {packets} packets\n", entry.render())
            })
    }
}

impl Listed {
    /// One line for people.
    pub fn render(&self) -> String {
        let origin = match self.origin {
            Origin::Configuration => "configuration",
            Origin::Runtime => "runtime",
        };
        let end = self.expires.and_then(|expires| {
            let time = jiff::Timestamp::from_second(i64::try_from(expires).ok()?).ok()?;
            Some(format!("until {time}"))
        });
        let list = self.list.to_string();
        let reason = self.reason.as_deref().unwrap_or("-");
        let end = end.as_deref().unwrap_or("stays");
        format!(
            "{list:<5}  {:<24} {origin:<13} {end:<26} {reason}",
            self.cidr.to_string()
        )
    }
}
