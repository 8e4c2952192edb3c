//! Which end of a captured packet is the protected host's.

use std::{
    collections::HashMap,
    fmt,
    net::{IpAddr, SocketAddr},
};

use etherparse::{LaxNetSlice, LaxSlicedPacket, TransportSlice};
use ipnet::IpNet;

/// Who sent a packet to whom, as far as its headers can be read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Ends {
    source: IpAddr,
    destination: IpAddr,
    transport: Ported,
}

/// The part of the transport header that matters here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Ported {
    Tcp {
        ports: (u16, u16),
        syn: bool,
        ack: bool,
    },
    Udp {
        ports: (u16, u16),
    },
    None,
}

impl Ends {
    /// Reads them; nothing where there is no IP header.
    pub(super) fn of(frame: &[u8]) -> Option<Self> {
        let packet = LaxSlicedPacket::from_ethernet(frame).ok()?;
        let (source, destination): (IpAddr, IpAddr) = match packet.net? {
            LaxNetSlice::Ipv4(ip) => (
                ip.header().source_addr().into(),
                ip.header().destination_addr().into(),
            ),
            LaxNetSlice::Ipv6(ip) => (
                ip.header().source_addr().into(),
                ip.header().destination_addr().into(),
            ),
            LaxNetSlice::Arp(_) => return None,
        };
        let transport = match packet.transport {
            Some(TransportSlice::Tcp(tcp)) => Ported::Tcp {
                ports: (tcp.source_port(), tcp.destination_port()),
                syn: tcp.syn(),
                ack: tcp.ack(),
            },
            Some(TransportSlice::Udp(udp)) => Ported::Udp {
                ports: (udp.source_port(), udp.destination_port()),
            },
            _ => Ported::None,
        };
        Some(Self {
            source,
            destination,
            transport,
        })
    }

    /// Both, where they have ports: who sends, and who receives.
    pub(super) fn sockets(&self) -> Option<(SocketAddr, SocketAddr)> {
        let (Ported::Tcp { ports, .. } | Ported::Udp { ports }) = self.transport else {
            return None;
        };
        let source = SocketAddr::new(self.source, ports.0);
        Some((source, SocketAddr::new(self.destination, ports.1)))
    }
}

impl fmt::Display for Ends {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let protocol = match self.transport {
            Ported::Tcp { .. } => " tcp",
            Ported::Udp { .. } => " udp",
            Ported::None => "",
        };
        match self.sockets() {
            Some((source, destination)) => write!(f, "{source} > {destination}{protocol}"),
            None => write!(f, "{} > {}", self.source, self.destination),
        }
    }
}

/// Whether packets arrive at the protected host.
pub(super) struct Sides {
    /// Its networks; when there are none, each conversation tells.
    local: Vec<IpNet>,
    /// The protected end of each conversation, whose key has the lesser end first.
    conversations: HashMap<(bool, SocketAddr, SocketAddr), SocketAddr>,
}

impl Sides {
    pub(super) fn new(local: Vec<IpNet>) -> Self {
        Self {
            local,
            conversations: HashMap::new(),
        }
    }

    /// Whether the packet arrives at the protected host; one that tells nothing does.
    pub(super) fn arrives(&mut self, ends: Option<&Ends>) -> bool {
        let Some(ends) = ends else {
            return true;
        };
        if !self.local.is_empty() {
            let is_local = |address| self.local.iter().any(|net| net.contains(&address));
            return is_local(ends.destination) || !is_local(ends.source);
        }
        let Some((source, destination)) = ends.sockets() else {
            return true;
        };
        let is_tcp = matches!(ends.transport, Ported::Tcp { .. });
        let key = (is_tcp, source.min(destination), source.max(destination));
        match ends.transport {
            // Who receives the SYN is the server, also of a conversation that begins anew.
            Ported::Tcp {
                syn: true,
                ack: false,
                ..
            } => {
                self.conversations.insert(key, destination);
                true
            }
            Ported::Tcp { syn: true, .. } => {
                *self.conversations.entry(key).or_insert(source) == destination
            }
            _ => {
                let lower = if source.port() < destination.port() {
                    source
                } else {
                    destination
                };
                *self.conversations.entry(key).or_insert(lower) == destination
            }
        }
    }
}
