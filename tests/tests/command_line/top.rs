//! `guard top` where there is no terminal, or no agent.

use std::time::Duration;

use anyhow::Result;
use lab::{agent, terminal::Terminal};

use crate::guard;

const NOWHERE: &str = "/nonexistent/guard.sock";

#[test]
fn without_a_terminal_it_names_the_way_for_scripts() -> Result<()> {
    let ended = guard(&["top", "--socket", NOWHERE])?;
    assert_eq!((ended.code, &*ended.stdout), (Some(2), ""));
    assert!(
        ended.stderr.contains("`guard top --once`"),
        "{}",
        ended.stderr
    );
    assert_eq!(ended.stderr.lines().count(), 1, "{}", ended.stderr);
    Ok(())
}

#[test]
fn without_an_agent_it_ends_as_other_commands_do() -> Result<()> {
    for words in [
        &["top", "--once", "--socket", NOWHERE][..],
        &["top", "--once", "--output", "json", "--socket", NOWHERE],
    ] {
        let ended = guard(words)?;
        assert_eq!((ended.code, &*ended.stdout), (Some(3), ""), "{words:?}");
        assert!(ended.stderr.starts_with("guard: no agent answers on"));
    }
    let words = ["top", "--socket", NOWHERE];
    let mut terminal = Terminal::start(&agent::binary()?, &words, (80, 24))?;
    assert_eq!(terminal.wait(Duration::from_secs(30))?.exit_code(), 3);
    assert!(
        terminal.text().contains("no agent answers on"),
        "{}",
        terminal.text()
    );
    assert!(!terminal.is_taken() && terminal.is_as_before());
    Ok(())
}

#[test]
fn flags_that_make_no_sense_are_refused() -> Result<()> {
    for (words, said) in [
        (&["top", "--output", "json"][..], "--once"),
        (&["top", "--interval", "1ms"], "200ms"),
        (&["top", "--interval", "soon"], "500ms"),
        (&["top", "--once", "--output", "xml"], "json"),
    ] {
        let ended = guard(words)?;
        assert_eq!((ended.code, &*ended.stdout), (Some(2), ""), "{words:?}");
        assert!(ended.stderr.contains(said), "{}", ended.stderr);
    }
    Ok(())
}
