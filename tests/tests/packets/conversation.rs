//! Conversations over TCP, put into segments in many ways, and shown to the kernel side.

use std::{fmt, time::Duration};

use guard::kernel::Share;
use lab::frames::{Frame, Packet, tcp};

use crate::{
    case::{HOST_V4, HOST_V6},
    rig::{Counts, Rig},
};

/// Where both sides start: near the end of the sequence, so that numbers wrap.
const STARTS: [u32; 2] = [0xffff_fff0, 0xffff_ff00];
const CLIENT_V4: &str = "198.51.100.7";
const CLIENT_V6: &str = "2001:db8:c::7";
/// Longer than any connection may be quiet.
const QUIET: Duration = Duration::from_secs(90);

/// What one of the two ends does.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Does {
    /// The client says something.
    C(&'static [u8]),
    /// The server says something.
    S(&'static [u8]),
    /// The client has nothing more to say, then the server.
    Close,
    /// The server has nothing more to say.
    ServerFin,
    /// The client breaks it off.
    ClientReset,
    /// The server breaks it off.
    ServerReset,
    /// Nobody says anything for so many seconds.
    Wait(u64),
}

/// How a conversation is put into segments.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Way {
    /// Each sentence is a segment.
    Whole,
    /// Each byte is one.
    Bytes,
    /// Pieces of seven bytes, each pair of them in the wrong order.
    Swapped,
    /// Each sentence twice.
    Twice,
    /// Over IPv6.
    Ipv6,
    /// With a VLAN tag.
    Vlan,
}

pub(crate) const WAYS: [Way; 6] = [
    Way::Whole,
    Way::Bytes,
    Way::Swapped,
    Way::Twice,
    Way::Ipv6,
    Way::Vlan,
];

/// Who calls, and how it begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Opens {
    /// With a handshake.
    Shakes,
    /// Nobody has seen it begin.
    Unseen,
    /// The first sentence comes with the SYN (RFC 7413).
    Fast,
}

/// A connection, told segment by segment.
pub(crate) struct Conversation<'r> {
    pub(crate) rig: &'r mut Rig,
    now: &'r mut Duration,
    way: Way,
    outbound: bool,
    ports: [u16; 2],
    /// The next number of the client, and of the server.
    pub(crate) next: [u32; 2],
    /// Whether each segment that arrived passed.
    pub(crate) passed: Vec<bool>,
}

impl fmt::Debug for Conversation<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Conversation").finish_non_exhaustive()
    }
}

impl<'r> Conversation<'r> {
    /// Between a client's port and a server's. `outbound`: the host is the client.
    pub(crate) fn new(
        rig: &'r mut Rig,
        now: &'r mut Duration,
        way: Way,
        outbound: bool,
        ports: [u16; 2],
    ) -> Self {
        Self {
            rig,
            now,
            way,
            outbound,
            ports,
            next: STARTS,
            passed: Vec::new(),
        }
    }

    /// Goes through all of it, and says what was counted.
    pub(crate) fn run(mut self, opens: Opens, does: &[Does]) -> (Counts, Vec<bool>) {
        let before = self.rig.counts();
        let mut does = does.iter();
        match opens {
            Opens::Shakes => self.shake(b""),
            Opens::Unseen => {}
            Opens::Fast => match does.next() {
                Some(Does::C(first)) => self.shake(first),
                _ => panic!("only a client's sentence comes with a SYN"),
            },
        }
        for step in does {
            self.step(*step);
        }
        self.pass(QUIET);
        self.rig.kernel.sweep(Share::All).expect("a sweep");
        let counts = self.rig.counts();
        let changed = counts.into_iter().filter_map(|(name, count)| {
            let change = count - before.get(&name).copied().unwrap_or(0);
            (change != 0 && name.starts_with("connections")).then_some((name, change))
        });
        (changed.collect(), self.passed)
    }

    fn step(&mut self, does: Does) {
        const FIN: u8 = tcp::FIN | tcp::ACK;
        const RST: u8 = tcp::RST | tcp::ACK;
        match does {
            Does::C(text) => self.says(0, text),
            Does::S(text) => self.says(1, text),
            Does::Close => {
                self.segment(0, FIN, b"", 0);
                self.next[0] = self.next[0].wrapping_add(1);
                self.segment(1, FIN, b"", 0);
                self.next[1] = self.next[1].wrapping_add(1);
                self.segment(0, tcp::ACK, b"", 0);
            }
            Does::ServerFin => {
                self.segment(1, FIN, b"", 0);
                self.next[1] = self.next[1].wrapping_add(1);
            }
            Does::ClientReset => self.segment(0, RST, b"", 0),
            Does::ServerReset => self.segment(1, RST, b"", 0),
            Does::Wait(seconds) => {
                self.pass(Duration::from_secs(seconds));
                self.rig.kernel.sweep(Share::All).expect("a sweep");
            }
        }
    }

    /// A handshake; `fast` comes with the SYN.
    pub(crate) fn shake(&mut self, fast: &[u8]) {
        self.call(fast);
        self.segment(0, tcp::ACK, b"", 0);
    }

    /// The same without its last segment.
    pub(crate) fn call(&mut self, fast: &[u8]) {
        self.segment(0, tcp::SYN, fast, 0);
        let behind = 1 + fast.len() as u32;
        self.next[0] = self.next[0].wrapping_add(behind);
        self.segment(1, tcp::SYN | tcp::ACK, b"", 0);
        self.next[1] = self.next[1].wrapping_add(1);
    }

    fn says(&mut self, end: usize, text: &[u8]) {
        const DATA: u8 = tcp::ACK | tcp::PSH;
        let size = match self.way {
            Way::Bytes => 1,
            Way::Swapped => 7,
            _ => text.len(),
        };
        let mut pieces: Vec<(u32, &[u8])> = text
            .chunks(size)
            .zip((0..).step_by(size))
            .map(|(piece, at)| (at, piece))
            .collect();
        if self.way == Way::Swapped {
            pieces.chunks_exact_mut(2).for_each(|pair| pair.swap(0, 1));
        }
        if self.way == Way::Twice {
            pieces = pieces.repeat(2);
        }
        for (at, piece) in pieces {
            self.segment(end, DATA, piece, at);
        }
        self.next[end] = self.next[end].wrapping_add(text.len() as u32);
        // The other end says that it has it all.
        self.segment(1 - end, tcp::ACK, b"", 0);
    }

    /// A segment of one end, so many bytes behind its next number.
    pub(crate) fn segment(&mut self, end: usize, flags: u8, payload: &[u8], at: u32) {
        let seq = self.next[end].wrapping_add(at);
        let ack = if flags & tcp::ACK == 0 {
            0
        } else {
            self.next[1 - end]
        };
        self.send(end, flags, [seq, ack], payload);
    }

    /// A segment with any numbers.
    pub(crate) fn send(&mut self, end: usize, flags: u8, [seq, ack]: [u32; 2], payload: &[u8]) {
        self.pass(Duration::from_millis(2));
        let frame = self
            .packet(end)
            .flags(flags)
            .sequence(seq, ack)
            .payload(payload);
        let by_host = (end == 0) == self.outbound;
        if by_host {
            self.rig.sends(&frame.build());
        } else {
            // A pure ACK is padded to the least length of a frame.
            let frame: Frame = frame.build();
            let passes = self.rig.passes(&frame.pad(60));
            self.passed.push(passes);
        }
    }

    fn packet(&self, end: usize) -> Packet {
        let v6 = self.way == Way::Ipv6;
        let (peer, host) = if v6 {
            (CLIENT_V6, HOST_V6)
        } else {
            (CLIENT_V4, HOST_V4)
        };
        let by_host = (end == 0) == self.outbound;
        let (from, to) = if by_host { (host, peer) } else { (peer, host) };
        let packet = if v6 {
            Packet::ipv6(from, to)
        } else {
            Packet::ipv4(from, to)
        };
        let packet = if self.way == Way::Vlan {
            packet.vlan(5)
        } else {
            packet
        };
        packet.tcp(self.ports[end], self.ports[1 - end])
    }

    pub(crate) fn pass(&mut self, time: Duration) {
        *self.now += time;
        let now_ns = self.now.as_nanos() as u64;
        let clock = self.rig.kernel.set_manual_clock(now_ns);
        clock.expect("setting the clock");
    }
}
