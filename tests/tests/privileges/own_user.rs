//! The agent as a user of its own, with the capabilities that its unit gives it and no others.

use std::{fs, os::unix::fs::MetadataExt as _, path::Path, process::Command};

use anyhow::Result;
use lab::{
    agent::{self, Agent, Folder},
    stage::{CLIENT, INTERFACE, Stage},
};
use nix::sys::signal::Signal;

use crate::{KEPT, PATIENCE, capabilities, cli, threads, wait_until};

/// A user that nothing else here runs as.
const USER: u32 = 64_517;
const CAPABILITIES: &str = "-all,+bpf,+net_admin,+perfmon";

/// Folders of the user's own, with a configuration that they may read and a copy of the program, which
/// may lie where only root gets.
fn folder() -> Result<Folder> {
    let folder = Folder::new()?;
    fs::copy(agent::binary()?, folder.join("guard"))?;
    fs::write(
        folder.join("guard.toml"),
        "[[deny]]\ncidr = \"198.51.100.0/24\"\n",
    )?;
    folder.give_to(USER)?;
    Ok(folder)
}

/// What becomes the program as that user, with these capabilities.
fn as_user(stage: &Stage, folder: &Folder, capabilities: &str) -> Command {
    let mut command = stage.host().command("setpriv");
    let user = USER.to_string();
    command.args(["--reuid", &user, "--regid", &user, "--clear-groups"]);
    command.args(["--inh-caps", capabilities, "--ambient-caps", capabilities]);
    command.args(["--bounding-set", capabilities, "--no-new-privs"]);
    command
        .args(["--pdeathsig", "KILL", "--"])
        .arg(folder.join("guard"));
    command
}

fn start(stage: &Stage, folder: Folder) -> Result<Agent> {
    let config = folder.join("guard.toml").to_string_lossy().into_owned();
    let command = as_user(stage, &folder, CAPABILITIES);
    let flags = ["--iface", INTERFACE, "--config", &config];
    let mut agent = Agent::spawn_as(stage.host(), folder, command, &flags)?;
    agent.wait_until_ready()?;
    Ok(agent)
}

#[test]
fn a_user_of_its_own_protects_reloads_and_stops() -> Result<()> {
    let stage = Stage::new()?;
    let mut agent = start(&stage, folder()?)?;
    for (name, thread) in threads(agent.server())? {
        let ids = thread["Uid"].split_whitespace();
        assert!(ids.into_iter().all(|id| id == USER.to_string()), "{name}");
        assert_eq!(capabilities(&thread, "CapPrm")? & !KEPT, 0, "{name}");
    }
    assert_eq!(agent.status()?["rules"][1]["in_force"], 1);
    assert!(stage.server.xdp()?.is_some(), "attached");

    // Anything that loads a program again, or changes a list.
    let more = "[limits]\nban = { after = \"1s\" }\n[[deny]]\ncidr = \"198.51.100.0/24\"\n\
                [[deny]]\ncidr = \"192.0.2.0/24\"\n";
    fs::write(agent.folder().join("guard.toml"), more)?;
    cli(&agent, &["reload"])?;
    cli(
        &agent,
        &["allow", "add", &CLIENT.to_string(), "2001:db8:1::/48"],
    )?;
    let rules = &agent.status()?["rules"];
    assert_eq!(
        (&rules[0]["in_force"], &rules[1]["in_force"]),
        (&2.into(), &2.into())
    );
    let pins = agent.folder().pins();
    assert!(pins.len() >= 5, "{pins:?}");
    for made in pins
        .iter()
        .map(|pin| &**pin)
        .chain([&*agent.folder().socket()])
    {
        assert_eq!(
            fs::symlink_metadata(made)?.uid(),
            USER,
            "{}",
            made.display()
        );
    }

    let stopped = agent.stop()?;
    assert_eq!(stopped.status.code(), Some(0), "{}", stopped.log.text());
    assert_eq!(stage.server.xdp()?, None);
    assert_is_gone(&stopped.folder);
    Ok(())
}

#[test]
fn a_killed_agent_of_its_own_user_is_followed_by_the_next() -> Result<()> {
    let stage = Stage::new()?;
    let agent = start(&stage, folder()?)?;
    cli(&agent, &["deny", "add", "192.0.2.7"])?;
    let mut agent = agent;
    agent.server().signal(Signal::SIGKILL)?;
    let folder = agent.wait(PATIENCE)?.folder;
    let agent = start(&stage, folder)?;
    assert_eq!(
        agent.status()?["rules"][1]["in_force"],
        2,
        "it knows the entry"
    );
    cli(&agent, &["reload"])?;
    let stopped = agent.stop()?;
    assert_eq!(stopped.status.code(), Some(0), "{}", stopped.log.text());
    wait_until("the program is gone", || Ok(stage.server.xdp()?.is_none()))?;
    assert_is_gone(&stopped.folder);
    Ok(())
}

#[test]
fn without_one_of_the_three_it_says_which() -> Result<()> {
    let stage = Stage::new()?;
    let folder = folder()?;
    let mut command = as_user(&stage, &folder, "-all,+bpf,+perfmon");
    agent::without_settings(&mut command);
    command.args(["run", "--iface", INTERFACE]);
    command.arg("--state-dir").arg(folder.state());
    let ended = command.output()?;
    assert_eq!(ended.status.code(), Some(1));
    let said = String::from_utf8(ended.stderr)?;
    assert!(said.contains("no CAP_NET_ADMIN"), "{said}");
    assert!(
        !said.contains("CAP_BPF and") && !folder.state().exists(),
        "{said}"
    );
    Ok(())
}

#[test]
fn a_state_folder_of_another_user_is_refused() -> Result<()> {
    let (stage, folder) = (Stage::new()?, Folder::new()?);
    fs::create_dir(folder.state())?;
    // Root gets in, but only by a privilege that is given up.
    std::os::unix::fs::chown(folder.state(), Some(USER), Some(USER))?;
    let mode = std::os::unix::fs::PermissionsExt::from_mode(0o700);
    fs::set_permissions(folder.state(), mode)?;
    let agent = Agent::spawn_in(stage.host(), folder, &["--iface", INTERFACE])?;
    let ended = agent.wait(PATIENCE)?;
    assert_eq!(ended.status.code(), Some(1));
    let said = ended.log.text();
    assert!(said.contains("belongs to another user"), "{said}");
    assert_eq!(stage.server.xdp()?, None, "nothing stays attached");
    Ok(())
}

fn assert_is_gone(folder: &Folder) {
    let gone = |path: &Path| assert!(!path.exists(), "{} stays", path.display());
    gone(folder.bpffs());
    gone(&folder.socket());
}
