//! Ethernet frames written out by hand: correct ones by default, broken ones on request.
//!
//! ```
//! use lab::frames::{Packet, tcp};
//!
//! let syn = Packet::ipv4("198.51.100.7", "10.0.0.1").tcp(40_000, 443).flags(tcp::SYN).build();
//! let short = Packet::ipv6("2001:db8::7", "2001:db8::1").vlan(5).udp(53, 53).build().truncate(20);
//! let lying = syn.clone().patch_network(0, &[0x4f]);
//! ```
//!
//! What a well-formed packet can be is said before `build`, and lengths and checksums follow from
//! it. Malformed ones are made after it, by patching bytes and cutting, which nothing follows.

mod checksum;
mod extension;
mod network;
mod transport;

use std::{fmt, str::FromStr};

use anyhow::{Context as _, Result};

pub use extension::Extension;
use network::Network;
use transport::Transport;
pub use transport::tcp;

/// A hardware address.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Mac(pub [u8; 6]);

impl fmt::Display for Mac {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let bytes = self.0.map(|byte| format!("{byte:02x}"));
        f.write_str(&bytes.join(":"))
    }
}

impl FromStr for Mac {
    type Err = anyhow::Error;

    fn from_str(text: &str) -> Result<Self> {
        let bytes: Vec<u8> = text
            .split(':')
            .map(|byte| u8::from_str_radix(byte, 16))
            .collect::<Result<_, _>>()
            .with_context(|| format!("`{text}` is no hardware address"))?;
        let bytes = bytes
            .try_into()
            .ok()
            .with_context(|| format!("`{text}` has not 6 bytes"))?;
        Ok(Self(bytes))
    }
}

/// A tag of IEEE 802.1Q: its protocol and its tag control information.
type Tag = (u16, u16);

const TPID_CUSTOMER: u16 = 0x8100;
const TPID_SERVICE: u16 = 0x88a8;

/// A packet being described.
#[derive(Clone, Debug)]
pub struct Packet {
    destination: Mac,
    source: Mac,
    tags: Vec<Tag>,
    network: Network,
    transport: Transport,
    payload: Vec<u8>,
}

impl Packet {
    fn new(network: Network) -> Self {
        Self {
            destination: Mac([0x02, 0, 0, 0, 0, 1]),
            source: Mac([0x02, 0, 0, 0, 0, 2]),
            tags: Vec::new(),
            network,
            transport: Transport::None,
            payload: Vec::new(),
        }
    }

    /// Sets the hardware addresses; where no wire is involved they do not matter.
    #[must_use]
    pub fn macs(mut self, source: Mac, destination: Mac) -> Self {
        self.source = source;
        self.destination = destination;
        self
    }

    /// Adds a customer VLAN tag (0x8100) inside those there are.
    #[must_use]
    pub fn vlan(mut self, id: u16) -> Self {
        self.tags.push((TPID_CUSTOMER, id));
        self
    }

    /// Adds a service VLAN tag (802.1ad, 0x88a8) inside those there are.
    #[must_use]
    pub fn service_vlan(mut self, id: u16) -> Self {
        self.tags.push((TPID_SERVICE, id));
        self
    }

    /// Sets what the packet carries after its last header.
    #[must_use]
    pub fn payload(mut self, bytes: impl AsRef<[u8]>) -> Self {
        bytes.as_ref().clone_into(&mut self.payload);
        self
    }

    /// Writes the packet out.
    pub fn build(&self) -> Frame {
        let mut bytes = [self.destination.0, self.source.0].concat();
        for (protocol, control) in &self.tags {
            bytes.extend(protocol.to_be_bytes());
            bytes.extend(control.to_be_bytes());
        }
        bytes.extend(self.network.ethertype().to_be_bytes());
        let segment = if self.network.is_later_fragment() {
            self.payload.clone()
        } else {
            self.transport.bytes(&self.network, &self.payload)
        };
        let network = bytes.len();
        bytes.extend(
            self.network
                .header(self.transport.protocol(), segment.len()),
        );
        let transport = bytes.len();
        bytes.extend(segment);
        Frame {
            bytes,
            network,
            transport,
        }
    }
}

/// A frame as it goes over the wire, without its frame check sequence.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Frame {
    bytes: Vec<u8>,
    network: usize,
    transport: usize,
}

impl Frame {
    /// Overwrites bytes from the start of the frame; lengths and checksums stay as they are.
    #[must_use]
    pub fn patch(mut self, offset: usize, bytes: &[u8]) -> Self {
        self.bytes[offset..offset + bytes.len()].copy_from_slice(bytes);
        self
    }

    /// Overwrites bytes, counted from the start of the IP header (or ARP packet).
    #[must_use]
    pub fn patch_network(self, offset: usize, bytes: &[u8]) -> Self {
        let start = self.network;
        self.patch(start + offset, bytes)
    }

    /// Overwrites bytes, counted from the start of the TCP, UDP or ICMP header.
    #[must_use]
    pub fn patch_transport(self, offset: usize, bytes: &[u8]) -> Self {
        let start = self.transport;
        self.patch(start + offset, bytes)
    }

    /// Computes the IPv4 header's checksum again, after a patch that is to be the only lie.
    #[must_use]
    pub fn fix_ipv4_checksum(mut self) -> Self {
        let header = &mut self.bytes[self.network..self.transport];
        network::write_checksum(header);
        self
    }

    /// Keeps the first `length` bytes.
    #[must_use]
    pub fn truncate(mut self, length: usize) -> Self {
        self.bytes.truncate(length);
        self
    }

    /// Pads with zeros up to `length` bytes, as Ethernet does up to 60.
    #[must_use]
    pub fn pad(mut self, length: usize) -> Self {
        self.bytes.resize(self.bytes.len().max(length), 0);
        self
    }

    /// The offset of the IP header, in bytes.
    pub fn network_offset(&self) -> usize {
        self.network
    }

    /// The offset of the TCP, UDP or ICMP header, in bytes.
    pub fn transport_offset(&self) -> usize {
        self.transport
    }
}

impl std::ops::Deref for Frame {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        &self.bytes
    }
}

#[cfg(test)]
mod tests;
