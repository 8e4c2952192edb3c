//! A real Prometheus scrapes a real agent, and every query of the rules and of the dashboard is put to
//! it after what it asks for has happened.

use std::{collections::BTreeMap, fs};

use anyhow::{Context as _, Result, ensure};
use lab::{
    agent::Agent,
    hardship,
    prometheus::{JOB, Prometheus},
};
use serde_json::Value;

use crate::{
    causes::{self, Silent},
    dashboard::{self, Query},
    families::FAMILIES,
    repository,
    rules::RULES,
    site::{Site, wait_until},
};

/// The alert on what cannot be had in a minute: its buffer has room for all that the budgets of events
/// let through in ten seconds, in which the agent would have to do nothing. What its query ends with, and
/// with what instead, so that the rest is asked all the same. That the true bound sets it off is
/// shown by promtool.
const EASED: (&str, &str, &str) = ("GuardEventsLost", "[10m]) > 0", "[10m]) >= 0");

/// The queries of the alerts by name, as Prometheus has read them.
fn alerts(prometheus: &Prometheus) -> Result<BTreeMap<String, String>> {
    let groups = prometheus.api("rules")?["groups"].clone();
    let groups = groups.as_array().context("no groups")?;
    let rules = groups
        .iter()
        .flat_map(|group| group["rules"].as_array().into_iter().flatten());
    rules
        .map(|rule| {
            let text = |key: &str| Some(rule[key].as_str()?.to_owned());
            let (name, query) = text("name").zip(text("query")).context("no rule")?;
            for annotation in ["summary", "description", "runbook"] {
                let said = rule["annotations"][annotation].as_str();
                ensure!(
                    said.is_some_and(|said| !said.is_empty()),
                    "{name}: {annotation}"
                );
            }
            ensure!(rule["labels"]["severity"].is_string(), "{name}: severity");
            Ok((name, query))
        })
        .collect()
}

/// The alerts that have not been asked yet.
struct Alerts<'a> {
    prometheus: &'a Prometheus,
    left: BTreeMap<String, String>,
}

impl Alerts<'_> {
    /// Asks this one, whose condition is there now.
    fn ask(&mut self, name: &str) -> Result<()> {
        let query = self
            .left
            .remove(name)
            .with_context(|| format!("no {name}"))?;
        self.prometheus.wait_for(&query).context(name.to_owned())?;
        Ok(())
    }

    /// Asks one with a bound that is met.
    fn ask_eased(&mut self, (name, bound, eased): (&str, &str, &str)) -> Result<()> {
        let query = self
            .left
            .get_mut(name)
            .with_context(|| format!("no {name}"))?;
        ensure!(query.contains(bound), "{name} has no {bound}: {query}");
        *query = query.replace(bound, eased);
        self.ask(name)
    }
}

/// Waits until the agent was scraped so often since it was started that what rises is seen rising.
fn wait_for_scrapes(prometheus: &Prometheus) -> Result<()> {
    wait_until("scrapes", || {
        let scrapes =
            prometheus.query("count_over_time(guard_build_info[1m]) and guard_build_info")?;
        Ok(scrapes.iter().any(|count| *count >= 2.0))
    })
}

fn demand_target_up(prometheus: &Prometheus) -> Result<()> {
    let targets = prometheus.api("targets")?;
    let target = &targets["activeTargets"][0];
    ensure!(
        target["health"] == "up" && target["lastError"] == "" && target["labels"]["job"] == JOB,
        "{target}"
    );
    let names = prometheus.api("label/__name__/values")?;
    for family in FAMILIES {
        let has = names
            .as_array()
            .is_some_and(|names| names.iter().any(|own| own == family.name));
        ensure!(has, "{} is not there", family.name);
    }
    Ok(())
}

/// Whatever fills a panel or sets off an alert while the agent runs.
fn provoke(site: &Site, agent: &Agent) -> Result<()> {
    site.traffic()?;
    site.earn_a_ban(agent)?;
    causes::old_tls(site, agent)?;
    // Into tables of which the least size is 8,192.
    let addresses: Vec<_> = (0..9_500_u32)
        .map(|number| format!("100.64.{}.{}", number >> 8, number & 0xff))
        .collect();
    let words: Vec<&str> = ["deny", "add"]
        .into_iter()
        .chain(addresses.iter().map(String::as_str))
        .collect();
    let added = agent.cli(&words)?;
    ensure!(
        added.status.success(),
        "{}",
        String::from_utf8_lossy(&added.stderr)
    );
    let file = agent.folder().join("guard.toml");
    let good = fs::read_to_string(&file)?;
    fs::write(&file, "interfaces = 7")?;
    let refused = agent.cli(&["reload"])?;
    ensure!(refused.status.code() == Some(2), "{refused:?}");
    // For the next one.
    fs::write(&file, good)?;
    Ok(())
}

fn bypass(agent: &Agent, state: &str) -> Result<()> {
    let done = agent.cli(&["bypass", state])?;
    ensure!(done.status.success(), "{done:?}");
    Ok(())
}

/// Entries that are configured and not in force, and hardly a file that is left.
fn ask_in_hardship(alerts: &mut Alerts<'_>, agent: &mut Agent) -> Result<()> {
    let few = hardship::break_a_change(agent, "2001:db8:f::/48", "2001:db8:e::1")?;
    alerts.ask("GuardRulesNotEnforced")?;
    alerts.ask("GuardFilesNearlyOut")?;
    drop(few);
    let reloaded = agent.cli(&["reload"])?;
    ensure!(reloaded.status.success(), "{reloaded:?}");
    Ok(())
}

#[test]
fn a_prometheus_answers_every_query_of_the_rules_and_of_the_dashboard() -> Result<()> {
    let site = Site::new()?;
    let prometheus = Prometheus::start(site.stage.host(), &repository(RULES))?;
    let mut alerts = Alerts {
        prometheus: &prometheus,
        left: alerts(&prometheus)?,
    };
    alerts.ask("GuardDown")?;
    alerts.ask("GuardAbsent")?;

    let mut agent = site.guard(&[])?;
    wait_for_scrapes(&prometheus)?;
    demand_target_up(&prometheus)?;
    provoke(&site, &agent)?;
    for name in [
        "GuardPlaintextServed",
        "GuardCredentialExposed",
        "GuardFlood",
        "GuardNewSourcesGateClosed",
        "GuardReloadFailed",
        "GuardFeedFailed",
        "GuardAlertsNotDelivered",
        "GuardAlertsDropped",
        "GuardTableNearlyFull",
        "GuardTlsFinding",
    ] {
        alerts.ask(name)?;
    }
    // An allow voids a deny, which is no reason for an alert.
    prometheus
        .wait_for("guard_rules_not_enforced == 0 and guard_rules_configured > guard_rules")?;
    alerts.ask_eased(EASED)?;
    let silent = Silent::open(&site)?;
    alerts.ask("GuardConnectionsEvicted")?;
    drop(silent);
    causes::with_much_memory(&agent, || alerts.ask("GuardMemoryHigh"))?;
    ask_in_hardship(&mut alerts, &mut agent)?;
    bypass(&agent, "on")?;
    alerts.ask("GuardBypass")?;
    bypass(&agent, "off")?;
    causes::take_the_program_off(&site)?;
    alerts.ask("GuardInterfaceNotProtected")?;

    // The next agent, on what this one leaves.
    let (agent, unread) = causes::start_unread(&site, agent.stop()?.folder)?;
    alerts.ask("GuardDryRun")?;
    causes::overflow_the_log(&agent)?;
    alerts.ask("GuardLogLinesLost")?;
    assert!(alerts.left.is_empty(), "not asked: {:?}", alerts.left);

    wait_for_scrapes(&prometheus)?;
    site.traffic()?;
    for Query { title, text } in dashboard::queries()? {
        prometheus
            .wait_for(&text)
            .with_context(|| format!("panel `{title}`"))?;
    }
    demand_that_rules_are_healthy(&prometheus)?;
    agent.stop()?;
    drop(unread);
    Ok(())
}

/// Prometheus itself has evaluated every rule without an error.
fn demand_that_rules_are_healthy(prometheus: &Prometheus) -> Result<()> {
    let rules = prometheus.api("rules")?;
    let groups = rules["groups"].as_array().context("no groups")?;
    let rules: Vec<&Value> = groups
        .iter()
        .flat_map(|group| group["rules"].as_array().into_iter().flatten())
        .collect();
    ensure!(!rules.is_empty(), "no rules");
    for rule in rules {
        ensure!(rule["health"] == "ok", "{rule}");
    }
    Ok(())
}
