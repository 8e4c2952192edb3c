//! Files out of the agent's reach.

use std::fs;

use anyhow::Result;
use lab::{
    Scratch,
    agent::{Agent, Folder},
    stage::{INTERFACE, Stage},
};

use crate::cli;

/// A configuration with a feed from each of these files.
fn configuration(files: &[&str]) -> String {
    let feed = |(number, file): (usize, &&str)| {
        format!("[[feed]]\nname = \"feed{number}\"\nfile = \"{file}\"\n")
    };
    files.iter().enumerate().map(feed).collect()
}

#[test]
fn a_reload_reads_no_file_outside_of_the_folders_of_the_start() -> Result<()> {
    let (stage, folder, elsewhere) = (Stage::new()?, Folder::new()?, Scratch::new()?);
    let config = folder.join("guard.toml");
    let outside = elsewhere.join("outside.netset");
    let outside = outside.to_string_lossy().into_owned();
    for (file, text) in [
        (folder.join("first.netset"), "198.51.100.1\n"),
        (folder.join("second.netset"), "198.51.100.2\n"),
        (elsewhere.join("outside.netset"), "198.51.100.3\n"),
        (config.clone(), &*configuration(&["first.netset"])),
    ] {
        fs::write(file, text)?;
    }
    let name = config.to_string_lossy().into_owned();
    let flags = ["--iface", INTERFACE, "--config", &name];
    let agent = Agent::start_in(stage.host(), folder, &flags)?;
    let in_force = |agent: &Agent| Ok::<_, anyhow::Error>(agent.status()?["rules"][2].clone());

    fs::write(&config, configuration(&["first.netset", "second.netset"]))?;
    cli(&agent, &["reload"])?;
    assert_eq!(in_force(&agent)?["in_force"], 2, "the folder is in reach");

    fs::write(&config, configuration(&["first.netset", &outside]))?;
    let refused = agent.cli(&["reload"])?;
    if agent.status()?["privileges"]["landlock"].is_null() {
        assert!(refused.status.success(), "nothing is out of reach here");
        agent.stop()?;
        return Ok(());
    }
    assert_eq!(refused.status.code(), Some(2));
    let said = String::from_utf8_lossy(&refused.stderr);
    for part in [
        "guard.toml:6:",
        "outside.netset",
        "restart guard",
        "landlock cannot be widened",
    ] {
        assert!(said.contains(part), "no `{part}` in {said}");
    }
    assert_eq!(in_force(&agent)?["in_force"], 2, "what was in force stays");

    let folder = agent.stop()?.folder;
    let agent = Agent::start_in(stage.host(), folder, &flags)?;
    assert_eq!(in_force(&agent)?["in_force"], 2, "a restart reads it");
    assert_eq!(in_force(&agent)?["configured"], 2);
    agent.stop()?;
    Ok(())
}

#[test]
fn what_a_list_is_a_link_to_is_in_reach_too() -> Result<()> {
    let (stage, folder, elsewhere) = (Stage::new()?, Folder::new()?, Scratch::new()?);
    let config = folder.join("guard.toml");
    fs::write(&config, configuration(&["link.netset"]))?;
    fs::write(elsewhere.join("list"), "198.51.100.1\n")?;
    std::os::unix::fs::symlink(elsewhere.join("list"), folder.join("link.netset"))?;
    let name = config.to_string_lossy().into_owned();
    let flags = ["--iface", INTERFACE, "--config", &name];
    let agent = Agent::start_in(stage.host(), folder, &flags)?;
    // As editors and downloads do it: another file of that name.
    fs::write(elsewhere.join("new"), "198.51.100.1\n198.51.100.2\n")?;
    fs::rename(elsewhere.join("new"), elsewhere.join("list"))?;
    cli(&agent, &["reload"])?;
    assert_eq!(agent.status()?["rules"][2]["in_force"], 2);
    agent.stop()?;
    Ok(())
}
