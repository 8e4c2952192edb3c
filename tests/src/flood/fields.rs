//! Where a frame says who sent it.

use anyhow::{Context as _, Result};
use aya::EbpfLoader;

use super::Flood;
use crate::frames::Frame;

/// Where the varied fields of a frame are, in bytes from its start, 0 where there are none.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Fields {
    address_offset: u32,
    pub(super) port_offset: u32,
    ip_checksum_offset: u32,
    l4_checksum_offset: u32,
    address: u32,
    port: u32,
    ip_checksum: u32,
    l4_checksum: u32,
}

impl Fields {
    pub(super) fn of(frame: &Frame) -> Result<Self> {
        let (network, transport) = (frame.network_offset(), frame.transport_offset());
        let version = frame.get(network).context("a frame without IP header")? >> 4;
        let (address_offset, ip_checksum_offset, protocol) = match version {
            4 => (network + 12, network + 10, frame[network + 9]),
            6 => (network + 12, 0, frame[network + 6]),
            other => anyhow::bail!("a flood of IP version {other}"),
        };
        let (port_offset, l4_checksum_offset) = match protocol {
            6 => (transport, transport + 16),
            17 => (transport, transport + 6),
            _ => (0, 0),
        };
        Ok(Self {
            address_offset: address_offset as u32,
            port_offset: port_offset as u32,
            ip_checksum_offset: ip_checksum_offset as u32,
            l4_checksum_offset: l4_checksum_offset as u32,
            address: word(frame, address_offset) << 16 | word(frame, address_offset + 2),
            port: word(frame, port_offset),
            ip_checksum: word(frame, ip_checksum_offset),
            l4_checksum: word(frame, l4_checksum_offset),
        })
    }

    /// Sets the globals of the program.
    pub(super) fn set<'a>(&'a self, loader: &mut EbpfLoader<'a>, flood: &'a Flood) {
        let words = [
            ("ADDRESS_OFFSET", &self.address_offset),
            ("PORT_OFFSET", &self.port_offset),
            ("IP_CHECKSUM_OFFSET", &self.ip_checksum_offset),
            ("L4_CHECKSUM_OFFSET", &self.l4_checksum_offset),
            ("ADDRESS_BASE", &self.address),
            ("PORT_BASE", &self.port),
            ("IP_CHECKSUM", &self.ip_checksum),
            ("L4_CHECKSUM", &self.l4_checksum),
        ];
        let long_words = [
            ("ADDRESS_COUNT", &flood.sources),
            ("ADDRESS_STEP", &flood.step),
            ("PORT_COUNT", &flood.ports),
            ("FRAME_COUNT", &flood.count),
        ];
        for (name, value) in words {
            loader.override_global(name, value, true);
        }
        for (name, value) in long_words {
            loader.override_global(name, value, true);
        }
    }
}

/// The 16 bits at `offset`, in network order.
fn word(frame: &[u8], offset: usize) -> u32 {
    u32::from(u16::from_be_bytes([frame[offset], frame[offset + 1]]))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::frames::Packet;

    #[test]
    fn finds_the_fields_of_both_families() {
        let frame = Packet::ipv4("10.1.2.3", "10.0.0.1").udp(4000, 9).build();
        let fields = Fields::of(&frame).expect("a UDP frame");
        assert_eq!(fields.address, 0x0a01_0203);
        assert_eq!(fields.port, 4000);
        assert_eq!((fields.address_offset, fields.ip_checksum_offset), (26, 24));
        assert_eq!((fields.port_offset, fields.l4_checksum_offset), (34, 40));

        let frame = Packet::ipv6("2001:db8:1:2::3", "2001:db8::1")
            .tcp(4000, 9)
            .build();
        let fields = Fields::of(&frame).expect("a TCP frame");
        assert_eq!(fields.address, 0x0001_0002);
        assert_eq!((fields.address_offset, fields.ip_checksum_offset), (26, 0));
        assert_eq!((fields.port_offset, fields.l4_checksum_offset), (54, 70));
    }

    #[test]
    fn a_frame_without_ports_varies_its_address_only() {
        let frame = Packet::ipv4("10.1.2.3", "10.0.0.1").icmp(8, 0).build();
        let fields = Fields::of(&frame).expect("an ICMP frame");
        assert_eq!((fields.port_offset, fields.l4_checksum_offset), (0, 0));
        assert!(Fields::of(&Packet::arp("10.1.2.3", "10.0.0.1").build()).is_err());
    }
}
