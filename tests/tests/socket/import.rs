//! `guard allow import` and `guard deny import`.

use std::{fmt::Write as _, fs, io::Write as _, process::Stdio};

use anyhow::{Context as _, Result};
use lab::{
    agent::{Agent, binary},
    stage::Stage,
};
use serde_json::Value;

use crate::{FLAGS, said};

/// Addresses of a long list.
const MANY: u64 = 100_000;

fn in_force(agent: &Agent, list: &str) -> Result<u64> {
    let status = agent.status()?;
    let lists = status["rules"].as_array().context("the lists")?;
    let counts = lists.iter().find(|counts| counts["list"] == list);
    counts.context("the list")?["in_force"]
        .as_u64()
        .context("a count")
}

fn explained(agent: &Agent, source: &str) -> Result<String> {
    let output = agent.cli(&["explain", source])?;
    Ok(String::from_utf8(output.stdout)?)
}

#[test]
fn a_list_of_a_hundred_thousand_lines_is_imported_and_survives() -> Result<()> {
    let stage = Stage::new()?;
    let agent = Agent::start(stage.host(), &FLAGS)?;
    let file = agent.folder().join("list");
    let mut text = "# a long list\n".to_owned();
    for number in 0..MANY {
        let address = std::net::Ipv4Addr::from(0xc612_0000 + number as u32);
        writeln!(text, "{address} # number {number}")?;
    }
    fs::write(&file, &text)?;
    let file = file.to_string_lossy().into_owned();
    let imported = agent.cli(&["deny", "import", &file, "--for", "1h", "--reason", "list"])?;
    assert_eq!(imported.status.code(), Some(0), "{}", said(&imported));
    assert_eq!(in_force(&agent, "deny")?, MANY);
    let last = "198.19.134.159";
    assert!(explained(&agent, last)?.contains("number 99999"), "{last}");
    // All of it again changes nothing.
    let again = agent.cli(&["deny", "import", &file])?;
    assert_eq!(again.status.code(), Some(0), "{}", said(&again));
    assert_eq!(in_force(&agent, "deny")?, MANY);

    let stopped = agent.stop()?;
    let agent = Agent::start_in(stage.host(), stopped.folder, &FLAGS)?;
    assert_eq!(in_force(&agent, "deny")?, MANY);
    agent.stop()?;
    Ok(())
}

#[test]
fn a_list_is_read_from_standard_input() -> Result<()> {
    let stage = Stage::new()?;
    let agent = Agent::start(stage.host(), &FLAGS)?;
    let mut command = stage.host().command(binary()?);
    lab::agent::without_settings(&mut command);
    command
        .args(["allow", "import", "-", "--reason", "ours", "--socket"])
        .arg(agent.folder().socket())
        .stdin(Stdio::piped())
        .stderr(Stdio::piped());
    let mut child = command.spawn()?;
    let mut input = child.stdin.take().context("its input")?;
    input.write_all(b"192.0.2.0/24\n2001:db8::/32 # theirs\n198.51.100.0-198.51.100.2\n")?;
    drop(input);
    let output = child.wait_with_output()?;
    assert_eq!(output.status.code(), Some(0), "{}", said(&output));
    let listed = agent.cli(&["allow", "list", "-o", "json"])?;
    let listed: Vec<Value> = serde_json::from_slice(&listed.stdout)?;
    let told: Vec<_> = listed
        .iter()
        .map(|entry| (entry["cidr"].as_str(), entry["reason"].as_str()))
        .collect();
    assert_eq!(
        told,
        [
            (Some("192.0.2.0/24"), Some("ours")),
            (Some("198.51.100.0/31"), Some("ours")),
            (Some("198.51.100.2/32"), Some("ours")),
            (Some("2001:db8::/32"), Some("theirs")),
        ]
    );
    agent.stop()?;
    Ok(())
}

#[test]
fn nothing_of_a_list_that_is_not_right_is_taken() -> Result<()> {
    let stage = Stage::new()?;
    let agent = Agent::start(stage.host(), &FLAGS)?;
    let file = agent.folder().join("list");
    let name = file.to_string_lossy().into_owned();
    for (text, part) in [
        (
            &b"192.0.2.7\nx\x1b[2J\n192.0.2.8/24\n"[..],
            "list:2: `x\\u{1b}[2J` is not an IP address",
        ),
        (
            b"192.0.2.7\n192.0.2.8/24\n",
            "list:2: `192.0.2.8/24` has bits set",
        ),
        (b"", "there is no entry in it"),
        (b"# nothing\n", "there is no entry in it"),
        (b"0.0.0.0/0\n", "list:1: `0.0.0.0/0` is everyone"),
        (b"10.0.0.0/7\n", "`add` it by hand"),
        (b"<html><body>192.0.2.7</body></html>\n", "a web page"),
        (b"192.0.2.7\n\0\n", "this is no text"),
    ] {
        fs::write(&file, text)?;
        let refused = agent.cli(&["deny", "import", &name])?;
        assert_eq!(refused.status.code(), Some(2), "{}", said(&refused));
        assert!(said(&refused).contains(part), "{}", said(&refused));
        assert!(said(&refused).starts_with("guard: "), "{}", said(&refused));
    }
    fs::remove_file(&file)?;
    let missing = agent.cli(&["deny", "import", &name])?;
    assert_eq!(missing.status.code(), Some(2));
    assert!(said(&missing).contains("cannot read"), "{}", said(&missing));
    assert_eq!(in_force(&agent, "deny")?, 0);
    agent.stop()?;
    Ok(())
}
