//! A packet's way through the kernel side, top to bottom.

use aya_ebpf::{bindings::xdp_action, programs::XdpContext};
use guard_common::{
    facts::{Facts, Shape},
    packet::{Frame as _, Packet},
    reason::{Reason, Verdict},
    wire::{Counter, RuleWord, Told},
};

use crate::{
    clock, events, maps,
    packet::{XdpFrame, read},
    reset, settings,
    stages::{encryption, land, lifelines, limits, offences, rules, services},
    talkers::Counted,
};

/// Why a packet may not pass, and how it is kept from it.
pub(crate) struct Refused(pub(crate) Reason, pub(crate) Refusal);

/// How a packet is kept from passing.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Refusal {
    /// It is gone.
    Drop,
    /// Its connection is broken off.
    Reset,
}

impl Refused {
    /// What refusing means: in dry-run nothing is dropped, nor while everything is let pass.
    #[inline(always)]
    pub(crate) fn verdict() -> Verdict {
        Self::verdict_of(false)
    }

    /// The same, of a connection that is broken off, perhaps.
    #[inline(always)]
    pub(crate) fn verdict_of(reset: bool) -> Verdict {
        let spares = settings::dry_run() || maps::bypassed_until() > clock::ticks();
        match (spares, reset) {
            (true, false) => Verdict::WouldDrop,
            (true, true) => Verdict::WouldReset,
            (false, false) => Verdict::Drop,
            (false, true) => Verdict::Reset,
        }
    }
}

impl From<Reason> for Refused {
    #[inline(always)]
    fn from(reason: Reason) -> Self {
        Self(reason, Refusal::Drop)
    }
}

/// Every decision, in its order. The first that refuses ends the packet's way, but for a lifeline
/// of the host; what lets it pass in the end is the reason it is counted under.
#[inline(always)]
fn judge(frame: &XdpFrame<'_>, facts: &Facts) -> Result<Reason, Refused> {
    let rule = rules::of(facts);
    rules::refuse_own(rule)?;
    land::check(facts)?;
    admit(frame, facts, rule).or_else(|refused| lifelines::spare(frame, facts, refused))
}

/// The decisions before which lifelines go.
#[inline(always)]
fn admit(frame: &XdpFrame<'_>, facts: &Facts, rule: RuleWord) -> Result<Reason, Refused> {
    let standing = rules::check(rule)?;
    let service = services::of(facts);
    services::admit(facts, service)?;
    offences::note(frame, facts, standing);
    limits::charge(facts, standing, service)?;
    let flagged = encryption::check(frame, facts, service)?;
    Ok(flagged.unwrap_or(standing.reason()))
}

/// Judges a frame, counts it, and says what the kernel shall do with it.
#[inline(always)]
pub(crate) fn run(ctx: &XdpContext) -> u32 {
    let frame = XdpFrame::new(ctx);
    let (counted, judged) = match read(&frame) {
        Ok(Packet::NotIp) => (Counted::nobodys(frame.total_len() as u32), Ok(Reason::Pass)),
        Ok(Packet::Ip(packet)) if packet.shape.has(Shape::NEIGHBOUR) => {
            (Counted::nobodys(packet.frame_len), Ok(Reason::Pass))
        }
        Ok(Packet::Ip(packet)) => {
            let facts = frame.settled_facts(&packet, clock::now());
            let judged = judge(&frame, &facts);
            if let Err(Refused(reason, _)) = &judged {
                events::refused(&frame, &facts, *reason);
            }
            let counted = Counted {
                address: facts.address(),
                bytes: facts.bytes,
                now: facts.now,
            };
            (counted, judged)
        }
        Err(unsound) => (
            Counted::nobodys(frame.total_len() as u32),
            Err(Refused::from(unsound.reason())),
        ),
    };
    let (verdict, reason) = match judged {
        Ok(reason) => (Verdict::Pass, reason),
        Err(Refused(reason, refusal)) => (Refused::verdict_of(refusal == Refusal::Reset), reason),
    };
    let interface = frame.interface();
    let position = Counter::position(interface, verdict, reason);
    if maps::count(position, counted.bytes) && settings::tells_talkers() {
        counted.tell(interface, verdict, reason);
    }
    let action = match verdict {
        Verdict::Drop => xdp_action::XDP_DROP,
        // Where it cannot be made one that breaks the connection off, it is gone.
        Verdict::Reset if !settings::resets() || !reset::reset(ctx) => xdp_action::XDP_DROP,
        _ => xdp_action::XDP_PASS,
    };
    if settings::tells() {
        return Told::new(action, verdict, reason).0;
    }
    action
}
