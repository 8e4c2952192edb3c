//! Events of packets and connections, from the ring buffer to the log, and to whoever asks.

mod record;

use std::{
    collections::HashMap,
    net::{IpAddr, SocketAddr},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Instant,
};

use aya::maps::{MapData, RingBuf};
use bytes::Bytes;
use guard_common::wire::EventClass;
use tracing::{info, warn};

pub use self::record::Record;
use crate::{
    config::Config,
    findings::{Findings, Happened, Happening},
    redact::{self, Key},
    talkers::Talkers,
    tls::{Finding, Hellos},
};

/// Events read at once at most; the rest waits for the next round.
const ROUND: usize = 1024;
/// Rounds for all that a ring can hold.
const LAST_ROUNDS: usize = 16;
/// Connections that are sampled at once, at most.
const SAMPLED: usize = 1024;

/// Where a kernel side tells what it sees, and what the numbers stand for that it tells.
pub(crate) struct Voice {
    pub(crate) ring: RingBuf<MapData>,
    /// The names of the interfaces, by position.
    pub(crate) interfaces: Vec<String>,
    /// The names of the services, by position.
    pub(crate) services: Vec<String>,
}

impl Voice {
    /// That of a kernel side as `config` wants it.
    pub(crate) fn new(ring: RingBuf<MapData>, config: &Config) -> Self {
        let services = config.services.iter();
        Self {
            ring,
            interfaces: config.interfaces.clone(),
            services: services.map(|service| service.name.clone()).collect(),
        }
    }
}

/// Reads the ring buffer, logs what is in it, and keeps what people ask for.
pub(crate) struct Events {
    voice: Voice,
    key: Key,
    hellos: Hellos,
    /// What is known beside that of each of them.
    sampled: HashMap<u64, Happening>,
    findings: Arc<Mutex<Findings>>,
    talkers: Arc<Mutex<Talkers>>,
}

impl Events {
    pub(crate) fn new(
        voice: Voice,
        key: Key,
        findings: Arc<Mutex<Findings>>,
        talkers: Arc<Mutex<Talkers>>,
    ) -> Self {
        Self {
            voice,
            key,
            hellos: Hellos::default(),
            sampled: HashMap::new(),
            findings,
            talkers,
        }
    }

    /// Listens to another kernel side from now on, when everything is read that the one before has
    /// told. The sources come back that have stayed over their limit.
    #[must_use]
    pub(crate) fn listen_to(&mut self, voice: Voice, now_ms: u64) -> Vec<IpAddr> {
        let rest: Vec<Vec<IpAddr>> = (0..LAST_ROUNDS).map(|_| self.drain(now_ms)).collect();
        self.voice = voice;
        rest.concat()
    }

    /// Logs what has come since the last time, `now_ms` milliseconds since 1970. The sources come
    /// back that have stayed over their limit.
    #[must_use]
    pub(crate) fn drain(&mut self, now_ms: u64) -> Vec<IpAddr> {
        let mut offenders = Vec::new();
        for _ in 0..ROUND {
            let Some(item) = self.voice.ring.next() else {
                break;
            };
            let record = Bytes::copy_from_slice(&item);
            drop(item);
            match Record::read(record) {
                Some(record) if record.class == EventClass::Offence => {
                    offenders.push(record.source);
                }
                Some(record) if record.class == EventClass::Talker => self.count(&record),
                Some(record) => self.take(&record, now_ms),
                None => warn!("the kernel side sent an event that makes no sense"),
            }
        }
        self.tell_hellos(now_ms);
        offenders
    }

    /// Counts a packet towards what its source sends.
    fn count(&self, record: &Record) {
        let talkers = self.talkers.lock();
        // Nobody leaves them half changed.
        let mut talkers = talkers.unwrap_or_else(PoisonError::into_inner);
        talkers.add(record, Instant::now());
    }

    fn take(&mut self, record: &Record, now_ms: u64) {
        let name = |names: &[String], position: usize| {
            let name = names.get(position).map(String::as_str);
            name.unwrap_or("?").to_owned()
        };
        let service = record
            .service
            .map_or_else(String::new, |service| name(&self.voice.services, service));
        if record.class == EventClass::Refused {
            let iface = name(&self.voice.interfaces, record.interface);
            return log_refused(record, &iface);
        }
        let happening = Happening {
            time_ms: now_ms,
            service,
            direction: record.direction(),
            peer: SocketAddr::new(record.source, record.source_port),
            port: record.port,
            protocol: record.protocol.name(),
            happened: self.happened(record),
        };
        if record.class == EventClass::Sample {
            self.sample(record, happening, now_ms);
        } else {
            happening.log();
            self.findings().add(happening);
        }
    }

    fn happened(&self, record: &Record) -> Happened {
        if record.class != EventClass::Plaintext {
            return Happened::Connection {
                verdict: record.outcome.name(),
                first: record.speaker.name(),
                evaded: record.evaded,
            };
        }
        let request = redact::describe(record.protocol, &record.excerpt, &self.key);
        Happened::Plaintext {
            verdict: record.verdict.name(),
            request: request.summary,
            credentials: request.credentials,
        }
    }

    fn sample(&mut self, record: &Record, happening: Happening, now_ms: u64) {
        let (key, offset) = (record.key(), record.seq);
        if self.sampled.len() >= SAMPLED {
            self.sampled.clear();
        }
        self.sampled.insert(key, happening);
        self.hellos
            .add(key, record.by_client(), offset, &record.excerpt, now_ms);
    }

    /// What is known of TLS connections that have said enough.
    fn tell_hellos(&mut self, now_ms: u64) {
        for (key, facts) in self.hellos.expired(now_ms) {
            let Some(mut happening) = self.sampled.remove(&key) else {
                continue;
            };
            // Nothing that is no TLS has any.
            if facts.offered_version.is_none() {
                continue;
            }
            let findings = facts.findings((now_ms / 1000).cast_signed());
            happening.happened = Happened::Tls {
                facts: Box::new(facts),
                findings: findings.into_iter().map(Finding::word).collect(),
            };
            happening.log();
            self.findings().add(happening);
        }
    }

    fn findings(&self) -> MutexGuard<'_, Findings> {
        // Nobody leaves them half changed.
        self.findings.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn log_refused(record: &Record, iface: &str) {
    let source = record.source;
    let (verdict, reason) = (record.verdict.name(), record.reason.name());
    let (port, source_port, bytes) = (record.port, record.source_port, record.packet_bytes);
    info!(event = "refused", iface, %source, source_port, port, verdict, reason, bytes);
}
