//! Real captures: the packet files that Debian's tcpdump is tested with, many of them malformed.
//! `cargo xtask setup` fetches them.

#![forbid(unsafe_code)]

mod file;
mod readings;
mod replayed;

use std::{fs, path::Path, path::PathBuf};

use anyhow::{Context as _, Result, ensure};

/// Debian 12 has 667; an empty folder must not pass for all is well.
const LEAST_FILES: usize = 600;
/// The longest frame that is judged: the longest IP packet behind an Ethernet header.
const MOST_FRAME: usize = 65_535 + 14;

/// Every packet file, in the order of the names.
fn files() -> Result<Vec<PathBuf>> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../target/captures/tcpdump");
    let entries = fs::read_dir(&folder)
        .with_context(|| format!("no {}: run `cargo xtask setup`", folder.display()))?;
    let mut files = Vec::new();
    for entry in entries {
        files.push(entry?.path());
    }
    files.sort();
    ensure!(files.len() >= LEAST_FILES, "only {} captures", files.len());
    Ok(files)
}

/// A frame as it was on the wire, where the capture has its start only: with zeros, as replay takes
/// it. Nothing where it is too short or too long to be judged.
fn on_the_wire(bytes: &[u8], wire_len: usize) -> Option<Vec<u8>> {
    let is_fit = bytes.len() >= 14 && wire_len <= MOST_FRAME;
    is_fit.then(|| {
        let mut frame = bytes.to_vec();
        frame.resize(wire_len, 0);
        frame
    })
}
