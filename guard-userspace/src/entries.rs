//! Entries of the running agent's lists, as they go over its socket.

use std::{fmt, net::IpAddr};

use clap::ValueEnum;
use ipnet::IpNet;
use serde::{
    Deserialize, Deserializer, Serialize, Serializer,
    de::{self, Error as _, MapAccess, Visitor, value::MapAccessDeserializer},
};

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
    pub(crate) const fn name(self) -> &'static str {
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
    /// Since when it is there, in seconds since 1970; of the running agent's alone.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub since: Option<u64>,
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
            since: None,
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
    pub add: Vec<Addition>,
    /// Networks to take off.
    #[serde(default, deserialize_with = "networks")]
    pub remove: Vec<IpNet>,
    /// Why those that are added are there, where nothing else is said of them.
    #[serde(default, deserialize_with = "reason")]
    pub reason: Option<String>,
    /// After how many seconds those that are added end: 1 to [`units::LONGEST_PERIOD`].
    #[serde(default, deserialize_with = "seconds")]
    pub seconds: Option<u64>,
    /// The SSH connection that whoever asks has come by, if by one.
    #[serde(default)]
    pub ssh_connection: Option<Connection>,
}

/// A network to add: `"192.0.2.0/24"`, or `{"cidr": "192.0.2.0/24", "reason": "scanner"}`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Addition {
    /// Whom it names.
    pub cidr: IpNet,
    /// Why this one is there.
    pub reason: Option<String>,
}

impl From<IpNet> for Addition {
    fn from(cidr: IpNet) -> Self {
        Self { cidr, reason: None }
    }
}

/// An addition with a reason of its own.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct WithReason {
    #[serde(deserialize_with = "network")]
    cidr: IpNet,
    #[serde(default, deserialize_with = "reason")]
    reason: Option<String>,
}

impl Serialize for Addition {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let Self { cidr, reason } = self.clone();
        match reason {
            None => cidr.serialize(serializer),
            reason => WithReason { cidr, reason }.serialize(serializer),
        }
    }
}

impl<'de> Deserialize<'de> for Addition {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(EitherForm)
    }
}

struct EitherForm;

impl<'de> Visitor<'de> for EitherForm {
    type Value = Addition;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a network like \"192.0.2.0/24\", or an object with its `cidr` and `reason`")
    }

    fn visit_str<E: de::Error>(self, text: &str) -> Result<Addition, E> {
        checked(units::cidr(text)).map(Addition::from)
    }

    fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Addition, A::Error> {
        let both = WithReason::deserialize(MapAccessDeserializer::new(map))?;
        Ok(Addition {
            cidr: both.cidr,
            reason: both.reason,
        })
    }
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

fn seconds<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<u64>, D::Error> {
    let seconds = Option::<u64>::deserialize(deserializer)?;
    let longest = units::LONGEST_PERIOD.as_secs();
    match seconds {
        Some(seconds) if !(1..=longest).contains(&seconds) => Err(D::Error::custom(format!(
            "entries end after 1 to {longest} seconds, not after {seconds}"
        ))),
        seconds => Ok(seconds),
    }
}

fn checked<T, E: de::Error>(value: Result<T, Invalid>) -> Result<T, E> {
    value.map_err(E::custom)
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
pub(crate) fn time_text(seconds: u64) -> String {
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

/// An entry on one line, for people.
pub(crate) fn line(
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
        let cidr: IpNet = "192.0.2.7/32".parse().expect("a network");
        assert_eq!(edited.add, [cidr.into()]);
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
