//! What the contract names and is not built yet: refused by name, never ignored.

use std::fs;

use anyhow::Result;
use lab::agent;

use crate::attempt::{BAD_CONFIGURATION, end_of};

const COMMANDS: [&[&str]; 7] = [
    &["bypass", "on", "--for", "10m"],
    &["bypass", "off"],
    &["confirm"],
    &["services"],
    &["endpoints"],
    &["report", "--format", "html", "-o", "/dev/null"],
    &["detach"],
];

#[test]
fn commands_are_refused_by_name() -> Result<()> {
    for words in COMMANDS {
        let failed = end_of(&mut agent::command(words)?)?;
        let name = format!("`guard {}` is not built yet", words[0]);
        failed.assert(BAD_CONFIGURATION, &[&name]);
    }
    Ok(())
}

#[test]
fn flags_are_refused_by_name() -> Result<()> {
    let words = ["run", "--iface", "lo", "--confirm", "60s"];
    let failed = end_of(&mut agent::command(&words)?)?;
    failed.assert(BAD_CONFIGURATION, &["`--confirm` is not built yet"]);
    Ok(())
}

/// A configuration that asks for it, and the option that must be named.
const OPTIONS: [(&str, &str); 2] = [
    ("on_stop = \"keep\"", "on_stop = \"keep\""),
    ("[[alert]]\nwebhook = \"http://127.0.0.1/\"", "alert"),
];

#[test]
fn options_are_refused_by_name_by_check_and_by_run() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let file = folder.path().join("guard.toml");
    for (text, option) in OPTIONS {
        fs::write(&file, text)?;
        let file = &*file.to_string_lossy();
        for words in [
            &["check", "--config", file][..],
            &["run", "--iface", "lo", "--config", file],
        ] {
            let failed = end_of(&mut agent::command(words)?)?;
            failed.assert(BAD_CONFIGURATION, &[option, "not built yet", "guard.toml"]);
        }
    }
    Ok(())
}
