//! One packet of TCP with the fields that tshark found in it.

use std::{
    collections::BTreeMap,
    net::{IpAddr, SocketAddr},
};

use anyhow::{Context as _, Result};
use serde_json::Value;

/// What tshark is asked for.
pub(super) const FIELDS: [&str; 45] = [
    "frame.encap_type",
    "frame.protocols",
    "frame.len",
    "frame.cap_len",
    "ip.src",
    "ip.dst",
    "ipv6.src",
    "ipv6.dst",
    "tcp.stream",
    "tcp.srcport",
    "tcp.dstport",
    "tcp.seq_raw",
    "tcp.len",
    "tcp.flags",
    "tls.record.content_type",
    "tls.record.opaque_type",
    "tls.handshake.type",
    "ssh.protocol",
    "http.request.method",
    "http.request.version",
    "http.response.code",
    "http.location",
    "http.file_data",
    "http2.magic",
    "http2.type",
    "resp.array.length",
    "resp.string",
    "resp.error",
    "resp.integer",
    "resp.bulk_string.length",
    "pgsql.type",
    "pgsql.version_major",
    "pgsql.authtype",
    "mysql.server_greeting",
    "mysql.login_request",
    "mysql.command",
    "mysql.response_code",
    "smtp.req.command",
    "smtp.response.code",
    "imap.request.command",
    "imap.response.status",
    "pop.request.command",
    "pop.response.indicator",
    "ftp.request.command",
    "ftp.response.code",
];

/// What no sound header of TCP lacks.
const HEADER: [&str; 4] = ["tcp.stream", "tcp.seq_raw", "tcp.len", "tcp.flags"];
/// The number that tshark has for Ethernet.
const ETHERNET: &str = "1";
const SYN: u32 = 0x02;
const RST: u32 = 0x04;
const ACK: u32 = 0x10;

/// One packet of TCP.
#[derive(Debug)]
pub(super) struct Packet {
    /// tshark's number of its connection.
    pub(super) stream: u32,
    /// Who sent it.
    pub(super) from: SocketAddr,
    /// Who was to get it.
    pub(super) to: SocketAddr,
    /// Length of the payload on the wire.
    pub(super) len: u64,
    /// Whether it was captured behind an Ethernet header.
    pub(super) is_ethernet: bool,
    /// Whether its IP header is inside another packet of IP.
    pub(super) is_tunnelled: bool,
    /// Whether the capture lacks its end.
    pub(super) is_cut: bool,
    flags: u32,
    /// What is inside TCP, outermost first.
    inside: Vec<String>,
    fields: BTreeMap<String, Vec<String>>,
}

impl Packet {
    /// Reads the fields of a packet; nothing where TCP is only quoted, as by an error of ICMP,
    /// or where tshark finds its header malformed.
    pub(super) fn read(fields: &Value) -> Result<Option<Self>> {
        let fields: BTreeMap<String, Vec<String>> =
            serde_json::from_value(fields.clone()).context("fields of an unknown form")?;
        if HEADER.iter().any(|name| !fields.contains_key(&key(name))) {
            return Ok(None);
        }
        let first = |name: &str| {
            let value = fields.get(&key(name)).and_then(|values| values.first());
            value.with_context(|| format!("a packet without {name}"))
        };
        let layers: Vec<_> = first("frame.protocols")?.split(':').collect();
        let Some(tcp) = layers.iter().position(|layer| *layer == "tcp") else {
            return Ok(None);
        };
        let (outside, inside) = (&layers[..tcp], &layers[tcp + 1..]);
        if outside.iter().any(|layer| layer.starts_with("icmp")) {
            return Ok(None);
        }
        let ip = |layer: &&&str| matches!(**layer, "ip" | "ipv6");
        let Some(innermost) = outside.iter().rfind(ip) else {
            return Ok(None);
        };
        let address = |side: &str| -> Result<IpAddr> {
            let name = format!("{innermost}.{side}");
            let values = fields.get(&key(&name));
            // Its own header is the last: what is quoted behind TCP has none.
            let value = values.and_then(|values| values.last()).context(name)?;
            value.parse().with_context(|| format!("address {value}"))
        };
        let flags = first("tcp.flags")?.trim_start_matches("0x");
        Ok(Some(Self {
            stream: first("tcp.stream")?.parse()?,
            from: SocketAddr::new(address("src")?, first("tcp.srcport")?.parse()?),
            to: SocketAddr::new(address("dst")?, first("tcp.dstport")?.parse()?),
            len: first("tcp.len")?.parse()?,
            flags: u32::from_str_radix(flags, 16)?,
            is_ethernet: first("frame.encap_type")? == ETHERNET,
            is_tunnelled: outside.iter().filter(ip).count() > 1,
            is_cut: first("frame.cap_len")? != first("frame.len")?,
            inside: inside.iter().map(ToString::to_string).collect(),
            fields,
        }))
    }

    /// Every value that tshark found of a field.
    pub(super) fn all(&self, name: &str) -> &[String] {
        self.fields.get(&key(name)).map_or(&[], Vec::as_slice)
    }

    /// Whether tshark found a field.
    pub(super) fn has(&self, name: &str) -> bool {
        !self.all(name).is_empty()
    }

    /// Whether a field has one of these values, in letters of any case.
    pub(super) fn is_any(&self, name: &str, values: &[&str]) -> bool {
        let is_one = |found: &String| values.iter().any(|value| found.eq_ignore_ascii_case(value));
        self.all(name).iter().any(is_one)
    }

    /// Whether what is inside was in TLS: where a capture has the keys, tshark looks into it.
    pub(super) fn is_in_tls(&self) -> bool {
        self.inside.iter().any(|layer| layer == "tls")
    }

    /// Whether it asks for a connection.
    pub(super) fn is_syn(&self) -> bool {
        self.flags & (SYN | ACK) == SYN
    }

    /// Whether it grants a connection.
    pub(super) fn is_syn_ack(&self) -> bool {
        self.flags & (SYN | ACK) == SYN | ACK
    }

    /// Whether it aborts a connection.
    pub(super) fn is_rst(&self) -> bool {
        self.flags & RST != 0
    }

    /// Whether it goes on with a connection.
    pub(super) fn is_ack(&self) -> bool {
        self.flags & (SYN | RST | ACK) == ACK
    }
}

/// The name that a field has where tshark prints it.
fn key(name: &str) -> String {
    name.replace('.', "_")
}
