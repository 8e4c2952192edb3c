//! What changes in a running agent, under traffic: no packet gets through that neither the old nor
//! the new lets pass.

use std::{
    fmt::Write as _,
    fs,
    io::ErrorKind,
    net::{Ipv4Addr, TcpStream},
    thread,
    time::{Duration, Instant},
};

use anyhow::{Result, bail, ensure};
use lab::{
    agent::{Agent, Folder},
    counters::SourceCounter,
    flood::Flood,
    link::Cable,
    stage::{CLIENT, INTERFACE, SERVER, Stage},
};
use nix::sys::signal::Signal;

use crate::{FLAGS, PATIENCE};

/// After this long without an answer there is none.
const SILENCE: Duration = Duration::from_millis(500);

/// Another interface of the host, which is configured or not.
const SPARE: &str = "spare0";

/// The `number`th of many configurations that all deny the source of the flood.
fn configuration(number: usize) -> String {
    let denied = [
        "203.0.113.0/24",
        "203.0.112.0/20",
        "203.0.113.0/25",
        "203.0.113.7/32",
    ];
    let interfaces = [&[INTERFACE][..], &[SPARE, INTERFACE]][number % 2];
    let mut text = format!(
        "interfaces = {interfaces:?}\n[[deny]]\ncidr = \"{}\"\n",
        denied[number % denied.len()]
    );
    for other in 0..number % 3 * 50 {
        // Writing to a string cannot fail.
        let _ = writeln!(text, "[[deny]]\ncidr = \"198.18.{other}.0/24\"");
    }
    // Tables that are there or not, and of other sizes.
    if number.is_multiple_of(2) {
        text += "[limits]\nbytes = \"1GB/s\"\nnew_sources = \"off\"\n";
    }
    // Services of other names, more or less of them.
    for service in 0..number % 4 {
        let _ = writeln!(
            text,
            "[[service]]\nname = \"s{}\"\nports = [{}]",
            number % 3 + service,
            8_000 + service
        );
    }
    text
}

/// What a command of an agent answers, which has to succeed.
pub(crate) fn cli(agent: &Agent, words: &[&str]) -> Result<String> {
    let output = agent.cli(words)?;
    let said = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success(), "guard {words:?}: {said}");
    Ok(String::from_utf8(output.stdout)?)
}

#[test]
fn a_reload_under_flood_lets_nothing_through() -> Result<()> {
    const RELOADS: usize = 24;
    let (stage, folder) = (Stage::new()?, Folder::new()?);
    let file = folder.join("guard.toml");
    fs::write(&file, configuration(0))?;
    let (client, host) = (stage.client.namespace(), stage.host());
    let _spare = Cable::new((client, SPARE), (host, SPARE)).lay()?;
    let name = file.to_string_lossy().into_owned();
    let agent = Agent::start_in(host, folder, &["--config", &name])?;
    let arrived = SourceCounter::attach(&stage.server)?;

    let flooder = Ipv4Addr::new(203, 0, 113, 7);
    let frame = stage
        .packet(flooder.into())
        .udp(4000, 9)
        .payload([0; 18])
        .build();
    let flood = Flood {
        rate_pps: Some(100_000),
        ..Flood::new(frame, u64::MAX)
    };
    let flood = flood.start(&stage.client)?;
    for number in 1..=RELOADS {
        fs::write(&file, configuration(number))?;
        cli(&agent, &["reload"])?;
        cli(&agent, &["deny", "add", "198.51.100.0/24", "192.0.2.200"])?;
        cli(
            &agent,
            &["deny", "remove", "198.51.100.0/24", "192.0.2.200"],
        )?;
    }
    flood.stop();
    let sent = flood.wait()?.frames;
    let passed = arrived.received()?.get(&flooder).copied().unwrap_or(0);
    assert_eq!(passed, 0, "of {sent} came through");
    let denied = agent
        .metrics()?
        .count("guard_packets_total", &[("reason", "deny")]);
    assert!(
        denied > 10_000,
        "{denied} were denied of {sent}: counters go on"
    );
    let stopped = agent.stop()?;
    let reloads = stopped.log.with("message", "the configuration is in force");
    // On a slow machine the file is noticed before it is asked for.
    assert!(reloads.count() >= RELOADS, "{}", stopped.log.text());
    Ok(())
}

#[test]
fn a_bad_configuration_leaves_the_old_one_in_force() -> Result<()> {
    let (stage, folder) = (Stage::new()?, Folder::new()?);
    let file = folder.join("guard.toml");
    fs::write(&file, configuration(1))?;
    let name = file.to_string_lossy().into_owned();
    let agent = Agent::start_in(
        stage.host(),
        folder,
        &["--iface", INTERFACE, "--config", &name],
    )?;
    let successful = || {
        Ok::<_, anyhow::Error>(
            agent
                .metrics()?
                .count("guard_config_last_reload_successful", &[]),
        )
    };
    assert_eq!(successful()?, 1);
    for (text, said) in [
        ("[[deny]]\ncidr = \"10.0.0.1/8\"", "beyond its prefix"),
        ("xdp_mode = \"generic\"", "restart guard"),
    ] {
        fs::write(&file, text)?;
        let refused = agent.cli(&["reload"])?;
        assert_eq!(refused.status.code(), Some(2));
        let error = String::from_utf8_lossy(&refused.stderr);
        assert!(error.contains(said), "{error}");
        assert_eq!(successful()?, 0);
        let status = agent.status()?;
        assert_eq!(status["rules"][1]["in_force"], 51, "{}", status["rules"]);
    }
    fs::write(&file, configuration(2))?;
    cli(&agent, &["reload"])?;
    assert_eq!(successful()?, 1);
    assert_eq!(agent.status()?["rules"][1]["in_force"], 101);
    agent.stop()?;
    Ok(())
}

#[test]
fn a_bad_configuration_by_sighup_is_told_and_leaves_the_old_one_in_force() -> Result<()> {
    let (stage, folder) = (Stage::new()?, Folder::new()?);
    let file = folder.join("guard.toml");
    let good = format!("watch = false\n[[deny]]\ncidr = \"{CLIENT}/32\"\n");
    fs::write(&file, &good)?;
    let name = file.to_string_lossy().into_owned();
    let flags = ["--iface", INTERFACE, "--config", &name];
    let mut agent = Agent::start_in(stage.host(), folder, &flags)?;
    let successful = |agent: &Agent| {
        let metrics = agent.metrics()?;
        Ok::<_, anyhow::Error>(metrics.count("guard_config_last_reload_successful", &[]))
    };
    assert_eq!((successful(&agent)?, reaches(&stage)?), (1, false));

    fs::write(&file, "[[allow]]\ncidr = \"10.0.0.1/8\"\n")?;
    agent.server().signal(Signal::SIGHUP)?;
    wait_until(|| Ok(successful(&agent)? == 0))?;
    let told = agent
        .server()
        .wait_for_line("beyond its prefix", PATIENCE)?;
    assert!(told.contains("\"level\":\"ERROR\""), "{told}");
    assert!(!reaches(&stage)?, "the old rules stay");
    assert_eq!(agent.status()?["rules"][1]["in_force"], 1);

    fs::write(&file, good.replace("deny", "allow"))?;
    agent.server().signal(Signal::SIGHUP)?;
    wait_until(|| Ok(successful(&agent)? == 1))?;
    assert!(reaches(&stage)?);
    agent.stop()?;
    Ok(())
}

#[test]
fn entries_come_and_go_and_survive_a_restart() -> Result<()> {
    let stage = Stage::new()?;
    let flags = ["--iface", INTERFACE];
    let agent = Agent::start(stage.host(), &flags)?;
    let client = CLIENT.to_string();
    let reaches = || reaches(&stage);
    assert!(reaches()?);
    cli(
        &agent,
        &[
            "deny",
            "add",
            &client,
            "2001:db8:bad::/48",
            "--reason",
            "a test",
        ],
    )?;
    assert!(!reaches()?);
    let explained = cli(&agent, &["explain", &client])?;
    assert!(
        explained.contains("drop (deny)") && explained.contains("a test"),
        "{explained}"
    );
    let listed = cli(&agent, &["deny", "list"])?;
    assert_eq!(listed.lines().count(), 2, "{listed}");
    let missing = agent.cli(&["allow", "remove", &client])?;
    assert_eq!(missing.status.code(), Some(1));

    let folder = agent.stop()?.folder;
    let agent = Agent::start_in(stage.host(), folder, &flags)?;
    assert!(!reaches()?, "the next agent knows it");
    cli(&agent, &["allow", "add", &client, "--for", "2s"])?;
    assert!(reaches()?, "at equal length allow wins");
    wait_until(|| Ok(!reaches()?))?;
    cli(&agent, &["deny", "remove", &client])?;
    assert!(reaches()?);
    agent.stop()?;
    Ok(())
}

/// Whether a packet of the client gets to the server.
pub(crate) fn reaches(stage: &Stage) -> Result<bool> {
    // A port that nobody listens on answers at once, if a packet gets there.
    stage.client.namespace().run(|| {
        let connected = TcpStream::connect_timeout(&(SERVER, 9).into(), SILENCE);
        Ok(connected.is_err_and(|error| error.kind() == ErrorKind::ConnectionRefused))
    })
}

/// Waits for that, and not for ever.
pub(crate) fn wait_until(is_so: impl Fn() -> Result<bool>) -> Result<()> {
    let deadline = Instant::now() + PATIENCE;
    while !is_so()? {
        if Instant::now() > deadline {
            bail!("not within {PATIENCE:?}");
        }
        thread::sleep(Duration::from_millis(100));
    }
    Ok(())
}

/// The agent looks at its interfaces while it is asked to reload, and so may see the program of
/// before.
#[test]
fn reloads_at_any_moment_leave_the_program_on() -> Result<()> {
    let stage = Stage::new()?;
    let agent = Agent::start(stage.host(), &FLAGS)?;
    let socket = agent.folder().socket();
    for round in 0..20 {
        let done = lab::control::ask(&socket, "POST", "/v1/reload", Some("{}"))?;
        assert_eq!(done.status, 200, "round {round}: {}", done.body);
        assert_eq!(agent.get("/readyz")?.status, 200, "round {round}");
    }
    let log = agent.stop()?.log;
    assert_eq!(log.with("level", "ERROR").count(), 0, "{}", log.text());
    Ok(())
}
