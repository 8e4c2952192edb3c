//! Limits for each source, held against what an independent counter saw come through.

use std::{
    net::IpAddr,
    thread,
    time::{Duration, Instant},
};

use anyhow::{Result, bail};
use lab::{
    agent::Agent,
    counters::SourceCounter,
    flood::Flood,
    frames::{Frame, tcp},
    metrics::Metrics,
    stage::{CLIENT, NOBODY, NOBODY_V6, Stage},
};

use crate::{PATIENCE, Site, TLS_PORT, packets, stop, wait_for_packets};

const UDP_FRAME: usize = 60;

/// What became of a flood.
struct Flooded {
    sent: u64,
    /// From the first frame until the last was judged; the flood was shorter.
    time: Duration,
    before: Metrics,
    after: Metrics,
}

impl Flooded {
    fn count(&self, name: &str, verdict: &str, reason: &str) -> u64 {
        let labels = [("verdict", verdict), ("reason", reason)];
        self.after.count(name, &labels) - self.before.count(name, &labels)
    }

    fn packets(&self, verdict: &str, reason: &str) -> u64 {
        self.count("guard_packets_total", verdict, reason)
    }

    /// The most that a rate may let through in this time, with as much again at once.
    fn allowance(&self, per_second: u64, at_once: u64) -> u64 {
        // A tick of the clock is at most 10 ms.
        let milliseconds = self.time.as_millis() as u64 + 10;
        at_once + (per_second * milliseconds).div_ceil(1000)
    }
}

/// Sends `count` times this frame to a server on which nothing else goes on.
fn flood(stage: &Stage, agent: &Agent, frame: Frame, count: u64, rate: u64) -> Result<Flooded> {
    let before = agent.metrics()?;
    let lost = stage.client.overruns()?;
    let begin = Instant::now();
    let flood = Flood {
        rate_pps: Some(rate),
        ..Flood::new(frame, count)
    };
    let sent = flood.run(&stage.client)?.frames;
    let expected = sent - (stage.client.overruns()? - lost);
    let after = wait_until_judged(agent, &before, expected)?;
    Ok(Flooded {
        sent: expected,
        time: begin.elapsed(),
        before,
        after,
    })
}

/// Waits until so many more packets were judged.
fn wait_until_judged(agent: &Agent, before: &Metrics, count: u64) -> Result<Metrics> {
    let all = |metrics: &Metrics| metrics.count("guard_packets_total", &[]);
    let deadline = Instant::now() + PATIENCE;
    loop {
        let now = agent.metrics()?;
        let judged = all(&now) - all(before);
        if judged >= count {
            return Ok(now);
        }
        if Instant::now() > deadline {
            bail!("{judged} packets of {count} were judged");
        }
        thread::sleep(Duration::from_millis(20));
    }
}

fn udp(stage: &Stage, source: impl Into<IpAddr>) -> Frame {
    stage
        .packet(source.into())
        .udp(4000, 9)
        .build()
        .pad(UDP_FRAME)
}

#[test]
fn a_source_over_its_limit_of_packets_gets_just_that_much_through() -> Result<()> {
    let stage = Stage::new()?;
    let counter = SourceCounter::attach(&stage.server)?;
    let agent = Agent::start(
        stage.host(),
        &["--iface", "eth0", "--limit-packets", "1k/s"],
    )?;
    let flooded = flood(&stage, &agent, udp(&stage, NOBODY), 20_000, 20_000)?;
    let passed = counter.received()?[&NOBODY];
    assert!(passed >= 1000, "a burst of a second: {passed}");
    let allowed = flooded.allowance(1000, 1000);
    assert!(passed <= allowed, "{passed} of {allowed}");
    assert_eq!(flooded.packets("pass", "pass"), passed);
    assert_eq!(
        flooded.packets("drop", "limit_packets") + passed,
        flooded.sent
    );
    stop(agent)
}

#[test]
fn other_sources_do_not_feel_a_flood() -> Result<()> {
    let site = Site::new()?;
    let counter = SourceCounter::attach(&site.stage.server)?;
    let agent = site.guard(&["--limit-packets", "1k/s"])?;
    let lost = site.stage.client.overruns()?;
    let flood = Flood {
        rate_pps: Some(30_000),
        ..Flood::new(udp(&site.stage, NOBODY), 60_000)
    };
    let running = flood.start(&site.stage.client)?;
    for _ in 0..5 {
        let answer = site.https(CLIENT)?;
        assert!(answer.is_ok(), "{answer:?}");
    }
    let sent = running.wait()?.frames - (site.stage.client.overruns()? - lost);
    let passed = || Ok::<_, anyhow::Error>(counter.received()?[&NOBODY]);
    // Once the drops are in, so are the packets that passed before the last of them.
    let dropped = wait_for_packets(&agent, "drop", "limit_packets", sent - passed()?)?;
    assert_eq!(passed()? + dropped, sent, "only the flood was dropped");
    stop(agent)
}

#[test]
fn a_source_over_its_limit_of_connections_gets_just_that_many_syns_through() -> Result<()> {
    let site = Site::new()?;
    let stage = &site.stage;
    let counter = SourceCounter::attach(&stage.server)?;
    let agent = site.guard(&["--limit-connections", "600/min"])?;
    let syn = stage
        .packet(NOBODY.into())
        .tcp(4000, TLS_PORT)
        .flags(tcp::SYN);
    let flooded = flood(stage, &agent, syn.build().pad(UDP_FRAME), 2000, 2000)?;
    let passed = counter.received()?[&NOBODY];
    assert!(passed >= 10, "a burst of a second: {passed}");
    let allowed = flooded.allowance(10, 10);
    assert!(passed <= allowed, "{passed} of {allowed}");
    assert_eq!(flooded.packets("pass", "pass"), passed);
    assert_eq!(
        flooded.packets("drop", "limit_connections") + passed,
        flooded.sent
    );
    assert!(site.https(CLIENT)?.is_ok());
    stop(agent)
}

#[test]
fn a_source_over_its_limit_of_bytes_gets_just_that_many_through() -> Result<()> {
    let stage = Stage::new()?;
    let counter = SourceCounter::attach(&stage.server)?;
    let agent = Agent::start(
        stage.host(),
        &["--iface", "eth0", "--limit-bytes", "100kB/s"],
    )?;
    let frame = stage
        .packet(NOBODY.into())
        .udp(4000, 9)
        .payload([0; 958])
        .build();
    assert_eq!(frame.len(), 1000);
    let flooded = flood(&stage, &agent, frame, 2000, 2000)?;
    let passed = counter.received()?[&NOBODY];
    assert!(passed >= 100, "a burst of a second: {passed}");
    let allowed = flooded.allowance(100_000, 100_000);
    assert!(
        passed * 1000 <= allowed,
        "{passed} packets, {allowed} bytes"
    );
    assert_eq!(flooded.packets("pass", "pass"), passed);
    assert_eq!(
        flooded.packets("drop", "limit_bytes") + passed,
        flooded.sent
    );
    let bytes = |verdict, reason| flooded.count("guard_bytes_total", verdict, reason);
    assert_eq!(bytes("pass", "pass"), passed * 1000);
    assert_eq!(bytes("drop", "limit_bytes"), (flooded.sent - passed) * 1000);
    stop(agent)
}

#[test]
fn limits_hold_for_ipv6_and_end_at_the_prefix() -> Result<()> {
    let stage = Stage::new()?;
    let agent = Agent::start(
        stage.host(),
        &["--iface", "eth0", "--limit-packets", "1k/s"],
    )?;
    let flooded = flood(&stage, &agent, udp(&stage, NOBODY_V6), 10_000, 20_000)?;
    let (passed, dropped) = (
        flooded.packets("pass", "pass"),
        flooded.packets("drop", "limit_packets"),
    );
    assert_eq!(passed + dropped, flooded.sent);
    assert!(
        passed >= 1000 && passed <= flooded.allowance(1000, 1000),
        "{passed}"
    );
    let other_prefix: IpAddr = "2001:db8:1::66".parse()?;
    let flooded = flood(&stage, &agent, udp(&stage, other_prefix), 500, 20_000)?;
    assert_eq!(
        flooded.packets("pass", "pass"),
        flooded.sent,
        "another source"
    );
    stop(agent)
}

#[test]
fn an_allowed_source_has_no_limits() -> Result<()> {
    let stage = Stage::new()?;
    let allow = format!("{NOBODY}/32");
    let agent = Agent::start(
        stage.host(),
        &[
            "--iface",
            "eth0",
            "--limit-packets",
            "10/s",
            "--allow",
            &allow,
        ],
    )?;
    let flooded = flood(&stage, &agent, udp(&stage, NOBODY), 2000, 20_000)?;
    assert_eq!(flooded.packets("pass", "allow"), flooded.sent);
    stop(agent)
}

#[test]
fn a_dry_run_drops_nothing_and_counts_what_it_would() -> Result<()> {
    let site = Site::new()?;
    let stage = &site.stage;
    let counter = SourceCounter::attach(&stage.server)?;
    let agent = site.guard(&[
        "--dry-run",
        "--limit-packets",
        "1k/s",
        "--deny",
        "203.0.113.10,2001:db8::10",
        "--on-plaintext",
        "drop",
    ])?;
    let flooded = flood(stage, &agent, udp(stage, NOBODY), 10_000, 20_000)?;
    assert_eq!(counter.received()?[&NOBODY], flooded.sent);
    let over = flooded.packets("would_drop", "limit_packets");
    assert_eq!(flooded.packets("pass", "pass") + over, flooded.sent);
    assert!(over >= flooded.sent - flooded.allowance(1000, 1000));
    assert!(site.https(CLIENT)?.is_ok(), "denied in words only");
    assert!(site.http(lab::stage::OTHER)?.is_ok(), "plaintext too");
    assert!(packets(&agent, "would_drop", "deny")? > 0);
    assert_eq!(packets(&agent, "would_drop", "plaintext")?, 1);
    assert_eq!(crate::dropped(&agent)?, 0);
    assert_eq!(agent.status()?["mode"], "dry-run");
    stop(agent)
}

#[test]
fn a_flood_of_pings_leaves_the_service_alone() -> Result<()> {
    let site = Site::new()?;
    let counter = SourceCounter::attach(&site.stage.server)?;
    let agent = site.guard_configured(
        r#"
        interfaces = ["eth0"]
        [limits]
        protocol = { icmp = "1k/s" }
        "#,
    )?;
    let ping = site.stage.packet(NOBODY.into()).icmp(8, 0).build().pad(60);
    let flooded = flood(&site.stage, &agent, ping, 20_000, 20_000)?;
    let passed = counter.received()?[&NOBODY];
    assert!(passed >= 1000, "a burst of a second: {passed}");
    let allowed = flooded.allowance(1000, 1000);
    assert!(passed <= allowed, "{passed} of {allowed}");
    assert_eq!(
        flooded.packets("drop", "limit_protocol") + passed,
        flooded.sent
    );
    assert!(site.https(CLIENT)?.is_ok());
    assert_eq!(packets(&agent, "drop", "limit_packets")?, 0);
    stop(agent)
}
