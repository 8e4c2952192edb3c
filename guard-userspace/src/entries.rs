//! Entries of the running agent's lists, as they go over its socket.

use std::{fmt, net::IpAddr};

use clap::ValueEnum;
use guard_common::{
    reason::{Reason, Verdict},
    wire::Rule,
};
use ipnet::IpNet;
use serde::{Deserialize, Deserializer, Serialize, de};

use crate::{
    config::{
        Entry,
        units::{self, Invalid},
    },
    ssh::Connection,
};

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

impl Origin {
    /// The stable word users see.
    const fn name(self) -> &'static str {
        match self {
            Self::Configuration => "configuration",
            Self::Runtime => "runtime",
        }
    }
}

/// An entry of a list.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Listed {
    /// Which list.
    pub list: List,
    /// Whom it names, as a configuration may.
    #[serde(deserialize_with = "network")]
    pub cidr: IpNet,
    /// Where it comes from.
    pub origin: Origin,
    /// Why it is there, as a configuration may say.
    #[serde(default, deserialize_with = "reason")]
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
    #[serde(default, deserialize_with = "networks")]
    pub add: Vec<IpNet>,
    /// Networks to take off.
    #[serde(default, deserialize_with = "networks")]
    pub remove: Vec<IpNet>,
    /// Why those that are added are there.
    #[serde(default, deserialize_with = "reason")]
    pub reason: Option<String>,
    /// After how many seconds those that are added end.
    pub seconds: Option<u64>,
    /// The SSH connection that whoever asks has come by, if by one.
    #[serde(default)]
    pub ssh_connection: Option<Connection>,
}

/// A change that is made.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Done {
    /// What whoever asked for it should know, a sentence each.
    pub warnings: Vec<String>,
}

/// A source that is banned for having stayed over its limit. Times are seconds since 1970.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Banned {
    /// The address, or the IPv6 prefix.
    #[serde(deserialize_with = "network")]
    pub source: IpNet,
    /// When the ban began.
    pub since: u64,
    /// When it ends.
    pub until: u64,
    /// Bans in a row, this one among them.
    pub times: u32,
}

/// Bans to end.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Unban {
    /// Addresses that are banned: all of them are let go, or none.
    #[serde(default)]
    pub addresses: Vec<IpAddr>,
    /// Let everybody go.
    #[serde(default)]
    pub all: bool,
}

/// A network as a configuration may name it.
pub(crate) fn network<'de, D: Deserializer<'de>>(deserializer: D) -> Result<IpNet, D::Error> {
    let text = String::deserialize(deserializer)?;
    checked(units::cidr(&text))
}

fn networks<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<IpNet>, D::Error> {
    let texts = Vec::<String>::deserialize(deserializer)?;
    texts
        .iter()
        .map(|text| checked(units::cidr(text)))
        .collect()
}

fn reason<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<String>, D::Error> {
    let text = Option::<String>::deserialize(deserializer)?;
    text.map(|text| checked(units::reason(&text))).transpose()
}

fn checked<T, E: de::Error>(value: Result<T, Invalid>) -> Result<T, E> {
    value.map_err(E::custom)
}

/// What decides for packets of an address.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Explanation {
    /// The address.
    pub source: IpAddr,
    /// `pass` or `drop`: what becomes of a sound packet that keeps to the limits.
    pub verdict: String,
    /// Why: `allow`, `deny`, `feed`, `spoofed` or `pass`.
    pub reason: String,
    /// Entries whose network holds the address. The first one decides: the operator's go before
    /// those of feeds, and of each the most specific one.
    pub entries: Vec<Matching>,
    /// The ban it falls under, which holds where no entry decides.
    pub ban: Option<Banned>,
}

/// An entry that holds an address.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Matching {
    /// `allow`, `deny` or `feed`.
    pub list: String,
    /// Whom it names.
    pub cidr: IpNet,
    /// The name of the feed, if it is of one.
    pub feed: Option<String>,
    /// Where it comes from, if it is the operator's.
    pub origin: Option<Origin>,
    /// Why it is there.
    pub reason: Option<String>,
    /// When it ends, in seconds since 1970.
    pub expires: Option<u64>,
    /// Packets it has decided since the last reload, of a feed those that all of it has; nothing
    /// where there are too many entries for each to have a count.
    pub packets: Option<u64>,
}

impl Matching {
    /// An entry of the operator.
    pub(crate) fn of_operator(entry: Listed, packets: Option<u64>) -> Self {
        Self {
            list: entry.list.to_string(),
            cidr: entry.cidr,
            feed: None,
            origin: Some(entry.origin),
            reason: entry.reason,
            expires: entry.expires,
            packets,
        }
    }

    /// An entry of a feed.
    pub(crate) fn of_feed(cidr: IpNet, name: &str, packets: Option<u64>) -> Self {
        Self {
            list: "feed".to_owned(),
            cidr,
            feed: Some(name.to_owned()),
            origin: None,
            reason: None,
            expires: None,
            packets,
        }
    }

    fn render(&self) -> String {
        let who = self.feed.as_deref().or(self.origin.map(Origin::name));
        line(
            (&self.list, self.cidr, who.unwrap_or("-")),
            self.expires,
            self.reason.as_deref(),
        )
    }
}

impl Explanation {
    /// What `decides` for a packet, the entries that hold its source, the first one first, and its
    /// ban.
    pub(crate) fn new(
        source: IpAddr,
        decides: Option<Rule>,
        entries: Vec<Matching>,
        ban: Option<Banned>,
    ) -> Self {
        let (verdict, reason) = match decides {
            None => (Verdict::Pass, Reason::Pass),
            Some(Rule::Allow) => (Verdict::Pass, Reason::Allow),
            Some(Rule::Deny) => (Verdict::Drop, Reason::Deny),
            Some(Rule::Own) => (Verdict::Drop, Reason::Spoofed),
            Some(Rule::Feed) => (Verdict::Drop, Reason::Feed),
            Some(Rule::Ban) => (Verdict::Drop, Reason::Ban),
        };
        Self {
            source,
            verdict: verdict.name().to_owned(),
            reason: reason.name().to_owned(),
            entries,
            ban,
        }
    }

    /// For people.
    pub fn render(&self) -> String {
        let Self {
            source,
            verdict,
            reason,
            entries,
            ban,
        } = self;
        let limits = if reason == "pass" {
            ", within the limits"
        } else {
            ""
        };
        let mut text = format!("{source}: {verdict} ({reason}{limits})\n");
        if let Some(ban) = ban {
            text = format!("{text}  ban    {}\n", ban.render());
        }
        entries.iter().fold(text, |text, entry| {
            let packets = entry.packets;
            let packets = packets.map_or("-".to_owned(), |packets| packets.to_string());
            format!("{text}  {}  {packets} packets\n", entry.render())
        })
    }
}

impl Banned {
    /// One line for people.
    pub fn render(&self) -> String {
        let Self {
            source,
            since,
            until,
            times,
        } = self;
        let (since, until) = (time_text(*since), time_text(*until));
        format!(
            "{:<24} since {since}  until {until}  {times} in a row",
            source.to_string()
        )
    }
}

/// A time in seconds since 1970, for people.
fn time_text(seconds: u64) -> String {
    let time = i64::try_from(seconds).ok();
    let time = time.and_then(|seconds| jiff::Timestamp::from_second(seconds).ok());
    time.map_or_else(|| "?".to_owned(), |time| time.to_string())
}

impl Listed {
    /// One line for people.
    pub fn render(&self) -> String {
        line(
            (&self.list.to_string(), self.cidr, self.origin.name()),
            self.expires,
            self.reason.as_deref(),
        )
    }
}

fn line(
    (list, cidr, who): (&str, IpNet, &str),
    expires: Option<u64>,
    reason: Option<&str>,
) -> String {
    let end = expires.map(|expires| format!("until {}", time_text(expires)));
    let reason = reason.unwrap_or("-");
    let end = end.as_deref().unwrap_or("stays");
    format!(
        "{list:<5}  {:<24} {who:<13} {end:<26} {reason}",
        cidr.to_string()
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn entries_are_held_to_what_a_configuration_is() {
        let edit = |cidr: &str, reason: &str| {
            let body = serde_json::json!({"list": "deny", "add": [cidr], "reason": reason});
            serde_json::from_value::<Edit>(body)
        };
        let edited = edit("::ffff:192.0.2.7/128", "scanner").expect("an edit");
        assert_eq!(edited.add, ["192.0.2.7/32".parse().expect("a network")]);
        for (cidr, reason) in [
            ("192.0.2.7/24", "bits beyond the prefix"),
            ("192.0.2.0/33", "no such prefix"),
            ("192.0.2.7", "\u{1b}[2J"),
        ] {
            assert!(edit(cidr, reason).is_err(), "{cidr}, {reason}");
            let kept = serde_json::json!({
                "list": "deny", "cidr": cidr, "origin": "runtime", "reason": reason, "expires": null,
            });
            assert!(serde_json::from_value::<Listed>(kept).is_err(), "{cidr}");
        }
    }
}
