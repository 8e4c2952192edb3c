use std::{net::Ipv4Addr, time::Duration};

use bytes::{BufMut as _, Bytes, BytesMut};
use guard_common::wire::EventClass;

use super::*;

const HITTER: IpAddr = IpAddr::V4(Ipv4Addr::new(203, 0, 113, 9));

/// What the kernel side tells of a packet of 100 bytes.
fn record(source: IpAddr, verdict: Verdict, reason: Reason, stands_for: u32) -> Record {
    let mut bytes = BytesMut::new();
    bytes.put_u128(match source {
        IpAddr::V4(source) => source.to_ipv6_mapped().to_bits(),
        IpAddr::V6(source) => source.to_bits(),
    });
    bytes.put_u32_ne(stands_for);
    bytes.put_u32_ne(0);
    bytes.put_u32_ne(100);
    bytes.put_bytes(0, 4 + 6);
    bytes.put_slice(&[verdict as u8, reason as u8, 0, EventClass::Talker as u8]);
    bytes.put_bytes(0, 6);
    Record::read(Bytes::from(bytes)).expect("a whole event")
}

fn passed(source: IpAddr) -> Record {
    record(source, Verdict::Pass, Reason::Pass, 1)
}

fn forged(number: u32) -> IpAddr {
    Ipv4Addr::from_bits(0x0a00_0000 + number).into()
}

fn net_of(text: &str) -> IpNet {
    text.parse().expect("a network")
}

#[test]
fn rates_are_what_was_told_by_the_time_it_covers() {
    let start = Instant::now();
    let mut talkers = Talkers::new(start);
    for tick in 0..200 {
        let now = start + Duration::from_millis(tick * 100);
        talkers.add(&record(HITTER, Verdict::Pass, Reason::Pass, 2), now);
    }
    let top = talkers.top(64, start + Duration::from_millis(19_950));
    // Of ten seconds and the running one 110 were told, in 10.95 s.
    assert!((top.seconds - 10.95).abs() < 1e-6, "{}", top.seconds);
    assert_eq!(top.sources.len(), 1);
    let talker = &top.sources[0];
    let rate = 110.0 * 2.0 * 256.0 / 10.95;
    assert!((talker.packets_per_second - rate).abs() < 1e-6);
    assert!((talker.bytes_per_second - 100.0 * rate).abs() < 1e-3);
    assert_eq!(talker.source, net_of("203.0.113.9/32"));
    assert_eq!((talker.refused_share, &*talker.reason), (0.0, "pass"));
}

#[test]
fn what_is_long_ago_is_forgotten() {
    let start = Instant::now();
    let mut talkers = Talkers::new(start);
    talkers.add(&passed(HITTER), start);
    let told = |talkers: &mut Talkers, seconds| {
        let now = start + Duration::from_secs(seconds);
        talkers.top(64, now).sources.len()
    };
    assert_eq!(told(&mut talkers, 0), 1);
    assert_eq!(told(&mut talkers, 10), 1);
    assert_eq!(told(&mut talkers, 11), 0);
    assert!(talkers.seconds.is_empty());
}

#[test]
fn the_reason_is_that_of_most_refused_packets() {
    let start = Instant::now();
    let mut talkers = Talkers::new(start);
    for (verdict, reason, times) in [
        (Verdict::Pass, Reason::Pass, 60),
        (Verdict::Drop, Reason::LimitPackets, 15),
        (Verdict::WouldDrop, Reason::Ban, 25),
    ] {
        talkers.add(&record(HITTER, verdict, reason, times), start);
    }
    let top = talkers.top(64, start);
    let talker = &top.sources[0];
    assert!((talker.refused_share - 0.4).abs() < 1e-9);
    assert_eq!(talker.reason, "ban");
}

#[test]
fn an_ipv6_source_is_a_prefix() {
    let start = Instant::now();
    let mut talkers = Talkers::new(start);
    talkers.add(
        &passed("2001:db8:1:2::".parse().expect("an address")),
        start,
    );
    let top = talkers.top(64, start);
    assert_eq!(top.sources[0].source, net_of("2001:db8:1:2::/64"));
}

#[test]
fn a_spoofed_flood_neither_grows_it_nor_pushes_out_who_sends_much() {
    let start = Instant::now();
    let mut talkers = Talkers::new(start);
    let mut forgeries = 0;
    for second in 0..12 {
        let now = start + Duration::from_secs(second);
        // One packet in fifty is the hitter's, the others come from ever new sources.
        for number in 0..2_500 {
            if number % 50 == 49 {
                talkers.add(&passed(HITTER), now);
            } else {
                talkers.add(&passed(forged(forgeries)), now);
                forgeries += 1;
            }
        }
        let kept: usize = talkers.seconds.iter().map(|s| s.sources.len()).sum();
        assert!(kept <= KEPT * (SECONDS as usize + 1), "{kept}");
    }
    let top = talkers.top(64, start + Duration::from_millis(11_999));
    assert_eq!(top.sources.len(), TOLD);
    let first = &top.sources[0];
    assert_eq!(first.source, IpNet::from(HITTER));
    let rate = 50.0 * 256.0;
    assert!(
        (first.packets_per_second - rate).abs() < rate / 20.0,
        "{first:?}"
    );
    // Nobody is said to have sent what others sent whose place it has.
    assert!(top.sources[1].packets_per_second < rate / 50.0);
}

#[test]
fn it_is_told_as_json_and_read_again() {
    let start = Instant::now();
    let mut talkers = Talkers::new(start);
    talkers.add(&passed(HITTER), start);
    let text = serde_json::to_string(&talkers.top(64, start)).expect("JSON");
    assert!(text.contains(r#""source":"203.0.113.9/32""#), "{text}");
    let read: TopTalkers = serde_json::from_str(&text).expect("what was told");
    assert_eq!(read.sources[0].source, IpNet::from(HITTER));
}
