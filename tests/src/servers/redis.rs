//! Redis, in clear and over TLS.

use anyhow::Result;

use super::{Daemon, make_certificate};
use crate::{Namespace, Scratch};

/// Starts one that keeps nothing and lets everybody in.
pub fn start(namespace: &Namespace, plain_port: u16, tls_port: u16) -> Result<Daemon> {
    let folder = Scratch::new()?;
    make_certificate(folder.path())?;
    let mut command = namespace.command("redis-server");
    command.args(["--port", &plain_port.to_string()]);
    command.args(["--tls-port", &tls_port.to_string()]);
    command
        .arg("--tls-cert-file")
        .arg(folder.join("certificate.pem"));
    command.arg("--tls-key-file").arg(folder.join("key.pem"));
    command.args(["--tls-auth-clients", "no", "--protected-mode", "no"]);
    command.args(["--save", "", "--appendonly", "no"]);
    command.arg("--dir").arg(folder.path());
    Daemon::start(namespace, folder, command, plain_port)
}
