//! Ends that nobody planned.

use std::{fs, os::unix::fs::DirBuilderExt as _, thread, time::Duration};

use anyhow::Result;
use guard_common::wire::ABI_VERSION;
use lab::{
    agent::{Agent, Folder, field},
    remains::Held,
    stage::Stage,
};
use nix::sys::signal::Signal;

use crate::{
    FLAGS, PATIENCE,
    traces::{assert_no_files, assert_nothing_is_left},
};

#[test]
fn a_killed_agent_takes_its_program_along_and_the_next_one_starts_over_its_remains() -> Result<()> {
    let stage = Stage::new()?;
    let mut agent = Agent::start(stage.host(), &FLAGS)?;
    let objects = Held::by(agent.server().pid())?;
    agent.server().signal(Signal::SIGKILL)?;
    let killed = agent.wait(PATIENCE)?;
    assert_eq!(killed.status.code(), None);
    wait_until_detached(&stage)?;
    assert!(
        killed.folder.socket().exists(),
        "nobody was there to remove it"
    );
    assert!(!killed.folder.pins().is_empty(), "nor these");

    let mut agent = Agent::start_in(stage.host(), killed.folder, &FLAGS)?;
    let own = Held::by(agent.server().pid())?;
    assert!(objects.programs.is_disjoint(&own.programs), "{own:?}");
    let stopped = agent.stop()?;
    assert_eq!(stopped.status.code(), Some(0), "{}", stopped.log.text());
    assert_nothing_is_left(&stage.server, &stopped.folder, &own)?;
    // Maps it went on with were there until now.
    objects.wait_until_gone_but(&Held::default())?;
    Ok(())
}

fn wait_until_detached(stage: &Stage) -> Result<()> {
    for _ in 0..100 {
        if stage.server.xdp()?.is_none() {
            return Ok(());
        }
        thread::sleep(Duration::from_millis(20));
    }
    panic!("the program of a killed agent stays attached");
}

/// Something of somebody else's among the pins.
#[test]
fn what_others_keep_among_the_pins_stays() -> Result<()> {
    let stage = Stage::new()?;
    let folder = Folder::new()?;
    let strangers = folder
        .bpffs()
        .join(format!("v{ABI_VERSION}"))
        .join("strangers");
    fs::DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(&strangers)?;
    let mut agent = Agent::start_in(stage.host(), folder, &FLAGS)?;
    agent.server().signal(Signal::SIGKILL)?;
    let killed = agent.wait(PATIENCE)?;
    wait_until_detached(&stage)?;
    let left = killed.folder.pins().len();
    let agent = Agent::start_in(stage.host(), killed.folder, &FLAGS)?;
    assert_eq!(agent.folder().pins().len(), left, "pinned anew");
    let stopped = agent.stop()?;
    assert_eq!(stopped.status.code(), Some(0), "{}", stopped.log.text());
    assert!(strangers.is_dir());
    assert!(stopped.folder.pins().is_empty(), "but nothing of its own");
    Ok(())
}

#[test]
fn a_signal_during_start_ends_it_with_nothing_left() -> Result<()> {
    for delay_ms in [0, 5, 20, 50, 100, 200, 400] {
        let stage = Stage::new()?;
        let mut agent = Agent::spawn_in(stage.host(), Folder::new()?, &FLAGS)?;
        thread::sleep(Duration::from_millis(delay_ms));
        let objects = Held::by(agent.server().pid())?;
        agent.server().signal(Signal::SIGTERM)?;
        let stopped = agent.wait(PATIENCE)?;
        let text = stopped.log.text();
        // Before it could listen for signals, there was nothing yet to undo.
        let ended = stopped.status.code() == Some(0) || text.is_empty();
        assert!(ended, "{delay_ms} ms: {}\n{text}", stopped.status);
        assert_eq!(stage.server.xdp()?, None, "{delay_ms} ms");
        assert_no_files(&stopped.folder)?;
        objects.wait_until_gone_but(&Held::default())?;
    }
    Ok(())
}

#[test]
fn a_second_agent_does_not_disturb_the_first() -> Result<()> {
    let stage = Stage::new()?;
    let first = Agent::start(stage.host(), &FLAGS)?;
    let second = Agent::spawn_in(stage.host(), Folder::new()?, &FLAGS)?.wait(PATIENCE)?;
    assert_eq!(second.status.code(), Some(1), "{}", second.log.text());
    assert_no_files(&second.folder)?;
    assert_eq!(first.get("/readyz")?.status, 200);
    assert_eq!(stage.server.xdp()?.map(|xdp| xdp.mode), Some("native"));
    first.stop()?;
    Ok(())
}

#[test]
fn a_failure_on_the_second_interface_leaves_the_first_without_a_program() -> Result<()> {
    let stage = Stage::new()?;
    // The loopback takes no native program.
    let flags = ["--iface", "eth0", "--iface", "lo", "--xdp-mode", "native"];
    let failed = Agent::spawn_in(stage.host(), Folder::new()?, &flags)?.wait(PATIENCE)?;
    let text = failed.log.text();
    assert_eq!(failed.status.code(), Some(1), "{text}");
    let attached = failed.log.with("message", "attached");
    let names: Vec<_> = attached
        .filter_map(|line| field(&line, "iface").cloned())
        .collect();
    assert_eq!(names, ["eth0"], "it had come that far: {text}");
    assert!(
        text.contains("guard: lo does not take the program in native mode"),
        "{text}"
    );
    assert_eq!(stage.server.xdp()?, None);
    assert_no_files(&failed.folder)
}
