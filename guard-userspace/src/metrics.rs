//! The status as Prometheus metrics. `docs/METRICS.md` is the user's side of it.

mod alerts;
mod process;
mod traffic;

use anyhow::{Context as _, Result};
use bytes::Bytes;
use prometheus::{Encoder as _, IntCounterVec, IntGaugeVec, Opts, Registry, TextEncoder};

use self::{alerts::AlertFamilies, traffic::Traffic};
use crate::status::Status;

/// The exposition of `status`.
pub(crate) fn render(status: &Status) -> Result<Bytes> {
    let families = Families::new()?;
    families.fill(status);
    process::register(&families.registry)?;
    let mut text = Vec::new();
    TextEncoder::new()
        .encode(&families.registry.gather(), &mut text)
        .context("encoding metrics")?;
    Ok(text.into())
}

/// Every family, empty. The kernel holds the true counts, so each scrape starts from nothing.
struct Families {
    registry: Registry,
    traffic: Traffic,
    evicted: IntCounterVec,
    events: IntCounterVec,
    log_lines_dropped: IntCounterVec,
    map_pins_lost: IntCounterVec,
    dry_run: IntGaugeVec,
    rules: IntGaugeVec,
    rules_configured: IntGaugeVec,
    rules_not_enforced: IntGaugeVec,
    bans: IntGaugeVec,
    bypass: IntGaugeVec,
    map_capacity: IntGaugeVec,
    map_entries: IntGaugeVec,
    feed_entries: IntGaugeVec,
    feed_success: IntGaugeVec,
    feed_successful: IntGaugeVec,
    reload_successful: IntGaugeVec,
    reload_timestamp: IntGaugeVec,
    build_info: IntGaugeVec,
    alerts: AlertFamilies,
}

impl Families {
    fn new() -> Result<Self> {
        let registry = Registry::new();
        let counter = |name, help, labels| counter(&registry, name, help, labels);
        let gauge = |name, help, labels| gauge(&registry, name, help, labels);
        Ok(Self {
            traffic: Traffic::new(&registry)?,
            evicted: counter(
                "guard_connections_evicted_total",
                "Connections that made room for others before it was known what they are.",
                &[],
            )?,
            events: counter(
                "guard_events_total",
                "Sampled events of single packets by their fate.",
                &["outcome"],
            )?,
            log_lines_dropped: counter(
                "guard_log_lines_dropped_total",
                "Lines of the log that were left out since nobody read it.",
                &[],
            )?,
            map_pins_lost: counter(
                "guard_map_pins_lost_total",
                "Pins of the maps that somebody has removed.",
                &[],
            )?,
            dry_run: gauge(
                "guard_dry_run",
                "Whether nothing is dropped, and only counted as what would have been.",
                &[],
            )?,
            rules: gauge("guard_rules", "Rules in force in the kernel.", &["list"])?,
            rules_configured: gauge("guard_rules_configured", "Rules configured.", &["list"])?,
            rules_not_enforced: gauge(
                "guard_rules_not_enforced",
                "Rules configured for which the kernel holds none at all.",
                &["list"],
            )?,
            bans: gauge("guard_bans", "Sources that are banned.", &[])?,
            bypass: gauge(
                "guard_bypass",
                "Whether everything passes by `guard bypass`, 1 or 0.",
                &[],
            )?,
            map_capacity: gauge(
                "guard_map_capacity",
                "Entries that fit in a table of the kernel side.",
                &["map"],
            )?,
            map_entries: gauge(
                "guard_map_entries",
                "Entries in a table of the kernel side, where the kernel can tell.",
                &["map"],
            )?,
            feed_entries: gauge(
                "guard_feed_entries",
                "Entries of a feed's list in force.",
                &["feed"],
            )?,
            feed_success: gauge(
                "guard_feed_last_success_timestamp_seconds",
                "When a feed's list was last read or fetched.",
                &["feed"],
            )?,
            feed_successful: gauge(
                "guard_feed_last_update_successful",
                "Whether the last attempt to fetch a feed's list brought it in force.",
                &["feed"],
            )?,
            reload_successful: gauge(
                "guard_config_last_reload_successful",
                "Whether the configuration that was given last is in force.",
                &[],
            )?,
            reload_timestamp: gauge(
                "guard_config_last_reload_success_timestamp_seconds",
                "When the configuration in force was taken, in seconds since 1970.",
                &[],
            )?,
            build_info: gauge(
                "guard_build_info",
                "Always 1: the agent's version.",
                &["version"],
            )?,
            alerts: AlertFamilies::new(&registry)?,
            registry,
        })
    }

    fn fill(&self, status: &Status) {
        for interface in &status.interfaces {
            self.traffic.fill_interface(interface);
        }
        for service in &status.services {
            self.traffic.fill_service(service);
        }
        for (outcome, count) in [
            ("emitted", status.events.emitted),
            ("suppressed", status.events.suppressed),
            ("lost", status.events.lost),
        ] {
            self.events.with_label_values(&[outcome]).inc_by(count);
        }
        self.evicted
            .with_label_values(NONE)
            .inc_by(status.connections_evicted);
        self.log_lines_dropped
            .with_label_values(NONE)
            .inc_by(status.log_lines_dropped);
        self.map_pins_lost
            .with_label_values(NONE)
            .inc_by(status.map_pins_lost);
        for list in &status.rules {
            let configured = self.rules_configured.with_label_values(&[&list.list]);
            configured.set(gauge_value(list.configured));
            let not_enforced = self.rules_not_enforced.with_label_values(&[&list.list]);
            not_enforced.set(gauge_value(list.missing));
            self.rules
                .with_label_values(&[&list.list])
                .set(gauge_value(list.in_force));
        }
        self.dry_run
            .with_label_values(NONE)
            .set((status.mode == "dry-run").into());
        self.bans
            .with_label_values(NONE)
            .set(gauge_value(status.bans));
        self.bypass
            .with_label_values(NONE)
            .set(status.bypass_until.is_some().into());
        for map in &status.maps {
            self.map_capacity
                .with_label_values(&[&map.map])
                .set(gauge_value(map.capacity));
            if let Some(entries) = map.entries {
                self.map_entries
                    .with_label_values(&[&map.map])
                    .set(gauge_value(entries));
            }
        }
        for feed in &status.feeds {
            let name = &[feed.name.as_str()];
            let entries = self.feed_entries.with_label_values(name);
            entries.set(gauge_value(feed.entries));
            let successful = self.feed_successful.with_label_values(name);
            successful.set(feed.error.is_none().into());
            if let Some(updated) = feed.updated {
                let success = self.feed_success.with_label_values(name);
                success.set(gauge_value(updated));
            }
        }
        self.reload_successful
            .with_label_values(NONE)
            .set((!status.last_reload_failed).into());
        self.reload_timestamp
            .with_label_values(NONE)
            .set(gauge_value(status.config_loaded_at));
        self.build_info.with_label_values(&[&status.version]).set(1);
        if let Some(status) = &status.alerts {
            self.alerts.fill(status);
        }
    }
}

/// Labels of a metric that has none.
const NONE: &[&str] = &[];

fn gauge_value(value: u64) -> i64 {
    i64::try_from(value).unwrap_or(i64::MAX)
}

fn counter(registry: &Registry, name: &str, help: &str, labels: &[&str]) -> Result<IntCounterVec> {
    let family = IntCounterVec::new(Opts::new(name, help), labels)?;
    registry.register(Box::new(family.clone()))?;
    Ok(family)
}

fn gauge(registry: &Registry, name: &str, help: &str, labels: &[&str]) -> Result<IntGaugeVec> {
    let family = IntGaugeVec::new(Opts::new(name, help), labels)?;
    registry.register(Box::new(family.clone()))?;
    Ok(family)
}
