//! What `guard explain` says of a source at a port, against what becomes of its packets.

use std::{fs, net::Ipv4Addr, thread, time::Duration};

use anyhow::{Context as _, Result};
use lab::{
    agent::{Agent, Folder},
    flood::Flood,
    stage::{CLIENT, NOBODY, OTHER, Stage},
};
use serde_json::Value;

use crate::FLAGS;

/// Packets of each case.
const FRAMES: u64 = 20;
const CONFIG: &str = "
[limits]
packets = \"50k/s\"

[[service]]
name = \"orders\"
ports = [8443]
on_plaintext = \"reset\"
allow = [\"203.0.113.10/32\", \"203.0.113.66/32\"]
limits = { connections = \"60k/min\" }

[[allow]]
cidr = \"203.0.113.20/32\"

[[deny]]
cidr = \"203.0.113.66/32\"
reason = \"scanner\"
";

fn explained(agent: &Agent, source: Ipv4Addr, port: u16) -> Result<Value> {
    let (source, port) = (source.to_string(), port.to_string());
    let output = agent.cli(&["explain", &source, "--port", &port, "-o", "json"])?;
    Ok(serde_json::from_slice(&output.stdout)?)
}

/// How many packets were counted as this explanation says.
fn counted(agent: &Agent, explained: &Value) -> Result<u64> {
    let word = |key: &str| explained[key].as_str().context("a word");
    let labels = [("verdict", word("verdict")?), ("reason", word("reason")?)];
    Ok(agent.metrics()?.count("guard_packets_total", &labels))
}

#[test]
fn what_decides_at_a_port_is_what_happens() -> Result<()> {
    let stage = Stage::new()?;
    let folder = Folder::new()?;
    let file = folder.join("guard.toml");
    fs::write(&file, CONFIG)?;
    let name = file.to_string_lossy().into_owned();
    let flags = [&FLAGS[..], &["--config", &name]].concat();
    let agent = Agent::start_in(stage.host(), folder, &flags)?;
    for (source, port, verdict, reason, limits) in [
        (CLIENT, 8443, "pass", "pass", true),
        (OTHER, 8443, "drop", "service_acl", false),
        (NOBODY, 8443, "drop", "deny", false),
        (OTHER, 9, "pass", "allow", false),
        (CLIENT, 9, "pass", "pass", true),
    ] {
        let explained = explained(&agent, source, port)?;
        let case = format!("{source} to {port}: {explained}");
        assert_eq!(
            (&explained["verdict"], &explained["reason"]),
            (&verdict.into(), &reason.into()),
            "{case}"
        );
        let held = explained["limits"].as_array().context("the limits")?;
        assert_eq!(!held.is_empty(), limits, "{case}");
        let service = held.iter().any(|held| held["reason"] == "limit_service");
        assert_eq!(service, limits && port == 8443, "{case}");
        let before = counted(&agent, &explained)?;
        let frame = stage
            .packet(source.into())
            .tcp(40_000, port)
            .build()
            .pad(60);
        Flood::new(frame, FRAMES).run(&stage.client)?;
        thread::sleep(Duration::from_millis(200));
        let after = counted(&agent, &explained)?;
        assert!(after >= before + FRAMES, "{case}: {before}, then {after}");
    }
    let text = agent.cli(&["explain", "203.0.113.66", "--port", "8443"])?;
    let text = String::from_utf8(text.stdout)?;
    assert!(
        text.starts_with("203.0.113.66 to port 8443: drop (deny)\n"),
        "{text}"
    );
    assert!(
        text.contains("scanner") && text.contains("the service orders"),
        "{text}"
    );
    assert!(text.contains("a plaintext request: reset"), "{text}");
    let bad = agent.cli(&["explain", "203.0.113.66", "--port", "0"])?;
    assert_eq!(bad.status.code(), Some(2));
    agent.stop()?;
    Ok(())
}
