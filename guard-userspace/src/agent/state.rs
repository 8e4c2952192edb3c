//! The running agent: what it holds, and what it says of itself.

use std::{
    process,
    sync::{Mutex, MutexGuard, PoisonError},
    time::{Instant, SystemTime, UNIX_EPOCH},
};

use anyhow::{Context as _, Result, bail, ensure};
use guard_common::{
    reason::{Reason, Verdict},
    wire::Clock,
};
use tracing::{error, info};

use crate::{
    config::{Config, Encryption, OnPlaintext, Service},
    http::Source,
    interface::Interface,
    kernel::{Attachment, Kernel, Mode, RuleCounts, Tick},
    logging::DroppedLines,
    status::{
        ClockStatus, EventStatus, InterfaceStatus, PacketCount, RuleStatus, ServiceStatus, Status,
        payloads_by_word, verdicts_and_reasons,
    },
};

/// The agent while it protects. Dropping it detaches everything.
pub(super) struct Agent {
    config: Config,
    tick: Tick,
    started: Instant,
    started_at: SystemTime,
    dropped_lines: DroppedLines,
    inner: Mutex<Inner>,
}

struct Inner {
    /// By position; nothing while the interface is away.
    attached: Vec<Option<Attached>>,
    kernel: Kernel,
}

struct Attached {
    index: u32,
    attachment: Attachment,
}

impl Agent {
    /// Attaches to every interface, or to none.
    pub(super) fn attach(
        config: Config,
        mut kernel: Kernel,
        tick: Tick,
        found: &[Interface],
        dropped_lines: DroppedLines,
    ) -> Result<Self> {
        let mut attached = Vec::new();
        for (interface, position) in found.iter().zip(0..) {
            let Interface { name, index, .. } = interface;
            let attachment = kernel.attach(position, name, *index, config.xdp_mode)?;
            info!(iface = name, mode = attachment.mode.name(), "attached");
            attached.push(Some(Attached {
                index: *index,
                attachment,
            }));
        }
        Ok(Self {
            config,
            tick,
            started: Instant::now(),
            started_at: SystemTime::now(),
            dropped_lines,
            inner: Mutex::new(Inner { attached, kernel }),
        })
    }

    /// `enforce` or `dry-run`.
    pub(super) fn mode_name(&self) -> &'static str {
        if self.config.dry_run {
            "dry-run"
        } else {
            "enforce"
        }
    }

    /// Takes the program off every interface.
    pub(super) fn detach(&self) {
        self.lock().attached.fill_with(|| None);
    }

    /// The kernel has detached the program together with its interface.
    pub(super) fn interface_gone(&self, index: u32) {
        let mut inner = self.lock();
        for (slot, name) in inner.attached.iter_mut().zip(&self.config.interfaces) {
            if slot
                .as_ref()
                .is_some_and(|attached| attached.index == index)
            {
                *slot = None;
                error!(
                    iface = name,
                    "interface is gone: not protected until it comes back"
                );
            }
        }
    }

    /// An interface of this name has come, perhaps back.
    pub(super) fn interface_appeared(&self, index: u32, name: &str) {
        let mut inner = self.lock();
        let Some(position) = self
            .config
            .interfaces
            .iter()
            .position(|wanted| wanted == name)
        else {
            return;
        };
        if inner.attached[position]
            .as_ref()
            .is_some_and(|attached| attached.index == index)
        {
            return;
        }
        // A renamed or replaced interface takes its old attachment with it.
        inner.attached[position] = None;
        match inner
            .kernel
            .attach(position as u32, name, index, self.config.xdp_mode)
        {
            Ok(attachment) => {
                info!(
                    iface = name,
                    mode = attachment.mode.name(),
                    "interface is back: attached"
                );
                inner.attached[position] = Some(Attached { index, attachment });
            }
            Err(error) => error!(iface = name, %error, "interface is back, but not protected"),
        }
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        // Nobody leaves the state half changed.
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Refuses interfaces that the program cannot or must not be on.
pub(super) fn refuse_unfit(found: &[Interface]) -> Result<()> {
    for interface in found {
        let name = &interface.name;
        // Each packet would look malformed there, and be dropped.
        ensure!(
            interface.ethernet,
            "{name} carries packets without an Ethernet header, which guard cannot read: protect \
             the interface they leave the machine by, and leave out this one"
        );
        if let Some(xdp) = &interface.xdp {
            let hint = if xdp.program_name == crate::kernel::PROGRAM {
                "is another guard agent running?"
            } else {
                "guard never replaces a stranger's program."
            };
            bail!(
                "{name} has an XDP program already, `{}` (id {}, {}): {hint} Stop its owner, or \
                 detach it with `ip link set dev {name} xdp off`, or leave out this interface",
                xdp.program_name,
                xdp.program_id,
                xdp.mode.name(),
            );
        }
    }
    Ok(())
}

impl Source for Agent {
    fn status(&self) -> Result<Status> {
        let inner = self.lock();
        let events = inner.kernel.counters.events()?;
        Ok(Status {
            version: env!("CARGO_PKG_VERSION").to_owned(),
            pid: process::id(),
            uptime_seconds: self.started.elapsed().as_secs(),
            mode: self.mode_name().to_owned(),
            interfaces: self
                .config
                .interfaces
                .iter()
                .enumerate()
                .map(|(position, name)| self.interface_status(&inner, position, name))
                .collect::<Result<_>>()?,
            services: self
                .config
                .services
                .iter()
                .zip(0..)
                .map(|(service, position)| service_status(&inner.kernel, service, position))
                .collect::<Result<_>>()?,
            limits: serde_json::to_value(self.config.limits).context("the limits")?,
            rules: self.rule_status(inner.kernel.rules()),
            events: EventStatus {
                emitted: events.emitted,
                suppressed: events.suppressed,
                lost: events.lost,
            },
            log_lines_dropped: self.dropped_lines.count(),
            clock: ClockStatus {
                source: clock_name(self.tick.clock),
                tick_ns: self.tick.ns,
            },
            maps: inner.kernel.tables().to_vec(),
            config_loaded_at: self
                .started_at
                .duration_since(UNIX_EPOCH)
                .map_or(0, |since| since.as_secs()),
        })
    }

    fn is_ready(&self) -> bool {
        self.lock().attached.iter().all(Option::is_some)
    }
}

impl Agent {
    fn interface_status(
        &self,
        inner: &Inner,
        position: usize,
        name: &str,
    ) -> Result<InterfaceStatus> {
        let attachment = inner.attached[position]
            .as_ref()
            .map(|attached| &attached.attachment);
        let mut packets = Vec::new();
        for (verdict, reason) in verdicts_and_reasons() {
            let count = inner
                .kernel
                .counters
                .packets(position as u32, verdict, reason)?;
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
            name: name.to_owned(),
            attached: attachment.map(|attachment| attachment.mode.name().to_owned()),
            note: attachment.map_or_else(
                || Some("the interface is gone: its traffic is not judged".to_owned()),
                note,
            ),
            packets,
        })
    }

    /// Counters that are shown at zero, so that a dashboard has them before the first packet.
    fn is_expected(&self, verdict: Verdict, reason: Reason) -> bool {
        let refused = if self.config.dry_run {
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

    fn rule_status(&self, in_force: RuleCounts) -> Vec<RuleStatus> {
        let list = |name: &str, configured: usize, in_force| RuleStatus {
            list: name.to_owned(),
            configured: configured as u64,
            in_force,
        };
        vec![
            list("allow", self.config.allow.len(), in_force.allow),
            list("deny", self.config.deny.len(), in_force.deny),
        ]
    }
}

fn note(attachment: &Attachment) -> Option<String> {
    if attachment.mode == Mode::Native {
        return None;
    }
    let why = attachment
        .fallback
        .as_ref()
        .map(|cause| format!("native mode failed: {cause}; "));
    Some(format!(
        "{}generic mode sees merged packets, so limits of packets let more bytes through",
        why.unwrap_or_default()
    ))
}

fn service_status(kernel: &Kernel, service: &Service, position: u32) -> Result<ServiceStatus> {
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
        on_plaintext: match service.on_plaintext {
            OnPlaintext::Flag => "flag",
            OnPlaintext::Drop => "drop",
        }
        .to_owned(),
        payloads: payloads_by_word(|protocol| kernel.counters.payloads(position, protocol))?,
    })
}

fn clock_name(clock: Clock) -> String {
    match clock {
        Clock::Jiffies => "jiffies",
        Clock::Coarse => "coarse",
        Clock::Manual => "manual",
    }
    .to_owned()
}
