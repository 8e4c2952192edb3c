//! The encryption verdict of each connection against what tshark makes of it.
//!
//! Where both disagree, `disagreements.tsv` says why; whatever is in there does disagree.

mod confusion;
mod table;

use std::{
    collections::HashMap,
    fs,
    net::SocketAddr,
    path::{Path, PathBuf},
};

use anyhow::{Context as _, Result, ensure};
use guard_common::connection::Outcome;
use lab::Scratch;
use serde_json::Value;

use self::{confusion::Confusion, table::Table};
use crate::{
    each,
    file::File,
    files_of, is_of_share,
    judge::{Stream, judge},
    replay,
};

/// The source packages, and how many files they have at least.
const CORPORA: [(&str, usize); 2] = [("wireshark", 100), ("ndpi", 240)];
/// Connections in all of their captures, and in those of the share, at least.
const LEAST_CONNECTIONS: usize = 4_000;
const LEAST_IN_SHARE: usize = 100;
/// The longest file of the share, in bytes: the few that are longer take a minute.
const MOST_IN_SHARE: u64 = 1 << 20;

/// Each connection has a verdict and is refused nothing, and nothing else is dropped.
const CONFIGURATION: &str = r#"
    [limits]
    packets = "off"
    connections = "off"
    new_sources = "off"
    protocol = { icmp = "off", fragments = "off" }

    [[service]]
    name = "any"
    ports = ["1-65535"]
    encryption = "required"
"#;

/// What guard says of a connection that it does not know.
const MISSING: &str = "missing";
/// What the judge says of a connection that it does not know.
const NONE: &str = "none";

#[test]
fn tshark_agrees_on_the_connections_of_a_share_of_the_captures() -> Result<()> {
    let is_small = |path: &Path| fs::metadata(path).is_ok_and(|file| file.len() <= MOST_IN_SHARE);
    compare_all(LEAST_IN_SHARE, |path| is_of_share(path) && is_small(path))
}

#[test]
#[ignore = "takes minutes"]
fn tshark_agrees_on_every_connection_of_the_captures() -> Result<()> {
    compare_all(LEAST_CONNECTIONS, |_| true)
}

/// A connection, and what both say of it.
struct Compared {
    capture: String,
    client: SocketAddr,
    server: SocketAddr,
    judge: &'static str,
    guard: String,
    agrees: bool,
}

fn compare_all(least: usize, is_wanted: impl Fn(&Path) -> bool) -> Result<()> {
    let scratch = Scratch::new()?;
    let configuration = scratch.join("guard.toml");
    fs::write(&configuration, CONFIGURATION)?;
    let mut table = Table::read()?;
    let (mut connections, mut problems) = (0, Vec::new());
    for (corpus, least_files) in CORPORA {
        let files = files_of(corpus, least_files)?.into_iter();
        let files: Vec<PathBuf> = files.filter(|path| is_wanted(path)).collect();
        let compared = each(&files, |path| compare(corpus, path, &configuration))?;
        let mut confusion = Confusion::default();
        for one in compared.iter().flatten() {
            confusion.count(one);
            if !one.agrees && !table.explains(one) {
                problems.push(one.line());
            }
        }
        connections += compared.iter().flatten().count();
        println!("{corpus}, {} files\n{confusion}", files.len());
        problems.extend(table.left(corpus, &files));
    }
    ensure!(connections >= least, "only {connections} connections");
    ensure!(problems.is_empty(), "\n{}", problems.join("\n"));
    Ok(())
}

impl Compared {
    /// As the table has it, but for the reason.
    fn line(&self) -> String {
        let Self {
            capture,
            client,
            server,
            judge,
            guard,
            ..
        } = self;
        format!("{capture}\t{client}\t{server}\t{judge}\t{guard}")
    }
}

/// What both say of each connection of a capture; nothing where it has no Ethernet.
fn compare(corpus: &str, path: &Path, configuration: &Path) -> Result<Vec<Compared>> {
    if File::read(&fs::read(path)?).packets.is_empty() {
        return Ok(Vec::new());
    }
    let streams = judge(path)?;
    if streams.is_empty() {
        return Ok(Vec::new());
    }
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    let mut told = told(path, configuration)?;
    Ok(pair(&format!("{corpus}/{name}"), &streams, &mut told))
}

/// Verdicts by who spoke, in guard's order; the lesser end first.
type Told = HashMap<(SocketAddr, SocketAddr), Vec<(SocketAddr, String)>>;

/// What guard tells of a capture.
fn told(path: &Path, configuration: &Path) -> Result<Told> {
    let output = replay(path, configuration, &[])?;
    let said: Value = serde_json::from_slice(&output.stdout)
        .with_context(|| String::from_utf8_lossy(&output.stderr).into_owned())?;
    let mut told = Told::new();
    for connection in said["connections"].as_array().context("no connections")? {
        let word = |name: &str| connection[name].as_str().context("no word");
        let (client, server) = (word("client")?.parse()?, word("server")?.parse()?);
        let verdict = (client, word("verdict")?.to_owned());
        told.entry(ends(client, server)).or_default().push(verdict);
    }
    Ok(told)
}

fn ends(one: SocketAddr, other: SocketAddr) -> (SocketAddr, SocketAddr) {
    (one.min(other), one.max(other))
}

/// Puts what is said of each connection beside each other. Of the same ends there may be several:
/// those that agree belong together, and the rest goes by its order.
fn pair(capture: &str, streams: &[Stream], told: &mut Told) -> Vec<Compared> {
    let mut compared = Vec::new();
    let mut rest = Vec::new();
    for stream in streams {
        let said = told.entry(ends(stream.client, stream.server)).or_default();
        let agreeing = |(_, verdict): &(_, String)| agrees(stream, Some(verdict));
        match said.iter().position(agreeing) {
            Some(at) => compared.push(of_stream(capture, stream, Some(said.remove(at).1))),
            None => rest.push(stream),
        }
    }
    for stream in rest {
        let said = told.entry(ends(stream.client, stream.server)).or_default();
        let verdict = (!said.is_empty()).then(|| said.remove(0).1);
        compared.push(of_stream(capture, stream, verdict));
    }
    for ((one, other), said) in told {
        for (client, guard) in said.drain(..) {
            compared.push(Compared {
                capture: capture.to_owned(),
                client,
                server: if client == *one { *other } else { *one },
                judge: NONE,
                guard,
                agrees: false,
            });
        }
    }
    compared
}

fn of_stream(capture: &str, stream: &Stream, guard: Option<String>) -> Compared {
    Compared {
        capture: capture.to_owned(),
        client: stream.client,
        server: stream.server,
        judge: stream.expected().name(),
        agrees: agrees(stream, guard.as_deref()),
        guard: guard.unwrap_or_else(|| MISSING.to_owned()),
    }
}

/// Whether both say the same. Of a connection that began before the capture guard may know more than
/// is expected, when it is right; of what never became one it need not know.
fn agrees(stream: &Stream, guard: Option<&str>) -> bool {
    let Some(said) = guard else {
        return !stream.is_connection();
    };
    let (expected, content) = (stream.expected(), stream.content());
    let is_strong = matches!(content, Outcome::Encrypted | Outcome::PlaintextServed);
    said == expected.name() || expected == Outcome::Blind && is_strong && said == content.name()
}
