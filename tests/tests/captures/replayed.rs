//! Each file through `guard replay`, twice.

use std::{
    fs,
    path::{Path, PathBuf},
};

use anyhow::{Context as _, Result, ensure};
use guard_common::{
    packet::{Kind, Packet, parse},
    reason::{Reason, Verdict},
};
use lab::Scratch;
use serde_json::Value;

use crate::{
    each,
    file::{End, File},
    files, is_of_share, on_the_wire, replay,
};

/// Files of that share, at least.
const LEAST_SHARE: usize = 70;
/// Everything arrives.
const FLAGS: &[&str] = &["--local", "0.0.0.0/0", "--local", "::/0"];

/// No rule and no limit: what is left is what is wrong with a packet by itself.
const CONFIGURATION: &str = r#"
    [limits]
    packets = "off"
    connections = "off"
    new_sources = "off"
    protocol = { icmp = "off", fragments = "off" }
"#;

#[test]
fn a_share_of_the_captures_is_judged_as_the_host_reads_it() -> Result<()> {
    let share: Vec<PathBuf> = files()?
        .into_iter()
        .filter(|path| is_of_share(path))
        .collect();
    ensure!(share.len() >= LEAST_SHARE, "only {} files", share.len());
    replay_all(&share)
}

#[test]
#[ignore = "takes minutes"]
fn every_capture_is_judged_as_the_host_reads_it() -> Result<()> {
    replay_all(&files()?)
}

fn replay_all(files: &[PathBuf]) -> Result<()> {
    let scratch = Scratch::new()?;
    let configuration = scratch.join("guard.toml");
    fs::write(&configuration, CONFIGURATION)?;
    let counts = each(files, |path| replay_twice(path, &configuration))?;
    let judged: usize = counts.iter().sum();
    println!("{} files, {judged} packets judged, each twice", files.len());
    ensure!(judged > files.len(), "only {judged} packets were judged");
    Ok(())
}

/// Replays a file twice: how many of its packets were judged.
fn replay_twice(path: &Path, configuration: &Path) -> Result<usize> {
    let run = || replay(path, configuration, FLAGS);
    let [first, second] = [run()?, run()?];
    ensure!(first == second, "a second run says something else");
    let file = File::read(&fs::read(path)?);
    let said = String::from_utf8(first.stderr)?;
    let code = first
        .status
        .code()
        .with_context(|| format!("{}: {said}", first.status))?;
    let expected = i32::from(file.end != End::Whole);
    ensure!(code == expected, "exit code {code}, not {expected}: {said}");
    ensure!(said.contains(&file.end.words()), "it says `{said}`");
    ensure!(
        said.lines().count() == usize::from(code != 0),
        "it says `{said}`"
    );
    if first.stdout.is_empty() {
        ensure!(code != 0 && file.packets.is_empty(), "it says nothing");
        return Ok(0);
    }
    let told: Value = serde_json::from_slice(&first.stdout).context("no JSON")?;
    compare(&told, &file)
}

/// What is told of each packet against what the host reads: how many were judged.
fn compare(told: &Value, file: &File) -> Result<usize> {
    let packets = told["packets"].as_array().context("no packets")?;
    ensure!(
        packets.len() == file.packets.len(),
        "{} packets",
        packets.len()
    );
    let first = file.packets.first();
    let by_loopback = first.is_some_and(|first| first.bytes.starts_with(&[0; 12]));
    let mut judged = 0;
    for (told, recorded) in packets.iter().zip(&file.packets) {
        ensure!(told["bytes"] == recorded.wire_len, "{told}: not its length");
        let outcome = told["verdict"].as_str().zip(told["reason"].as_str());
        // What the protected host sent is not judged.
        let arrived = on_the_wire(&recorded.bytes, recorded.wire_len)
            .filter(|_| told["arrives"] == Value::Bool(true));
        let expected = arrived.map(|frame| expected(&frame, by_loopback));
        judged += usize::from(expected.is_some());
        let is_right = match (outcome, expected) {
            (None, None) => true,
            (Some((verdict, reason)), Some((expected, reasons))) => {
                verdict == expected.name() && reasons.iter().any(|known| known.name() == reason)
            }
            _ => false,
        };
        ensure!(is_right, "{told}: expected is {expected:?}");
    }
    Ok(judged)
}

/// What the program must say of a frame, as the host reads it: the verdict, and the reason or one
/// of two.
fn expected(frame: &[u8], by_loopback: bool) -> (Verdict, [Reason; 2]) {
    match parse(frame) {
        // Neighbour discovery passes always.
        Ok(Packet::Ip(packet))
            if packet.is_land() && !by_loopback && packet.kind() != Kind::NeighbourDiscovery =>
        {
            (Verdict::Drop, [Reason::Land; 2])
        }
        // Every port is a service, and plaintext is flagged.
        Ok(_) => (Verdict::Pass, [Reason::Pass, Reason::Plaintext]),
        Err(unsound) => (Verdict::Drop, [unsound.reason(); 2]),
    }
}
