//! `guard status` where no agent is, or one that cannot answer.

use std::{
    io::{Read as _, Write as _},
    os::unix::net::UnixListener,
    path::Path,
    thread,
};

use anyhow::Result;
use lab::scratch::Scratch;

use crate::{Ended, guard};

fn status(socket: &Path) -> Result<Ended> {
    guard(&["status", "--socket", &socket.to_string_lossy()])
}

/// What `guard status` makes of an agent that answers with these bytes.
fn status_answered_with(answer: &'static str) -> Result<Ended> {
    let scratch = Scratch::new()?;
    let socket = scratch.join("guard.sock");
    let listener = UnixListener::bind(&socket)?;
    let agent = thread::spawn(move || {
        let (mut stream, _) = listener.accept()?;
        let asked = stream.read(&mut [0; 4096])?;
        assert!(asked > 0, "it asks");
        stream.write_all(answer.as_bytes())
    });
    let ended = status(&socket)?;
    agent.join().expect("the agent does not panic")?;
    Ok(ended)
}

#[test]
fn no_agent_is_exit_code_3() -> Result<()> {
    let ended = status(Path::new("/nonexistent/guard.sock"))?;
    assert_eq!((ended.code, &*ended.stdout), (Some(3), ""));
    assert!(ended.stderr.starts_with("guard: no agent answers on"));
    assert_eq!(ended.stderr.lines().count(), 1, "{}", ended.stderr);
    Ok(())
}

#[test]
fn what_an_agent_says_of_its_failure_is_shown() -> Result<()> {
    let said = "reading COUNTERS: cannot allocate memory";
    let ended = status_answered_with(
        "HTTP/1.1 500 Internal Server Error\r\nContent-Length: 40\r\n\r\n\
         reading COUNTERS: cannot allocate memory",
    )?;
    assert_eq!((ended.code, &*ended.stdout), (Some(1), ""));
    assert!(ended.stderr.contains(said), "{}", ended.stderr);
    Ok(())
}

#[test]
fn an_answer_of_something_else_is_refused() -> Result<()> {
    for answer in [
        "",
        "SSH-2.0-OpenSSH_9.2\r\n",
        "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}",
    ] {
        let ended = status_answered_with(answer)?;
        assert_eq!((ended.code, &*ended.stdout), (Some(1), ""), "{answer}");
        assert_eq!(ended.stderr.lines().count(), 1, "{}", ended.stderr);
    }
    Ok(())
}
