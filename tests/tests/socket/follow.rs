//! `guard events --follow`, and those who read slowly or not at all.

use std::{
    io::{Read as _, Write as _},
    net::{TcpListener, TcpStream},
    os::unix::net::UnixStream,
    process::Stdio,
    thread,
    time::{Duration, Instant},
};

use anyhow::{Result, ensure};
use lab::{
    agent::{Agent, binary},
    control,
    process::Server,
    stage::{SERVER, Stage},
};
use nix::sys::signal::Signal;
use serde_json::Value;

use crate::{FLAGS, PATIENCE};

/// Who may follow at a time.
const FOLLOWERS: usize = 16;
const STREAM: &str = "GET /v1/events/stream HTTP/1.1\r\nHost: guard\r\n\r\n";

/// One plaintext request to an API port of the host, which nobody answers.
fn request_in_clear(stage: &Stage, path: &str) -> Result<()> {
    let listener = stage
        .host()
        .run(|| Ok(TcpListener::bind((SERVER, 8080))?))?;
    stage.client.namespace().run(|| {
        let mut stream = TcpStream::connect((SERVER, 8080))?;
        Ok(stream.write_all(format!("GET {path} HTTP/1.1\r\nHost: api\r\n\r\n").as_bytes())?)
    })?;
    drop(listener);
    Ok(())
}

fn exit_code(server: &mut Server) -> Result<Option<i32>> {
    Ok(server.wait(PATIENCE)?.code())
}

#[test]
fn events_are_shown_as_they_come_until_ctrl_c() -> Result<()> {
    let stage = Stage::new()?;
    let agent = Agent::start(stage.host(), &FLAGS)?;
    request_in_clear(&stage, "/before")?;
    let text = agent.folder().join("text");
    let json = agent.folder().join("json");
    let mut text = agent.start_cli(&["events", "--follow"], &text)?;
    let mut json = agent.start_cli(&["events", "-f", "-o", "json"], &json)?;
    text.wait_for_line("/before", PATIENCE)?;
    json.wait_for_line("/before", PATIENCE)?;
    request_in_clear(&stage, "/after")?;
    let line = text.wait_for_line("/after", PATIENCE)?;
    assert!(line.contains(" plaintext pass: GET /after"), "{line}");
    let line = json.wait_for_line("/after", PATIENCE)?;
    let event: Value = serde_json::from_str(&line)?;
    assert_eq!(
        (&event["event"], &event["port"]),
        (&"plaintext".into(), &8080.into())
    );
    for (follower, signal) in [(&mut text, Signal::SIGINT), (&mut json, Signal::SIGTERM)] {
        follower.signal(signal)?;
        assert_eq!(exit_code(follower)?, Some(0), "{}", follower.printed());
    }
    let printed = text.printed();
    let places = ["/before", "/after"].map(|path| printed.find(path));
    assert!(places[0] < places[1], "the newest is the last: {printed}");
    agent.stop()?;
    Ok(())
}

#[test]
fn a_reader_that_goes_away_ends_it_before_the_next_event() -> Result<()> {
    let stage = Stage::new()?;
    let agent = Agent::start(stage.host(), &FLAGS)?;
    let mut command = stage.host().command(binary()?);
    lab::agent::without_settings(&mut command);
    command
        .args(["events", "--follow", "--socket"])
        .arg(agent.folder().socket())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    let mut child = command.spawn()?;
    thread::sleep(Duration::from_millis(300));
    drop(child.stdout.take());
    let output = child.wait_with_output()?;
    let said = String::from_utf8_lossy(&output.stderr);
    assert_eq!((output.status.code(), &*said), (Some(0), ""));
    agent.stop()?;
    Ok(())
}

#[test]
fn an_agent_that_stops_is_told_to_those_who_follow() -> Result<()> {
    let stage = Stage::new()?;
    let agent = Agent::start(stage.host(), &FLAGS)?;
    request_in_clear(&stage, "/before")?;
    let printed = agent.folder().join("printed");
    let mut follower = agent.start_cli(&["events", "--follow"], &printed)?;
    follower.wait_for_line("/before", PATIENCE)?;
    let stopped = agent.stop()?;
    assert_eq!(stopped.status.code(), Some(0), "nobody holds it up");
    assert_eq!(exit_code(&mut follower)?, Some(3));
    let said = follower.printed();
    assert!(said.contains("has stopped"), "{said}");
    Ok(())
}

/// Somebody who asks to follow and never reads.
fn silent_follower(agent: &Agent) -> Result<UnixStream> {
    let mut stream = control::connect(&agent.folder().socket())?;
    stream.write_all(STREAM.as_bytes())?;
    Ok(stream)
}

#[test]
fn followers_are_bounded_and_those_who_do_not_read_hold_nobody_up() -> Result<()> {
    let stage = Stage::new()?;
    let agent = Agent::start(stage.host(), &FLAGS)?;
    let silent: Vec<_> = (0..FOLLOWERS)
        .map(|_| silent_follower(&agent))
        .collect::<Result<_>>()?;
    // They stay for longer than others may, and the rest of the places is left to others.
    thread::sleep(Duration::from_secs(6));
    let mut more = silent_follower(&agent)?;
    let mut answer = String::new();
    more.read_to_string(&mut answer)?;
    assert!(answer.starts_with("HTTP/1.1 503 "), "{answer}");
    assert!(
        answer.contains("end another `guard events --follow`"),
        "{answer}"
    );
    for _ in 0..40 {
        request_in_clear(&stage, "/while")?;
    }
    assert!(agent.status().is_ok());
    assert_eq!(agent.get("/metrics")?.status, 200);
    drop(silent);
    // Their places are free as soon as they are gone.
    let deadline = Instant::now() + PATIENCE;
    loop {
        let mut stream = silent_follower(&agent)?;
        let mut start = [0; 12];
        stream.read_exact(&mut start)?;
        if &start == b"HTTP/1.1 200" {
            break;
        }
        ensure!(Instant::now() < deadline, "their places are still taken");
        thread::sleep(Duration::from_millis(50));
    }
    agent.stop()?;
    Ok(())
}
