//! The server that comes with openssl.

use anyhow::Result;

use super::{Daemon, make_certificate};
use crate::{Namespace, Scratch};

/// Starts `openssl s_server`, which answers each request over TLS with a page about the connection,
/// one client after the other.
pub fn start(namespace: &Namespace, port: u16) -> Result<Daemon> {
    start_with(namespace, port, &[])
}

/// The same with these further words.
pub fn start_with(namespace: &Namespace, port: u16, words: &[&str]) -> Result<Daemon> {
    let folder = Scratch::new()?;
    make_certificate(folder.path())?;
    let mut command = namespace.command("openssl");
    command.args(["s_server", "-quiet", "-www", "-accept", &port.to_string()]);
    command.arg("-cert").arg(folder.join("certificate.pem"));
    command.arg("-key").arg(folder.join("key.pem"));
    command.args(words);
    Daemon::start(namespace, folder, command, port)
}
