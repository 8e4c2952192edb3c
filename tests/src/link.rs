//! Virtual Ethernet cables between namespaces, and the interfaces at their ends.

use std::{fs, net::IpAddr, process::Command};

use anyhow::{Context as _, Result, bail, ensure};
use serde_json::Value;

use crate::{Namespace, command, frames::Mac, scheduling};

/// A cable between two namespaces, before it is laid.
#[derive(Debug)]
pub struct Cable<'a> {
    left: (&'a Namespace, &'a str),
    right: (&'a Namespace, &'a str),
    mtu: u32,
    queues: u32,
}

impl<'a> Cable<'a> {
    /// A cable with one queue and an MTU of 1500, each end a namespace and a name for the interface.
    pub fn new(left: (&'a Namespace, &'a str), right: (&'a Namespace, &'a str)) -> Self {
        Self {
            left,
            right,
            mtu: 1500,
            queues: 1,
        }
    }

    /// Sets the largest packet, in bytes, of both ends.
    #[must_use]
    pub fn mtu(mut self, mtu: u32) -> Self {
        self.mtu = mtu;
        self
    }

    /// Sets the number of receive and transmit queues of both ends.
    #[must_use]
    pub fn queues(mut self, queues: u32) -> Self {
        self.queues = queues;
        self
    }

    /// Creates the pair and brings both ends up.
    ///
    /// Receive offload is on, so that each end polls its ring (without it, it takes no frame from
    /// XDP), and transmit offload off, so that checksums are complete and no packet exceeds the MTU.
    pub fn lay(self) -> Result<(Interface, Interface)> {
        let Self {
            left,
            right,
            mtu,
            queues,
        } = self;
        let numbers = format!("mtu {mtu} numrxqueues {queues} numtxqueues {queues}");
        left.0.ip(&format!(
            "link add {} {numbers} type veth peer name {} netns {} {numbers}",
            left.1,
            right.1,
            right.0.name()
        ))?;
        Ok((Interface::bring_up(left)?, Interface::bring_up(right)?))
    }
}

/// An XDP program on an interface.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AttachedXdp {
    /// `native`, `generic` or `offloaded`.
    pub mode: &'static str,
    /// The kernel's number of the program.
    pub program_id: u32,
}

impl AttachedXdp {
    fn read(shown: &Value) -> Result<Self> {
        // The numbers are those of `XDP_ATTACHED_*`.
        let mode = match shown["mode"].as_u64() {
            Some(1) => "native",
            Some(2) => "generic",
            Some(3) => "offloaded",
            _ => bail!("an XDP program in no mode we know: {shown}"),
        };
        let program_id = shown["prog"]["id"].as_u64().context("no program id")? as u32;
        Ok(Self { mode, program_id })
    }
}

/// One end of a cable.
#[derive(Clone, Debug)]
pub struct Interface {
    namespace: Namespace,
    name: String,
    index: u32,
    mac: Mac,
}

impl Interface {
    fn bring_up((namespace, name): (&Namespace, &str)) -> Result<Self> {
        namespace.ip(&format!("link set {name} up"))?;
        // Only now: on an interface that is down, receive offload does not open it to floods.
        let mut ethtool = namespace.command("ethtool");
        command::output(ethtool.args(["-K", name, "gro", "on", "tx", "off"]))?;
        let shown = namespace.ip(&format!("-json link show {name}"))?;
        let (index, mac) = identity(&shown).with_context(|| format!("what ip says of {name}"))?;
        Ok(Self {
            namespace: namespace.clone(),
            name: name.to_owned(),
            index,
            mac,
        })
    }

    /// The namespace it is in.
    pub fn namespace(&self) -> &Namespace {
        &self.namespace
    }

    /// Its name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Its number, valid in its namespace.
    pub fn index(&self) -> u32 {
        self.index
    }

    /// Its hardware address.
    pub fn mac(&self) -> Mac {
        self.mac
    }

    /// The XDP program on it, as `ip` shows it.
    pub fn xdp(&self) -> Result<Option<AttachedXdp>> {
        let shown = self
            .namespace
            .ip(&format!("-json link show {}", self.name))?;
        let links: Value = serde_json::from_str(&shown).context("what ip shows")?;
        links[0].get("xdp").map(AttachedXdp::read).transpose()
    }

    /// Adds an address with its prefix length, such as `10.0.0.1/24`; as many as wanted.
    pub fn add_address(&self, cidr: &str) -> Result<()> {
        let nodad = if cidr.contains(':') { "nodad" } else { "" };
        self.namespace
            .ip(&format!("address add {cidr} dev {} {nodad}", self.name))?;
        Ok(())
    }

    /// Sends packets for `prefix` out here, to the neighbour `via`.
    pub fn add_route(&self, prefix: &str, via: IpAddr) -> Result<()> {
        self.namespace
            .ip(&format!("route add {prefix} via {via} dev {}", self.name))?;
        Ok(())
    }

    /// States the neighbour's hardware address, so that nobody has to ask for it.
    pub fn add_neighbour(&self, address: IpAddr, mac: Mac) -> Result<()> {
        self.namespace.ip(&format!(
            "neighbour replace {address} lladdr {mac} nud permanent dev {}",
            self.name
        ))?;
        Ok(())
    }

    /// Receives on kernel threads of its own, on the last CPU, instead of on the sender's time;
    /// floods are sent from the first.
    ///
    /// The threads get the lowest real-time priority: on a real host the interrupt that does their
    /// work would precede every process too.
    ///
    /// Returns the threads.
    pub fn receive_apart(&self) -> Result<Vec<i32>> {
        // The switch is in the namespace's own /sys, which only `ip netns exec` mounts.
        let switch = format!("echo 1 > /sys/class/net/{}/threaded", self.name);
        let mut ip = Command::new("ip");
        ip.args(["netns", "exec", self.namespace.name(), "sh", "-c", &switch]);
        let before = self.receive_threads();
        command::output(&mut ip)?;
        let mut threads = self.receive_threads();
        threads.retain(|thread| !before.contains(thread));
        ensure!(
            !threads.is_empty(),
            "{} has no receive thread: is it up?",
            self.name
        );
        for thread in &threads {
            scheduling::realtime_on_last_cpu(*thread)?;
        }
        Ok(threads)
    }

    /// The receive threads of interfaces with this name, in whatever namespace.
    fn receive_threads(&self) -> Vec<i32> {
        let prefix = format!("napi/{}-", self.name);
        let processes = fs::read_dir("/proc").into_iter().flatten().flatten();
        processes
            .filter(|process| {
                fs::read_to_string(process.path().join("comm"))
                    .is_ok_and(|name| name.starts_with(&prefix))
            })
            .filter_map(|process| process.file_name().to_str()?.parse().ok())
            .collect()
    }

    /// Frames of a flood that this end could not hand to the other, whose ring was full, since the
    /// cable was laid.
    pub fn overruns(&self) -> Result<u64> {
        let mut ethtool = self.namespace.command("ethtool");
        let shown = command::output(ethtool.args(["-S", &self.name]))?;
        Ok(sum_of(&shown, "_xdp_xmit_errors"))
    }
}

impl Interface {
    /// Packets that each receive queue has handed to an XDP program, since the cable was laid.
    pub fn received_by_queue(&self) -> Result<Vec<u64>> {
        let mut ethtool = self.namespace.command("ethtool");
        let shown = command::output(ethtool.args(["-S", &self.name]))?;
        let queues = (0..).map_while(|queue| {
            let name = format!("rx_queue_{queue}_xdp_packets");
            shown.contains(&name).then(|| sum_of(&shown, &name))
        });
        Ok(queues.collect())
    }
}

/// The sum of the statistics whose names end so, in what `ethtool -S` printed.
fn sum_of(shown: &str, ending: &str) -> u64 {
    let pairs = shown
        .lines()
        .filter_map(|line| line.trim().split_once(": "));
    let wanted = pairs.filter(|(name, _)| name.ends_with(ending));
    wanted
        .filter_map(|(_, value)| value.parse::<u64>().ok())
        .sum()
}

/// Index and hardware address in what `ip -json link show` printed.
fn identity(shown: &str) -> Result<(u32, Mac)> {
    let links: Value = serde_json::from_str(shown)?;
    let index = links[0]["ifindex"].as_u64().context("no ifindex")?;
    let mac = links[0]["address"]
        .as_str()
        .context("no address")?
        .parse()?;
    Ok((index as u32, mac))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_what_ip_shows() {
        let shown = r#"[{"ifindex":7,"ifname":"eth0","address":"5e:dd:62:fa:9a:47"}]"#;
        let (index, mac) = identity(shown).expect("a link");
        assert_eq!((index, mac), (7, Mac([0x5e, 0xdd, 0x62, 0xfa, 0x9a, 0x47])));
        assert!(identity("[]").is_err());
    }

    #[test]
    fn sums_the_queues() {
        let shown = "NIC statistics:\n  tx_queue_0_xdp_xmit: 9\n  tx_queue_0_xdp_xmit_errors: 2\n  \
                     tx_queue_1_xdp_xmit_errors: 3\n";
        assert_eq!(sum_of(shown, "_xdp_xmit_errors"), 5);
        assert_eq!(sum_of(shown, "_xdp_xmit"), 9);
    }
}
