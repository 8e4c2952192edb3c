//! Servers: child processes inside a namespace that never outlive what started them.

use std::{
    fs::{self, File},
    net::{SocketAddr, TcpStream},
    os::unix::process::CommandExt as _,
    path::{Path, PathBuf},
    process::{Child, Command, ExitStatus, Stdio},
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result, bail};
use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};

use crate::{Namespace, command};

/// How long a server may take to be ready.
const START_TIMEOUT: Duration = Duration::from_secs(15);
/// How long a server may take to end when asked, before it is killed: an agent on trial loads another
/// kernel side first, which takes seconds in an emulated machine.
const STOP_TIMEOUT: Duration = Duration::from_secs(30);
/// Between two looks at a server.
const POLL: Duration = Duration::from_millis(10);

/// What tells that a server is ready.
#[derive(Clone, Copy, Debug)]
pub enum Ready<'a> {
    /// It accepts connections here.
    Port(SocketAddr),
    /// It printed a line with this in it.
    Line(&'a str),
    /// It was started; whoever started it asks further.
    Started,
}

/// A running server; ended when dropped, and with the thread that started it.
#[derive(Debug)]
pub struct Server {
    name: String,
    child: Child,
    printed: PathBuf,
    namespace: Namespace,
}

impl Server {
    /// Starts `command`, which [`Namespace::command`] made, and waits until it is ready.
    ///
    /// What it prints goes to the file `printed`. In a process group of its own, it is spared the
    /// terminal's Ctrl-C, which is for its owner.
    pub fn start(
        namespace: &Namespace,
        mut command: Command,
        printed: &Path,
        ready: Ready<'_>,
    ) -> Result<Self> {
        let file = File::create(printed)
            .with_context(|| format!("cannot create {}", printed.display()))?;
        let name = command::line_of(&command);
        let child = command
            .stdin(Stdio::null())
            .stdout(file.try_clone()?)
            .stderr(file)
            .process_group(0)
            .spawn()
            .with_context(|| format!("cannot start `{name}`"))?;
        let namespace = namespace.clone();
        let mut server = Self {
            name,
            child,
            printed: printed.to_owned(),
            namespace,
        };
        server.wait_until(START_TIMEOUT, |server| server.is_ready(ready))?;
        Ok(server)
    }

    /// Its process id.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// The namespace it runs in.
    pub fn namespace(&self) -> &Namespace {
        &self.namespace
    }

    /// Everything it printed so far, on standard output and standard error.
    pub fn printed(&self) -> String {
        let bytes = fs::read(&self.printed).unwrap_or_default();
        String::from_utf8_lossy(&bytes).into_owned()
    }

    /// Waits until `done` says so; an error when the server ends first or time is up.
    pub fn wait_until(
        &mut self,
        timeout: Duration,
        mut done: impl FnMut(&Self) -> bool,
    ) -> Result<()> {
        let deadline = Instant::now() + timeout;
        while !done(self) {
            if let Some(status) = self.child.try_wait()? {
                bail!(
                    "`{}` ended too early ({status}):\n{}",
                    self.name,
                    self.printed()
                );
            }
            if Instant::now() > deadline {
                bail!("`{}` took over {timeout:?}:\n{}", self.name, self.printed());
            }
            thread::sleep(POLL);
        }
        Ok(())
    }

    /// Waits until it has printed a line with `text` in it, and returns that line.
    pub fn wait_for_line(&mut self, text: &str, timeout: Duration) -> Result<String> {
        self.wait_until(timeout, |server| server.line_with(text).is_some())?;
        self.line_with(text).context("a line was taken back")
    }

    /// Sends it a signal.
    pub fn signal(&self, signal: Signal) -> Result<()> {
        kill(Pid::from_raw(self.child.id().cast_signed()), signal)
            .with_context(|| format!("cannot send {signal} to `{}`", self.name))
    }

    /// Waits until it ends by itself.
    pub fn wait(&mut self, timeout: Duration) -> Result<ExitStatus> {
        let deadline = Instant::now() + timeout;
        loop {
            if let Some(status) = self.child.try_wait()? {
                return Ok(status);
            }
            if Instant::now() > deadline {
                bail!(
                    "`{}` did not end in {timeout:?}:\n{}",
                    self.name,
                    self.printed()
                );
            }
            thread::sleep(POLL);
        }
    }

    /// Asks it to end by SIGTERM and waits for it.
    pub fn stop(&mut self) -> Result<ExitStatus> {
        if let Some(status) = self.child.try_wait()? {
            return Ok(status);
        }
        self.signal(Signal::SIGTERM)?;
        self.wait(STOP_TIMEOUT)
    }

    fn is_ready(&self, ready: Ready<'_>) -> bool {
        match ready {
            Ready::Port(address) => self
                .namespace
                .run(|| Ok(TcpStream::connect(address)?))
                .is_ok(),
            Ready::Line(text) => self.line_with(text).is_some(),
            Ready::Started => true,
        }
    }

    fn line_with(&self, text: &str) -> Option<String> {
        self.printed()
            .lines()
            .find(|line| line.contains(text))
            .map(str::to_owned)
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        if self.stop().is_err() {
            // It may have ended in between; then there is nothing left to kill or to wait for.
            let _ = self.child.kill();
            let _ = self.child.wait();
        }
    }
}
