//! The network layer: IPv4, IPv6, ARP.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use super::{Extension, Packet, checksum};

const ETHERTYPE_IPV4: u16 = 0x0800;
const ETHERTYPE_ARP: u16 = 0x0806;
const ETHERTYPE_IPV6: u16 = 0x86dd;

/// Of the IPv4 flags and fragment offset: more fragments follow.
const MORE_FRAGMENTS: u16 = 0x2000;

/// The IPv6 next header that says there is none (RFC 8200, section 4.7).
const NO_NEXT_HEADER: u8 = 59;

#[derive(Clone, Debug)]
pub(super) enum Network {
    Ipv4(Ipv4),
    Ipv6(Ipv6),
    Arp { sender: Ipv4Addr, target: Ipv4Addr },
    Other { ethertype: u16 },
}

#[derive(Clone, Debug)]
pub(super) struct Ipv4 {
    source: Ipv4Addr,
    destination: Ipv4Addr,
    ttl: u8,
    id: u16,
    fragment: u16,
    options: Vec<u8>,
    protocol: Option<u8>,
}

#[derive(Clone, Debug)]
pub(super) struct Ipv6 {
    source: Ipv6Addr,
    destination: Ipv6Addr,
    hop_limit: u8,
    extensions: Vec<Extension>,
    next_header: Option<u8>,
}

impl Packet {
    /// An IPv4 packet.
    ///
    /// # Panics
    /// When an address is not one.
    pub fn ipv4(source: &str, destination: &str) -> Self {
        Self::new(Network::Ipv4(Ipv4 {
            source: source.parse().expect("an IPv4 source address"),
            destination: destination.parse().expect("an IPv4 destination address"),
            ttl: 64,
            id: 0,
            fragment: 0,
            options: Vec::new(),
            protocol: None,
        }))
    }

    /// An IPv6 packet.
    ///
    /// # Panics
    /// When an address is not one.
    pub fn ipv6(source: &str, destination: &str) -> Self {
        Self::new(Network::Ipv6(Ipv6 {
            source: source.parse().expect("an IPv6 source address"),
            destination: destination.parse().expect("an IPv6 destination address"),
            hop_limit: 64,
            extensions: Vec::new(),
            next_header: None,
        }))
    }

    /// A packet of either family; both addresses are of the same.
    ///
    /// # Panics
    /// When the families differ.
    pub fn ip(source: IpAddr, destination: IpAddr) -> Self {
        match source {
            IpAddr::V4(_) => Self::ipv4(&source.to_string(), &destination.to_string()),
            IpAddr::V6(_) => Self::ipv6(&source.to_string(), &destination.to_string()),
        }
    }

    /// An ARP request of `sender` for `target`.
    ///
    /// # Panics
    /// When an address is not one.
    pub fn arp(sender: &str, target: &str) -> Self {
        let sender = sender.parse().expect("the sender's IPv4 address");
        let target = target.parse().expect("the target's IPv4 address");
        Self::new(Network::Arp { sender, target })
    }

    /// A frame of another protocol, which is all payload.
    pub fn ethertype(ethertype: u16) -> Self {
        Self::new(Network::Other { ethertype })
    }

    /// Sets the IPv4 time to live or IPv6 hop limit.
    #[must_use]
    pub fn ttl(mut self, hops: u8) -> Self {
        match &mut self.network {
            Network::Ipv4(ip) => ip.ttl = hops,
            Network::Ipv6(ip) => ip.hop_limit = hops,
            Network::Arp { .. } | Network::Other { .. } => {}
        }
        self
    }

    /// Sets the protocol number (IPv6: of the last header), for protocols that have no builder.
    #[must_use]
    pub fn protocol(mut self, number: u8) -> Self {
        match &mut self.network {
            Network::Ipv4(ip) => ip.protocol = Some(number),
            Network::Ipv6(ip) => ip.next_header = Some(number),
            Network::Arp { .. } | Network::Other { .. } => {}
        }
        self
    }

    /// Sets IPv4 options, padded with zeros to words of 4 bytes; at most 40 bytes are valid.
    ///
    /// # Panics
    /// When the packet is not IPv4.
    #[must_use]
    pub fn options(mut self, options: &[u8]) -> Self {
        let ip = self.ipv4_mut();
        ip.options = options.to_vec();
        ip.options.resize(options.len().next_multiple_of(4), 0);
        self
    }

    /// Makes it the IPv4 fragment at `offset` (units of 8 bytes); a later one is all payload.
    ///
    /// # Panics
    /// When the packet is not IPv4.
    #[must_use]
    pub fn fragment(mut self, id: u16, offset: u16, more: bool) -> Self {
        let ip = self.ipv4_mut();
        ip.id = id;
        ip.fragment = offset | if more { MORE_FRAGMENTS } else { 0 };
        self
    }

    /// Adds an IPv6 extension header after those there are.
    ///
    /// # Panics
    /// When the packet is not IPv6.
    #[must_use]
    pub fn extension(mut self, extension: Extension) -> Self {
        let Network::Ipv6(ip) = &mut self.network else {
            panic!("only IPv6 has extensions")
        };
        ip.extensions.push(extension);
        self
    }

    fn ipv4_mut(&mut self) -> &mut Ipv4 {
        let Network::Ipv4(ip) = &mut self.network else {
            panic!("only IPv4 has this")
        };
        ip
    }
}

impl Network {
    pub(super) fn ethertype(&self) -> u16 {
        match self {
            Self::Ipv4(_) => ETHERTYPE_IPV4,
            Self::Ipv6(_) => ETHERTYPE_IPV6,
            Self::Arp { .. } => ETHERTYPE_ARP,
            Self::Other { ethertype } => *ethertype,
        }
    }

    /// Whether the transport header went in another fragment.
    pub(super) fn is_later_fragment(&self) -> bool {
        match self {
            Self::Ipv4(ip) => ip.fragment & !MORE_FRAGMENTS != 0,
            Self::Ipv6(ip) => ip.extensions.iter().any(
                |extension| matches!(extension, Extension::Fragment { offset, .. } if *offset != 0),
            ),
            Self::Arp { .. } | Self::Other { .. } => false,
        }
    }

    /// The header, extension headers included, before `length` bytes of `protocol`.
    pub(super) fn header(&self, protocol: Option<u8>, length: usize) -> Vec<u8> {
        match self {
            Self::Ipv4(ip) => ip.header(protocol, length),
            Self::Ipv6(ip) => ip.header(protocol, length),
            Self::Arp { sender, target } => arp(*sender, *target),
            Self::Other { .. } => Vec::new(),
        }
    }

    /// What TCP, UDP and `ICMPv6` checksums cover of this layer (RFC 9293, 3.1; RFC 8200, 8.1).
    pub(super) fn pseudo_header(&self, protocol: u8, length: usize) -> Vec<u8> {
        match self {
            Self::Ipv4(ip) => {
                let mut bytes = [ip.source.octets(), ip.destination.octets()].concat();
                bytes.extend([0, protocol]);
                bytes.extend((length as u16).to_be_bytes());
                bytes
            }
            Self::Ipv6(ip) => {
                let mut bytes = [ip.source.octets(), ip.destination.octets()].concat();
                bytes.extend((length as u32).to_be_bytes());
                bytes.extend([0, 0, 0, protocol]);
                bytes
            }
            Self::Arp { .. } | Self::Other { .. } => Vec::new(),
        }
    }
}

impl Ipv4 {
    fn header(&self, protocol: Option<u8>, length: usize) -> Vec<u8> {
        let header_length = 20 + self.options.len();
        let mut bytes = vec![0x40 | (header_length / 4) as u8, 0];
        bytes.extend(((header_length + length) as u16).to_be_bytes());
        bytes.extend(self.id.to_be_bytes());
        bytes.extend(self.fragment.to_be_bytes());
        // 255 is reserved (RFC 3692): a packet with nothing inside claims no protocol.
        bytes.extend([self.ttl, self.protocol.or(protocol).unwrap_or(255), 0, 0]);
        bytes.extend(self.source.octets());
        bytes.extend(self.destination.octets());
        bytes.extend(&self.options);
        write_checksum(&mut bytes);
        bytes
    }
}

/// Writes the checksum into an IPv4 header, options included.
pub(super) fn write_checksum(header: &mut [u8]) {
    header[10..12].fill(0);
    let sum = checksum::of(&[header]);
    header[10..12].copy_from_slice(&sum.to_be_bytes());
}

impl Ipv6 {
    fn header(&self, protocol: Option<u8>, length: usize) -> Vec<u8> {
        let mut next = self.next_header.or(protocol).unwrap_or(NO_NEXT_HEADER);
        let mut extensions = Vec::new();
        for extension in self.extensions.iter().rev() {
            let bytes = extension.bytes(next);
            next = extension.number();
            extensions.splice(0..0, bytes);
        }
        let mut bytes = vec![0x60, 0, 0, 0];
        bytes.extend(((extensions.len() + length) as u16).to_be_bytes());
        bytes.extend([next, self.hop_limit]);
        bytes.extend(self.source.octets());
        bytes.extend(self.destination.octets());
        bytes.extend(extensions);
        bytes
    }
}

/// An ARP request (RFC 826) from the builder's default hardware address.
fn arp(sender: Ipv4Addr, target: Ipv4Addr) -> Vec<u8> {
    let mut bytes = vec![0, 1, 0x08, 0x00, 6, 4, 0, 1, 0x02, 0, 0, 0, 0, 2];
    bytes.extend(sender.octets());
    bytes.extend([0; 6]);
    bytes.extend(target.octets());
    bytes
}
