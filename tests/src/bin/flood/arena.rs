//! Where it is measured: floods come from the first CPU, everything else is done by the last.

use std::{fs, net::Ipv4Addr, time::Duration};

use anyhow::{Context as _, Result};
use lab::{
    command,
    scheduling::pin_to_last_cpu,
    servers::Nginx,
    stage::{CLIENT, INTERFACE, Stage},
};

/// Where the server speaks HTTP/1.1.
pub(crate) const PLAIN_PORT: u16 = 8080;
/// Where it speaks HTTP/2 over TLS.
pub(crate) const TLS_PORT: u16 = 8443;
/// The first address of the clients of the server.
const FIRST_CLIENT: Ipv4Addr = Ipv4Addr::new(203, 0, 113, 128);
/// How many clients there are.
pub(crate) const CLIENTS: u32 = 64;

/// A stage with a server, and what receives for it.
#[derive(Debug)]
pub(crate) struct Arena {
    pub(crate) stage: Stage,
    /// The threads that receive.
    threads: Vec<i32>,
    _nginx: Nginx,
}

impl Arena {
    pub(crate) fn new() -> Result<Self> {
        let stage = Stage::new()?;
        // Answers to whoever it is go out, as on a host of the Internet.
        stage
            .server
            .add_neighbour(CLIENT.into(), stage.client.mac())?;
        stage.server.add_route("default", CLIENT.into())?;
        let threads = stage.server.receive_apart()?;
        let servers = format!(
            "server {{ keepalive_requests 1000000000; listen {PLAIN_PORT} backlog=4096; \
             listen {TLS_PORT} ssl http2; location / {{ return 200 \"ok\\n\"; }} }}"
        );
        let nginx = Nginx::start_with(stage.host(), &servers, PLAIN_PORT)?;
        pin_to_last_cpu(nginx.server().pid())?;
        let arena = Self {
            stage,
            threads,
            _nginx: nginx,
        };
        arena.spread_clients()?;
        Ok(arena)
    }

    /// Gives each connection of the load generators, which know one address only, that of one of the
    /// clients.
    fn spread_clients(&self) -> Result<()> {
        let client = &self.stage.client;
        let mut addresses = Vec::new();
        for number in 0..CLIENTS {
            let address = Ipv4Addr::from(u32::from(FIRST_CLIENT) + number);
            client.add_address(&format!("{address}/24"))?;
            self.stage
                .server
                .add_neighbour(address.into(), client.mac())?;
            addresses.push(format!("{number} : {address}"));
        }
        let rules = format!(
            "table ip clients {{\nchain out {{\n type nat hook postrouting priority 100\n \
             oifname {INTERFACE} ip protocol tcp snat to numgen inc mod {CLIENTS} map {{ {} }}\n}}\n}}\n",
            addresses.join(", ")
        );
        let mut nft = client.namespace().command("nft");
        command::output(nft.arg(rules)).context("the clients' addresses")?;
        Ok(())
    }

    /// The threads that receive.
    pub(crate) fn threads(&self) -> &[i32] {
        &self.threads
    }

    /// Packets that the server's end of the cable has taken.
    pub(crate) fn received(&self) -> Result<u64> {
        Ok(self.stage.server.received_by_queue()?.iter().sum())
    }

    /// Processor time that receiving has taken.
    pub(crate) fn receive_time(&self) -> Result<Duration> {
        let mut total = Duration::ZERO;
        for thread in &self.threads {
            let path = format!("/proc/{thread}/schedstat");
            let text = fs::read_to_string(&path).with_context(|| format!("cannot read {path}"))?;
            let ns = text
                .split_whitespace()
                .next()
                .context("an empty schedstat")?;
            total += Duration::from_nanos(ns.parse()?);
        }
        Ok(total)
    }
}
