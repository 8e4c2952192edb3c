//! Who protects the host: guard, nobody, and what is used instead of guard.

use std::{fmt::Write as _, fs};

use anyhow::{Context as _, Result};
use lab::{
    Namespace,
    agent::{Agent, Folder},
    bench::{
        xdp_filter::{Features, XdpFilter},
        yardsticks::HashDrop,
    },
    command,
    counters::{EmptyDrop, ReadDrop},
    scheduling::pin_to_last_cpu,
    stage::INTERFACE,
};

use crate::{
    arena::{Arena, PLAIN_PORT, TLS_PORT},
    sources,
};

/// What each source may send, in packets a second: more than any of the clients does.
pub(crate) const LIMIT: u32 = 5_000;
/// What all sources that guard does not know may send together, in packets a second.
pub(crate) const STRANGERS: u32 = 20_000;

/// Who protects the host.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Peer {
    /// Nobody.
    Nobody,
    /// nftables: a limit per source, where packets come in.
    NftIngress,
    /// The same, where packets for this host are looked at.
    NftInput,
    /// xdp-filter, which was told the sources that can be listed.
    XdpFilter,
    /// A program that drops everything.
    EmptyDrop,
    /// The same, which reads the source before.
    ReadDrop,
    /// A program that looks the source up in a hash table and does nothing else; told as xdp-filter is.
    HashDrop,
    /// guard, which has limits and was told nothing.
    Guard,
    /// guard, which was told what xdp-filter was.
    GuardTold,
}

/// Protection that stands until it is dropped.
#[derive(Debug)]
pub(crate) enum Standing {
    Nobody,
    Nft { _table: Table },
    XdpFilter { _filter: XdpFilter },
    EmptyDrop { _program: EmptyDrop },
    ReadDrop { _program: ReadDrop },
    HashDrop { _program: HashDrop },
    Guard(Box<Agent>),
}

impl Standing {
    /// Packets that guard has dropped, if it stands.
    pub(crate) fn dropped(&self) -> Result<Option<u64>> {
        let Self::Guard(agent) = self else {
            return Ok(None);
        };
        let metrics = agent.metrics()?;
        Ok(Some(
            metrics.count("guard_packets_total", &[("verdict", "drop")]),
        ))
    }
}

impl Peer {
    /// What tables call it.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Nobody => "no firewall",
            Self::NftIngress => "nft ingress",
            Self::NftInput => "nft input",
            Self::XdpFilter => "xdp-filter",
            Self::EmptyDrop => "empty XDP_DROP",
            Self::ReadDrop => "read drop",
            Self::HashDrop => "hash drop",
            Self::Guard => "guard",
            Self::GuardTold => "guard, deny list",
        }
    }

    /// Sets it up.
    pub(crate) fn stand(self, arena: &Arena) -> Result<Standing> {
        let host = arena.stage.host();
        Ok(match self {
            Self::Nobody => Standing::Nobody,
            Self::NftIngress => Standing::Nft {
                _table: Table::new(
                    host,
                    "netdev",
                    &format!("type filter hook ingress device {INTERFACE} priority 0"),
                )?,
            },
            Self::NftInput => Standing::Nft {
                _table: Table::new(host, "inet", "type filter hook input priority 0")?,
            },
            Self::XdpFilter => Standing::XdpFilter {
                _filter: XdpFilter::load(&arena.stage.server, Features::Addresses, &listed())?,
            },
            Self::EmptyDrop => Standing::EmptyDrop {
                _program: EmptyDrop::attach(&arena.stage.server)?,
            },
            Self::ReadDrop => Standing::ReadDrop {
                _program: ReadDrop::attach(&arena.stage.server)?,
            },
            Self::HashDrop => Standing::HashDrop {
                _program: HashDrop::attach(&arena.stage.server, &listed())?,
            },
            Self::Guard => Standing::Guard(Box::new(guard(host, "")?)),
            Self::GuardTold => Standing::Guard(Box::new(guard(host, &denied())?)),
        })
    }
}

fn listed() -> Vec<std::net::IpAddr> {
    sources::listed().into_iter().map(Into::into).collect()
}

/// As a configuration has them.
fn denied() -> String {
    let mut text = String::new();
    for source in sources::listed() {
        let _ = writeln!(text, "[[deny]]\ncidr = \"{source}\"");
    }
    text
}

fn guard(host: &Namespace, lists: &str) -> Result<Agent> {
    let folder = Folder::new()?;
    let file = folder.join("guard.toml");
    let text = format!(
        "interfaces = [\"{INTERFACE}\"]\n[limits]\npackets = \"{LIMIT}/s\"\n\
         new_sources = \"{STRANGERS}/s\"\n[[service]]\nname = \"web\"\n\
         ports = [{PLAIN_PORT}, {TLS_PORT}]\nencryption = \"optional\"\n{lists}"
    );
    fs::write(&file, text)?;
    let flags = ["--config", &file.to_string_lossy()];
    let mut agent = Agent::start_in(host, folder, &flags)?;
    pin_to_last_cpu(agent.server().pid())?;
    Ok(agent)
}

/// The set of nftables that keeps something of each source.
pub(crate) const NFT_SET: &str =
    "set sources { type ipv4_addr; flags dynamic,timeout; timeout 10s; size 65536; }";

/// The rule of nftables that asks it, the only one there is.
pub(crate) fn nft_rule() -> String {
    format!(
        "update @sources {{ ip saddr limit rate over {LIMIT}/second burst {LIMIT} packets }} drop"
    )
}

/// A table of nftables with a limit per source, deleted when dropped.
#[derive(Debug)]
pub(crate) struct Table {
    host: Namespace,
    family: &'static str,
}

impl Table {
    fn new(host: &Namespace, family: &'static str, hook: &str) -> Result<Self> {
        let rules = format!(
            "table {family} bench {{\n{NFT_SET}\nchain limited {{\n{hook}\n{}\n}}\n}}\n",
            nft_rule()
        );
        let mut nft = host.command("nft");
        command::output(nft.arg(rules)).context("the table of nftables")?;
        Ok(Self {
            host: host.clone(),
            family,
        })
    }
}

impl Drop for Table {
    fn drop(&mut self) {
        let mut nft = self.host.command("nft");
        // The namespace takes it along otherwise.
        let _ = command::output(nft.args(["delete", "table", self.family, "bench"]));
    }
}
