//! Debian's Prometheus, which scrapes an agent as an operator's would, and its `promtool`.

use std::{
    fmt::Write as _,
    fs,
    net::{Ipv4Addr, SocketAddr},
    path::{Path, PathBuf},
    process::{Command, Stdio},
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result, bail, ensure};
use serde_json::Value;

use crate::{
    Namespace, agent, command, http,
    process::{Ready, Server},
    scratch::Scratch,
};

/// Where it listens, in a namespace of its own or an agent's.
const LISTEN: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(Ipv4Addr::LOCALHOST), 9090);
/// How long what it is to find may take: some scrapes, on a busy machine.
const PATIENCE: Duration = Duration::from_mins(1);
/// The name of its job for the agent.
pub const JOB: &str = "guard";

/// A Prometheus that scrapes the agent in its namespace once a second; ended when dropped.
#[derive(Debug)]
pub struct Prometheus {
    server: Server,
    _folder: Scratch,
}

impl Prometheus {
    /// Starts one with the rules of this file, an absolute path. Whether an agent runs does not
    /// matter yet.
    pub fn start(namespace: &Namespace, rules: &Path) -> Result<Self> {
        let folder = Scratch::new()?;
        let configuration = folder.join("prometheus.yml");
        fs::write(&configuration, configuration_with(rules)).context("cannot write a file")?;
        let mut prometheus = namespace.command("prometheus");
        prometheus
            .arg(format!("--config.file={}", configuration.display()))
            .arg(format!(
                "--storage.tsdb.path={}",
                folder.join("data").display()
            ))
            .arg(format!("--web.listen-address={LISTEN}"))
            .arg("--log.level=warn");
        let printed = folder.join("printed");
        let mut server = Server::start(namespace, prometheus, &printed, Ready::Started)?;
        server.wait_until(PATIENCE, |server| {
            http::get(server.namespace(), LISTEN, "/-/ready")
                .is_ok_and(|answer| answer.status == 200)
        })?;
        Ok(Self {
            server,
            _folder: folder,
        })
    }

    /// What its HTTP API says at this path, such as `targets`.
    pub fn api(&self, path: &str) -> Result<Value> {
        let answer = http::get(self.server.namespace(), LISTEN, &format!("/api/v1/{path}"))?;
        let said: Value = serde_json::from_str(&answer.body)
            .with_context(|| format!("{path} answered {}: {}", answer.status, answer.body))?;
        ensure!(said["status"] == "success", "{path}: {said}");
        Ok(said["data"].clone())
    }

    /// The values that a query has now, each with its labels. A query of one number has one.
    pub fn query(&self, query: &str) -> Result<Vec<f64>> {
        let data = self.api(&format!("query?query={}", encoded(query)))?;
        let number = |sample: &Value| -> Result<f64> {
            let text = sample[1].as_str().context("a sample without a value")?;
            Ok(text.parse()?)
        };
        match data["resultType"].as_str() {
            Some("vector") => {
                let samples = data["result"].as_array().context("no result")?;
                samples
                    .iter()
                    .map(|sample| number(&sample["value"]))
                    .collect()
            }
            Some("scalar") => Ok(vec![number(&data["result"])?]),
            other => bail!("`{query}` gives a {other:?}"),
        }
    }

    /// The same, once there is a value that is a number; an error when there is none in time.
    pub fn wait_for(&self, query: &str) -> Result<Vec<f64>> {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let values = self.query(query)?;
            if values.iter().any(|value| value.is_finite()) {
                return Ok(values);
            }
            if Instant::now() > deadline {
                bail!("`{query}` has no data, only {values:?}");
            }
            thread::sleep(Duration::from_millis(200));
        }
    }
}

fn configuration_with(rules: &Path) -> String {
    format!(
        "global: {{ scrape_interval: 1s, scrape_timeout: 1s, evaluation_interval: 1s }}\n\
         rule_files: [ \"{}\" ]\n\
         scrape_configs:\n\
         - job_name: {JOB}\n\
         \x20 static_configs: [ {{ targets: [ \"{}\" ] }} ]\n",
        rules.display(),
        agent::LISTEN
    )
}

/// As a part of a URL.
fn encoded(text: &str) -> String {
    let mut encoded = String::new();
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() {
            encoded.push(byte.into());
        } else {
            // Writing to a string cannot fail.
            let _ = write!(encoded, "%{byte:02X}");
        }
    }
    encoded
}

/// Runs `promtool` with these words, which must find nothing to say against what it checks.
pub fn promtool(words: &[&str], file: &Path) -> Result<String> {
    command::output(Command::new("promtool").args(words).arg(file))
}

/// What `promtool check metrics` says of an exposition; nothing when it is clean.
pub fn lint(exposition: &str) -> Result<String> {
    let scratch = Scratch::new()?;
    let file: PathBuf = scratch.join("metrics");
    fs::write(&file, exposition)?;
    let checked = Command::new("promtool")
        .args(["check", "metrics"])
        .stdin(Stdio::from(fs::File::open(&file)?))
        .output()
        .context("cannot run promtool")?;
    let said = [checked.stdout, checked.stderr].concat();
    let said = String::from_utf8_lossy(&said).into_owned();
    ensure!(
        checked.status.success() == said.is_empty(),
        "promtool ended with {} and said: {said}",
        checked.status
    );
    Ok(said)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_query_survives_being_part_of_a_url() {
        assert_eq!(encoded("a{b=~\"c|d\"}"), "a%7Bb%3D%7E%22c%7Cd%22%7D");
    }

    #[test]
    fn what_promtool_minds_is_told() {
        assert_eq!(
            lint("# HELP a_total A.\n# TYPE a_total counter\na_total 1\n").expect("promtool"),
            ""
        );
        let said = lint("# TYPE a counter\na 1\n").expect("promtool");
        assert!(said.contains("should have \"_total\" suffix"), "{said}");
    }
}
