//! The configuration: TOML file and flags in, one validated [`Config`] out.
//!
//! `schema` walks the spanned TOML tree and collects every problem at once, `raw` says which keys
//! there are, `resolve` lays file over defaults and flags over both. `docs/CONFIGURATION.md` is
//! the user's side of it.

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::net::SocketAddr;
use std::ops::RangeInclusive;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use ipnet::IpNet;
use serde::{Serialize, Serializer};

pub use self::alerts::{Receiver, Webhook};
pub(crate) use self::feeds::copy_name;
pub use self::openapi::Document;
pub use self::problem::{ConfigErrors, Problem, Style};
pub use self::rate::{Allowance, MAX_UNITS, Rate, RateSetting, Unit};
pub(crate) use self::resolve::Source;
pub use self::url::FeedUrl;
use crate::{cli::RunFlags, entries::List};

mod alerts;
mod feeds;
mod files;
pub mod list;
mod openapi;
mod problem;
mod rate;
mod raw;
mod resolve;
mod schema;
mod secrets;
mod services;
mod syntax;
#[cfg(test)]
mod tests;
pub mod units;
mod url;

/// The most interfaces one agent protects.
pub const MAX_INTERFACES: usize = 16;
/// The most services: a connection's word in the kernel has room for no more.
pub const MAX_SERVICES: usize = guard_common::wire::MAX_SERVICES as usize;
/// The largest configuration file, in bytes.
pub const MAX_FILE_BYTES: u64 = 16 << 20;
/// The most feeds.
pub const MAX_FEEDS: usize = 64;
/// The most receivers of alerts.
pub const MAX_RECEIVERS: usize = 16;
/// The largest file of a feed, in bytes.
pub const MAX_FEED_BYTES: u64 = 256 << 20;

/// Where the control socket is unless `--socket` says otherwise.
pub const DEFAULT_SOCKET: &str = "/run/guard/guard.sock";
/// Where what outlives the agent is kept unless `--state-dir` says otherwise.
pub const STATE_DIR: &str = "/var/lib/guard";
/// Where programs and maps are pinned unless `--bpffs` says otherwise.
pub const BPFFS: &str = "/sys/fs/bpf/guard";

/// A configuration in which every value is in its range and nothing contradicts.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Config {
    /// Interfaces to protect, each once, at most [`MAX_INTERFACES`].
    pub interfaces: Vec<String>,
    /// How to attach.
    pub xdp_mode: XdpMode,
    /// Whether to count what would be dropped instead of dropping it.
    pub dry_run: bool,
    /// Whether a change of a file is taken without being asked for.
    pub watch: bool,
    /// What becomes of the protection when the agent ends.
    pub on_stop: OnStop,
    /// Whether packets from outside that claim an address of this host are dropped, and what this
    /// host lives by passes where it would be refused.
    pub protect_self: bool,
    /// Where metrics and health are served.
    pub listen: SocketAddr,
    /// The control socket.
    pub socket: PathBuf,
    /// Where what outlives the agent is kept.
    pub state_dir: PathBuf,
    /// Where programs and maps are pinned, on a BPF file system.
    pub bpffs: PathBuf,
    /// Limits for each source.
    pub limits: Limits,
    /// Services, at most [`MAX_SERVICES`], names unique and ports disjoint.
    pub services: Vec<Service>,
    /// Networks to let through, each once.
    pub allow: Vec<Entry>,
    /// Networks to drop, each once.
    pub deny: Vec<Entry>,
    /// Lists of others, at most [`MAX_FEEDS`], names unique.
    pub feeds: Vec<Feed>,
    /// Who is told of alerts, at most [`MAX_RECEIVERS`].
    pub alerts: Vec<Receiver>,
}

impl Config {
    /// The configuration of `guard run`: defaults, then the file, then the flags.
    ///
    /// # Errors
    /// Every problem of the file and of the whole at once, a missing interface among them.
    pub fn resolve(file: Option<&Path>, flags: &RunFlags) -> Result<Self, ConfigErrors> {
        resolve::for_run(file, flags)
    }

    /// The configuration of `guard check`: defaults, then the file. It may name no interface.
    ///
    /// # Errors
    /// Every problem of the file at once.
    pub fn check(file: Option<&Path>) -> Result<Self, ConfigErrors> {
        resolve::for_check(file)
    }

    /// The configuration of `guard replay`: defaults, then the file. Without services in it, every
    /// TCP port belongs to one, named `any`.
    ///
    /// # Errors
    /// Every problem of the file at once.
    pub fn replay(file: Option<&Path>) -> Result<Self, ConfigErrors> {
        resolve::for_replay(file)
    }

    /// This one with the copy of a list as it is now, and nothing else that may have changed.
    ///
    /// # Errors
    /// There is no such list to be fetched, its copy cannot be used, or the lists have no room together:
    /// a sentence.
    pub(crate) fn with_copy_of(&self, feed: &str) -> Result<Self, String> {
        feeds::with_copy_of(self, feed)
    }

    /// Reads a configuration from `text`, called `name` in what goes wrong. Files that it names are
    /// looked for as if it lay there.
    ///
    /// # Errors
    /// Every problem of the text at once.
    pub fn parse(name: &str, text: &str) -> Result<Self, ConfigErrors> {
        resolve::from_text(name, text)
    }

    /// The configuration file and the files that it names, whatever else is wrong with it: what has
    /// to be looked at to see that something has changed. Nothing that is read but once, such as a
    /// pipe, is among them.
    pub(crate) fn files(file: &Path) -> BTreeSet<PathBuf> {
        resolve::files(file)
    }

    /// Takes out the entries of `allow` and `deny` that end by themselves.
    #[must_use]
    pub fn take_ending(&mut self) -> Vec<(List, Entry)> {
        let mut ending = Vec::new();
        for (list, entries) in [(List::Allow, &mut self.allow), (List::Deny, &mut self.deny)] {
            let taken = entries.extract_if(.., |entry| entry.expires.is_some());
            ending.extend(taken.map(|entry| (list, entry)));
        }
        ending
    }

    /// What is configured, in a few words: `2 interfaces, 1 service, 3 deny, 1 allow`.
    pub fn summary(&self) -> String {
        let mut summary = String::new();
        for (count, one, many) in [
            (self.interfaces.len(), "interface", "interfaces"),
            (self.services.len(), "service", "services"),
            (self.deny.len(), "deny", "deny"),
            (self.allow.len(), "allow", "allow"),
        ] {
            let separator = if summary.is_empty() { "" } else { ", " };
            let noun = if count == 1 { one } else { many };
            // Writing to a string cannot fail.
            let _ = write!(summary, "{separator}{count} {noun}");
        }
        if !self.feeds.is_empty() {
            let entries: usize = self.feeds.iter().map(|feed| feed.nets.len()).sum();
            let noun = if self.feeds.len() == 1 {
                "feed"
            } else {
                "feeds"
            };
            let _ = write!(
                summary,
                ", {} {noun} with {entries} entries",
                self.feeds.len()
            );
        }
        let documents = self
            .services
            .iter()
            .filter_map(|service| service.openapi.as_ref());
        let operations: usize = documents.map(|document| document.operations).sum();
        if operations > 0 {
            let noun = if operations == 1 {
                "operation"
            } else {
                "operations"
            };
            let _ = write!(summary, ", {operations} documented {noun}");
        }
        for receiver in &self.alerts {
            let _ = write!(
                summary,
                ", alerts to {} ({})",
                receiver.webhook,
                receiver.format.name()
            );
        }
        summary
    }
}

/// How the XDP program is attached.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum XdpMode {
    /// Native where the driver can, else generic.
    #[default]
    Auto,
    /// In the driver, or not at all.
    Native,
    /// In the kernel's generic path.
    Generic,
}

impl XdpMode {
    /// Reads `auto`, `native` or `generic`.
    pub fn parse(text: &str) -> Result<Self, units::Invalid> {
        let choices = [
            ("auto", Self::Auto),
            ("native", Self::Native),
            ("generic", Self::Generic),
        ];
        units::choice(text, &choices)
    }
}

/// What becomes of the protection when the agent ends, be it stopped or killed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum OnStop {
    /// It ends too.
    #[default]
    Detach,
    /// The programs stay on their interfaces, and the next agent takes them over.
    Keep,
}

impl OnStop {
    /// Reads `detach` or `keep`.
    pub fn parse(text: &str) -> Result<Self, units::Invalid> {
        let choices = [("detach", Self::Detach), ("keep", Self::Keep)];
        units::choice(text, &choices)
    }

    /// The stable word users see.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Detach => "detach",
            Self::Keep => "keep",
        }
    }
}

/// What each source may send, and all of them together.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Limits {
    /// Packets.
    #[serde(serialize_with = "rate_or_off")]
    pub packets: Option<Rate>,
    /// Bytes, counted from the Ethernet header on.
    #[serde(serialize_with = "rate_or_off")]
    pub bytes: Option<Rate>,
    /// TCP SYNs.
    #[serde(serialize_with = "rate_or_off")]
    pub connections: Option<Rate>,
    /// How much of each rate may come at once, as the time in which it would come: 10 ms to 1 h.
    #[serde(serialize_with = "duration")]
    pub burst: Duration,
    /// Leading bits of an IPv6 address that make one source: 32 to 128.
    pub ipv6_prefix: u8,
    /// Packets of all sources together that are not known.
    #[serde(serialize_with = "rate_or_off")]
    pub new_sources: Option<Rate>,
    /// What the network around a source may send.
    pub aggregate: AggregateLimits,
    /// What all sources together may send.
    pub protocol: ProtocolLimits,
    /// What becomes of a source that stays over its limit.
    #[serde(serialize_with = "ban_or_off")]
    pub ban: Option<Ban>,
}

/// How sources are banned that stay over their limit. Each further ban of a source lasts twice as
/// long as the one before; each `max` without one halves that again.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Ban {
    /// For how long a source may be over its limit: 1 s to 1 h.
    #[serde(serialize_with = "duration")]
    pub after: Duration,
    /// How long the first ban lasts, at least 1 s and at most `max`.
    #[serde(rename = "for", serialize_with = "duration")]
    pub first: Duration,
    /// How long a ban lasts at most: up to 30 days.
    #[serde(serialize_with = "duration")]
    pub max: Duration,
}

impl Default for Ban {
    fn default() -> Self {
        Self {
            after: Duration::from_secs(10),
            first: Duration::from_mins(1),
            max: Duration::from_hours(1),
        }
    }
}

/// What each IPv4 /24 and each IPv6 /48 may send.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct AggregateLimits {
    /// Packets.
    #[serde(serialize_with = "rate_or_off")]
    pub packets: Option<Rate>,
    /// TCP SYNs.
    #[serde(serialize_with = "rate_or_off")]
    pub connections: Option<Rate>,
}

/// What each source may send to a service.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct ServiceLimits {
    /// Packets.
    #[serde(serialize_with = "rate_or_off")]
    pub packets: Option<Rate>,
    /// Bytes, counted from the Ethernet header on.
    #[serde(serialize_with = "rate_or_off")]
    pub bytes: Option<Rate>,
    /// TCP SYNs.
    #[serde(serialize_with = "rate_or_off")]
    pub connections: Option<Rate>,
}

impl ServiceLimits {
    /// Whether there is none.
    #[must_use]
    pub fn is_off(&self) -> bool {
        *self == Self::default()
    }
}

/// What all sources together may send of some kinds of packets.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct ProtocolLimits {
    /// ICMP and ICMPv6 messages, but for neighbour discovery.
    #[serde(serialize_with = "rate_or_off")]
    pub icmp: Option<Rate>,
    /// Fragments of any protocol, first ones too.
    #[serde(serialize_with = "rate_or_off")]
    pub fragments: Option<Rate>,
    /// UDP datagrams that are whole.
    #[serde(serialize_with = "rate_or_off")]
    pub udp: Option<Rate>,
    /// TCP segments that open no connection, of sources that are not known.
    #[serde(serialize_with = "rate_or_off")]
    pub stray: Option<Rate>,
}

impl Default for Limits {
    fn default() -> Self {
        let count = |amount, seconds| {
            Some(Rate {
                amount,
                per: Duration::from_secs(seconds),
                unit: Unit::Count,
            })
        };
        Self {
            packets: count(250_000, 1),
            bytes: None,
            connections: count(120_000, 60),
            burst: Duration::from_secs(1),
            ipv6_prefix: 64,
            new_sources: count(200_000, 1),
            aggregate: AggregateLimits::default(),
            protocol: ProtocolLimits {
                icmp: count(10_000, 1),
                fragments: count(10_000, 1),
                udp: None,
                stray: None,
            },
            ban: None,
        }
    }
}

/// A named set of TCP ports that carry an API, and what is demanded of them.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Service {
    /// Its metric label: `[a-z0-9_-]{1,32}`, unique.
    pub name: String,
    /// Whose ports they are.
    pub direction: Direction,
    /// Its TCP ports, none of them in another service of the same direction.
    #[serde(serialize_with = "port_ranges")]
    pub ports: Vec<RangeInclusive<u16>>,
    /// Whether its connections must be encrypted.
    pub encryption: Encryption,
    /// What is done with a plaintext request where they must.
    pub on_plaintext: OnPlaintext,
    /// Whether that is done, too, with a connection of which the first bytes match nothing.
    pub strict: bool,
    /// The only sources that may reach it, when present; never empty.
    pub allow: Option<Vec<IpNet>>,
    /// What each source may send to it.
    pub limits: ServiceLimits,
    /// What documents it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub openapi: Option<Document>,
}

/// Who calls a service.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Direction {
    /// Others call this host.
    #[default]
    Inbound,
    /// This host calls others.
    Outbound,
}

impl Direction {
    /// Reads `inbound` or `outbound`.
    pub fn parse(text: &str) -> Result<Self, units::Invalid> {
        let choices = [("inbound", Self::Inbound), ("outbound", Self::Outbound)];
        units::choice(text, &choices)
    }

    /// The stable word users see.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Inbound => "inbound",
            Self::Outbound => "outbound",
        }
    }
}

/// Whether a service's connections must be encrypted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Encryption {
    /// They must.
    #[default]
    Required,
    /// They may; plaintext is counted.
    Optional,
    /// Nobody looks.
    Off,
}

impl Encryption {
    /// Reads `required`, `optional` or `off`.
    pub fn parse(text: &str) -> Result<Self, units::Invalid> {
        let choices = [
            ("required", Self::Required),
            ("optional", Self::Optional),
            ("off", Self::Off),
        ];
        units::choice(text, &choices)
    }

    /// The stable word users see.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Required => "required",
            Self::Optional => "optional",
            Self::Off => "off",
        }
    }
}

/// What is done with a plaintext request to a service that requires encryption.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum OnPlaintext {
    /// It passes, is counted and becomes an event.
    #[default]
    Flag,
    /// Its connection is broken off at both ends, and it reaches nobody.
    Reset,
    /// It is dropped.
    Drop,
}

impl OnPlaintext {
    /// Reads `flag`, `reset` or `drop`.
    pub fn parse(text: &str) -> Result<Self, units::Invalid> {
        let choices = [
            ("flag", Self::Flag),
            ("reset", Self::Reset),
            ("drop", Self::Drop),
        ];
        units::choice(text, &choices)
    }

    /// The stable word users see.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Flag => "flag",
            Self::Reset => "reset",
            Self::Drop => "drop",
        }
    }
}

/// A network on the operator's allow or deny list.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Entry {
    /// The network, without host bits; never IPv4-mapped.
    pub cidr: IpNet,
    /// Why it is there: up to 200 printable characters.
    pub reason: Option<String>,
    /// When it ends, in seconds since 1970; nothing when it stays.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub expires: Option<u64>,
}

/// A list that somebody else makes: denied, unless the operator says otherwise.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Feed {
    /// What it is called: `[a-z0-9_-]{1,32}`, unique.
    pub name: String,
    /// Where it was read: the file, or the copy of what was fetched. Empty where nobody looks for one.
    #[serde(skip_serializing_if = "is_empty")]
    pub file: PathBuf,
    /// From where it is fetched, if it is.
    #[serde(flatten)]
    pub download: Option<Download>,
    /// Whether its networks may be of any length.
    pub everyone: bool,
    /// How many networks it lists, those of earlier feeds among them.
    #[serde(skip)]
    pub listed: usize,
    /// Why the copy of what was fetched cannot be used, when it cannot.
    #[serde(skip)]
    pub fault: Option<String>,
    /// All of its networks, in ascending order, each once.
    #[serde(skip)]
    pub all: Arc<[IpNet]>,
    /// Those of them that are in no earlier feed.
    #[serde(rename = "entries", serialize_with = "length")]
    pub nets: Arc<[IpNet]>,
}

/// A list that is fetched.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Download {
    /// From where.
    pub url: FeedUrl,
    /// How old it may become: 10 s to 30 days.
    #[serde(serialize_with = "duration")]
    pub refresh: Duration,
}

fn is_empty(path: &Path) -> bool {
    path.as_os_str().is_empty()
}

fn length<S: Serializer>(nets: &Arc<[IpNet]>, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_u64(nets.len() as u64)
}

#[expect(clippy::ref_option, reason = "the signature serde asks for")]
fn rate_or_off<S: Serializer>(rate: &Option<Rate>, serializer: S) -> Result<S::Ok, S::Error> {
    match rate {
        Some(rate) => serializer.collect_str(rate),
        None => serializer.serialize_str("off"),
    }
}

#[expect(clippy::ref_option, reason = "the signature serde asks for")]
fn ban_or_off<S: Serializer>(ban: &Option<Ban>, serializer: S) -> Result<S::Ok, S::Error> {
    match ban {
        Some(ban) => ban.serialize(serializer),
        None => serializer.serialize_str("off"),
    }
}

fn duration<S: Serializer>(duration: &Duration, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(&units::duration_text(*duration))
}

fn port_ranges<S: Serializer>(
    ports: &[RangeInclusive<u16>],
    serializer: S,
) -> Result<S::Ok, S::Error> {
    serializer.collect_seq(ports.iter().map(PortsText::from))
}

/// Ports as a configuration writes them: a number, or a range in a string.
#[derive(Serialize)]
#[serde(untagged)]
enum PortsText {
    One(u16),
    Range(String),
}

impl From<&RangeInclusive<u16>> for PortsText {
    fn from(ports: &RangeInclusive<u16>) -> Self {
        if ports.start() == ports.end() {
            return Self::One(*ports.start());
        }
        Self::Range(format!("{}-{}", ports.start(), ports.end()))
    }
}
