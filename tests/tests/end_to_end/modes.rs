//! Where the program is attached, and to how many interfaces.

use std::{fmt::Write as _, net::IpAddr, time::Duration};

use anyhow::Result;
use lab::{
    Namespace,
    agent::Agent,
    curl::Curl,
    flood::Flood,
    link::{Cable, Interface},
    servers::Nginx,
    stage::{CLIENT, CLIENT_V6, OTHER, SERVER, SERVER_V6, Stage},
};
use serde_json::Value;

use crate::{
    PLAIN_PORT, Site, TIMED_OUT, TLS_PORT, packets, stop, wait_for_event, wait_for_packets,
};

/// What `guard status` says of the interface at this position.
fn interface(agent: &Agent, position: usize) -> Result<Value> {
    Ok(agent.status()?["interfaces"][position].clone())
}

#[test]
fn generic_mode_does_the_same_and_says_so() -> Result<()> {
    let site = Site::new()?;
    let deny = ["--xdp-mode", "generic", "--deny", "203.0.113.20"];
    let agent = site.guard(&deny)?;
    let attached = site.stage.server.xdp()?.map(|xdp| xdp.mode);
    assert_eq!(attached, Some("generic"));
    let status = interface(&agent, 0)?;
    assert_eq!(status["attached"], "generic");
    let note = status["note"].as_str().unwrap_or_default();
    assert!(note.contains("merged packets"), "{note}");
    assert!(site.https(CLIENT)?.is_ok());
    assert!(site.http(CLIENT_V6)?.is_ok());
    wait_for_event(&agent, "plaintext", CLIENT_V6)?;
    assert_eq!(site.https_in_vain(OTHER)?.exit, TIMED_OUT);
    assert!(packets(&agent, "drop", "deny")? > 0);
    stop(agent)
}

#[test]
fn native_mode_is_what_a_driver_that_can_gets() -> Result<()> {
    let stage = Stage::new()?;
    let agent = Agent::start(stage.host(), &["--iface", "eth0"])?;
    assert_eq!(stage.server.xdp()?.map(|xdp| xdp.mode), Some("native"));
    let status = interface(&agent, 0)?;
    assert_eq!(status["attached"], "native");
    assert_eq!(status["note"], Value::Null);
    let attached = |mode| {
        let labels = [("iface", "eth0"), ("mode", mode)];
        agent
            .metrics()
            .map(|all| all.value("guard_xdp_attached", &labels))
    };
    assert_eq!(attached("native")?, Some(1.0));
    assert_eq!(attached("generic")?, Some(0.0));
    stop(agent)
}

#[test]
fn auto_falls_back_to_generic_and_says_why() -> Result<()> {
    // The loopback has no driver that could.
    let host = Namespace::new("server")?;
    let agent = Agent::start(&host, &["--iface", "lo"])?;
    let status = interface(&agent, 0)?;
    assert_eq!(status["attached"], "generic");
    let note = status["note"].as_str().unwrap_or_default();
    assert!(note.contains("native mode failed"), "{note}");
    let table = String::from_utf8(agent.cli(&["status"])?.stdout)?;
    assert!(table.contains("lo: generic"), "{table}");
    assert!(table.contains("native mode failed"), "{table}");
    let log = agent.log();
    let warned = log
        .with("level", "WARN")
        .any(|line| line.to_string().contains("generic"));
    assert!(warned, "{}", log.text());
    stop(agent)
}

#[test]
fn jumbo_frames_take_the_native_program_and_arrive_intact() -> Result<()> {
    download(9000, &["--xdp-mode", "native"])
}

#[test]
fn merged_packets_of_generic_mode_arrive_intact() -> Result<()> {
    download(1500, &["--xdp-mode", "generic"])
}

/// Fetches 20 MiB past a guard on the client's interface, where the packets with the data arrive.
fn download(mtu: u32, flags: &[&str]) -> Result<()> {
    let stage = Stage::with_mtu(mtu)?;
    let nginx = Nginx::start(stage.host(), &[TLS_PORT], &[PLAIN_PORT])?;
    let content = numbered_lines(20 << 20);
    nginx.publish("big", content.as_bytes())?;
    let flags = [&["--iface", "eth0", "--limit-packets", "off"], flags].concat();
    let agent = Agent::start(stage.client.namespace(), &flags)?;
    for (from, to) in [
        (CLIENT.into(), SERVER.into()),
        (CLIENT_V6.into(), SERVER_V6.into()),
    ] {
        let curl = fetch_from(&stage, from).trust(&nginx.certificate());
        let answer = curl.https(to, TLS_PORT, "/files/big")?;
        assert_eq!((answer.exit, answer.status), (0, 200));
        assert!(answer.body == content, "{} bytes came", answer.body.len());
    }
    assert_eq!(crate::dropped(&agent)?, 0);
    let bytes = agent.metrics()?.count("guard_bytes_total", &[]);
    assert!(bytes > 2 * content.len() as u64, "{bytes}");
    stop(agent)
}

fn fetch_from(stage: &Stage, from: IpAddr) -> Curl {
    let curl = Curl::new(stage.client.namespace()).from(from);
    curl.timeout(Duration::from_secs(30))
}

/// Text in which every line differs.
fn numbered_lines(length: usize) -> String {
    let mut text = String::with_capacity(length + 16);
    let mut number = 0_u64;
    while text.len() < length {
        // Writing to a string cannot fail.
        let _ = writeln!(text, "{:x}", number.wrapping_mul(0x9e37_79b9_7f4a_7c15));
        number += 1;
    }
    text
}

#[test]
fn two_interfaces_count_apart() -> Result<()> {
    let (client, host) = (Namespace::new("client")?, Namespace::new("server")?);
    let ends = |name| Cable::new((&client, name), (&host, name)).lay();
    let cables = [ends("wan0")?, ends("lan0")?];
    let agent = Agent::start(&host, &["--iface", "wan0", "--iface", "lan0"])?;
    let before = agent.metrics()?;
    for ((left, right), count) in cables.iter().zip([300, 200]) {
        Flood::new(udp_between(left, right), count).run(left)?;
    }
    wait_for_packets(&agent, "pass", "pass", 500)?;
    let after = agent.metrics()?;
    let changes = after.changes_since(&before, "guard_packets_total");
    let shown = changes
        .iter()
        .map(|(series, change)| format!("{} {change}", series.labels["iface"]));
    assert_eq!(shown.collect::<Vec<_>>(), ["lan0 200", "wan0 300"]);
    for (position, name) in ["wan0", "lan0"].into_iter().enumerate() {
        assert_eq!(interface(&agent, position)?["name"], name);
        assert_eq!(interface(&agent, position)?["attached"], "native");
    }
    stop(agent)
}

fn udp_between(from: &Interface, to: &Interface) -> lab::frames::Frame {
    lab::frames::Packet::ipv4("198.51.100.1", "198.51.100.2")
        .macs(from.mac(), to.mac())
        .udp(4000, 9)
        .build()
        .pad(60)
}
