//! Clients that connect and do nothing.

use std::{
    fs,
    net::TcpStream,
    os::unix::net::UnixStream,
    thread,
    time::{Duration, Instant},
};

use anyhow::Result;
use lab::{
    agent::{Agent, LISTEN},
    stage::Stage,
};

use crate::{FLAGS, PATIENCE};

/// More than it serves at a time, on each of its two listeners.
const MANY: usize = 50;

/// Connections on both listeners over which nothing is ever said.
fn idle_clients(
    stage: &Stage,
    agent: &Agent,
    count: usize,
) -> Result<(Vec<TcpStream>, Vec<UnixStream>)> {
    let socket = agent.folder().socket();
    let connect = || Ok(TcpStream::connect(LISTEN)?);
    let remote: Vec<_> = (0..count)
        .map(|_| stage.host().run(connect))
        .collect::<Result<_>>()?;
    let local: Vec<_> = (0..count)
        .map(|_| UnixStream::connect(&socket))
        .collect::<Result<_, _>>()?;
    Ok((remote, local))
}

#[test]
fn a_client_that_never_finishes_does_not_hold_up_the_end() -> Result<()> {
    let stage = Stage::new()?;
    let agent = Agent::start(stage.host(), &FLAGS)?;
    let idle = idle_clients(&stage, &agent, 1)?;
    let stopped = agent.stop()?;
    assert_eq!(stopped.status.code(), Some(0));
    drop(idle);
    Ok(())
}

#[test]
fn clients_that_do_nothing_neither_take_all_files_nor_all_places() -> Result<()> {
    let stage = Stage::new()?;
    let mut agent = Agent::start(stage.host(), &FLAGS)?;
    let files = format!("/proc/{}/fd", agent.server().pid());
    let open_files = || Ok::<_, anyhow::Error>(fs::read_dir(&files)?.count());
    let before = open_files()?;
    let idle = idle_clients(&stage, &agent, MANY)?;
    thread::sleep(Duration::from_millis(500));
    let now = open_files()?;
    assert!(now > before, "some are served: {before}, then {now}");
    assert!(
        now < before + 2 * MANY,
        "not all at once: {before}, then {now}"
    );
    // They are cut off in turn, and then it is others' turn.
    let deadline = Instant::now() + PATIENCE;
    while agent.get("/metrics").is_err() || agent.status().is_err() {
        assert!(Instant::now() < deadline, "still no place for a scrape");
    }
    drop(idle);
    let stopped = agent.stop()?;
    assert_eq!(stopped.status.code(), Some(0));
    Ok(())
}
