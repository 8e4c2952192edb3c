//! Who is banned, and who is not, on real connections.

use std::{
    fs, thread,
    time::{Duration, Instant},
};

use anyhow::{Result, ensure};
use lab::{
    agent::{Agent, Folder},
    flood::Flood,
    frames::tcp,
    greedy::Greedy,
    stage::{CLIENT, SERVER},
};
use serde_json::Value;

use crate::{PATIENCE, Site, TLS_PORT, packets, stop, wait_for_packets};

const SINK: u16 = 9000;
/// Bans that outlast the test, but for those that it waits for.
pub(crate) const CONFIGURATION: &str = r#"
    interfaces = ["eth0"]
    [limits]
    packets = "200/s"
    ban = { after = "1s", for = "1h", max = "2h" }
"#;

/// Connections of the client that send all they can.
pub(crate) fn be_greedy(site: &Site) -> Result<Greedy> {
    Greedy::start(&site.stage, CLIENT.into(), (SERVER, SINK).into())
}

fn start(site: &Site, folder: Folder) -> Result<Agent> {
    let file = folder.join("guard.toml");
    fs::write(&file, CONFIGURATION)?;
    let flags = ["--config", &file.to_string_lossy()];
    Agent::start_in(site.stage.host(), folder, &flags)
}

pub(crate) fn bans(agent: &Agent) -> Result<Vec<Value>> {
    let output = agent.cli(&["bans", "--output", "json"])?;
    ensure!(output.status.success(), "{output:?}");
    Ok(serde_json::from_slice(&output.stdout)?)
}

pub(crate) fn wait_for_a_ban(agent: &Agent) -> Result<Value> {
    let deadline = Instant::now() + PATIENCE;
    loop {
        if let Some(ban) = bans(agent)?.pop() {
            return Ok(ban);
        }
        ensure!(Instant::now() < deadline, "nobody is banned");
        thread::sleep(Duration::from_millis(50));
    }
}

#[test]
fn a_ban_holds_is_shown_survives_a_restart_and_can_be_ended() -> Result<()> {
    let site = Site::new()?;
    let agent = start(&site, Folder::new()?)?;
    let greedy = be_greedy(&site)?;
    let ban = wait_for_a_ban(&agent)?;
    let kept = fs::read_to_string(agent.folder().state().join("bans.json"))?;
    assert!(kept.contains(&format!("{CLIENT}/32")), "at once: {kept}");
    drop(greedy);
    assert_eq!(ban["source"], format!("{CLIENT}/32"));
    assert_eq!(ban["times"], 1);
    let lasts = ban["until"].as_u64().zip(ban["since"].as_u64());
    assert_eq!(lasts.map(|(until, since)| until - since), Some(3600));
    assert!(!site.https_in_vain(CLIENT)?.is_ok());
    assert!(wait_for_packets(&agent, "drop", "ban", 1)? > 0);
    assert_eq!(agent.metrics()?.count("guard_bans", &[]), 1);
    let explained = agent.cli(&["explain", &CLIENT.to_string()])?;
    let explained = String::from_utf8_lossy(&explained.stdout).into_owned();
    assert!(explained.contains("drop (ban)"), "{explained}");

    let stopped = agent.stop()?;
    let told = stopped.log.with("event", "ban").count();
    assert_eq!(told, 1, "{}", stopped.log.text());
    let agent = start(&site, stopped.folder)?;
    assert_eq!(bans(&agent)?, [ban]);
    assert!(!site.https_in_vain(CLIENT)?.is_ok());
    assert!(wait_for_packets(&agent, "drop", "ban", 1)? > 0);

    let stranger = agent.cli(&["unban", "198.51.100.1"])?;
    assert_eq!(stranger.status.code(), Some(1));
    let said = String::from_utf8_lossy(&stranger.stderr).into_owned();
    assert!(said.contains("198.51.100.1 is not banned"), "{said}");
    let output = agent.cli(&["unban", &CLIENT.to_string()])?;
    ensure!(output.status.success(), "{output:?}");
    assert_eq!(bans(&agent)?, Vec::<Value>::new());
    assert!(site.https(CLIENT)?.is_ok());
    stop(agent)
}

#[test]
fn a_forged_flood_bans_nobody() -> Result<()> {
    let site = Site::new()?;
    let agent = start(&site, Folder::new()?)?;
    // A connection that is there all the time, and behaves.
    assert!(site.https(CLIENT)?.is_ok());
    let forged = [
        site.stage.packet(CLIENT.into()).udp(4000, 9).build(),
        site.stage
            .packet(CLIENT.into())
            .tcp(4000, TLS_PORT)
            .flags(tcp::ACK | tcp::PSH)
            .payload("x")
            .build(),
    ];
    for frame in forged {
        let flood = Flood {
            // Some of them hit the port of a connection.
            ports: 1 << 16,
            rate_pps: Some(20_000),
            ..Flood::new(frame, 60_000)
        };
        let flood = flood.start(&site.stage.client)?;
        let _ = site.https_in_vain(CLIENT)?;
        flood.wait()?;
    }
    assert!(packets(&agent, "drop", "limit_packets")? > 50_000);
    assert_eq!(bans(&agent)?, Vec::<Value>::new());
    assert!(site.https(CLIENT)?.is_ok(), "after the flood");
    stop(agent)
}
