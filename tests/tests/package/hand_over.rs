//! What the package asks of systemd, where a stand-in for it writes down what it is asked.

use std::{fs, os::unix::net::UnixListener};

use anyhow::Result;
use lab::{Scratch, stage::Stage};

use crate::{
    deb,
    system::{System, lossy},
};

const ASKED: &str = "/root/asked";
const CONFIG: &str = "/etc/guard/guard.toml";

/// systemd as far as packages know it: a folder that says it runs, and two programs.
fn pretend_systemd(system: &System) -> Result<()> {
    system.shell(&format!(
        "mkdir -p /run/systemd/system && touch {ASKED} && \
         for name in deb-systemd-invoke systemctl; do \
             printf '#!/bin/sh\\necho \"$@\" >> {ASKED}\\n' > /usr/local/bin/$name; \
             chmod 755 /usr/local/bin/$name; \
         done"
    ))?;
    Ok(())
}

/// What systemd was asked since the last time, but for reading its files again.
fn asked(system: &System) -> Result<Vec<String>> {
    let lines = system.read(ASKED)?;
    fs::write(system.path(ASKED), "")?;
    let asked = lines
        .lines()
        .filter(|line| !line.ends_with("daemon-reload"));
    Ok(asked.map(str::to_owned).collect())
}

#[test]
fn an_upgrade_restarts_an_agent_only_where_the_new_version_takes_its_configuration() -> Result<()> {
    let (stage, folder) = (Stage::new()?, Scratch::new()?);
    let system = System::start(stage.host())?;
    pretend_systemd(&system)?;
    system.bring(&deb::of_version("0.1.0", &folder)?, "/root/guard.deb")?;
    let install = "dpkg --install /root/guard.deb";
    system.shell(install)?;
    assert_eq!(
        asked(&system)?,
        [""; 0],
        "a fresh installation starts nothing"
    );

    // To dpkg the same version once more is an upgrade. What stands for an agent is its socket.
    fs::create_dir_all(system.path("/run/guard"))?;
    let _socket = UnixListener::bind(system.path("/run/guard/guard.sock"))?;
    system.shell(install)?;
    assert_eq!(asked(&system)?, ["try-restart guard.service"]);

    let good = system.read(CONFIG)?;
    fs::write(system.path(CONFIG), "no_such_key = 1\n")?;
    let said = system.shell(install)?;
    assert!(said.contains("no_such_key"), "{said}");
    assert!(said.contains("the old one runs on"), "{said}");
    assert_eq!(
        asked(&system)?,
        [""; 0],
        "it would be left without an agent"
    );

    fs::write(system.path(CONFIG), good)?;
    let removed = system.try_shell("dpkg --remove guard")?;
    let said = lossy(&removed.stderr);
    assert_eq!(asked(&system)?, ["stop guard.service"], "{said}");
    Ok(())
}
