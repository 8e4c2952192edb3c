//! Tags and extension headers hide nothing: what the server's stack finds behind them was judged.

use std::{
    fs,
    net::IpAddr,
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result};
use lab::{
    agent::Agent,
    flood::Flood,
    frames::{Extension, Packet, tcp},
    stage::{NOBODY, NOBODY_V6, Stage},
};

use crate::{PLAIN_PORT, Site, TLS_PORT, packets, stop, wait_for_packets};

/// Frames of each kind: no more than the sender prepares, since the stack takes off tags where they
/// are, and a frame that is sent again goes without them.
const FRAMES: u64 = 64;

#[test]
fn tags_hide_nothing_from_the_rules() -> Result<()> {
    let stage = Stage::new()?;
    let deny = format!("{NOBODY},{NOBODY_V6}");
    let agent = Agent::start(stage.host(), &["--iface", "eth0", "--deny", &deny])?;
    let mut sent = 0;
    for source in [IpAddr::V4(NOBODY), IpAddr::V6(NOBODY_V6)] {
        let packet = stage.packet(source).udp(4000, 9);
        let tagged = [packet.clone().vlan(5), packet.service_vlan(5).vlan(6)];
        for packet in tagged {
            sent += Flood::new(packet.build().pad(64), 100)
                .run(&stage.client)?
                .frames;
        }
    }
    let denied = wait_for_packets(&agent, "drop", "deny", sent)?;
    assert_eq!(denied, sent);
    stop(agent)
}

#[test]
fn tags_hide_no_plaintext() -> Result<()> {
    for mode in ["native", "generic"] {
        let stage = Stage::new()?;
        let flags = ["--iface", "eth0", "--api-port", "8080", "--xdp-mode", mode];
        let agent = Agent::start(stage.host(), &flags)?;
        let request = stage
            .packet(NOBODY.into())
            .tcp(4000, 8080)
            .flags(tcp::ACK | tcp::PSH);
        let request = request
            .payload("GET /v1/orders HTTP/1.1\r\n\r\n")
            .service_vlan(5)
            .vlan(6);
        Flood::new(request.build(), 1).run(&stage.client)?;
        wait_for_packets(&agent, "pass", "plaintext", 1)?;
        assert_eq!(packets(&agent, "pass", "plaintext")?, 1, "{mode}");
        stop(agent)?;
    }
    Ok(())
}

/// What the server's stack takes for a segment to its port, from a source that no service admits.
fn detours(stage: &Stage, port: u16) -> Vec<(&'static str, Packet)> {
    let syn = |source: IpAddr| stage.packet(source).tcp(4000, port).flags(tcp::SYN);
    let priority = |tags| (0..tags).fold(syn(NOBODY.into()), |packet, _| packet.vlan(0));
    let chain = |headers| {
        (0..headers).fold(syn(NOBODY_V6.into()), |packet, _| {
            packet.extension(Extension::Destination(0))
        })
    };
    vec![
        ("two tags of VLAN 0", priority(2)),
        ("three tags of VLAN 0", priority(3)),
        ("six extension headers", chain(6)),
        ("seven extension headers", chain(7)),
        ("fifty extension headers", chain(50)),
    ]
}

/// Sends a packet many times, and counts the TCP segments the server's stack takes in meanwhile,
/// until there are as many or a while has passed.
fn segments_of(stage: &Stage, packet: &Packet) -> Result<u64> {
    let before = segments(stage)?;
    Flood::new(packet.build(), FRAMES).run(&stage.client)?;
    let deadline = Instant::now() + Duration::from_millis(300);
    loop {
        let taken = segments(stage)? - before;
        if taken >= FRAMES || Instant::now() > deadline {
            return Ok(taken);
        }
        thread::sleep(Duration::from_millis(10));
    }
}

/// TCP segments the server's stack has taken in: the tenth value, `InSegs`, of its `Tcp:` line.
fn segments(stage: &Stage) -> Result<u64> {
    let snmp = stage
        .host()
        .run(|| Ok(fs::read_to_string("/proc/thread-self/net/snmp")?))?;
    let values = snmp.lines().filter(|line| line.starts_with("Tcp:")).nth(1);
    let count = values.and_then(|line| line.split_ascii_whitespace().nth(10));
    Ok(count.context("no count of segments")?.parse()?)
}

#[test]
fn no_detour_leads_to_a_service_past_its_list() -> Result<()> {
    let site = Site::new()?;
    for (name, packet) in detours(&site.stage, TLS_PORT) {
        let taken = segments_of(&site.stage, &packet)?;
        assert!(taken >= FRAMES, "{name}: the stack takes only {taken}");
    }
    let agent = site.guard_configured(
        r#"
        interfaces = ["eth0"]
        [[service]]
        name = "orders"
        ports = [8443]
        allow = ["10.0.0.0/8"]
        "#,
    )?;
    for (name, packet) in detours(&site.stage, TLS_PORT) {
        let taken = segments_of(&site.stage, &packet)?;
        assert!(taken < FRAMES / 2, "{name}: {taken} passed");
    }
    assert_eq!(packets(&agent, "drop", "service_acl")?, 2 * FRAMES);
    assert_eq!(packets(&agent, "drop", "vlan_tags")?, FRAMES);
    assert_eq!(packets(&agent, "drop", "extension_headers")?, 2 * FRAMES);
    // Another port is another matter, and what is sound leads there.
    let (name, packet) = detours(&site.stage, PLAIN_PORT).swap_remove(2);
    let taken = segments_of(&site.stage, &packet)?;
    assert!(taken >= FRAMES, "{name}: only {taken} passed");
    stop(agent)
}
