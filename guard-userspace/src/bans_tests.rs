use std::fs;

use super::*;

const BAN: Ban = Ban {
    after: Duration::from_secs(10),
    first: Duration::from_mins(1),
    max: Duration::from_mins(5),
};
const NOW: u64 = 1_000_000;

fn offender() -> IpNet {
    "192.0.2.7/32".parse().expect("a network")
}

fn seconds(bans: &mut Bans, now: u64) -> Option<u64> {
    let lasts = bans.add(offender(), &BAN, now);
    lasts.map(|lasts| lasts.as_secs())
}

#[test]
fn each_ban_lasts_twice_as_long_up_to_the_longest() {
    let (mut bans, mut now) = (Bans::default(), NOW);
    for expected in [60, 120, 240, 300, 300] {
        assert_eq!(seconds(&mut bans, now), Some(expected));
        assert_eq!(seconds(&mut bans, now + expected - 1), None, "still banned");
        now += expected;
    }
}

#[test]
fn each_longest_time_without_a_ban_takes_a_doubling_off() {
    let mut bans = Bans::default();
    seconds(&mut bans, NOW);
    seconds(&mut bans, NOW + 60);
    // Two bans; the second one ended at 180.
    let quiet = |bans: &Bans, times: u64| {
        let mut bans = bans.clone();
        seconds(&mut bans, NOW + 180 + times * 300)
    };
    assert_eq!(quiet(&bans, 0), Some(240));
    assert_eq!(quiet(&bans, 1), Some(120));
    assert_eq!(quiet(&bans, 2), Some(60));
    assert_eq!(quiet(&bans, 9), Some(60));
    bans.forget(&BAN, NOW + 180 + 2 * 300 - 1);
    assert_eq!(bans.records.len(), 1);
    bans.forget(&BAN, NOW + 180 + 2 * 300);
    assert_eq!(bans.records.len(), 0);
}

#[test]
fn a_ban_ends_by_itself_and_is_told_once() {
    let mut bans = Bans::default();
    seconds(&mut bans, NOW);
    assert_eq!(bans.count(NOW + 59), 1);
    bans.forget(&BAN, NOW);
    assert!(bans.ended(NOW + 59).is_empty());
    assert_eq!(bans.ended(NOW + 60), [offender()]);
    bans.forget(&BAN, NOW + 60);
    assert!(bans.ended(NOW + 61).is_empty());
    assert_eq!((bans.count(NOW + 60), bans.list(NOW + 60).len()), (0, 0));
    assert_eq!(bans.word(offender(), NOW + 60), None);
}

#[test]
fn who_is_unbanned_starts_anew_but_not_at_once() {
    let mut bans = Bans::default();
    seconds(&mut bans, NOW);
    seconds(&mut bans, NOW + 60);
    let inside = "192.0.2.7".parse().expect("an address");
    let stranger = "192.0.2.8".parse().expect("an address");
    let end = |bans: &mut Bans, addresses: &[IpAddr]| {
        let ended = bans.among(addresses, NOW + 70)?;
        bans.end(&ended, BAN.after, NOW + 70);
        Ok(ended)
    };
    assert_eq!(end(&mut bans, &[inside, stranger]), Err(stranger));
    assert_eq!(bans.count(NOW + 70), 1, "all or none");
    assert_eq!(end(&mut bans, &[inside]), Ok(vec![offender()]));
    assert_eq!(seconds(&mut bans, NOW + 79), None);
    assert_eq!(seconds(&mut bans, NOW + 80), Some(60));
    assert_eq!(end(&mut bans, &[inside]), Ok(vec![offender()]));
    assert_eq!(end(&mut bans, &[inside]), Err(inside));
}

#[test]
fn bans_give_way_to_every_other_rule() {
    let mut bans = Bans::default();
    seconds(&mut bans, NOW);
    let allowed = RuleWord::new(Rule::Allow, 3);
    let mut rules = vec![(offender(), allowed)];
    bans.lay_under(&mut rules, NOW);
    assert_eq!(rules, [(offender(), allowed)]);
    assert!(
        bans.changes(&[offender()], |_| Some(allowed), NOW)
            .is_empty()
    );

    let mut rules = vec![];
    bans.lay_under(&mut rules, NOW);
    assert_eq!(rules, [(offender(), WORD)]);
    assert_eq!(
        bans.changes(&[offender()], |_| None, NOW),
        [(offender(), Some(WORD))]
    );
    let over = NOW + 60;
    assert_eq!(
        bans.changes(&[offender()], |_| Some(WORD), over),
        [(offender(), None)]
    );
}

#[test]
fn bans_survive_and_a_broken_file_is_moved_aside() {
    let folder = tempfile::tempdir().expect("a folder");
    let load = || Bans::load(folder.path(), NOW);
    let mut bans = load().value;
    seconds(&mut bans, NOW);
    bans.save(folder.path()).expect("it can be written");
    assert_eq!(load().value.records, bans.records);

    fs::write(folder.path().join(FILE), "[{").expect("a file");
    let broken = load();
    assert_eq!(broken.value.records.len(), 0);
    assert!(broken.warning.is_some(), "it is told");
    assert!(folder.path().join("bans.json.broken").exists());
}

#[test]
fn a_ban_lasts_for_its_time_whoever_sets_the_clock() {
    let folder = tempfile::tempdir().expect("a folder");
    let mut bans = Bans::default();
    seconds(&mut bans, NOW);
    bans.forget(&BAN, NOW);
    for (by, now) in [(500_000, NOW + 500_000), (-900_000, NOW - 400_000)] {
        bans.shift(by);
        assert_eq!(bans.count(now + 59), 1);
        assert!(bans.ended(now + 59).is_empty());
        assert_eq!(bans.ended(now + 60), [offender()]);
    }
    // Set back while no agent ran: it begins anew, and lasts no longer than it would have.
    bans.save(folder.path()).expect("it can be written");
    let early = Bans::load(folder.path(), 7).value;
    assert_eq!((early.count(7 + 59), early.count(7 + 60)), (1, 0));
}

#[test]
fn whatever_a_file_says_of_times_can_be_counted_on_from() {
    let folder = tempfile::tempdir().expect("a folder");
    let kept = |source: &str, times: u32| {
        let record =
            serde_json::json!([{"source": source, "since": 1, "until": 2, "times": times}]);
        fs::write(folder.path().join(FILE), record.to_string()).expect("a file");
        Bans::load(folder.path(), NOW).value
    };
    for times in [0, 1, u32::MAX] {
        let mut bans = kept("192.0.2.7/32", times);
        assert!(seconds(&mut bans, 3).is_some(), "{times}");
    }
    let odd = kept("192.0.2.7/24", 1);
    assert_eq!(odd.records.len(), 0, "no source has bits beyond its prefix");
}

#[test]
fn there_is_room_for_so_many_and_no_more() {
    let mut bans = Bans::default();
    for host in 0..CAPACITY as u32 {
        let source = IpNet::from(IpAddr::from(host.to_be_bytes()));
        assert!(bans.add(source, &BAN, NOW).is_some());
    }
    assert_eq!(seconds(&mut bans, NOW), None);
}

#[test]
fn a_source_is_an_address_or_an_ipv6_prefix() {
    let of = |text: &str| source(text.parse().expect("an address"), 64).to_string();
    assert_eq!(of("192.0.2.7"), "192.0.2.7/32");
    assert_eq!(of("::ffff:192.0.2.7"), "192.0.2.7/32");
    assert_eq!(of("2001:db8::1:2:3:4"), "2001:db8::/64");
}
