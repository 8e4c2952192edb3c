//! What `docs/SPECIFICATION.md` says becomes of a packet, put as plainly as it can be: no hashes, no
//! cache lines, numbers as large as they have to be. The kernel side and this share the parser and
//! the vocabulary, and nothing else.

mod debt;
mod limits;
mod rules;
mod seen;
mod table;
mod tally;

use std::net::IpAddr;

use guard_common::reason::{Reason, Verdict};
use ipnet::IpNet;

pub(crate) use self::{debt::TICK_NS, rules::Rule, seen::Seen};
use self::{
    limits::Limits,
    rules::Rules,
    seen::{Packet, What},
    tally::Tally,
};
use crate::setup::Setup;

/// The kernel side as it has to be.
pub(crate) struct Model {
    setup: Setup,
    rules: Rules,
    limits: Limits,
    /// What it has counted.
    pub(crate) tally: Tally,
}

impl Model {
    pub(crate) fn new(setup: &Setup) -> Self {
        Self {
            rules: Rules::new(setup),
            limits: Limits::new(setup),
            tally: Tally::new(),
            setup: setup.clone(),
        }
    }

    /// What becomes of a frame that arrives at a tick.
    pub(crate) fn judge(&mut self, seen: &Seen, now: u64) -> (Verdict, Reason) {
        let judged = match &seen.what {
            What::Passes => Ok(Reason::Pass),
            What::Unsound(reason) => Err(*reason),
            What::Packet(packet) => {
                let judged = self.decide(packet, now);
                if judged.is_err() {
                    self.tally.event(now);
                }
                judged
            }
        };
        let (verdict, reason) = match judged {
            Ok(reason) => (Verdict::Pass, reason),
            Err(reason) => (self.refusing(), reason),
        };
        self.tally.packet(verdict, reason, seen.bytes);
        (verdict, reason)
    }

    /// The host sends somebody something that shows that it talks with it.
    pub(crate) fn talks_with(&mut self, peer: IpAddr, now: u64) {
        self.limits.note(peer, now);
    }

    /// A network gets another rule, or none, while packets come.
    pub(crate) fn change_rule(&mut self, net: IpNet, entry: Option<(Rule, usize)>) {
        self.rules.change(net, entry);
    }

    /// Packets that were refused since debts are rounded, and for no other reason.
    pub(crate) fn refused_by_rounding(&self) -> u64 {
        self.limits.by_rounding
    }

    /// Every decision, in its order; the first that refuses ends the packet's way.
    fn decide(&mut self, packet: &Packet, now: u64) -> Result<Reason, Reason> {
        let rule = self.rules.of(packet.source);
        if matches!(rule, Some((Rule::Own, _))) {
            return Err(Reason::Spoofed);
        }
        if packet.land {
            return Err(Reason::Land);
        }
        if let Some((_, number)) = rule {
            self.tally.rule(number);
        }
        let allowed = match rule {
            Some((Rule::Deny, _)) => return Err(Reason::Deny),
            Some((Rule::Feed, _)) => return Err(Reason::Feed),
            Some((Rule::Ban, _)) => return Err(Reason::Ban),
            rule => rule.is_some(),
        };
        let segment = packet.segment.as_ref();
        let service = segment.and_then(|segment| self.setup.service(segment.port));
        self.admit(packet.source, service)?;
        if !allowed {
            self.limits.charge(packet, service, now)?;
        }
        Ok(if allowed { Reason::Allow } else { Reason::Pass })
    }

    /// A service with a list takes those on it, and nobody else.
    fn admit(&self, source: IpAddr, service: Option<usize>) -> Result<(), Reason> {
        let list = service.and_then(|service| self.setup.services[service].allow.as_ref());
        match list {
            Some(list) if !list.iter().any(|net| net.contains(&source)) => Err(Reason::ServiceAcl),
            _ => Ok(()),
        }
    }

    /// What refusing means: in dry-run nothing is dropped.
    fn refusing(&self) -> Verdict {
        if self.setup.dry_run {
            Verdict::WouldDrop
        } else {
            Verdict::Drop
        }
    }
}
