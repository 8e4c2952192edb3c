//! An event as the kernel side writes it.

use std::{
    hash::{DefaultHasher, Hash as _, Hasher as _},
    net::{IpAddr, Ipv6Addr},
};

use bytes::{Buf as _, Bytes};
use guard_common::{
    connection::{FirstSpeaker, Outcome, talk::TEXT_LEN},
    protocol::Protocol,
    reason::{Reason, Verdict},
    wire::{Event, EventClass},
};

use crate::config::Direction;

/// An event, decoded.
#[derive(Debug, PartialEq, Eq)]
pub struct Record {
    /// What it tells of.
    pub(crate) class: EventClass,
    pub(crate) source: IpAddr,
    /// Of a sample: bytes since its sender's first one. Of a talker: for how many candidates it
    /// stands.
    pub(crate) seq: u32,
    pub(crate) interface: usize,
    pub(crate) packet_bytes: u32,
    pub(crate) source_port: u16,
    pub(crate) port: u16,
    /// Of what concerns a service only.
    pub(crate) service: Option<usize>,
    pub(crate) verdict: Verdict,
    pub(crate) reason: Reason,
    /// What is spoken.
    pub protocol: Protocol,
    /// Of connections only.
    pub(crate) outcome: Outcome,
    /// Of connections: who spoke first. Of samples: who sends it.
    pub(crate) speaker: FirstSpeaker,
    outbound: bool,
    pub(crate) evaded: bool,
    /// Raw and perhaps secret: it goes nowhere but to `redact` and `tls`. At most [`TEXT_LEN`]
    /// bytes.
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
        let seq = record.get_u32_ne();
        let interface = record.get_u32_ne() as usize;
        let packet_bytes = record.get_u32_ne();
        let excerpt_len = record.get_u32_ne() as usize;
        let source_port = record.get_u16_ne();
        let port = record.get_u16_ne();
        let service = usize::from(record.get_u16_ne()).checked_sub(1);
        let verdict = *Verdict::ALL.get(usize::from(record.get_u8()))?;
        let reason = Reason::from_number(record.get_u8())?;
        let protocol = Protocol::from_number(record.get_u8())?;
        let class = class(record.get_u8())?;
        let outcome = *Outcome::ALL.get(usize::from(record.get_u8()))?;
        let speaker = FirstSpeaker::numbered(record.get_u8().into());
        let notes = record.get_u8();
        record.advance(3);
        if excerpt_len > record.len().min(TEXT_LEN as usize) {
            return None;
        }
        let excerpt = record.split_to(excerpt_len);
        Some(Self {
            class,
            source,
            seq,
            interface,
            packet_bytes,
            source_port,
            port,
            service,
            verdict,
            reason,
            protocol,
            outcome,
            speaker,
            outbound: notes & Event::OUTBOUND != 0,
            evaded: notes & Event::EVADED != 0,
            excerpt,
        })
    }

    /// Who called.
    pub(crate) fn direction(&self) -> Direction {
        if self.outbound {
            Direction::Outbound
        } else {
            Direction::Inbound
        }
    }

    /// Whether the client sends what is sampled.
    pub(crate) fn by_client(&self) -> bool {
        self.speaker == FirstSpeaker::Client
    }

    /// A number for the connection.
    pub(crate) fn key(&self) -> u64 {
        let mut hasher = DefaultHasher::new();
        (self.source, self.source_port, self.port).hash(&mut hasher);
        hasher.finish()
    }
}

fn class(number: u8) -> Option<EventClass> {
    let classes = [
        EventClass::Refused,
        EventClass::Plaintext,
        EventClass::Offence,
        EventClass::Outcome,
        EventClass::Sample,
        EventClass::Talker,
    ];
    classes.into_iter().find(|class| *class as u8 == number)
}
