//! A state folder without room, or closed, before the agent starts: it protects all the same.

use std::{fs, path::Path, process::Output};

use anyhow::{Context as _, Result};
use guard_common::wire::ABI_VERSION;
use lab::{
    agent::{self, Agent, Folder},
    command,
    stage::{CLIENT, INTERFACE},
};

use crate::{
    keep::{KEEP, Siege, assert_detaches, denied, detach, kill, map_id},
    reload::{cli, reaches, wait_until},
    state::fill,
};

/// A way in which nothing can be written.
struct Way {
    close: fn(&Path) -> Result<()>,
    open: fn(&Path) -> Result<()>,
    /// What the kernel says of it.
    why: &'static str,
}

fn run(command: &str, folder: &Path) -> Result<()> {
    command::run(&format!("{command} {}", folder.display())).map(drop)
}

const READ_ONLY: Way = Way {
    close: |folder| run("mount -o remount,ro", folder),
    open: |folder| run("mount -o remount,rw", folder),
    why: "Read-only file system",
};
const FULL: Way = Way {
    close: fill,
    open: |folder| Ok(fs::remove_file(folder.join("filler"))?),
    why: "No space left on device",
};
const IMMUTABLE: Way = Way {
    close: |folder| run("chattr +i", folder),
    open: |folder| run("chattr -i", folder),
    why: "Operation not permitted",
};

fn folder() -> Result<Folder> {
    let mut folder = Folder::new()?;
    folder.limit_state(256)?;
    Ok(folder)
}

fn warnings(agent: &Agent) -> Result<String> {
    Ok(agent.status()?["warnings"].to_string())
}

/// Asserts that nobody else gets the state folder of an agent.
fn assert_is_taken(siege: &Siege, folder: &Folder) -> Result<()> {
    let is_refused = |output: &Output| {
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(1), "{said}");
        assert!(said.contains("another guard agent uses"), "{said}");
    };
    is_refused(&detach(&siege.stage, folder)?);
    let mut second = siege.stage.host().command(agent::binary()?);
    agent::without_settings(&mut second);
    second.args(["run", "--iface", INTERFACE, "--listen", "127.0.0.1:9798"]);
    second.arg("--state-dir").arg(folder.state());
    second.arg("--socket").arg(folder.join("second.sock"));
    second.arg("--bpffs").arg(folder.join("second"));
    is_refused(&second.output().context("cannot run guard")?);
    Ok(())
}

#[test]
fn a_first_start_without_room_protects_says_so_and_recovers() -> Result<()> {
    for Way { close, open, why } in [READ_ONLY, FULL, IMMUTABLE] {
        let siege = Siege::new()?;
        let folder = folder()?;
        let state = folder.state();
        close(&state)?;
        let agent = siege.start(folder, KEEP)?;
        let flood = siege.flood()?;
        wait_until(|| Ok(denied(&agent)? > 0))?;
        let told = format!(
            "nothing can be written to the state folder {} (",
            state.display()
        );
        let warned = warnings(&agent)?;
        for part in [
            &told,
            why,
            "bans",
            "entries",
            "audit log",
            "marks of credentials",
        ] {
            assert!(warned.contains(part), "no `{part}` in {warned}");
        }
        let log = agent.log();
        assert_eq!(log.text().matches(&told).count(), 1, "{}", log.text());
        assert_is_taken(&siege, agent.folder())?;
        // A change is made when it is written down who asked for it, and not otherwise.
        let client = CLIENT.to_string();
        let refused = agent.cli(&["deny", "add", &client])?;
        let said = String::from_utf8(refused.stderr)?;
        assert_eq!(refused.status.code(), Some(1), "{said}");
        assert!(said.contains(why), "{said}");
        assert!(reaches(&siege.stage)?);

        open(&state)?;
        wait_until(|| Ok(warnings(&agent)? == "[]"))?;
        wait_until(|| Ok(state.join("estate.json").exists()))?;
        assert_eq!(fs::read(state.join("credentials.key"))?.len(), 32);
        assert!(!state.join("room.new").exists());
        assert_is_taken(&siege, agent.folder())?;
        cli(&agent, &["deny", "add", &client])?;
        assert!(!reaches(&siege.stage)?);
        let folder = kill(agent)?.folder;
        let agent = siege.start(folder, KEEP)?;
        assert!(!reaches(&siege.stage)?, "it was written down");
        let folder = agent.stop()?.folder;
        siege.assert_tight(flood)?;
        assert_detaches(&siege.stage, &folder)?;
    }
    Ok(())
}

#[test]
fn starts_without_room_go_on_with_what_was_learned_and_said_before() -> Result<()> {
    for Way { close, open, why } in [READ_ONLY, FULL, IMMUTABLE] {
        let siege = Siege::new()?;
        let mut agent = siege.start(folder()?, KEEP)?;
        let flood = siege.flood()?;
        cli(&agent, &["deny", "add", &CLIENT.to_string()])?;
        let state = agent.folder().state();
        let key = fs::read(state.join("credentials.key"))?;
        let known = |folder: &Folder, number: u32| {
            let maps = folder.bpffs().join(format!("v{ABI_VERSION}/{number}"));
            map_id(&maps.join("KNOWN"))
        };
        let first = known(agent.folder(), 1)?;
        let mut stopped = kill(agent)?;
        close(&state)?;
        // The deed stays the first one's, and so do its pins.
        for _ in 0..2 {
            agent = siege.start(stopped.folder, KEEP)?;
            assert!(warnings(&agent)?.contains(why));
            assert!(!warnings(&agent)?.contains("marks of credentials"));
            assert!(!reaches(&siege.stage)?, "the entry is in force");
            assert_eq!(known(agent.folder(), 2)?, first);
            stopped = kill(agent)?;
        }
        open(&state)?;
        agent = siege.start(stopped.folder, KEEP)?;
        assert_eq!(warnings(&agent)?, "[]");
        assert_eq!(fs::read(state.join("credentials.key"))?, key);
        let folder = agent.stop()?.folder;
        siege.assert_tight(flood)?;
        assert_detaches(&siege.stage, &folder)?;
    }
    Ok(())
}

#[test]
fn who_detaches_without_room_is_told_what_stays() -> Result<()> {
    let siege = Siege::new()?;
    let folder = kill(siege.start(folder()?, KEEP)?)?.folder;
    let state = folder.state();
    (READ_ONLY.close)(&state)?;
    let output = detach(&siege.stage, &folder)?;
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(1), "{said}");
    let told = "detached from eth0, but a file of the agent stays behind";
    assert!(said.contains(told), "{said}");
    wait_until(|| Ok(siege.stage.server.xdp()?.is_none()))?;
    // What stays speaks of nothing that is there.
    let agent = siege.start(folder, KEEP)?;
    assert_eq!(agent.status()?["interfaces"][0]["attached"], "native");
    (READ_ONLY.open)(&state)?;
    wait_until(|| Ok(warnings(&agent)? == "[]"))?;
    let folder = agent.stop()?.folder;
    assert_detaches(&siege.stage, &folder)
}
