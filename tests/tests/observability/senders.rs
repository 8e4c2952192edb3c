//! No sender chooses a label, and however many senders there are, the series stay as many.

use std::{collections::BTreeSet, net::SocketAddr, thread, time::Duration};

use anyhow::Result;
use lab::{
    agent::{Agent, LISTEN},
    http,
    metrics::{Metrics, Series},
    noise::Noise,
    prometheus,
};

use crate::{
    families::{FAMILIES, demand_known_words},
    hostile::{self, MARK},
    site::{Site, wait_until},
};

const SEED: u64 = 0x5eed_0b5e;

/// Handshakes are told of so many times a second and processor: after this there is room for others.
const BUDGET_ANEW: Duration = Duration::from_millis(1_500);

fn series(metrics: &Metrics) -> BTreeSet<Series> {
    metrics.iter().map(|(series, _)| series.clone()).collect()
}

/// Everything hostile, and questions to the listener itself.
fn everything_hostile(site: &Site) -> Result<()> {
    let mut noise = Noise(SEED);
    hostile::requests(site, &mut noise, 60)?;
    hostile::handshakes(site, &mut noise, 12)?;
    thread::sleep(BUDGET_ANEW);
    hostile::calls(site, &mut noise, 12)?;
    hostile::frames(site, &mut noise, 60)?;
    let listener: SocketAddr = LISTEN;
    for path in [
        "/metrics?a=\"}",
        &format!("/metrics?{MARK}={MARK}"),
        &format!("/{MARK}"),
    ] {
        http::get(site.stage.host(), listener, path)?;
    }
    Ok(())
}

/// What has to have been seen, for the rest to mean anything.
const SEEN: &[(&str, (&str, &str))] = &[
    ("guard_credentials_exposed_total", ("service", "legacy")),
    ("guard_tls_handshakes_sampled_total", ("service", "orders")),
    (
        "guard_tls_handshakes_sampled_total",
        ("service", "upstream"),
    ),
    ("guard_connections_total", ("verdict", "plaintext_served")),
    ("guard_connections_total", ("verdict", "unknown")),
    ("guard_packets_total", ("reason", "new_sources")),
    ("guard_packets_total", ("reason", "malformed")),
];

fn demand_that_it_was_seen(agent: &Agent) -> Result<()> {
    for (name, label) in SEEN {
        wait_until(&format!("{name} {label:?}"), || {
            Ok(agent.metrics()?.sum(name, &[*label]) > 0.0)
        })?;
    }
    Ok(())
}

#[test]
fn no_sender_chooses_a_label() -> Result<()> {
    let site = Site::new()?;
    let agent = site.guard(&[])?;
    site.traffic()?;
    let before = series(&agent.metrics()?);
    everything_hostile(&site)?;
    demand_that_it_was_seen(&agent)?;

    let text = agent.get("/metrics")?.body;
    assert!(!text.contains(MARK), "{text}");
    assert!(!text.contains("evil"), "{text}");
    assert_eq!(prometheus::lint(&text)?, "");
    let after = Metrics::parse(&text)?;
    for (series, _) in after.iter() {
        demand_known_words(series)?;
    }
    let after = series(&after);
    assert!(before.is_subset(&after), "a series has gone");
    // New is at most what had not been counted yet: a verdict and its reason.
    for series in after.difference(&before) {
        let grows = ["guard_packets_total", "guard_bytes_total"];
        assert!(grows.contains(&series.name.as_str()), "{series}");
    }
    for family in FAMILIES {
        let count = after.iter().filter(|series| series.name == family.name);
        let count = count.count();
        assert!(
            (1..=family.bound()).contains(&count),
            "{}: {count} of {}",
            family.name,
            family.bound()
        );
    }
    agent.stop()?;
    Ok(())
}
