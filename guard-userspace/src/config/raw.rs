//! The file as its keys say it: each value read, none combined with another or with a default.

use std::borrow::Cow;
use std::net::SocketAddr;
use std::time::Duration;

use ipnet::IpNet;
use toml::de::{DeTable, DeValue};

use super::alerts::{self, RawReceiver};
use super::feeds::{self, RawFeed};
use super::problem::Problem;
use super::rate::RateSetting;
use super::schema::{
    AGGREGATE, ALLOW, BAN, DENY, Kind, LIMITS, Located, PROTOCOL, Section, Span, TOP, Walk,
};
use super::services::{self, RawService};
use super::{Entry, MAX_INTERFACES, OnStop, XdpMode, syntax, units};

/// What a file says; a key it leaves out is `None`.
#[derive(Default)]
pub(super) struct RawConfig {
    pub(super) interfaces: Option<Vec<String>>,
    pub(super) xdp_mode: Option<XdpMode>,
    pub(super) dry_run: Option<bool>,
    pub(super) watch: Option<bool>,
    pub(super) on_stop: Option<OnStop>,
    pub(super) protect_self: Option<bool>,
    pub(super) listen: Option<SocketAddr>,
    pub(super) limits: RawLimits,
    pub(super) services: Vec<RawService>,
    pub(super) allow: Vec<Entry>,
    pub(super) deny: Vec<Entry>,
    pub(super) feeds: Vec<RawFeed>,
    pub(super) alerts: Vec<RawReceiver>,
}

/// What `[limits]` says.
#[derive(Default)]
pub(super) struct RawLimits {
    pub(super) packets: Option<Located<RateSetting>>,
    pub(super) bytes: Option<Located<RateSetting>>,
    pub(super) connections: Option<Located<RateSetting>>,
    pub(super) burst: Option<Located<Duration>>,
    pub(super) ipv6_prefix: Option<u8>,
    pub(super) new_sources: Option<Located<RateSetting>>,
    pub(super) aggregate: RawAggregate,
    pub(super) protocol: RawProtocol,
    pub(super) ban: Option<Located<RawBan>>,
}

/// What `ban` of `[limits]` says; nothing where it says "off".
pub(super) type RawBan = Option<BanTimes>;

/// The keys of `ban`.
pub(super) struct BanTimes {
    pub(super) after: Option<Duration>,
    pub(super) first: Option<Located<Duration>>,
    pub(super) max: Option<Located<Duration>>,
}

/// What `[limits.aggregate]` says.
#[derive(Default)]
pub(super) struct RawAggregate {
    pub(super) packets: Option<Located<RateSetting>>,
    pub(super) connections: Option<Located<RateSetting>>,
}

/// What `limits` of a `[[service]]` says.
#[derive(Default)]
pub(super) struct RawServiceLimits {
    pub(super) packets: Option<Located<RateSetting>>,
    pub(super) bytes: Option<Located<RateSetting>>,
    pub(super) connections: Option<Located<RateSetting>>,
}

/// What `[limits.protocol]` says.
#[derive(Default)]
pub(super) struct RawProtocol {
    pub(super) icmp: Option<Located<RateSetting>>,
    pub(super) fragments: Option<Located<RateSetting>>,
    pub(super) udp: Option<Located<RateSetting>>,
    pub(super) stray: Option<Located<RateSetting>>,
}

/// Reads a file: what could be read of it, and everything that is wrong with it.
pub(super) fn parse(text: &str) -> (RawConfig, Vec<Problem>) {
    let (mut tree, errors) = DeTable::parse_recoverable(text);
    let readable = syntax::readable(text, &errors);
    if matches!(readable, Cow::Owned(_)) {
        tree = DeTable::parse_recoverable(&readable).0;
    }
    let mut walk = Walk::default();
    let config = RawConfig::read(&mut walk, tree.get_ref(), tree.span());
    let problems = syntax::merge(text, &errors, walk.problems);
    (config, problems)
}

impl RawConfig {
    fn read(walk: &mut Walk, table: &DeTable<'_>, span: Span) -> Self {
        let top = walk.section(table, span, &TOP);
        Self {
            interfaces: interfaces(walk, &top),
            xdp_mode: walk
                .text(&top, "xdp_mode", "auto", XdpMode::parse)
                .map(value),
            dry_run: walk.flag(&top, "dry_run").map(value),
            watch: walk.flag(&top, "watch").map(value),
            on_stop: walk.text(&top, "on_stop", "keep", OnStop::parse).map(value),
            protect_self: walk.flag(&top, "protect_self").map(value),
            listen: walk
                .text(&top, "listen", "127.0.0.1:9797", units::listen)
                .map(value),
            limits: walk
                .table(&top, "limits", &LIMITS)
                .map(|section| RawLimits::read(walk, &section))
                .unwrap_or_default(),
            services: services::read(walk, &top),
            allow: entries(walk, &top, "allow", &ALLOW),
            deny: entries(walk, &top, "deny", &DENY),
            feeds: feeds::read(walk, &top),
            alerts: alerts::read(walk, &top),
        }
    }
}

impl RawLimits {
    fn read(walk: &mut Walk, section: &Section<'_, '_>) -> Self {
        Self {
            packets: walk.text(section, "packets", "250k/s", RateSetting::count),
            bytes: walk.text(section, "bytes", "100MiB/s", RateSetting::bytes),
            connections: walk.text(section, "connections", "600/min", RateSetting::count),
            burst: walk.text(section, "burst", "1s", units::burst),
            ipv6_prefix: ipv6_prefix(walk, section),
            new_sources: walk.text(section, "new_sources", "200k/s", RateSetting::count),
            aggregate: walk
                .table(section, "aggregate", &AGGREGATE)
                .map(|section| RawAggregate::read(walk, &section))
                .unwrap_or_default(),
            protocol: walk
                .table(section, "protocol", &PROTOCOL)
                .map(|section| RawProtocol::read(walk, &section))
                .unwrap_or_default(),
            ban: ban(walk, section),
        }
    }
}

impl RawAggregate {
    fn read(walk: &mut Walk, section: &Section<'_, '_>) -> Self {
        Self {
            packets: walk.text(section, "packets", "1M/s", RateSetting::count),
            connections: walk.text(section, "connections", "10k/s", RateSetting::count),
        }
    }
}

impl RawServiceLimits {
    pub(super) fn read(walk: &mut Walk, section: &Section<'_, '_>) -> Self {
        Self {
            packets: walk.text(section, "packets", "10k/s", RateSetting::count),
            bytes: walk.text(section, "bytes", "10MiB/s", RateSetting::bytes),
            connections: walk.text(section, "connections", "600/min", RateSetting::count),
        }
    }
}

impl RawProtocol {
    fn read(walk: &mut Walk, section: &Section<'_, '_>) -> Self {
        let mut rate = |key| walk.text(section, key, "10k/s", RateSetting::count);
        Self {
            icmp: rate("icmp"),
            fragments: rate("fragments"),
            udp: rate("udp"),
            stray: rate("stray"),
        }
    }
}

/// `"off"`, or a table of times.
fn ban(walk: &mut Walk, section: &Section<'_, '_>) -> Option<Located<RawBan>> {
    let node = section.table.get("ban")?;
    match node.get_ref() {
        DeValue::String(text) if text == "off" => return Some((None, node.span())),
        DeValue::Table(_) => {}
        _ => {
            let help = "write \"off\", or { after = \"10s\", for = \"1m\", max = \"1h\" }";
            walk.refuse(node.span(), "`ban` must be \"off\" or a table", help);
            return None;
        }
    }
    let section = walk.table(section, "ban", &BAN)?;
    let times = BanTimes {
        after: walk
            .text(&section, "after", "10s", units::patience)
            .map(value),
        first: walk.text(&section, "for", "1m", units::ban),
        max: walk.text(&section, "max", "1h", units::ban),
    };
    Some((Some(times), section.span))
}

fn interfaces(walk: &mut Walk, top: &Section<'_, '_>) -> Option<Vec<String>> {
    let (names, span) = walk.list(top, "interfaces", "eth0", units::interface)?;
    if names.len() > MAX_INTERFACES {
        let message = format!("{} interfaces are more than guard protects", names.len());
        walk.refuse(span, message, format!("name at most {MAX_INTERFACES}"));
    }
    let mut seen: Vec<String> = Vec::with_capacity(names.len());
    for (name, span) in names.into_iter().take(MAX_INTERFACES) {
        if seen.contains(&name) {
            walk.refuse(
                span,
                format!("interface `{name}` is named twice"),
                "remove one of them",
            );
        } else {
            seen.push(name);
        }
    }
    Some(seen)
}

fn ipv6_prefix(walk: &mut Walk, section: &Section<'_, '_>) -> Option<u8> {
    let node = section.table.get("ipv6_prefix")?;
    let bits = match node.get_ref() {
        DeValue::Integer(bits) => u8::from_str_radix(bits.as_str(), bits.radix()).ok(),
        _ => None,
    };
    let valid = bits.filter(|bits| (32..=128).contains(bits));
    if valid.is_none() {
        let message = "`ipv6_prefix` must be a whole number from 32 to 128";
        walk.refuse(
            node.span(),
            message,
            "write `ipv6_prefix = 64` for one source per subnet",
        );
    }
    valid
}

fn entries(walk: &mut Walk, top: &Section<'_, '_>, key: &str, kind: &'static Kind) -> Vec<Entry> {
    let sections = walk.tables(top, key, kind);
    let mut entries = Vec::with_capacity(sections.len());
    for section in sections {
        if !section.table.contains_key("cidr") {
            let message = format!("this {} names no network", kind.name);
            walk.refuse(
                section.span.clone(),
                message,
                "add `cidr = \"192.0.2.0/24\"`",
            );
        }
        let cidr = walk.text(&section, "cidr", "192.0.2.0/24", units::cidr);
        let reason = walk
            .text(&section, "reason", "monitoring", units::reason)
            .map(value);
        let expires = expires(walk, &section);
        refuse_everyone(walk, &section, cidr.as_ref());
        entries.extend(cidr.map(|(cidr, _)| Entry {
            cidr,
            reason,
            expires,
        }));
    }
    entries
}

/// Who denies everyone has to say so, and nobody else.
fn refuse_everyone(walk: &mut Walk, section: &Section<'_, '_>, cidr: Option<&Located<IpNet>>) {
    let meant = walk.flag(section, "everyone");
    let Some((cidr, span)) = cidr.filter(|_| section.kind.keys.contains(&"everyone")) else {
        return;
    };
    match (units::is_everyone(*cidr), meant) {
        (true, None | Some((false, _))) => walk.refuse(
            span.clone(),
            format!("`{cidr}` denies everyone"),
            "name the networks that are meant; or, if everyone is, add `everyone = true` here",
        ),
        (false, Some((true, span))) => walk.refuse(
            span,
            format!("`{cidr}` is not everyone"),
            "remove `everyone`, which goes with 0.0.0.0/0 and ::/0 only",
        ),
        _ => {}
    }
}

/// When an entry ends: a string or a date and time of TOML, either with an offset from UTC.
fn expires(walk: &mut Walk, section: &Section<'_, '_>) -> Option<u64> {
    let node = section.table.get("expires")?;
    let text = match node.get_ref() {
        DeValue::String(text) => text.to_string(),
        DeValue::Datetime(time) => time.to_string(),
        _ => String::new(),
    };
    walk.accept(units::time(&text), node.span()).map(value)
}

fn value<T>((value, _): Located<T>) -> T {
    value
}
