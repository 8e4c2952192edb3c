//! What is served is what is promised, and promtool has nothing to say against it.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    time::{SystemTime, UNIX_EPOCH},
};

use anyhow::{Context as _, Result};
use lab::{agent::Agent, prometheus};

use crate::{
    families::{FAMILIES, Family, types},
    repository,
    site::{Site, wait_until},
};

/// Scrapes an agent that has seen traffic of every kind.
fn exposition_after_traffic(site: &Site, agent: &Agent) -> Result<String> {
    site.traffic()?;
    site.earn_a_ban(agent)?;
    wait_until("a credential", || {
        let metrics = agent.metrics()?;
        Ok(metrics.sum("guard_credentials_exposed_total", &[]) > 0.0)
    })?;
    Ok(agent.get("/metrics")?.body)
}

#[test]
fn promtool_has_nothing_to_say_against_the_metrics() -> Result<()> {
    let site = Site::new()?;
    for flags in [&[][..], &["--dry-run"]] {
        let agent = site.guard(flags)?;
        assert_eq!(prometheus::lint(&agent.get("/metrics")?.body)?, "");
        let text = exposition_after_traffic(&site, &agent)?;
        assert_eq!(prometheus::lint(&text)?, "", "{flags:?}");
        let metrics = agent.metrics()?;
        let (verdict, dry_run) = if flags.is_empty() {
            ("drop", 0.0)
        } else {
            ("would_drop", 1.0)
        };
        for reason in ["deny", "feed", "new_sources", "limit_packets", "ban"] {
            let labels = [("verdict", verdict), ("reason", reason)];
            let count = metrics.count("guard_packets_total", &labels);
            assert!(count > 0, "{labels:?}");
        }
        assert_eq!(metrics.value("guard_dry_run", &[]), Some(dry_run));
        agent.stop()?;
    }
    Ok(())
}

#[test]
fn the_families_are_those_of_the_documents() -> Result<()> {
    let site = Site::new()?;
    let agent = site.guard(&[])?;
    let text = exposition_after_traffic(&site, &agent)?;
    let served = types(&text);
    let expected: BTreeMap<_, _> = FAMILIES
        .iter()
        .map(|family| (family.name, family.kind))
        .collect();
    assert_eq!(served, expected);
    let documents = fs::read_to_string(repository("docs/METRICS.md"))?;
    let documented = documented(&documents);
    let expected: BTreeMap<_, BTreeSet<_>> = FAMILIES
        .iter()
        .map(|Family { name, labels, .. }| (*name, labels.iter().copied().collect()))
        .collect();
    assert_eq!(documented, expected, "docs/METRICS.md");
    agent.stop()?;
    Ok(())
}

/// The families of the table in the documents, with their labels.
fn documented(text: &str) -> BTreeMap<&str, BTreeSet<&str>> {
    let rows = text.lines().filter_map(|line| {
        let mut cells = line.strip_prefix('|')?.split('|').map(str::trim);
        let name = cells.next()?.strip_prefix('`')?.strip_suffix('`')?;
        let is_family = name.starts_with("guard_") || name.starts_with("process_");
        let labels = cells.next()?.split('`').skip(1).step_by(2).collect();
        is_family.then_some((name, labels))
    });
    rows.collect()
}

#[test]
fn the_agent_tells_of_itself_as_a_process() -> Result<()> {
    let site = Site::new()?;
    let before = now()?;
    let mut agent = site.guard(&[])?;
    let metrics = agent.metrics()?;
    let value = |name: &str| metrics.value(name, &[]).with_context(|| name.to_owned());
    let started = value("process_start_time_seconds")?;
    // The kernel tells the time of the start in hundredths, after a time of boot in seconds.
    assert!(
        (before - 2.0..=now()? + 2.0).contains(&started),
        "{started}"
    );
    let pid = agent.server().pid();
    let fds = fs::read_dir(format!("/proc/{pid}/fd"))?.count();
    let fds = f64::from(u32::try_from(fds)?);
    let told = value("process_open_fds")?;
    // The connections of those who ask come and go.
    assert!((fds - 4.0..=fds + 4.0).contains(&told), "{told}, not {fds}");
    let status = fs::read_to_string(format!("/proc/{pid}/status"))?;
    let resident = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    let resident: f64 = resident
        .and_then(|line| line.trim().strip_suffix(" kB"))
        .context("no VmRSS")?
        .parse()?;
    let (told, resident) = (value("process_resident_memory_bytes")?, resident * 1024.0);
    assert!(
        (0.5..2.0).contains(&(told / resident)),
        "{told}, not {resident}"
    );
    let cpu = value("process_cpu_seconds_total")?;
    assert!(cpu > 0.0 && cpu < now()? - started + 1.0, "{cpu}");
    agent.stop()?;
    Ok(())
}

fn now() -> Result<f64> {
    Ok(SystemTime::now().duration_since(UNIX_EPOCH)?.as_secs_f64())
}
