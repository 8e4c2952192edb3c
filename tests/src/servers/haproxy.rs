//! haproxy, in front of another server.

use std::{fmt::Write as _, fs};

use anyhow::{Context as _, Result};

use super::{Daemon, make_certificate};
use crate::{Namespace, Scratch};

/// Starts one that passes requests on to the HTTP server at `backend` of the same host, over
/// loopback. Who closes without a request is not answered: it would be told 400 else.
pub fn start(
    namespace: &Namespace,
    tls_ports: &[u16],
    plain_port: u16,
    backend: u16,
) -> Result<Daemon> {
    let folder = Scratch::new()?;
    make_certificate(folder.path())?;
    let both = [folder.join("certificate.pem"), folder.join("key.pem")];
    let both: Vec<_> = both.iter().map(fs::read).collect::<Result<_, _>>()?;
    let bundle = folder.join("bundle.pem");
    fs::write(&bundle, both.concat()).context("cannot write the certificate with its key")?;
    let mut binds = String::new();
    for port in tls_ports {
        let _ = writeln!(
            binds,
            "    bind :::{port} v4v6 ssl crt {}",
            bundle.display()
        );
    }
    let text = format!(
        "global
    maxconn 8000
defaults
    mode http
    option http-ignore-probes
    timeout connect 10s
    timeout client 30s
    timeout server 30s
frontend tls
{binds}    default_backend web
frontend plain
    bind :::{plain_port} v4v6
    default_backend web
backend web
    server web 127.0.0.1:{backend}
"
    );
    let configuration = folder.join("haproxy.cfg");
    fs::write(&configuration, text).context("cannot write haproxy.cfg")?;
    let mut command = namespace.command("haproxy");
    command.arg("-db").arg("-f").arg(configuration);
    Daemon::start(namespace, folder, command, plain_port)
}
