//! What was found on the wire: the latest of it for people, and sums for dashboards.

mod follower;

use std::{
    collections::{BTreeMap, VecDeque},
    fmt::Write as _,
    net::SocketAddr,
};

use jiff::Timestamp;
use serde::Serialize;
use tracing::{info, warn};

pub(crate) use self::follower::Follower;
use self::follower::News;
use crate::{config::Direction, redact::Credential, status::TlsStatus, tls::TlsFacts};

/// Happenings that are kept; the oldest makes room.
const KEPT: usize = 1_000;
/// Cipher suites that are told apart for a service.
const CIPHERS: usize = 32;
/// What the rest is counted as.
const OTHERS: &str = "others";

/// Something that was seen.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Happening {
    /// When, in milliseconds since 1970.
    pub(crate) time_ms: u64,
    /// Which service it concerns.
    pub(crate) service: String,
    /// Who called.
    pub(crate) direction: Direction,
    /// The other end.
    pub(crate) peer: SocketAddr,
    /// The host's port.
    pub(crate) port: u16,
    /// What is spoken.
    pub(crate) protocol: &'static str,
    /// What it is.
    #[serde(flatten)]
    pub(crate) happened: Happened,
}

/// What was seen.
#[derive(Clone, Debug, Serialize)]
#[serde(tag = "event", rename_all = "snake_case")]
pub(crate) enum Happened {
    /// A request in clear where none may be.
    Plaintext {
        /// What was done with the packet.
        verdict: &'static str,
        /// What it asks for, without anything that may be secret.
        request: String,
        /// Credentials that came with it, without their values.
        credentials: Vec<Credential>,
    },
    /// A connection that is not encrypted.
    Connection {
        /// Its encryption verdict.
        verdict: &'static str,
        /// Who spoke first: `client`, `server` or `none`.
        first: &'static str,
        /// A byte of what was said first came twice, and differently.
        evaded: bool,
    },
    /// What a sampled TLS handshake shows.
    Tls {
        /// What it shows.
        facts: Box<TlsFacts>,
        /// Reasons to look at the server.
        findings: Vec<&'static str>,
    },
}

impl Happening {
    /// Writes it to the log.
    pub(crate) fn log(&self) {
        let Self {
            service,
            peer,
            port,
            protocol,
            ..
        } = self;
        let direction = self.direction.name();
        let (source, source_port) = (peer.ip(), peer.port());
        match &self.happened {
            Happened::Plaintext {
                verdict,
                request,
                credentials,
            } => {
                let credentials = texts(credentials);
                warn!(
                    event = "plaintext", %source, source_port, port, service, direction, protocol,
                    verdict, request, credentials
                );
            }
            Happened::Connection {
                verdict,
                first,
                evaded,
            } => info!(
                event = "connection", %source, source_port, port, service, direction, protocol,
                verdict, first, evaded
            ),
            Happened::Tls { facts, findings } if !findings.is_empty() => warn!(
                event = "tls", %source, source_port, port, service, direction,
                version = facts.version.unwrap_or("?"), findings = findings.join(", ")
            ),
            Happened::Tls { .. } => {}
        }
    }

    /// One line for people. It holds nothing that a stranger chose but addresses and what `redact`
    /// and `tls` let through.
    pub(crate) fn render(&self) -> String {
        let mut line = String::new();
        let time = Timestamp::from_millisecond(self.time_ms.cast_signed());
        let time = time.map_or_else(|_| self.time_ms.to_string(), |time| format!("{time:.3}"));
        let arrow = match self.direction {
            Direction::Inbound => "<-",
            Direction::Outbound => "->",
        };
        let _ = write!(
            line,
            "{time} {}:{} {arrow} {} {}",
            self.service, self.port, self.peer, self.protocol
        );
        let _ = match &self.happened {
            Happened::Plaintext {
                verdict,
                request,
                credentials,
            } if credentials.is_empty() => write!(line, " plaintext {verdict}: {request}"),
            Happened::Plaintext {
                verdict,
                request,
                credentials,
            } => write!(
                line,
                " plaintext {verdict}: {request}; credentials: {}",
                texts(credentials)
            ),
            Happened::Connection {
                verdict,
                first,
                evaded,
            } => {
                let evaded = if *evaded { ", contradicts itself" } else { "" };
                write!(line, " connection {verdict}, {first} spoke first{evaded}")
            }
            Happened::Tls { facts, findings } => {
                let shown = |text: Option<&str>| text.unwrap_or("?").to_owned();
                write!(
                    line,
                    " {} {} for {}, ja4 {}{}{}",
                    shown(facts.version),
                    shown(facts.cipher.as_deref()),
                    shown(facts.sni.as_deref()),
                    shown(facts.ja4.as_deref()),
                    if findings.is_empty() { "" } else { ": " },
                    findings.join(", ")
                )
            }
        };
        line
    }
}

fn texts(credentials: &[Credential]) -> String {
    let texts = credentials.iter().map(|credential| {
        let mark = credential.mark.as_deref().unwrap_or("cut");
        format!("{} in {} ({mark})", credential.scheme, credential.place)
    });
    texts.collect::<Vec<_>>().join(", ")
}

/// A happening as it is told to whoever asks.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Told {
    #[serde(flatten)]
    happening: Happening,
    /// One line for people.
    text: String,
}

impl From<&Happening> for Told {
    fn from(happening: &Happening) -> Self {
        Self {
            text: happening.render(),
            happening: happening.clone(),
        }
    }
}

/// What was found since the agent started. Everything in it is a sample, so sums are lower bounds.
#[derive(Debug, Default)]
pub(crate) struct Findings {
    happenings: VecDeque<Happening>,
    credentials: BTreeMap<String, BTreeMap<&'static str, u64>>,
    tls: BTreeMap<String, TlsStatus>,
    news: News,
}

impl Findings {
    /// Adds what has happened.
    pub(crate) fn add(&mut self, happening: Happening) {
        match &happening.happened {
            Happened::Plaintext { credentials, .. } => {
                let of_service = self.credentials.entry(happening.service.clone());
                let of_service = of_service.or_default();
                for credential in credentials {
                    *of_service.entry(credential.scheme).or_default() += 1;
                }
            }
            Happened::Tls { facts, findings } => {
                let status = self.tls.entry(happening.service.clone()).or_default();
                add_tls(status, facts, findings);
            }
            Happened::Connection { .. } => {}
        }
        self.news.tell(|| Told::from(&happening));
        if self.happenings.len() == KEPT {
            self.happenings.pop_front();
        }
        self.happenings.push_back(happening);
    }

    /// The latest happenings, newest last.
    pub(crate) fn latest(&self) -> Vec<Told> {
        self.happenings.iter().map(Told::from).collect()
    }

    /// The latest happenings and all that come; nothing when as many follow as may.
    pub(crate) fn follow(&self) -> Option<Follower> {
        self.news.follow(self.happenings.iter().map(Told::from))
    }

    /// Credentials seen in clear at a service, by scheme.
    pub(crate) fn credentials(&self, service: &str) -> BTreeMap<String, u64> {
        let schemes = self.credentials.get(service).into_iter().flatten();
        schemes
            .map(|(scheme, count)| ((*scheme).to_owned(), *count))
            .collect()
    }

    /// What sampled TLS handshakes of a service showed.
    pub(crate) fn tls(&self, service: &str) -> TlsStatus {
        self.tls.get(service).cloned().unwrap_or_default()
    }
}

fn add_tls(status: &mut TlsStatus, facts: &TlsFacts, findings: &[&'static str]) {
    status.sampled += 1;
    let count = |counts: &mut BTreeMap<String, u64>, word: &str| {
        *counts.entry(word.to_owned()).or_default() += 1;
    };
    count(&mut status.versions, facts.version.unwrap_or("unknown"));
    if let Some(cipher) = &facts.cipher {
        let is_told = status.ciphers.len() < CIPHERS || status.ciphers.contains_key(cipher);
        count(&mut status.ciphers, if is_told { cipher } else { OTHERS });
    }
    count(
        &mut status.client_certificates,
        facts.client_certificate.word(),
    );
    for finding in findings {
        count(&mut status.findings, finding);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    pub(super) fn plaintext(request: &str) -> Happened {
        Happened::Plaintext {
            verdict: "pass",
            request: request.to_owned(),
            credentials: Vec::new(),
        }
    }

    pub(super) fn happening(happened: Happened) -> Happening {
        Happening {
            time_ms: 1_700_000_000_123,
            service: "orders".to_owned(),
            direction: Direction::Inbound,
            peer: ([192, 0, 2, 9], 40_000).into(),
            port: 8080,
            protocol: "http1",
            happened,
        }
    }

    #[test]
    fn the_latest_are_kept_and_credentials_are_counted() {
        let mut findings = Findings::default();
        for _ in 0..KEPT + 5 {
            findings.add(happening(Happened::Plaintext {
                verdict: "pass",
                request: "GET /".to_owned(),
                credentials: vec![Credential {
                    scheme: "basic",
                    place: "authorization".to_owned(),
                    mark: Some("0123456789ab".to_owned()),
                }],
            }));
        }
        assert_eq!(findings.latest().len(), KEPT);
        let counts = findings.credentials("orders");
        assert_eq!(counts["basic"], KEPT as u64 + 5);
        assert!(findings.credentials("other").is_empty());
        assert_eq!(
            findings.latest()[0].text,
            "2023-11-14T22:13:20.123Z orders:8080 <- 192.0.2.9:40000 http1 plaintext pass: GET /; \
             credentials: basic in authorization (0123456789ab)"
        );
    }

    #[test]
    fn ciphers_are_told_apart_up_to_a_bound() {
        let mut findings = Findings::default();
        for number in 0..100 {
            let facts = TlsFacts {
                cipher: Some(format!("0x{number:04x}")),
                version: Some("tls1.0"),
                ..TlsFacts::default()
            };
            findings.add(happening(Happened::Tls {
                findings: vec!["old_version"],
                facts: Box::new(facts),
            }));
        }
        let status = findings.tls("orders");
        assert_eq!(status.sampled, 100);
        assert_eq!(status.ciphers.len(), CIPHERS + 1);
        assert_eq!(status.ciphers[OTHERS], 100 - CIPHERS as u64);
        assert_eq!(
            (status.versions["tls1.0"], status.findings["old_version"]),
            (100, 100)
        );
    }
}
