//! Defaults, file, environment, flags: a later one wins.

use std::{fs, process::Command};

use anyhow::Result;
use lab::{
    agent::{self, Agent, Folder, LISTEN},
    stage::Stage,
};

use crate::end_of;

const FILE: &str = r#"
interfaces = ["nosuch0"]
dry_run = false
[limits]
packets = "10/s"
bytes = "10kB/s"
connections = "10/min"
burst = "2s"
[[deny]]
cidr = "198.51.100.0/24"
"#;

/// `guard run` in the stage, with all it must be told said by the environment.
fn told_by_environment(stage: &Stage, folder: &Folder) -> Result<Command> {
    let mut command = stage.host().command(agent::binary()?);
    agent::without_settings(&mut command);
    command.arg("run");
    command.env("GUARD_IFACE", "eth0");
    command.env("GUARD_LISTEN", LISTEN.to_string());
    command.env("GUARD_LOG_FORMAT", "json");
    command.env("GUARD_SOCKET", folder.socket());
    command.env("GUARD_STATE_DIR", folder.state());
    command.env("GUARD_BPFFS", folder.bpffs());
    Ok(command)
}

#[test]
fn the_environment_is_enough() -> Result<()> {
    let stage = Stage::new()?;
    let folder = Folder::new()?;
    let mut command = told_by_environment(&stage, &folder)?;
    command.env("GUARD_DRY_RUN", "true");
    command.env("GUARD_XDP_MODE", "generic");
    command.env("GUARD_API_PORT", "8443,9000-9010");
    command.env("GUARD_ON_PLAINTEXT", "drop");
    command.env("GUARD_DENY", "198.51.100.0/24,2001:db8:bad::/48");
    command.env("GUARD_ALLOW", "203.0.113.10");
    command.env("GUARD_CONFIG", "");
    let mut agent = Agent::spawn(stage.host(), folder, command)?;
    agent.wait_until_ready()?;
    let status = agent.status()?;
    assert_eq!(status["mode"], "dry-run");
    assert_eq!(status["interfaces"][0]["name"], "eth0");
    assert_eq!(status["interfaces"][0]["attached"], "generic");
    assert_eq!(
        status["services"][0]["ports"],
        serde_json::json!(["8443", "9000-9010"])
    );
    assert_eq!(status["services"][0]["on_plaintext"], "drop");
    assert_eq!(status["rules"][0]["in_force"], 1);
    assert_eq!(status["rules"][1]["in_force"], 2);
    assert!(!agent.folder().pins().is_empty());
    assert_eq!(agent.stop()?.status.code(), Some(0));
    Ok(())
}

#[test]
fn flags_win_over_the_environment_and_that_over_the_file() -> Result<()> {
    let stage = Stage::new()?;
    let folder = Folder::new()?;
    let file = folder.join("guard.toml");
    fs::write(&file, FILE)?;
    let mut command = told_by_environment(&stage, &folder)?;
    command.env("GUARD_CONFIG", &file);
    command.env("GUARD_LIMIT_BYTES", "20kB/s");
    command.env("GUARD_LIMIT_CONNECTIONS", "20/min");
    command.args(["--limit-connections", "30/min", "--deny", "192.0.2.1"]);
    let mut agent = Agent::spawn(stage.host(), folder, command)?;
    agent.wait_until_ready()?;
    let status = agent.status()?;
    let limits = &status["limits"];
    assert_eq!(limits["burst"], "2s", "the file's over the default");
    assert_eq!(limits["packets"], "10/s", "the file's");
    assert_eq!(
        limits["bytes"], "20kB/s",
        "the environment's over the file's"
    );
    assert_eq!(limits["connections"], "30/min", "the flag's over both");
    assert_eq!(
        status["interfaces"].as_array().map(Vec::len),
        Some(1),
        "replaced"
    );
    assert_eq!(status["rules"][1]["configured"], 2, "added");
    Ok(())
}

#[test]
fn status_finds_the_socket_by_the_environment() -> Result<()> {
    let stage = Stage::new()?;
    let agent = Agent::start(stage.host(), &["--iface", "eth0"])?;
    let mut command = agent::command(&["status"])?;
    let found = end_of(command.env("GUARD_SOCKET", agent.folder().socket()))?;
    assert_eq!((found.code, &*found.stderr), (Some(0), ""));
    assert!(found.stdout.contains("eth0: native"), "{}", found.stdout);
    Ok(())
}

#[test]
fn a_dry_run_of_the_file_can_be_switched_off() -> Result<()> {
    let stage = Stage::new()?;
    let folder = Folder::new()?;
    let file = folder.join("guard.toml");
    fs::write(&file, "interfaces = [\"eth0\"]\ndry_run = true\n")?;
    let config = file.to_string_lossy().into_owned();
    let agent = Agent::start_in(stage.host(), folder, &["--config", &config])?;
    assert_eq!(agent.status()?["mode"], "dry-run");
    let folder = agent.stop()?.folder;
    let flags = ["--config", &config, "--dry-run=false"];
    let agent = Agent::start_in(stage.host(), folder, &flags)?;
    assert_eq!(agent.status()?["mode"], "enforce");
    Ok(())
}
