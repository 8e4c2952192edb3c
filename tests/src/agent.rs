//! The agent itself, `guard run`, in a namespace and with folders of its own.

use std::{
    env, fs,
    net::{Ipv4Addr, SocketAddr},
    os::unix::fs::chown,
    path::{Path, PathBuf},
    process::{Command, ExitStatus, Output},
    time::Duration,
};

use anyhow::{Context as _, Result, bail};
use serde_json::Value;

use crate::{
    Namespace, http,
    http::Response,
    metrics::Metrics,
    process::{Ready, Server},
    scratch::Scratch,
};

/// Where every agent of the lab serves its metrics: each has a namespace, so all have this port.
pub const LISTEN: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(Ipv4Addr::LOCALHOST), 9797);

/// How long the agent may take until it protects.
const START_TIMEOUT: Duration = Duration::from_mins(1);

/// A running agent; stopped when dropped.
#[derive(Debug)]
pub struct Agent {
    server: Server,
    folder: Folder,
}

/// What an agent left when it ended.
#[derive(Debug)]
pub struct Stopped {
    /// How it ended.
    pub status: ExitStatus,
    /// Everything it logged.
    pub log: Log,
    /// Its folders, to be looked at for leftovers.
    pub folder: Folder,
}

/// An agent's own folders, shared with nobody; they outlive it, so that a second agent can be
/// started on what the first one left.
#[derive(Debug)]
pub struct Folder {
    scratch: Scratch,
    bpffs: PathBuf,
}

impl Folder {
    /// Makes empty ones, with a bpffs mounted.
    pub fn new() -> Result<Self> {
        let mut scratch = Scratch::new()?;
        let bpffs = scratch.mount_bpffs("bpffs")?.join("guard");
        Ok(Self { scratch, bpffs })
    }

    /// What `--bpffs` names: a folder inside a mounted bpffs, which the agent creates.
    pub fn bpffs(&self) -> &Path {
        &self.bpffs
    }

    /// What `--state-dir` names.
    pub fn state(&self) -> PathBuf {
        self.scratch.join("state")
    }

    /// What `--socket` names.
    pub fn socket(&self) -> PathBuf {
        self.scratch.join("guard.sock")
    }

    /// Makes the state folder one that is full after so many KiB.
    pub fn limit_state(&mut self, kib: u32) -> Result<()> {
        self.scratch.mount_memory("state", kib << 10).map(drop)
    }

    /// The path of a further file, such as a configuration.
    pub fn join(&self, name: &str) -> PathBuf {
        self.scratch.join(name)
    }

    /// Gives all of it to the user and group of this number, and the bpffs with it.
    pub fn give_to(&self, id: u32) -> Result<()> {
        let mounted = self.bpffs.parent().context("a bpffs is mounted")?;
        for path in [self.scratch.path(), mounted] {
            chown(path, Some(id), Some(id))
                .with_context(|| format!("cannot give away {}", path.display()))?;
        }
        Ok(())
    }

    /// The paths below the pins' folder, in order, for a test that wants them gone.
    pub fn pins(&self) -> Vec<PathBuf> {
        let mut pins = Vec::new();
        let mut folders = vec![self.bpffs.clone()];
        while let Some(folder) = folders.pop() {
            for entry in fs::read_dir(&folder).into_iter().flatten().flatten() {
                match entry.file_type() {
                    Ok(kind) if kind.is_dir() => folders.push(entry.path()),
                    _ => pins.push(entry.path()),
                }
            }
        }
        pins.sort();
        pins
    }
}

impl Agent {
    /// Starts `guard run` with these further flags and waits until it is ready.
    pub fn start(namespace: &Namespace, flags: &[&str]) -> Result<Self> {
        Self::start_in(namespace, Folder::new()?, flags)
    }

    /// Starts it on folders there are already.
    pub fn start_in(namespace: &Namespace, folder: Folder, flags: &[&str]) -> Result<Self> {
        let mut agent = Self::spawn_in(namespace, folder, flags)?;
        agent.wait_until_ready()?;
        Ok(agent)
    }

    /// Starts it and does not wait: for one that is to fail.
    pub fn spawn_in(namespace: &Namespace, folder: Folder, flags: &[&str]) -> Result<Self> {
        let command = namespace.command(binary()?);
        Self::spawn_as(namespace, folder, command, flags)
    }

    /// Starts it with its log going to this file, which may be a device or a pipe, and waits until
    /// it is ready.
    pub fn start_logging_to(namespace: &Namespace, log: &Path, flags: &[&str]) -> Result<Self> {
        let mut command = namespace.command("sh");
        command.args(["-c", "exec \"$@\" 2> \"$0\""]).arg(log);
        command.arg(binary()?);
        let mut agent = Self::spawn_as(namespace, Folder::new()?, command, flags)?;
        agent.wait_until_ready()?;
        Ok(agent)
    }

    /// Starts it on folders there are already, trusting the certificates in this file, and waits
    /// until it is ready.
    pub fn start_trusting(
        namespace: &Namespace,
        folder: Folder,
        certificates: &Path,
        flags: &[&str],
    ) -> Result<Self> {
        let mut command = namespace.command(binary()?);
        command.env("SSL_CERT_FILE", certificates);
        let mut agent = Self::spawn_as(namespace, folder, command, flags)?;
        agent.wait_until_ready()?;
        Ok(agent)
    }

    /// Starts it where this file is `/etc/resolv.conf`, and waits until it is ready.
    pub fn start_resolving_by(
        namespace: &Namespace,
        resolvers: &Path,
        folder: Folder,
        flags: &[&str],
    ) -> Result<Self> {
        let mut command = namespace.command("unshare");
        let start = "mount --bind \"$0\" /etc/resolv.conf && exec \"$@\"";
        command
            .args(["--mount", "--", "sh", "-c", start])
            .arg(resolvers);
        command.arg(binary()?);
        let mut agent = Self::spawn_as(namespace, folder, command, flags)?;
        agent.wait_until_ready()?;
        Ok(agent)
    }

    /// Starts it by this command, with folders and flags added: one that becomes the agent, such as
    /// `env` or `setpriv`.
    pub fn spawn_as(
        namespace: &Namespace,
        folder: Folder,
        mut command: Command,
        flags: &[&str],
    ) -> Result<Self> {
        without_settings(&mut command);
        command.args([
            "run",
            "--log-format",
            "json",
            "--listen",
            &LISTEN.to_string(),
        ]);
        command.arg("--socket").arg(folder.socket());
        command.arg("--state-dir").arg(folder.state());
        command.arg("--bpffs").arg(folder.bpffs());
        command.args(flags);
        Self::spawn(namespace, folder, command)
    }

    /// Runs a command that starts it, made by whoever wants its folders, or its environment, to be
    /// said in another way.
    pub fn spawn(namespace: &Namespace, folder: Folder, command: Command) -> Result<Self> {
        let server = Server::start(namespace, command, &folder.join("log"), Ready::Started)?;
        Ok(Self { server, folder })
    }

    /// Waits until it protects, or again protects, everything it should.
    pub fn wait_until_ready(&mut self) -> Result<()> {
        self.server.wait_until(START_TIMEOUT, |server| {
            http::get(server.namespace(), LISTEN, "/readyz")
                .is_ok_and(|answer| answer.status == 200)
        })
    }

    /// The process.
    pub fn server(&mut self) -> &mut Server {
        &mut self.server
    }

    /// Its folders.
    pub fn folder(&self) -> &Folder {
        &self.folder
    }

    /// What it logged so far.
    pub fn log(&self) -> Log {
        Log {
            text: self.server.printed(),
        }
    }

    /// Scrapes it.
    pub fn metrics(&self) -> Result<Metrics> {
        Metrics::scrape(self.server.namespace(), LISTEN)
    }

    /// Fetches a path of its metrics port.
    pub fn get(&self, path: &str) -> Result<Response> {
        http::get(self.server.namespace(), LISTEN, path)
    }

    /// Runs `guard` with these words and this agent's socket, such as `["status", "-o", "json"]`.
    pub fn cli(&self, words: &[&str]) -> Result<Output> {
        let mut command = self.server.namespace().command(binary()?);
        without_settings(&mut command);
        command
            .args(words)
            .arg("--socket")
            .arg(self.folder.socket());
        command.output().context("cannot run guard")
    }

    /// Starts `guard` with these words and this agent's socket, such as `["events", "--follow"]`; what
    /// it prints goes to this file.
    pub fn start_cli(&self, words: &[&str], printed: &Path) -> Result<Server> {
        let mut command = self.server.namespace().command(binary()?);
        without_settings(&mut command);
        command
            .args(words)
            .arg("--socket")
            .arg(self.folder.socket());
        Server::start(self.server.namespace(), command, printed, Ready::Started)
    }

    /// What `guard status --output json` says of it.
    pub fn status(&self) -> Result<Value> {
        let output = self.cli(&["status", "--output", "json"])?;
        let said = String::from_utf8_lossy(&output.stderr);
        serde_json::from_slice(&output.stdout)
            .with_context(|| format!("`guard status` ended with {}: {said}", output.status))
    }

    /// Stops it by SIGTERM.
    pub fn stop(mut self) -> Result<Stopped> {
        let status = self.server.stop()?;
        Ok(self.into_stopped(status))
    }

    /// Waits until it ends by itself.
    pub fn wait(mut self, timeout: Duration) -> Result<Stopped> {
        let status = self.server.wait(timeout)?;
        Ok(self.into_stopped(status))
    }

    fn into_stopped(self, status: ExitStatus) -> Stopped {
        let log = self.log();
        Stopped {
            status,
            log,
            folder: self.folder,
        }
    }
}

/// What an agent logged: a JSON object a line.
#[derive(Clone, Debug)]
pub struct Log {
    text: String,
}

impl Log {
    /// Every byte of it.
    pub fn text(&self) -> &str {
        &self.text
    }

    /// The lines that are JSON objects.
    pub fn lines(&self) -> impl Iterator<Item = Value> {
        self.text
            .lines()
            .filter_map(|line| serde_json::from_str(line).ok())
    }

    /// The lines whose field `name` is the text `value`.
    pub fn with<'a>(&'a self, name: &'a str, value: &'a str) -> impl Iterator<Item = Value> + 'a {
        self.lines()
            .filter(move |line| field(line, name).is_some_and(|own| own == value))
    }
}

/// A field of a log line, at the top or below `fields`, where the logger puts them.
pub fn field<'a>(line: &'a Value, name: &str) -> Option<&'a Value> {
    line.get(name).or_else(|| line.get("fields")?.get(name))
}

/// The `guard` under test: `GUARD_BIN`, or the one built beside this program.
pub fn binary() -> Result<PathBuf> {
    if let Some(path) = env::var_os("GUARD_BIN") {
        return Ok(path.into());
    }
    // Tests are in `deps`, programs one level above it.
    let own = env::current_exe().context("where is this program?")?;
    let beside = own
        .ancestors()
        .skip(1)
        .take(2)
        .map(|folder| folder.join("guard"));
    let Some(path) = beside.into_iter().find(|path| path.is_file()) else {
        bail!(
            "no `guard` beside {}: build it, or name it in GUARD_BIN",
            own.display()
        );
    };
    Ok(path)
}

/// Keeps the caller's own `GUARD_…` variables, each of which is a flag, from the agent under test, and
/// where the caller is, and who watches over it.
pub fn without_settings(command: &mut Command) {
    for name in [
        "SSH_CONNECTION",
        "NOTIFY_SOCKET",
        "WATCHDOG_USEC",
        "WATCHDOG_PID",
    ] {
        command.env_remove(name);
    }
    let names = env::vars_os().map(|(name, _)| name);
    for name in names.filter(|name| name.to_string_lossy().starts_with("GUARD_")) {
        command.env_remove(name);
    }
}

/// A command of `guard` that needs no agent, such as `check`.
pub fn command(words: &[&str]) -> Result<Command> {
    let mut command = Command::new(binary()?);
    without_settings(&mut command);
    command.args(words);
    Ok(command)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn finds_events_wherever_the_logger_puts_the_fields() {
        let text = "starting\n{\"event\":\"plaintext\",\"port\":1}\n\
                    {\"level\":\"INFO\",\"fields\":{\"event\":\"plaintext\",\"port\":2}}\n{\"event\":\"x\"}\n";
        let log = Log { text: text.into() };
        let ports: Vec<_> = log
            .with("event", "plaintext")
            .filter_map(|line| field(&line, "port")?.as_u64())
            .collect();
        assert_eq!(ports, [1, 2]);
    }
}
