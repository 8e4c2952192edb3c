//! Well-behaved clients: what a web server answers them, and how fast.

use std::{fs, process::Command, time::Duration};

use anyhow::{Context as _, Result};
use lab::{Scratch, command, scheduling::last_cpu, stage::SERVER};

use crate::arena::{Arena, CLIENTS, PLAIN_PORT, TLS_PORT};

/// What is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Load {
    /// `wrk`: HTTP/1.1 in clear, connections kept.
    Http1,
    /// `h2load`: HTTP/2 over TLS, connections kept.
    Http2,
}

/// What was answered.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Served {
    /// Requests a second.
    pub(crate) rate: f64,
    /// Milliseconds within which half of them were answered.
    pub(crate) p50_ms: f64,
    /// Milliseconds within which 99 of 100 were.
    pub(crate) p99_ms: f64,
}

impl Load {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Http1 => "HTTP/1.1",
            Self::Http2 => "HTTP/2 over TLS",
        }
    }

    /// Asks for so long. Where nothing was answered, the time within which it would have been is that
    /// long, at the least.
    pub(crate) fn run(self, arena: &Arena, time: Duration) -> Result<Served> {
        let served = match self {
            Self::Http1 => wrk(arena, time)?,
            Self::Http2 => h2load(arena, time)?,
        };
        Ok(served.unwrap_or(Served {
            rate: 0.0,
            p50_ms: time.as_secs_f64() * 1e3,
            p99_ms: time.as_secs_f64() * 1e3,
        }))
    }
}

/// A program on the processor that the flood does not have, for a while at most.
fn program(arena: &Arena, name: &str, time: Duration) -> Result<Command> {
    let mut command = arena.stage.client.namespace().command("taskset");
    command.args(["-c", &last_cpu()?.to_string()]);
    let patience = time + Duration::from_secs(20);
    command.args(["timeout", &patience.as_secs().to_string(), name]);
    Ok(command)
}

fn wrk(arena: &Arena, time: Duration) -> Result<Option<Served>> {
    let mut wrk = program(arena, "wrk", time)?;
    wrk.args(["--threads", "1", "--latency"]);
    wrk.args(["--connections", &CLIENTS.to_string()]);
    wrk.args(["--duration", &time.as_secs().to_string()]);
    wrk.arg(format!("http://{SERVER}:{PLAIN_PORT}/"));
    read_wrk(&command::output(&mut wrk)?)
}

fn read_wrk(said: &str) -> Result<Option<Served>> {
    let of = |name: &str| {
        let mut lines = said.lines().map(str::trim);
        let value = lines
            .find_map(|line| line.strip_prefix(name))
            .map(str::trim);
        value.with_context(|| format!("no {name} in {said}"))
    };
    let rate: f64 = of("Requests/sec:")?.parse()?;
    if rate == 0.0 {
        return Ok(None);
    }
    Ok(Some(Served {
        rate,
        p50_ms: milliseconds(of("50%")?)?,
        p99_ms: milliseconds(of("99%")?)?,
    }))
}

/// A time as wrk says it.
fn milliseconds(said: &str) -> Result<f64> {
    let start = said.trim_end_matches(char::is_alphabetic);
    let value: f64 = start.parse().with_context(|| format!("a time: {said}"))?;
    let unit = match &said[start.len()..] {
        "us" => 1e-3,
        "ms" => 1.0,
        "s" => 1e3,
        "m" => 60e3,
        other => anyhow::bail!("an unknown unit of time: {other}"),
    };
    Ok(value * unit)
}

fn h2load(arena: &Arena, time: Duration) -> Result<Option<Served>> {
    let folder = Scratch::new()?;
    let log = folder.join("requests");
    let mut h2load = program(arena, "h2load", time)?;
    h2load.args(["--clients", "16", "--max-concurrent-streams", "4"]);
    h2load.args(["--duration", &time.as_secs().to_string()]);
    h2load.arg(format!("--log-file={}", log.display()));
    h2load.arg(format!("https://{SERVER}:{TLS_PORT}/"));
    // It ends with an error where no connection comes about.
    let _ = command::output(&mut h2load);
    read_h2load(&fs::read_to_string(&log).unwrap_or_default(), time)
}

/// A line for each request: when it began, its status, and the microseconds it took.
#[expect(clippy::cast_precision_loss, reason = "requests of a few seconds")]
fn read_h2load(log: &str, time: Duration) -> Result<Option<Served>> {
    let mut times = Vec::new();
    for line in log.lines() {
        let mut words = line.split_whitespace().skip(1);
        let (status, microseconds) = (words.next(), words.next());
        if status == Some("200") {
            let microseconds = microseconds.with_context(|| format!("no time in {line}"))?;
            times.push(microseconds.parse::<u64>()? as f64 / 1e3);
        }
    }
    times.sort_by(f64::total_cmp);
    let at = |percent: usize| times.get(times.len() * percent / 100).copied();
    let (Some(p50_ms), Some(p99_ms)) = (at(50), at(99)) else {
        return Ok(None);
    };
    Ok(Some(Served {
        rate: times.len() as f64 / time.as_secs_f64(),
        p50_ms,
        p99_ms,
    }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_wrk_says_is_read() {
        let said = "  Latency Distribution\n     50%    1.25ms\n     75%    1.61ms\n     90%    2.1s\n     \
                    99%  900.00us\n  100 requests in 3.00s\nRequests/sec:     33.50\n";
        let served = read_wrk(said).expect("its words").expect("some served");
        assert!((served.rate - 33.5).abs() < 1e-9);
        assert!((served.p50_ms - 1.25).abs() < 1e-9);
        assert!((served.p99_ms - 0.9).abs() < 1e-9);
        let nothing = "Requests/sec:      0.00\n";
        assert!(read_wrk(nothing).expect("its words").is_none());
    }

    #[test]
    fn what_h2load_logs_is_read() {
        let log = "1\t200\t1000\n2\t200\t3000\n3\t-1\t9\n4\t200\t2000\n";
        let served = read_h2load(log, Duration::from_secs(3));
        let served = served.expect("its words").expect("some served");
        assert!((served.rate - 1.0).abs() < 1e-9);
        assert!((served.p50_ms - 2.0).abs() < 1e-9);
        assert!((served.p99_ms - 3.0).abs() < 1e-9);
        let nothing = read_h2load("", Duration::from_secs(3));
        assert!(nothing.expect("nothing").is_none());
    }
}
