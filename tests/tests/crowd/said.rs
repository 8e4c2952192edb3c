//! What clients say, and what the kernel says of them.

use std::{
    fs,
    process::{Command, Stdio},
};

use anyhow::{Context as _, Result, ensure};
use lab::Namespace;

/// Connections that were opened from inside the namespace, as the kernel counts them.
pub(crate) fn active_opens(namespace: &Namespace) -> Result<u64> {
    let text = namespace.run(|| Ok(fs::read_to_string("/proc/thread-self/net/snmp")?))?;
    let mut lines = text.lines().filter_map(|line| line.strip_prefix("Tcp: "));
    let (names, values) = (lines.next(), lines.next());
    let names = names.context("no counters of TCP")?.split(' ');
    let mut both = names.zip(values.context("no values")?.split(' '));
    let (_, value) = both
        .find(|(name, _)| *name == "ActiveOpens")
        .context("no ActiveOpens")?;
    Ok(value.parse()?)
}

/// What a command says on its output; how it ends is not looked at, since some clients fail where
/// they are to be turned away.
pub(crate) fn said(command: &mut Command) -> Result<String> {
    let output = command.stdin(Stdio::null()).output()?;
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    let error = String::from_utf8_lossy(&output.stderr);
    ensure!(!said.is_empty(), "{command:?} said nothing but {error}");
    Ok(said)
}

/// The number that it starts with.
pub(crate) fn leading_number(text: &str) -> Result<u64> {
    let end = text
        .find(|c: char| !c.is_ascii_digit())
        .unwrap_or(text.len());
    text[..end]
        .parse()
        .with_context(|| format!("no number: {text}"))
}

/// The number that stands before these words.
pub(crate) fn number_before(text: &str, words: &str) -> Result<u64> {
    let before = text.split_once(words).map(|(before, _)| before);
    let number = before.and_then(|before| before.split_whitespace().next_back());
    let number = number.with_context(|| format!("no `{words}` in {text}"))?;
    number
        .parse()
        .with_context(|| format!("no number before `{words}`: {text}"))
}
