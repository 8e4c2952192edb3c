//! Writes captures, for what reads them.

use std::time::Duration;

/// A pcap file of Ethernet frames with microseconds, each with its time since the epoch.
pub fn file<F: AsRef<[u8]>>(frames: impl IntoIterator<Item = (Duration, F)>) -> Vec<u8> {
    /// Magic number, version 2.4, no correction, longest frame, link type 1.
    const HEADER: [u32; 6] = [0xa1b2_c3d4, 0x0004_0002, 0, 0, 262_144, 1];
    let words =
        |words: &[u32]| -> Vec<u8> { words.iter().flat_map(|word| word.to_le_bytes()).collect() };
    let mut bytes = words(&HEADER);
    for (time, frame) in frames {
        let frame = frame.as_ref();
        let len = frame.len() as u32;
        bytes.extend(words(&[
            time.as_secs() as u32,
            time.subsec_micros(),
            len,
            len,
        ]));
        bytes.extend(frame);
    }
    bytes
}
