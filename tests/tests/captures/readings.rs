//! Our reading of each packet against etherparse's.

use std::{collections::BTreeMap, fs, path::Path};

use anyhow::{Context as _, Result, ensure};
use checks::agreement::{Agreement, compare};
use guard::replay::capture::Capture;

use crate::{
    file::{End, File, Recorded},
    files, on_the_wire,
};

/// Packets of Ethernet in all files, at least.
const LEAST_PACKETS: usize = 7_500;
/// Of what has to be among them for the comparison to mean something: how much, at least.
const LEAST_OF: [(Agreement, usize); 6] = [
    (Agreement::NotIp, 3_000),
    (Agreement::Refused, 200),
    (Agreement::Read("icmp"), 50),
    (Agreement::Read("other"), 500),
    (Agreement::Read("tcp"), 500),
    (Agreement::Read("udp"), 1_000),
];

#[test]
fn etherparse_agrees_on_every_packet_of_the_captures() -> Result<()> {
    let (mut packets, mut counts) = (0, BTreeMap::<Agreement, usize>::new());
    let mut ethernet = 0;
    for path in files()? {
        let file = File::read(&fs::read(&path)?);
        ethernet += usize::from(!file.packets.is_empty());
        for (Recorded { bytes, wire_len }, number) in file.packets.iter().zip(1..) {
            packets += 1;
            // Both as the capture has it and as it was on the wire.
            let wire = on_the_wire(bytes, *wire_len).filter(|wire| wire != bytes);
            for frame in [Some(bytes), wire.as_ref()].into_iter().flatten() {
                let agreement = compare(frame).map_err(anyhow::Error::msg);
                let agreement =
                    agreement.with_context(|| format!("{}, packet {number}", path.display()))?;
                *counts.entry(agreement).or_default() += 1;
            }
        }
    }
    let comparisons: usize = counts.values().sum();
    println!("{ethernet} files with Ethernet, {packets} packets, {comparisons} comparisons");
    println!("{counts:#?}");
    ensure!(packets >= LEAST_PACKETS, "only {packets} packets");
    for (kind, least) in LEAST_OF {
        let count = counts.get(&kind).copied().unwrap_or(0);
        ensure!(count >= least, "only {count} of {kind:?}");
    }
    Ok(())
}

#[test]
fn the_captures_are_read_as_other_code_reads_them() -> Result<()> {
    for path in files()? {
        let theirs = File::read(&fs::read(&path)?);
        let (packets, said) = ours(&path);
        let same = packets == theirs.packets && said.contains(&theirs.end.words());
        ensure!(
            same && said.is_empty() == (theirs.end == End::Whole),
            "{}: {} packets and `{said}`, not {} and {:?}",
            path.display(),
            packets.len(),
            theirs.packets.len(),
            theirs.end
        );
    }
    Ok(())
}

/// The packets as guard reads them, and what it says when there are no more.
fn ours(path: &Path) -> (Vec<Recorded>, String) {
    let mut packets = Vec::new();
    let mut capture = match Capture::open(path) {
        Ok(capture) => capture,
        Err(error) => return (packets, error.to_string()),
    };
    loop {
        match capture.next() {
            Ok(Some(packet)) => packets.push(Recorded {
                bytes: packet.bytes,
                wire_len: packet.wire_len,
            }),
            Ok(None) => return (packets, String::new()),
            Err(error) => return (packets, error.to_string()),
        }
    }
}
