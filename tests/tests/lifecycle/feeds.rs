//! Lists of others in a running agent: what they say, what goes before them, and what is no list.

use std::{fs, net::Ipv4Addr};

use anyhow::{Context as _, Result};
use lab::{
    agent::{Agent, Folder, field},
    counters::SourceCounter,
    flood::Flood,
    stage::{CLIENT, INTERFACE, SERVER, Stage},
};
use nix::sys::signal::Signal;
use serde_json::{Value, json};

use crate::reload::{cli, reaches, wait_until};

const CONFIGURATION: &str = "\
    interfaces = [\"eth0\"]\n[[feed]]\nname = \"drop-list\"\nfile = \"drop.netset\"\n\
    [[feed]]\nname = \"other\"\nfile = \"other.netset\"\n";

/// An agent with these lists as its feeds.
fn start(stage: &Stage, drop: &str, other: &str) -> Result<Agent> {
    let folder = Folder::new()?;
    let file = folder.join("guard.toml");
    fs::write(&file, CONFIGURATION)?;
    fs::write(folder.join("drop.netset"), drop)?;
    fs::write(folder.join("other.netset"), other)?;
    let file = file.to_string_lossy().into_owned();
    Agent::start_in(stage.host(), folder, &["--config", &file])
}

/// What the status says of the rules of feeds.
fn feeds(agent: &Agent) -> Result<Value> {
    let status = agent.status()?;
    let rules = status["rules"].as_array().cloned().unwrap_or_default();
    let feeds = rules.into_iter().find(|list| list["list"] == "feed");
    Ok(feeds.unwrap_or_default())
}

#[test]
fn a_feed_is_in_force_beneath_what_the_operator_says() -> Result<()> {
    let stage = Stage::new()?;
    let list = format!("# listed\r\n{CLIENT} ; why\r\n198.51.100.0/24\r\n2001:db8:bad::/48\r\n");
    // What both list counts once, and the host's own address is nobody else's.
    let other = format!("{CLIENT}\n198.51.100.0-198.51.100.255\n192.0.2.1\n{SERVER}\n");
    let agent = start(&stage, &list, &other)?;
    let expected = json!({"list": "feed", "configured": 5, "in_force": 4, "missing": 0});
    assert_eq!(feeds(&agent)?, expected);
    let metrics = agent.metrics()?;
    let feed = [("list", "feed")];
    assert_eq!(metrics.value("guard_rules", &feed), Some(4.0));
    assert_eq!(metrics.value("guard_rules_configured", &feed), Some(5.0));

    assert!(!reaches(&stage)?);
    let client = CLIENT.to_string();
    let explained = cli(&agent, &["explain", &client, "-o", "json"])?;
    let explained: Value = serde_json::from_str(&explained)?;
    assert_eq!(
        (&explained["verdict"], &explained["reason"]),
        (&json!("drop"), &json!("feed"))
    );
    let entry = &explained["entries"][0];
    assert_eq!(
        (&entry["list"], &entry["feed"]),
        (&json!("feed"), &json!("drop-list"))
    );
    let dropped = agent
        .metrics()?
        .count("guard_packets_total", &[("reason", "feed")]);
    assert!(dropped > 0);
    assert_eq!(entry["packets"], dropped, "{explained}");

    // The same network, and a wider one: what the feed says comes back after either.
    for allowed in [client.as_str(), "203.0.113.0/24"] {
        cli(&agent, &["allow", "add", allowed])?;
        assert!(reaches(&stage)?, "{allowed}");
        let explained = cli(&agent, &["explain", &client])?;
        assert!(explained.contains("pass (allow)"), "{explained}");
        cli(&agent, &["allow", "remove", allowed])?;
        assert!(!reaches(&stage)?, "{allowed}");
        assert_eq!(feeds(&agent)?, expected, "{allowed}");
    }
    // Also when the agent has started anew in between.
    cli(&agent, &["allow", "add", &client])?;
    cli(&agent, &["reload"])?;
    assert!(reaches(&stage)?);
    cli(&agent, &["allow", "remove", &client])?;
    assert!(!reaches(&stage)?);
    agent.stop()?;
    Ok(())
}

/// Reloads what is no list, which is told in this way to all who may look.
fn assert_the_old_one_stays(agent: &Agent, said: &str) -> Result<()> {
    let name = agent.folder().join("drop.netset").display().to_string();
    let refused = agent.cli(&["reload"])?;
    let error = String::from_utf8_lossy(&refused.stderr).into_owned();
    assert_eq!(refused.status.code(), Some(2), "{error}");
    let status = agent.status()?["last_reload_error"].clone();
    let is_told = |told: &Value| {
        let told = told.as_str().unwrap_or_default();
        told.contains(said) && told.contains(&name)
    };
    assert!(is_told(&status), "{status}");
    assert!(is_told(&error.clone().into()), "{error}");
    wait_until(|| {
        let log = agent.log();
        let mut errors = log.with("level", "ERROR");
        Ok(errors.any(|line| field(&line, "error").is_some_and(is_told)))
    })
    .context("the log does not say it")?;
    assert_eq!(feeds(agent)?["in_force"], 2);
    let metrics = agent.metrics()?;
    let successful = metrics.value("guard_config_last_reload_successful", &[]);
    assert_eq!(successful, Some(0.0));
    Ok(())
}

#[test]
fn what_is_no_list_leaves_the_old_one_in_force() -> Result<()> {
    let stage = Stage::new()?;
    let agent = start(&stage, &format!("{CLIENT}\n"), "192.0.2.1")?;
    let file = agent.folder().join("drop.netset");
    for (bytes, said) in [
        (&b""[..], "there is no entry in it"),
        (b"<!doctype html>\n<p>Not found", "a web page"),
        (b"\x1f\x8b\x08\0\0\0", "this is no text"),
        (
            b"192.0.2.1\nnot an address\n",
            "drop.netset:2: `not an address` is not",
        ),
        (
            b"192.0.2.1\n\n0.0.0.0/0",
            "drop.netset:3: `0.0.0.0/0` is everyone",
        ),
        (
            b"192.0.2.1/24",
            "drop.netset:1: `192.0.2.1/24` has bits set",
        ),
    ] {
        fs::write(&file, bytes)?;
        assert_the_old_one_stays(&agent, said)?;
        assert!(!reaches(&stage)?);
    }
    fs::File::create(&file)?.set_len((256 << 20) + 1)?;
    assert_the_old_one_stays(&agent, "larger than 256 MiB")?;
    assert!(!reaches(&stage)?);

    // One that holds the host's own address is a list, of which that is not in force.
    fs::write(&file, format!("{CLIENT}\n{SERVER}\n192.0.2.4\n"))?;
    let taken = agent.cli(&["reload"])?;
    let told = String::from_utf8(taken.stderr)?;
    assert!(taken.status.success(), "{told}");
    let own = "the feed drop-list has an entry that holds an address of this host";
    let warnings = agent.status()?["warnings"].to_string();
    for told in [told, warnings] {
        assert!(told.contains(own), "{told}");
    }
    wait_until(|| Ok(agent.log().text().contains(own)))?;
    assert_eq!(feeds(&agent)?["in_force"], 3);
    assert!(!reaches(&stage)?);
    fs::write(&file, "192.0.2.2\n192.0.2.3\n")?;
    nix::sys::signal::kill(
        nix::unistd::Pid::from_raw(agent.status()?["pid"].as_i64().unwrap_or(0) as i32),
        Signal::SIGHUP,
    )?;
    wait_until(|| Ok(feeds(&agent)?["in_force"] == 3))?;
    assert!(reaches(&stage)?);
    agent.stop()?;
    Ok(())
}

/// The `number`th of many lists that all hold 203.0.113.0/24.
fn list(number: usize) -> String {
    let mut lines: Vec<String> = match number % 3 {
        0 => (0..256).map(|host| format!("203.0.113.{host}")).collect(),
        1 => vec!["203.0.113.0/24".to_owned()],
        _ => vec![
            "203.0.112.0-203.0.113.127".to_owned(),
            "203.0.113.128/25".to_owned(),
        ],
    };
    let others = (0..number % 4 * 2_000).map(|other| {
        let address = Ipv4Addr::from_bits(0xc612_0000 + other as u32 * 37);
        match other % 3 {
            0 => format!("{}/29", Ipv4Addr::from_bits(address.to_bits() & !7)),
            _ => address.to_string(),
        }
    });
    lines.extend(others);
    lines.join("\n")
}

#[test]
fn no_packet_meets_half_a_feed_or_none_while_it_is_replaced() -> Result<()> {
    const RELOADS: usize = 9;
    let stage = Stage::new()?;
    let agent = start(&stage, &list(0), "192.0.2.1")?;
    let arrived = SourceCounter::attach(&stage.server)?;
    let first = Ipv4Addr::new(203, 0, 113, 0);
    let frame = stage.packet(first.into()).udp(4000, 9).payload([0; 18]);
    let flood = Flood {
        sources: 256,
        rate_pps: Some(100_000),
        ..Flood::new(frame.build(), u64::MAX)
    };
    let flood = flood.start(&stage.client)?;
    for number in 1..=RELOADS {
        fs::write(agent.folder().join("drop.netset"), list(number))?;
        cli(&agent, &["reload"])?;
        // Entries of the running agent in the midst of it, which are cut anew with it.
        for change in ["add", "remove"] {
            cli(&agent, &["deny", change, "203.0.113.64/26", "203.0.113.77"])?;
        }
    }
    flood.stop();
    let sent = flood.wait()?.frames;
    let passed = arrived.received()?.into_iter();
    let passed: Vec<_> = passed
        .filter(|(from, _)| from.octets()[..3] == [203, 0, 113])
        .collect();
    assert_eq!(passed, [], "of {sent} came through");
    let metrics = agent.metrics()?;
    let dropped = metrics.count("guard_packets_total", &[("reason", "feed")]);
    assert!(dropped > 10_000, "{dropped} of {sent}");
    agent.stop()?;
    Ok(())
}

#[test]
fn a_feed_can_be_read_by_whoever_checks() -> Result<()> {
    // `guard check` and `guard run` name the same line.
    let folder = Folder::new()?;
    fs::write(folder.join("guard.toml"), CONFIGURATION)?;
    fs::write(folder.join("drop.netset"), "192.0.2.1\n")?;
    fs::write(folder.join("other.netset"), "192.0.2.2\nwho?\n")?;
    let stage = Stage::new()?;
    let file = folder.join("guard.toml").to_string_lossy().into_owned();
    let checked = lab::agent::command(&["check", "--config", &file])?.output()?;
    let said = String::from_utf8(checked.stderr)?;
    assert_eq!(checked.status.code(), Some(2));
    assert!(
        said.contains("other.netset:2: `who?` is not an IP address"),
        "{said}"
    );
    let run = Agent::spawn_in(
        stage.host(),
        folder,
        &["--iface", INTERFACE, "--config", &file],
    )?;
    let ended = run.wait(crate::PATIENCE)?;
    assert_eq!(ended.status.code(), Some(2), "{}", ended.log.text());
    assert!(
        ended.log.text().contains("other.netset:2: `who?`"),
        "{}",
        ended.log.text()
    );
    Ok(())
}
