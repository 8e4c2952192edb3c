//! What the agent tells whoever started it, in the words of `sd_notify`.

use std::{
    fs,
    os::unix::net::UnixDatagram,
    path::PathBuf,
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result, ensure};
use lab::{
    agent::{self, Agent, Folder},
    stage::{INTERFACE, Stage},
};
use nix::{
    sys::{
        ptrace,
        signal::Signal,
        wait::{WaitStatus, waitpid},
    },
    unistd::Pid,
};

use crate::{PATIENCE, cli};

/// How long this supervisor waits for a sign of life. The agent gives two meanwhile.
const WATCHDOG: Duration = Duration::from_secs(2);

/// A supervisor, and an agent that it started.
struct Supervised {
    agent: Agent,
    socket: UnixDatagram,
    config: PathBuf,
}

impl Supervised {
    fn start(stage: &Stage) -> Result<Self> {
        let folder = Folder::new()?;
        let config = folder.join("guard.toml");
        fs::write(&config, "[limits]\nbytes = \"1GB/s\"\n")?;
        let path = folder.join("notify");
        let socket = UnixDatagram::bind(&path)?;
        socket.set_read_timeout(Some(PATIENCE))?;
        let mut command = stage.host().command("env");
        command.arg(format!("NOTIFY_SOCKET={}", path.display()));
        command.arg(format!("WATCHDOG_USEC={}", WATCHDOG.as_micros()));
        command.arg(agent::binary()?);
        let name = config.to_string_lossy().into_owned();
        let flags = ["--iface", INTERFACE, "--config", &name];
        let agent = Agent::spawn_as(stage.host(), folder, command, &flags)?;
        Ok(Self {
            agent,
            socket,
            config,
        })
    }

    /// The next message; nothing within this time.
    fn message(&self, patience: Duration) -> Result<Option<String>> {
        self.socket.set_read_timeout(Some(patience))?;
        let mut bytes = [0; 4096];
        match self.socket.recv(&mut bytes) {
            Ok(len) => Ok(Some(String::from_utf8(bytes[..len].to_vec())?)),
            Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => Ok(None),
            Err(error) => Err(error.into()),
        }
    }

    /// The next message that is no sign of life.
    fn news(&self) -> Result<String> {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let message = self.message(PATIENCE)?.context("no message")?;
            if message != "WATCHDOG=1\n" {
                return Ok(message);
            }
            ensure!(Instant::now() < deadline, "nothing but signs of life");
        }
    }
}

#[test]
fn the_supervisor_is_told_of_start_reloads_and_stop() -> Result<()> {
    let stage = Stage::new()?;
    let mut supervised = Supervised::start(&stage)?;
    let ready = supervised.news()?;
    assert_eq!(ready, "READY=1\nSTATUS=enforce: eth0 (native)\n");
    assert!(stage.server.xdp()?.is_some(), "attached before it says so");

    for (text, refused) in [("dry_run = true", false), ("dry_run = 7", true)] {
        fs::write(&supervised.config, text)?;
        let reloaded = supervised.agent.cli(&["reload"])?;
        assert_eq!(!reloaded.status.success(), refused);
        let reloading = supervised.news()?;
        let since = reloading.strip_prefix("RELOADING=1\nMONOTONIC_USEC=");
        let since = since.with_context(|| format!("no time in {reloading}"))?;
        assert!(since.trim_end().parse::<u64>()? > 0);
        let more = if refused {
            "; the last configuration was refused"
        } else {
            ""
        };
        let ready = format!("READY=1\nSTATUS=dry-run: eth0 (native){more}\n");
        assert_eq!(supervised.news()?, ready);
    }

    supervised.agent.server().signal(Signal::SIGTERM)?;
    assert_eq!(supervised.news()?, "STOPPING=1\nSTATUS=stopping\n");
    let stopped = supervised.agent.wait(PATIENCE)?;
    assert_eq!(stopped.status.code(), Some(0), "{}", stopped.log.text());
    Ok(())
}

#[test]
fn a_sign_of_life_comes_as_long_as_the_loop_turns_and_no_longer() -> Result<()> {
    let stage = Stage::new()?;
    let mut supervised = Supervised::start(&stage)?;
    supervised.news()?;
    for _ in 0..3 {
        let sign = supervised.message(PATIENCE)?;
        assert_eq!(sign.as_deref(), Some("WATCHDOG=1\n"));
    }
    // Only the thread with the loop stands still; the others of the process go on.
    let pid = Pid::from_raw(supervised.agent.server().pid().cast_signed());
    ptrace::seize(pid, ptrace::Options::empty())?;
    ptrace::interrupt(pid)?;
    let halted = waitpid(pid, None)?;
    assert!(matches!(halted, WaitStatus::PtraceEvent(..)), "{halted:?}");
    // What it had said before.
    while supervised.message(Duration::from_millis(100))?.is_some() {}
    let sign = supervised.message(3 * WATCHDOG)?;
    assert_eq!(sign, None, "it stands still");
    ptrace::detach(pid, None)?;
    let sign = supervised.message(PATIENCE)?;
    assert_eq!(sign.as_deref(), Some("WATCHDOG=1\n"), "it turns again");
    cli(&supervised.agent, &["status"])?;
    supervised.agent.stop()?;
    Ok(())
}

#[test]
fn a_supervisor_that_is_gone_holds_nothing_up() -> Result<()> {
    let stage = Stage::new()?;
    let supervised = Supervised::start(&stage)?;
    supervised.news()?;
    let Supervised { agent, socket, .. } = supervised;
    fs::remove_file(agent.folder().join("notify"))?;
    drop(socket);
    cli(&agent, &["reload"])?;
    let stopped = agent.stop()?;
    assert_eq!(stopped.status.code(), Some(0), "{}", stopped.log.text());
    Ok(())
}
