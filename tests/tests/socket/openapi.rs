//! The agent against the document that describes it.

use std::{collections::BTreeSet, process::Command};

use anyhow::Result;
use lab::{agent::Agent, control, control::Forwarder, python, stage::Stage};
use serde_json::Value;

use crate::FLAGS;

/// Requests of an operation, at most.
const EXAMPLES: &str = "20";
/// What is not asked of the answers: that whatever the document allows is done. That a network has
/// no bits beyond its prefix length, or an address is banned, it cannot say.
const NOT_CHECKED: &str = "positive_data_acceptance";

#[test]
fn the_agent_answers_as_its_openapi_document_says() -> Result<()> {
    let stage = Stage::new()?;
    let agent = Agent::start(stage.host(), &FLAGS)?;
    let forwarder = Forwarder::start(stage.host(), agent.folder().socket())?;
    let url = format!("http://{}", forwarder.address());
    let mut command: Command = stage.host().command(python::program("schemathesis")?);
    command
        .args(["run", &format!("{url}/v1/openapi.json"), "--url", &url])
        // That one never ends.
        .args(["--exclude-path", "/v1/events/stream"])
        .args(["--checks", "all", "--exclude-checks", NOT_CHECKED])
        .args(["--phases", "examples,coverage,fuzzing"])
        .args(["--max-examples", EXAMPLES, "--seed", "1", "--no-shrink"])
        .args(["--suppress-health-check", "all", "--request-timeout", "30"])
        .args(["--generation-database", "none", "--no-color"])
        .current_dir(agent.folder().join(""));
    let output = command.output()?;
    let said = String::from_utf8_lossy(&output.stdout);
    let more = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{said}\n{more}");
    assert!(said.contains("Tested: 11"), "all but that one: {said}");
    // It has protected all the while, and every change that was asked for is written down.
    let ready = agent.get("/readyz")?;
    assert_eq!(ready.status, 200, "{}", agent.log().text());
    let audit = std::fs::read_to_string(agent.folder().state().join("audit.log"))?;
    let changes = audit
        .lines()
        .filter(|line| line.contains("\"outcome\":\"done\""));
    assert!(changes.count() > 0, "{audit}");
    agent.stop()?;
    Ok(())
}

#[test]
fn real_answers_are_those_of_the_document_too() -> Result<()> {
    let stage = Stage::new()?;
    let agent = Agent::start(stage.host(), &FLAGS)?;
    let socket = agent.folder().socket();
    let edit = r#"{"list":"deny","add":["192.0.2.7",{"cidr":"2001:db8:1::/48","reason":"a"}]}"#;
    let done = control::ask(&socket, "POST", "/v1/entries", Some(edit))?;
    assert_eq!((done.status, &*done.body), (200, "{\"warnings\":[]}"));
    let listed = control::ask(&socket, "GET", "/v1/entries/deny", None)?;
    let listed: Vec<Value> = serde_json::from_str(&listed.body)?;
    let told: Vec<_> = listed
        .iter()
        .map(|entry| (entry["cidr"].as_str(), entry["reason"].as_str()))
        .collect();
    let (single, net) = (Some("192.0.2.7/32"), Some("2001:db8:1::/48"));
    assert_eq!(told, [(single, None), (net, Some("a"))]);
    // Everything that there is to say is described: see `additionalProperties` in the document.
    let document = control::ask(&socket, "GET", "/v1/openapi.json", None)?;
    let document: Value = serde_json::from_str(&document.body)?;
    let described = document["components"]["schemas"]["Status"]["properties"].as_object();
    let described = described.expect("the fields of a status");
    let status = agent.status()?;
    let status = status.as_object().expect("a status");
    let names = |fields: &serde_json::Map<String, Value>| fields.keys().cloned().collect();
    let (described, told): (BTreeSet<_>, BTreeSet<_>) = (names(described), names(status));
    assert_eq!(described, told);
    agent.stop()?;
    Ok(())
}
