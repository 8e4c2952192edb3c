//! Interfaces and folders that are not there or not fit, and privileges that are missing.

use std::fs;

use anyhow::Result;
use lab::{
    agent::{Agent, Folder},
    stage::Stage,
};

use crate::attempt::{
    BAD_CONFIGURATION, NO_AGENT, Places, START_FAILED, bare_run, end_of, run, run_at, unprivileged,
};

#[test]
fn an_unknown_interface_is_named_beside_those_there_are() -> Result<()> {
    let stage = Stage::new()?;
    let folder = Folder::new()?;
    let flags = ["--iface", "eth0", "--iface", "eht1", "--iface", "wlan7"];
    let failed = run(stage.host(), &folder, &flags)?;
    failed.assert_sentence(START_FAILED, &["`eht1`", "`wlan7`", "lo, eth0", "--iface"]);
    assert_eq!(stage.server.xdp()?, None, "the one that exists stays free");
    assert_eq!(folder.pins().len(), 0);
    assert!(!folder.socket().exists());
    Ok(())
}

#[test]
fn no_interface_at_all_is_a_bad_configuration() -> Result<()> {
    let stage = Stage::new()?;
    let failed = run(stage.host(), &Folder::new()?, &[])?;
    failed.assert(BAD_CONFIGURATION, &["--iface"]);
    Ok(())
}

#[test]
fn an_interface_named_twice_by_flags_counts_once() -> Result<()> {
    let stage = Stage::new()?;
    let flags = ["--iface", "eth0", "--iface", "eth0,eth0"];
    let agent = Agent::start(stage.host(), &flags)?;
    let interfaces = agent.status()?["interfaces"].clone();
    assert_eq!(interfaces.as_array().map(Vec::len), Some(1), "{interfaces}");
    Ok(())
}

#[test]
fn native_mode_where_no_driver_can_is_refused_with_the_way_out() -> Result<()> {
    let stage = Stage::new()?;
    let flags = ["--iface", "lo", "--xdp-mode", "native"];
    let failed = run(stage.host(), &Folder::new()?, &flags)?;
    failed.assert_sentence(START_FAILED, &["lo", "native", "--xdp-mode"]);
    Ok(())
}

#[test]
fn without_privilege_one_sentence_says_what_is_missing() -> Result<()> {
    let folder = tempfile::Builder::new()
        .permissions(mode(0o777))
        .tempdir()?;
    let path = |name: &str| folder.path().join(name).to_string_lossy().into_owned();
    let (socket, state, bpffs) = (path("guard.sock"), path("state"), path("bpffs"));
    let mut words = vec!["run", "--iface", "lo", "--listen", "127.0.0.1:0"];
    words.extend([
        "--socket",
        &socket,
        "--state-dir",
        &state,
        "--bpffs",
        &bpffs,
    ]);
    unprivileged(&words)?.assert_sentence(START_FAILED, &["root"]);
    assert!(!folder.path().join("guard.sock").exists());
    Ok(())
}

#[test]
fn without_privilege_the_default_folders_do_not_hide_that() -> Result<()> {
    unprivileged(&["run", "--iface", "lo"])?.assert_sentence(START_FAILED, &["root"]);
    Ok(())
}

fn mode(bits: u32) -> fs::Permissions {
    std::os::unix::fs::PermissionsExt::from_mode(bits)
}

#[test]
fn pins_on_another_file_system_are_left_out_with_a_warning() -> Result<()> {
    let stage = Stage::new()?;
    let folder = Folder::new()?;
    let elsewhere = folder.join("not-a-bpffs");
    let places = Places {
        bpffs: elsewhere.clone(),
        ..Places::of(&folder)
    };
    let mut command = bare_run(stage.host(), &["--iface", "eth0", "--log-format", "json"])?;
    lab::agent::without_settings(&mut command);
    places.tell(&mut command);
    let mut agent = Agent::spawn(stage.host(), folder, command)?;
    agent.wait_until_ready()?;
    let warned = agent.log().with("level", "WARN").any(|line| {
        let line = line.to_string();
        line.contains("not-a-bpffs") && line.contains("nothing is pinned")
    });
    assert!(warned, "{}", agent.log().text());
    assert!(!elsewhere.exists());
    Ok(())
}

#[test]
fn a_pins_folder_open_to_others_is_refused() -> Result<()> {
    let stage = Stage::new()?;
    let folder = Folder::new()?;
    fs::create_dir(folder.bpffs())?;
    fs::set_permissions(folder.bpffs(), mode(0o755))?;
    let failed = run(stage.host(), &folder, &["--iface", "eth0"])?;
    failed.assert_sentence(START_FAILED, &["bpffs/guard", "--bpffs"]);
    assert_eq!(stage.server.xdp()?, None);
    Ok(())
}

#[test]
fn folders_that_cannot_be_made_are_named() -> Result<()> {
    let stage = Stage::new()?;
    let folder = Folder::new()?;
    fs::write(folder.join("file"), "")?;
    let no_state = Places {
        state: folder.join("file/state"),
        ..Places::of(&folder)
    };
    let no_socket = Places {
        socket: folder.join("file/run/guard.sock"),
        ..Places::of(&folder)
    };
    for places in [no_state, no_socket] {
        let failed = run_at(stage.host(), &places, &["--iface", "eth0"])?;
        failed.assert_sentence(START_FAILED, &["cannot make the folder", "/file/"]);
        assert_eq!(stage.server.xdp()?, None);
    }
    Ok(())
}

#[test]
fn status_without_an_agent_ends_with_three() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let socket = folder.path().join("guard.sock");
    let words = ["status", "--socket", &*socket.to_string_lossy()];
    let status = || end_of(&mut lab::agent::command(&words)?);
    status()?.assert_sentence(NO_AGENT, &["guard.sock", "guard run"]);
    // Nobody listens any more on the socket of a killed one.
    drop(std::os::unix::net::UnixListener::bind(&socket)?);
    status()?.assert_sentence(NO_AGENT, &["guard.sock", "guard run"]);
    Ok(())
}
