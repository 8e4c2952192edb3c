//! What is encrypted is left alone; what is not is told, and dropped where that is asked for.

use std::{
    fs,
    net::IpAddr,
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result};
use lab::{
    agent::{Agent, field},
    stage::{CLIENT, CLIENT_V6, OTHER, SERVER, SERVER_V6},
};
use serde_json::Value;

use crate::{
    PLAIN_PORT, Site, TIMED_OUT, connections, dropped, dropped_otherwise, packets, server_for,
    stop, wait_for_event,
};

const CLIENTS: [IpAddr; 2] = [IpAddr::V4(CLIENT), IpAddr::V6(CLIENT_V6)];
/// The state of a socket that waits for callers, as the kernel writes it.
const LISTENS: &str = " 0A ";
/// What curl ends with when the connection is reset.
const RESET: i32 = 56;
/// Longer than a sample of a handshake is put together.
const LONG: Duration = Duration::from_secs(20);
/// Sooner than any segment is sent again.
const AT_ONCE: Duration = Duration::from_millis(900);
const SECRET: &str = "c0ffee-4b1d-5ec2e7";

#[test]
fn https_passes_and_counts_as_tls() -> Result<()> {
    let site = Site::new()?;
    let agent = site.guard(&["--xdp-mode", "native"])?;
    for client in CLIENTS {
        let answer = site.https(client)?;
        assert!(answer.is_ok(), "{client}: {answer:?}");
    }
    assert_eq!(connections(&agent, "api", "encrypted", 2)?, 2);
    assert_eq!(connections(&agent, "api", "plaintext_served", 0)?, 0);
    assert_eq!(packets(&agent, "pass", "plaintext")?, 0);
    assert_eq!(dropped(&agent)?, 0);
    assert_eq!(agent.log().with("event", "plaintext").count(), 0);
    stop(agent)
}

#[test]
fn plain_http_is_served_and_told_without_its_secrets() -> Result<()> {
    let site = Site::new()?;
    let agent = site.guard(&[])?;
    for client in CLIENTS {
        let curl = site.curl(client);
        let curl = curl.header(&format!("Authorization: Bearer {SECRET}"));
        let answer = curl.http(server_for(client), PLAIN_PORT, "/v1/orders")?;
        assert!(answer.is_ok(), "flagged, not dropped: {answer:?}");
        assert_event(&agent, client)?;
    }
    assert_eq!(connections(&agent, "api", "plaintext_served", 2)?, 2);
    assert_eq!(packets(&agent, "pass", "plaintext")?, 2);
    assert_eq!(dropped(&agent)?, 0);
    assert_secret_is_nowhere(&agent)?;
    stop(agent)
}

fn assert_event(agent: &Agent, client: IpAddr) -> Result<()> {
    let event = wait_for_event(agent, "plaintext", client)?;
    let says = |name: &str| field(&event, name).and_then(|value| value.as_str());
    assert_eq!(says("service"), Some("api"), "{event}");
    assert_eq!(says("protocol"), Some("http1"), "{event}");
    assert_eq!(says("verdict"), Some("pass"), "{event}");
    let port = field(&event, "port").and_then(Value::as_u64);
    assert_eq!(port, Some(PLAIN_PORT.into()), "{event}");
    let request = says("request").unwrap_or_default();
    assert!(request.contains("GET /v1/orders"), "{event}");
    let credentials = says("credentials").unwrap_or_default();
    assert!(credentials.to_lowercase().contains("bearer"), "{event}");
    Ok(())
}

fn assert_secret_is_nowhere(agent: &Agent) -> Result<()> {
    let status = agent.status()?.to_string();
    let table = String::from_utf8(agent.cli(&["status"])?.stdout)?;
    let metrics = agent.get("/metrics")?.body;
    let log = agent.log();
    for text in [&status, &table, &metrics, log.text()] {
        assert!(!text.contains(SECRET), "{text}");
    }
    Ok(())
}

#[test]
fn a_secret_in_the_path_is_not_told() -> Result<()> {
    let site = Site::new()?;
    let agent = site.guard(&[])?;
    let path = format!("/v1/orders?access_token={SECRET}&page=2");
    let answer = site
        .curl(CLIENT.into())
        .http(SERVER.into(), PLAIN_PORT, &path)?;
    assert!(answer.is_ok(), "{answer:?}");
    wait_for_event(&agent, "plaintext", CLIENT)?;
    assert_secret_is_nowhere(&agent)?;
    stop(agent)
}

#[test]
fn plaintext_is_dropped_where_that_is_asked_for() -> Result<()> {
    let site = Site::new()?;
    let agent = site.guard(&["--on-plaintext", "drop"])?;
    for client in CLIENTS {
        assert_eq!(site.http_in_vain(client)?.exit, TIMED_OUT, "{client}");
        let event = wait_for_event(&agent, "plaintext", client)?;
        assert_eq!(
            field(&event, "verdict").and_then(|v| v.as_str()),
            Some("drop")
        );
        assert!(site.https(client)?.is_ok(), "HTTPS lives: {client}");
    }
    let plaintext = packets(&agent, "drop", "plaintext")?;
    assert!(plaintext >= 2, "{plaintext}");
    assert_eq!(dropped_otherwise(&agent, "plaintext")?, 0);
    assert_eq!(packets(&agent, "pass", "plaintext")?, 0);
    stop(agent)
}

/// The latest events, once one is of this kind.
fn events_with(agent: &Agent, kind: &str) -> Result<Vec<Value>> {
    let deadline = Instant::now() + LONG;
    loop {
        let said = agent.cli(&["events", "--output", "json"])?.stdout;
        let events: Vec<Value> = serde_json::from_slice(&said)?;
        if events.iter().any(|event| event["event"] == kind) || Instant::now() > deadline {
            return Ok(events);
        }
        thread::sleep(Duration::from_millis(200));
    }
}

#[test]
fn credentials_are_told_apart_without_being_told() -> Result<()> {
    let site = Site::new()?;
    let agent = site.guard(&[])?;
    for token in [SECRET, SECRET, "another-4711-token"] {
        let curl = site.curl(CLIENT.into());
        let curl = curl.header(&format!("Authorization: Bearer {token}"));
        let answer = curl.http(SERVER.into(), PLAIN_PORT, "/v1/orders")?;
        assert!(answer.is_ok(), "{answer:?}");
    }
    let labels = [("service", "api"), ("scheme", "bearer")];
    let deadline = Instant::now() + LONG;
    let exposed = || -> Result<u64> {
        let metrics = agent.metrics()?;
        Ok(metrics.count("guard_credentials_exposed_total", &labels))
    };
    while exposed()? < 3 && Instant::now() < deadline {
        thread::sleep(Duration::from_millis(100));
    }
    assert_eq!(exposed()?, 3);
    let events = events_with(&agent, "plaintext")?;
    let marks: Vec<_> = events
        .iter()
        .filter(|event| event["event"] == "plaintext")
        .map(|event| event["credentials"][0]["mark"].clone())
        .collect();
    assert_eq!(marks.len(), 3, "{events:?}");
    assert!(marks[0].is_string() && marks[0] == marks[1] && marks[1] != marks[2]);
    let table = String::from_utf8(agent.cli(&["events"])?.stdout)?;
    assert!(table.contains("plaintext pass: GET /v1/orders"), "{table}");
    assert!(
        table.contains("connection plaintext_served, client spoke first"),
        "{table}"
    );
    assert_secret_is_nowhere(&agent)?;
    assert!(!table.contains(SECRET), "{table}");
    stop(agent)
}

#[test]
fn a_sampled_handshake_tells_version_cipher_and_name() -> Result<()> {
    let site = Site::new()?;
    let agent = site.guard(&[])?;
    assert!(site.https(CLIENT)?.is_ok());
    let events = events_with(&agent, "tls")?;
    let told = events.iter().find(|event| event["event"] == "tls");
    let facts = &told.context("no handshake was told")?["facts"];
    assert_eq!(facts["version"], "tls1.2", "{facts}");
    let cipher = facts["cipher"].as_str().unwrap_or_default();
    assert!(cipher.starts_with("TLS_"), "{facts}");
    let ja4 = facts["ja4"].as_str().unwrap_or_default();
    assert!(ja4.starts_with("t13"), "{facts}");
    let status = agent.status()?;
    assert_eq!(status["services"][0]["tls"]["versions"]["tls1.2"], 1);
    let labels = [("service", "api"), ("version", "tls1.2")];
    let sampled = agent
        .metrics()?
        .count("guard_tls_handshakes_sampled_total", &labels);
    assert_eq!(sampled, 1);
    stop(agent)
}

#[test]
fn plaintext_is_reset_at_both_ends_where_that_is_asked_for() -> Result<()> {
    let site = Site::new()?;
    let agent = site.guard(&["--on-plaintext", "reset"])?;
    for client in CLIENTS {
        let start = Instant::now();
        let answer = site.http(client)?;
        assert_eq!(answer.exit, RESET, "{client}: {answer:?}");
        assert!(start.elapsed() < AT_ONCE, "{client}: {:?}", start.elapsed());
        let event = wait_for_event(&agent, "plaintext", client)?;
        let verdict = field(&event, "verdict").and_then(|v| v.as_str());
        assert_eq!(verdict, Some("reset"));
        assert!(site.https(client)?.is_ok(), "HTTPS lives: {client}");
    }
    assert_eq!(packets(&agent, "reset", "plaintext")?, 2);
    assert_eq!(dropped(&agent)?, 0);
    assert_eq!(connections(&agent, "api", "rejected", 2)?, 2);
    assert_eq!(connections(&agent, "api", "encrypted", 2)?, 2);
    // The server's ends are gone too: in no state but LISTEN and, of HTTPS, TIME-WAIT.
    let sockets = site
        .stage
        .host()
        .run(|| Ok(fs::read_to_string("/proc/thread-self/net/tcp")?))?;
    let local = format!(":{PLAIN_PORT:04X}");
    let of_port = |line: &&str| {
        line.split_whitespace()
            .nth(1)
            .is_some_and(|end| end.ends_with(&local))
    };
    let open = sockets
        .lines()
        .filter(of_port)
        .filter(|line| !line.contains(LISTENS));
    assert_eq!(open.count(), 0, "{sockets}");
    stop(agent)
}

#[test]
fn services_differ_in_what_they_demand() -> Result<()> {
    let site = Site::new()?;
    let agent = site.guard_configured(
        r#"
        interfaces = ["eth0"]
        [[service]]
        name = "strict"
        ports = [8443]
        on_plaintext = "drop"
        [[service]]
        name = "mixed"
        ports = [8080]
        encryption = "optional"
        [[service]]
        name = "legacy"
        ports = ["9000-9010"]
        encryption = "off"
        "#,
    )?;
    assert!(site.https(CLIENT)?.is_ok());
    assert!(site.http(CLIENT)?.is_ok(), "optional");
    let refused = site.curl(OTHER.into()).http(SERVER.into(), 9005, "/")?;
    assert_eq!(refused.exit, 7, "nobody listens there: {refused:?}");
    assert_eq!(connections(&agent, "strict", "encrypted", 1)?, 1);
    let served = connections(&agent, "mixed", "plaintext_served", 1)?;
    assert_eq!(served, 1, "counted all the same");
    assert_eq!(packets(&agent, "pass", "plaintext")?, 0, "but not flagged");
    let strict = site.curl(CLIENT_V6.into()).timeout(crate::IN_VAIN);
    let strict = strict.http(SERVER_V6.into(), crate::TLS_PORT, "/")?;
    assert_eq!(strict.exit, TIMED_OUT, "plaintext to the strict one");
    let names = agent.status()?["services"].clone();
    let names: Vec<_> = names.as_array().into_iter().flatten().collect();
    assert_eq!(names.len(), 3, "{names:?}");
    stop(agent)
}
