//! An SSH server, which lets nobody in.

use std::{fs, process::Command};

use anyhow::{Context as _, Result};

use super::Daemon;
use crate::{Namespace, Scratch, command};

/// What it is started by: it wants an empty folder below `/run`, and gets a `/run` of its own.
const START: &str =
    "mount -t tmpfs tmpfs /run && mkdir -m 755 /run/sshd && exec /usr/sbin/sshd \"$@\"";

/// Starts one with a key of its own.
pub fn start(namespace: &Namespace, port: u16) -> Result<Daemon> {
    let folder = Scratch::new()?;
    let key = folder.join("key");
    let mut keygen = Command::new("ssh-keygen");
    keygen.args(["-q", "-t", "ed25519", "-N", "", "-f"]);
    command::output(keygen.arg(&key))?;
    let text = format!(
        "Port {port}
HostKey {key}
PidFile none
UsePAM no
AuthenticationMethods publickey
AuthorizedKeysFile none
MaxStartups 1000
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
