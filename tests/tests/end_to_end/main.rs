//! guard between real clients and a real server: what gets through, what does not, and what it says
//! of both.

#![forbid(unsafe_code)]

mod alerts;
mod bans;
mod clock;
mod encryption;
mod headers;
mod known;
mod lifelines;
mod limits;
mod modes;
mod queues;
mod rules;
mod serving;
mod top;

use std::{
    fs,
    net::IpAddr,
    thread,
    time::{Duration, Instant},
};

use anyhow::{Result, bail};
use lab::{
    agent::{Agent, Folder, field},
    curl::{Curl, Outcome},
    machine,
    servers::Nginx,
    stage::{INTERFACE, SERVER, SERVER_V6, Stage},
};
use serde_json::Value;

const TLS_PORT: u16 = 8443;
const PLAIN_PORT: u16 = 8080;

/// Long enough for whatever comes at all, on a busy machine too.
const PATIENCE: Duration = Duration::from_secs(30);
/// How long a request is tried of which nothing is to come.
const IN_VAIN: Duration = Duration::from_millis(1200);
/// What curl ends with when nothing came in time.
const TIMED_OUT: i32 = 28;

/// A stage with nginx on it.
struct Site {
    stage: Stage,
    nginx: Nginx,
}

impl Site {
    fn new() -> Result<Self> {
        Self::on(Stage::new()?)
    }

    fn on(stage: Stage) -> Result<Self> {
        let nginx = Nginx::start(stage.host(), &[TLS_PORT], &[PLAIN_PORT])?;
        Ok(Self { stage, nginx })
    }

    /// Starts guard on the server's interface.
    fn guard(&self, flags: &[&str]) -> Result<Agent> {
        let flags = [&["--iface", INTERFACE], flags].concat();
        Agent::start(self.stage.host(), &flags)
    }

    /// Starts guard with this configuration file.
    fn guard_configured(&self, configuration: &str) -> Result<Agent> {
        let folder = Folder::new()?;
        let file = folder.join("guard.toml");
        fs::write(&file, configuration)?;
        let flags = ["--config", &file.to_string_lossy()];
        Agent::start_in(self.stage.host(), folder, &flags)
    }

    fn curl(&self, from: IpAddr) -> Curl {
        Curl::new(self.stage.client.namespace())
            .from(from)
            .trust(&self.nginx.certificate())
    }

    /// An HTTPS request from this address of the client.
    fn https(&self, from: impl Into<IpAddr>) -> Result<Outcome> {
        let from = from.into();
        self.curl(from).https(server_for(from), TLS_PORT, "/")
    }

    /// A request in clear from this address of the client.
    fn http(&self, from: impl Into<IpAddr>) -> Result<Outcome> {
        let from = from.into();
        self.curl(from).http(server_for(from), PLAIN_PORT, "/")
    }

    /// An HTTPS request that is expected to wait in vain.
    fn https_in_vain(&self, from: impl Into<IpAddr>) -> Result<Outcome> {
        let from = from.into();
        let curl = self.curl(from).timeout(IN_VAIN);
        curl.https(server_for(from), TLS_PORT, "/")
    }

    /// A request in clear that is expected to wait in vain.
    fn http_in_vain(&self, from: impl Into<IpAddr>) -> Result<Outcome> {
        let from = from.into();
        let curl = self.curl(from).timeout(IN_VAIN);
        curl.http(server_for(from), PLAIN_PORT, "/")
    }
}

/// The server's address of the same family.
fn server_for(client: IpAddr) -> IpAddr {
    match client {
        IpAddr::V4(_) => SERVER.into(),
        IpAddr::V6(_) => SERVER_V6.into(),
    }
}

/// Packets the agent counted on all interfaces under this verdict and reason.
fn packets(agent: &Agent, verdict: &str, reason: &str) -> Result<u64> {
    let labels = [("verdict", verdict), ("reason", reason)];
    Ok(agent.metrics()?.count("guard_packets_total", &labels))
}

/// Packets the agent dropped, for whatever reason.
fn dropped(agent: &Agent) -> Result<u64> {
    let labels = [("verdict", "drop")];
    Ok(agent.metrics()?.count("guard_packets_total", &labels))
}

/// Packets the agent dropped for another reason than this, as of one moment: what was dropped may
/// be sent again while a test reads.
fn dropped_otherwise(agent: &Agent, reason: &str) -> Result<u64> {
    let metrics = agent.metrics()?;
    let all = metrics.count("guard_packets_total", &[("verdict", "drop")]);
    let labels = [("verdict", "drop"), ("reason", reason)];
    Ok(all - metrics.count("guard_packets_total", &labels))
}

/// Connections of a service that the agent counted under an encryption verdict, once there are so
/// many or a while has passed.
fn connections(agent: &Agent, service: &str, verdict: &str, count: u64) -> Result<u64> {
    let labels = [("service", service), ("verdict", verdict)];
    let deadline = Instant::now() + PATIENCE;
    loop {
        let counted = agent.metrics()?.count("guard_connections_total", &labels);
        if counted >= count || Instant::now() > deadline {
            return Ok(counted);
        }
        thread::sleep(Duration::from_millis(20));
    }
}

/// Waits until so many packets were counted under this verdict and reason, and returns how many.
fn wait_for_packets(agent: &Agent, verdict: &str, reason: &str, count: u64) -> Result<u64> {
    let deadline = Instant::now() + PATIENCE;
    loop {
        let counted = packets(agent, verdict, reason)?;
        if counted >= count || Instant::now() > deadline {
            return Ok(counted);
        }
        thread::sleep(Duration::from_millis(20));
    }
}

/// Waits for the first event of this kind from this source.
fn wait_for_event(agent: &Agent, kind: &str, source: impl Into<IpAddr>) -> Result<Value> {
    let source = source.into().to_string();
    let deadline = Instant::now() + PATIENCE;
    loop {
        let log = agent.log();
        let mut events = log.with("event", kind);
        let event = events.find(|event| field(event, "source").is_some_and(|own| *own == source));
        if let Some(event) = event {
            return Ok(event);
        }
        if Instant::now() > deadline {
            bail!("no {kind} event from {source} in:\n{}", log.text());
        }
        thread::sleep(Duration::from_millis(20));
    }
}

/// Stops the agent, which must end well.
fn stop(agent: Agent) -> Result<()> {
    let stopped = agent.stop()?;
    assert!(stopped.status.success(), "{}", stopped.log.text());
    assert!(
        !stopped.log.text().contains("panicked"),
        "{}",
        stopped.log.text()
    );
    Ok(())
}

/// Those that do not depend on how fast the machine is.
#[test]
#[ignore = "boots virtual machines: `cargo xtask test --full`"]
fn older_kernels_protect_alike() -> Result<()> {
    let modules = ["bans::", "encryption::", "known::", "rules::"];
    machine::repeat_on_older_kernels(&[&["--test-threads=1"], &modules[..]].concat())
}
