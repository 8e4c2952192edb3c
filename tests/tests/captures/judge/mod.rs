//! What tshark makes of each TCP connection of a capture, and the verdict that follows from it.

mod packet;
mod plain;
mod stream;
mod tshark;
mod verdict;

use std::{collections::BTreeMap, path::Path};

use anyhow::{Context as _, Result};

use self::packet::Packet;
pub(crate) use self::stream::Stream;

/// Every TCP connection of a capture, in the order of tshark's numbers. A capture that is cut short
/// is judged by what is there.
pub(crate) fn judge(capture: &Path) -> Result<Vec<Stream>> {
    let packets = tshark::run(capture).with_context(|| format!("in {}", capture.display()))?;
    let mut streams = BTreeMap::<u32, Vec<_>>::new();
    for packet in packets {
        streams.entry(packet.stream).or_default().push(packet);
    }
    let connections = connections(streams);
    Ok(connections
        .iter()
        .filter_map(|packets| Stream::of(packets))
        .collect())
}

/// Joins streams of tshark's that are one connection: some of its dissectors, such as that of VNC,
/// start another stream in the middle. One that starts without SYN belongs to that before.
fn connections(streams: BTreeMap<u32, Vec<Packet>>) -> Vec<Vec<Packet>> {
    let mut connections = Vec::<Vec<Packet>>::new();
    let mut latest = BTreeMap::<_, usize>::new();
    for packets in streams.into_values() {
        let Some(first) = packets.first() else {
            continue;
        };
        let ends = (first.from.min(first.to), first.from.max(first.to));
        let starts = first.is_syn() || first.is_syn_ack();
        let before = latest.get(&ends).copied().filter(|_| !starts);
        if let Some(connection) = before.and_then(|index| connections.get_mut(index)) {
            connection.extend(packets);
            continue;
        }
        latest.insert(ends, connections.len());
        connections.push(packets);
    }
    connections
}
