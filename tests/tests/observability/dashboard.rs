//! The dashboard that comes with guard: what Grafana demands of one, and its queries.

use std::{collections::BTreeSet, fs};

use anyhow::{Context as _, Result};
use serde_json::Value;

use crate::repository;

const DASHBOARD: &str = "packaging/grafana/guard.json";
/// Units of width of a dashboard.
const WIDTH: u64 = 24;

fn dashboard() -> Result<Value> {
    let text = fs::read_to_string(repository(DASHBOARD))?;
    serde_json::from_str(&text).context(DASHBOARD)
}

fn list<'a>(value: &'a Value, key: &str) -> &'a [Value] {
    value[key].as_array().map_or(&[], Vec::as_slice)
}

/// A query and where it is from.
#[derive(Debug)]
pub(crate) struct Query {
    pub(crate) title: String,
    pub(crate) text: String,
}

/// Every query of the dashboard as Grafana would send it with everything chosen: those of panels,
/// of the variables and of annotations.
pub(crate) fn queries() -> Result<Vec<Query>> {
    let dashboard = dashboard()?;
    let mut queries = Vec::new();
    let mut add = |title: &Value, text: &str| {
        let title = title.as_str().unwrap_or_default().to_owned();
        let text = as_sent(text);
        queries.push(Query { title, text });
    };
    for panel in list(&dashboard, "panels") {
        for target in list(panel, "targets") {
            let text = target["expr"].as_str().context("a target without expr")?;
            add(&panel["title"], text);
        }
    }
    for variable in list(&dashboard["templating"], "list") {
        if let Some(text) = variable["query"]["query"].as_str() {
            add(&variable["name"], &of_variable(text)?);
        }
    }
    for annotation in list(&dashboard["annotations"], "list") {
        let text = annotation["expr"].as_str().context("no expr")?;
        add(&annotation["name"], text);
    }
    Ok(queries)
}

/// With the values that Grafana puts in.
fn as_sent(text: &str) -> String {
    let mut text = text.to_owned();
    for (variable, value) in [
        ("$__rate_interval", "1m"),
        ("$__range", "5m"),
        ("$instance", ".*"),
        ("$iface", ".*"),
        ("$service", ".*"),
    ] {
        text = text.replace(variable, value);
    }
    text
}

/// The query behind `label_values(METRIC, LABEL)`, which only Grafana knows.
fn of_variable(text: &str) -> Result<String> {
    let inner = text
        .strip_prefix("label_values(")
        .and_then(|text| text.strip_suffix(')'))
        .with_context(|| format!("`{text}` lists no values"))?;
    let (metric, label) = inner.rsplit_once(", ").context("no label")?;
    Ok(format!("group by ({label}) ({metric})"))
}

#[test]
fn the_dashboard_is_one_that_grafana_takes() -> Result<()> {
    let dashboard = dashboard()?;
    assert_eq!(dashboard["uid"], "guard");
    assert!(
        dashboard["schemaVersion"].as_u64() >= Some(36),
        "is too old"
    );
    assert!(dashboard["id"].is_null(), "an id is one Grafana's own");
    let panels = list(&dashboard, "panels");
    let mut ids = BTreeSet::new();
    let mut taken = BTreeSet::new();
    for panel in panels {
        let title = &panel["title"];
        assert!(
            ids.insert(panel["id"].as_u64().context("no id")?),
            "{title}"
        );
        let place = |key: &str| panel["gridPos"][key].as_u64().context("no place");
        let (x, y, w, h) = (place("x")?, place("y")?, place("w")?, place("h")?);
        assert!(x + w <= WIDTH, "{title} is too wide");
        for cell in (x..x + w).flat_map(|x| (y..y + h).map(move |y| (x, y))) {
            assert!(taken.insert(cell), "{title} lies on another panel");
        }
        if panel["type"] == "row" {
            continue;
        }
        assert!(panel["description"].is_string(), "{title} is not described");
        let targets = list(panel, "targets");
        assert!(!targets.is_empty(), "{title} asks nothing");
        for asks in targets.iter().chain([panel]) {
            assert_eq!(asks["datasource"]["uid"], "${datasource}", "{title}");
        }
        let names: BTreeSet<_> = targets
            .iter()
            .map(|target| target["refId"].as_str())
            .collect();
        assert_eq!(names.len(), targets.len(), "{title}: refId");
    }
    let variables: Vec<_> = list(&dashboard["templating"], "list")
        .iter()
        .map(|variable| variable["name"].as_str().unwrap_or_default())
        .collect();
    assert_eq!(variables, ["datasource", "instance", "iface", "service"]);
    Ok(())
}

#[test]
fn every_variable_of_a_query_is_known() -> Result<()> {
    let queries = queries()?;
    assert!(queries.len() > 30, "the queries were not read");
    for Query { title, text } in queries {
        assert!(!text.contains('$'), "{title}: {text}");
    }
    Ok(())
}
