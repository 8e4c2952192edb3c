//! The stage: a server namespace with nginx and guard, a client namespace with many addresses, and
//! the cable between them.

use std::{
    net::{IpAddr, Ipv4Addr},
    path::{Path, PathBuf},
};

use anyhow::{Context as _, Result};
use lab::{
    Namespace,
    agent::{Agent, Stopped},
    counters::SourceCounter,
    link::{Cable, Interface},
    metrics::Metrics,
    servers::Nginx,
};

// The documentation network of RFC 5737.
pub(crate) const SERVER: Ipv4Addr = Ipv4Addr::new(203, 0, 113, 1);
pub(crate) const CLIENT: Ipv4Addr = Ipv4Addr::new(203, 0, 113, 10);
pub(crate) const UDP_FLOOD: Ipv4Addr = Ipv4Addr::new(203, 0, 113, 66);
pub(crate) const SYN_FLOOD: Ipv4Addr = Ipv4Addr::new(203, 0, 113, 77);
pub(crate) const PLAIN_CLIENT: Ipv4Addr = Ipv4Addr::new(203, 0, 113, 88);

pub(crate) const TLS_PORT: u16 = 8443;
pub(crate) const PLAIN_PORT: u16 = 8080;

/// What each source may send, a second.
pub(crate) const PACKETS_PER_SECOND: u64 = 20_000;
pub(crate) const CONNECTIONS_PER_SECOND: u64 = 50;

const INTERFACE: &str = "eth0";

pub(crate) struct Scene {
    pub(crate) client: Interface,
    pub(crate) server: Interface,
    pub(crate) nginx: Nginx,
    pub(crate) counter: SourceCounter,
}

/// What was still there after everything was taken down.
pub(crate) struct Leftovers(pub(crate) Vec<String>);

impl Scene {
    pub(crate) fn build() -> Result<Self> {
        let (clients, server) = (Namespace::new("clients")?, Namespace::new("server")?);
        let (left, right) = Cable::new((&clients, INTERFACE), (&server, INTERFACE)).lay()?;
        right.add_address(&format!("{SERVER}/24"))?;
        for address in [CLIENT, PLAIN_CLIENT] {
            left.add_address(&format!("{address}/24"))?;
        }
        // Nobody answers there, as at any forged address, but the server may think so.
        for address in [UDP_FLOOD, SYN_FLOOD] {
            right.add_neighbour(IpAddr::V4(address), left.mac())?;
        }
        right.receive_apart()?;
        let nginx = Nginx::start(&server, &[TLS_PORT], &[PLAIN_PORT])?;
        say!("server   {SERVER}     nginx: TLS on port {TLS_PORT}, plain HTTP on {PLAIN_PORT}");
        say!("client   {CLIENT}    HTTPS, a new connection every 50 ms");
        say!("flood    {UDP_FLOOD}    UDP in frames of 64 bytes, to the server's port 9");
        say!("flood    {SYN_FLOOD}    TCP SYN, to the server's port {TLS_PORT}");
        say!(
            "client   {PLAIN_CLIENT}    one plain HTTP request with a token, to port {PLAIN_PORT}"
        );
        let counter = SourceCounter::attach(&right)?;
        Ok(Self {
            client: left,
            server: right,
            nginx,
            counter,
        })
    }

    /// Starts `guard run` on the server's interface.
    pub(crate) fn start_agent(&self) -> Result<Agent> {
        let packets = format!("{}k/s", PACKETS_PER_SECOND / 1000);
        let connections = format!("{}/min", CONNECTIONS_PER_SECOND * 60);
        let ports = format!("{PLAIN_PORT},{TLS_PORT}");
        let flags = [
            ["--iface", INTERFACE],
            ["--limit-packets", &packets],
            ["--limit-connections", &connections],
            ["--api-port", &ports],
        ];
        say!(
            "\n$ guard run {}",
            flags.map(|flag| flag.join(" ")).join(" ")
        );
        let agent = Agent::start(self.server.namespace(), flags.as_flattened())?;
        say!(
            "guard is ready, attached in {} mode",
            attach_mode(&agent.metrics()?)
        );
        Ok(agent)
    }

    /// Packets from `source` that came past guard to the server's own stack.
    pub(crate) fn got_through(&self, source: Ipv4Addr) -> Result<u64> {
        Ok(self.counter.received()?.get(&source).copied().unwrap_or(0))
    }

    /// Takes everything down and looks for what is still there.
    pub(crate) fn tear_down(self, stopped: &Stopped) -> Result<Leftovers> {
        let mut found = Vec::new();
        if has_xdp(&self.server)? {
            found.push(format!("an XDP program on {INTERFACE}"));
        }
        found.extend(
            stopped
                .folder
                .pins()
                .iter()
                .map(|pin| format!("the pin {}", pin.display())),
        );
        let names = [
            self.client.namespace().name(),
            self.server.namespace().name(),
        ];
        let names = names.map(str::to_owned);
        let nginx = process(self.nginx.server().pid());
        drop(self);
        let still_there = names.into_iter().filter(|name| Namespace::exists(name));
        found.extend(still_there.map(|name| format!("the namespace {name}")));
        if nginx.exists() {
            found.push("nginx".to_owned());
        }
        Ok(Leftovers(found))
    }
}

fn process(pid: u32) -> PathBuf {
    Path::new("/proc").join(pid.to_string())
}

fn has_xdp(interface: &Interface) -> Result<bool> {
    let shown = interface
        .namespace()
        .ip(&format!("-json link show {}", interface.name()))?;
    let links: serde_json::Value = serde_json::from_str(&shown).context("what ip shows")?;
    Ok(links[0].get("xdp").is_some())
}

fn attach_mode(metrics: &Metrics) -> String {
    let attached = metrics.matching("guard_xdp_attached", &[("iface", INTERFACE)]);
    let mut modes = attached.filter(|(_, value)| *value > 0.0);
    let mode = modes
        .next()
        .and_then(|(series, _)| series.labels.get("mode").cloned());
    mode.unwrap_or_else(|| "unknown".to_owned())
}
