//! Whether connections are encrypted: each row of the table in `docs/ENCRYPTION.md`, put into segments
//! in many ways.

use std::{collections::BTreeMap, time::Duration};

use self::rows::{ROWS, Row, UNSEEN};
use crate::{
    conversation::{Conversation, Does::C, Opens, WAYS, Way},
    rig::{MANUAL, Rig},
};

mod frames;
mod payloads;
mod refusals;
mod rows;

/// The services, named after what they do with plaintext, and their ports.
const SERVICES: &str = r#"
    [[service]]
    name = "drops"
    ports = [8443, "9000-9002"]
    on_plaintext = "drop"
    [[service]]
    name = "flags"
    ports = [8080]
    [[service]]
    name = "resets"
    ports = [8444]
    on_plaintext = "reset"
    [[service]]
    name = "strict"
    ports = [8445]
    on_plaintext = "drop"
    strict = true
    [[service]]
    name = "ignores"
    ports = [8001]
    encryption = "off"
    on_plaintext = "drop"
    [[service]]
    name = "calls"
    direction = "outbound"
    ports = [8080]
"#;

const FLAGS: u16 = 8080;

/// Every conversation once, each between ports of its own.
struct Stage {
    rig: Rig,
    now: Duration,
    port: u16,
    failures: String,
}

impl Stage {
    fn new(configuration: &str) -> Self {
        Self {
            rig: Rig::load(configuration, MANUAL),
            now: Duration::from_secs(1),
            port: 10_000,
            failures: String::new(),
        }
    }

    fn conversation(&mut self, way: Way, outbound: bool, port: u16) -> Conversation<'_> {
        self.port += 1;
        let ports = [self.port, port];
        Conversation::new(&mut self.rig, &mut self.now, way, outbound, ports)
    }

    fn check(&mut self, row: &Row, opens: Opens, way: Way, outbound: bool) {
        let service = if outbound { "calls" } else { "flags" };
        let conversation = self.conversation(way, outbound, FLAGS);
        let (counts, passed) = conversation.run(opens, row.does);
        let name = format!("connections {service}/{}/{}", row.verdict, row.protocol);
        if counts != BTreeMap::from([(name, 1)]) || passed.contains(&false) {
            let Row {
                name,
                verdict,
                protocol,
                ..
            } = row;
            let line = format!(
                "{name} ({opens:?}, {way:?}, outbound {outbound}): {counts:?}, not {verdict} {protocol}\n"
            );
            self.failures.push_str(&line);
        }
    }

    fn end(self) {
        assert!(self.failures.is_empty(), "\n{}", self.failures);
    }
}

#[test]
fn the_table_is_the_one_in_the_documents() {
    let page = include_str!("../../../docs/ENCRYPTION.md");
    let table = page.split("## What follows").nth(1).expect("the table");
    let rows = table.lines().filter_map(|line| {
        let mut cells = line.strip_prefix("| ")?.split(" | ");
        let (name, verdict) = (cells.next()?, cells.next()?.strip_prefix('`')?);
        let protocol = cells.next()?.strip_prefix('`')?;
        let word = |cell: &str| cell.split('`').next().map(str::to_owned);
        Some((name.to_owned(), word(verdict)?, word(protocol)?))
    });
    let ours = ROWS.iter().chain(UNSEEN).map(|row| {
        let [name, verdict, protocol] = [row.name, row.verdict, row.protocol].map(str::to_owned);
        (name, verdict, protocol)
    });
    assert_eq!(rows.collect::<Vec<_>>(), ours.collect::<Vec<_>>());
}

#[test]
fn each_row_holds_however_it_is_put_into_segments() {
    let mut stage = Stage::new(SERVICES);
    for row in ROWS {
        // Text is only followed in its order.
        let is_fit = |way: &Way| *way != Way::Swapped || !row.needs_text();
        for way in WAYS.into_iter().filter(is_fit) {
            stage.check(row, Opens::Shakes, way, false);
        }
    }
    stage.end();
}

#[test]
fn each_row_holds_for_what_the_host_calls() {
    let mut stage = Stage::new(SERVICES);
    for row in ROWS {
        for way in [Way::Whole, Way::Bytes, Way::Ipv6] {
            stage.check(row, Opens::Shakes, way, true);
        }
    }
    stage.end();
}

#[test]
fn data_in_the_syn_counts() {
    let mut stage = Stage::new(SERVICES);
    let by_client = |row: &&Row| matches!(row.does.first(), Some(C(_)));
    for row in ROWS.iter().filter(by_client) {
        stage.check(row, Opens::Fast, Way::Whole, false);
    }
    stage.end();
}

#[test]
fn what_nobody_saw_begin_is_told_by_strong_signs_only() {
    let mut stage = Stage::new(SERVICES);
    for row in UNSEEN {
        for way in [Way::Whole, Way::Ipv6, Way::Vlan] {
            stage.check(row, Opens::Unseen, way, false);
        }
        stage.check(row, Opens::Unseen, Way::Whole, true);
    }
    stage.end();
}
