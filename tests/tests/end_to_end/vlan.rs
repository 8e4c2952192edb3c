//! Tagged frames are judged by what is behind the tags.

use std::net::IpAddr;

use anyhow::Result;
use lab::{
    agent::Agent,
    flood::Flood,
    frames::tcp,
    stage::{NOBODY, NOBODY_V6, Stage},
};

use crate::{packets, payloads, stop, wait_for_event, wait_for_packets};

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
        wait_for_event(&agent, "plaintext", NOBODY)?;
        assert_eq!(payloads(&agent, "api", "http1")?, 1, "{mode}");
        assert_eq!(packets(&agent, "pass", "plaintext")?, 1, "{mode}");
        stop(agent)?;
    }
    Ok(())
}
