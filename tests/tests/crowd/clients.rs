//! The clients. Each tells how many of its connections came to their end as they should, as far as it
//! says so itself; how many it opened is what the kernel counted in its namespace.

use std::{
    fs,
    net::{SocketAddr, TcpStream},
    path::Path,
};

use anyhow::{Context as _, Result};
use lab::{
    Namespace,
    servers::{HOST, postgres},
    stage::{SERVER, SERVER_V6},
};

use crate::{
    said::{active_opens, leading_number, number_before, said},
    town::{Service, Town},
};

/// What stops wrk after so many answers, which it has no option for.
const STOP: &str = "local left = tonumber(os.getenv('ANSWERS'))
function response()
    left = left - 1
    if left == 0 then wrk.thread:stop() end
end
";

/// The setting of the ports that clients call from.
const PORTS: &str = "ipv4/ip_local_port_range";
/// Few of them, first and last.
const FEW_PORTS: &str = "20000 20127";

/// What came of a client's visit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Made {
    /// Connections that came to their end as they should.
    pub(crate) done: u64,
    /// Connections that were opened.
    pub(crate) opened: u64,
}

/// A client at work in the client's namespace.
pub(crate) struct Clients<'a> {
    town: &'a Town,
    namespace: &'a Namespace,
}

impl<'a> Clients<'a> {
    pub(crate) fn new(town: &'a Town) -> Self {
        let namespace = town.stage.client.namespace();
        Self { town, namespace }
    }

    /// curl, a new connection for each request, half of them over IPv6; done are those answered with
    /// `status`, which is 0 where the answer is not to be HTTP.
    pub(crate) fn curl(
        &self,
        scheme: &str,
        service: Service,
        options: &[&str],
        status: u16,
        count: u64,
    ) -> Result<Made> {
        self.visit(|| {
            let mut done = 0;
            for server in [SERVER.to_string(), format!("[{SERVER_V6}]")] {
                let mut curl = self.namespace.command("curl");
                curl.args(["--disable", "--silent", "--noproxy", "*", "--http1.1"]);
                curl.args(["--header", "Connection: close", "--output", "/dev/null"]);
                curl.args(["--max-time", "20", "--write-out", "%{http_code}\\n"]);
                curl.arg("--cacert").arg(self.town.certificate(service));
                let Service { port, .. } = service;
                curl.args(["--resolve", &format!("{HOST}:{port}:{server}")]);
                curl.args(options);
                curl.arg(format!("{scheme}://{HOST}:{port}/[1-{}]", count / 2));
                let wanted = format!("{status:03}");
                let said = said(&mut curl)?;
                done += said.lines().filter(|line| *line == wanted).count();
            }
            Ok(done as u64)
        })
    }

    /// h2load over IPv6, at most 250 connections at once, a request for each.
    pub(crate) fn h2load(
        &self,
        url: &str,
        service: Service,
        options: &[&str],
        count: u64,
    ) -> Result<Made> {
        self.visit(|| {
            let mut done = 0;
            let mut left = count;
            while left > 0 {
                let now = left.min(250);
                left -= now;
                let mut h2load = self.namespace.command("h2load");
                let now = now.to_string();
                h2load.args(["-n", &now, "-c", &now]).args(options);
                h2load.arg(format!("{url}://[{SERVER_V6}]:{}/", service.port));
                done += number_before(&said(&mut h2load)?, " done, ")?;
            }
            Ok(done)
        })
    }

    /// wrk over IPv4, which is told to close after each answer, through few ports, so that each is
    /// soon used again. It opens one more connection to see whether anybody is there, and breaks 16
    /// off when it has answers enough.
    pub(crate) fn wrk(&self, scheme: &str, service: Service, count: u64) -> Result<Made> {
        let folder = lab::Scratch::new()?;
        let script = folder.join("stop.lua");
        fs::write(&script, STOP)?;
        self.visit(|| {
            let mut wrk = self.namespace.command("wrk");
            // It stays that long, even when it has answers enough.
            let seconds = 2.max(count / 400).to_string();
            let all = self.ports()?;
            self.namespace.set(PORTS, FEW_PORTS)?;
            wrk.args(["-t", "1", "-c", "16", "-d", &seconds, "-s"]);
            wrk.arg(&script).env("ANSWERS", count.to_string());
            wrk.args(["--header", "Connection: close"]);
            wrk.arg(format!("{scheme}://{SERVER}:{}/", service.port));
            let said = said(&mut wrk);
            self.namespace.set(PORTS, &all)?;
            number_before(&said?, " requests in")
        })
    }

    /// openssl's own client, which says nothing once TLS is established.
    pub(crate) fn s_client(&self, service: Service, count: u64) -> Result<Made> {
        let certificate = self.town.certificate(service);
        let command = format!(
            "openssl s_client -brief -verify_return_error -servername {HOST} -CAfile {} \
             -connect {SERVER}:{} </dev/null",
            certificate.display(),
            service.port
        );
        self.visit(|| self.repeat(&command, "Verification: OK", count))
    }

    /// redis-benchmark, a new connection for each request, 8 at once: as many are broken off in the
    /// end, and one asks for the server's configuration beforehand.
    pub(crate) fn redis_benchmark(
        &self,
        service: Service,
        options: &[&str],
        count: u64,
    ) -> Result<Made> {
        self.visit(|| {
            let mut redis = self.namespace.command("redis-benchmark");
            redis.args(["-h", &SERVER.to_string(), "-p", &service.port.to_string()]);
            redis.args(["-k", "0", "-c", "8", "-t", "ping_mbulk", "-n"]);
            redis.arg(count.to_string()).args(options);
            number_before(&said(&mut redis)?, " requests completed")
        })
    }

    /// redis-cli, one request for each connection.
    pub(crate) fn redis_cli(
        &self,
        service: Service,
        options: &str,
        says: &str,
        count: u64,
    ) -> Result<Made> {
        let port = service.port;
        let command = format!("redis-cli -h {SERVER} -p {port} {options} ping");
        self.visit(|| self.repeat(&command, says, count))
    }

    /// pgbench, a new connection for each transaction.
    pub(crate) fn pgbench(&self, service: Service, mode: &str, count: u64) -> Result<Made> {
        let folder = lab::Scratch::new()?;
        let script = folder.join("one.sql");
        fs::write(&script, "SELECT 1;\n")?;
        self.visit(|| {
            let mut pgbench = self.namespace.command(postgres::program("pgbench")?);
            pgbench.env("PGSSLMODE", mode).args(["-n", "-C", "-c", "2"]);
            pgbench
                .args(["-t", &(count / 2).to_string(), "-f"])
                .arg(&script);
            pgbench.args(["-h", &SERVER.to_string(), "-p", &service.port.to_string()]);
            pgbench.args(["-U", "postgres", "postgres"]);
            let said = said(&mut pgbench)?;
            let processed = said.split_once("actually processed: ");
            leading_number(processed.context("no count of pgbench")?.1)
        })
    }

    /// psql as this user, one connection each.
    pub(crate) fn psql(
        &self,
        service: Service,
        user: &str,
        mode: &str,
        says: &str,
        count: u64,
    ) -> Result<Made> {
        let command = format!(
            "PGSSLMODE={mode} {} -h {SERVER_V6} -p {} -U {user} -Atc 'SELECT 42' postgres",
            postgres::program("psql")?.display(),
            service.port
        );
        self.visit(|| self.repeat(&command, says, count))
    }

    /// ssh-keyscan, which asks for the server's key and leaves.
    pub(crate) fn keyscan(&self, service: Service, count: u64) -> Result<Made> {
        let command = format!(
            "ssh-keyscan -T 20 -t ed25519 -p {} {SERVER_V6}",
            service.port
        );
        self.visit(|| self.repeat(&command, "ssh-ed25519", count))
    }

    /// ssh, which is not let in.
    pub(crate) fn ssh(&self, service: Service, count: u64) -> Result<Made> {
        let command = format!(
            "ssh -F none -o BatchMode=yes -o StrictHostKeyChecking=no \
             -o UserKnownHostsFile=/dev/null -p {} root@{SERVER} true",
            service.port
        );
        self.visit(|| self.repeat(&command, "Permission denied", count))
    }

    /// A health check: connects and leaves.
    pub(crate) fn knock(&self, service: Service, count: u64) -> Result<Made> {
        let server = SocketAddr::from((SERVER, service.port));
        self.visit(|| {
            for _ in 0..count {
                self.namespace.run(|| Ok(TcpStream::connect(server)?))?;
            }
            Ok(count)
        })
    }

    /// The ports that clients of this namespace call from.
    fn ports(&self) -> Result<String> {
        let file = Path::new("/proc/sys/net").join(PORTS);
        self.namespace.run(|| Ok(fs::read_to_string(file)?))
    }

    /// Runs a line of the shell so many times and counts how many times it says this.
    fn repeat(&self, line: &str, says: &str, count: u64) -> Result<u64> {
        let mut shell = self.namespace.command("sh");
        let all = format!("for i in $(seq {count}); do {line}; done 2>&1");
        let said = said(shell.args(["-c", &all]))?;
        Ok(said.lines().filter(|line| line.contains(says)).count() as u64)
    }

    /// Counts what is opened meanwhile.
    fn visit(&self, work: impl FnOnce() -> Result<u64>) -> Result<Made> {
        let before = active_opens(self.namespace)?;
        let done = work()?;
        let opened = active_opens(self.namespace)? - before;
        Ok(Made { done, opened })
    }
}
