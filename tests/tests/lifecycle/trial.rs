//! What can be undone: a start and a reload that nobody confirms, and everything passing for a while.

use std::{fs, thread, time::Duration};

use anyhow::Result;
use lab::{
    agent::{Agent, Folder},
    stage::{CLIENT, INTERFACE, Stage},
};
use nix::sys::signal::Signal;

use crate::{
    FLAGS, PATIENCE,
    reload::{cli, reaches, wait_until},
    state::fill,
};

fn flags_with(file: &str) -> [&str; 4] {
    ["--iface", INTERFACE, "--config", file]
}

fn denying() -> String {
    format!("on_stop = \"keep\"\n[[deny]]\ncidr = \"{CLIENT}\"\n")
}

#[test]
fn a_start_that_nobody_confirms_is_undone() -> Result<()> {
    let (stage, folder) = (Stage::new()?, Folder::new()?);
    let file = folder.join("guard.toml");
    fs::write(&file, denying())?;
    let file = file.to_string_lossy().into_owned();
    let flags = [&flags_with(&file)[..], &["--confirm", "2s"]].concat();
    let agent = Agent::start_in(stage.host(), folder, &flags)?;
    assert!(agent.status()?["trial_until"].is_u64());
    assert!(!reaches(&stage)?);
    let stopped = agent.wait(PATIENCE)?;
    assert_eq!(stopped.status.code(), Some(1), "{}", stopped.log.text());
    assert!(stopped.log.text().contains("nobody confirmed it in time"));
    assert!(reaches(&stage)?);
    assert_eq!(stage.server.xdp()?, None);

    let flags = [&flags_with(&file)[..], &["--confirm", "1m"]].concat();
    let agent = Agent::start_in(stage.host(), stopped.folder, &flags)?;
    cli(&agent, &["confirm"])?;
    assert!(agent.status()?["trial_until"].is_null());
    let again = agent.cli(&["confirm"])?;
    assert_eq!(again.status.code(), Some(1));
    assert_eq!(agent.stop()?.status.code(), Some(0));
    Ok(())
}

#[test]
fn a_reload_that_nobody_confirms_goes_back() -> Result<()> {
    let (stage, folder) = (Stage::new()?, Folder::new()?);
    let path = folder.join("guard.toml");
    fs::write(&path, "")?;
    let file = path.to_string_lossy().into_owned();
    let agent = Agent::start_in(stage.host(), folder, &flags_with(&file))?;
    fs::write(&path, denying())?;
    cli(&agent, &["reload", "--confirm", "2s"])?;
    assert!(!reaches(&stage)?);
    let refused = agent.cli(&["reload"])?;
    assert_eq!(refused.status.code(), Some(2));
    let said = String::from_utf8_lossy(&refused.stderr).into_owned();
    assert!(said.contains("on trial"), "{said}");
    wait_until(|| reaches(&stage))?;
    wait_until(|| Ok(agent.status()?["trial_until"].is_null()))?;

    cli(&agent, &["reload", "--confirm", "1m"])?;
    cli(&agent, &["confirm"])?;
    assert!(!reaches(&stage)?);
    agent.stop()?;
    Ok(())
}

#[test]
fn everything_passes_for_a_while_also_when_nobody_is_left_to_end_that() -> Result<()> {
    let (stage, folder) = (Stage::new()?, Folder::new()?);
    let path = folder.join("guard.toml");
    fs::write(&path, denying())?;
    let file = path.to_string_lossy().into_owned();
    let agent = Agent::start_in(stage.host(), folder, &flags_with(&file))?;
    assert!(!reaches(&stage)?);
    cli(&agent, &["bypass", "on"])?;
    assert!(reaches(&stage)?);
    let would = |agent: &Agent| {
        let metrics = agent.metrics()?;
        let labels = [("verdict", "would_drop"), ("reason", "deny")];
        Ok::<_, anyhow::Error>((
            metrics.count("guard_packets_total", &labels),
            metrics.count("guard_bypass", &[]),
        ))
    };
    let (counted, on) = would(&agent)?;
    assert!(counted > 0 && on == 1, "{counted}, {on}");
    cli(&agent, &["reload"])?;
    assert!(reaches(&stage)?, "a reload does not end it");
    cli(&agent, &["bypass", "off"])?;
    assert!(!reaches(&stage)?);
    assert_eq!(would(&agent)?.1, 0);

    cli(&agent, &["bypass", "on", "--for", "3s"])?;
    let mut agent = agent;
    agent.server().signal(Signal::SIGKILL)?;
    let folder = agent.wait(PATIENCE)?.folder;
    wait_until(|| Ok(!reaches(&stage)?))?;
    let agent = Agent::start_in(stage.host(), folder, &flags_with(&file))?;
    assert!(agent.status()?["bypass_until"].is_null());
    fs::write(&path, "on_stop = \"detach\"")?;
    cli(&agent, &["reload"])?;
    agent.stop()?;
    Ok(())
}

#[test]
fn bad_times_are_refused() -> Result<()> {
    let stage = Stage::new()?;
    let agent = Agent::start(stage.host(), &FLAGS)?;
    for words in [
        &["bypass", "on", "--for", "0s"][..],
        &["bypass", "on", "--for", "2d"],
        &["reload", "--confirm", "2h"],
    ] {
        let refused = agent.cli(words)?;
        assert_eq!(refused.status.code(), Some(2), "{words:?}");
    }
    agent.stop()?;
    Ok(())
}

#[test]
fn what_is_on_trial_does_not_outlive_the_agent() -> Result<()> {
    let (stage, folder) = (Stage::new()?, Folder::new()?);
    let file = folder.join("guard.toml");
    fs::write(&file, denying())?;
    let file = file.to_string_lossy().into_owned();
    let flags = [&flags_with(&file)[..], &["--confirm", "1m"]].concat();
    let mut folder = folder;
    for signal in [Signal::SIGTERM, Signal::SIGKILL] {
        let mut agent = Agent::start_in(stage.host(), folder, &flags)?;
        assert!(!reaches(&stage)?);
        agent.server().signal(signal)?;
        folder = agent.wait(PATIENCE)?.folder;
        wait_until(|| Ok(stage.server.xdp()?.is_none()))?;
        assert!(reaches(&stage)?, "{signal}");
    }
    let mut agent = Agent::start_in(stage.host(), folder, &flags)?;
    cli(&agent, &["confirm"])?;
    agent.server().signal(Signal::SIGKILL)?;
    let folder = agent.wait(PATIENCE)?.folder;
    assert!(!reaches(&stage)?, "confirmed, it does");
    fs::write(&file, "on_stop = \"detach\"")?;
    let agent = Agent::start_in(stage.host(), folder, &flags_with(&file))?;
    agent.stop()?;
    Ok(())
}

#[test]
fn what_nobody_confirmed_is_taken_again_only_when_somebody_asks() -> Result<()> {
    let (stage, folder) = (Stage::new()?, Folder::new()?);
    let (path, list) = (folder.join("guard.toml"), folder.join("list"));
    let feed = "[[feed]]\nname = \"list\"\nfile = \"list\"\n";
    fs::write(&list, "198.51.100.1\n")?;
    fs::write(&path, feed)?;
    let file = path.to_string_lossy().into_owned();
    let agent = Agent::start_in(stage.host(), folder, &flags_with(&file))?;
    fs::write(&path, format!("{}{feed}", denying()))?;
    cli(&agent, &["reload", "--confirm", "1s"])?;
    wait_until(|| Ok(agent.status()?["trial_until"].is_null()))?;
    assert!(reaches(&stage)?);
    // A file that it names changes, and is noticed.
    fs::write(&list, "198.51.100.1\n198.51.100.2\n")?;
    thread::sleep(Duration::from_secs(3));
    assert!(reaches(&stage)?, "it is the one of before still");
    cli(&agent, &["reload"])?;
    assert!(!reaches(&stage)?);
    fs::write(&path, "on_stop = \"detach\"")?;
    cli(&agent, &["reload"])?;
    agent.stop()?;
    Ok(())
}

/// What the status warns of, as one text.
fn warnings(agent: &Agent) -> Result<String> {
    Ok(agent.status()?["warnings"].to_string())
}

#[test]
fn a_reload_on_trial_is_undone_by_the_next_start_where_its_agent_is_killed() -> Result<()> {
    let (stage, folder) = (Stage::new()?, Folder::new()?);
    let path = folder.join("guard.toml");
    let keep = "on_stop = \"keep\"\nwatch = false\n";
    let denying = format!("{keep}[[deny]]\ncidr = \"{CLIENT}\"\n");
    fs::write(&path, keep)?;
    let file = path.to_string_lossy().into_owned();
    let start = |folder| Agent::start_in(stage.host(), folder, &flags_with(&file));
    let kill = |mut agent: Agent| -> Result<Folder> {
        agent.server().signal(Signal::SIGKILL)?;
        Ok(agent.wait(PATIENCE)?.folder)
    };
    let agent = start(folder)?;
    fs::write(&path, &denying)?;
    cli(&agent, &["reload", "--confirm", "1h"])?;
    assert!(!reaches(&stage)?);
    let agent = start(kill(agent)?)?;
    assert!(reaches(&stage)?, "nobody has confirmed it");
    let warned = warnings(&agent)?;
    assert!(warned.contains("nobody confirmed what"), "{warned}");
    // Nor does another restart take it; who asks for it gets it, and so does who starts after that.
    let agent = start(agent.stop()?.folder)?;
    assert!(reaches(&stage)?);
    cli(&agent, &["reload"])?;
    assert!(!reaches(&stage)?);
    assert_eq!(warnings(&agent)?, "[]");
    let agent = start(kill(agent)?)?;
    assert!(!reaches(&stage)?);

    // What was confirmed is not undone.
    fs::write(&path, keep)?;
    cli(&agent, &["reload", "--confirm", "1h"])?;
    cli(&agent, &["confirm"])?;
    let agent = start(kill(agent)?)?;
    assert!(reaches(&stage)?);
    // Nor is a file that was changed since: nobody has tried that.
    fs::write(&path, &denying)?;
    cli(&agent, &["reload", "--confirm", "1h"])?;
    let folder = agent.stop()?.folder;
    fs::write(&path, format!("# again\n{denying}"))?;
    let agent = start(folder)?;
    assert!(!reaches(&stage)?);
    fs::write(&path, "on_stop = \"detach\"")?;
    cli(&agent, &["reload"])?;
    agent.stop()?;
    Ok(())
}

#[test]
fn what_is_confirmed_without_room_is_written_down_when_there_is_some() -> Result<()> {
    let (stage, mut folder) = (Stage::new()?, Folder::new()?);
    folder.limit_state(256)?;
    let path = folder.join("guard.toml");
    let keep = "on_stop = \"keep\"\nwatch = false\n";
    fs::write(&path, keep)?;
    let file = path.to_string_lossy().into_owned();
    let mut agent = Agent::start_in(stage.host(), folder, &flags_with(&file))?;
    fs::write(&path, format!("{keep}[[deny]]\ncidr = \"{CLIENT}\"\n"))?;
    cli(&agent, &["reload", "--confirm", "1h"])?;
    let kept = agent.folder().state();
    let noted = || fs::read_to_string(kept.join("configuration.json"));
    fill(&kept)?;
    cli(&agent, &["confirm"])?;
    assert!(noted()?.contains("\"unconfirmed\": {"), "there is no room");
    let said = agent
        .log()
        .text()
        .contains("which configuration is confirmed cannot be");
    assert!(said, "{}", agent.log().text());
    fs::remove_file(kept.join("filler"))?;
    wait_until(|| Ok(noted()?.contains("\"unconfirmed\": null")))?;
    agent.server().signal(Signal::SIGKILL)?;
    let folder = agent.wait(PATIENCE)?.folder;
    let agent = Agent::start_in(stage.host(), folder, &flags_with(&file))?;
    assert!(!reaches(&stage)?, "it was confirmed");
    fs::write(&path, "on_stop = \"detach\"")?;
    cli(&agent, &["reload"])?;
    agent.stop()?;
    Ok(())
}

#[test]
fn what_was_to_outlive_the_agent_does_while_something_else_is_on_trial() -> Result<()> {
    let (stage, folder) = (Stage::new()?, Folder::new()?);
    let path = folder.join("guard.toml");
    let keeping = format!("watch = false\n{}", denying());
    let file = path.to_string_lossy().into_owned();
    fs::write(&path, &keeping)?;
    let start = |folder, flags: &[&str]| {
        let flags = [&flags_with(&file)[..], flags].concat();
        Agent::start_in(stage.host(), folder, &flags)
    };
    let kill = |mut agent: Agent| -> Result<Folder> {
        agent.server().signal(Signal::SIGKILL)?;
        Ok(agent.wait(PATIENCE)?.folder)
    };
    let agent = start(folder, &[])?;
    fs::write(&path, keeping.replace("keep", "detach"))?;
    cli(&agent, &["reload", "--confirm", "1h"])?;
    let folder = kill(agent)?;
    assert!(
        !reaches(&stage)?,
        "nobody has confirmed that it ends with the agent"
    );
    let folder = kill(start(folder, &["--confirm", "1h"])?)?;
    assert!(!reaches(&stage)?, "nor here");
    let agent = start(folder, &["--confirm", "1h"])?;
    cli(&agent, &["confirm"])?;
    let folder = kill(agent)?;
    wait_until(|| Ok(stage.server.xdp()?.is_none()))?;
    // The other way round: what is tried does not stay where nothing was to stay.
    let agent = start(folder, &[])?;
    fs::write(&path, &keeping)?;
    cli(&agent, &["reload", "--confirm", "1h"])?;
    let folder = kill(agent)?;
    wait_until(|| Ok(stage.server.xdp()?.is_none()))?;
    fs::write(&path, "on_stop = \"detach\"")?;
    start(folder, &[])?.stop()?;
    Ok(())
}

#[test]
fn a_named_file_that_was_tried_is_noticed_when_it_is_mended() -> Result<()> {
    let (stage, folder) = (Stage::new()?, Folder::new()?);
    let (path, list) = (folder.join("guard.toml"), folder.join("list"));
    fs::write(&list, "198.51.100.1\n")?;
    fs::write(&path, "[[feed]]\nname = \"list\"\nfile = \"list\"\n")?;
    let file = path.to_string_lossy().into_owned();
    let agent = Agent::start_in(stage.host(), folder, &flags_with(&file))?;
    fs::write(&list, format!("198.51.100.1\n{CLIENT}\n"))?;
    cli(&agent, &["reload", "--confirm", "2s"])?;
    assert!(!reaches(&stage)?);
    wait_until(|| reaches(&stage))?;
    let entries = || Ok::<_, anyhow::Error>(agent.status()?["feeds"][0]["entries"].clone());
    assert_eq!(entries()?, 1);
    fs::write(&list, "198.51.100.1\n198.51.100.2\n198.51.100.3\n")?;
    wait_until(|| Ok(entries()? == 3))?;
    agent.stop()?;
    Ok(())
}
