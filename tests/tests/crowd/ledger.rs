//! What has to be said of the connections, held against what guard says.

use std::{
    collections::BTreeMap,
    thread,
    time::{Duration, Instant},
};

use anyhow::Result;
use lab::agent::Agent;
use serde_json::Value;

use crate::{clients::Made, town::Service};

/// An encryption verdict and a protocol.
pub(crate) type Verdict = (&'static str, &'static str);

/// Connections by verdict and protocol.
type Counts = BTreeMap<(String, String), u64>;

/// What a connection may be that its client broke off before it had its answer. No other verdict may
/// be given to more connections than there are of which it is right.
const BROKEN_OFF: [&str; 3] = ["plaintext_attempt", "unknown", "empty"];
/// How many connections a client breaks off at its end: those of wrk, and the one it tries the server
/// with.
const MOST_BROKEN_OFF: u64 = 17;
/// Of a thousand connections, how many may be `unknown` or `blind`.
const UNTOLD_PER_MILLE: u64 = 1;
/// A connection that is not closed ends after a minute.
const PATIENCE: Duration = Duration::from_secs(75);

/// What the clients did.
#[derive(Default)]
pub(crate) struct Ledger {
    lines: Vec<Line>,
}

struct Line {
    service: &'static str,
    verdict: Verdict,
    made: Made,
}

impl Ledger {
    /// Notes a client's visits to a service, all of which are to have this verdict but those that the
    /// client broke off.
    pub(crate) fn note(
        &mut self,
        client: &'static str,
        service: Service,
        verdict: Verdict,
        made: Made,
    ) {
        let Service { name: service, .. } = service;
        println!("{client} at {service}: {made:?}");
        assert!(made.done > 0, "{client} came to nothing at {service}");
        let broken_off = made.opened.checked_sub(made.done);
        assert!(
            broken_off.is_some_and(|count| count <= MOST_BROKEN_OFF),
            "{client} kept connections, or failed, at {service}: {made:?}"
        );
        self.lines.push(Line {
            service,
            verdict,
            made,
        });
    }

    /// Connections that were opened.
    pub(crate) fn opened(&self) -> u64 {
        self.lines.iter().map(|line| line.made.opened).sum()
    }

    /// Waits until guard has counted all of them, and compares.
    pub(crate) fn wait_and_compare(&self, agent: &Agent) -> Result<()> {
        let start = Instant::now();
        let said = loop {
            let said = said(&agent.status()?);
            let counted: u64 = said.values().flat_map(BTreeMap::values).sum();
            if counted >= self.opened() || start.elapsed() > PATIENCE {
                break said;
            }
            thread::sleep(Duration::from_millis(200));
        };
        println!("all counted after {:.1?}", start.elapsed());
        let wrong = self.compare(&said);
        assert!(wrong.is_empty(), "{wrong:#?}");
        Ok(())
    }

    /// Prints the table, and returns what is wrong in it.
    fn compare(&self, said: &BTreeMap<String, Counts>) -> Vec<String> {
        let mut wrong = Vec::new();
        let mut untold = 0;
        for (service, counts) in said {
            let lines: Vec<_> = self
                .lines
                .iter()
                .filter(|line| line.service == service)
                .collect();
            let found = Found::new(&lines, counts);
            found.print(service);
            untold += found.untold();
            wrong.extend(
                found
                    .wrong()
                    .into_iter()
                    .map(|wrong| format!("{service}: {wrong}")),
            );
        }
        let opened = self.opened();
        println!("{opened} opened, {untold} of them unknown or blind");
        if untold * 1000 > opened * UNTOLD_PER_MILLE {
            wrong.push(format!("{untold} of {opened} are unknown or blind"));
        }
        wrong
    }
}

/// What was found of a service.
struct Found<'a> {
    lines: &'a [&'a Line],
    counts: &'a Counts,
}

impl<'a> Found<'a> {
    const fn new(lines: &'a [&'a Line], counts: &'a Counts) -> Self {
        Self { lines, counts }
    }

    fn print(&self, service: &str) {
        for ((verdict, protocol), made) in self.expected() {
            println!(
                "{service:14} {verdict:18} {protocol:10} {:6} of {:6} opened, {:6} counted",
                made.done,
                made.opened,
                self.counted(verdict, protocol)
            );
        }
        let expected = self.expected();
        for ((verdict, protocol), count) in self.counts {
            let is_expected = expected.contains_key(&(verdict, protocol));
            if !is_expected && *count > 0 {
                println!(
                    "{service:14} {verdict:18} {protocol:10} none expected, {count:6} counted"
                );
            }
        }
    }

    /// What there has to be of each verdict: so many at least, and at most.
    fn expected(&self) -> BTreeMap<(&str, &str), Made> {
        let mut all = BTreeMap::new();
        for line in self.lines {
            let made = all
                .entry(line.verdict)
                .or_insert(Made { done: 0, opened: 0 });
            made.done += line.made.done;
            made.opened += line.made.opened;
        }
        all
    }

    fn counted(&self, verdict: &str, protocol: &str) -> u64 {
        let key = (verdict.to_owned(), protocol.to_owned());
        self.counts.get(&key).copied().unwrap_or_default()
    }

    /// Those of which nothing was found out.
    fn untold(&self) -> u64 {
        let is_untold = |verdict: &str| matches!(verdict, "unknown" | "blind");
        let counts = self
            .counts
            .iter()
            .filter(|((verdict, _), _)| is_untold(verdict));
        counts.map(|(_, count)| count).sum()
    }

    fn wrong(&self) -> Vec<String> {
        let mut wrong = Vec::new();
        let expected = self.expected();
        let opened: u64 = expected.values().map(|made| made.opened).sum();
        let done: u64 = expected.values().map(|made| made.done).sum();
        let counted: u64 = self.counts.values().sum();
        if counted != opened {
            wrong.push(format!("{counted} were counted, {opened} opened"));
        }
        for ((verdict, protocol), made) in &expected {
            let counted = self.counted(verdict, protocol);
            if counted < made.done {
                wrong.push(format!(
                    "{counted} {verdict} {protocol} instead of {made:?}"
                ));
            }
        }
        for ((verdict, protocol), &counted) in self.counts {
            let known = expected.get(&(verdict, protocol));
            let mut most = known.map_or(0, |made| made.opened);
            if BROKEN_OFF.contains(&verdict.as_str()) {
                most += opened - done;
            }
            if counted > most {
                wrong.push(format!(
                    "{counted} {verdict} {protocol}, and at most {most} expected"
                ));
            }
        }
        wrong
    }
}

/// What `guard status` says of each service.
fn said(status: &Value) -> BTreeMap<String, Counts> {
    let services = status["services"].as_array();
    let services = services.into_iter().flatten();
    services
        .map(|service| {
            let name = service["name"].as_str().unwrap_or_default().to_owned();
            (name, counts(&service["connections"]))
        })
        .collect()
}

fn counts(connections: &Value) -> Counts {
    let mut counts = Counts::new();
    for (verdict, protocols) in connections.as_object().into_iter().flatten() {
        for (protocol, count) in protocols.as_object().into_iter().flatten() {
            let count = count.as_u64().unwrap_or_default();
            counts.insert((verdict.clone(), protocol.clone()), count);
        }
    }
    counts
}
