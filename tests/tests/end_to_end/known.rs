//! Who is known and who is forged, on real traffic.

use std::{
    net::{IpAddr, Ipv4Addr},
    thread,
    time::{Duration, Instant},
};

use anyhow::Result;
use lab::{
    flood::Flood,
    frames::{Frame, tcp},
    stage::{CLIENT, INTERFACE, NOBODY, SERVER, SERVER_V6},
};

use crate::{PATIENCE, Site, TLS_PORT, packets, stop, wait_for_packets};

/// Datagrams a second, far above what unknown sources may send together.
const FLOOD_PPS: u64 = 100_000;

fn datagram(site: &Site, source: impl Into<IpAddr>) -> Frame {
    let packet = site.stage.packet(source.into()).udp(4000, 9);
    packet.payload([0; 18]).build()
}

#[test]
fn a_known_client_goes_on_while_forged_sources_are_shed() -> Result<()> {
    let site = Site::new()?;
    let configuration = format!("interfaces = [\"{INTERFACE}\"]\nlimits.new_sources = \"5k/s\"");
    let agent = site.guard_configured(&configuration)?;
    assert!(site.https(CLIENT)?.is_ok(), "the host has talked with it");

    let flood = Flood {
        sources: 1 << 16,
        rate_pps: Some(FLOOD_PPS),
        ..Flood::new(datagram(&site, Ipv4Addr::new(198, 18, 0, 0)), u64::MAX)
    };
    let flood = flood.start(&site.stage.client)?;
    let mut failed = 0;
    for _ in 0..20 {
        failed += u32::from(!site.https(CLIENT)?.is_ok());
    }
    flood.stop();
    let sent = flood.wait()?.frames;
    assert_eq!(failed, 0, "amid {sent} datagrams from forged sources");
    let shed = packets(&agent, "drop", "new_sources")?;
    assert!(shed > sent / 2, "{shed} of {sent}");
    stop(agent)
}

/// Two SYNs from a forged address, the second outside of the window that the first one opened: the
/// stack answers that with an ACK, from no established connection.
#[test]
fn a_half_open_connection_makes_nobody_known() -> Result<()> {
    const SEQ: u32 = 1000;
    let site = Site::new()?;
    let agent = site.guard_configured(&format!(
        "interfaces = [\"{INTERFACE}\"]\n[limits]\nburst = \"1h\"\nnew_sources = \"5/h\""
    ))?;
    let syn = |sequence| {
        let packet = site.stage.packet(NOBODY.into()).tcp(4000, TLS_PORT);
        packet.flags(tcp::SYN).sequence(sequence, 0).build()
    };
    let client = &site.stage.client;
    Flood::new(syn(SEQ), 1).run(client)?;
    assert_eq!(wait_for_packets(&agent, "pass", "pass", 1)?, 1);
    Flood::new(syn(SEQ + (1 << 30)), 1).run(client)?;
    assert_eq!(wait_for_packets(&agent, "pass", "pass", 2)?, 2);
    Flood::new(datagram(&site, NOBODY), 20).run(client)?;
    assert_eq!(wait_for_packets(&agent, "drop", "new_sources", 17)?, 17);
    stop(agent)
}

#[test]
fn nobody_else_has_the_addresses_of_the_host() -> Result<()> {
    const LATE: Ipv4Addr = Ipv4Addr::new(203, 0, 113, 99);
    let site = Site::new()?;
    // Not even whom the operator allows.
    let agent = site.guard(&["--allow", &SERVER.to_string()])?;
    for own in [IpAddr::from(SERVER), SERVER_V6.into()] {
        Flood::new(datagram(&site, own), 5).run(&site.stage.client)?;
    }
    assert_eq!(wait_for_packets(&agent, "drop", "spoofed", 10)?, 10);

    // An address that the host gets later is its own too.
    site.stage.server.add_address(&format!("{LATE}/32"))?;
    let deadline = Instant::now() + PATIENCE;
    while packets(&agent, "drop", "spoofed")? == 10 && Instant::now() < deadline {
        Flood::new(datagram(&site, LATE), 1).run(&site.stage.client)?;
        thread::sleep(Duration::from_millis(100));
    }
    assert!(packets(&agent, "drop", "spoofed")? > 10);
    assert!(site.https(CLIENT)?.is_ok());
    stop(agent)
}
