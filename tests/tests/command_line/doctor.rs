//! `guard doctor`: what works, what does not, and the remedy.

use std::{
    fs,
    net::{TcpListener, TcpStream},
    process::Command,
};

use anyhow::Result;
use lab::{
    agent,
    counters::DropCounter,
    scratch::Scratch,
    stage::{OTHER, SERVER, Stage},
};
use serde_json::Value;

use crate::{Ended, end_of};

fn doctor(stage: &Stage, words: &[&str]) -> Result<Ended> {
    let mut command: Command = stage.host().command(agent::binary()?);
    agent::without_settings(&mut command);
    end_of(command.arg("doctor").args(words))
}

fn checks(stage: &Stage, words: &[&str]) -> Result<(Ended, Vec<Value>)> {
    let ended = doctor(stage, &[words, &["--output", "json"]].concat())?;
    let report: Value = serde_json::from_str(&ended.stdout)?;
    assert_eq!(report["passed"], ended.code == Some(0), "{report}");
    let checks = report["checks"].as_array().cloned().unwrap_or_default();
    Ok((ended, checks))
}

#[test]
fn a_host_that_can_passes() -> Result<()> {
    let stage = Stage::new()?;
    let (ended, checks) = checks(&stage, &["--iface", "eth0"])?;
    assert_eq!((ended.code, &*ended.stderr), (Some(0), ""), "{checks:?}");
    for check in &checks {
        let status = check["status"].as_str().unwrap_or_default();
        assert!(["ok", "warn"].contains(&status), "{check}");
        assert_eq!(check["remedy"].is_null(), status == "ok", "{check}");
        assert!(
            check["name"].is_string() && check["found"].is_string(),
            "{check}"
        );
    }
    for name in ["kernel", "privileges", "program"] {
        let about = checks.iter().filter(|check| check["name"] == name);
        assert_eq!(about.count(), 1, "{name} in {checks:?}");
    }
    assert!(
        checks.iter().any(|check| check["interface"] == "eth0"),
        "{checks:?}"
    );
    Ok(())
}

#[test]
fn a_configuration_is_examined_before_it_breaks_something() -> Result<()> {
    let (stage, scratch) = (Stage::new()?, Scratch::new()?);
    let file = scratch.join("guard.toml");
    let name = file.to_string_lossy().into_owned();
    let listener = stage.host().run(|| Ok(TcpListener::bind((SERVER, 22))?))?;
    let client = stage.client.namespace();
    let administrator = client.run(|| Ok(TcpStream::connect((SERVER, 22))?))?;
    stage.host().ip(&format!("route add default via {OTHER}"))?;

    let text = |off: bool| {
        format!(
            "interfaces = [\"eth0\"]\nprotect_self = {}\n\
             deny = [{{ cidr = \"203.0.113.0/24\" }}]\n[limits]\npackets = \"5/s\"\n",
            !off
        )
    };
    let of = |checks: &[Value], name: &str| -> Value {
        let named = checks.iter().find(|check| check["name"] == name);
        named.cloned().unwrap_or_default()
    };
    fs::write(&file, text(false))?;
    let (ended, warned) = checks(&stage, &["--config", &name])?;
    assert_eq!(ended.code, Some(0), "{warned:?}");
    let ssh = of(&warned, "ssh");
    assert_eq!(ssh["status"], "warn");
    let found = ssh["found"].as_str().unwrap_or_default();
    let client = administrator.local_addr()?.ip();
    assert!(found.starts_with(&client.to_string()), "{found}");
    assert!(found.contains("203.0.113.0/24 (deny) holds it"), "{found}");
    assert_eq!(of(&warned, "gateway")["status"], "warn");
    let limits = of(&warned, "limits")["found"].to_string();
    assert!(limits.contains("limits.packets"), "{limits}");
    assert_eq!(
        of(&warned, "link")["interface"],
        "eth0",
        "the configured one"
    );

    // Where the connection would end, that is a failure.
    fs::write(&file, text(true))?;
    let (ended, failed) = checks(&stage, &["--config", &name])?;
    assert_eq!(ended.code, Some(1), "{failed:?}");
    assert_eq!(of(&failed, "ssh")["status"], "fail");

    fs::write(&file, "interfaces = 7")?;
    let ended = doctor(&stage, &["--config", &name])?;
    assert_eq!(ended.code, Some(2), "{}", ended.stderr);
    drop(listener);
    Ok(())
}

#[test]
fn the_table_says_the_same() -> Result<()> {
    let stage = Stage::new()?;
    let (_, checks) = checks(&stage, &["--iface", "eth0"])?;
    let table = doctor(&stage, &["--iface", "eth0"])?;
    assert_eq!((table.code, &*table.stderr), (Some(0), ""));
    for check in &checks {
        let name = check["name"].as_str().unwrap_or_default();
        assert!(
            table.stdout.contains(name),
            "no `{name}` in:\n{}",
            table.stdout
        );
    }
    for line in table.stdout.lines() {
        assert!(line.chars().count() <= 80, "too wide: {line}");
    }
    Ok(())
}

#[test]
fn an_interface_that_is_not_there_fails() -> Result<()> {
    let stage = Stage::new()?;
    let (ended, checks) = checks(&stage, &["--iface", "nosuch0"])?;
    assert_eq!(ended.code, Some(1));
    let failed: Vec<_> = checks
        .iter()
        .filter(|check| check["status"] == "fail")
        .collect();
    assert_eq!(failed.len(), 1, "{checks:?}");
    assert!(failed[0].to_string().contains("nosuch0"), "{}", failed[0]);
    Ok(())
}

#[test]
fn a_stranger_on_the_interface_fails_and_is_named() -> Result<()> {
    let stage = Stage::new()?;
    let _counter = DropCounter::attach(&stage.server)?;
    let before = stage.server.xdp()?;
    let (ended, checks) = checks(&stage, &["--iface", "eth0"])?;
    assert_eq!(ended.code, Some(1), "{checks:?}");
    let failed: Vec<_> = checks
        .iter()
        .filter(|check| check["status"] == "fail")
        .collect();
    assert_eq!(failed.len(), 1, "{checks:?}");
    assert!(
        failed[0].to_string().contains("count_drop"),
        "{}",
        failed[0]
    );
    assert_eq!(stage.server.xdp()?, before);
    Ok(())
}

#[test]
fn it_leaves_nothing() -> Result<()> {
    let stage = Stage::new()?;
    doctor(&stage, &[])?;
    assert_eq!(stage.server.xdp()?, None);
    Ok(())
}
