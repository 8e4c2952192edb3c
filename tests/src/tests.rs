//! The lab tried out on itself: real namespaces, floods and servers.

use std::{
    collections::BTreeMap,
    net::{IpAddr, Ipv4Addr},
    time::Duration,
};

use anyhow::Result;

use crate::{
    Namespace,
    counters::{DropCounter, SourceCounter},
    curl::Curl,
    flood::Flood,
    frames::{Packet, tcp},
    link::{Cable, Interface},
    servers::Nginx,
};

const CLIENT: &str = "10.9.0.2";
const SERVER: &str = "10.9.0.1";

fn cable() -> Result<(Interface, Interface)> {
    let (client, server) = (Namespace::new("client")?, Namespace::new("server")?);
    let (left, right) = Cable::new((&client, "eth0"), (&server, "eth0")).lay()?;
    left.add_address(&format!("{CLIENT}/24"))?;
    left.add_address("fd00:9::2/64")?;
    right.add_address(&format!("{SERVER}/24"))?;
    right.add_address("fd00:9::1/64")?;
    Ok((left, right))
}

fn udp(from: &Interface, to: &Interface) -> Packet {
    Packet::ipv4(CLIENT, SERVER)
        .macs(from.mac(), to.mac())
        .udp(4000, 9)
        .payload([0; 18])
}

#[test]
fn a_flood_arrives_frame_by_frame() -> Result<()> {
    let (client, server) = cable()?;
    server.receive_apart()?;
    let counter = DropCounter::attach(&server)?;
    let syn = Packet::ipv4(CLIENT, SERVER)
        .macs(client.mac(), server.mac())
        .tcp(1024, 443);
    for frame in [udp(&client, &server).build(), syn.flags(tcp::SYN).build()] {
        let (received, lost) = (counter.received()?, client.overruns()?);
        let sent = Flood::new(frame.pad(60), 500_000).run(&client)?;
        std::thread::sleep(Duration::from_millis(100));
        let (received, lost) = (counter.received()? - received, client.overruns()? - lost);
        println!("{} frames/s, {received} received, {lost} lost", sent.rate());
        assert_eq!(sent.frames, 500_000);
        // A few frames of the namespaces' own may be among those received.
        assert!(
            (500_000..500_020).contains(&(received + lost)),
            "{received} + {lost}"
        );
    }
    Ok(())
}

#[test]
fn a_paced_flood_keeps_its_rate() -> Result<()> {
    let (client, server) = cable()?;
    server.receive_apart()?;
    let counter = DropCounter::attach(&server)?;
    let frame = udp(&client, &server).build().pad(60);
    let flood = Flood {
        rate_pps: Some(100_000),
        ..Flood::new(frame, 50_000)
    };
    let sent = flood.run(&client)?;
    std::thread::sleep(Duration::from_millis(100));
    println!("{} frames/s, {} lost", sent.rate(), client.overruns()?);
    assert!(sent.time > Duration::from_millis(499), "{:?}", sent.time);
    assert!(counter.received()? + client.overruns()? >= 50_000);
    Ok(())
}

#[test]
fn a_flood_from_many_sources_has_right_checksums() -> Result<()> {
    let (client, server) = cable()?;
    let counter = SourceCounter::attach(&server)?;
    let sources = 200;
    let syn = Packet::ipv4("10.9.0.20", SERVER)
        .macs(client.mac(), server.mac())
        .tcp(1024, 443);
    let flood = Flood {
        sources,
        ports: 7,
        rate_pps: Some(20_000),
        ..Flood::new(syn.flags(tcp::SYN).build(), sources * 5)
    };
    flood.run(&client)?;
    std::thread::sleep(Duration::from_millis(200));
    let received = counter.received()?;
    let from_flood = received.range(Ipv4Addr::new(10, 9, 0, 20)..);
    let counts: Vec<_> = from_flood.map(|(_, count)| *count).collect();
    assert_eq!(counts, [5; 200]);
    // The stack itself checks every segment's sums before it refuses the connection.
    let refused = tcp_counters(server.namespace())?;
    assert_eq!(refused["InCsumErrors"], 0, "{refused:?}");
    assert_eq!(refused["InSegs"], 1000, "{refused:?}");
    Ok(())
}

/// What the namespace's stack counted of TCP.
fn tcp_counters(namespace: &Namespace) -> Result<BTreeMap<String, u64>> {
    let text = namespace.run(|| Ok(std::fs::read_to_string("/proc/thread-self/net/snmp")?))?;
    let mut lines = text.lines().filter_map(|line| line.strip_prefix("Tcp: "));
    let (names, values) = (lines.next().unwrap_or(""), lines.next().unwrap_or(""));
    let pairs = names.split(' ').zip(values.split(' '));
    Ok(pairs
        .filter_map(|(name, value)| Some((name.to_owned(), value.parse().ok()?)))
        .collect())
}

#[test]
fn nginx_serves_both_families_with_and_without_tls() -> Result<()> {
    let (client, server) = cable()?;
    let nginx = Nginx::start(server.namespace(), &[8443], &[8080])?;
    for (from, to) in [(CLIENT, SERVER), ("fd00:9::2", "fd00:9::1")] {
        let (from, to): (IpAddr, IpAddr) = (from.parse()?, to.parse()?);
        let curl = || Curl::new(client.namespace()).from(from);
        let answer = curl().trust(&nginx.certificate()).https(to, 8443, "/")?;
        assert!(answer.is_ok() && answer.body == "ok\n", "{answer:?}");
        assert!(
            curl()
                .header("Authorization: Bearer x")
                .http(to, 8080, "/")?
                .is_ok()
        );
        assert_eq!(curl().http(to, 8081, "/")?.exit, 7, "nobody listens there");
    }
    Ok(())
}

#[test]
fn nothing_is_left_behind() -> Result<()> {
    let (client, server) = cable()?;
    let nginx = Nginx::start(server.namespace(), &[8443], &[])?;
    let name = client.namespace().name().to_owned();
    let (folder, pid) = (nginx.certificate(), nginx.server().pid());
    drop((client, server));
    drop(nginx);
    assert!(!Namespace::exists(&name));
    assert!(!folder.exists());
    assert!(!std::path::Path::new("/proc").join(pid.to_string()).exists());
    Ok(())
}

#[test]
fn a_cable_is_silent_once_it_is_laid() -> Result<()> {
    let (client, server) = cable()?;
    std::thread::sleep(Duration::from_millis(200));
    let before = [packets(&client)?, packets(&server)?];
    std::thread::sleep(Duration::from_millis(1500));
    assert_eq!([packets(&client)?, packets(&server)?], before);
    Ok(())
}

/// How many packets the interface received.
fn packets(interface: &Interface) -> Result<Option<u64>> {
    let shown = interface
        .namespace()
        .ip(&format!("-json -s link show {}", interface.name()))?;
    let links: serde_json::Value = serde_json::from_str(&shown)?;
    Ok(links[0]["stats64"]["rx"]["packets"].as_u64())
}
