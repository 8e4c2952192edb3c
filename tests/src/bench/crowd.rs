//! Offenders and well-behaved sources amid a flood from sources that each send one packet.
//!
//! Time is the manual clock's, so every run comes to the same: a tick of it for each half of a cycle
//! of packets, which is 3.9 million packets a second.

use anyhow::{Context as _, Result};
use aya::{EbpfLoader, maps::Array};
use guard::kernel::{Kernel, Tick};
use guard_common::{
    reason::{Reason, Verdict},
    wire::{COARSE_TICK_NS, Clock},
};

use super::{HOST_V4, SOURCE_V4, load::Loaded, meter, percent_over};
use crate::{frames::Packet, object};

/// Packets of a cycle, as in `flood-ebpf`.
const CYCLE: usize = 1 << 13;
/// Ticks in which a cycle is sent.
const TICKS: usize = 2;
/// The limit of each source, packets a second.
const LIMIT: u64 = 1_000;
/// At once: what the limit gives in `limits.burst`, which is a second.
const CAPACITY: u64 = LIMIT;

/// Sources far above their limit, and how many packets of a cycle each of them sends: 9.5 times its
/// limit.
const OFFENDERS: (usize, usize) = (16, 20);
/// Sources below it, by a twentieth.
const BEHAVED: (usize, usize) = (256, TICKS);

/// Where each kind of source sends its packets. Offenders ask a service in clear, so that those of
/// their packets which pass are counted apart.
const FIRST_PORT: usize = 1001;
const CONFIGURATION: &str = r#"
    [limits]
    packets = "1k/s"
    new_sources = "off"
    [[service]]
    name = "offenders"
    ports = [1001]
"#;

/// Packets of one kind of sources.
#[derive(Clone, Copy, Debug)]
pub struct Share {
    /// How many sources; of the spoofed ones, as many as packets.
    pub sources: u64,
    /// Packets they sent.
    pub sent: u64,
    /// Those that passed.
    pub passed: u64,
}

/// What became of all of them.
#[derive(Clone, Copy, Debug)]
pub struct Crowd {
    /// Far above their limit.
    pub offenders: Share,
    /// Below it.
    pub behaved: Share,
    /// One packet each.
    pub spoofed: Share,
    /// The most that the offenders may get through: each its capacity + time × rate.
    pub bound: u64,
}

impl Crowd {
    /// Percent by which the offenders got more through than they may.
    pub fn error(&self) -> f64 {
        percent_over(self.offenders.passed, self.bound)
    }
}

/// Sends at least so many packets from spoofed sources, and those of the others between them.
pub fn run(spoofed: u64) -> Result<Crowd> {
    let tick = Tick {
        clock: Clock::Manual,
        ns: COARSE_TICK_NS,
    };
    let mut loaded = Loaded::new(CONFIGURATION, None, tick)?;
    let slots = slots();
    let cycles = spoofed.div_ceil(packets_of(Kind::Spoofed, &slots));
    send(&mut loaded.kernel, &slots, cycles * TICKS as u64)?;
    became(&loaded.kernel, &slots, cycles)
}

/// Sends the packets of so many ticks, while the clock stands still for those of each.
fn send(kernel: &mut Kernel, slots: &[Slot], ticks: u64) -> Result<()> {
    let mut object = object::load(&mut EbpfLoader::new())?;
    let mut cycle: Array<_, Slot> = object::array(&mut object, "CYCLE")?;
    for (slot, position) in slots.iter().zip(0..) {
        cycle.set(position, *slot, 0).context("filling CYCLE")?;
    }
    object::set_target(&mut object, kernel.program()?)?;
    let crowd = object::xdp(&mut object, "crowd")?;
    let frame = Packet::ipv4(SOURCE_V4, HOST_V4)
        .tcp(4000, 443)
        .payload(b"GET /v1 HTTP/1.1\r\n\r\n")
        .build();
    for now in 1..=ticks {
        kernel.set_manual_clock(now * COARSE_TICK_NS)?;
        meter::run(crowd, &frame, (CYCLE / TICKS) as u32)?;
    }
    Ok(())
}

/// What became of the packets of so many cycles.
fn became(kernel: &Kernel, slots: &[Slot], cycles: u64) -> Result<Crowd> {
    let count = |verdict, reason| -> Result<u64> {
        Ok(kernel.counters.packets(0, verdict, reason)?.packets)
    };
    let sent = |kind| cycles * packets_of(kind, slots);
    let offenders = Share {
        sources: OFFENDERS.0 as u64,
        sent: sent(Kind::Offender),
        passed: count(Verdict::Pass, Reason::Plaintext)?,
    };
    // Whatever else was dropped is held to be the well-behaved sources'.
    let dropped = count(Verdict::Drop, Reason::LimitPackets)?;
    let of_others = dropped.saturating_sub(offenders.sent - offenders.passed);
    let behaved = sent(Kind::Behaved);
    let spoofed = sent(Kind::Spoofed);
    let refilled = LIMIT * cycles * TICKS as u64 * COARSE_TICK_NS / 1_000_000_000;
    Ok(Crowd {
        offenders,
        behaved: Share {
            sources: BEHAVED.0 as u64,
            sent: behaved,
            passed: behaved.saturating_sub(of_others),
        },
        spoofed: Share {
            sources: spoofed,
            sent: spoofed,
            passed: spoofed,
        },
        bound: OFFENDERS.0 as u64 * (CAPACITY + refilled),
    })
}

/// Who sends a packet, zero for a source that was not there before, and to which port.
type Slot = [u32; 2];

/// In the order of the services.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Offender,
    Behaved,
    Spoofed,
}

fn port_of(kind: Kind) -> u32 {
    (FIRST_PORT + kind as usize) as u32
}

/// Packets of a cycle that are of one kind.
fn packets_of(kind: Kind, slots: &[Slot]) -> u64 {
    let of_kind = slots.iter().filter(|[_, port]| *port == port_of(kind));
    of_kind.count() as u64
}

/// Who sends each packet of a cycle, and to which port. The packets of a source are as far apart as
/// can be.
fn slots() -> Vec<Slot> {
    let mut slots = vec![[0, port_of(Kind::Spoofed)]; CYCLE];
    for (kind, (sources, packets)) in [(Kind::Offender, OFFENDERS), (Kind::Behaved, BEHAVED)] {
        for source in 0..sources {
            // 10.1.0.1 and on for the offenders, 10.2.0.1 and on for the others.
            let address = 0x0a01_0001 + ((kind as u32) << 16) + source as u32;
            for packet in 0..packets {
                // An odd step keeps the sources from taking each other's places all the time.
                let place = source * 31 + packet * CYCLE / packets;
                let mut places = place..place + CYCLE;
                let free = places.find(|place| slots[place % CYCLE][0] == 0);
                if let Some(place) = free {
                    slots[place % CYCLE] = [address, port_of(kind)];
                }
            }
        }
    }
    slots
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_source_has_its_packets_in_a_cycle() {
        let slots = slots();
        let count = |wanted: u32| {
            slots
                .iter()
                .filter(|[address, _]| *address == wanted)
                .count()
        };
        assert_eq!(count(0x0a01_0001), OFFENDERS.1);
        assert_eq!(count(0x0a01_0010), OFFENDERS.1);
        assert_eq!(count(0x0a02_0001), BEHAVED.1);
        assert_eq!(count(0x0a02_0100), BEHAVED.1);
        let spoofed = CYCLE - OFFENDERS.0 * OFFENDERS.1 - BEHAVED.0 * BEHAVED.1;
        assert_eq!(count(0), spoofed);
    }
}
