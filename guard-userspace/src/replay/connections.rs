//! The connections of a capture, and what was found of them.

use std::{
    collections::{BTreeMap, HashMap},
    net::{IpAddr, SocketAddr},
};

use anyhow::{Context as _, Result};
use guard_common::wire::EventClass;
use serde::Serialize;

use super::sides::Ends;
use crate::{
    config::{Config, Direction},
    events::Record,
    redact::{self, Key},
    tls::{Assembly, TlsFacts},
};

/// Samples that are put together at once, at most.
const SAMPLED: usize = 4096;

/// A connection and what it is.
#[derive(Clone, Debug, Serialize)]
pub(super) struct Connection {
    /// Who called.
    pub(super) client: SocketAddr,
    /// Who was called.
    pub(super) server: SocketAddr,
    /// Which service it concerns.
    pub(super) service: String,
    /// Who called whom, as the protected host sees it.
    pub(super) direction: Direction,
    /// Its encryption verdict.
    pub(super) verdict: &'static str,
    /// What is spoken.
    pub(super) protocol: &'static str,
    /// Who spoke first: `client`, `server` or `none`.
    pub(super) first: &'static str,
    /// A byte of what was said first came twice, and differently.
    pub(super) evaded: bool,
    /// What its TLS handshake shows.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) tls: Option<TlsFacts>,
}

/// A connection as the programs name it: the peer, and the host's port.
type Name = (IpAddr, u16, u16);

/// What is told of connections.
pub(super) struct Connections {
    services: Vec<String>,
    key: Key,
    /// The host's address in each.
    local: HashMap<Name, IpAddr>,
    sampled: HashMap<Name, [Assembly; 2]>,
    list: Vec<(Name, Connection)>,
    credentials: BTreeMap<&'static str, u64>,
}

impl Connections {
    pub(super) fn new(config: &Config) -> Result<Self> {
        let services = config.services.iter();
        Ok(Self {
            services: services.map(|service| service.name.clone()).collect(),
            key: Key::random().context("the system has no randomness")?,
            local: HashMap::new(),
            sampled: HashMap::new(),
            list: Vec::new(),
            credentials: BTreeMap::new(),
        })
    }

    /// Notes which addresses a packet names.
    pub(super) fn meet(&mut self, ends: &Ends) {
        let Some((source, destination)) = ends.sockets() else {
            return;
        };
        for (peer, local) in [(source, destination), (destination, source)] {
            let name = (peer.ip().to_canonical(), peer.port(), local.port());
            self.local.insert(name, local.ip());
        }
    }

    /// Takes in what the programs tell.
    pub(super) fn take(&mut self, record: &Record) {
        let name = (record.source, record.source_port, record.port);
        match record.class {
            EventClass::Plaintext => {
                let request = redact::describe(record.protocol, &record.excerpt, &self.key);
                for credential in request.credentials {
                    *self.credentials.entry(credential.scheme).or_default() += 1;
                }
            }
            EventClass::Sample => {
                if self.sampled.len() >= SAMPLED {
                    self.sampled.clear();
                }
                let sides = self.sampled.entry(name).or_default();
                let side = &mut sides[usize::from(!record.by_client())];
                side.add(record.seq, &record.excerpt);
            }
            EventClass::Outcome => self.conclude(name, record),
            EventClass::Refused | EventClass::Offence | EventClass::Talker => {}
        }
    }

    fn conclude(&mut self, name: Name, record: &Record) {
        let unknown = IpAddr::from([0, 0, 0, 0]);
        let local = self.local.get(&name).copied().unwrap_or(unknown);
        let (peer, local) = (
            SocketAddr::new(record.source, record.source_port),
            SocketAddr::new(local, record.port),
        );
        let (client, server) = match record.direction() {
            Direction::Inbound => (peer, local),
            Direction::Outbound => (local, peer),
        };
        let service = record.service.and_then(|at| self.services.get(at));
        let connection = Connection {
            client,
            server,
            service: service.cloned().unwrap_or_default(),
            direction: record.direction(),
            verdict: record.outcome.name(),
            protocol: record.protocol.name(),
            first: record.speaker.name(),
            evaded: record.evaded,
            tls: None,
        };
        // A handshake goes on behind the verdict, up to the next connection of the same ends.
        self.tell_tls(name);
        self.list.push((name, connection));
    }

    /// What the handshake of the last connection of this name shows.
    fn tell_tls(&mut self, name: Name) {
        let last = self.list.iter_mut().rev().find(|(other, _)| *other == name);
        if let Some((_, connection)) = last
            && let Some([client, server]) = self.sampled.remove(&name)
        {
            let facts = TlsFacts::read(client.contiguous(), server.contiguous());
            connection.tls = facts.offered_version.is_some().then_some(facts);
        }
    }

    /// Credentials seen in clear, by scheme.
    pub(super) fn credentials(&self) -> BTreeMap<&'static str, u64> {
        self.credentials.clone()
    }

    /// The connections, in the order in which it was known what they are.
    pub(super) fn list(mut self) -> Vec<Connection> {
        let names: Vec<Name> = self.sampled.keys().copied().collect();
        for name in names {
            self.tell_tls(name);
        }
        let list = self.list.into_iter();
        list.map(|(_, connection)| connection).collect()
    }
}
