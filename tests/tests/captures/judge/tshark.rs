//! Runs tshark and reads what it prints.

use std::{
    path::Path,
    process::{Command, Stdio},
};

use anyhow::{Context as _, Result, bail};
use serde_json::Value;

use super::packet::{FIELDS, Packet};

/// Other than tshark's own defaults. A response is told by its head, so it need not wait for a body
/// that the capture lacks the end of; segments are put in order, as an end of the connection does;
/// and what looks like TLS is TLS at the ports of other protocols too.
const PREFERENCES: [&str; 3] = [
    "http.desegment_body:FALSE",
    "tcp.reassemble_out_of_order:TRUE",
    "tcp.try_heuristic_first:TRUE",
];
/// tshark never looks for HTTP/2 with prior knowledge, but has to be told its ports: those in the
/// captures, as its own tests name them. It still counts by its preface alone.
const HTTP2_PORTS: [u16; 5] = [3000, 44363, 50051, 50052, 57228];
/// How tshark says that the last packet of a file is incomplete.
const CUT_SHORT: &str = "cut short in the middle of a packet";

/// The packets of TCP in a capture, in its order.
pub(super) fn run(capture: &Path) -> Result<Vec<Packet>> {
    let mut tshark = Command::new("tshark");
    tshark.args(["-n", "-T", "ek", "-Y", "tcp", "-r"]);
    tshark.arg(capture).stdin(Stdio::null());
    for port in HTTP2_PORTS {
        tshark.args(["-d", &format!("tcp.port=={port},http2")]);
    }
    for preference in PREFERENCES {
        tshark.args(["-o", preference]);
    }
    for field in FIELDS {
        tshark.args(["-e", field]);
    }
    let output = tshark.output().context("cannot run tshark")?;
    let said = String::from_utf8_lossy(&output.stderr);
    if !output.status.success() && !said.contains(CUT_SHORT) {
        bail!("tshark: {}: {}", output.status, said.trim());
    }
    // Bodies and arguments are bytes of any kind.
    String::from_utf8_lossy(&output.stdout)
        .lines()
        .filter_map(|line| packet(line).transpose())
        .collect()
}

/// The packet of a line, nothing for the lines between packets and for what is none of TCP's own.
fn packet(line: &str) -> Result<Option<Packet>> {
    let value: Value =
        serde_json::from_str(line).with_context(|| format!("not JSON from tshark: {line}"))?;
    value.get("layers").map_or(Ok(None), Packet::read)
}
