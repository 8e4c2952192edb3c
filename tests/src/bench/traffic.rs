//! A packet of a benchmark: who sends it to whom, and what it is.

use std::net::IpAddr;

use anyhow::{Context as _, Result};
use aya::{TestRun as _, TestRunOptions};
use guard::kernel::Kernel;
use guard_common::{
    connection::Outcome,
    protocol::Protocol,
    reason::{Reason, Verdict},
};

use super::{
    Family::{self, V4, V6},
    HOST_V4, HOST_V6, SOURCE_V4, SOURCE_V6, STRANGER_V4, STRANGER_V6,
    lists::Lists,
    meter::Senders,
};
use crate::frames::{Frame, Packet, tcp};

/// A port of the default service.
pub const PORT: u16 = 443;

/// Whom a packet comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum From {
    /// The same source each time, on no list, which the host talks with.
    One,
    /// The same, which the host does not talk with.
    Stranger,
    /// The same, which the lists hold.
    Listed,
    /// The same, of which the lists hold a prefix.
    InListed,
    /// Another each time, at random among all there are.
    New,
}

/// What a packet is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A datagram of 18 bytes: the smallest frame.
    Udp,
    /// 1,200 bytes of ciphertext to a service, of a connection that is known to be encrypted.
    Data,
    /// A SYN to a service.
    Syn,
    /// The same, to a port that is no service's.
    Elsewhere,
    /// The same from a service: it leaves.
    Leaves,
}

/// A packet, sent again and again.
#[derive(Clone, Copy, Debug)]
pub struct Traffic {
    /// Its family.
    pub family: Family,
    /// Who sends it.
    pub from: From,
    /// What it is.
    pub kind: Kind,
    /// What most of the packets have to be counted under, or something else is measured.
    pub reason: Reason,
}

impl Traffic {
    /// One that passes.
    pub const fn benign(family: Family, from: From, kind: Kind) -> Self {
        Self {
            family,
            from,
            kind,
            reason: Reason::Pass,
        }
    }

    /// One that comes from somebody who is denied.
    pub const fn denied(family: Family, from: From) -> Self {
        Self {
            family,
            from,
            kind: Kind::Udp,
            reason: Reason::Deny,
        }
    }

    /// Who the meter has send it.
    pub fn senders(self) -> Senders {
        match self.from {
            From::New => Senders::New(self.family),
            _ => Senders::Same,
        }
    }

    /// Whether it is of a connection that was found to be encrypted, where anybody looks.
    pub fn is_ciphertext(self) -> bool {
        self.from == From::One && matches!(self.kind, Kind::Data | Kind::Leaves)
    }

    /// Has the host talk with the one who sends it, so that it knows it. Returns how many connections
    /// the kernel side found to be encrypted.
    pub fn prepare(self, kernel: &mut Kernel) -> Result<u64> {
        if self.from != From::One {
            return Ok(0);
        }
        let [host, source] = match self.family {
            V4 => [HOST_V4, SOURCE_V4],
            V6 => [HOST_V6, SOURCE_V6],
        };
        let packet = Packet::ip(host.parse()?, source.parse()?);
        kernel.sees_leave(&packet.tcp(PORT, 4000).flags(tcp::ACK).build())?;
        self.shake_hands(kernel)
    }

    /// Packets that were counted under its reason, whatever the verdict.
    pub fn counted(self, kernel: &Kernel) -> Result<u64> {
        let mut packets = 0;
        for verdict in Verdict::ALL {
            packets += kernel.counters.packets(0, verdict, self.reason)?.packets;
        }
        Ok(packets)
    }

    /// A connection between the same ends, up to where it is known to be encrypted.
    fn shake_hands(self, kernel: &mut Kernel) -> Result<u64> {
        const CLIENT_HELLO: &[u8] = b"\x16\x03\x01\x02\0\x01\0\x01\xfc\x03\x03\x9a\x1f\x40\x77\x02";
        const SERVER_HELLO: &[u8] = b"\x16\x03\x03\0\x7a\x02\0\0\x76\x03\x03\x9a\x1f\x40\x77\x02";
        let [host, source]: [IpAddr; 2] = match self.family {
            V4 => [HOST_V4.parse()?, SOURCE_V4.parse()?],
            V6 => [HOST_V6.parse()?, SOURCE_V6.parse()?],
        };
        let client = |flags, seq, ack, payload: &[u8]| {
            let packet = Packet::ip(source, host).tcp(4000, PORT).flags(flags);
            packet.sequence(seq, ack).payload(payload).build()
        };
        let server = |flags, seq, ack, payload: &[u8]| {
            let packet = Packet::ip(host, source).tcp(PORT, 4000).flags(flags);
            packet.sequence(seq, ack).payload(payload).build()
        };
        let after = 100 + CLIENT_HELLO.len() as u32;
        arrives(kernel, &client(tcp::SYN, 99, 0, b""))?;
        kernel.sees_leave(&server(tcp::SYN | tcp::ACK, 199, 100, b""))?;
        arrives(kernel, &client(tcp::ACK, 100, 200, b""))?;
        arrives(kernel, &client(tcp::ACK, 100, 200, CLIENT_HELLO))?;
        kernel.sees_leave(&server(tcp::ACK, 200, after, SERVER_HELLO))?;
        // More than is sampled.
        for _ in 0..32 {
            arrives(
                kernel,
                &client(tcp::ACK, after, 216, b"\x17\x03\x03\0\x01x"),
            )?;
        }
        let counted = kernel.counters.connections(0)?;
        Ok(counted(Outcome::Encrypted, Protocol::Tls))
    }

    /// It, and of one from the lists an entry of theirs as the source.
    pub fn frame(self, lists: &Lists) -> Result<Frame> {
        let (own, host) = match self.family {
            V4 => (SOURCE_V4, HOST_V4),
            V6 => (SOURCE_V6, HOST_V6),
        };
        let source: IpAddr = match self.from {
            From::One | From::New => own.parse()?,
            From::Stranger => match self.family {
                V4 => STRANGER_V4,
                V6 => STRANGER_V6,
            }
            .parse()?,
            From::Listed => lists.address(self.family)?,
            From::InListed => lists.in_prefix(self.family)?,
        };
        let host: IpAddr = host.parse().context("the host's address")?;
        if self.kind == Kind::Leaves {
            let packet = Packet::ip(host, source).tcp(PORT, 4000);
            return Ok(packet.payload([0x17; 1200]).build());
        }
        let packet = Packet::ip(source, host);
        let packet = match self.kind {
            Kind::Udp => packet.udp(4000, 9).payload([0; 18]),
            Kind::Data => packet.tcp(4000, PORT).payload([0x17; 1200]),
            // By a port of its own: it does not begin anew the connection whose data is sent too.
            Kind::Syn => packet.tcp(4001, PORT).flags(tcp::SYN),
            Kind::Elsewhere => packet.tcp(4000, PORT + 1).payload([0x17; 1200]),
            Kind::Leaves => unreachable!("made above"),
        };
        Ok(packet.build())
    }
}

/// Shows the kernel side a frame that arrives.
fn arrives(kernel: &mut Kernel, frame: &[u8]) -> Result<()> {
    let options = TestRunOptions {
        data_in: Some(frame),
        ..TestRunOptions::default()
    };
    kernel.program()?.test_run(options)?;
    Ok(())
}
