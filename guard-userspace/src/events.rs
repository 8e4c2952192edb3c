//! Events of single packets, from the ring buffer to the log.

use std::net::{IpAddr, Ipv6Addr};

use aya::maps::{MapData, RingBuf};
use bytes::{Buf as _, Bytes};
use guard_common::{
    protocol::Protocol,
    reason::{Reason, Verdict},
    wire::{EXCERPT_LEN, Event, EventClass},
};
use tracing::{info, warn};

use crate::redact;

/// Events logged at once at most; the rest waits for the next round.
const ROUND: usize = 256;

/// Reads the ring buffer and logs what is in it.
pub(crate) struct Events {
    ring: RingBuf<MapData>,
    interfaces: Vec<String>,
    services: Vec<String>,
}

impl Events {
    /// The names are in the order of their positions.
    pub(crate) fn new(
        ring: RingBuf<MapData>,
        interfaces: Vec<String>,
        services: Vec<String>,
    ) -> Self {
        Self {
            ring,
            interfaces,
            services,
        }
    }

    /// Logs what has come since the last time. The sources come back that have stayed over their
    /// limit.
    #[must_use]
    pub(crate) fn drain(&mut self) -> Vec<IpAddr> {
        let mut offenders = Vec::new();
        for _ in 0..ROUND {
            let Some(item) = self.ring.next() else { break };
            let record = Bytes::copy_from_slice(&item);
            drop(item);
            match Record::read(record) {
                Some(record) if record.offence => offenders.push(record.source),
                Some(record) => self.log(&record),
                None => warn!("the kernel side sent an event that makes no sense"),
            }
        }
        offenders
    }

    fn log(&self, record: &Record) {
        let name = |names: &[String], position: usize| {
            names
                .get(position)
                .cloned()
                .unwrap_or_else(|| "?".to_owned())
        };
        let iface = name(&self.interfaces, record.interface);
        let source = record.source;
        let (verdict, reason) = (record.verdict.name(), record.reason.name());
        let (port, source_port, bytes) = (record.port, record.source_port, record.packet_bytes);
        let Some(service) = record.service else {
            info!(event = "refused", iface, %source, source_port, port, verdict, reason, bytes);
            return;
        };
        let service = name(&self.services, service);
        let protocol = record.protocol.name();
        let request = redact::describe(record.protocol, &record.excerpt);
        let credentials = request
            .credentials
            .iter()
            .map(|credential| format!("{} in {}", credential.scheme, credential.place))
            .collect::<Vec<_>>()
            .join(", ");
        warn!(
            event = "plaintext", iface, %source, source_port, port, verdict, service, protocol,
            request = request.summary, credentials
        );
    }
}

/// The source that an event tells of, if it has stayed over its limit.
pub(crate) fn offender(event: &[u8]) -> Option<IpAddr> {
    let record = Record::read(Bytes::copy_from_slice(event))?;
    record.offence.then_some(record.source)
}

/// An event, decoded.
#[derive(Debug, PartialEq, Eq)]
pub struct Record {
    source: IpAddr,
    interface: usize,
    packet_bytes: u32,
    source_port: u16,
    port: u16,
    /// Of plaintext events only.
    service: Option<usize>,
    verdict: Verdict,
    reason: Reason,
    /// What the excerpt starts with.
    pub protocol: Protocol,
    /// It tells of a source that has stayed over its limit.
    offence: bool,
    /// Raw and perhaps secret: it goes nowhere but to `redact`. At most [`EXCERPT_LEN`] bytes.
    pub excerpt: Bytes,
}

impl Record {
    /// Reads an [`Event`], and the payload behind it when there is one.
    pub fn read(mut record: Bytes) -> Option<Self> {
        if record.remaining() < size_of::<Event>() {
            return None;
        }
        // The order and the sizes are those of `Event`.
        let source = Ipv6Addr::from(record.get_u128()).to_canonical();
        let _seq = record.get_u32_ne();
        let interface = record.get_u32_ne() as usize;
        let packet_bytes = record.get_u32_ne();
        let excerpt_len = record.get_u32_ne() as usize;
        let source_port = record.get_u16_ne();
        let port = record.get_u16_ne();
        let service = usize::from(record.get_u16_ne()).checked_sub(1);
        let verdict = *Verdict::ALL.get(usize::from(record.get_u8()))?;
        let reason = Reason::from_number(record.get_u8())?;
        let protocol = Protocol::from_number(record.get_u8())?;
        let offence = record.get_u8() == EventClass::Offence as u8;
        record.advance(6);
        if excerpt_len > record.len().min(EXCERPT_LEN) {
            return None;
        }
        let excerpt = record.split_to(excerpt_len);
        Some(Self {
            source,
            interface,
            packet_bytes,
            source_port,
            port,
            service,
            verdict,
            reason,
            protocol,
            offence,
            excerpt,
        })
    }
}
