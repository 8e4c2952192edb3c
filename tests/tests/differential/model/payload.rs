//! What a payload starts with, and which one is a connection's first.

use std::{collections::HashMap, net::IpAddr};

use guard_common::protocol::Protocol;

use super::seen::{Packet, Segment};

/// Bytes looked at.
pub(super) const HEAD: usize = 16;
/// Fewer bytes decide nothing.
const ENOUGH: usize = 8;
const METHODS: [&str; 9] = [
    "GET", "PUT", "POST", "HEAD", "PATCH", "TRACE", "DELETE", "OPTIONS", "CONNECT",
];

/// A payload's first bytes, filled up with zeros, and how many it has.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Payload {
    pub(super) head: [u8; HEAD],
    pub(super) len: usize,
}

impl Payload {
    pub(super) fn protocol(&self) -> Protocol {
        let head = &self.head;
        if self.len < ENOUGH {
            Protocol::Undecided
        } else if is_client_hello(head) {
            Protocol::Tls
        } else if head.starts_with(b"SSH-2.0-") || head.starts_with(b"SSH-1.99") {
            Protocol::Ssh
        } else if head == b"PRI * HTTP/2.0\r\n" {
            Protocol::Http2
        } else if is_request(head) {
            Protocol::Http1
        } else if is_command(head) {
            Protocol::Redis
        } else if is_start_up(head) {
            Protocol::Postgres
        } else {
            Protocol::Undecided
        }
    }
}

/// A handshake record of TLS with a ClientHello of less than 64 KiB.
fn is_client_hello(head: &[u8; HEAD]) -> bool {
    matches!(head, [0x16, 3, 0..=3, _, _, 1, 0, ..])
}

/// A method, a blank, a target, and text for 16 bytes.
fn is_request(head: &[u8; HEAD]) -> bool {
    let is_text = |byte: &u8| matches!(byte, 9..=0x7f);
    let follows = |method: &str| {
        let rest = head.strip_prefix(method.as_bytes());
        matches!(rest, Some([b' ' | b'\t', b'!'..=b'~', ..]))
    };
    METHODS.iter().any(|method| follows(method)) && head.iter().all(is_text)
}

/// A Redis array of strings: `*N\r\n$N`, the first number of one digit or of two.
fn is_command(head: &[u8; HEAD]) -> bool {
    matches!(
        head,
        [b'*', b'0'..=b'9', b'\r', b'\n', b'$', b'0'..=b'9', ..]
            | [
                b'*',
                b'0'..=b'9',
                b'0'..=b'9',
                b'\r',
                b'\n',
                b'$',
                b'0'..=b'9',
                ..
            ]
    )
}

/// A PostgreSQL start-up of version 3.0, longer than its own header and less than 64 KiB.
fn is_start_up(head: &[u8; HEAD]) -> bool {
    let [0, 0, high, low, 0, 3, 0, 0, ..] = head else {
        return false;
    };
    u16::from_be_bytes([*high, *low]) > 8
}

/// A connection: where from, from which port, to which port.
type Connection = (IpAddr, u16, u16);

/// Connections that were opened, and the number that the first payload of each will have.
#[derive(Default)]
pub(super) struct Openings(HashMap<Connection, u32>);

impl Openings {
    /// Notes a SYN.
    pub(super) fn remember(&mut self, packet: &Packet, segment: &Segment) {
        let first = segment.seq.wrapping_add(1);
        self.0.insert(connection(packet, segment), first);
    }

    /// Whether a payload is its connection's first, which it is once. One may come with the SYN.
    pub(super) fn takes_first(&mut self, packet: &Packet, segment: &Segment) -> bool {
        let seq = segment.seq.wrapping_add(u32::from(segment.opens));
        let connection = connection(packet, segment);
        let is_first = self.0.get(&connection) == Some(&seq);
        if is_first {
            self.0.remove(&connection);
        }
        is_first
    }
}

fn connection(packet: &Packet, segment: &Segment) -> Connection {
    (packet.source, segment.source_port, segment.port)
}
