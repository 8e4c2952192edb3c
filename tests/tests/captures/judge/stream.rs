//! What was seen of a connection.

use std::{collections::BTreeSet, net::SocketAddr};

use guard_common::connection::Outcome;

use super::{packet::Packet, plain::Plain};

/// TLS's content types and handshake types.
const ALERT: &str = "21";
const APPLICATION_DATA: &str = "23";
const CLIENT_HELLO: &str = "1";
const SERVER_HELLO: &str = "2";

/// A connection, with what tshark found in it.
#[derive(Debug)]
pub(crate) struct Stream {
    /// Who sent the SYN; where nobody is known to, who has the higher port.
    pub(crate) client: SocketAddr,
    /// The other one.
    pub(crate) server: SocketAddr,
    /// How far its handshake was seen.
    pub(super) handshake: Handshake,
    /// What the client said.
    pub(super) from_client: Side,
    /// What the server said.
    pub(super) from_server: Side,
    /// Protocols that the client asked for something in.
    pub(super) requests: BTreeSet<Plain>,
    /// Protocols that the server greeted in or answered in.
    pub(super) responses: BTreeSet<Plain>,
    /// Protocols that the server answered a request in.
    pub(super) answers: BTreeSet<Plain>,
    /// What the server said in HTTP.
    pub(super) http: Http,
    /// Whether the server aborted it after a request.
    pub(super) rst_after_request: bool,
}

/// Parts of a handshake.
#[derive(Debug, Default)]
pub(super) struct Handshake {
    syn: bool,
    syn_ack: bool,
    /// Whether the client went on after both.
    complete: bool,
}

/// What one side said.
#[derive(Debug, Default)]
pub(super) struct Side {
    /// Bytes of payload on the wire, with retransmissions.
    pub(super) payload: u64,
    /// Whether it said its hello of TLS or sent application data.
    pub(super) tls: bool,
    /// Whether it sent an alert of TLS.
    pub(super) alert: bool,
    /// Whether it said its version of SSH.
    pub(super) ssh: bool,
}

/// Final responses of HTTP/1 in the clear.
#[derive(Debug, Default)]
pub(super) struct Http {
    /// All of them.
    pub(super) responses: usize,
    /// 301 and 308 to an address of HTTPS.
    pub(super) redirects: usize,
    /// 400 with a body that asks for HTTPS.
    pub(super) refusals: usize,
}

impl Stream {
    /// Looks at the packets of a connection. Nothing where guard does not: without Ethernet, in a
    /// tunnel, or from somebody to themselves.
    pub(super) fn of(packets: &[Packet]) -> Option<Self> {
        let (client, server) = ends(packets, packets.first()?);
        let is_heard = |packet: &Packet| packet.is_ethernet && !packet.is_tunnelled;
        if client == server || !packets.iter().all(is_heard) {
            return None;
        }
        let mut stream = Self {
            client,
            server,
            handshake: Handshake::default(),
            from_client: Side::default(),
            from_server: Side::default(),
            requests: BTreeSet::new(),
            responses: BTreeSet::new(),
            answers: BTreeSet::new(),
            http: Http::default(),
            rst_after_request: false,
        };
        for packet in packets {
            if packet.from == client {
                stream.take_from_client(packet);
            } else {
                stream.take_from_server(packet);
            }
        }
        Some(stream)
    }

    /// What is to be expected: nothing can be told for sure without the start.
    pub(crate) fn expected(&self) -> Outcome {
        if self.handshake.syn || self.handshake.syn_ack {
            self.content()
        } else {
            Outcome::Blind
        }
    }

    /// Whether there is a connection at all, and not only an attempt at one.
    pub(crate) fn is_connection(&self) -> bool {
        self.handshake.complete || self.from_client.payload + self.from_server.payload > 0
    }

    fn take_from_client(&mut self, packet: &Packet) {
        let begun = self.handshake.syn && self.handshake.syn_ack;
        self.handshake.complete |= begun && packet.is_ack();
        self.handshake.syn |= packet.is_syn();
        self.from_client.take(packet, CLIENT_HELLO);
        self.requests.extend(Plain::request(packet));
    }

    fn take_from_server(&mut self, packet: &Packet) {
        self.handshake.syn_ack |= packet.is_syn_ack();
        self.rst_after_request |= packet.is_rst() && !self.requests.is_empty();
        self.from_server.take(packet, SERVER_HELLO);
        let Some(said) = Plain::answer(packet) else {
            return;
        };
        self.responses.insert(said);
        if self.requests.contains(&said) {
            self.answers.insert(said);
        }
        if said == Plain::Http {
            self.http.take(packet);
        }
    }
}

impl Side {
    /// Takes in a packet of this side, whose hello of TLS is of type `hello`.
    fn take(&mut self, packet: &Packet, hello: &str) {
        let has_type = |kind| {
            packet.is_any("tls.record.content_type", &[kind])
                || packet.is_any("tls.record.opaque_type", &[kind])
        };
        let is_ssh = |said: &String| said.starts_with("SSH-");
        self.payload += packet.len;
        self.tls |= packet.is_any("tls.handshake.type", &[hello]) || has_type(APPLICATION_DATA);
        self.alert |= has_type(ALERT);
        self.ssh |= packet.all("ssh.protocol").iter().any(is_ssh);
    }
}

impl Http {
    fn take(&mut self, packet: &Packet) {
        let has_any = |name: &str, is_so: fn(&str) -> bool| {
            let values = packet.all(name).iter();
            values
                .map(|value| value.to_ascii_lowercase())
                .any(|value| is_so(&value))
        };
        for code in packet.all("http.response.code") {
            match code.as_str() {
                "301" | "308" if has_any("http.location", |to| to.starts_with("https://")) => {
                    self.redirects += 1;
                }
                "400" if has_any("http.file_data", asks_for_https) => self.refusals += 1,
                // Interim: another follows.
                "100" | "102" | "103" => continue,
                _ => {}
            }
            self.responses += 1;
        }
    }
}

/// Whether a page says that this port is for HTTPS, as those of Apache, nginx and Go do.
fn asks_for_https(page: &str) -> bool {
    let words = ["https", "ssl-enabled", "tls"];
    words.iter().any(|word| page.contains(word))
}

/// Client and server: by SYN, else by SYN-ACK, else by the ports, else by who was first.
fn ends(packets: &[Packet], first: &Packet) -> (SocketAddr, SocketAddr) {
    if let Some(syn) = packets.iter().find(|packet| packet.is_syn()) {
        (syn.from, syn.to)
    } else if let Some(granted) = packets.iter().find(|packet| packet.is_syn_ack()) {
        (granted.to, granted.from)
    } else if first.from.port() < first.to.port() {
        (first.to, first.from)
    } else {
        (first.from, first.to)
    }
}
