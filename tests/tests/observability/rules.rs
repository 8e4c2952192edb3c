//! The alert rules that come with guard, as promtool sees them.

use std::fs;

use anyhow::{Context as _, Result};
use lab::prometheus::promtool;

use crate::repository;

pub(crate) const RULES: &str = "packaging/prometheus/guard.rules.yml";
const TESTS: &str = "packaging/prometheus/guard.rules.test.yml";

#[test]
fn the_alert_rules_are_well_formed() -> Result<()> {
    let said = promtool(&["check", "rules", "--lint-fatal"], &repository(RULES))?;
    assert!(said.contains("SUCCESS"), "{said}");
    Ok(())
}

#[test]
fn every_alert_is_set_off_by_what_it_is_for_and_by_nothing_else() -> Result<()> {
    let said = promtool(&["test", "rules"], &repository(TESTS))?;
    assert!(said.contains("SUCCESS"), "{said}");
    let tests = fs::read_to_string(repository(TESTS))?;
    for alert in alerts()? {
        // Each has a moment at which it is silent, and one at which it is not.
        let (_, rest) = tests
            .split_once(&format!("- name: {alert}\n"))
            .with_context(|| format!("{alert} has no test"))?;
        let own = rest.split("- name: ").next().unwrap_or_default();
        let silent = own.contains("exp_alerts: []");
        let is_told = own.contains("exp_labels") && own.contains("exp_annotations");
        assert!(silent && is_told, "{alert} is not tried both ways");
    }
    Ok(())
}

/// The names of all alerts, in their order.
fn alerts() -> Result<Vec<String>> {
    let text = fs::read_to_string(repository(RULES))?;
    let names = text
        .lines()
        .filter_map(|line| line.trim().strip_prefix("- alert: "));
    let names: Vec<_> = names.map(str::to_owned).collect();
    assert!(names.len() > 10, "the rules were not read: {names:?}");
    Ok(names)
}
