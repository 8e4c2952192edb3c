//! The running agent: what it holds, and what it says of itself.

use std::{
    net::IpAddr,
    process,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Instant, SystemTime, UNIX_EPOCH},
};

use anyhow::{Context as _, Result};
use guard_common::{
    reason::{Reason, Verdict},
    wire::{Clock as ClockSource, Evicted},
};
use tracing::error;

use super::{
    book,
    interfaces::{Guarded, Interfaces},
    reload::{Clock, Over},
};
use crate::{
    cli::RunFlags,
    config::{Config, Encryption, Service},
    entries::{Banned, Done, Edit, Explanation, List, Listed, Unban},
    findings::{Findings, Told},
    http::Source,
    interface::Interface,
    kernel::{Kernel, RuleCounts},
    logging::DroppedLines,
    ssh::Peers,
    status::{
        ClockStatus, EventStatus, InterfaceStatus, PacketCount, RuleStatus, ServiceStatus, Status,
        connections_by_word, verdicts_and_reasons,
    },
};

/// The agent while it protects. Dropping it detaches everything.
pub(super) struct Agent {
    pub(super) flags: RunFlags,
    pub(super) clock: Clock,
    names: Vec<String>,
    started: Instant,
    dropped_lines: DroppedLines,
    findings: Arc<Mutex<Findings>>,
    inner: Mutex<Inner>,
}

/// What changes.
pub(super) struct Inner {
    pub(super) interfaces: Interfaces,
    pub(super) kernel: Kernel,
    pub(super) rules: Rules,
    /// Who has an SSH connection to this host, when that was last looked at.
    pub(super) peers: Peers,
    pub(super) loaded_at: SystemTime,
    pub(super) reload_failed: bool,
}

/// What is enforced.
pub(super) struct Rules {
    pub(super) config: Config,
    pub(super) over: Over,
}

impl Agent {
    /// Attaches to every interface, or to none.
    pub(super) fn attach(
        rules: Rules,
        flags: RunFlags,
        mut kernel: Kernel,
        clock: Clock,
        found: &[Interface],
        dropped_lines: DroppedLines,
        findings: Arc<Mutex<Findings>>,
    ) -> Result<Self> {
        let interfaces = Interfaces::attach(&mut kernel, found, rules.config.xdp_mode)?;
        Ok(Self {
            flags,
            clock,
            names: rules.config.interfaces.clone(),
            started: Instant::now(),
            dropped_lines,
            findings,
            inner: Mutex::new(Inner {
                interfaces,
                kernel,
                rules,
                peers: Peers::default(),
                loaded_at: SystemTime::now(),
                reload_failed: false,
            }),
        })
    }

    /// `enforce` or `dry-run`.
    pub(super) fn mode_name(&self) -> &'static str {
        self.lock().mode_name()
    }

    /// Takes the program off every interface.
    pub(super) fn detach(&self) {
        self.lock().interfaces.detach();
    }

    /// The names of the interfaces.
    pub(super) fn interface_names(&self) -> &[String] {
        &self.names
    }

    /// The kernel has removed an interface, and the program with it.
    pub(super) fn interface_gone(&self, index: u32) {
        self.lock().interfaces.gone(index);
    }

    /// What the kernel calls the program in force.
    pub(super) fn program_id(&self) -> u32 {
        self.lock().kernel.program_id()
    }

    /// Compares with the interfaces that were found, and protects what can be protected. `program_id`
    /// is that of the program in force before they were looked up: has a reload replaced it since,
    /// they may show either, and say nothing of who took what off. The next look will.
    pub(super) fn attend(&self, found: &[Interface], program_id: u32) {
        let Inner {
            interfaces, kernel, ..
        } = &mut *self.lock();
        if kernel.program_id() != program_id {
            return;
        }
        interfaces.attend(kernel, found, Instant::now());
    }

    /// Gives up the connections that have been quiet for too long.
    pub(super) fn sweep(&self) {
        if let Err(error) = self.lock().kernel.sweep() {
            error!(
                error = format!("{error:#}"),
                "connections that are quiet stay uncounted"
            );
        }
    }

    fn findings(&self) -> MutexGuard<'_, Findings> {
        // Nobody leaves them half changed.
        self.findings.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn lock(&self) -> MutexGuard<'_, Inner> {
        // Nobody leaves the state half changed.
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Source for Agent {
    fn status(&self) -> Result<Status> {
        let inner = self.lock();
        let events = inner.kernel.counters.events()?;
        Ok(Status {
            version: env!("CARGO_PKG_VERSION").to_owned(),
            pid: process::id(),
            uptime_seconds: self.started.elapsed().as_secs(),
            mode: inner.mode_name().to_owned(),
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
                    service_status(&inner.kernel, &self.findings(), service, position)
                })
                .collect::<Result<_>>()?,
            limits: serde_json::to_value(inner.rules.config.limits).context("the limits")?,
            rules: inner.rule_status(inner.kernel.rules()),
            bans: inner.rules.over.bans.count(book::now()) as u64,
            warnings: inner.warnings(),
            connections_evicted: inner.kernel.counters.evicted(Evicted::Talks)?,
            events: EventStatus {
                emitted: events.emitted,
                suppressed: events.suppressed,
                lost: events.lost,
            },
            log_lines_dropped: self.dropped_lines.count(),
            clock: ClockStatus {
                source: clock_name(self.clock.tick.clock),
                tick_ns: self.clock.tick.ns,
            },
            maps: inner.kernel.tables(),
            last_reload_failed: inner.reload_failed,
            config_loaded_at: inner
                .loaded_at
                .duration_since(UNIX_EPOCH)
                .map_or(0, |since| since.as_secs()),
        })
    }

    fn reload(&self) -> Result<Done> {
        Self::reload(self)
    }

    fn edit(&self, edit: Edit) -> Result<Done> {
        Self::edit(self, edit)
    }

    fn entries(&self, list: List) -> Vec<Listed> {
        Self::entries(self, list)
    }

    fn bans(&self) -> Vec<Banned> {
        self.lock().rules.over.bans.list(book::now())
    }

    fn unban(&self, unban: &Unban) -> Result<()> {
        Self::unban(self, unban)
    }

    fn explain(&self, address: IpAddr) -> Explanation {
        Self::explain(self, address)
    }

    fn events(&self) -> Vec<Told> {
        self.findings().latest()
    }

    fn is_ready(&self) -> bool {
        let inner = self.lock();
        inner
            .interfaces
            .iter()
            .all(|guarded| guarded.mode().is_some())
    }
}

impl Inner {
    /// `enforce` or `dry-run`.
    fn mode_name(&self) -> &'static str {
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
            Reason::Plaintext => verdict == Verdict::Pass || verdict == refused,
            _ => verdict == refused,
        }
    }

    /// How many entries a list has, those of the running agent too.
    fn configured(&self, list: List) -> usize {
        let config = &self.rules.config;
        let configured = match list {
            List::Allow => config.allow.len(),
            List::Deny => config.deny.len(),
        };
        let others = self
            .rules
            .over
            .book
            .list()
            .filter(|entry| entry.list == list);
        configured + others.count()
    }

    /// How many entries the feeds have, each counted once.
    fn listed_by_feeds(&self) -> usize {
        let feeds = self.rules.config.feeds.iter();
        feeds.map(|feed| feed.nets.len()).sum()
    }

    fn rule_status(&self, in_force: RuleCounts) -> Vec<RuleStatus> {
        let list = |name: &str, configured: usize, in_force| RuleStatus {
            list: name.to_owned(),
            configured: configured as u64,
            in_force,
        };
        vec![
            list("allow", self.configured(List::Allow), in_force.allow),
            list("deny", self.configured(List::Deny), in_force.deny),
            list("feed", self.listed_by_feeds(), in_force.feed),
        ]
    }
}

fn service_status(
    kernel: &Kernel,
    findings: &Findings,
    service: &Service,
    position: u32,
) -> Result<ServiceStatus> {
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
        encryption: match service.encryption {
            Encryption::Required => "required",
            Encryption::Optional => "optional",
            Encryption::Off => "off",
        }
        .to_owned(),
        direction: service.direction.name().to_owned(),
        on_plaintext: service.on_plaintext.name().to_owned(),
        strict: service.strict,
        connections: connections_by_word(|outcome, protocol| {
            kernel.counters.connections(position, outcome, protocol)
        })?,
        credentials: findings.credentials(&service.name),
        tls: findings.tls(&service.name),
    })
}

fn clock_name(clock: ClockSource) -> String {
    match clock {
        ClockSource::Jiffies => "jiffies",
        ClockSource::Coarse => "coarse",
        ClockSource::Manual => "manual",
    }
    .to_owned()
}
