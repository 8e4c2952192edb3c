//! A picture as lines of text of a given width, pane by pane.

use super::{
    picture::{Flow, Picture, ServiceRow, TalkerRow, VerdictRow},
    text::{count, cut, fit, lasting, percent, right, short},
};

/// Columns of a figure, the space before it included.
const FIGURE: usize = 8;
/// Columns of a reason: the longest has 17.
const REASON: usize = 18;

/// A part of the picture.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Pane {
    /// Its heading, which names the columns.
    pub(super) head: String,
    /// Its rows.
    pub(super) rows: Vec<Row>,
    /// What stands in their place where there are none.
    pub(super) empty: &'static str,
}

/// A row of a pane.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Row {
    pub(super) text: String,
    pub(super) mark: Mark,
}

/// What a row is to the eye.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Mark {
    /// As it should be.
    Plain,
    /// Nothing goes on.
    Faint,
    /// To be looked at.
    Notable,
    /// Refused, in clear or not protected.
    Bad,
}

/// How many panes there are.
pub(super) const PANES: usize = 5;

/// All of them, in the order in which they are shown.
pub(super) fn panes(picture: &Picture, width: usize) -> [Pane; PANES] {
    [
        interfaces(picture, width),
        reasons(picture, width),
        talkers(picture, width),
        services(picture, width),
        events(picture, width),
    ]
}

impl Picture {
    /// The first line: what runs, and how.
    pub(super) fn title(&self) -> String {
        let Self {
            version,
            mode,
            bans,
            ..
        } = self;
        let uptime = lasting(self.uptime_seconds);
        format!("guard {version} · {mode} · up {uptime} · {bans} banned")
    }

    /// What a refusal is called.
    fn refusal(&self) -> &'static str {
        if self.mode == "enforce" {
            "DROP"
        } else {
            "WOULD DROP"
        }
    }

    /// A figure a second; before there are two looks nothing is known.
    fn speed(&self, value: f64) -> String {
        if self.seconds > 0.0 {
            short(value)
        } else {
            "-".to_owned()
        }
    }

    fn flow(&self, flow: &Flow) -> String {
        [flow.packets_per_second, flow.bytes_per_second]
            .map(|value| right(&self.speed(value), FIGURE))
            .concat()
    }
}

/// Names of columns, each at the right of its own.
fn heads(names: &[&str]) -> String {
    names.iter().map(|name| right(name, FIGURE)).collect()
}

fn interfaces(picture: &Picture, width: usize) -> Pane {
    const MODE: usize = 13;
    let name = width.saturating_sub(MODE + 6 * FIGURE).clamp(10, 24);
    let refusal = picture.refusal();
    let rows = picture.interfaces.iter().map(|interface| {
        let attached = interface.attached.as_deref();
        let totals = [interface.passed.packets, interface.refused.packets];
        let figures = [
            picture.flow(&interface.passed),
            picture.flow(&interface.refused),
            totals.map(|total| right(&count(total), FIGURE)).concat(),
        ];
        let text = [
            fit(&interface.name, name),
            fit(attached.unwrap_or("NOT ATTACHED"), MODE),
            figures.concat(),
        ];
        let mark = match attached {
            None => Mark::Bad,
            Some(_) if interface.refused.packets_per_second > 0.0 => Mark::Notable,
            Some(_) => Mark::Plain,
        };
        row(&text.concat(), mark, width)
    });
    let names = [
        "PASS/s", "BYTES/s", "DROP/s", "BYTES/s", "PASSED", "DROPPED",
    ];
    let mode = if refusal == "DROP" { "" } else { "would drop" };
    let head = fit("INTERFACES", name) + &fit(mode, MODE) + &heads(&names);
    Pane {
        head: cut(&head, width),
        rows: rows.collect(),
        empty: "no interface",
    }
}

fn reasons(picture: &Picture, width: usize) -> Pane {
    const VERDICT: usize = 12;
    let rows = picture.reasons.iter().map(|counted| {
        let totals = [counted.flow.packets, counted.flow.bytes];
        let text = [
            fit(&counted.reason, REASON),
            fit(&counted.verdict, VERDICT),
            picture.flow(&counted.flow),
            totals.map(|total| right(&count(total), FIGURE)).concat(),
        ];
        let is_still = picture.seconds > 0.0 && counted.flow.packets_per_second <= 0.0;
        let mark = match &*counted.verdict {
            _ if is_still => Mark::Faint,
            "pass" if counted.reason == "plaintext" => Mark::Notable,
            "pass" => Mark::Plain,
            "drop" | "reset" => Mark::Bad,
            _ => Mark::Notable,
        };
        row(&text.concat(), mark, width)
    });
    let names = ["PKTS/s", "BYTES/s", "PACKETS", "BYTES"];
    let head = fit("REASONS", REASON) + &fit("VERDICT", VERDICT) + &heads(&names);
    Pane {
        head: cut(&head, width),
        rows: rows.collect(),
        empty: "no packet yet",
    }
}

fn talkers(picture: &Picture, width: usize) -> Pane {
    const BAN: usize = 10;
    let source = width.saturating_sub(3 * FIGURE + 2 + REASON + BAN);
    let source = source.clamp(15, 44);
    let rows = picture.talkers.iter().map(|talker| {
        let text = [
            fit(&talker.source, source),
            right(&short(talker.packets_per_second), FIGURE),
            right(&short(talker.bytes_per_second), FIGURE),
            right(&percent(talker.refused_share), FIGURE),
            "  ".to_owned(),
            fit(&talker.reason, REASON),
            banned(talker),
        ];
        let mark = match talker.refused_share {
            _ if talker.banned_for_seconds.is_some() => Mark::Bad,
            share if share >= 0.5 => Mark::Bad,
            share if share > 0.0 => Mark::Notable,
            _ => Mark::Plain,
        };
        row(&text.concat(), mark, width)
    });
    let names = ["~PKTS/s", "BYTES/s", "REFUSED"];
    let head = fit("TOP TALKERS", source) + &heads(&names) + "  REASON";
    Pane {
        head: cut(&head, width),
        rows: rows.collect(),
        empty: "nobody sends enough to be seen in the sample",
    }
}

fn banned(talker: &TalkerRow) -> String {
    let seconds = talker.banned_for_seconds;
    seconds.map_or_else(String::new, |seconds| format!("ban {}", lasting(seconds)))
}

fn services(picture: &Picture, width: usize) -> Pane {
    const NAME: usize = 14;
    const PORTS: usize = 12;
    const DEMAND: usize = 16;
    let rows = picture.services.iter().map(|service| {
        let each = by_weight(&service.connections).into_iter().map(|verdict| {
            let speed = verdict.per_second;
            let rate = if speed > 0.0 {
                format!(" +{}/s", short(speed))
            } else {
                String::new()
            };
            format!("{} {}{rate}", verdict.verdict, count(verdict.connections))
        });
        let verdicts = each.collect::<Vec<_>>().join(", ");
        let verdicts = if verdicts.is_empty() { "-" } else { &verdicts };
        let text = [
            fit(&service.name, NAME - 1),
            fit(&service.ports.join(","), PORTS - 1),
            fit(&demand(service), DEMAND - 1),
            verdicts.to_owned(),
        ];
        row(&text.join(" "), mark_of(service), width)
    });
    let head = fit("SERVICES", NAME) + &fit("PORTS", PORTS) + &fit("ENCRYPTION", DEMAND);
    Pane {
        head: cut(&(head + "CONNECTIONS"), width),
        rows: rows.collect(),
        empty: "no service",
    }
}

/// What is in clear comes first: the end of the line may be cut off.
fn by_weight(connections: &[VerdictRow]) -> Vec<&VerdictRow> {
    let mut rows: Vec<_> = connections.iter().collect();
    rows.sort_by_key(|row| !row.verdict.starts_with("plaintext"));
    rows
}

/// What is demanded, and what happens otherwise.
fn demand(service: &ServiceRow) -> String {
    if service.encryption == "required" {
        format!("{}, {}", service.encryption, service.on_plaintext)
    } else {
        service.encryption.clone()
    }
}

/// Nothing may be served in clear where encryption is required.
fn mark_of(service: &ServiceRow) -> Mark {
    let had = |verdicts: &[&str]| {
        let mut connections = service.connections.iter();
        connections.any(|row| verdicts.contains(&&*row.verdict))
    };
    match &*service.encryption {
        "required" if had(&["plaintext_served"]) => Mark::Bad,
        "required" if had(&["redirected", "plaintext_attempt"]) => Mark::Notable,
        "off" => Mark::Faint,
        _ => Mark::Plain,
    }
}

/// Newest first, so that what is new is seen without scrolling.
fn events(picture: &Picture, width: usize) -> Pane {
    let rows = picture.events.iter().rev().map(|event| {
        let text = format!("{} {}", clock(event.time_ms), undated(&event.text));
        let mark = if event.text.contains(" plaintext ") {
            Mark::Notable
        } else {
            Mark::Plain
        };
        row(&text, mark, width)
    });
    Pane {
        head: cut("EVENTS newest first, times in UTC", width),
        rows: rows.collect(),
        empty: "nothing found yet",
    }
}

/// The time of day.
pub(super) fn clock(time_ms: u64) -> String {
    let seconds = time_ms / 1000 % 86_400;
    let (hours, minutes) = (seconds / 3600, seconds / 60 % 60);
    format!("{hours:02}:{minutes:02}:{:02}", seconds % 60)
}

/// The text without the date and time at its start.
fn undated(text: &str) -> &str {
    match text.split_once(' ') {
        Some((date, rest)) if date.ends_with('Z') && date.contains('T') => rest,
        _ => text,
    }
}

fn row(text: &str, mark: Mark, width: usize) -> Row {
    Row {
        text: cut(text.trim_end(), width),
        mark,
    }
}
