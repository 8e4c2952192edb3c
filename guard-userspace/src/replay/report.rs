//! What `guard replay` writes: a line for each packet, then totals.

use std::{
    collections::BTreeMap,
    io::{self, Write},
};

use guard_common::reason::{Reason, Verdict};
use serde::{Serialize, Serializer};

use super::connections::Connection;

/// A packet and what became of it.
#[derive(Clone, Debug, Serialize)]
pub(super) struct Packet {
    /// Its position in the capture, from 1 on.
    pub(super) number: u64,
    /// Nanoseconds since the first packet.
    pub(super) time_ns: u64,
    /// Who sent it to whom; nothing where there is no IP header.
    pub(super) ends: Option<String>,
    /// How long it was on the wire, in bytes.
    #[serde(rename = "bytes")]
    pub(super) wire_len: usize,
    /// It arrives at the protected host; what that sends itself is not judged.
    pub(super) arrives: bool,
    /// Verdict and reason, if it was judged.
    #[serde(flatten, serialize_with = "words")]
    pub(super) judged: Option<(Verdict, Reason)>,
}

#[derive(Serialize)]
struct Words {
    verdict: Option<&'static str>,
    reason: Option<&'static str>,
}

#[expect(
    clippy::ref_option,
    clippy::trivially_copy_pass_by_ref,
    reason = "the signature serde asks for"
)]
fn words<S: Serializer>(
    judged: &Option<(Verdict, Reason)>,
    serializer: S,
) -> Result<S::Ok, S::Error> {
    let words = Words {
        verdict: judged.map(|(verdict, _)| verdict.name()),
        reason: judged.map(|(_, reason)| reason.name()),
    };
    words.serialize(serializer)
}

/// Packets and bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub(super) struct Sum {
    packets: u64,
    bytes: u64,
}

/// What came of a whole capture.
#[derive(Clone, Debug, Default, Serialize)]
pub(super) struct Totals {
    /// Packets in the capture.
    pub(super) packets: u64,
    /// Those that the protected host sent.
    pub(super) sent: u64,
    /// Those that arrived and cannot be judged: no whole Ethernet header, or over 64 KiB.
    pub(super) unfit: u64,
    /// Judged ones of which the capture holds the start only; the rest was taken for zeros.
    pub(super) cut: u64,
    /// Those captured at an earlier time than one before them.
    pub(super) backwards: u64,
    /// What was judged, by verdict and reason, with bytes as they were on the wire.
    judged: BTreeMap<&'static str, BTreeMap<&'static str, Sum>>,
    /// Connections by service, encryption verdict and protocol.
    pub(super) connections: BTreeMap<String, BTreeMap<String, BTreeMap<String, u64>>>,
    /// Credentials seen in clear, by scheme.
    pub(super) credentials: BTreeMap<&'static str, u64>,
}

impl Totals {
    /// Adds a packet that was judged.
    pub(super) fn count(&mut self, verdict: Verdict, reason: Reason, bytes: usize) {
        let by_reason = self.judged.entry(verdict.name()).or_default();
        let sum = by_reason.entry(reason.name()).or_default();
        sum.packets += 1;
        sum.bytes += bytes as u64;
    }

    fn write(&self, output: &mut dyn Write) -> io::Result<()> {
        writeln!(output, "\n{} packets", self.packets)?;
        for (verdict, reasons) in &self.judged {
            for (reason, Sum { packets, bytes }) in reasons {
                writeln!(
                    output,
                    "{verdict:<10} {reason:<18} {packets:>10} packets {bytes:>14} bytes"
                )?;
            }
        }
        for (service, outcomes) in &self.connections {
            for (verdict, protocols) in outcomes {
                let each = protocols.iter();
                let each: Vec<_> = each
                    .map(|(name, count)| format!("{name} {count}"))
                    .collect();
                writeln!(output, "service {service}: {verdict} {}", each.join(", "))?;
            }
        }
        for (scheme, count) in &self.credentials {
            writeln!(output, "credentials in clear: {scheme} {count}")?;
        }
        let notes = [
            (self.sent, "sent by the protected host, not judged"),
            (
                self.unfit,
                "without an Ethernet header or over 64 KiB, not judged",
            ),
            (
                self.cut,
                "cut short in the capture: the rest was taken for zeros",
            ),
            (
                self.backwards,
                "captured at an earlier time than one before",
            ),
        ];
        for (count, note) in notes.into_iter().filter(|(count, _)| *count > 0) {
            writeln!(output, "{count} {note}")?;
        }
        Ok(())
    }
}

/// Writes as it goes, so that a capture of any length takes little memory.
pub(super) struct Report<'a> {
    output: &'a mut dyn Write,
    json: bool,
    is_first: bool,
}

impl<'a> Report<'a> {
    pub(super) fn new(output: &'a mut dyn Write, json: bool) -> Self {
        Self {
            output,
            json,
            is_first: true,
        }
    }

    pub(super) fn begin(&mut self) -> io::Result<()> {
        if self.json {
            write!(self.output, "{{\"packets\": [")?;
        }
        Ok(())
    }

    pub(super) fn packet(&mut self, packet: &Packet) -> io::Result<()> {
        if self.json {
            let separator = if self.is_first { "\n" } else { ",\n" };
            self.is_first = false;
            write!(self.output, "{separator}{}", serde_json::to_string(packet)?)
        } else {
            writeln!(self.output, "{}", line(packet))
        }
    }

    pub(super) fn end(&mut self, connections: &[Connection], totals: &Totals) -> io::Result<()> {
        if self.json {
            let connections = serde_json::to_string_pretty(connections)?;
            let totals = serde_json::to_string_pretty(totals)?;
            writeln!(
                self.output,
                "\n], \"connections\": {connections}, \"totals\": {totals}}}"
            )?;
        } else {
            if !connections.is_empty() {
                writeln!(self.output)?;
            }
            for connection in connections {
                writeln!(self.output, "{}", connection_line(connection))?;
            }
            totals.write(self.output)?;
        }
        self.output.flush()
    }
}

fn connection_line(connection: &Connection) -> String {
    let tls = connection.tls.as_ref().map_or_else(String::new, |facts| {
        let shown = |text: Option<&str>| text.unwrap_or("?").to_owned();
        format!(
            ", {} {} for {}",
            shown(facts.version),
            shown(facts.cipher.as_deref()),
            shown(facts.sni.as_deref())
        )
    });
    format!(
        "{:<17} {:<9} {} > {}, {} spoke first{tls}{}",
        connection.verdict,
        connection.protocol,
        connection.client,
        connection.server,
        connection.first,
        if connection.evaded {
            ", contradicts itself"
        } else {
            ""
        },
    )
}

fn line(packet: &Packet) -> String {
    let (seconds, rest) = (
        packet.time_ns / 1_000_000_000,
        packet.time_ns % 1_000_000_000,
    );
    let (verdict, reason) = packet.judged.map_or(("-", "-"), |(verdict, reason)| {
        (verdict.name(), reason.name())
    });
    format!(
        "{:>8} {seconds:>6}.{rest:09} {:<3} {verdict:<10} {reason:<18} {:>6}  {}",
        packet.number,
        if packet.arrives { "in" } else { "out" },
        packet.wire_len,
        packet.ends.as_deref().unwrap_or("not IP"),
    )
}
