//! A reload takes other interfaces, and those that stay are protected all the while.

use std::fs;

use anyhow::{Context as _, Result};
use lab::{
    Namespace,
    agent::{Agent, Folder},
    counters::DropCounter,
    link::{Cable, Interface},
};
use nix::sys::signal::Signal;

use crate::{PATIENCE, reload::cli};

/// A host with three interfaces, the other ends of their cables somewhere else.
struct Host {
    namespace: Namespace,
    _elsewhere: Namespace,
    interfaces: [Interface; 3],
}

const NAMES: [&str; 3] = ["wan0", "lan0", "dmz0"];

impl Host {
    fn new() -> Result<Self> {
        let (elsewhere, namespace) = (Namespace::new("client")?, Namespace::new("server")?);
        let lay = |name: &str| -> Result<Interface> {
            Ok(Cable::new((&elsewhere, name), (&namespace, name)).lay()?.1)
        };
        let interfaces = [lay(NAMES[0])?, lay(NAMES[1])?, lay(NAMES[2])?];
        Ok(Self {
            namespace,
            _elsewhere: elsewhere,
            interfaces,
        })
    }

    /// Asserts that the program is on exactly these interfaces, and the status says so.
    fn assert_protected(&self, agent: &Agent, names: &[&str]) -> Result<()> {
        for (interface, name) in self.interfaces.iter().zip(NAMES) {
            let is_on = interface.xdp()?.is_some();
            assert_eq!(is_on, names.contains(&name), "{name}");
        }
        let status = agent.status()?;
        let shown = status["interfaces"].as_array().context("interfaces")?;
        assert!(shown.iter().map(|shown| &shown["name"]).eq(names));
        assert!(shown.iter().all(|shown| shown["attached"] == "native"));
        Ok(())
    }
}

fn configuration(names: &[&str]) -> String {
    format!("on_stop = \"keep\"\nwatch = false\ninterfaces = {names:?}\n")
}

/// Packets that were counted on an interface.
fn counted(agent: &Agent, name: &str) -> Result<f64> {
    let metrics = agent.metrics()?;
    Ok(metrics.sum("guard_packets_total", &[("iface", name)]))
}

#[test]
fn a_reload_takes_other_interfaces_and_counts_go_on_by_their_names() -> Result<()> {
    let (host, folder) = (Host::new()?, Folder::new()?);
    let file = folder.join("guard.toml");
    let name = file.to_string_lossy().into_owned();
    fs::write(&file, configuration(&["wan0"]))?;
    let mut agent = Agent::start_in(&host.namespace, folder, &["--config", &name])?;
    host.assert_protected(&agent, &["wan0"])?;
    for names in [
        &["lan0", "wan0"][..],
        &["wan0", "dmz0", "lan0"],
        &["dmz0"],
        &["wan0", "dmz0"],
    ] {
        let before = counted(&agent, "wan0")?;
        fs::write(&file, configuration(names))?;
        cli(&agent, &["reload"])?;
        host.assert_protected(&agent, names)?;
        if names.contains(&"wan0") {
            assert!(counted(&agent, "wan0")? >= before, "{names:?}");
        }
    }
    // What was taken on by a reload outlives the agent like the rest.
    agent.server().signal(Signal::SIGKILL)?;
    let folder = agent.wait(PATIENCE)?.folder;
    let agent = Agent::start_in(&host.namespace, folder, &["--config", &name])?;
    host.assert_protected(&agent, &["wan0", "dmz0"])?;
    fs::write(&file, "interfaces = [\"wan0\", \"dmz0\"]")?;
    cli(&agent, &["reload"])?;
    let stopped = agent.stop()?;
    assert_eq!(stopped.status.code(), Some(0));
    assert!(host.interfaces[2].xdp()?.is_none());
    Ok(())
}

#[test]
fn a_reload_refuses_interfaces_that_it_cannot_protect_and_leaves_the_others() -> Result<()> {
    let (host, folder) = (Host::new()?, Folder::new()?);
    let stranger = DropCounter::attach(&host.interfaces[1])?;
    let file = folder.join("guard.toml");
    let name = file.to_string_lossy().into_owned();
    fs::write(&file, configuration(&["wan0"]))?;
    let agent = Agent::start_in(&host.namespace, folder, &["--config", &name])?;
    for (names, said) in [
        (&["wan0", "eth7"][..], "no interface named `eth7`"),
        (&["dmz0", "lan0", "wan0"], "lan0 has an XDP program already"),
        (&["wan0", "lo"], "restart guard"),
    ] {
        fs::write(&file, configuration(names))?;
        let refused = agent.cli(&["reload"])?;
        assert_eq!(refused.status.code(), Some(2));
        let error = String::from_utf8_lossy(&refused.stderr);
        assert!(error.contains(said), "{error}");
        let status = agent.status()?;
        assert_eq!(status["interfaces"].as_array().map(Vec::len), Some(1));
        assert_eq!(status["interfaces"][0]["attached"], "native");
        assert!(host.interfaces[2].xdp()?.is_none(), "nothing is half done");
    }
    drop(stranger);
    fs::write(
        &file,
        configuration(&["dmz0", "lan0"]).replace("keep", "detach"),
    )?;
    cli(&agent, &["reload"])?;
    host.assert_protected(&agent, &["dmz0", "lan0"])?;
    agent.stop()?;
    Ok(())
}
