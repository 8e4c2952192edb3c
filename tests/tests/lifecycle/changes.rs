//! Files that change while the agent runs: noticed by themselves, taken whole or not at all.

use std::{fs, os::unix::fs::symlink, path::Path, thread, time::Duration};

use anyhow::Result;
use lab::{
    agent::{Agent, Folder},
    stage::{INTERFACE, Stage},
};

use crate::reload::{cli, wait_until};

/// Long enough for a change to be noticed that is none.
const A_WHILE: Duration = Duration::from_secs(2);

fn start(stage: &Stage, folder: Folder, file: &Path) -> Result<Agent> {
    let file = file.to_string_lossy();
    Agent::start_in(
        stage.host(),
        folder,
        &["--iface", INTERFACE, "--config", &file],
    )
}

/// How many entries of a list are in force.
fn in_force(agent: &Agent, list: &str) -> Result<u64> {
    let status = agent.status()?;
    let rules = status["rules"].as_array().cloned().unwrap_or_default();
    let rule = rules.into_iter().find(|rule| rule["list"] == list);
    Ok(rule.map_or(0, |rule| rule["in_force"].as_u64().unwrap_or(0)))
}

fn successful(agent: &Agent) -> Result<u64> {
    let metrics = agent.metrics()?;
    Ok(metrics.count("guard_config_last_reload_successful", &[]))
}

fn operations(agent: &Agent) -> Result<u64> {
    let status = agent.status()?;
    let operations = &status["services"][0]["openapi"]["operations"];
    Ok(operations.as_u64().unwrap_or(0))
}

#[test]
fn a_file_that_changes_is_in_force_without_being_asked_for() -> Result<()> {
    let (stage, folder) = (Stage::new()?, Folder::new()?);
    let file = folder.join("guard.toml");
    let (list, document) = (folder.join("list"), folder.join("api.yaml"));
    fs::write(&list, "192.0.2.1\n")?;
    fs::write(&document, "openapi: 3.0.0\npaths: {/a: {get: {}}}\n")?;
    let text = "[[feed]]\nname = \"a\"\nfile = \"list\"\nrefresh = \"1h\"\n\
                [[service]]\nname = \"api\"\nports = [80]\nopenapi = \"api.yaml\"\n";
    fs::write(&file, text)?;
    let agent = start(&stage, folder, &file)?;
    assert_eq!((in_force(&agent, "feed")?, operations(&agent)?), (1, 1));
    let shown = cli(&agent, &["status"])?;
    assert!(
        shown.contains("OpenAPI 3.0.0 with 1 operations: "),
        "{shown}"
    );

    // Each of them: the file itself, a list, a document; written anew or replaced.
    fs::write(&file, format!("{text}[[deny]]\ncidr = \"192.0.2.0/24\"\n"))?;
    wait_until(|| Ok(in_force(&agent, "deny")? == 1))?;
    let new = list.with_extension("new");
    fs::write(&new, "192.0.2.1\n192.0.2.2\n")?;
    fs::rename(&new, &list)?;
    wait_until(|| Ok(in_force(&agent, "feed")? == 2))?;
    fs::write(
        &document,
        "openapi: 3.0.0\npaths: {/a: {get: {}, put: {}}}\n",
    )?;
    wait_until(|| Ok(operations(&agent)? == 2))?;
    assert_eq!(successful(&agent)?, 1);
    agent.stop()?;
    Ok(())
}

#[test]
fn a_bad_file_is_told_once_and_the_old_one_stays() -> Result<()> {
    const REFUSED: &str = "the configuration is not taken; what was in force stays";
    let (stage, folder) = (Stage::new()?, Folder::new()?);
    let file = folder.join("guard.toml");
    let good = "[[deny]]\ncidr = \"192.0.2.0/24\"\n";
    let bad = "[[deny]]\ncidr = \"192.0.2.1/24\"\n";
    fs::write(&file, good)?;
    let agent = start(&stage, folder, &file)?;
    fs::write(&file, bad)?;
    wait_until(|| Ok(successful(&agent)? == 0))?;
    // The same again, by somebody who writes it each minute.
    fs::write(&file, bad)?;
    thread::sleep(A_WHILE);
    assert_eq!(agent.log().with("message", REFUSED).count(), 1);
    assert_eq!(in_force(&agent, "deny")?, 1);
    let status = agent.status()?;
    assert_eq!(status["last_reload_failed"], true);
    let error = status["last_reload_error"].as_str().unwrap_or_default();
    assert!(error.contains("guard.toml:2:8"), "{error}");
    let shown = cli(&agent, &["status"])?;
    assert!(
        shown.contains("the last configuration was refused"),
        "{shown}"
    );
    // Whoever asks is told each time.
    assert_eq!(agent.cli(&["reload"])?.status.code(), Some(2));

    fs::write(&file, good)?;
    wait_until(|| Ok(successful(&agent)? == 1))?;
    let status = agent.status()?;
    assert!(status["last_reload_error"].is_null(), "{status}");
    agent.stop()?;
    Ok(())
}

/// Puts a version of the configuration where Kubernetes puts it: behind a link to a folder that is
/// swapped.
fn deploy(folder: &Path, version: &str, text: &str) -> Result<()> {
    let data = folder.join(version);
    fs::create_dir(&data)?;
    fs::write(data.join("guard.toml"), text)?;
    symlink(version, folder.join("..data_tmp"))?;
    fs::rename(folder.join("..data_tmp"), folder.join("..data"))?;
    Ok(())
}

#[test]
fn a_configuration_that_kubernetes_swaps_is_taken() -> Result<()> {
    let (stage, folder) = (Stage::new()?, Folder::new()?);
    let mounted = folder.join("etc");
    fs::create_dir(&mounted)?;
    let denied = |number: usize| {
        let entries = (0..number).map(|n| format!("[[deny]]\ncidr = \"192.0.2.{n}\"\n"));
        entries.collect::<String>()
    };
    deploy(&mounted, "..1", &denied(1))?;
    symlink("..data/guard.toml", mounted.join("guard.toml"))?;
    let agent = start(&stage, folder, &mounted.join("guard.toml"))?;
    for version in 2..4 {
        deploy(&mounted, &format!("..{version}"), &denied(version))?;
        fs::remove_dir_all(mounted.join(format!("..{}", version - 1)))?;
        wait_until(|| Ok(in_force(&agent, "deny")? == version as u64))?;
    }
    assert_eq!(successful(&agent)?, 1);
    agent.stop()?;
    Ok(())
}
