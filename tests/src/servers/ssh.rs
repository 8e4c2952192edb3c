//! SSH servers: one that lets nobody in, and one that lets in whoever has its key.

use std::{
    fs,
    io::{BufRead as _, BufReader, Write as _},
    net::IpAddr,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    sync::mpsc::{self, Receiver},
    thread,
    time::Duration,
};

use anyhow::{Context as _, Result};

use super::Daemon;
use crate::{Namespace, Scratch, command};

/// What it is started by: it wants an empty folder below `/run`, and gets a `/run` of its own.
const START: &str =
    "mount -t tmpfs tmpfs /run && mkdir -m 755 /run/sshd && exec /usr/sbin/sshd \"$@\"";
/// What a session does, whatever is asked for: it says by which connection it came, then says all
/// it is told.
const SESSION: &str = "sh -c 'echo \"$SSH_CONNECTION\"; exec cat'";
/// How long a session may take until it is there.
const PATIENCE: Duration = Duration::from_secs(30);

/// Starts one with a key of its own, which lets nobody in.
pub fn start(namespace: &Namespace, port: u16) -> Result<Daemon> {
    start_with(namespace, Scratch::new()?, port, "AuthorizedKeysFile none")
}

/// One that lets in whoever has the key.
#[derive(Debug)]
pub struct Open {
    _daemon: Daemon,
    key: PathBuf,
    port: u16,
}

impl Open {
    /// Starts it.
    pub fn start(namespace: &Namespace, port: u16) -> Result<Self> {
        let folder = Scratch::new()?;
        let key = folder.join("admin");
        make_key(&key)?;
        let text = format!(
            "AuthorizedKeysFile {}\nPermitRootLogin yes\nStrictModes no\nPrintLastLog no\n\
             PrintMotd no\nForceCommand {SESSION}",
            folder.join("admin.pub").display()
        );
        Ok(Self {
            _daemon: start_with(namespace, folder, port, &text)?,
            key,
            port,
        })
    }

    /// Logs in from `client`, where the server is `server`.
    pub fn log_in(&self, client: &Namespace, server: IpAddr) -> Result<Session> {
        let mut ssh = client.command("ssh");
        ssh.args(["-F", "none", "-T", "-o", "BatchMode=yes"]);
        ssh.args(["-o", "IdentitiesOnly=yes", "-o", "IdentityAgent=none"]);
        ssh.args(["-o", "StrictHostKeyChecking=no"]);
        ssh.args(["-o", "UserKnownHostsFile=/dev/null"]);
        ssh.arg("-i").arg(&self.key);
        ssh.args(["-p", &self.port.to_string(), &format!("root@{server}")]);
        Session::start(ssh)
    }
}

/// Somebody who has logged in.
#[derive(Debug)]
pub struct Session {
    ssh: Child,
    said: Receiver<String>,
    /// `SSH_CONNECTION` as the server sets it: address and port of the client, then of the server.
    pub connection: String,
}

impl Session {
    fn start(mut ssh: Command) -> Result<Self> {
        let ssh = ssh.stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut ssh = ssh.stderr(Stdio::null()).spawn().context("starting ssh")?;
        let output = ssh.stdout.take().context("ssh without an output")?;
        let (say, said) = mpsc::channel();
        // Ends with the process, which closes its output.
        thread::spawn(move || {
            let lines = BufReader::new(output).lines().map_while(Result::ok);
            lines.for_each(|line| drop(say.send(line)));
        });
        let mut session = Self {
            ssh,
            said,
            connection: String::new(),
        };
        let first = session.said.recv_timeout(PATIENCE);
        session.connection = first.context("nobody was let in")?;
        Ok(session)
    }

    /// The client's port.
    pub fn port(&self) -> Result<u16> {
        let port = self.connection.split(' ').nth(1).context("no port")?;
        Ok(port.parse()?)
    }

    /// Whether the server says within `patience` what it is told.
    pub fn echoes(&mut self, text: &str, patience: Duration) -> bool {
        let Some(input) = &mut self.ssh.stdin else {
            return false;
        };
        let told = writeln!(input, "{text}").and_then(|()| input.flush());
        told.is_ok()
            && self
                .said
                .recv_timeout(patience)
                .is_ok_and(|said| said == text)
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.ssh.kill();
        let _ = self.ssh.wait();
    }
}

fn start_with(
    namespace: &Namespace,
    folder: Scratch,
    port: u16,
    configuration: &str,
) -> Result<Daemon> {
    let key = folder.join("key");
    make_key(&key)?;
    let text = format!(
        "Port {port}
HostKey {key}
PidFile none
UsePAM no
AuthenticationMethods publickey
MaxStartups 1000
{configuration}
",
        key = key.display()
    );
    let configuration = folder.join("sshd_config");
    fs::write(&configuration, text).context("cannot write sshd_config")?;
    let mut command = namespace.command("unshare");
    command.args(["--mount", "--", "sh", "-c", START, "sshd", "-D", "-e", "-f"]);
    command.arg(configuration);
    Daemon::start(namespace, folder, command, port)
}

fn make_key(path: &Path) -> Result<()> {
    let mut keygen = Command::new("ssh-keygen");
    keygen.args(["-q", "-t", "ed25519", "-N", "", "-f"]);
    command::output(keygen.arg(path))?;
    Ok(())
}
