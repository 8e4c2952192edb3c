//! Alerts, up to a real Alertmanager.

use std::{
    fs,
    net::Ipv4Addr,
    panic::Location,
    path::Path,
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result, ensure};
use lab::{
    agent::{self, Agent, Folder, LISTEN},
    flood::{Flood, Running},
    hardship,
    servers::alertmanager::Alertmanager,
    stage::{CLIENT, NOBODY, OTHER, SERVER},
};
use nix::sys::signal::Signal;
use serde_json::Value;

use crate::{PATIENCE, PLAIN_PORT, Site, bans::be_greedy, stop};

const PORT: u16 = 9093;
/// The first of many forged sources (RFC 2544's network).
const FORGED: Ipv4Addr = Ipv4Addr::new(198, 18, 0, 0);
/// Longer than the longest that an alert outlasts its cause.
const UNTIL_OVER: Duration = Duration::from_mins(3);
/// Long enough for what takes a while on an idle machine.
const LONG: Duration = Duration::from_mins(2);
/// How long the system's resolver waits for an answer before it asks again.
const LOOK_UP: Duration = Duration::from_secs(5);
const SECRET: &str = "c0ffee-4b1d-5ec2e7";
const CONFIGURATION: &str = r#"
    interfaces = ["eth0"]
    [limits]
    packets = "200/s"
    ban = { after = "1s", for = "1h", max = "2h" }
    [[alert]]
    webhook = "http://127.0.0.1:9093/api/v2/alerts"
    format = "alertmanager"
"#;

fn start(site: &Site, folder: Folder) -> Result<Agent> {
    start_with(site, folder, CONFIGURATION)
}

fn start_with(site: &Site, folder: Folder, configuration: &str) -> Result<Agent> {
    let file = folder.join("guard.toml");
    fs::write(&file, configuration)?;
    let flags = ["--config", &file.to_string_lossy()];
    Agent::start_in(site.stage.host(), folder, &flags)
}

/// Starts guard after these commands of a shell, which are for it alone: what they mount nobody else
/// sees. To them `$0` is the state folder.
fn start_after(site: &Site, commands: &str, configuration: &str) -> Result<Agent> {
    let folder = Folder::new()?;
    let file = folder.join("guard.toml");
    fs::write(&file, configuration)?;
    fs::create_dir(folder.state())?;
    let mut command = site.stage.host().command("unshare");
    agent::without_settings(&mut command);
    command.args(["--mount", "sh", "-c", &format!("{commands} && exec \"$@\"")]);
    command.arg(folder.state());
    command.arg(agent::binary()?);
    command.args([
        "run",
        "--log-format",
        "json",
        "--listen",
        &LISTEN.to_string(),
    ]);
    command.arg("--config").arg(&file);
    command.arg("--socket").arg(folder.socket());
    command.arg("--state-dir").arg(folder.state());
    command.arg("--bpffs").arg(folder.bpffs());
    let mut agent = Agent::spawn(site.stage.host(), folder, command)?;
    agent.wait_until_ready()?;
    Ok(agent)
}

/// Until it is dropped.
fn flood(site: &Site) -> Result<Running> {
    let frame = site.stage.packet(NOBODY.into()).udp(4000, 9).build();
    let flood = Flood {
        rate_pps: Some(20_000),
        ..Flood::new(frame, u64::MAX)
    };
    flood.start(&site.stage.client)
}

/// A request in clear with a credential, of somebody who is never banned.
fn tell_a_secret(site: &Site) -> Result<()> {
    let curl = site.curl(OTHER.into());
    let curl = curl.header(&format!("Authorization: Bearer {SECRET}"));
    let answer = curl.http(SERVER.into(), PLAIN_PORT, "/")?;
    ensure!(answer.is_ok(), "{answer:?}");
    Ok(())
}

/// The rules whose alerts the agent says are on.
fn active(agent: &Agent) -> Result<Vec<String>> {
    let status = agent.status()?;
    let active = status["alerts"]["active"].as_array().context("no alerts")?;
    let rules = active.iter().filter_map(|alert| alert["rule"].as_str());
    Ok(rules.map(str::to_owned).collect())
}

/// Waits until `done` has something.
#[track_caller]
fn wait_for<T>(patience: Duration, mut done: impl FnMut() -> Result<Option<T>>) -> Result<T> {
    let line = Location::caller().line();
    let deadline = Instant::now() + patience;
    loop {
        if let Some(found) = done()? {
            return Ok(found);
        }
        ensure!(
            Instant::now() < deadline,
            "what line {line} waits for took over {patience:?}"
        );
        thread::sleep(Duration::from_millis(100));
    }
}

const CAUSED: [&str; 4] = ["ban", "credential_exposed", "flood", "plaintext_served"];

fn has_all(rules: &[&str]) -> bool {
    CAUSED.iter().all(|rule| rules.contains(rule))
}

/// The alert of this rule.
fn of_rule<'a>(alerts: &'a [Value], rule: &str) -> Result<&'a Value> {
    let mut alerts = alerts.iter();
    let found = alerts.find(|alert| alert["labels"]["rule"] == rule);
    found.with_context(|| format!("no alert {rule}"))
}

fn assert_says_what_it_should(alerts: &[Value]) -> Result<()> {
    let labels = |rule: &str| -> Result<Vec<(String, String)>> {
        let labels = of_rule(alerts, rule)?["labels"].as_object();
        let labels = labels.context("no labels")?.iter();
        let own = labels.filter(|(name, _)| *name != "instance");
        Ok(own
            .map(|(name, value)| (name.clone(), value.as_str().unwrap_or_default().to_owned()))
            .collect())
    };
    for (rule, expected) in [
        (
            "ban",
            &[
                ("alertname", "GuardBan"),
                ("rule", "ban"),
                ("severity", "info"),
            ][..],
        ),
        (
            "flood",
            &[
                ("alertname", "GuardFlood"),
                ("iface", "eth0"),
                ("reason", "limit_packets"),
                ("rule", "flood"),
                ("severity", "warning"),
            ],
        ),
        (
            "plaintext_served",
            &[
                ("alertname", "GuardPlaintextServed"),
                ("rule", "plaintext_served"),
                ("service", "api"),
                ("severity", "critical"),
            ],
        ),
        (
            "credential_exposed",
            &[
                ("alertname", "GuardCredentialExposed"),
                ("rule", "credential_exposed"),
                ("scheme", "bearer"),
                ("service", "api"),
                ("severity", "critical"),
            ],
        ),
    ] {
        let owned = |(name, value): &(&str, &str)| ((*name).to_owned(), (*value).to_owned());
        let expected: Vec<_> = expected.iter().map(owned).collect();
        assert_eq!(labels(rule)?, expected);
        let annotations = &of_rule(alerts, rule)?["annotations"];
        for name in ["summary", "description", "action"] {
            let text = annotations[name].as_str().unwrap_or_default();
            assert!(text.len() > 5, "{rule}: {annotations}");
        }
    }
    let ban = of_rule(alerts, "ban")?;
    assert_eq!(ban["annotations"]["sources"], format!("{CLIENT}/32"));
    assert!(!ban["labels"].to_string().contains(&CLIENT.to_string()));
    Ok(())
}

#[test]
fn alerts_reach_an_alertmanager_that_was_down_and_resolve_when_their_cause_is_gone() -> Result<()> {
    let site = Site::new()?;
    let mut agent = start(&site, Folder::new()?)?;
    let flood = flood(&site)?;
    let greedy = be_greedy(&site)?;
    wait_for(LONG, || {
        tell_a_secret(&site)?;
        let rules = active(&agent)?;
        let rules: Vec<&str> = rules.iter().map(String::as_str).collect();
        Ok(has_all(&rules).then_some(()))
    })?;
    drop(greedy);
    let shown = String::from_utf8(agent.cli(&["status"])?.stdout)?;
    assert!(
        shown.contains("to http://127.0.0.1:9093 (alertmanager)"),
        "{shown}"
    );
    assert!(shown.contains("failing: "), "{shown}");
    assert!(agent.metrics()?.count("guard_alert_queue", &[]) >= 4);
    assert!(
        agent
            .metrics()?
            .count("guard_alerts_active", &[("rule", "flood")])
            >= 1
    );

    // What waits survives the agent.
    agent.server().signal(Signal::SIGKILL)?;
    let stopped = agent.wait(PATIENCE)?;
    assert!(!stopped.log.text().contains(SECRET));
    let agent = start(&site, stopped.folder)?;
    assert!(agent.metrics()?.count("guard_alert_queue", &[]) >= 4);
    let manager = Alertmanager::start(site.stage.host(), PORT)?;
    let alerts = wait_for(LONG, || {
        // However long it takes here, the cause stays.
        tell_a_secret(&site)?;
        let alerts = manager.alerts()?;
        let rules: Vec<&str> = alerts
            .iter()
            .filter_map(|alert| alert["labels"]["rule"].as_str())
            .collect();
        Ok(has_all(&rules).then_some(alerts.clone()))
    })?;
    assert_says_what_it_should(&alerts)?;
    assert!(!format!("{alerts:?}").contains(SECRET));

    flood.stop();
    let unbanned = agent.cli(&["unban", "--all"])?;
    ensure!(unbanned.status.success(), "{unbanned:?}");
    wait_for(UNTIL_OVER, || {
        Ok(manager.alerts()?.is_empty().then_some(()))
    })?;
    let metrics = agent.metrics()?;
    assert_eq!(metrics.count("guard_alert_queue", &[]), 0);
    assert_eq!(metrics.count("guard_alerts_dropped_total", &[]), 0);
    assert!(metrics.count("guard_alerts_sent_total", &[("outcome", "delivered")]) >= 8);
    assert_eq!(active(&agent)?, Vec::<String>::new());
    stop(agent)
}

/// The alert of this rule, once Alertmanager has it.
fn told(manager: &Alertmanager, rule: &str) -> Result<Value> {
    let found = wait_for(LONG, || Ok(of_rule(&manager.alerts()?, rule).ok().cloned()));
    found.context(rule.to_owned())
}

fn is_denied(agent: &Agent) -> Result<bool> {
    let explained = agent.cli(&["explain", &NOBODY.to_string()])?;
    Ok(String::from_utf8(explained.stdout)?.contains("drop (deny)"))
}

#[test]
fn a_closed_gate_and_what_is_not_enforced_reach_an_alertmanager() -> Result<()> {
    let site = Site::new()?;
    let manager = Alertmanager::start(site.stage.host(), PORT)?;
    let folder = Folder::new()?;
    let configuration = CONFIGURATION.replace("[limits]", "[limits]\nnew_sources = \"1k/s\"");
    let mut agent = start_with(&site, folder, &configuration)?;
    let frame = site.stage.packet(FORGED.into()).udp(4000, 9).build();
    let flood = Flood {
        rate_pps: Some(20_000),
        sources: 1 << 16,
        ..Flood::new(frame, u64::MAX)
    };
    let flood = flood.start(&site.stage.client)?;
    let gate = told(&manager, "new_sources_gate_closed")?;
    assert_eq!(gate["labels"]["alertname"], "GuardNewSourcesGateClosed");
    assert_eq!(gate["labels"]["severity"], "critical");
    drop(flood);

    let denied = NOBODY.to_string();
    let few = hardship::break_a_change(&mut agent, "198.51.100.0/24", &denied)?;
    let lacking = told(&manager, "configured_not_enforced")?;
    assert_eq!(lacking["labels"]["alertname"], "GuardConfiguredNotEnforced");
    assert_eq!(lacking["labels"]["severity"], "critical");
    assert_eq!(lacking["labels"]["list"], "deny");
    assert!(!is_denied(&agent)?, "it is as the alert says");
    drop(few);
    // What the alert says is to be done.
    assert!(agent.cli(&["reload"])?.status.success());
    wait_for(LONG, || {
        let is_over = of_rule(&manager.alerts()?, "configured_not_enforced").is_err();
        Ok(is_over.then_some(()))
    })?;
    assert!(is_denied(&agent)?);
    stop(agent)
}

#[test]
fn a_reload_changes_who_is_told() -> Result<()> {
    let site = Site::new()?;
    let folder = Folder::new()?;
    let file = folder.join("guard.toml");
    fs::write(&file, "interfaces = [\"eth0\"]\n")?;
    let flags = ["--config", &file.to_string_lossy()];
    let agent = Agent::start_in(site.stage.host(), folder, &flags)?;
    assert!(agent.status()?["alerts"].is_null());
    assert!(!agent.get("/metrics")?.body.contains("guard_alert"));

    let manager = Alertmanager::start(site.stage.host(), PORT)?;
    let file = agent.folder().join("guard.toml");
    fs::write(&file, CONFIGURATION)?;
    assert!(agent.cli(&["reload"])?.status.success());
    // The first look is what growth is measured against.
    wait_for(PATIENCE, || {
        tell_a_secret(&site)?;
        thread::sleep(Duration::from_secs(1));
        Ok((!manager.alerts()?.is_empty()).then_some(()))
    })?;

    // One that is refused leaves alone who was told.
    fs::write(&file, format!("{CONFIGURATION}\nformat = \"x\"\n"))?;
    let refused = agent.cli(&["reload"])?;
    assert_eq!(refused.status.code(), Some(2));
    assert_eq!(
        agent.status()?["alerts"]["receivers"][0]["webhook"],
        "http://127.0.0.1:9093"
    );
    let degraded = wait_for(PATIENCE, || {
        let alerts = manager.alerts()?;
        let found = of_rule(&alerts, "agent_degraded").cloned();
        Ok(found.ok())
    })?;
    assert_eq!(degraded["labels"]["what"], "reload_failed");

    fs::write(&file, "interfaces = [\"eth0\"]\n")?;
    assert!(agent.cli(&["reload"])?.status.success());
    assert!(agent.status()?["alerts"].is_null());
    stop(agent)
}

#[test]
fn a_full_disk_loses_no_alert_and_is_told_once() -> Result<()> {
    let site = Site::new()?;
    let disk = "mount -t tmpfs -o size=128k tmpfs \"$0\"";
    let mut agent = start_after(&site, disk, CONFIGURATION)?;
    let pid = agent.server().pid();
    let state = agent.folder().state();
    // What the agent sees there.
    let filler = Path::new(&format!("/proc/{pid}/root")).join(state.strip_prefix("/")?);
    let filler = filler.join("filler");
    assert!(fs::write(&filler, vec![0; 1 << 20]).is_err(), "it is full");
    wait_for(PATIENCE, || {
        tell_a_secret(&site)?;
        thread::sleep(Duration::from_secs(1));
        let is_written = &agent.status()?["alerts"]["queue_written"];
        Ok((*is_written == false).then_some(()))
    })?;
    let said = "kept in memory only";
    let told = |agent: &Agent| agent.log().text().matches(said).count();
    assert_eq!(told(&agent), 1, "{}", agent.log().text());
    assert!(site.https(CLIENT)?.is_ok(), "it protects");

    fs::remove_file(&filler)?;
    wait_for(PATIENCE, || {
        let is_written = &agent.status()?["alerts"]["queue_written"];
        Ok((*is_written == true).then_some(()))
    })?;
    assert_eq!(told(&agent), 1);
    let manager = Alertmanager::start(site.stage.host(), PORT)?;
    wait_for(PATIENCE, || {
        let alerts = manager.alerts()?;
        Ok(of_rule(&alerts, "plaintext_served").is_ok().then_some(()))
    })?;
    assert_eq!(agent.metrics()?.count("guard_alerts_dropped_total", &[]), 0);
    stop(agent)
}

#[test]
fn a_name_that_nobody_looks_up_holds_up_neither_the_agent_nor_its_end() -> Result<()> {
    let site = Site::new()?;
    // Questions go to where nobody answers.
    let resolver = format!(
        "echo nameserver {NOBODY} > \"$0/resolv\" && mount --bind \"$0/resolv\" /etc/resolv.conf"
    );
    let configuration = CONFIGURATION.replace("http://127.0.0.1:9093", "http://hooks.example:9093");
    let agent = start_after(&site, &resolver, &configuration)?;
    wait_for(PATIENCE, || {
        tell_a_secret(&site)?;
        thread::sleep(Duration::from_secs(1));
        Ok((agent.metrics()?.count("guard_alert_queue", &[]) > 0).then_some(()))
    })?;
    // A look-up is under way, which takes the system's resolver ten seconds at the least.
    let failing = wait_for(PATIENCE, || {
        let start = Instant::now();
        let status = agent.status()?;
        assert!(start.elapsed() < LOOK_UP, "{:?}", start.elapsed());
        let failing = status["alerts"]["receivers"][0]["failing"].as_str();
        Ok(failing.map(str::to_owned))
    })?;
    assert_eq!(failing, "no connection in 2 s");
    // Which takes less than a look-up, or fails.
    stop(agent)
}
