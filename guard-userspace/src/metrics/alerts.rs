//! The metrics of alerts: there are none where nobody is alerted.

use anyhow::Result;
use prometheus::{IntCounterVec, IntGaugeVec, Opts, Registry};

use super::{NONE, gauge_value};
use crate::{alerts::rule::Rule, status::AlertStatus};

pub(super) struct AlertFamilies {
    active: IntGaugeVec,
    sent: IntCounterVec,
    dropped: IntCounterVec,
    queue: IntGaugeVec,
}

impl AlertFamilies {
    pub(super) fn new(registry: &Registry) -> Result<Self> {
        let active = IntGaugeVec::new(
            Opts::new("guard_alerts_active", "Alerts that are on."),
            &["rule"],
        )?;
        let sent = IntCounterVec::new(
            Opts::new(
                "guard_alerts_sent_total",
                "Requests to receivers of alerts by what came of them.",
            ),
            &["outcome"],
        )?;
        let dropped = IntCounterVec::new(
            Opts::new(
                "guard_alerts_dropped_total",
                "Messages of alerts that nobody got.",
            ),
            &["cause"],
        )?;
        let queue = IntGaugeVec::new(
            Opts::new(
                "guard_alert_queue",
                "Messages of alerts that wait to be sent.",
            ),
            &[],
        )?;
        registry.register(Box::new(active.clone()))?;
        registry.register(Box::new(sent.clone()))?;
        registry.register(Box::new(dropped.clone()))?;
        registry.register(Box::new(queue.clone()))?;
        Ok(Self {
            active,
            sent,
            dropped,
            queue,
        })
    }

    pub(super) fn fill(&self, status: &AlertStatus) {
        for rule in Rule::ALL {
            let active = status.active.iter().filter(|alert| alert.rule == rule);
            self.active
                .with_label_values(&[rule.name()])
                .set(gauge_value(active.count() as u64));
        }
        for (outcome, count) in [
            ("delivered", status.delivered),
            ("failed", status.failed),
            ("refused", status.refused),
        ] {
            self.sent.with_label_values(&[outcome]).inc_by(count);
        }
        for (cause, count) in &status.dropped {
            self.dropped
                .with_label_values(&[cause.as_str()])
                .inc_by(*count);
        }
        self.queue
            .with_label_values(NONE)
            .set(gauge_value(status.queue));
    }
}
