use std::{fs, io::Read, path::PathBuf};

use tempfile::TempDir;

use super::{
    capture::{Capture, CaptureError, Captured},
    sides::{Ends, Sides},
};

const MAGIC_US: u32 = 0xa1b2_c3d4;
const MAGIC_NS: u32 = 0xa1b2_3c4d;
const ETHERNET: u32 = 1;

/// A pcap header; with `swap`, as a machine of the other byte order writes it.
fn header(magic: u32, linktype: u32, swap: bool) -> Vec<u8> {
    let words = [magic, 0x0004_0002, 0, 0, 65_535, linktype];
    let mut bytes: Vec<u8> = words.iter().flat_map(|word| order(*word, swap)).collect();
    // Major and minor version are two halves.
    let version = if swap { [0, 2, 0, 4] } else { [2, 0, 4, 0] };
    bytes[4..8].copy_from_slice(&version);
    bytes
}

fn record(seconds: u32, fraction: u32, data: &[u8], wire_len: u32, swap: bool) -> Vec<u8> {
    let words = [seconds, fraction, data.len() as u32, wire_len];
    let head = words.iter().flat_map(|word| order(*word, swap));
    head.chain(data.iter().copied()).collect()
}

fn order(word: u32, swap: bool) -> [u8; 4] {
    if swap {
        word.to_be_bytes()
    } else {
        word.to_le_bytes()
    }
}

struct Kept {
    path: PathBuf,
    _folder: TempDir,
}

fn file(bytes: &[u8]) -> Kept {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("x.pcap");
    fs::write(&path, bytes).expect("a file");
    Kept {
        path,
        _folder: folder,
    }
}

/// Every packet, and how the file ended.
fn read(bytes: &[u8]) -> (Vec<Captured>, Option<CaptureError>) {
    let kept = file(bytes);
    let mut capture = match Capture::open(&kept.path) {
        Ok(capture) => capture,
        Err(error) => return (Vec::new(), Some(error)),
    };
    let mut packets = Vec::new();
    loop {
        match capture.next() {
            Ok(Some(packet)) => packets.push(packet),
            Ok(None) => return (packets, None),
            Err(error) => return (packets, Some(error)),
        }
    }
}

#[test]
fn both_orders_and_both_resolutions_are_read() {
    for swap in [false, true] {
        for (magic, ns) in [(MAGIC_US, 5_000), (MAGIC_NS, 5)] {
            let bytes = [
                header(magic, ETHERNET, swap),
                record(7, 5, b"abcd", 9, swap),
            ]
            .concat();
            let (packets, ended) = read(&bytes);
            assert!(ended.is_none(), "{ended:?}");
            let expected = Captured {
                time_ns: 7_000_000_000 + ns,
                bytes: b"abcd".to_vec(),
                wire_len: 9,
            };
            assert_eq!(packets, [expected], "{magic:#x}, {swap}");
        }
    }
}

#[test]
fn a_pcapng_says_how_its_times_are_meant() {
    let section = [
        0x0a0d_0d0a,
        28,
        0x1a2b_3c4d,
        0x0000_0001,
        u32::MAX,
        u32::MAX,
        28,
    ];
    // Nanoseconds: option 9 of one byte, 9.
    let described = [1, 32, ETHERNET, 0, 0x0001_0009, 9, 0, 32];
    let packet = [
        6,
        36,
        0,
        0,
        3_000_000_007,
        4,
        60,
        u32::from_le_bytes(*b"abcd"),
        36,
    ];
    let words = section.iter().chain(&described).chain(&packet);
    let bytes: Vec<u8> = words.flat_map(|word| word.to_le_bytes()).collect();
    let (packets, ended) = read(&bytes);
    assert!(ended.is_none(), "{ended:?}");
    assert_eq!(packets.len(), 1);
    assert_eq!(
        (packets[0].time_ns, packets[0].wire_len),
        (3_000_000_007, 60)
    );
    assert_eq!(packets[0].bytes, b"abcd");
}

#[test]
fn records_of_any_length_are_read_up_to_a_megabyte() {
    for (len, fits) in [
        (60_000, true),
        (70_000, true),
        (900_000, true),
        (1_100_000, false),
    ] {
        let long = vec![7; len];
        let bytes = [
            header(MAGIC_US, ETHERNET, false),
            record(7, 5, b"abcd", 4, false),
            record(7, 6, &long, len as u32, false),
            record(7, 7, b"efgh", 4, false),
        ]
        .concat();
        let (packets, ended) = read(&bytes);
        let lens: Vec<usize> = packets.iter().map(|packet| packet.bytes.len()).collect();
        let expected = if fits { vec![4, len, 4] } else { vec![4] };
        assert_eq!(lens, expected, "{ended:?}");
        assert_eq!(ended.is_some(), !fits);
    }
}

#[test]
fn a_block_without_room_for_what_it_tells_makes_no_sense() {
    let section = [0x0a0d_0d0a, 28, 0x1a2b_3c4d, 1, u32::MAX, u32::MAX, 28];
    for len in [0, 3, 4, 8, 12, 15] {
        let told = [0x8000_0001, len, 7, len];
        for swap in [false, true] {
            let words = section.iter().chain(&told);
            let bytes: Vec<u8> = words.flat_map(|word| order(*word, swap)).collect();
            let (packets, ended) = read(&bytes);
            assert!(packets.is_empty());
            let said = ended.map(|error| error.to_string()).unwrap_or_default();
            assert!(said.contains("makes no sense"), "{len}, {swap}: {said}");
        }
    }
}

#[test]
fn what_is_said_of_check_sequences_is_no_link_type() {
    for above in [0x0400_0000, 0x3000_0000, 0xf000_0000] {
        let bytes = [
            header(MAGIC_US, above | ETHERNET, false),
            record(7, 5, b"abcd", 4, false),
        ]
        .concat();
        let (packets, ended) = read(&bytes);
        assert!(ended.is_none(), "{ended:?}");
        assert_eq!(packets.len(), 1, "{above:#x}");
    }
}

/// Hands over a byte at a time, as a pipe may.
struct Dripping(std::io::Cursor<Vec<u8>>);

impl Read for Dripping {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        let len = buffer.len().min(1);
        self.0.read(&mut buffer[..len])
    }
}

#[test]
fn a_pipe_may_hand_a_capture_over_in_parts() {
    let bytes = [
        header(MAGIC_US, ETHERNET, false),
        record(7, 5, b"abcd", 9, false),
    ]
    .concat();
    let (whole, _) = read(&bytes);
    let dripping = Dripping(std::io::Cursor::new(bytes));
    let mut capture = Capture::read("pipe".as_ref(), dripping).expect("a capture");
    let packet = capture.next().expect("a packet");
    assert_eq!(packet.as_ref(), whole.first());
    assert!(matches!(capture.next(), Ok(None)));
}

#[test]
fn what_is_no_capture_is_said_so() {
    let head = header(MAGIC_US, ETHERNET, false);
    let one = record(1, 0, b"abcd", 4, false);
    for (bytes, count, expected) in [
        (Vec::new(), 0, "is no capture"),
        (
            b"GET / HTTP/1.1\r\n\r\nno capture".to_vec(),
            0,
            "is no capture",
        ),
        (head[..20].to_vec(), 0, "is no capture"),
        (
            [&head[..], &one, &one[..18]].concat(),
            1,
            "ends in the middle",
        ),
        (
            [&head[..], &one, &one[..3]].concat(),
            1,
            "ends in the middle",
        ),
        (
            [&head[..], &record(1, 0, b"", 4, false)[..8], &[0xff; 8]].concat(),
            0,
            "record",
        ),
        (
            [header(MAGIC_US, 113, false), one.clone()].concat(),
            0,
            "link type 113",
        ),
    ] {
        let (packets, ended) = read(&bytes);
        let said = ended.map(|error| error.to_string()).unwrap_or_default();
        assert!(said.contains(expected), "{expected}: `{said}`");
        assert_eq!(packets.len(), count, "{expected}");
    }
    let missing = Capture::open("/nonexistent.pcap".as_ref());
    let said = missing.err().map(|error| error.to_string());
    assert!(said.is_some_and(|said| said.contains("name a capture file")));
}

/// A frame from port to port: `S`YN, SYN and `A`CK, or only `a`CK.
fn tcp(from: (u8, u16), to: (u8, u16), kind: char) -> Ends {
    let builder = etherparse::PacketBuilder::ethernet2([2; 6], [3; 6])
        .ipv4([192, 0, 2, from.0], [192, 0, 2, to.0], 64)
        .tcp(from.1, to.1, 1, 1);
    let builder = match kind {
        'S' => builder.syn(),
        'A' => builder.syn().ack(1),
        _ => builder.ack(1),
    };
    let mut bytes = Vec::new();
    builder.write(&mut bytes, &[]).expect("a frame");
    Ends::of(&bytes).expect("an IP packet")
}

#[test]
fn who_received_the_syn_is_protected_else_who_has_the_lower_port() {
    let (client, server) = ((7, 40_000), (1, 443));
    let mut sides = Sides::new(Vec::new());
    for (from, to, kind, arrives) in [
        (client, server, 'S', true),
        (server, client, 'A', false),
        (client, server, 'a', true),
        (server, client, 'a', false),
        // Met in the middle.
        ((1, 80), (7, 40_000), 'a', false),
        ((7, 40_000), (1, 80), 'a', true),
        ((7, 50_000), (1, 81), 'A', false),
        // A server on a high port: its port does not matter once there is a SYN.
        ((7, 80), (1, 50_000), 'S', true),
        ((1, 50_000), (7, 80), 'A', false),
        // The other way round, later.
        ((1, 50_000), (7, 80), 'S', true),
    ] {
        let ends = tcp(from, to, kind);
        assert_eq!(sides.arrives(Some(&ends)), arrives, "{ends} {kind}");
    }
    assert!(sides.arrives(None), "what tells nothing is judged");
}

#[test]
fn a_local_network_says_it_all() {
    let local = "192.0.2.1/32".parse().expect("a network");
    let mut sides = Sides::new(vec![local]);
    assert!(sides.arrives(Some(&tcp((7, 80), (1, 40_000), 'a'))));
    assert!(!sides.arrives(Some(&tcp((1, 40_000), (7, 80), 'S'))));
    assert!(sides.arrives(Some(&tcp((7, 1), (8, 2), 'a'))), "forwarded");
}
