//! From start to stop, and what is left of it: nothing.

#![forbid(unsafe_code)]

mod changes;
mod clients;
mod feeds;
mod fetched;
mod interfaces;
mod keep;
mod kill;
mod lineup;
mod log;
mod pins;
mod reload;
mod room;
mod services;
mod state;
mod traces;
mod trial;
mod warnings;

use std::{
    fs,
    os::unix::fs::{FileTypeExt as _, PermissionsExt as _},
    thread,
    time::Duration,
};

use anyhow::Result;
use guard_common::wire::ABI_VERSION;
use lab::{
    agent::{Agent, Folder},
    machine,
    process::Server,
    remains::Held,
    stage::{INTERFACE, Stage},
};
use nix::sys::signal::Signal;

use crate::traces::assert_nothing_is_left;

/// For whatever is to end.
const PATIENCE: Duration = Duration::from_mins(1);
const FLAGS: [&str; 2] = ["--iface", INTERFACE];

#[test]
fn a_stopped_agent_leaves_nothing() -> Result<()> {
    for signal in [Signal::SIGTERM, Signal::SIGINT] {
        let stage = Stage::new()?;
        let mut agent = Agent::start(stage.host(), &FLAGS)?;
        let objects = Held::by(agent.server().pid())?;
        assert!(objects.programs.len() >= 2, "{objects:?}");
        assert!(objects.maps.len() >= 5, "{objects:?}");
        agent.server().signal(signal)?;
        let stopped = agent.wait(PATIENCE)?;
        assert_eq!(stopped.status.code(), Some(0), "{}", stopped.log.text());
        let name = signal.as_str();
        assert_eq!(stopped.log.with("signal", name).count(), 1, "{name}");
        assert_nothing_is_left(&stage.server, &stopped.folder, &objects)?;
    }
    Ok(())
}

#[test]
fn a_running_agent_has_its_files_to_itself() -> Result<()> {
    let stage = Stage::new()?;
    let agent = Agent::start(stage.host(), &FLAGS)?;
    let folder = agent.folder();
    let pins = folder.bpffs().join(format!("v{ABI_VERSION}"));
    let mode = |path| Ok::<_, anyhow::Error>(fs::metadata(path)?.permissions().mode() & 0o777);
    assert_eq!(mode(folder.bpffs().to_owned())?, 0o700);
    assert_eq!(mode(pins.clone())?, 0o700);
    assert_eq!(mode(folder.state())?, 0o700);
    assert_eq!(mode(folder.socket())?, 0o600);
    assert!(fs::metadata(folder.socket())?.file_type().is_socket());
    let pinned = folder.pins();
    assert!(pinned.len() >= 5, "{pinned:?}");
    for pin in &pinned {
        assert!(pin.starts_with(&pins), "{}", pin.display());
    }
    assert!(pinned.contains(&pins.join("1/PORTS")), "{pinned:?}");
    agent.stop()?;
    Ok(())
}

#[test]
fn the_agent_says_how_long_it_took_to_protect() -> Result<()> {
    let stage = Stage::new()?;
    let agent = Agent::start(stage.host(), &FLAGS)?;
    let log = agent.stop()?.log;
    let said: Vec<_> = log.with("message", "protecting").collect();
    assert_eq!(said.len(), 1, "{}", log.text());
    assert!(said[0]["milliseconds"].is_u64(), "{}", said[0]);
    Ok(())
}

#[test]
fn starting_and_stopping_twenty_times_leaks_nothing() -> Result<()> {
    let stage = Stage::new()?;
    let mut folder = Folder::new()?;
    let mut fds = Vec::new();
    for _ in 0..20 {
        let mut agent = Agent::start_in(stage.host(), folder, &FLAGS)?;
        let objects = Held::by(agent.server().pid())?;
        fds.push(open_files(agent.server())?);
        let stopped = agent.stop()?;
        assert_eq!(stopped.status.code(), Some(0), "{}", stopped.log.text());
        assert_nothing_is_left(&stage.server, &stopped.folder, &objects)?;
        folder = stopped.folder;
    }
    assert_eq!(fds.iter().min(), fds.iter().max(), "{fds:?}");
    Ok(())
}

/// How many files it holds, its listeners' connections of the moment left out.
fn open_files(server: &Server) -> Result<usize> {
    // A connection that asked whether it is ready may still be closing.
    thread::sleep(Duration::from_millis(50));
    Ok(fs::read_dir(format!("/proc/{}/fd", server.pid()))?.count())
}

/// What depends on the kernel the most.
#[test]
#[ignore = "boots virtual machines: `cargo xtask test --full`"]
fn older_kernels_start_and_stop_alike() -> Result<()> {
    machine::repeat_on_older_kernels(&[
        "--test-threads=1",
        "keep::",
        "kill::",
        "lineup::",
        "reload::",
        "stopped",
        "trial::",
    ])
}
