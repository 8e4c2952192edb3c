//! `guard top` in a terminal of its own, on a real agent under traffic.
#![expect(clippy::cast_precision_loss, reason = "estimates are compared")]

use std::{
    net::IpAddr,
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result, bail};
use lab::{
    agent::{self, Agent},
    flood::{Flood, Running},
    stage::{NOBODY, NOBODY_V6, Stage},
    terminal::Terminal,
};
use nix::sys::signal::Signal;
use serde_json::Value;

use crate::{PATIENCE, packets, stop};

const SIZE: (u16, u16) = (80, 24);
/// Packets a second of the floods, and how many at most.
const RATE: u64 = 10_000;
const COUNT: u64 = 100_000;
const ESCAPE: &str = "\u{1b}";

fn flood(stage: &Stage, source: IpAddr) -> Result<Running> {
    let frame = stage.packet(source).udp(4000, 9).build().pad(80);
    let flood = Flood {
        rate_pps: Some(RATE),
        ..Flood::new(frame, COUNT)
    };
    flood.start(&stage.client)
}

fn protect(stage: &Stage) -> Result<Agent> {
    let flags = ["--iface", "eth0", "--limit-packets", "1k/s"];
    Agent::start(stage.host(), &flags)
}

fn top(agent: &Agent) -> Result<Terminal> {
    let socket = agent.folder().socket();
    let words = ["top", "--socket", &socket.to_string_lossy()];
    Terminal::start(&agent::binary()?, &words, SIZE)
}

/// The line of the screen that starts with this, spaces aside.
fn line<'a>(screen: &'a str, start: &str) -> Option<&'a str> {
    let mut lines = screen.lines().map(str::trim_start);
    lines.find(|line| line.starts_with(start))
}

/// Whether the figures of that line are above zero: packets and bytes a second.
fn flows(screen: &str, start: &str, at: usize) -> bool {
    let Some(line) = line(screen, start) else {
        return false;
    };
    let mut words = line.split_whitespace();
    words
        .nth(at)
        .is_some_and(|figure| figure != "0" && figure != "-")
}

#[test]
fn top_shows_rates_and_who_sends_and_leaves_the_terminal_as_it_was() -> Result<()> {
    let stage = Stage::new()?;
    let agent = protect(&stage)?;
    let flood = flood(&stage, NOBODY.into())?;
    let mut terminal = top(&agent)?;
    let source = NOBODY.to_string();
    let screen = terminal.wait_until(PATIENCE, |screen| {
        flows(screen, "eth0", 2) && flows(screen, "limit_packets", 2) && flows(screen, &source, 1)
    })?;
    assert!(screen.starts_with(" guard 0."), "{screen}");
    assert!(screen.contains("enforce"), "{screen}");
    let talker = line(&screen, &source).context("the talker")?;
    assert!(talker.contains("limit_packets"), "{screen}");
    assert!(screen.contains("api"), "the service: {screen}");
    assert!(terminal.is_taken() && !terminal.is_as_before());

    terminal.press("?")?;
    terminal.wait_until(PATIENCE, |screen| screen.contains("hold the picture"))?;
    terminal.press(ESCAPE)?;
    terminal.wait_until(PATIENCE, |screen| !screen.contains("hold the picture"))?;
    terminal.press("p")?;
    terminal.wait_until(PATIENCE, |screen| screen.contains("PAUSED"))?;
    terminal.press("p\t")?;
    terminal.wait_until(PATIENCE, |screen| screen.contains("▸REASONS"))?;
    terminal.resize(40, 10)?;
    terminal.wait_until(PATIENCE, |screen| screen.contains("needs 60 columns"))?;
    terminal.resize(100, 40)?;
    terminal.wait_until(PATIENCE, |screen| screen.contains("EVENTS"))?;

    terminal.press("q")?;
    assert_eq!(terminal.wait(PATIENCE)?.exit_code(), 0);
    assert!(!terminal.is_taken() && terminal.is_as_before());
    flood.stop();
    stop(agent)
}

#[test]
fn top_waits_for_an_agent_that_went_away_and_ends_by_signals_too() -> Result<()> {
    let stage = Stage::new()?;
    let agent = protect(&stage)?;
    let mut terminal = top(&agent)?;
    let title = |screen: &str| screen.starts_with(" guard 0.");
    terminal.wait_until(PATIENCE, title)?;
    let stopped = agent.stop()?;
    terminal.wait_until(PATIENCE, |screen| screen.contains("no agent answers on"))?;
    let flags = ["--iface", "eth0"];
    let agent = Agent::start_in(stage.host(), stopped.folder, &flags)?;
    terminal.wait_until(PATIENCE, |screen| !screen.contains("no agent answers"))?;
    terminal.signal(Signal::SIGTERM)?;
    assert_eq!(terminal.wait(PATIENCE)?.exit_code(), 0);
    assert!(!terminal.is_taken() && terminal.is_as_before());

    let mut terminal = top(&agent)?;
    terminal.wait_until(PATIENCE, title)?;
    terminal.press("\u{3}")?;
    assert_eq!(terminal.wait(PATIENCE)?.exit_code(), 0);
    assert!(!terminal.is_taken() && terminal.is_as_before());
    stop(agent)
}

/// What `guard top --once` says of a source, and over which time.
fn estimate(agent: &Agent, source: &str) -> Result<Option<(Value, f64)>> {
    let words = ["top", "--once", "--output", "json", "--interval", "200ms"];
    let output = agent.cli(&words)?;
    let picture: Value = serde_json::from_slice(&output.stdout)
        .with_context(|| String::from_utf8_lossy(&output.stderr).into_owned())?;
    let seconds = picture["talkers_seconds"].as_f64().context("the time")?;
    let talkers = picture["talkers"].as_array().context("the talkers")?;
    let mut talkers = talkers.iter().filter(|talker| talker["source"] == source);
    Ok(talkers.next().map(|talker| (talker.clone(), seconds)))
}

#[test]
fn talkers_are_estimated_near_what_was_counted() -> Result<()> {
    let stage = Stage::new()?;
    for (source, shown) in [
        (IpAddr::from(NOBODY), NOBODY.to_string()),
        (NOBODY_V6.into(), "2001:db8::/64".to_owned()),
    ] {
        let agent = protect(&stage)?;
        let flood = flood(&stage, source)?;
        let deadline = Instant::now() + PATIENCE;
        // While all of it is in the window the estimate and the counters tell the same.
        loop {
            let before = sent_to(&agent)?;
            let estimate = estimate(&agent, &shown)?;
            let after = sent_to(&agent)?;
            if let Some((talker, seconds)) = estimate {
                let rate = talker["packets_per_second"].as_f64().context("a rate")?;
                let packets = rate * seconds;
                assert!(
                    packets <= after as f64 * 1.1 + 1000.0,
                    "{packets} of {after}"
                );
                if before >= 5_000 && packets >= before as f64 * 0.7 {
                    assert_eq!(talker["reason"], "limit_packets", "{talker}");
                    let share = talker["refused_share"].as_f64().context("a share")?;
                    assert!(share > 0.1 && share < 1.0, "{talker}");
                    break;
                }
            }
            if Instant::now() > deadline {
                bail!("{before} packets were counted");
            }
            thread::sleep(Duration::from_millis(50));
        }
        flood.stop();
        flood.wait()?;
        let table = agent.cli(&["top", "--once"])?;
        let table = String::from_utf8(table.stdout)?;
        assert!(line(&table, &shown).is_some(), "{table}");
        assert!(line(&table, "limit_packets").is_some(), "{table}");
        stop(agent)?;
    }
    Ok(())
}

/// What has come from the flood so far.
fn sent_to(agent: &Agent) -> Result<u64> {
    Ok(packets(agent, "pass", "pass")? + packets(agent, "drop", "limit_packets")?)
}
