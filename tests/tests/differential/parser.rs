//! The same frames to the parser on the host and to the program in the kernel: they are the same
//! code, and must come to the same end after two compilers and a verifier, also when only a part of
//! the frame can be read directly.

use guard_common::{
    packet::{Kind, Packet, parse},
    reason::{Reason, Verdict},
};

use crate::{
    malformed::{frame, seeds},
    noise::{Noise, hex},
    rig::{Counts, LEAST_LINEAR, MANUAL, Rig, packet_names},
};

const FRAMES: u64 = 4_000;
/// Bytes of it.
const IPV6_HEADER: usize = 40;

/// No rule and no limit. What a connection is depends on what came before: that has tests of its own.
const CONFIGURATION: &str = r#"
    [limits]
    packets = "off"
    connections = "off"
    protocol = { icmp = "off", fragments = "off" }
    [[service]]
    name = "all"
    ports = ["1-65535"]
    encryption = "off"
"#;

/// What the program must do with a frame, as the host reads it.
fn expected(frame: &[u8]) -> (bool, Counts) {
    let counted = |verdict, reason, bytes| {
        let [packets, size] = packet_names(verdict, reason);
        Counts::from([(packets, 1), (size, bytes)])
    };
    let drop = |reason| (false, counted(Verdict::Drop, reason, frame.len() as u64));
    let pass = |bytes| (true, counted(Verdict::Pass, Reason::Pass, bytes));
    match parse(frame) {
        Err(unsound) => drop(unsound.reason()),
        Ok(Packet::NotIp) => pass(frame.len() as u64),
        Ok(Packet::Ip(packet)) => {
            let bytes = u64::from(packet.frame_len);
            // Neighbour discovery passes always.
            if packet.is_land() && packet.kind() != Kind::NeighbourDiscovery {
                return (false, counted(Verdict::Drop, Reason::Land, bytes));
            }
            pass(bytes)
        }
    }
}

#[test]
fn host_and_kernel_read_every_frame_alike() {
    let (seeds, mut noise) = (seeds(), Noise(0));
    let mut rig = Rig::load(CONFIGURATION, MANUAL);
    let mut all = Counts::new();
    for number in 0..FRAMES {
        let frame = match seeds.get(number as usize) {
            Some(seed) => seed.to_vec(),
            None => frame(&seeds, &mut noise),
        };
        // What leaves is never judged, whatever it is. The kernel's test-run wants an IP header.
        if frame.len() >= LEAST_LINEAR + IPV6_HEADER {
            rig.sends(&frame);
        }
        let mut done = rig.observe(|rig| rig.passes(&frame));
        done.1.retain(|name, _| !is_of_events(name));
        assert_eq!(done, expected(&frame), "frame {number}, {}", hex(&frame));
        let linear = LEAST_LINEAR + noise.below((frame.len() - LEAST_LINEAR).clamp(1, 120));
        let mut in_pieces = rig.observe(|rig| rig.passes_in_pieces(&frame, linear));
        in_pieces.1.retain(|name, _| !is_of_events(name));
        assert_eq!(
            in_pieces,
            done,
            "frame {number}, {linear} bytes to be read directly, {}",
            hex(&frame)
        );
        for (name, count) in done.1 {
            *all.entry(name).or_default() += count;
        }
    }
    println!("{all:#?}");
    assert_every_way_was_taken(&all);
}

/// Events keep to a budget, which has tests of its own.
fn is_of_events(name: &str) -> bool {
    name.starts_with("events ")
}

/// A comparison of frames that all end alike would show little.
fn assert_every_way_was_taken(counts: &Counts) {
    let drops = [Reason::Malformed, Reason::Fragment].map(|reason| (Verdict::Drop, reason));
    for (verdict, reason) in drops.into_iter().chain([(Verdict::Pass, Reason::Pass)]) {
        let [packets, _] = packet_names(verdict, reason);
        let count = counts.get(&packets).copied().unwrap_or(0);
        assert!(count > FRAMES / 40, "only {count} {packets}");
    }
}
