//! Real servers to protect.

pub mod alertmanager;
pub mod haproxy;
pub mod openssl;
pub mod postgres;
pub mod redis;
pub mod ssh;

use std::{
    fmt::Write as _,
    fs,
    net::{IpAddr, Ipv4Addr, SocketAddr},
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context as _, Result};

use crate::{
    Namespace, command,
    process::{Ready, Server},
    scratch::Scratch,
};

/// The name in every certificate of the lab.
pub const HOST: &str = "guard.test";

/// An nginx with ports that speak TLS and ports that do not.
#[derive(Debug)]
pub struct Nginx {
    server: Server,
    folder: Scratch,
}

impl Nginx {
    /// Starts one on all addresses of `namespace`, IPv4 and IPv6. It answers every request with
    /// `200 ok`.
    pub fn start(namespace: &Namespace, tls_ports: &[u16], plain_ports: &[u16]) -> Result<Self> {
        let port = tls_ports
            .iter()
            .chain(plain_ports)
            .next()
            .context("nginx without a port")?;
        let ok = nginx_server(&listens(tls_ports, " ssl"), &listens(plain_ports, ""));
        Self::start_with(namespace, &ok, *port)
    }

    /// Starts one with these `server { … }` blocks, which listen on `port` among others.
    pub fn start_with(namespace: &Namespace, servers: &str, port: u16) -> Result<Self> {
        Self::start_certified(namespace, servers, port, make_certificate)
    }

    /// The same, with a certificate for this address by an authority of its own, which is what
    /// [`Self::authority`] returns.
    pub fn start_for(
        namespace: &Namespace,
        address: IpAddr,
        servers: &str,
        port: u16,
    ) -> Result<Self> {
        Self::start_certified(namespace, servers, port, |folder| {
            make_chain(folder, address)
        })
    }

    fn start_certified(
        namespace: &Namespace,
        servers: &str,
        port: u16,
        certify: impl FnOnce(&Path) -> Result<()>,
    ) -> Result<Self> {
        let folder = Scratch::new()?;
        certify(folder.path())?;
        let configuration = folder.join("nginx.conf");
        fs::write(&configuration, nginx_configuration(servers))
            .context("cannot write nginx.conf")?;
        let mut command = namespace.command("nginx");
        command
            .arg("-p")
            .arg(folder.path())
            .args(["-c", "nginx.conf", "-e", "error.log"]);
        let ready = Ready::Port(SocketAddr::from((Ipv4Addr::LOCALHOST, port)));
        let server = Server::start(namespace, command, &folder.join("printed"), ready)?;
        Ok(Self { server, folder })
    }

    /// Serves `content` under `/files/name`.
    pub fn publish(&self, name: &str, content: &[u8]) -> Result<()> {
        let folder = self.folder.join("files");
        fs::create_dir_all(&folder).and_then(|()| fs::write(folder.join(name), content))?;
        Ok(())
    }

    /// What it wrote to this file of its own, such as a log that its configuration names.
    pub fn wrote(&self, name: &str) -> String {
        fs::read_to_string(self.folder.join(name)).unwrap_or_default()
    }

    /// Makes what is published under this name so long, with zeros that take no room.
    pub fn grow(&self, name: &str, bytes: u64) -> Result<()> {
        let path = self.folder.join("files").join(name);
        let file = fs::OpenOptions::new().write(true).open(path)?;
        Ok(file.set_len(bytes)?)
    }

    /// Its certificate, which a client may trust for [`HOST`].
    pub fn certificate(&self) -> PathBuf {
        self.folder.join("certificate.pem")
    }

    /// The authority that its certificate is by.
    pub fn authority(&self) -> PathBuf {
        self.folder.join("authority.pem")
    }

    /// The process.
    pub fn server(&self) -> &Server {
        &self.server
    }
}

/// Writes `authority.pem`, and by it `certificate.pem` and `key.pem` for an address, into `folder`.
fn make_chain(folder: &Path, address: IpAddr) -> Result<()> {
    let request = |name: &str, key: &str, kind: &str, more: &[&str]| {
        let mut openssl = Command::new("openssl");
        openssl.current_dir(folder);
        openssl.args(["req", "-x509", "-newkey", "ec", "-noenc", "-days", "2"]);
        openssl.args(["-pkeyopt", "ec_paramgen_curve:prime256v1"]);
        openssl.args(["-subj", &format!("/CN={name}"), "-addext", kind]);
        openssl.args(["-keyout", key]).args(more);
        command::output(&mut openssl).map(drop)
    };
    let is_authority = "basicConstraints=critical,CA:TRUE";
    request(
        "authority",
        "authority.key",
        is_authority,
        &["-out", "authority.pem"],
    )?;
    let names = format!("subjectAltName=IP:{address}");
    let by = ["-CA", "authority.pem", "-CAkey", "authority.key"];
    let more = [&["-out", "certificate.pem", "-addext", &names], &by[..]].concat();
    request(HOST, "key.pem", "basicConstraints=critical,CA:FALSE", &more)
}

/// Writes `certificate.pem` and `key.pem`, for [`HOST`], into `folder`.
pub fn make_certificate(folder: &Path) -> Result<()> {
    let mut openssl = Command::new("openssl");
    openssl.args([
        "req",
        "-x509",
        "-newkey",
        "ec",
        "-pkeyopt",
        "ec_paramgen_curve:prime256v1",
    ]);
    openssl.args(["-noenc", "-days", "2", "-subj", &format!("/CN={HOST}")]);
    openssl.args(["-addext", &format!("subjectAltName=DNS:{HOST}")]);
    openssl.arg("-out").arg(folder.join("certificate.pem"));
    openssl.arg("-keyout").arg(folder.join("key.pem"));
    command::output(&mut openssl)?;
    Ok(())
}

/// A server of another kind, with a folder of its own, in which its certificate is.
#[derive(Debug)]
pub struct Daemon {
    server: Server,
    folder: Scratch,
}

impl Daemon {
    /// Runs `command` until this is dropped, and waits until it accepts connections on `port`.
    fn start(namespace: &Namespace, folder: Scratch, command: Command, port: u16) -> Result<Self> {
        let ready = Ready::Port(SocketAddr::from((Ipv4Addr::LOCALHOST, port)));
        let server = Server::start(namespace, command, &folder.join("printed"), ready)?;
        Ok(Self { server, folder })
    }

    /// Its certificate, which a client may trust for [`HOST`].
    pub fn certificate(&self) -> PathBuf {
        self.folder.join("certificate.pem")
    }

    /// The process.
    pub fn server(&self) -> &Server {
        &self.server
    }
}

/// The `listen` directives of nginx for these ports, of IPv4 and IPv6, with these further words.
pub fn listens(ports: &[u16], words: &str) -> String {
    let mut listen = String::new();
    for port in ports {
        let _ = write!(listen, "listen {port}{words}; listen [::]:{port}{words}; ");
    }
    listen
}

/// A `server` block of nginx that answers `200 ok`, and serves what is published.
fn nginx_server(tls: &str, plain: &str) -> String {
    format!(
        "server {{ {tls}{plain} location / {{ return 200 \"ok\\n\"; }} \
         location /files/ {{ root .; }} }}"
    )
}

/// A configuration that touches nothing outside nginx's prefix.
fn nginx_configuration(servers: &str) -> String {
    format!(
        "daemon off; master_process off; pid nginx.pid; error_log error.log;
events {{ worker_connections 4096; }}
http {{
    access_log off;
    client_body_temp_path temp-body; proxy_temp_path temp-proxy; fastcgi_temp_path temp-fastcgi;
    uwsgi_temp_path temp-uwsgi; scgi_temp_path temp-scgi;
    ssl_certificate certificate.pem; ssl_certificate_key key.pem; ssl_session_cache off;
    {servers}
}}
"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nginx_listens_as_told() {
        let servers = nginx_server(&listens(&[8443], " ssl"), &listens(&[8080], ""));
        let text = nginx_configuration(&servers);
        assert!(
            text.contains("listen 8443 ssl; listen [::]:8443 ssl; listen 8080; listen [::]:8080;")
        );
    }
}
