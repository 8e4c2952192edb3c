//! Capture files.

use std::{
    io::{self, Cursor, Read},
    path::Path,
};

use guard::replay::capture::{Capture, Captured};

use crate::assert_one_line;

const NS_PER_SECOND: u64 = 1_000_000_000;

/// Hands over a few bytes at a time, as a pipe may.
struct Dripping {
    bytes: Cursor<Vec<u8>>,
    most: usize,
}

impl Read for Dripping {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let len = buffer.len().min(self.most);
        self.bytes.read(&mut buffer[..len])
    }
}

/// The first byte says how much of the file behind it is handed over at a time.
pub fn check(input: &[u8]) {
    let Some((most, file)) = input.split_first() else {
        return;
    };
    let most = usize::from(*most).max(1);
    let (packets, ended) = read_all(file, usize::MAX);
    assert_eq!(
        read_all(file, most),
        (packets.clone(), ended.clone()),
        "{most} at a time"
    );

    let held: usize = packets.iter().map(|packet| packet.bytes.len()).sum();
    assert!(held <= file.len());
    assert!(
        packets
            .iter()
            .all(|packet| packet.bytes.len() <= packet.wire_len)
    );
    if let Some(said) = &ended {
        assert_one_line(said);
    }
    let (some, _) = read_all(&file[..file.len().saturating_sub(most)], usize::MAX);
    assert!(packets.starts_with(&some), "a cut file says something else");
    if let Some(written) = written(&packets) {
        assert_eq!(read_all(&written, usize::MAX), (packets, None));
    }
}

/// Every packet, and why there are no more, if not for the end of the file.
fn read_all(file: &[u8], most: usize) -> (Vec<Captured>, Option<String>) {
    let bytes = Cursor::new(file.to_vec());
    let input = Dripping { bytes, most };
    let mut packets = Vec::new();
    let mut capture = match Capture::read(Path::new("input"), input) {
        Ok(capture) => capture,
        Err(error) => return (packets, Some(error.to_string())),
    };
    loop {
        match capture.next() {
            Ok(Some(packet)) => packets.push(packet),
            Ok(None) => return (packets, None),
            Err(error) => return (packets, Some(error.to_string())),
        }
    }
}

/// The packets as a pcap file with nanoseconds, where they fit into one.
fn written(packets: &[Captured]) -> Option<Vec<u8>> {
    let mut words = vec![0xa1b2_3c4d, 0x0004_0002, 0, 0, 262_144, 1];
    let mut bytes = Vec::new();
    for packet in packets {
        words.push(u32::try_from(packet.time_ns / NS_PER_SECOND).ok()?);
        words.push((packet.time_ns % NS_PER_SECOND) as u32);
        words.push(packet.bytes.len() as u32);
        words.push(u32::try_from(packet.wire_len).ok()?);
        bytes.extend(words.drain(..).flat_map(u32::to_le_bytes));
        bytes.extend_from_slice(&packet.bytes);
    }
    (!packets.is_empty()).then_some(bytes)
}
