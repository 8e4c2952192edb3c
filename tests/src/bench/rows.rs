//! The packets whose cost is measured: a line for each.

use std::net::IpAddr;

use anyhow::{Context as _, Result, ensure};
use aya::{TestRun as _, TestRunOptions};
use guard::kernel::Kernel;
use guard_common::{
    connection::Outcome,
    protocol::Protocol,
    reason::{Reason, Verdict},
};

use super::{
    Family::{self, V4, V6},
    HOST_V4, HOST_V6, SOURCE_V4, SOURCE_V6, STRANGER_V4, STRANGER_V6, Scale,
    lists::Lists,
    meter::{Cost, Meter},
};
use crate::frames::{Frame, Packet, tcp};

/// A port of the default service.
const PORT: u16 = 443;

/// What guard is told. Limits are the defaults, but so high that one source cannot reach them,
/// unless the name says otherwise.
#[derive(Debug, PartialEq, Eq)]
pub struct Settings {
    /// A few words.
    pub name: &'static str,
    /// As in the configuration file.
    pub text: &'static str,
    /// Whether the lists are loaded.
    pub lists: bool,
}

const fn settings(name: &'static str, text: &'static str) -> Settings {
    Settings {
        name,
        text,
        lists: false,
    }
}

const DEFAULTS: Settings = settings(
    "defaults",
    "limits = { packets = \"1G/s\", connections = \"1G/s\", new_sources = \"1G/s\" }",
);
const UNCHECKED: Settings = settings(
    "encryption is not looked at",
    "limits = { packets = \"1G/s\", connections = \"1G/s\", new_sources = \"1G/s\" }\n\
     [[service]]\nname = \"api\"\nports = [443]\nencryption = \"off\"",
);
const NO_LIMITS: Settings = settings(
    "no limits",
    "limits = { packets = \"off\", connections = \"off\", new_sources = \"off\" }",
);
const LOW_LIMIT: Settings = settings("a low limit", "limits = { packets = \"1/h\" }");
const DENY: Settings = settings(
    "two addresses denied",
    "deny = [{ cidr = \"192.0.2.7\" }, { cidr = \"2001:db8::7\" }]",
);
const ALL_LIMITS: Settings = settings(
    "every limit on",
    "[limits]\npackets = \"1G/s\"\nconnections = \"1G/s\"\nbytes = \"1000GB/s\"\n\
     new_sources = \"1G/s\"\n\
     aggregate = { packets = \"1G/s\", connections = \"1G/s\" }\n\
     protocol = { icmp = \"1G/s\", fragments = \"1G/s\", udp = \"1G/s\" }\n\
     [[service]]\nname = \"api\"\nports = [443]\n\
     limits = { packets = \"1G/s\", connections = \"1G/s\", bytes = \"1000GB/s\" }",
);
const NETWORKS: Settings = settings(
    "networks limited",
    "[limits]\npackets = \"1G/s\"\nconnections = \"1G/s\"\nnew_sources = \"1G/s\"\n\
     aggregate = { packets = \"1G/s\", connections = \"1G/s\" }",
);
const SERVICE: Settings = settings(
    "a service with limits",
    "[limits]\npackets = \"1G/s\"\nconnections = \"1G/s\"\nnew_sources = \"1G/s\"\n\
     [[service]]\nname = \"api\"\nports = [443]\n\
     limits = { packets = \"1G/s\", connections = \"1G/s\" }",
);
const DRY_DENY: Settings = settings(
    "dry-run, an address denied",
    "dry_run = true\ndeny = [{ cidr = \"192.0.2.7\" }]",
);
const DRY_LOW_LIMIT: Settings = settings(
    "dry-run, a low limit",
    "dry_run = true\nlimits = { packets = \"1/h\" }",
);
const LISTS: Settings = Settings {
    name: "the lists",
    lists: true,
    ..DEFAULTS
};

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

/// A packet whose cost is measured.
#[derive(Debug)]
pub struct Row {
    /// What the table calls it.
    pub name: &'static str,
    /// What guard is told. Rows with the same ones stand together and share a kernel side.
    pub settings: &'static Settings,
    family: Family,
    from: From,
    kind: Kind,
    /// What most of the packets have to be counted under, or the row measures something else.
    reason: Reason,
}

const fn row(
    name: &'static str,
    settings: &'static Settings,
    family: Family,
    from: From,
    kind: Kind,
    reason: Reason,
) -> Row {
    Row {
        name,
        settings,
        family,
        from,
        kind,
        reason,
    }
}

/// Every row, in the order of the table.
#[rustfmt::skip]
pub const ROWS: &[Row] = &[
    row("denied source", &DENY, V4, From::One, Kind::Udp, Reason::Deny),
    row("denied source, IPv6", &DENY, V6, From::One, Kind::Udp, Reason::Deny),
    row("source over its limit", &LOW_LIMIT, V4, From::One, Kind::Udp, Reason::LimitPackets),
    row("benign UDP", &DEFAULTS, V4, From::One, Kind::Udp, Reason::Pass),
    row("benign UDP, IPv6", &DEFAULTS, V6, From::One, Kind::Udp, Reason::Pass),
    row("benign TCP data to a service", &DEFAULTS, V4, From::One, Kind::Data, Reason::Pass),
    row("benign TCP SYN to a service", &DEFAULTS, V4, From::One, Kind::Syn, Reason::Pass),
    row("TCP data to another port", &DEFAULTS, V4, From::One, Kind::Elsewhere, Reason::Pass),
    row("TCP data from a service, which leaves", &DEFAULTS, V4, From::One, Kind::Leaves, Reason::Pass),
    row("UDP from a source not known", &DEFAULTS, V4, From::Stranger, Kind::Udp, Reason::Pass),
    row("UDP, each from a new source", &DEFAULTS, V4, From::New, Kind::Udp, Reason::Pass),
    row("UDP, each from a new source, IPv6", &DEFAULTS, V6, From::New, Kind::Udp, Reason::Pass),
    row("SYN to a service, each from a new source", &DEFAULTS, V4, From::New, Kind::Syn, Reason::Pass),
    row("TCP data to a service, check off", &UNCHECKED, V4, From::One, Kind::Data, Reason::Pass),
    row("TCP data to another port, check off", &UNCHECKED, V4, From::One, Kind::Elsewhere, Reason::Pass),
    row("TCP data from a service, check off", &UNCHECKED, V4, From::One, Kind::Leaves, Reason::Pass),
    row("benign UDP, no limits", &NO_LIMITS, V4, From::One, Kind::Udp, Reason::Pass),
    row("benign UDP, networks limited", &NETWORKS, V4, From::One, Kind::Udp, Reason::Pass),
    row("benign TCP data, service limited", &SERVICE, V4, From::One, Kind::Data, Reason::Pass),
    row("benign UDP, every limit on", &ALL_LIMITS, V4, From::One, Kind::Udp, Reason::Pass),
    row("benign TCP data, every limit on", &ALL_LIMITS, V4, From::One, Kind::Data, Reason::Pass),
    row("benign TCP SYN, every limit on", &ALL_LIMITS, V4, From::One, Kind::Syn, Reason::Pass),
    row("UDP from new sources, every limit on", &ALL_LIMITS, V4, From::New, Kind::Udp, Reason::Pass),
    row("dry-run: denied source", &DRY_DENY, V4, From::One, Kind::Udp, Reason::Deny),
    row("dry-run: source over its limit", &DRY_LOW_LIMIT, V4, From::One, Kind::Udp, Reason::LimitPackets),
    row("lists: benign UDP", &LISTS, V4, From::One, Kind::Udp, Reason::Pass),
    row("lists: benign UDP, IPv6", &LISTS, V6, From::One, Kind::Udp, Reason::Pass),
    row("lists: denied address", &LISTS, V4, From::Listed, Kind::Udp, Reason::Deny),
    row("lists: denied address, IPv6", &LISTS, V6, From::Listed, Kind::Udp, Reason::Deny),
    row("lists: denied by a prefix", &LISTS, V4, From::InListed, Kind::Udp, Reason::Deny),
    row("lists: denied by a prefix, IPv6", &LISTS, V6, From::InListed, Kind::Udp, Reason::Deny),
    row("lists: UDP, each from a new source", &LISTS, V4, From::New, Kind::Udp, Reason::Pass),
    row("lists: UDP, each from a new source, IPv6", &LISTS, V6, From::New, Kind::Udp, Reason::Pass),
    row("lists: SYN, each from a new source", &LISTS, V4, From::New, Kind::Syn, Reason::Pass),
];

impl Row {
    /// What this packet costs a kernel side that was loaded with the row's settings.
    pub fn measure(
        &self,
        kernel: &mut Kernel,
        lists: &Lists,
        meter: &mut Meter,
        scale: &Scale,
    ) -> Result<Cost> {
        let frame = self.frame(lists)?;
        if self.from == From::One {
            let [host, source] = match self.family {
                V4 => [HOST_V4, SOURCE_V4],
                V6 => [HOST_V6, SOURCE_V6],
            };
            let packet = Packet::ip(host.parse()?, source.parse()?);
            kernel.sees_leave(&packet.tcp(PORT, 4000).flags(tcp::ACK).build())?;
            self.shake_hands(kernel)?;
        }
        if self.kind == Kind::Leaves {
            let program = kernel.departures().context("nothing sees what leaves")?;
            return meter.leaving(program, &frame);
        }
        let before = counted(kernel, self.reason)?;
        let program = kernel.program()?;
        let cost = if self.from == From::New {
            meter.new_sources(program, self.family, &frame)?
        } else {
            meter.same_source(program, &frame)?
        };
        let sent = scale.rounds as u64 * u64::from(scale.repeat);
        let as_meant = counted(kernel, self.reason)? - before;
        ensure!(
            as_meant > sent / 2,
            "of the {sent} packets of the row `{}` only {as_meant} were counted as {}",
            self.name,
            self.reason.name()
        );
        Ok(cost)
    }

    /// A connection between the same ends, up to where it is known to be encrypted.
    fn shake_hands(&self, kernel: &mut Kernel) -> Result<()> {
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
        let encrypted = kernel
            .counters
            .connections(0, Outcome::Encrypted, Protocol::Tls)?;
        let is_looked_at = *self.settings != UNCHECKED;
        let is_of_it = matches!(self.kind, Kind::Data | Kind::Leaves);
        ensure!(
            !is_of_it || (encrypted > 0) == is_looked_at,
            "{encrypted} connections are encrypted, to `{}`",
            self.name
        );
        Ok(())
    }

    fn frame(&self, lists: &Lists) -> Result<Frame> {
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
            From::Listed => lists.address(self.family),
            From::InListed => lists.in_prefix(self.family),
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
            Kind::Syn => packet.tcp(4000, PORT).flags(tcp::SYN),
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

/// Packets that were counted under `reason`, whatever the verdict.
fn counted(kernel: &Kernel, reason: Reason) -> Result<u64> {
    let mut packets = 0;
    for verdict in Verdict::ALL {
        packets += kernel.counters.packets(0, verdict, reason)?.packets;
    }
    Ok(packets)
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn names_are_unique_and_rows_of_the_same_settings_stand_together() {
        let names: HashSet<_> = ROWS.iter().map(|row| row.name).collect();
        assert_eq!(names.len(), ROWS.len());
        let groups = ROWS.chunk_by(|one, next| one.settings == next.settings);
        let settings: HashSet<_> = ROWS.iter().map(|row| row.settings.name).collect();
        assert_eq!(groups.count(), settings.len());
    }
}
