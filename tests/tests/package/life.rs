//! A package's life: installed, started, upgraded under a flood, removed, purged.

use std::{
    path::Path,
    thread,
    time::{Duration, Instant},
};

use anyhow::{Result, ensure};
use lab::{
    Scratch,
    agent::LISTEN,
    counters::SourceCounter,
    flood::{Flood, Running},
    metrics::Metrics,
    stage::{INTERFACE, NOBODY, Stage},
};

use crate::{
    deb,
    system::{System, lossy},
    unit::Unit,
};

/// For whatever is to happen.
const PATIENCE: Duration = Duration::from_secs(20);

/// Everything a package may have put or left somewhere.
const PLACES: [&str; 15] = [
    "/usr/bin/guard",
    "/etc/guard",
    "/usr/lib/systemd/system/guard.service",
    "/usr/lib/sysusers.d/guard.conf",
    "/usr/lib/tmpfiles.d/guard.conf",
    "/usr/share/guard/prometheus/guard.rules.yml",
    "/usr/share/guard/grafana/guard.json",
    "/usr/share/doc/guard",
    "/usr/share/lintian/overrides/guard",
    "/usr/share/man/man1/guard.1.gz",
    "/usr/share/bash-completion/completions/guard",
    "/usr/share/zsh/vendor-completions/_guard",
    "/usr/share/fish/vendor_completions.d/guard.fish",
    "/var/lib/guard",
    "/var/lib/systemd/deb-systemd-helper-enabled/guard.service.dsh-also",
];

#[test]
fn a_package_is_installed_started_upgraded_without_a_gap_and_purged() -> Result<()> {
    let (stage, folder) = (Stage::new()?, Scratch::new()?);
    let system = System::start(stage.host())?;
    let (old, new) = (
        deb::of_version("0.1.0~old", &folder)?,
        deb::of_version("0.1.0", &folder)?,
    );

    let said = install(&system, &old)?;
    assert!(said.contains("protects nothing yet"), "{said}");
    assert_installed(&system)?;
    configure(&system)?;

    let unit = Unit::installed(&system)?;
    let agent = unit.start(&system)?;
    assert!(stage.server.xdp()?.is_some(), "{}", agent.printed());
    let arrived = SourceCounter::attach(&stage.server)?;
    let flood = flood(&stage)?;
    wait_until_dropped(&system, 1_000)?;

    // As the maintainer scripts do, by systemd where it runs: unpack, stop, start.
    let said = install(&system, &new)?;
    assert!(!said.contains("protects nothing yet"), "{said}");
    assert_eq!(version(&system)?, "0.1.0");
    let status = agent.stop(&system)?;
    assert_eq!(status.code(), Some(0));
    let agent = unit.start(&system)?;
    wait_until_dropped(&system, 1_000)?;
    flood.stop();
    let sent = flood.wait()?.frames;
    let passed = arrived.received()?.get(&NOBODY).copied().unwrap_or(0);
    assert_eq!(passed, 0, "of {sent} denied packets came through");

    assert_refuses_to_go_while_an_agent_runs(&system)?;
    let status = agent.stop(&system)?;
    assert_eq!(status.code(), Some(0));
    drop(arrived);
    system.shell("dpkg --purge guard")?;
    assert_nothing_is_left(&system, &stage)
}

fn install(system: &System, package: &Path) -> Result<String> {
    system.bring(package, "/root/guard.deb")?;
    system.shell("dpkg --install /root/guard.deb")
}

fn version(system: &System) -> Result<String> {
    system.shell("dpkg-query --show --showformat='${Version}' guard")
}

/// The files, the user and his folders; nothing runs and nothing is set to run.
fn assert_installed(system: &System) -> Result<()> {
    for place in PLACES {
        assert!(system.has(place), "{place}");
    }
    let state = system.shell("stat --format='%U:%G %a' /var/lib/guard")?;
    assert_eq!(state.trim(), "guard:guard 700");
    let user = system.shell("getent passwd guard")?;
    assert!(user.trim().ends_with("nologin"), "{user}");
    let check = system.shell("guard check --config /etc/guard/guard.toml")?;
    assert!(check.contains("0 interfaces"), "{check}");
    let links = system.shell("find /etc/systemd -name 'guard*'")?;
    assert_eq!(links, "", "an agent that protects nothing is not enabled");
    Ok(())
}

/// An administrator names the interface, and denies whom the flood comes from.
fn configure(system: &System) -> Result<()> {
    system.shell(&format!(
        "cd /etc/guard && sed -i 's/^interfaces = .*/interfaces = [\"{INTERFACE}\"]/' guard.toml && \
         printf '[[deny]]\\ncidr = \"{NOBODY}/32\"\\n' >> guard.toml && \
         guard check --config guard.toml"
    ))?;
    Ok(())
}

fn flood(stage: &Stage) -> Result<Running> {
    let frame = stage
        .packet(NOBODY.into())
        .udp(4000, 9)
        .payload([0; 18])
        .build();
    let flood = Flood {
        rate_pps: Some(50_000),
        ..Flood::new(frame, u64::MAX)
    };
    flood.start(&stage.client)
}

/// Waits until guard has dropped so many more denied packets.
fn wait_until_dropped(system: &System, count: u64) -> Result<()> {
    let dropped = || {
        let metrics = Metrics::scrape(system.namespace(), LISTEN)?;
        Ok::<_, anyhow::Error>(metrics.count("guard_packets_total", &[("reason", "deny")]))
    };
    let (first, deadline) = (dropped()?, Instant::now() + PATIENCE);
    while dropped()? < first + count {
        ensure!(Instant::now() < deadline, "guard drops nothing");
        thread::sleep(Duration::from_millis(50));
    }
    Ok(())
}

fn assert_refuses_to_go_while_an_agent_runs(system: &System) -> Result<()> {
    let output = system.try_shell("dpkg --remove guard")?;
    let said = lossy(&output.stderr);
    assert!(!output.status.success(), "{said}");
    assert!(said.contains("not removed"), "{said}");
    assert!(system.has("/usr/bin/guard"));
    Ok(())
}

fn assert_nothing_is_left(system: &System, stage: &Stage) -> Result<()> {
    for place in PLACES {
        assert!(!system.has(place), "{place} is left");
    }
    // Neither pins nor anything that the package did not bring.
    let others =
        "-path /proc -o -path /sys/kernel -o -path /sys/module -o -path /var/lib/dpkg/info";
    let left = system.shell(&format!(
        "find / \\( {others} \\) -prune -o -name '*guard*' -print"
    ))?;
    assert_eq!(left, "/root/guard.deb\n");
    let programs = stage
        .host()
        .command("bpftool")
        .args(["net", "list"])
        .output()?;
    let programs = lossy(&programs.stdout);
    assert!(!programs.contains(INTERFACE), "{programs}");
    Ok(())
}
