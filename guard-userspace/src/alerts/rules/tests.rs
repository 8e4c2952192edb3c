use proptest::prelude::*;

use super::{
    super::{
        rule::Severity,
        testing::{at, counted, dropped, served, status},
    },
    *,
};
use crate::entries::Banned;

/// Rules that have seen a first snapshot at 0 s, and the snapshot.
fn begun() -> (Rules, Status) {
    let (mut rules, status) = (Rules::default(), status());
    assert!(rules.observe(&status, at(0)).is_empty(), "all is well");
    (rules, status)
}

/// What a snapshot brings, as `started flood`.
fn steps(rules: &mut Rules, status: &Status, seconds: u64) -> Vec<(Step, Rule)> {
    let transitions = rules.observe(status, at(seconds));
    transitions.iter().map(|one| (one.step, one.rule)).collect()
}

/// Observes the same each second, and returns when what happened.
fn wait(rules: &mut Rules, status: &Status, from: u64, to: u64) -> Vec<(u64, Step, Rule)> {
    let mut happened = Vec::new();
    for second in from..=to {
        let steps = steps(rules, status, second).into_iter();
        happened.extend(steps.map(|(step, rule)| (second, step, rule)));
    }
    happened
}

#[test]
fn plaintext_that_is_served_is_told_for_each_service_and_ends_a_minute_after_the_last() {
    let (mut rules, mut status) = begun();
    served(&mut status, 0, 2);
    served(&mut status, 1, 1);
    let started = rules.observe(&status, at(1));
    let services: Vec<_> = started
        .iter()
        .map(|one| one.alert.labels["service"].as_str())
        .collect();
    assert_eq!(services, ["orders", "stock"]);
    let orders = &started[0];
    assert_eq!(
        (orders.step, orders.rule),
        (Step::Started, Rule::PlaintextServed)
    );
    assert_eq!(orders.alert.severity, Severity::Critical);
    assert_eq!(orders.alert.summary, "orders answers in clear");
    assert!(
        orders.alert.description.contains("2 connections"),
        "{orders:?}"
    );
    assert!(orders.alert.description.contains("http1"), "{orders:?}");
    assert!(orders.alert.action.contains("on_plaintext"), "{orders:?}");
    assert_eq!(orders.alert.started_ms, at(1).unix_ms);
    assert!(wait(&mut rules, &status, 2, 29).is_empty());
    // One more of one of them.
    served(&mut status, 0, 3);
    assert!(steps(&mut rules, &status, 30).is_empty(), "it goes on");
    let ended = wait(&mut rules, &status, 31, 119);
    let resolved = |second| (second, Step::Resolved, Rule::PlaintextServed);
    assert_eq!(ended, [resolved(61), resolved(90)]);
    assert_eq!(rules.active().count(), 0);
}

#[test]
fn plaintext_is_no_alert_where_it_may_be_nor_what_was_there_before() {
    let mut status = status();
    status.services[1].encryption = "optional".to_owned();
    served(&mut status, 0, 7);
    let mut rules = Rules::default();
    assert!(
        rules.observe(&status, at(0)).is_empty(),
        "counted by an earlier agent"
    );
    served(&mut status, 1, 9);
    assert!(
        rules.observe(&status, at(1)).is_empty(),
        "plaintext is optional"
    );
}

#[test]
fn credentials_are_told_for_each_service_and_scheme() {
    let (mut rules, mut status) = begun();
    let credentials = &mut status.services[0].credentials;
    credentials.insert("basic".to_owned(), 1);
    credentials.insert("bearer".to_owned(), 4);
    let started = rules.observe(&status, at(1));
    let labels: Vec<_> = started
        .iter()
        .map(|one| (one.rule, one.alert.labels["scheme"].as_str()))
        .collect();
    let exposed = Rule::CredentialExposed;
    assert_eq!(labels, [(exposed, "basic"), (exposed, "bearer")]);
    let resolved = wait(&mut rules, &status, 2, 70);
    assert_eq!(resolved, [(61, Step::Resolved, exposed); 2]);
}

/// So many bans, all that there ever were.
fn ban(status: &mut Status, count: u64) {
    (status.bans, status.bans_begun) = (count, count);
    let banned = (0..count.min(10)).map(|number| Banned {
        source: format!("192.0.2.{number}/32").parse().expect("a network"),
        since: 1,
        until: 2,
        times: 1,
    });
    status.banned_last = banned.collect();
}

#[test]
fn bans_are_one_alert_with_some_of_the_sources_and_more_of_them_are_news_once_a_minute() {
    let (mut rules, mut status) = begun();
    ban(&mut status, 2);
    let started = rules.observe(&status, at(1));
    assert_eq!(started.len(), 1, "{started:?}");
    let alert = &started[0].alert;
    assert_eq!(alert.summary, "2 sources banned");
    assert!(alert.labels.is_empty(), "no address is a label: {alert:?}");
    assert_eq!(alert.sources, ["192.0.2.0/32", "192.0.2.1/32"]);
    let mut news = Vec::new();
    for second in 2..=118 {
        ban(&mut status, 1 + second);
        news.extend(rules.observe(&status, at(second)));
    }
    assert_eq!(news.len(), 1, "{news:?}");
    assert_eq!((news[0].step, news[0].rule), (Step::News, Rule::Ban));
    assert_eq!(news[0].alert.summary, "62 sources banned");
    assert_eq!(news[0].alert.sources.len(), 10);
    assert!(
        news[0].alert.description.contains("the last 10"),
        "{news:?}"
    );
    status.bans = 0;
    let ended = wait(&mut rules, &status, 119, 130);
    assert!(
        ended.contains(&(123, Step::Resolved, Rule::Ban)),
        "{ended:?}"
    );
}

/// Observes a counter that grows by `rate` a second.
fn flow(
    rules: &mut Rules,
    status: &mut Status,
    (reason, rate): (&str, u64),
    seconds: std::ops::RangeInclusive<u64>,
) -> Vec<(u64, Step, Rule)> {
    let mut happened = Vec::new();
    for second in seconds {
        let counts = &status.interfaces[0].packets;
        let before = counts.iter().find(|count| count.reason == reason);
        let before = before.map_or(0, |count| count.packets);
        dropped(status, reason, before + rate);
        let steps = steps(rules, status, second).into_iter();
        happened.extend(steps.map(|(step, rule)| (second, step, rule)));
    }
    happened
}

#[test]
fn a_flood_begins_after_three_seconds_and_ends_when_it_has_been_half_as_much_for_a_while() {
    let (mut rules, mut status) = begun();
    let (started, resolved) = (
        |second| (second, Step::Started, Rule::Flood),
        |second| (second, Step::Resolved, Rule::Flood),
    );
    let mut flow = |rate, seconds| flow(&mut rules, &mut status, ("limit_packets", rate), seconds);
    assert!(flow(999, 1..=20).is_empty(), "below");
    assert!(flow(1_000, 21..=23).is_empty(), "too short");
    assert!(flow(0, 24..=24).is_empty());
    assert_eq!(flow(1_000, 25..=30), [started(28)]);
    assert!(flow(500, 31..=119).is_empty(), "it goes on");
    assert_eq!(flow(500, 120..=120), [(120, Step::Continues, Rule::Flood)]);
    assert!(flow(499, 121..=140).is_empty());
    // A second at which it was enough again does not make it one.
    assert!(flow(900, 141..=141).is_empty());
    assert_eq!(flow(499, 142..=200), [resolved(150)]);
}

#[test]
fn a_flood_says_where_why_and_how_much_and_is_one_for_each_reason() {
    let (mut rules, mut status) = begun();
    let mut started = Vec::new();
    for second in 1..=10 {
        dropped(&mut status, "limit_packets", second * 12_345);
        counted(&mut status, "would_drop", "malformed", second * 2_000);
        dropped(&mut status, "deny", second * 9_999);
        dropped(&mut status, "plaintext", second * 9_999);
        counted(&mut status, "pass", "pass", second * 1_000_000);
        started.extend(rules.observe(&status, at(second)));
    }
    let labels: Vec<_> = started
        .iter()
        .map(|one| {
            (
                one.alert.labels["iface"].as_str(),
                one.alert.labels["reason"].as_str(),
            )
        })
        .collect();
    assert_eq!(labels, [("eth0", "limit_packets"), ("eth0", "malformed")]);
    assert_eq!(
        started[0].alert.summary,
        "flood on eth0: 12000 packets a second are dropped (limit_packets)"
    );
    assert!(
        started[1].alert.summary.contains("would be dropped"),
        "{started:?}"
    );
}

#[test]
fn what_the_operator_refuses_is_a_flood_when_there_is_ten_times_as_much() {
    for reason in ["deny", "feed", "ban", "service_acl"] {
        let (mut rules, mut status) = begun();
        assert!(flow(&mut rules, &mut status, (reason, 9_999), 1..=10).is_empty());
        let more = flow(&mut rules, &mut status, (reason, 10_000), 11..=15);
        assert_eq!(more, [(14, Step::Started, Rule::Flood)], "{reason}");
    }
}

#[test]
fn a_late_look_makes_no_flood_of_few_packets() {
    let (mut rules, mut status) = begun();
    for (second, packets) in [(60, 50_000), (120, 100_000), (180, 150_000)] {
        dropped(&mut status, "limit_packets", packets);
        assert!(
            steps(&mut rules, &status, second).is_empty(),
            "833 a second"
        );
    }
}

#[test]
fn who_is_shut_out_is_told_at_once() {
    let (mut rules, mut status) = begun();
    let happened = flow(&mut rules, &mut status, ("new_sources", 5), 1..=2);
    assert_eq!(happened, [(1, Step::Started, Rule::NewSourcesGateClosed)]);
    let happened = wait(&mut rules, &status, 3, 60);
    assert_eq!(happened, [(32, Step::Resolved, Rule::NewSourcesGateClosed)]);
}

/// A change of the snapshot.
type Change = fn(&mut Status);

#[test]
fn whatever_the_agent_does_less_well_is_told_and_ends_when_it_is_mended() {
    let cases: [(&str, Change, Change); 6] = [
        (
            "not_attached",
            |status| status.interfaces[0].attached = None,
            |status| status.interfaces[0].attached = Some("native".to_owned()),
        ),
        (
            "not_pinned",
            |status| status.pinned = false,
            |status| status.pinned = true,
        ),
        ("events_lost", |status| status.events.lost += 1, |_| ()),
        (
            "log_lines_dropped",
            |status| status.log_lines_dropped += 1,
            |_| (),
        ),
        (
            "reload_failed",
            |status| status.last_reload_failed = true,
            |status| status.last_reload_failed = false,
        ),
        ("", |_| (), |_| ()),
    ];
    for (what, degrade, mend) in cases {
        let (mut rules, mut status) = begun();
        degrade(&mut status);
        let started = rules.observe(&status, at(1));
        let told: Vec<_> = started
            .iter()
            .map(|one| (one.step, one.rule, one.alert.labels["what"].as_str()))
            .collect();
        if what.is_empty() {
            assert!(told.is_empty(), "{told:?}");
            continue;
        }
        assert_eq!(told, [(Step::Started, Rule::AgentDegraded, what)]);
        mend(&mut status);
        let ended = wait(&mut rules, &status, 2, 20);
        assert_eq!(ended, [(6, Step::Resolved, Rule::AgentDegraded)], "{what}");
    }
}

#[test]
fn entries_that_nothing_stands_for_are_told() {
    let (mut rules, mut status) = begun();
    // Another entry may go before one that is not in force.
    status.rules[0].in_force = 2;
    assert!(steps(&mut rules, &status, 1).is_empty());
    status.rules[0].missing = 1;
    let started = rules.observe(&status, at(2));
    assert_eq!(started[0].rule, Rule::ConfiguredNotEnforced);
    assert_eq!(started[0].alert.labels["list"], "deny");
    assert_eq!(
        started[0].alert.summary,
        "1 entry of the list deny not in force"
    );
    status.rules[0].missing = 0;
    let ended = wait(&mut rules, &status, 3, 20);
    assert_eq!(ended, [(7, Step::Resolved, Rule::ConfiguredNotEnforced)]);
}

#[test]
fn what_goes_on_is_told_again_every_two_minutes() {
    let (mut rules, mut status) = begun();
    status.pinned = false;
    let happened = wait(&mut rules, &status, 1, 400);
    let (first, again): (Vec<_>, Vec<_>) = happened
        .into_iter()
        .partition(|(_, step, _)| *step == Step::Started);
    assert_eq!(first, [(1, Step::Started, Rule::AgentDegraded)]);
    let seconds: Vec<u64> = again.iter().map(|(second, _, _)| *second).collect();
    assert!(again.iter().all(|(_, step, _)| *step == Step::Continues));
    assert_eq!(
        seconds
            .windows(2)
            .map(|two| two[1] - two[0])
            .collect::<Vec<_>>(),
        [120, 120]
    );
}

#[test]
fn an_alert_that_comes_and_goes_begins_once_a_minute_at_most_and_lasts_longer_each_time() {
    let (mut rules, mut status) = begun();
    let mut happened = Vec::new();
    for second in 1..=1_800 {
        // For a second of every eight.
        status.pinned = second % 8 != 0;
        happened.extend(
            rules
                .observe(&status, at(second))
                .into_iter()
                .map(|one| (second, one.step)),
        );
    }
    let starts: Vec<u64> = happened
        .iter()
        .filter(|(_, step)| *step == Step::Started)
        .map(|(second, _)| *second)
        .collect();
    // The second one lasts ten seconds, so it never ends.
    assert_eq!(starts, [8, 72], "{happened:?}");
    assert_eq!(rules.active().count(), 1);
}

#[test]
fn the_next_agent_ends_what_is_over_and_does_not_begin_anew_what_is_not() {
    let (mut rules, mut status) = begun();
    status.pinned = false;
    status.last_reload_failed = true;
    assert_eq!(steps(&mut rules, &status, 1).len(), 2);
    let text = serde_json::to_string(&rules.kept()).expect("text");
    let kept = serde_json::from_str(&text).expect("what is on");

    let mut next = Rules::resume(kept, at(100));
    status.last_reload_failed = false;
    let happened = wait(&mut next, &status, 100, 200);
    assert_eq!(happened, [(105, Step::Resolved, Rule::AgentDegraded)]);
    let left: Vec<_> = next.active().collect();
    assert_eq!(left[0].1.labels["what"], "not_pinned");
    assert_eq!(left[0].1.started_ms, at(1).unix_ms, "it began then");
}

#[test]
fn a_clock_that_is_set_back_changes_nothing_but_what_is_told() {
    let (mut rules, mut status) = begun();
    status.pinned = false;
    assert_eq!(steps(&mut rules, &status, 1).len(), 1);
    status.pinned = true;
    let back = Now {
        unix_ms: 5,
        ..at(20)
    };
    let ended = rules.observe(&status, back);
    assert_eq!(ended[0].step, Step::Resolved);
    assert_eq!(
        (ended[0].alert.started_ms, ended[0].alert.ended_ms),
        (5, Some(5))
    );
}

#[test]
fn counters_that_begin_anew_are_no_flood() {
    let (mut rules, mut status) = begun();
    flow(&mut rules, &mut status, ("limit_packets", 100), 1..=10);
    dropped(&mut status, "limit_packets", 0);
    let happened = flow(&mut rules, &mut status, ("limit_packets", 100), 11..=20);
    assert!(happened.is_empty(), "{happened:?}");
}

/// What may happen in a second.
fn second() -> impl Strategy<Value = (u64, u64, bool, u64)> {
    (0..3_u64, 0..3_000_u64, any::<bool>(), 1..5_u64)
}

proptest! {
    /// Of each alert: begin and end take turns, it begins at most once a minute, and no label holds
    /// anything but the names in the snapshot.
    #[test]
    fn begin_and_end_take_turns(seconds in prop::collection::vec(second(), 1..400)) {
        let (mut rules, mut status) = begun();
        let mut now = 0;
        let (mut plaintext, mut drops) = (0, 0);
        let mut on: BTreeMap<(Rule, BTreeMap<String, String>), u64> = BTreeMap::new();
        let mut last_start: BTreeMap<(Rule, BTreeMap<String, String>), u64> = BTreeMap::new();
        for (served_now, dropped_now, pinned, pause) in seconds {
            now += pause;
            plaintext += served_now / 2;
            drops += dropped_now;
            served(&mut status, 0, plaintext);
            dropped(&mut status, "limit_packets", drops);
            status.pinned = pinned;
            ban(&mut status, served_now);
            for one in rules.observe(&status, at(now)) {
                let known = ["service", "iface", "reason", "what"];
                prop_assert!(one.alert.labels.keys().all(|name| known.contains(&name.as_str())));
                let subject = (one.rule, one.alert.labels.clone());
                match one.step {
                    Step::Started => {
                        prop_assert!(on.insert(subject.clone(), now).is_none());
                        let before = last_start.insert(subject, now);
                        prop_assert!(before.is_none_or(|before| now - before >= 60));
                    }
                    Step::Resolved => {
                        prop_assert!(on.remove(&subject).is_some());
                        prop_assert!(one.alert.ended_ms >= Some(one.alert.started_ms));
                    }
                    Step::News | Step::Continues => prop_assert!(on.contains_key(&subject)),
                }
            }
            prop_assert_eq!(rules.active().count(), on.len());
        }
    }
}
