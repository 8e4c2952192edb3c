//! What the contract names and is not built yet: refused by name, never ignored.

use anyhow::Result;
use lab::agent;

use crate::attempt::{BAD_CONFIGURATION, end_of};

const COMMANDS: [&[&str]; 3] = [
    &["services"],
    &["endpoints"],
    &["report", "--format", "html", "-o", "/dev/null"],
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
