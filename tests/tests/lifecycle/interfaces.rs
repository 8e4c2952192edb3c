//! Interfaces that go away while guard runs, and come back.

use std::{
    fs, thread,
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result, bail};
use lab::{
    Namespace,
    agent::{Agent, Folder},
    command,
    counters::DropCounter,
    link::{Cable, Interface},
    remains::Held,
    stage::{INTERFACE, Stage},
};
use serde_json::Value;

use crate::{FLAGS, PATIENCE};

fn wait_until_ready_is(agent: &Agent, status: u16) -> Result<()> {
    let deadline = Instant::now() + PATIENCE;
    while agent.get("/readyz")?.status != status {
        if Instant::now() > deadline {
            bail!("/readyz does not turn {status}:\n{}", agent.log().text());
        }
        thread::sleep(Duration::from_millis(20));
    }
    Ok(())
}

fn delete(interface: &Interface) -> Result<()> {
    let (namespace, name) = (interface.namespace(), interface.name());
    namespace.ip(&format!("link delete {name}"))?;
    Ok(())
}

/// What `guard status` says of the interface beside its name.
fn note(agent: &Agent) -> Result<String> {
    let status = agent.status()?;
    let note = status["interfaces"][0]["note"].as_str();
    Ok(note.unwrap_or_default().to_owned())
}

fn lay_again(stage: &Stage) -> Result<Interface> {
    let (client, server) = (stage.client.namespace(), stage.server.namespace());
    let (_, server) = Cable::new((client, INTERFACE), (server, INTERFACE)).lay()?;
    Ok(server)
}

/// What `guard_xdp_attached` sums up to.
fn attached(agent: &Agent) -> Result<f64> {
    Ok(agent.metrics()?.sum("guard_xdp_attached", &[]))
}

#[test]
fn an_interface_that_goes_away_is_told_and_protected_again_when_it_is_back() -> Result<()> {
    let stage = Stage::new()?;
    let agent = Agent::start(stage.host(), &FLAGS)?;
    delete(&stage.server)?;
    wait_until_ready_is(&agent, 503)?;
    assert_eq!(agent.get("/healthz")?.status, 200, "the agent lives");
    assert!(attached(&agent)? < 0.5);
    let interface = agent.status()?["interfaces"][0].clone();
    assert!(interface["attached"].is_null(), "{interface}");
    let note = interface["note"].as_str().unwrap_or_default();
    assert!(note.contains("gone"), "{interface}");
    let table = String::from_utf8(agent.cli(&["status"])?.stdout)?;
    assert!(table.contains("eth0: NOT ATTACHED"), "{table}");
    let log = agent.log();
    assert!(log.with("level", "ERROR").count() == 1, "{}", log.text());

    let back = lay_again(&stage)?;
    wait_until_ready_is(&agent, 200)?;
    assert_eq!(back.xdp()?.map(|xdp| xdp.mode), Some("native"));
    assert!(attached(&agent)? > 0.5);
    assert_eq!(agent.status()?["interfaces"][0]["attached"], "native");
    let stopped = agent.stop()?;
    assert_eq!(stopped.status.code(), Some(0));
    assert_eq!(back.xdp()?, None);
    Ok(())
}

#[test]
fn counters_go_on_where_they_were_when_an_interface_is_back() -> Result<()> {
    let stage = Stage::new()?;
    let denied = lab::stage::NOBODY.to_string();
    let agent = Agent::start(stage.host(), &["--iface", "eth0", "--deny", &denied])?;
    let denied = |agent: &Agent| -> Result<f64> {
        Ok(agent
            .metrics()?
            .sum("guard_packets_total", &[("reason", "deny")]))
    };
    flood(&stage, &stage.client, &stage.server, 100)?;
    wait_until_ready_is(&agent, 200)?;
    let before = denied(&agent)?;
    assert!(before >= 100.0, "{before}");
    delete(&stage.server)?;
    wait_until_ready_is(&agent, 503)?;
    let (client, server) = (stage.client.namespace(), stage.server.namespace());
    let (left, right) = Cable::new((client, INTERFACE), (server, INTERFACE)).lay()?;
    wait_until_ready_is(&agent, 200)?;
    flood(&stage, &left, &right, 50)?;
    let after = denied(&agent)?;
    assert!(after >= before + 50.0, "{before}, then {after}");
    agent.stop()?;
    Ok(())
}

fn flood(stage: &Stage, from: &Interface, to: &Interface, count: u64) -> Result<()> {
    let packet = stage
        .packet(lab::stage::NOBODY.into())
        .macs(from.mac(), to.mac());
    let frame = packet.udp(4000, 9).build().pad(60);
    lab::flood::Flood::new(frame, count).run(from)?;
    thread::sleep(Duration::from_millis(200));
    Ok(())
}

#[test]
fn an_interface_that_comes_and_goes_leaks_nothing() -> Result<()> {
    let stage = Stage::new()?;
    let mut agent = Agent::start(stage.host(), &FLAGS)?;
    let fds = format!("/proc/{}/fd", agent.server().pid());
    let objects = Held::by(agent.server().pid())?;
    let before = fs::read_dir(&fds)?.count();
    let mut interface = stage.server.clone();
    for _ in 0..10 {
        delete(&interface)?;
        wait_until_ready_is(&agent, 503)?;
        interface = lay_again(&stage)?;
        wait_until_ready_is(&agent, 200)?;
    }
    // Other addresses of the host, other programs: as many as before.
    let sizes = |objects: &Held| (objects.programs.len(), objects.maps.len());
    let deadline = Instant::now() + PATIENCE;
    while sizes(&Held::by(agent.server().pid())?) != sizes(&objects) {
        assert!(Instant::now() < deadline, "{objects:?}");
        thread::sleep(Duration::from_millis(100));
    }
    let after = fs::read_dir(&fds)?.count();
    assert!(after <= before + 2, "{before} files, then {after}");
    agent.stop()?;
    Ok(())
}

#[test]
fn one_of_two_may_go_and_the_other_stays_protected() -> Result<()> {
    let (client, host) = (Namespace::new("client")?, Namespace::new("server")?);
    let (_first_peer, first) = Cable::new((&client, "wan0"), (&host, "wan0")).lay()?;
    let (_second_peer, second) = Cable::new((&client, "lan0"), (&host, "lan0")).lay()?;
    let flags = ["--iface", "wan0,lan0"];
    let agent = Agent::start_in(&host, Folder::new()?, &flags)?;
    delete(&first)?;
    wait_until_ready_is(&agent, 503)?;
    assert_eq!(second.xdp()?.map(|xdp| xdp.mode), Some("native"));
    assert_eq!(agent.status()?["interfaces"][1]["attached"], "native");
    assert!((attached(&agent)? - 1.0).abs() < 0.1);
    let stopped = agent.stop()?;
    assert_eq!(stopped.status.code(), Some(0));
    assert_eq!(second.xdp()?, None);
    Ok(())
}

#[test]
fn an_interface_that_was_renamed_is_no_longer_the_configured_one() -> Result<()> {
    let stage = Stage::new()?;
    let agent = Agent::start(stage.host(), &FLAGS)?;
    stage.host().ip("link set eth0 down")?;
    stage.host().ip("link set eth0 name eth9")?;
    wait_until_ready_is(&agent, 503)?;
    let shown = stage.host().ip("-json link show eth9")?;
    assert!(!shown.contains("\"xdp\""), "{shown}");
    stage.host().ip("link set eth9 name eth0")?;
    wait_until_ready_is(&agent, 200)?;
    agent.stop()?;
    Ok(())
}

#[test]
fn an_interface_that_is_back_with_a_stranger_is_protected_when_the_stranger_has_left() -> Result<()>
{
    let stage = Stage::new()?;
    let agent = Agent::start(stage.host(), &FLAGS)?;
    delete(&stage.server)?;
    wait_until_ready_is(&agent, 503)?;
    let (client, server) = (stage.client.namespace(), stage.server.namespace());
    let (_, other) = Cable::new((client, "spare0"), (server, "spare0")).lay()?;
    let stranger = DropCounter::attach(&other)?;
    server.ip("link set spare0 down")?;
    server.ip("link set spare0 name eth0")?;
    server.ip("link set eth0 up")?;
    let deadline = Instant::now() + PATIENCE;
    // The agent has given up what it takes to see a stranger's name.
    while !note(&agent)?.contains("an XDP program already, which root's `bpftool prog show id ") {
        assert!(Instant::now() < deadline, "{}", note(&agent)?);
        thread::sleep(Duration::from_millis(20));
    }
    assert_eq!(agent.get("/readyz")?.status, 503);
    drop(stranger);
    wait_until_ready_is(&agent, 200)?;
    assert_eq!(agent.status()?["interfaces"][0]["attached"], "native");
    let log = agent.log();
    // One that it is gone, and one that it is not protected, however often that was tried.
    assert_eq!(log.with("level", "ERROR").count(), 2, "{}", log.text());
    agent.stop()?;
    Ok(())
}

#[test]
fn a_program_that_somebody_takes_off_is_missed_and_stays_off() -> Result<()> {
    for mode in ["native", "generic"] {
        let stage = Stage::new()?;
        let flags = ["--iface", INTERFACE, "--xdp-mode", mode];
        let agent = Agent::start(stage.host(), &flags)?;
        let program = stage.server.xdp()?.context("no program")?.program_id;
        let links: Value = serde_json::from_str(&command::run("bpftool --json link list")?)?;
        let own = links.as_array().into_iter().flatten();
        let own = own.filter(|link| link["prog_id"] == program && link["type"] == "xdp");
        let ids: Vec<_> = own.map(|link| link["id"].to_string()).collect();
        assert_eq!(ids.len(), 1, "{links}");
        command::run(&format!("bpftool link detach id {}", ids[0]))?;
        wait_until_ready_is(&agent, 503)?;
        assert!(attached(&agent)? < 0.5);
        assert!(note(&agent)?.contains("somebody took the program off"));
        // Another look or two later it still is as somebody wanted it.
        thread::sleep(Duration::from_millis(2_500));
        assert_eq!(stage.server.xdp()?, None, "{mode}");
        let log = agent.log();
        assert_eq!(log.with("level", "ERROR").count(), 1, "{}", log.text());
        let stopped = agent.stop()?;
        assert_eq!(stopped.status.code(), Some(0));
    }
    Ok(())
}
