//! The floods: who sends what.

use std::net::Ipv4Addr;

use lab::{flood::Flood, frames::tcp};

use crate::arena::{Arena, PLAIN_PORT};

/// The first source of a flood.
const FIRST: Ipv4Addr = Ipv4Addr::new(10, 0, 0, 0);
/// Sources that anybody could list.
pub(crate) const MOST_LISTED: u64 = 1_000;
/// Odd, and with no pattern in its bits: the whole part of 2^32 / phi.
const STEP: u64 = 0x9e37_79b1;

/// A kind of flood.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Kind {
    pub(crate) name: &'static str,
    /// How many sources it comes from, in turn.
    pub(crate) sources: u64,
    /// SYNs to the web server, or else datagrams to a port that nobody has.
    is_syn: bool,
}

const fn kind(name: &'static str, sources: u64, is_syn: bool) -> Kind {
    Kind {
        name,
        sources,
        is_syn,
    }
}

pub(crate) const ONE: Kind = kind("UDP from 1 source", 1, false);
pub(crate) const SIXTEEN: Kind = kind("UDP from 16 sources", 16, false);
pub(crate) const THOUSAND: Kind = kind("UDP from 1,000 sources", MOST_LISTED, false);
pub(crate) const SPOOFED_SOME: Kind = kind("UDP, 2^24 spoofed sources", 1 << 24, false);
pub(crate) const SPOOFED: Kind = kind("UDP, 2^32 spoofed sources", 1 << 32, false);
pub(crate) const SYN: Kind = kind("SYNs to the server from 1,000 sources", MOST_LISTED, true);

impl Kind {
    /// Whether its sources are spoofed, so that a list of them is of no use.
    pub(crate) fn is_spoofed(self) -> bool {
        self.sources > MOST_LISTED
    }

    /// As much of it as is wanted.
    pub(crate) fn flood(self, arena: &Arena, frames: u64, rate_pps: Option<u64>) -> Flood {
        let packet = arena.stage.packet(FIRST.into());
        let frame = if self.is_syn {
            packet.tcp(4000, PLAIN_PORT).flags(tcp::SYN).build()
        } else {
            packet.udp(4000, 9).payload([0; 18]).build()
        };
        Flood {
            sources: self.sources,
            step: if self.is_spoofed() { STEP } else { 1 },
            rate_pps,
            ..Flood::new(frame, frames)
        }
    }
}

/// The sources of every flood that is not spoofed.
pub(crate) fn listed() -> Vec<Ipv4Addr> {
    let first = u32::from(FIRST);
    let last = first + MOST_LISTED as u32;
    (first..last).map(Ipv4Addr::from).collect()
}
