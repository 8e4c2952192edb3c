//! Tagged frames are judged by what is behind the tags.

use std::net::IpAddr;

use anyhow::Result;
use lab::{
    agent::Agent,
    curl::Curl,
    flood::Flood,
    link::Interface,
    stage::{NOBODY, NOBODY_V6, Stage},
};

use crate::{PLAIN_PORT, Site, TLS_PORT, packets, payloads, stop, wait_for_event};

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
            sent += Flood::new(packet.build().pad(64), 100).run(&stage.client)?.frames;
        }
    }
    std::thread::sleep(std::time::Duration::from_millis(200));
    assert_eq!(packets(&agent, "drop", "deny")?, sent);
    stop(agent)
}

#[test]
fn a_vlan_in_use_is_judged_like_any_traffic() -> Result<()> {
    for mode in ["native", "generic"] {
        let site = Site::new()?;
        add_vlan(&site.stage.client, "10.5.0.2/24")?;
        add_vlan(&site.stage.server, "10.5.0.1/24")?;
        let agent = site.guard(&["--xdp-mode", mode])?;
        let (client, server): (IpAddr, IpAddr) = ("10.5.0.2".parse()?, "10.5.0.1".parse()?);
        let curl = || Curl::new(site.stage.client.namespace()).from(client);
        let https = curl().trust(&site.nginx.certificate());
        let answer = https.https(server, TLS_PORT, "/")?;
        assert!(answer.is_ok(), "{mode}: {answer:?}");
        assert!(curl().http(server, PLAIN_PORT, "/")?.is_ok());
        assert_eq!(payloads(&agent, "api", "tls")?, 1, "{mode}");
        wait_for_event(&agent, "plaintext", client)?;
        stop(agent)?;
    }
    Ok(())
}

fn add_vlan(interface: &Interface, address: &str) -> Result<()> {
    let (namespace, name) = (interface.namespace(), interface.name());
    namespace.ip(&format!("link add link {name} name {name}.5 type vlan id 5"))?;
    namespace.ip(&format!("address add {address} dev {name}.5"))?;
    namespace.ip(&format!("link set {name}.5 up"))?;
    Ok(())
}
