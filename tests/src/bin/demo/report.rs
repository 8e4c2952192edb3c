//! What the demo saw, as tables.

use lab::agent::field;

use crate::{
    Evidence,
    client::Latency,
    floods::{Floods, Outcome},
    scene::{CLIENT, PLAIN_CLIENT, PLAIN_PORT, TLS_PORT},
    text::{self, commas, ms},
};

/// Fields of a logged event that are the logger's own.
const LOGGER_FIELDS: [&str; 3] = ["timestamp", "level", "target"];

pub(crate) fn print(evidence: &Evidence) {
    text::heading("Who sent what, and what came of it");
    print_sources(evidence);
    print_latency(&evidence.before, &evidence.during);
    print_event(evidence);
    print_metrics(evidence);
}

fn print_sources(evidence: &Evidence) {
    let Floods { udp, syn, .. } = &evidence.floods;
    row(["source", "sent", "", "got through", "dropped", "why"]);
    let requests = evidence.before.requests() + evidence.during.requests();
    let failures = evidence.before.failures.len() + evidence.during.failures.len();
    row([
        &CLIENT.to_string(),
        &requests.to_string(),
        &format!("HTTPS requests to {TLS_PORT}"),
        &(requests - failures).to_string(),
        &failures.to_string(),
        "",
    ]);
    let [of_udp, of_syn] = evidence.floods.dropped_packets_by_source();
    flood_row(udp, "UDP, 64-byte frames", &[("limit_packets", of_udp)]);
    let connections = ("limit_connections", evidence.floods.dropped_connections);
    flood_row(
        syn,
        &format!("TCP SYN to {TLS_PORT}"),
        &[("limit_packets", of_syn), connections],
    );
    let answer = &evidence.plaintext.answer;
    let served = u8::from(answer.is_ok());
    row([
        &PLAIN_CLIENT.to_string(),
        "1",
        &format!("HTTP request to {PLAIN_PORT}"),
        &served.to_string(),
        &(1 - served).to_string(),
        "plaintext (flagged)",
    ]);
    say!(
        "\nSent is the generators' count, got through the count of the server's stack behind guard.\n\
         guard itself counted {} drops by their reasons; {} frames were lost in the cable before it.",
        commas(evidence.floods.dropped_in_all()),
        commas(evidence.floods.lost)
    );
}

fn flood_row(flood: &Outcome, what: &str, reasons: &[(&str, u64)]) {
    let reasons: Vec<_> = reasons
        .iter()
        .filter(|(_, packets)| *packets > 0)
        .map(|(reason, packets)| format!("{reason} {}", commas(*packets)))
        .collect();
    let (sent, through) = (commas(flood.sent.frames), commas(flood.got_through));
    let (source, stopped) = (flood.source.to_string(), commas(flood.stopped()));
    let why = reasons.first().map_or("", String::as_str);
    row([&source, &sent, what, &through, &stopped, why]);
    for why in reasons.iter().skip(1) {
        row(["", "", "", "", "", why]);
    }
}

fn row([source, sent, what, through, dropped, why]: [&str; 6]) {
    let line = format!("{source:<14} {sent:>8} {what:<22} {through:>11} {dropped:>9}  {why}");
    say!("{}", line.trim_end());
}

fn print_latency(before: &Latency, during: &Latency) {
    text::heading("The HTTPS client's latency, connection and TLS handshake included");
    say!(
        "{:<18} {:>8} {:>10} {:>10} {:>10}",
        "",
        "requests",
        "p50",
        "p99",
        "max"
    );
    for (name, latency) in [("before the floods", before), ("during the floods", during)] {
        let [half, most, all] = [50, 99, 100].map(|percent| ms(latency.percentile(percent)));
        say!(
            "{name:<18} {:>8} {half:>10} {most:>10} {all:>10}",
            latency.requests()
        );
    }
}

/// The event as the agent logged it, a field a line.
fn print_event(evidence: &Evidence) {
    text::heading("What guard says about the request in clear");
    let Some(event) = &evidence.plaintext.event else {
        say!("nothing");
        return;
    };
    let fields = field(event, "event")
        .and(event.get("fields"))
        .unwrap_or(event);
    for (name, value) in fields.as_object().into_iter().flatten() {
        if LOGGER_FIELDS.contains(&name.as_str()) {
            continue;
        }
        let value = value
            .as_str()
            .map_or_else(|| value.to_string(), str::to_owned);
        say!(
            "{}",
            text::fit(&format!("{name:<14} {}", value.escape_debug()))
        );
    }
}

fn print_metrics(evidence: &Evidence) {
    text::heading("GET /metrics (what is not zero)");
    for (series, value) in evidence.metrics.iter() {
        if series.name.starts_with("guard_") && value != 0.0 {
            say!("{}", text::fit(&format!("{series} {value}")));
        }
    }
}
