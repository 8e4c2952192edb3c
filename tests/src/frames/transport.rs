//! The transport layer: TCP, UDP, ICMP and `ICMPv6`.

use super::{Packet, checksum, network::Network};

const PROTOCOL_ICMP: u8 = 1;
const PROTOCOL_TCP: u8 = 6;
const PROTOCOL_UDP: u8 = 17;
const PROTOCOL_ICMPV6: u8 = 58;

/// TCP flags (RFC 9293, section 3.1).
pub mod tcp {
    /// No more data from the sender.
    pub const FIN: u8 = 0x01;
    /// A new connection.
    pub const SYN: u8 = 0x02;
    /// The connection is refused.
    pub const RST: u8 = 0x04;
    /// Data to be handed up at once.
    pub const PSH: u8 = 0x08;
    /// The acknowledgement number counts.
    pub const ACK: u8 = 0x10;
    /// The urgent pointer counts.
    pub const URG: u8 = 0x20;
}

#[derive(Clone, Debug)]
pub(super) enum Transport {
    None,
    Tcp(Tcp),
    Udp { source: u16, destination: u16 },
    Icmp { protocol: u8, kind: u8, code: u8 },
}

#[derive(Clone, Debug)]
pub(super) struct Tcp {
    source: u16,
    destination: u16,
    sequence: u32,
    acknowledgement: u32,
    flags: u8,
    options: Vec<u8>,
}

impl Packet {
    /// Makes it a TCP segment, an ACK unless flags say otherwise.
    #[must_use]
    pub fn tcp(mut self, source: u16, destination: u16) -> Self {
        self.transport = Transport::Tcp(Tcp {
            source,
            destination,
            sequence: 1,
            acknowledgement: 0,
            flags: tcp::ACK,
            options: Vec::new(),
        });
        self
    }

    /// Sets the TCP flags.
    ///
    /// # Panics
    /// When the packet is not TCP.
    #[must_use]
    pub fn flags(mut self, flags: u8) -> Self {
        self.tcp_mut().flags = flags;
        self
    }

    /// Sets the TCP sequence and acknowledgement numbers.
    ///
    /// # Panics
    /// When the packet is not TCP.
    #[must_use]
    pub fn sequence(mut self, sequence: u32, acknowledgement: u32) -> Self {
        let tcp = self.tcp_mut();
        tcp.sequence = sequence;
        tcp.acknowledgement = acknowledgement;
        self
    }

    /// Sets TCP options, padded with zeros to words of 4 bytes; at most 40 bytes are valid.
    ///
    /// # Panics
    /// When the packet is not TCP.
    #[must_use]
    pub fn tcp_options(mut self, options: &[u8]) -> Self {
        let tcp = self.tcp_mut();
        tcp.options = options.to_vec();
        tcp.options.resize(options.len().next_multiple_of(4), 0);
        self
    }

    /// Makes it a UDP datagram.
    #[must_use]
    pub fn udp(mut self, source: u16, destination: u16) -> Self {
        self.transport = Transport::Udp {
            source,
            destination,
        };
        self
    }

    /// Makes it an ICMP message, for an IPv4 packet.
    #[must_use]
    pub fn icmp(mut self, kind: u8, code: u8) -> Self {
        self.transport = Transport::Icmp {
            protocol: PROTOCOL_ICMP,
            kind,
            code,
        };
        self
    }

    /// Makes it an `ICMPv6` message, for an IPv6 packet.
    #[must_use]
    pub fn icmpv6(mut self, kind: u8, code: u8) -> Self {
        self.transport = Transport::Icmp {
            protocol: PROTOCOL_ICMPV6,
            kind,
            code,
        };
        self
    }

    fn tcp_mut(&mut self) -> &mut Tcp {
        let Transport::Tcp(tcp) = &mut self.transport else {
            panic!("only TCP has this")
        };
        tcp
    }
}

impl Transport {
    pub(super) fn protocol(&self) -> Option<u8> {
        match self {
            Self::None => None,
            Self::Tcp(_) => Some(PROTOCOL_TCP),
            Self::Udp { .. } => Some(PROTOCOL_UDP),
            Self::Icmp { protocol, .. } => Some(*protocol),
        }
    }

    /// Header and payload, with the checksum that `network` makes of them.
    pub(super) fn bytes(&self, network: &Network, payload: &[u8]) -> Vec<u8> {
        let (mut bytes, checksum_offset) = match self {
            Self::None => return payload.to_vec(),
            Self::Tcp(tcp) => (tcp.header(), 16),
            Self::Udp {
                source,
                destination,
            } => (udp(*source, *destination, payload.len()), 6),
            Self::Icmp { kind, code, .. } => (vec![*kind, *code, 0, 0, 0, 0, 0, 0], 2),
        };
        bytes.extend(payload);
        let sum = self.checksum(network, &bytes);
        bytes[checksum_offset..checksum_offset + 2].copy_from_slice(&sum.to_be_bytes());
        bytes
    }

    fn checksum(&self, network: &Network, bytes: &[u8]) -> u16 {
        let pseudo_header = match self.protocol() {
            None | Some(PROTOCOL_ICMP) => Vec::new(),
            Some(protocol) => network.pseudo_header(protocol, bytes.len()),
        };
        match (self, checksum::of(&[&pseudo_header, bytes])) {
            // Zero would mean none (RFC 768).
            (Self::Udp { .. }, 0) => 0xffff,
            (_, sum) => sum,
        }
    }
}

impl Tcp {
    fn header(&self) -> Vec<u8> {
        let mut bytes = [self.source.to_be_bytes(), self.destination.to_be_bytes()].concat();
        bytes.extend(self.sequence.to_be_bytes());
        bytes.extend(self.acknowledgement.to_be_bytes());
        let words = (20 + self.options.len()) / 4;
        // The window is 64240 bytes, the checksum and the urgent pointer follow.
        bytes.extend([(words << 4) as u8, self.flags, 0xfa, 0xf0, 0, 0, 0, 0]);
        bytes.extend(&self.options);
        bytes
    }
}

fn udp(source: u16, destination: u16, payload: usize) -> Vec<u8> {
    let mut bytes = [source.to_be_bytes(), destination.to_be_bytes()].concat();
    bytes.extend((8 + payload as u16).to_be_bytes());
    bytes.extend([0, 0]);
    bytes
}
