//! A log that nobody takes is no reason to stop protecting.

use std::{
    fs::{File, OpenOptions},
    io::Write as _,
    os::unix::fs::OpenOptionsExt as _,
    path::Path,
};

use anyhow::Result;
use lab::{
    agent::Agent,
    flood::Flood,
    scratch::Scratch,
    stage::{NOBODY, Stage},
};
use nix::{fcntl::OFlag, sys::signal::Signal, sys::stat::Mode, unistd::mkfifo};

use crate::{PATIENCE, traces::assert_no_files};

const FRAMES: u64 = 100;

fn start(stage: &Stage, log: &Path) -> Result<Agent> {
    let deny = NOBODY.to_string();
    Agent::start_logging_to(stage.host(), log, &["--iface", "eth0", "--deny", &deny])
}

/// Refuses packets, which it logs, answers, and ends well.
fn assert_it_goes_on(stage: &Stage, mut agent: Agent) -> Result<()> {
    let frame = stage.packet(NOBODY.into()).udp(4000, 9).build().pad(64);
    let sent = Flood::new(frame, FRAMES).run(&stage.client)?.frames;
    let labels = [("verdict", "drop"), ("reason", "deny")];
    let events = [("outcome", "emitted")];
    for _ in 0..100 {
        let metrics = agent.metrics()?;
        if metrics.count("guard_packets_total", &labels) >= sent
            && metrics.count("guard_events_total", &events) > 0
        {
            agent.server().signal(Signal::SIGTERM)?;
            let stopped = agent.wait(PATIENCE)?;
            assert_eq!(stopped.status.code(), Some(0), "{}", stopped.log.text());
            assert_eq!(stage.server.xdp()?, None);
            return assert_no_files(&stopped.folder);
        }
        std::thread::sleep(std::time::Duration::from_millis(20));
    }
    panic!("the packets were not refused");
}

/// A pipe with a name, held open at its reading end.
fn pipe(scratch: &Scratch) -> Result<(std::path::PathBuf, File)> {
    let path = scratch.join("pipe");
    mkfifo(&path, Mode::S_IRWXU)?;
    let end = OpenOptions::new()
        .read(true)
        .write(true)
        .custom_flags(OFlag::O_NONBLOCK.bits())
        .open(&path)?;
    Ok((path, end))
}

#[test]
fn a_full_disk_does_not_end_the_protection() -> Result<()> {
    let stage = Stage::new()?;
    let agent = start(&stage, Path::new("/dev/full"))?;
    assert_it_goes_on(&stage, agent)
}

#[test]
fn a_reader_of_the_log_that_goes_away_does_not_end_the_protection() -> Result<()> {
    let (stage, scratch) = (Stage::new()?, Scratch::new()?);
    let (path, end) = pipe(&scratch)?;
    let agent = start(&stage, &path)?;
    drop(end);
    assert_it_goes_on(&stage, agent)
}

#[test]
fn a_reader_of_the_log_that_stalls_does_not_hold_up_the_agent() -> Result<()> {
    let (stage, scratch) = (Stage::new()?, Scratch::new()?);
    let (path, mut end) = pipe(&scratch)?;
    while end.write(&[b'x'; 4096]).is_ok() {}
    while end.write(b"x").is_ok() {}
    let agent = start(&stage, &path)?;
    assert_it_goes_on(&stage, agent)
}

#[test]
fn sighup_does_not_end_the_protection() -> Result<()> {
    let stage = Stage::new()?;
    let mut agent = Agent::start(stage.host(), &crate::FLAGS)?;
    agent.server().signal(Signal::SIGHUP)?;
    agent
        .server()
        .wait_for_line("the configuration is in force", PATIENCE)?;
    assert_eq!(agent.get("/readyz")?.status, 200);
    let stopped = agent.stop()?;
    assert_eq!(stopped.status.code(), Some(0), "{}", stopped.log.text());
    Ok(())
}
