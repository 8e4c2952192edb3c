//! What others chose never reaches a terminal, a log or a page as it is.

use std::{fs, process::Output};

use anyhow::Result;
use guard::printable;
use lab::{agent::Agent, control, stage::Stage};
use serde_json::Value;

use crate::FLAGS;

/// Clears the screen, sets a title, starts a line of its own, writes backwards.
const EVIL: &str = "a\u{1b}[2J\u{1b}]0;x\u{7}\u{9b}2J\nguard: all is well\r\u{202e}b";

fn assert_harmless(what: &str, text: &[u8]) {
    let text = String::from_utf8_lossy(text);
    let obeyed = text
        .chars()
        .find(|c| *c != '\n' && printable::is_obeyed(*c));
    assert_eq!(obeyed, None, "{what}: {text:?}");
    assert!(!text.contains("\nguard: all is well"), "{what}: {text:?}");
}

fn assert_output_harmless(what: &str, output: &Output) {
    assert_harmless(what, &output.stdout);
    assert_harmless(what, &output.stderr);
}

#[test]
fn nothing_a_terminal_obeys_gets_to_one() -> Result<()> {
    let stage = Stage::new()?;
    let config = lab::Scratch::new()?;
    let file = config.join("guard.toml");
    fs::write(&file, "")?;
    let name = file.to_string_lossy();
    let flags = [&FLAGS[..], &["--config", &name]].concat();
    let agent = Agent::start(stage.host(), &flags)?;
    for words in [
        &["deny", "add", EVIL][..],
        &["deny", "add", "192.0.2.7", "--reason", EVIL],
        &["deny", "remove", EVIL],
        &["deny", "import", EVIL],
        &["unban", EVIL],
        &["explain", EVIL],
        &["events", EVIL],
        &["completions", EVIL],
        &["man", "--all", EVIL],
        &[EVIL],
    ] {
        let output = agent.cli(words)?;
        assert_ne!(output.status.code(), Some(0), "{words:?}");
        assert_output_harmless(&format!("{words:?}"), &output);
    }
    // A configuration that holds it, in keys, values and comments.
    let key = serde_json::to_string(EVIL)?;
    fs::write(
        &file,
        format!(
            "{key} = {key}\n[[deny]]\ncidr = {key} # {}\n",
            EVIL.replace(['\n', '\r'], "")
        ),
    )?;
    for words in [&["reload"][..], &["status"], &["status", "-o", "json"]] {
        assert_output_harmless(&format!("{words:?}"), &agent.cli(words)?);
    }
    // Straight over the socket.
    let socket = agent.folder().socket();
    let escaped = "%1b%5b2J%0aguard:%20all%20is%20well";
    let body = serde_json::json!({ "list": EVIL, EVIL: EVIL }).to_string();
    for (method, path, body) in [
        ("GET", format!("/v1/explain/{escaped}"), None),
        ("GET", format!("/v1/entries/{escaped}"), None),
        ("GET", format!("/v1/explain/::1?{escaped}=1"), None),
        ("POST", "/v1/entries".to_owned(), Some(&*body)),
        ("POST", "/v1/unban".to_owned(), Some(&*body)),
        ("POST", format!("/v1/unban?{escaped}"), Some("{}")),
    ] {
        let answer = control::ask(&socket, method, &path, body)?;
        assert_harmless(&path, answer.body.as_bytes());
        if answer.status != 200 {
            let said: Value = serde_json::from_str(&answer.body)?;
            let said = said["error"].as_str().expect("a sentence");
            assert!(!said.contains('\n'), "{said}");
        }
    }
    assert_harmless(
        "the audit log",
        &fs::read(agent.folder().state().join("audit.log"))?,
    );
    let log = agent.stop()?.log;
    assert_harmless("the log", log.text().as_bytes());
    Ok(())
}
