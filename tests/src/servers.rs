//! Real servers to protect.

use std::{
    fmt::Write as _,
    fs,
    net::{Ipv4Addr, SocketAddr},
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
        let folder = Scratch::new()?;
        make_certificate(folder.path())?;
        let configuration = folder.join("nginx.conf");
        fs::write(&configuration, nginx_configuration(tls_ports, plain_ports))
            .context("cannot write nginx.conf")?;
        let mut command = namespace.command("nginx");
        command
            .arg("-p")
            .arg(folder.path())
            .args(["-c", "nginx.conf", "-e", "error.log"]);
        let port = tls_ports
            .iter()
            .chain(plain_ports)
            .next()
            .context("nginx without a port")?;
        let ready = Ready::Port(SocketAddr::from((Ipv4Addr::LOCALHOST, *port)));
        let server = Server::start(namespace, command, &folder.join("printed"), ready)?;
        Ok(Self { server, folder })
    }

    /// Serves `content` under `/files/name`.
    pub fn publish(&self, name: &str, content: &[u8]) -> Result<()> {
        let folder = self.folder.join("files");
        fs::create_dir_all(&folder).and_then(|()| fs::write(folder.join(name), content))?;
        Ok(())
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

/// A configuration that touches nothing outside nginx's prefix.
fn nginx_configuration(tls_ports: &[u16], plain_ports: &[u16]) -> String {
    let mut listen = String::new();
    let all = tls_ports.iter().map(|port| (port, " ssl"));
    for (port, tls) in all.chain(plain_ports.iter().map(|port| (port, ""))) {
        let _ = write!(listen, "listen {port}{tls}; listen [::]:{port}{tls}; ");
    }
    format!(
        "daemon off; master_process off; pid nginx.pid; error_log error.log;
events {{ worker_connections 4096; }}
http {{
    access_log off;
    client_body_temp_path temp-body; proxy_temp_path temp-proxy; fastcgi_temp_path temp-fastcgi;
    uwsgi_temp_path temp-uwsgi; scgi_temp_path temp-scgi;
    ssl_certificate certificate.pem; ssl_certificate_key key.pem; ssl_session_cache off;
    server {{ {listen} location / {{ return 200 \"ok\\n\"; }} location /files/ {{ root .; }} }}
}}
"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nginx_listens_as_told() {
        let text = nginx_configuration(&[8443], &[8080]);
        assert!(
            text.contains("listen 8443 ssl; listen [::]:8443 ssl; listen 8080; listen [::]:8080;")
        );
    }
}
