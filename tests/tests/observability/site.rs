//! A host with servers, and traffic of every kind that a family of metrics tells of.

use std::{
    fs,
    net::{IpAddr, Ipv4Addr},
    thread,
    time::{Duration, Instant},
};

use anyhow::{Result, bail, ensure};
use lab::{
    Namespace,
    agent::{Agent, Folder},
    curl::Curl,
    flood::Flood,
    greedy::Greedy,
    servers::Nginx,
    stage::{CLIENT_V6, INTERFACE, NOBODY, SERVER, SERVER_V6, Stage},
};

pub(crate) const TLS_PORT: u16 = 8443;
pub(crate) const PLAIN_PORT: u16 = 8080;
/// Where connections are taken that say nothing.
pub(crate) const SILENT_PORT: u16 = 8081;
/// Where the host calls others.
pub(crate) const CALLED_PORT: u16 = 9443;
const SINK_PORT: u16 = 9000;
/// The first of many forged sources (RFC 2544's network).
const FORGED: Ipv4Addr = Ipv4Addr::new(198, 18, 0, 0);

pub(crate) const INTERFACES: [&str; 1] = [INTERFACE];
pub(crate) const SERVICES: [&str; 3] = ["orders", "legacy", "upstream"];

/// Long enough for whatever comes at all, on a busy machine too.
pub(crate) const PATIENCE: Duration = Duration::from_secs(30);

/// Of everything something: the client is allowed, the other address has a limit and a ban, one
/// network is denied and one both, and a feed lists some.
const CONFIGURATION: &str = r#"
interfaces = ["eth0"]
# A bad one is to be seen for longer than it takes to notice that it was mended.
watch = false

[limits]
packets = "200/s"
new_sources = "1k/s"
ban = { after = "1s", for = "1h", max = "2h" }

[[service]]
name = "orders"
ports = [8443]

[[service]]
name = "legacy"
ports = [8080, 8081]

[[service]]
name = "upstream"
direction = "outbound"
ports = [9443]

[[allow]]
cidr = "203.0.113.10/32"

[[allow]]
cidr = "192.0.2.0/24"

[[deny]]
cidr = "192.0.2.0/24"

[[deny]]
cidr = "203.0.113.66/32"

[[feed]]
name = "listed"
file = "listed.netset"

# Nobody listens there.
[[feed]]
name = "fetched"
url = "http://127.0.0.1:9/"

[[alert]]
webhook = "http://127.0.0.1:9/"
format = "json"

# Which takes requests over TLS only.
[[alert]]
webhook = "http://127.0.0.1:8443/"
format = "json"
"#;

/// The host, its servers and its clients.
pub(crate) struct Site {
    pub(crate) stage: Stage,
    pub(crate) nginx: Nginx,
}

impl Site {
    pub(crate) fn new() -> Result<Self> {
        let stage = Stage::new()?;
        let nginx = Nginx::start(stage.host(), &[TLS_PORT], &[PLAIN_PORT])?;
        Ok(Self { stage, nginx })
    }

    /// Starts guard with these further flags, such as `--dry-run`.
    pub(crate) fn guard(&self, flags: &[&str]) -> Result<Agent> {
        let folder = Folder::new()?;
        fs::write(folder.join("guard.toml"), CONFIGURATION)?;
        fs::write(
            folder.join("listed.netset"),
            "198.51.100.0/24\n2001:db8:bad::/48\n",
        )?;
        self.guard_in(folder, flags)
    }

    /// The same on what another one left.
    pub(crate) fn guard_in(&self, folder: Folder, flags: &[&str]) -> Result<Agent> {
        let file = folder.join("guard.toml").to_string_lossy().into_owned();
        let flags = [&["--config", &file], flags].concat();
        Agent::start_in(self.stage.host(), folder, &flags)
    }

    /// The namespace of the clients.
    pub(crate) fn clients(&self) -> &Namespace {
        self.stage.client.namespace()
    }

    /// A request over TLS, one in clear with credentials of some kinds, and floods: of a denied
    /// source, of a listed one, and of sources that do not exist.
    pub(crate) fn traffic(&self) -> Result<()> {
        let curl = || Curl::new(self.clients()).trust(&self.nginx.certificate());
        for _ in 0..3 {
            let served = curl().https(SERVER.into(), TLS_PORT, "/")?;
            ensure!(served.is_ok(), "{served:?}");
            let served = curl()
                .header("Authorization: Bearer c0ffee")
                .header("Cookie: a=b")
                .http(SERVER.into(), PLAIN_PORT, "/v1/orders?api_key=4711")?;
            ensure!(served.is_ok(), "{served:?}");
        }
        for (source, sources, count) in [
            (NOBODY, 1, 300_000),
            (Ipv4Addr::new(198, 51, 100, 1), 1, 1_000),
            (FORGED, 1 << 16, 300_000),
        ] {
            self.flood(source.into(), sources, count)?;
        }
        Ok(())
    }

    /// Datagrams of so many sources, from this one on.
    pub(crate) fn flood(&self, source: IpAddr, sources: u64, count: u64) -> Result<()> {
        let packet = self.stage.packet(source).udp(4000, 9).payload([0; 18]);
        let flood = Flood {
            sources,
            ..Flood::new(packet.build(), count)
        };
        flood.run(&self.stage.client)?;
        Ok(())
    }

    /// A connection that sends far more than its source may, until that is banned.
    pub(crate) fn earn_a_ban(&self, agent: &Agent) -> Result<()> {
        // Over IPv6, of which nobody is allowed.
        let sink = (SERVER_V6, SINK_PORT).into();
        let greedy = Greedy::start(&self.stage, CLIENT_V6.into(), sink)?;
        wait_until(
            "a ban",
            || Ok(agent.metrics()?.sum("guard_bans", &[]) > 0.0),
        )?;
        drop(greedy);
        Ok(())
    }
}

/// Waits for that, and not for ever.
pub(crate) fn wait_until(what: &str, is_so: impl Fn() -> Result<bool>) -> Result<()> {
    let deadline = Instant::now() + PATIENCE;
    while !is_so()? {
        if Instant::now() > deadline {
            bail!("{what}: not within {PATIENCE:?}");
        }
        thread::sleep(Duration::from_millis(100));
    }
    Ok(())
}
