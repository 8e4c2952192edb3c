//! The agent at one moment, as it is told to whoever asks.

use std::{process, time::UNIX_EPOCH};

use anyhow::{Context as _, Result};
use guard_common::{
    connection::Outcome,
    reason::{Reason, Verdict},
    wire::Evicted,
};

use super::{Agent, Inner};
use crate::{
    agent::{book, interfaces::Guarded, trial::Trial},
    config::Service,
    entries::List,
    findings::Findings,
    kernel::{Kernel, RuleCounts},
    status::{
        ClockStatus, DocumentStatus, EventStatus, InterfaceStatus, PacketCount, RuleStatus,
        ServiceStatus, Status, connections_by_word, verdicts_and_reasons,
    },
};

/// Sources that are named in the status.
const BANNED_LAST: usize = 10;

/// How much of the state is read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::agent) enum Extent {
    /// All that is told.
    Whole,
    /// What alerts need: of many services, reading all would take a while each second.
    ForAlerts,
}

impl Agent {
    /// The agent at this moment.
    pub(in crate::agent) fn snapshot(&self, extent: Extent) -> Result<Status> {
        let mut inner = self.lock();
        inner.count_missing();
        let events = inner.kernel.counters.events()?;
        Ok(Status {
            version: env!("CARGO_PKG_VERSION").to_owned(),
            pid: process::id(),
            uptime_seconds: self.started.elapsed().as_secs(),
            mode: inner.mode_name().to_owned(),
            on_stop: inner.rules.config.on_stop.name().to_owned(),
            bypass_until: inner.kernel.bypass(book::now())?,
            trial_until: inner.trial.as_ref().map(Trial::until_unix),
            interfaces: inner
                .interfaces
                .iter()
                .zip(0..)
                .map(|(guarded, position)| inner.interface_status(guarded, position))
                .collect::<Result<_>>()?,
            services: inner
                .rules
                .config
                .services
                .iter()
                .zip(0..)
                .map(|(service, position)| {
                    service_status(&inner.kernel, &self.findings(), service, position, extent)
                })
                .collect::<Result<_>>()?,
            limits: serde_json::to_value(inner.rules.config.limits).context("the limits")?,
            rules: inner.rule_status(inner.kernel.rules()),
            protect_self: inner.lifelines.status(),
            bans: inner.rules.over.bans.count(book::now()) as u64,
            bans_begun: inner.rules.over.bans.begun(),
            banned_last: inner.rules.over.bans.last(BANNED_LAST, book::now()),
            warnings: [inner.warnings(), self.alerts.broken()].concat(),
            privileges: self.privileges.get().cloned().unwrap_or_default(),
            connections_evicted: inner.kernel.counters.evicted(Evicted::Talks)?,
            events: EventStatus {
                emitted: events.emitted,
                suppressed: events.suppressed,
                lost: events.lost,
            },
            log_lines_dropped: self.dropped_lines.count(),
            clock: ClockStatus {
                source: self.clock.tick.clock.name().to_owned(),
                tick_ns: self.clock.tick.ns,
            },
            pinned: inner.kernel.is_pinned(),
            map_pins_lost: inner.map_pins.lost,
            maps: inner.kernel.tables(),
            feeds: inner
                .fetches
                .status(&inner.rules.config.feeds, inner.loaded_at()),
            last_reload_failed: inner.refusal.is_some(),
            last_reload_error: inner.refusal.clone(),
            config_loaded_at: inner.loaded_at(),
            alerts: match extent {
                Extent::Whole => self.alerts.status(),
                Extent::ForAlerts => None,
            },
        })
    }
}

impl Inner {
    /// When the configuration in force was taken, in seconds since 1970.
    pub(super) fn loaded_at(&self) -> u64 {
        let since = self.loaded_at.duration_since(UNIX_EPOCH);
        since.map_or(0, |since| since.as_secs())
    }

    /// `enforce` or `dry-run`.
    pub(super) fn mode_name(&self) -> &'static str {
        if self.rules.config.dry_run {
            "dry-run"
        } else {
            "enforce"
        }
    }

    fn interface_status(&self, guarded: &Guarded, position: u32) -> Result<InterfaceStatus> {
        let mut packets = Vec::new();
        for (verdict, reason) in verdicts_and_reasons() {
            let count = self.kernel.counters.packets(position, verdict, reason)?;
            if count.packets > 0 || self.is_expected(verdict, reason) {
                packets.push(PacketCount {
                    verdict: verdict.name().to_owned(),
                    reason: reason.name().to_owned(),
                    packets: count.packets,
                    bytes: count.bytes,
                });
            }
        }
        Ok(InterfaceStatus {
            name: guarded.name.clone(),
            attached: guarded.mode().map(|mode| mode.name().to_owned()),
            note: guarded.note(),
            pins_lost: guarded.pins_lost,
            packets,
        })
    }

    /// Counters that are shown at zero, so that a dashboard has them before the first packet.
    fn is_expected(&self, verdict: Verdict, reason: Reason) -> bool {
        let refused = if self.rules.config.dry_run {
            Verdict::WouldDrop
        } else {
            Verdict::Drop
        };
        match reason {
            Reason::Pass | Reason::Allow => verdict == Verdict::Pass,
            Reason::ProtectSelf => self.rules.config.protect_self && verdict == Verdict::Pass,
            Reason::Plaintext => verdict == Verdict::Pass || verdict == refused,
            _ => verdict == refused,
        }
    }

    /// How many entries a list has, those of the running agent too.
    pub(in crate::agent) fn configured(&self, list: List) -> usize {
        let config = &self.rules.config;
        let configured = match list {
            List::Allow => config.allow.len(),
            List::Deny => config.deny.len(),
        };
        configured + self.rules.over.book.nets(list).count()
    }

    /// How many entries the feeds have, each counted once.
    pub(in crate::agent) fn listed_by_feeds(&self) -> usize {
        let feeds = self.rules.config.feeds.iter();
        feeds.map(|feed| feed.nets.len()).sum()
    }

    fn rule_status(&self, in_force: RuleCounts) -> Vec<RuleStatus> {
        let missing = &self.missing;
        let list = |name: &str, configured: usize, in_force, missing| RuleStatus {
            list: name.to_owned(),
            configured: configured as u64,
            in_force,
            missing,
        };
        let (allow, deny) = (self.configured(List::Allow), self.configured(List::Deny));
        let feeds = self.listed_by_feeds();
        vec![
            list("allow", allow, in_force.allow, missing.allow),
            list("deny", deny, in_force.deny, missing.deny),
            list("feed", feeds, in_force.feed, missing.feed),
        ]
    }
}

fn service_status(
    kernel: &Kernel,
    findings: &Findings,
    service: &Service,
    position: u32,
    extent: Extent,
) -> Result<ServiceStatus> {
    let is_read = |outcome| extent == Extent::Whole || outcome == Outcome::PlaintextServed;
    let counted = kernel.counters.connections(position)?;
    Ok(ServiceStatus {
        name: service.name.clone(),
        ports: service
            .ports
            .iter()
            .map(|ports| match (ports.start(), ports.end()) {
                (first, last) if first == last => first.to_string(),
                (first, last) => format!("{first}-{last}"),
            })
            .collect(),
        encryption: service.encryption.name().to_owned(),
        direction: service.direction.name().to_owned(),
        on_plaintext: service.on_plaintext.name().to_owned(),
        strict: service.strict,
        connections: connections_by_word(|outcome, protocol| {
            if is_read(outcome) {
                counted(outcome, protocol)
            } else {
                0
            }
        }),
        openapi: service.openapi.as_ref().map(|document| DocumentStatus {
            file: document.file.display().to_string(),
            version: document.version.clone(),
            operations: document.operations as u64,
        }),
        credentials: findings.credentials(&service.name),
        tls: findings.tls(&service.name),
    })
}
