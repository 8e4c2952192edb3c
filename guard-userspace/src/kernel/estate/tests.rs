use serde_json::{Value, json};

use super::*;
use crate::config::Config;

/// As an older version may have left it: fewer maps, words and fields.
const OLDER: &str = r#"{
  "boot_id": "4f1d", "abi": 3, "generation": 7, "counters_id": 12,
  "hash_seed": [1, 2], "clock": "jiffies", "tick_ns": 4000000,
  "layouts": { "COUNTERS": 1, "KNOWN": 1, "SOURCES": 1 },
  "labels": { "interfaces": ["eth0"], "verdicts": ["pass", "drop"], "reasons": ["pass", "deny"] }
}"#;

/// As a newer one may: a map means something else, and there is more everywhere.
const NEWER: &str = r#"{
  "boot_id": "4f1d", "abi": 99, "generation": 7, "counters_id": 12,
  "hash_seed": [1, 2], "clock": "jiffies", "tick_ns": 4000000, "written_by": "9.0",
  "layouts": { "COUNTERS": 1, "KNOWN": 1, "SOURCES": 2, "COUNTRIES": 1 },
  "labels": {
    "interfaces": ["eth0"], "services": [], "verdicts": ["pass", "drop", "delay"],
    "reasons": ["pass"], "outcomes": [], "protocols": [], "countries": ["at"]
  },
  "carried": {
    "packets": { "eth0 drop deny": [5, 320] }, "connections": {}, "requests": { "a": [1] }
  }
}"#;

fn plan() -> Plan {
    let config = Config::parse("guard.toml", "interfaces = [\"eth0\"]").expect("a configuration");
    let tick = Tick {
        clock: Clock::Jiffies,
        ns: 4_000_000,
    };
    Plan::new(&config, tick, [1, 2])
}

fn deed(text: &str) -> Deed {
    serde_json::from_str(text).expect("a deed")
}

/// The maps that are taken over.
fn kept(deed: &Deed, plan: &Plan) -> Vec<&'static str> {
    let kept = MAPS.iter().filter(|map| deed.means_the_same(map, plan));
    kept.map(|map| map.name).collect()
}

#[test]
fn of_another_versions_deed_what_is_known_is_gone_on_with() {
    let (older, newer, plan) = (deed(OLDER), deed(NEWER), plan());
    for deed in [&older, &newer] {
        assert_eq!(deed.clock(), Some((plan.tick, [1, 2])));
        assert_eq!((deed.generation, deed.counters_id), (7, 12));
        assert_eq!(deed.labels.interfaces, ["eth0"]);
    }
    // Counters start afresh since their words are others: by those, counts are carried over.
    assert_eq!(kept(&older, &plan), ["SOURCES", "KNOWN"]);
    assert_eq!(kept(&newer, &plan), ["KNOWN"], "sources mean another thing");
    assert_eq!(older.carried, Carried::default());
    let counted = newer.carried.packets(["eth0", "drop", "deny"]);
    assert_eq!((counted.packets, counted.bytes), (5, 320));
}

#[test]
fn nothing_is_gone_on_with_by_a_clock_or_places_that_are_not_known() {
    let plan = plan();
    let lacks = |field: &str| {
        let mut text: Value = serde_json::from_str(OLDER).expect("a deed");
        text.as_object_mut().expect("fields").remove(field);
        deed(&text.to_string())
    };
    for field in ["hash_seed", "clock", "tick_ns"] {
        let deed = lacks(field);
        assert_eq!(deed.clock(), None, "{field}");
        assert_eq!(kept(&deed, &plan), [""; 0], "{field}");
        assert_eq!(deed.labels.verdicts, ["pass", "drop"], "counts are");
    }
    assert_eq!(kept(&lacks("layouts"), &plan), [""; 0]);
    // Which maps, is no guess either.
    assert_eq!(lacks("boot_id").boot_id, "");
    let mut zero: Value = serde_json::from_str(OLDER).expect("a deed");
    for wrong in [json!(0), json!(null)] {
        zero["tick_ns"] = wrong;
        assert_eq!(deed(&zero.to_string()).clock(), None);
    }
}

#[test]
fn no_two_maps_are_called_alike_by_the_kernel() {
    let object = Object::parse(OBJECT).expect("the kernel side");
    let mut names: Vec<&[u8]> = object.maps.keys().map(|name| kernel_name(name)).collect();
    let all = names.len();
    names.sort_unstable();
    names.dedup();
    assert_eq!(names.len(), all);
    assert_eq!(kernel_name("A_NAME_THAT_IS_LONG"), b"A_NAME_THAT_IS_");
}
