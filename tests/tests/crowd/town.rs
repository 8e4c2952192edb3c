//! The servers, each kind on ports of its own, and guard in front of them.

use std::{fmt::Write as _, fs, path::PathBuf};

use anyhow::Result;
use lab::{
    Namespace,
    agent::{Agent, Folder},
    servers::{Daemon, HOST, Nginx, haproxy, listens, openssl, postgres, redis, ssh},
    stage::{INTERFACE, Stage},
};

/// A service: its name in guard's configuration, and its port.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Service {
    pub(crate) name: &'static str,
    pub(crate) port: u16,
}

const fn service(name: &'static str, port: u16) -> Service {
    Service { name, port }
}

/// nginx over TLS, HTTP/1.1 and HTTP/2.
pub(crate) const NGINX_TLS: Service = service("nginx-tls", 8443);
/// The same, asked in clear.
pub(crate) const NGINX_ASKED: Service = service("nginx-asked", 8444);
/// nginx over TLS behind a PROXY header.
pub(crate) const NGINX_PROXY: Service = service("nginx-proxy", 8445);
/// nginx in clear.
pub(crate) const NGINX_PLAIN: Service = service("nginx-plain", 8080);
/// nginx in clear, which sends everybody on to HTTPS.
pub(crate) const NGINX_MOVED: Service = service("nginx-moved", 8081);
/// nginx, HTTP/2 in clear.
pub(crate) const NGINX_H2C: Service = service("nginx-h2c", 8082);
/// haproxy over TLS.
pub(crate) const HAPROXY_TLS: Service = service("haproxy-tls", 9443);
/// The same, asked in clear.
pub(crate) const HAPROXY_ASKED: Service = service("haproxy-asked", 9444);
/// haproxy in clear.
pub(crate) const HAPROXY_PLAIN: Service = service("haproxy-plain", 9080);
/// openssl's own server.
pub(crate) const OPENSSL: Service = service("openssl", 9445);
/// Redis over TLS.
pub(crate) const REDIS_TLS: Service = service("redis-tls", 6380);
/// Redis in clear.
pub(crate) const REDIS: Service = service("redis", 6379);
/// PostgreSQL, both ways.
pub(crate) const POSTGRES: Service = service("postgres", 5432);
/// An SSH server.
pub(crate) const SSH: Service = service("ssh", 2222);

/// All of them.
pub(crate) const SERVICES: [Service; 14] = [
    NGINX_TLS,
    NGINX_ASKED,
    NGINX_PROXY,
    NGINX_PLAIN,
    NGINX_MOVED,
    NGINX_H2C,
    HAPROXY_TLS,
    HAPROXY_ASKED,
    HAPROXY_PLAIN,
    OPENSSL,
    REDIS_TLS,
    REDIS,
    POSTGRES,
    SSH,
];

/// Where haproxy finds nginx.
const BACKEND: u16 = 8000;

/// A stage with all servers on it, and guard.
pub(crate) struct Town {
    pub(crate) agent: Agent,
    pub(crate) stage: Stage,
    nginx: Nginx,
    haproxy: Daemon,
    openssl: Daemon,
    redis: Daemon,
    _others: [Daemon; 2],
}

impl Town {
    pub(crate) fn new() -> Result<Self> {
        let stage = Stage::new()?;
        let host = stage.host();
        let nginx = Nginx::start_with(host, &nginx_servers(), BACKEND)?;
        let haproxy = haproxy::start(
            host,
            &[HAPROXY_TLS.port, HAPROXY_ASKED.port],
            HAPROXY_PLAIN.port,
            BACKEND,
        )?;
        Ok(Self {
            openssl: openssl::start(host, OPENSSL.port)?,
            redis: redis::start(host, REDIS.port, REDIS_TLS.port)?,
            _others: [
                postgres::start(host, POSTGRES.port)?,
                ssh::start(host, SSH.port)?,
            ],
            agent: guard(host)?,
            nginx,
            haproxy,
            stage,
        })
    }

    /// The certificate of a service's server.
    pub(crate) fn certificate(&self, service: Service) -> PathBuf {
        match service.port {
            port if port == OPENSSL.port => self.openssl.certificate(),
            port if port == REDIS_TLS.port => self.redis.certificate(),
            port if port == HAPROXY_TLS.port => self.haproxy.certificate(),
            _ => self.nginx.certificate(),
        }
    }

    /// From now on both ends ask for segments of 76 bytes, so that hardly anything fits into one.
    pub(crate) fn shrink_segments(&self) -> Result<()> {
        for end in [&self.stage.client, &self.stage.server] {
            let namespace = end.namespace();
            for family in ["ipv4", "ipv6"] {
                namespace.set(&format!("{family}/route/min_adv_mss"), "88")?;
            }
            // In place of the routes that come with the addresses.
            for route in ["203.0.113.0/24", "2001:db8::/64 metric 256"] {
                namespace.ip(&format!(
                    "route replace {route} dev {INTERFACE} proto kernel advmss 88"
                ))?;
            }
        }
        Ok(())
    }

    /// Stops guard, which must end well.
    pub(crate) fn leave(self) -> Result<()> {
        let stopped = self.agent.stop()?;
        let log = stopped.log.text();
        assert!(
            stopped.status.success() && !log.contains("panicked"),
            "{log}"
        );
        Ok(())
    }
}

fn nginx_servers() -> String {
    let listen = |port: u16, words| listens(&[port], words);
    let tls = listen(NGINX_TLS.port, " ssl http2") + &listen(NGINX_ASKED.port, " ssl");
    let plain = listen(NGINX_PLAIN.port, "") + &listen(BACKEND, "");
    let h2c = listen(NGINX_H2C.port, " http2");
    let proxied = listen(NGINX_PROXY.port, " ssl proxy_protocol");
    let ok = "location / { return 200 \"ok\\n\"; }";
    format!(
        "server {{ {tls}{plain}{h2c}{proxied} {ok} }} server {{ {} return 301 https://{HOST}:{}/; }}",
        listen(NGINX_MOVED.port, ""),
        NGINX_TLS.port
    )
}

/// Starts guard, which demands encryption of every service and lets plaintext pass.
fn guard(host: &Namespace) -> Result<Agent> {
    // One client calls more often than the limits allow that are in force else.
    let mut text = format!("interfaces = [\"{INTERFACE}\"]\n[limits]\nconnections = \"off\"\n");
    for Service { name, port } in SERVICES {
        let _ = write!(text, "[[service]]\nname = \"{name}\"\nports = [{port}]\n");
    }
    let folder = Folder::new()?;
    let file = folder.join("guard.toml");
    fs::write(&file, text)?;
    let flags = ["--config", &file.to_string_lossy()];
    Agent::start_in(host, folder, &flags)
}
