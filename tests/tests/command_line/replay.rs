//! `guard replay`: captures through the real kernel programs.

use std::{fs, path::PathBuf, process::Command, time::Duration};

use anyhow::Result;
use lab::{
    agent,
    frames::{Packet, tcp},
    pcap,
    scratch::Scratch,
};
use serde_json::Value;

use crate::{Ended, end_of, guard};

const CLIENT: &str = "203.0.113.7";
const OTHER: &str = "203.0.113.8";
const SERVER: &str = "198.51.100.1";
const PORT: u16 = 8443;

const CONFIGURATION: &str = r#"
    deny = [{ cidr = "203.0.113.8/32" }]
    [limits]
    packets = "3/s"
    [[service]]
    name = "orders"
    ports = [8443]
    on_plaintext = "drop"
"#;

/// A folder with a capture and a configuration in it.
struct Case {
    capture: PathBuf,
    configuration: PathBuf,
    _scratch: Scratch,
}

impl Case {
    fn new(frames: Vec<(u64, Packet)>) -> Result<Self> {
        let scratch = Scratch::new()?;
        let (capture, configuration) = (scratch.join("x.pcap"), scratch.join("guard.toml"));
        let frames = frames.into_iter().map(|(milliseconds, packet)| {
            let time = Duration::from_secs(1_700_000_000) + Duration::from_millis(milliseconds);
            (time, packet.build().to_vec())
        });
        fs::write(&capture, pcap::file(frames))?;
        fs::write(&configuration, CONFIGURATION)?;
        Ok(Self {
            capture,
            configuration,
            _scratch: scratch,
        })
    }

    fn replay(&self, flags: &[&str]) -> Result<Ended> {
        let (capture, configuration) = (&self.capture, &self.configuration);
        let mut command = agent::command(&["replay"])?;
        command.arg(capture).arg("--config").arg(configuration);
        end_of(command.args(flags))
    }
}

fn to_server(source: &str, flags: u8, payload: &str) -> Packet {
    let numbers = if flags == tcp::SYN { (6, 0) } else { (7, 9) };
    Packet::ipv4(source, SERVER)
        .tcp(40_000, PORT)
        .flags(flags)
        .sequence(numbers.0, numbers.1)
        .payload(payload)
}

fn from_server(flags: u8) -> Packet {
    Packet::ipv4(SERVER, CLIENT)
        .tcp(PORT, 40_000)
        .flags(flags)
        .sequence(8, 7)
}

/// A connection with a plaintext request, a denied source, a burst and what comes after a rest.
fn conversation() -> Vec<(u64, Packet)> {
    let request = "GET /v1/orders HTTP/1.1\r\nHost: api\r\n\r\n";
    let mut frames = vec![
        (0, to_server(CLIENT, tcp::SYN, "")),
        (1, from_server(tcp::SYN | tcp::ACK)),
        (2, to_server(CLIENT, tcp::ACK, request)),
        (3, to_server(OTHER, tcp::SYN, "")),
        (4, Packet::arp(CLIENT, SERVER)),
    ];
    frames.extend((5..8).map(|at| (at, to_server(CLIENT, tcp::ACK, ""))));
    frames.push((9_000, to_server(CLIENT, tcp::ACK, "")));
    frames
}

#[test]
fn nothing_in_a_replay_is_spared() -> Result<()> {
    let question = Packet::ipv4(SERVER, OTHER)
        .udp(40_000, 53)
        .payload("question");
    let answer = Packet::ipv4(OTHER, SERVER)
        .udp(53, 40_000)
        .payload("answer");
    let typed = Packet::ipv4(OTHER, SERVER).tcp(50_314, 22).payload("keys");
    let case = Case::new(vec![(0, question), (1, answer), (2, typed)])?;
    let ended = case.replay(&["--output", "json", "--local", SERVER])?;
    assert_eq!((ended.code, &*ended.stderr), (Some(0), ""));
    let told: Value = serde_json::from_str(&ended.stdout)?;
    let packets = told["packets"].as_array().into_iter().flatten();
    let reasons: Vec<_> = packets.map(|packet| packet["reason"].as_str()).collect();
    assert_eq!(reasons, [None, Some("deny"), Some("deny")]);
    Ok(())
}

#[test]
fn each_packet_gets_the_verdict_that_the_kernel_side_gives() -> Result<()> {
    let case = Case::new(conversation())?;
    let ended = case.replay(&["--output", "json"])?;
    assert_eq!((ended.code, &*ended.stderr), (Some(0), ""));
    let told: Value = serde_json::from_str(&ended.stdout)?;
    let packets = told["packets"].as_array().into_iter().flatten();
    let verdicts: Vec<_> = packets
        .map(|packet| (packet["verdict"].as_str(), packet["reason"].as_str()))
        .collect();
    let (pass, drop) = (Some("pass"), Some("drop"));
    let expected = [
        (pass, pass),
        (None, None),
        (drop, Some("plaintext")),
        (drop, Some("deny")),
        (pass, pass),
        // A packet that plaintext refuses was within its source's limit, and cost.
        (pass, pass),
        (drop, Some("limit_packets")),
        (drop, Some("limit_packets")),
        (pass, pass),
    ];
    assert_eq!(verdicts, expected);
    assert_eq!(told["packets"][8]["time_ns"], 9_000_000_000_u64);
    let totals = &told["totals"];
    assert_eq!(
        (&totals["packets"], &totals["sent"]),
        (&9.into(), &1.into())
    );
    assert_eq!(totals["judged"]["drop"]["limit_packets"]["packets"], 2);
    let connections = &totals["connections"]["orders"];
    assert_eq!(connections["plaintext_attempt"]["http1"], 1);
    Ok(())
}

#[test]
fn two_runs_say_the_same() -> Result<()> {
    let case = Case::new(conversation())?;
    for flags in [&["-o", "table"][..], &["-o", "json"]] {
        let [first, second] = [case.replay(flags)?, case.replay(flags)?];
        assert_eq!(first.code, Some(0), "{}", first.stderr);
        assert_eq!(first.stdout, second.stdout);
    }
    let table = case.replay(&[])?.stdout;
    let line = "203.0.113.7:40000 > 198.51.100.1:8443 tcp";
    assert!(
        table
            .lines()
            .next()
            .is_some_and(|first| first.ends_with(line)),
        "{table}"
    );
    assert!(
        table.contains("1 sent by the protected host, not judged"),
        "{table}"
    );
    assert!(
        table.contains("service orders: plaintext_attempt http1 1"),
        "{table}"
    );
    Ok(())
}

/// Reasons of the packets that arrive, in their order.
fn reasons(case: &Case, configuration: &str) -> Result<Vec<String>> {
    fs::write(&case.configuration, configuration)?;
    let ended = case.replay(&["-o", "json"])?;
    assert_eq!((ended.code, &*ended.stderr), (Some(0), ""));
    let told: Value = serde_json::from_str(&ended.stdout)?;
    let packets = told["packets"].as_array().into_iter().flatten();
    let reasons = packets.filter_map(|packet| packet["reason"].as_str().map(str::to_owned));
    Ok(reasons.collect())
}

#[test]
fn what_the_host_sends_makes_known_in_a_replay_too() -> Result<()> {
    let mut frames = vec![
        (0, to_server(CLIENT, tcp::SYN, "")),
        (1, from_server(tcp::SYN | tcp::ACK)),
        (2, to_server(CLIENT, tcp::ACK, "")),
        (3, from_server(tcp::ACK)),
    ];
    frames.extend((4..9).map(|at| (at, to_server(CLIENT, tcp::ACK, ""))));
    frames.push((9, to_server(OTHER, tcp::ACK, "")));
    let reasons = reasons(&Case::new(frames)?, "limits = { new_sources = \"1/s\" }")?;
    assert_eq!(reasons[..2], ["pass", "new_sources"], "not known yet");
    assert_eq!(reasons[2..7], ["pass"; 5], "known");
    assert_eq!(reasons[7], "new_sources", "another");
    Ok(())
}

#[test]
fn bans_begin_and_end_in_a_replay_too() -> Result<()> {
    let mut frames = vec![
        (0, to_server(CLIENT, tcp::SYN, "")),
        (1, from_server(tcp::SYN | tcp::ACK)),
        (2, to_server(CLIENT, tcp::ACK, "")),
        (3, from_server(tcp::ACK)),
    ];
    // Ten a second, five times as many as may be, for four seconds; then a rest, and one more.
    let segment = || to_server(CLIENT, tcp::ACK, "").sequence(1, 1);
    frames.extend((0..40).map(|number| (100 + number * 100, segment())));
    frames.push((12_000, segment()));
    let configuration = "limits = { packets = \"2/s\", ban = { after = \"2s\", for = \"5s\" } }";
    let reasons = reasons(&Case::new(frames)?, configuration)?;
    let of = |reason: &str| reasons.iter().filter(|own| *own == reason).count();
    assert!(of("limit_packets") > 10 && of("ban") > 10, "{reasons:?}");
    let (last, before) = reasons.split_last().expect("packets");
    assert_eq!(last, "pass", "the ban has ended");
    assert_eq!(before.last().map(String::as_str), Some("ban"));
    Ok(())
}

#[test]
fn a_local_network_decides_which_side_is_judged() -> Result<()> {
    let case = Case::new(conversation())?;
    let ended = case.replay(&["--local", "203.0.113.0/24", "-o", "json"])?;
    let told: Value = serde_json::from_str(&ended.stdout)?;
    let totals = &told["totals"];
    // Only the server's answer arrives there, and what is not IP.
    assert_eq!(totals["sent"], 7);
    assert_eq!(totals["judged"]["pass"]["pass"]["packets"], 2);
    Ok(())
}

#[test]
fn without_services_every_port_is_one() -> Result<()> {
    let case = Case::new(conversation())?;
    fs::write(&case.configuration, "")?;
    let ended = case.replay(&["-o", "json"])?;
    let told: Value = serde_json::from_str(&ended.stdout)?;
    let connections = &told["totals"]["connections"]["any"];
    assert_eq!(connections["plaintext_attempt"]["http1"], 1);
    assert_eq!(told["packets"][2]["reason"], "plaintext");
    assert_eq!(told["packets"][2]["verdict"], "pass", "flagged");
    Ok(())
}

#[test]
fn a_capture_that_ends_too_early_is_told_up_to_there() -> Result<()> {
    let case = Case::new(conversation())?;
    let bytes = fs::read(&case.capture)?;
    fs::write(&case.capture, &bytes[..bytes.len() - 3])?;
    for flags in [&["-o", "table"][..], &["-o", "json"]] {
        let ended = case.replay(flags)?;
        assert_eq!(ended.code, Some(1));
        assert!(
            ended.stderr.contains("ends in the middle of a record"),
            "{}",
            ended.stderr
        );
        assert_eq!(ended.stderr.lines().count(), 1, "{}", ended.stderr);
        assert!(
            ended.stdout.contains("198.51.100.1:8443"),
            "{}",
            ended.stdout
        );
    }
    for nothing in ["/dev/null", "/etc/hostname", "/nonexistent", "/tmp"] {
        let ended = guard(&["replay", nothing])?;
        assert_eq!((ended.code, &*ended.stdout), (Some(1), ""), "{nothing}");
        assert_eq!(ended.stderr.lines().count(), 1, "{}", ended.stderr);
    }
    Ok(())
}

#[test]
fn it_needs_no_interface() -> Result<()> {
    let case = Case::new(conversation())?;
    let guard = agent::command(&[])?.get_program().to_owned();
    // A new namespace has none but a loopback, which is down.
    let mut command = Command::new("unshare");
    command
        .arg("--net")
        .arg(guard)
        .arg("replay")
        .arg(&case.capture);
    let ended = end_of(&mut command)?;
    assert_eq!((ended.code, &*ended.stderr), (Some(0), ""));
    Ok(())
}
