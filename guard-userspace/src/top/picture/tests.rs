use std::time::{Duration, Instant};

use super::{super::fixtures, *};

fn picture() -> Picture {
    let [old, new] = fixtures::looks();
    Picture::between(Some(&old), &new)
}

#[test]
fn rates_are_of_the_time_between_the_looks() {
    let picture = picture();
    let flow = Flow {
        packets_per_second: 12_345.0,
        bytes_per_second: 12_345_000.0,
        packets: 1_234_567 + 12,
        bytes: 987_654_321 + 3_400,
    };
    assert_eq!(picture.interfaces[0].passed, flow);
    let refused = picture.interfaces[0].refused;
    assert!((refused.packets_per_second - 52_000.0).abs() < 1e-6);
    assert_eq!(refused.packets, 452_077);
    assert_eq!(picture.interfaces[1].attached, None);

    let two_seconds = {
        let [mut old, new] = fixtures::looks();
        old.taken -= Duration::from_secs(1);
        Picture::between(Some(&old), &new)
    };
    let rate = two_seconds.interfaces[0].passed.packets_per_second;
    assert!((rate - 12_345.0 / 2.0).abs() < 1e-6, "{rate}");
}

#[test]
fn reasons_are_summed_over_the_interfaces_and_the_fastest_is_first() {
    let picture = picture();
    let shown = picture.reasons.iter();
    let shown: Vec<_> = shown
        .map(|row| (&*row.verdict, &*row.reason, row.flow.packets))
        .collect();
    assert_eq!(
        shown,
        [
            ("drop", "limit_packets", 452_000),
            ("pass", "pass", 1_234_567),
            ("drop", "deny", 87),
            ("pass", "plaintext", 12),
        ]
    );
}

#[test]
fn services_tell_their_verdicts_and_how_fast_they_come() {
    let picture = picture();
    let service = &picture.services[0];
    let shown = service.connections.iter();
    let shown: Vec<_> = shown
        .map(|row| (&*row.verdict, row.connections, row.per_second))
        .collect();
    let mut expected = vec![
        ("encrypted", 12_345, 45.0),
        ("plaintext_served", 3, 0.0),
        ("rejected", 10, 0.0),
    ];
    let order = Outcome::ALL.map(Outcome::name);
    expected.sort_by_key(|(verdict, ..)| order.iter().position(|word| word == verdict));
    assert_eq!(shown, expected);
    assert!(picture.services[1].connections.is_empty());
}

#[test]
fn who_is_banned_says_for_how_long_still() {
    let picture = picture();
    let banned: Vec<_> = picture
        .talkers
        .iter()
        .map(|talker| (&*talker.source, talker.banned_for_seconds))
        .collect();
    assert_eq!(
        banned,
        [
            ("203.0.113.66", Some(54)),
            ("2001:db8:1234:5678::/64", None),
            ("198.51.100.7", None),
        ]
    );
}

#[test]
fn one_look_or_another_agent_has_no_rates() {
    let [old, mut new] = fixtures::looks();
    let one = Picture::between(None, &new);
    assert!(one.seconds.abs() < f64::EPSILON);
    assert!(one.interfaces[0].passed.packets_per_second.abs() < f64::EPSILON);
    assert_eq!(one.interfaces[0].passed.packets, 1_234_579);
    new.status.pid += 1;
    assert_eq!(Picture::between(Some(&old), &new), one);
    // In a container every agent is process 1.
    new.status.pid = old.status.pid;
    new.status.uptime_seconds = 3;
    assert!(Picture::between(Some(&old), &new).seconds.abs() < f64::EPSILON);
}

#[test]
fn counters_that_went_back_are_no_rate() {
    let mut status = fixtures::status();
    status["interfaces"][0]["packets"][0]["packets"] = 1.into();
    let [old, _] = fixtures::looks();
    let new = fixtures::look(Instant::now() + Duration::from_secs(1), &status);
    let picture = Picture::between(Some(&old), &new);
    let passed = picture.interfaces[0].passed.packets_per_second;
    assert!(passed.abs() < f64::EPSILON, "{passed}");
}

#[test]
fn texts_of_others_are_safe_for_a_terminal() {
    let mut status = fixtures::status();
    status["warnings"] = serde_json::json!(["\u{1b}]0;title\u{7}"]);
    status["services"][0]["name"] = "or\u{9b}ders".into();
    let new = fixtures::look(Instant::now(), &status);
    let picture = Picture::between(None, &new);
    let all =
        format!("{:?}", picture.events) + &picture.warnings.concat() + &picture.services[0].name;
    assert!(!all.contains(char::is_control), "{all:?}");
    assert_eq!(picture.warnings, [r"\u{1b}]0;title\u{7}"]);
    let last = picture.events.last().expect("events");
    assert!(last.text.ends_with(r"GET /\u{1b}[2J\u{7}"), "{}", last.text);
}
