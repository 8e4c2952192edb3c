//! A client: one `curl` a request, from an address of choice.

use std::{
    net::IpAddr,
    path::Path,
    process::{Command, Stdio},
    time::Duration,
};

use anyhow::{Context as _, Result};

use crate::{Namespace, command, servers::HOST};

/// What curl writes after the body, on a line of its own.
const REPORT: &str = "\n%{http_code} %{time_total}";

/// A request being described.
#[derive(Debug)]
pub struct Curl {
    command: Command,
}

/// What came of a request.
#[derive(Clone, Debug, PartialEq)]
pub struct Outcome {
    /// curl's exit code: 0 for an answer of any status, 7 refused, 28 timed out, 56 reset.
    pub exit: i32,
    /// The HTTP status, 0 without an answer.
    pub status: u16,
    /// From start to end, connecting included.
    pub time: Duration,
    /// What was answered.
    pub body: String,
}

impl Outcome {
    /// Whether the request was served.
    pub fn is_ok(&self) -> bool {
        self.exit == 0 && self.status == 200
    }
}

impl Curl {
    /// A request of a client inside `namespace`, given 5 s.
    pub fn new(namespace: &Namespace) -> Self {
        let mut command = namespace.command("curl");
        command.args([
            "--silent",
            "--disable",
            "--noproxy",
            "*",
            "--write-out",
            REPORT,
        ]);
        command.args(["--max-time", "5"]);
        Self { command }
    }

    /// Sends from this address.
    #[must_use]
    pub fn from(mut self, address: IpAddr) -> Self {
        self.command.arg("--interface").arg(address.to_string());
        self
    }

    /// Trusts this certificate.
    #[must_use]
    pub fn trust(mut self, certificate: &Path) -> Self {
        self.command.arg("--cacert").arg(certificate);
        self
    }

    /// Gives up after so long.
    #[must_use]
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.command
            .arg("--max-time")
            .arg(timeout.as_secs_f64().to_string());
        self
    }

    /// Adds a header, such as `Accept: */*`.
    #[must_use]
    pub fn header(mut self, header: &str) -> Self {
        self.command.arg("--header").arg(header);
        self
    }

    /// Adds any other option.
    #[must_use]
    pub fn option(mut self, option: &str) -> Self {
        self.command.arg(option);
        self
    }

    /// Fetches `https://guard.test:port/path` from `server`.
    pub fn https(self, server: IpAddr, port: u16, path: &str) -> Result<Outcome> {
        self.fetch("https", server, port, path)
    }

    /// Fetches `http://guard.test:port/path` from `server`.
    pub fn http(self, server: IpAddr, port: u16, path: &str) -> Result<Outcome> {
        self.fetch("http", server, port, path)
    }

    fn fetch(mut self, scheme: &str, server: IpAddr, port: u16, path: &str) -> Result<Outcome> {
        let server = match server {
            IpAddr::V4(server) => server.to_string(),
            IpAddr::V6(server) => format!("[{server}]"),
        };
        self.command
            .arg("--resolve")
            .arg(format!("{HOST}:{port}:{server}"));
        self.command.arg(format!("{scheme}://{HOST}:{port}{path}"));
        let line = command::line_of(&self.command);
        let output = self
            .command
            .stdin(Stdio::null())
            .output()
            .with_context(|| format!("cannot run `{line}`"))?;
        let printed = String::from_utf8_lossy(&output.stdout);
        parse(output.status.code().unwrap_or(-1), &printed)
            .with_context(|| format!("`{line}` printed `{printed}`"))
    }
}

fn parse(exit: i32, printed: &str) -> Result<Outcome> {
    let (body, report) = printed.rsplit_once('\n').context("no report")?;
    let (status, seconds) = report.split_once(' ').context("a short report")?;
    Ok(Outcome {
        exit,
        status: status.parse()?,
        time: Duration::try_from_secs_f64(seconds.parse()?)?,
        body: body.to_owned(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_the_report() {
        let outcome = parse(0, "ok\n\n200 0.250").expect("a report");
        assert!(outcome.is_ok());
        assert_eq!(outcome.body, "ok\n");
        assert_eq!(outcome.time, Duration::from_millis(250));
        let outcome = parse(28, "\n000 5.001").expect("a report");
        assert!(!outcome.is_ok());
        assert_eq!((outcome.exit, outcome.status), (28, 0));
    }
}
