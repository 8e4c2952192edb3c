//! Frames that leave, and what they say of whom the host talks with.

use guard_common::{
    departure::{Departure, EphemeralPorts},
    packet::Address,
};

const EPHEMERAL: EphemeralPorts = EphemeralPorts {
    first: 32_768,
    last: 60_999,
};
/// Prefixes of a frame that are tried.
const PREFIXES: usize = 128;

/// The frame itself is the input.
pub fn check(frame: &[u8]) {
    let read = |frame: &[u8]| {
        let departure = Departure::read(frame)?;
        let talk = departure.talk(frame, EPHEMERAL)?;
        Some((departure.peer(), talk))
    };
    let whole = read(frame);
    for len in 0..frame.len().min(PREFIXES) {
        let cut = read(&frame[..len]);
        assert!(cut.is_none() || cut == whole, "{len} bytes: {cut:?}");
    }
    match whole.map(|(peer, _)| peer) {
        Some(Address::V4(word)) => assert_holds(frame, &word.to_ne_bytes()),
        Some(Address::V6(words)) => assert_holds(frame, words.map(u64::to_ne_bytes).as_flattened()),
        None => {}
    }
}

/// The address is one that the frame names.
fn assert_holds(frame: &[u8], address: &[u8]) {
    let mut places = frame.windows(address.len());
    assert!(places.any(|place| place == address), "{address:?}");
}
