//! What two looks at the agent show: what there is, and how fast it goes.
#![expect(clippy::cast_precision_loss, reason = "rates")]

use std::collections::BTreeMap;

use guard_common::connection::Outcome;
use ipnet::IpNet;
use serde::Serialize;

use super::{snapshot::Snapshot, text::plain};
use crate::{
    entries::Banned,
    status::{InterfaceStatus, PacketCount, ServiceStatus},
};

/// Everything there is to show. Texts in it are safe for a terminal.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Picture {
    /// The agent's version.
    pub version: String,
    /// `enforce`, `dry-run` or `bypass`.
    pub mode: String,
    /// How long the agent has been running.
    pub uptime_seconds: u64,
    /// The time between the two looks, by which the rates are; zero where there was one only, and
    /// where the agent is another one: then all rates are zero.
    pub seconds: f64,
    /// What is wrong.
    pub warnings: Vec<String>,
    /// Sources that are banned.
    pub bans: u64,
    /// The interfaces.
    pub interfaces: Vec<InterfaceRow>,
    /// What was counted, over all interfaces: what goes fastest first.
    pub reasons: Vec<ReasonRow>,
    /// Who sends most, most first. Estimates: one packet in about this many is looked at.
    pub talkers_one_packet_in: u32,
    /// The same over this time.
    pub talkers_seconds: f64,
    /// Those sources.
    pub talkers: Vec<TalkerRow>,
    /// The services.
    pub services: Vec<ServiceRow>,
    /// What was found lately, newest last.
    pub events: Vec<EventRow>,
}

/// Packets and bytes, and how fast they come.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
pub struct Flow {
    /// Packets a second.
    pub packets_per_second: f64,
    /// Bytes a second.
    pub bytes_per_second: f64,
    /// Packets since the agent started.
    pub packets: u64,
    /// Bytes since the agent started.
    pub bytes: u64,
}

/// An interface.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct InterfaceRow {
    /// Its name.
    pub name: String,
    /// `native` or `generic`; nothing while it is not protected.
    pub attached: Option<String>,
    /// What passed.
    pub passed: Flow,
    /// What was dropped or reset, or would have been in dry-run.
    pub refused: Flow,
}

/// A verdict and a reason.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct ReasonRow {
    /// What was done.
    pub verdict: String,
    /// Why.
    pub reason: String,
    /// How much.
    #[serde(flatten)]
    pub flow: Flow,
}

/// A source.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct TalkerRow {
    /// An address, or an IPv6 prefix.
    pub source: String,
    /// Packets a second, estimated.
    pub packets_per_second: f64,
    /// Bytes a second, estimated.
    pub bytes_per_second: f64,
    /// Which part of its packets is refused: 0 to 1.
    pub refused_share: f64,
    /// What most of them are refused for, or passed.
    pub reason: String,
    /// For how long it is still banned, when it is.
    pub banned_for_seconds: Option<u64>,
}

/// A service.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct ServiceRow {
    /// Its name.
    pub name: String,
    /// Its ports.
    pub ports: Vec<String>,
    /// `required`, `optional` or `off`.
    pub encryption: String,
    /// `flag`, `reset` or `drop`.
    pub on_plaintext: String,
    /// Its connections by encryption verdict; those that there were none of are left out.
    pub connections: Vec<VerdictRow>,
}

/// Connections of one encryption verdict.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct VerdictRow {
    /// The verdict.
    pub verdict: String,
    /// Since the agent started.
    pub connections: u64,
    /// A second.
    pub per_second: f64,
}

/// Something that was found.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct EventRow {
    /// When, in milliseconds since 1970.
    pub time_ms: u64,
    /// One line.
    pub text: String,
}

impl Picture {
    /// What `new` shows, with rates since `old`.
    #[must_use]
    pub fn between(old: Option<&Snapshot>, new: &Snapshot) -> Self {
        // Another agent counts from zero.
        let old = old.filter(|old| {
            old.status.pid == new.status.pid
                && old.status.uptime_seconds <= new.status.uptime_seconds
        });
        let seconds = old.map_or(0.0, |old| (new.taken - old.taken).as_secs_f64());
        let status = &new.status;
        let speed = Speed { seconds };
        let before = |name: &str| {
            let mut interfaces = old?.status.interfaces.iter();
            interfaces.find(|interface| interface.name == name)
        };
        let pairs: Vec<_> = status
            .interfaces
            .iter()
            .map(|interface| (before(&interface.name), interface))
            .collect();
        Self {
            version: plain(&status.version),
            mode: plain(&status.mode),
            uptime_seconds: status.uptime_seconds,
            seconds,
            warnings: status.warnings.iter().map(|text| plain(text)).collect(),
            bans: status.bans,
            interfaces: pairs
                .iter()
                .map(|(before, interface)| speed.interface(*before, interface))
                .collect(),
            reasons: speed.reasons(&pairs),
            talkers_one_packet_in: new.talkers.one_packet_in,
            talkers_seconds: new.talkers.seconds,
            talkers: talkers(new),
            services: status
                .services
                .iter()
                .map(|service| {
                    let mut services = old.into_iter().flat_map(|old| &old.status.services);
                    speed.service(services.find(|old| old.name == service.name), service)
                })
                .collect(),
            events: events(new),
        }
    }
}

/// What a difference comes to in a second.
#[derive(Clone, Copy)]
struct Speed {
    /// Zero: nothing is known of before.
    seconds: f64,
}

impl Speed {
    fn of(self, old: u64, new: u64) -> f64 {
        if self.seconds > 0.0 {
            new.saturating_sub(old) as f64 / self.seconds
        } else {
            0.0
        }
    }

    fn flow(self, [old, new]: [Sum; 2]) -> Flow {
        Flow {
            packets_per_second: self.of(old.packets, new.packets),
            bytes_per_second: self.of(old.bytes, new.bytes),
            packets: new.packets,
            bytes: new.bytes,
        }
    }

    fn interface(self, old: Option<&InterfaceStatus>, new: &InterfaceStatus) -> InterfaceRow {
        let flow = |passes: bool| {
            let sum = |interface: &InterfaceStatus| {
                let counts = interface.packets.iter();
                counts
                    .filter(|count| (count.verdict == "pass") == passes)
                    .fold(Sum::default(), Sum::with)
            };
            self.flow([old.map(sum).unwrap_or_default(), sum(new)])
        };
        InterfaceRow {
            name: plain(&new.name),
            attached: new.attached.as_deref().map(plain),
            passed: flow(true),
            refused: flow(false),
        }
    }

    fn reasons(self, pairs: &[(Option<&InterfaceStatus>, &InterfaceStatus)]) -> Vec<ReasonRow> {
        let mut sums: BTreeMap<(&str, &str), [Sum; 2]> = BTreeMap::new();
        for (old, new) in pairs {
            let old = old.iter().flat_map(|old| &old.packets);
            let counts = old.map(|count| (0, count));
            for (at, count) in counts.chain(new.packets.iter().map(|count| (1, count))) {
                let sums = sums.entry((&count.verdict, &count.reason)).or_default();
                sums[at] = sums[at].with(count);
            }
        }
        let mut rows: Vec<_> = sums
            .into_iter()
            .filter(|(_, [_, new])| new.packets > 0)
            .map(|((verdict, reason), sums)| ReasonRow {
                verdict: plain(verdict),
                reason: plain(reason),
                flow: self.flow(sums),
            })
            .collect();
        rows.sort_by(|one, other| {
            let rank = |row: &ReasonRow| (row.flow.packets_per_second, row.flow.packets);
            let (one, other) = (rank(one), rank(other));
            other.0.total_cmp(&one.0).then(other.1.cmp(&one.1))
        });
        rows
    }

    fn service(self, old: Option<&ServiceStatus>, new: &ServiceStatus) -> ServiceRow {
        let sum = |service: &ServiceStatus, verdict: &str| -> u64 {
            let protocols = service.connections.get(verdict);
            protocols.into_iter().flat_map(BTreeMap::values).sum()
        };
        let verdicts = Outcome::ALL.map(Outcome::name).into_iter();
        let connections = verdicts.map(|verdict| {
            let connections = sum(new, verdict);
            let before = old.map_or(0, |old| sum(old, verdict));
            VerdictRow {
                verdict: verdict.to_owned(),
                connections,
                per_second: self.of(before, connections),
            }
        });
        ServiceRow {
            name: plain(&new.name),
            ports: new.ports.iter().map(|ports| plain(ports)).collect(),
            encryption: plain(&new.encryption),
            on_plaintext: plain(&new.on_plaintext),
            connections: connections.filter(|row| row.connections > 0).collect(),
        }
    }
}

/// Packets and bytes.
#[derive(Clone, Copy, Default)]
struct Sum {
    packets: u64,
    bytes: u64,
}

impl Sum {
    fn with(self, count: &PacketCount) -> Self {
        Self {
            packets: self.packets + count.packets,
            bytes: self.bytes + count.bytes,
        }
    }
}

fn talkers(new: &Snapshot) -> Vec<TalkerRow> {
    let banned_for = |source: IpNet| {
        let holds = |ban: &&Banned| ban.source.contains(&source);
        let ban = new.bans.iter().find(holds)?;
        Some(ban.until.saturating_sub(new.time))
    };
    let rows = new.talkers.sources.iter().map(|talker| TalkerRow {
        source: shown(talker.source),
        packets_per_second: talker.packets_per_second,
        bytes_per_second: talker.bytes_per_second,
        refused_share: talker.refused_share,
        reason: plain(&talker.reason),
        banned_for_seconds: banned_for(talker.source),
    });
    rows.collect()
}

/// By their time: what takes a while to find out comes late.
fn events(new: &Snapshot) -> Vec<EventRow> {
    let rows = new.events.iter().map(|event| EventRow {
        time_ms: event.time_ms,
        text: plain(&event.text),
    });
    let mut rows: Vec<_> = rows.collect();
    rows.sort_by_key(|row| row.time_ms);
    rows
}

/// A single address needs no length.
fn shown(net: IpNet) -> String {
    if net.prefix_len() == net.max_prefix_len() {
        net.addr().to_string()
    } else {
        net.to_string()
    }
}

#[cfg(test)]
mod tests;
