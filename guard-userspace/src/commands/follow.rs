//! `guard events --follow`: what is found, as it comes.

use std::{
    future::pending,
    io::{self, Write as _, stdout},
    os::fd::AsFd as _,
    path::Path,
    process::ExitCode,
    thread,
};

use guard::{cli::OutputFormat, client, printable};
use tokio::{
    io::Interest,
    net::unix::pipe,
    select,
    signal::unix::{SignalKind, signal},
    sync::mpsc::{self, Receiver},
};

use super::{AGENT_FAILED, NO_AGENT, ask::no_answer, output::failure};

/// Lines that wait for a slow reader here; the rest waits in the agent.
const WAITING: usize = 16;

/// Shows events until Ctrl-C, or until the reader goes away.
pub(crate) async fn follow(socket: &Path, output: OutputFormat) -> ExitCode {
    let signals = (
        signal(SignalKind::interrupt()),
        signal(SignalKind::terminate()),
    );
    let (Ok(mut interrupt), Ok(mut terminate)) = signals else {
        return failure(AGENT_FAILED, "cannot listen for signals");
    };
    let mut lines = match client::follow(socket, "/v1/events/stream").await {
        Ok(lines) => lines,
        Err(error) => return no_answer(&error, AGENT_FAILED),
    };
    // A reader may stand still for as long as it likes, and Ctrl-C ends this all the same.
    let (reader, queue) = mpsc::channel(WAITING);
    thread::spawn(move || write(queue));
    let show = async {
        while let Some(line) = lines.next().await {
            if reader.send(shown(&line, output)).await.is_err() {
                return ExitCode::SUCCESS;
            }
        }
        let socket = socket.display();
        failure(NO_AGENT, &format!("the agent on {socket} has stopped"))
    };
    select! {
        code = show => code,
        () = reader.closed() => ExitCode::SUCCESS,
        () = no_reader() => ExitCode::SUCCESS,
        _ = interrupt.recv() => ExitCode::SUCCESS,
        _ = terminate.recv() => ExitCode::SUCCESS,
    }
}

/// A line of the agent's as it is to be shown.
fn shown(line: &[u8], output: OutputFormat) -> String {
    let line = String::from_utf8_lossy(line);
    match output {
        OutputFormat::Json => format!("{}\n", printable::json(&line)),
        OutputFormat::Table => {
            let event: serde_json::Value = serde_json::from_str(&line).unwrap_or_default();
            let text = event["text"].as_str().unwrap_or_default();
            format!("{}\n", printable::line(text))
        }
    }
}

/// Writes what comes to standard output until nobody reads that any more.
fn write(mut queue: Receiver<String>) {
    while let Some(line) = queue.blocking_recv() {
        let written = stdout().write_all(line.as_bytes());
        if written.and_then(|()| stdout().flush()).is_err() {
            return;
        }
    }
}

/// Waits until nobody reads standard output any more. Of a file nobody can tell.
async fn no_reader() {
    let watch = || -> io::Result<_> {
        let output = stdout().as_fd().try_clone_to_owned()?;
        // It is watched only, and so may be whatever it is, and stay as it is.
        pipe::Sender::from_owned_fd_unchecked(output)
    };
    match watch() {
        Ok(output) => drop(output.ready(Interest::ERROR).await),
        Err(_) => pending().await,
    }
}
