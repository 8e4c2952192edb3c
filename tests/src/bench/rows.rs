//! The packets whose cost is measured: a line for each.

use std::iter::once;

use anyhow::{Context as _, Result, ensure};
use aya::programs::Xdp;
use guard::kernel::Kernel;
use guard_common::reason::Reason;

use super::{
    Family::{self, V4, V6},
    NEIGHBOUR_V4, NEIGHBOUR_V6, SOURCE_V4, SOURCE_V6,
    lists::Lists,
    meter::{Buffers, Cost, Meter, Run},
    traffic::{From, Kind, Traffic},
};

/// What guard is told. Limits are the defaults, but so high that one source cannot reach them,
/// unless the name says otherwise.
#[derive(Debug, PartialEq, Eq)]
pub struct Settings {
    /// A few words.
    pub name: &'static str,
    /// As in the configuration file.
    pub text: &'static str,
    /// Whether the lists are loaded.
    pub lists: bool,
}

const fn settings(name: &'static str, text: &'static str) -> Settings {
    Settings {
        name,
        text,
        lists: false,
    }
}

const DEFAULTS: Settings = settings(
    "defaults",
    "limits = { packets = \"1G/s\", connections = \"1G/s\", new_sources = \"1G/s\" }",
);
const UNCHECKED: Settings = settings(
    "encryption is not looked at",
    "limits = { packets = \"1G/s\", connections = \"1G/s\", new_sources = \"1G/s\" }\n\
     [[service]]\nname = \"api\"\nports = [443]\nencryption = \"off\"",
);
const NO_LIMITS: Settings = settings(
    "no limits",
    "limits = { packets = \"off\", connections = \"off\", new_sources = \"off\" }",
);
const LOW_LIMIT: Settings = settings("a low limit", "limits = { packets = \"1/h\" }");
const GATED: Settings = settings(
    "new sources over their limit",
    "limits = { packets = \"1G/s\", connections = \"1G/s\", new_sources = \"1/h\" }",
);
const DENY: Settings = settings(
    "two addresses denied",
    "deny = [{ cidr = \"192.0.2.7\" }, { cidr = \"2001:db8::7\" }]",
);
const ALL_LIMITS: Settings = settings(
    "every limit on",
    "[limits]\npackets = \"1G/s\"\nconnections = \"1G/s\"\nbytes = \"1000GB/s\"\n\
     new_sources = \"1G/s\"\n\
     aggregate = { packets = \"1G/s\", connections = \"1G/s\" }\n\
     protocol = { icmp = \"1G/s\", fragments = \"1G/s\", udp = \"1G/s\" }\n\
     [[service]]\nname = \"api\"\nports = [443]\n\
     limits = { packets = \"1G/s\", connections = \"1G/s\", bytes = \"1000GB/s\" }",
);
const NETWORKS: Settings = settings(
    "networks limited",
    "[limits]\npackets = \"1G/s\"\nconnections = \"1G/s\"\nnew_sources = \"1G/s\"\n\
     aggregate = { packets = \"1G/s\", connections = \"1G/s\" }",
);
const SERVICE: Settings = settings(
    "a service with limits",
    "[limits]\npackets = \"1G/s\"\nconnections = \"1G/s\"\nnew_sources = \"1G/s\"\n\
     [[service]]\nname = \"api\"\nports = [443]\n\
     limits = { packets = \"1G/s\", connections = \"1G/s\" }",
);
const DRY_DENY: Settings = settings(
    "dry-run, an address denied",
    "dry_run = true\ndeny = [{ cidr = \"192.0.2.7\" }]",
);
const DRY_LOW_LIMIT: Settings = settings(
    "dry-run, a low limit",
    "dry_run = true\nlimits = { packets = \"1/h\" }",
);
const LISTS: Settings = Settings {
    name: "the lists",
    lists: true,
    ..DEFAULTS
};

/// A packet whose cost is measured.
#[derive(Debug)]
pub struct Row {
    /// What the table calls it.
    pub name: &'static str,
    /// What guard is told. Rows with the same ones stand together and share a kernel side.
    pub settings: &'static Settings,
    /// The packet.
    pub traffic: Traffic,
}

const fn row(
    name: &'static str,
    settings: &'static Settings,
    family: Family,
    from: From,
    kind: Kind,
    reason: Reason,
) -> Row {
    let traffic = Traffic {
        family,
        from,
        kind,
        reason,
    };
    Row {
        name,
        settings,
        traffic,
    }
}

/// Every row, in the order of the table.
#[rustfmt::skip]
pub const ROWS: &[Row] = &[
    row("denied source", &DENY, V4, From::One, Kind::Udp, Reason::Deny),
    row("denied source, IPv6", &DENY, V6, From::One, Kind::Udp, Reason::Deny),
    row("source over its limit", &LOW_LIMIT, V4, From::One, Kind::Udp, Reason::LimitPackets),
    row("benign UDP", &DEFAULTS, V4, From::One, Kind::Udp, Reason::Pass),
    row("benign UDP, IPv6", &DEFAULTS, V6, From::One, Kind::Udp, Reason::Pass),
    row("benign TCP data to a service", &DEFAULTS, V4, From::One, Kind::Data, Reason::Pass),
    row("benign TCP SYN to a service", &DEFAULTS, V4, From::One, Kind::Syn, Reason::Pass),
    row("TCP data to another port", &DEFAULTS, V4, From::One, Kind::Elsewhere, Reason::Pass),
    row("TCP data from a service, which leaves", &DEFAULTS, V4, From::One, Kind::Leaves, Reason::Pass),
    row("UDP from a source not known", &DEFAULTS, V4, From::Stranger, Kind::Udp, Reason::Pass),
    row("UDP, each from a new source", &DEFAULTS, V4, From::New, Kind::Udp, Reason::Pass),
    row("UDP, each from a new source, IPv6", &DEFAULTS, V6, From::New, Kind::Udp, Reason::Pass),
    row("SYN to a service, each from a new source", &DEFAULTS, V4, From::New, Kind::Syn, Reason::Pass),
    row("UDP, from too many new sources", &GATED, V4, From::New, Kind::Udp, Reason::NewSources),
    row("UDP, from too many new sources, IPv6", &GATED, V6, From::New, Kind::Udp, Reason::NewSources),
    row("SYN to a service, from too many new sources", &GATED, V4, From::New, Kind::Syn, Reason::NewSources),
    row("TCP data to a service, check off", &UNCHECKED, V4, From::One, Kind::Data, Reason::Pass),
    row("TCP data to another port, check off", &UNCHECKED, V4, From::One, Kind::Elsewhere, Reason::Pass),
    row("TCP data from a service, check off", &UNCHECKED, V4, From::One, Kind::Leaves, Reason::Pass),
    row("benign UDP, no limits", &NO_LIMITS, V4, From::One, Kind::Udp, Reason::Pass),
    row("benign UDP, networks limited", &NETWORKS, V4, From::One, Kind::Udp, Reason::Pass),
    row("benign TCP data, service limited", &SERVICE, V4, From::One, Kind::Data, Reason::Pass),
    row("benign UDP, every limit on", &ALL_LIMITS, V4, From::One, Kind::Udp, Reason::Pass),
    row("benign TCP data, every limit on", &ALL_LIMITS, V4, From::One, Kind::Data, Reason::Pass),
    row("benign TCP SYN, every limit on", &ALL_LIMITS, V4, From::One, Kind::Syn, Reason::Pass),
    row("UDP from new sources, every limit on", &ALL_LIMITS, V4, From::New, Kind::Udp, Reason::Pass),
    row("dry-run: denied source", &DRY_DENY, V4, From::One, Kind::Udp, Reason::Deny),
    row("dry-run: source over its limit", &DRY_LOW_LIMIT, V4, From::One, Kind::Udp, Reason::LimitPackets),
    row("lists: benign UDP", &LISTS, V4, From::One, Kind::Udp, Reason::Pass),
    row("lists: benign UDP, IPv6", &LISTS, V6, From::One, Kind::Udp, Reason::Pass),
    row("lists: denied address", &LISTS, V4, From::Listed, Kind::Udp, Reason::Deny),
    row("lists: denied address, IPv6", &LISTS, V6, From::Listed, Kind::Udp, Reason::Deny),
    row("lists: denied by a prefix", &LISTS, V4, From::InListed, Kind::Udp, Reason::Deny),
    row("lists: denied by a prefix, IPv6", &LISTS, V6, From::InListed, Kind::Udp, Reason::Deny),
    row("lists: UDP, each from a new source", &LISTS, V4, From::New, Kind::Udp, Reason::Pass),
    row("lists: UDP, each from a new source, IPv6", &LISTS, V6, From::New, Kind::Udp, Reason::Pass),
    row("lists: SYN, each from a new source", &LISTS, V4, From::New, Kind::Syn, Reason::Pass),
];

impl Row {
    /// Whether a filter that knows nothing but sources does the same with this packet.
    pub fn has_yardsticks(&self) -> bool {
        let is_plain = [DENY, DEFAULTS, GATED].contains(self.settings);
        is_plain && self.traffic.kind != Kind::Leaves
    }

    /// Whether guard drops it since its source is denied.
    pub fn is_denied(&self) -> bool {
        self.traffic.reason == Reason::Deny
    }

    /// Whom such a filter has to deny.
    pub fn denied_sources(&self) -> [&'static str; 2] {
        if *self.settings == DENY {
            [SOURCE_V4, SOURCE_V6]
        } else {
            [NEIGHBOUR_V4, NEIGHBOUR_V6]
        }
    }

    /// What this packet costs a kernel side that was loaded with the row's settings, and each of the
    /// yardsticks, in turn.
    pub fn measure(
        &self,
        kernel: &mut Kernel,
        yardsticks: &[&Xdp],
        lists: &Lists,
        meter: &mut Meter,
    ) -> Result<Vec<Cost>> {
        let traffic = &self.traffic;
        let frame = traffic.frame(lists)?;
        let encrypted = traffic.prepare(kernel)?;
        let is_looked_at = *self.settings != UNCHECKED;
        ensure!(
            !traffic.is_ciphertext() || (encrypted > 0) == is_looked_at,
            "{encrypted} connections are encrypted, to `{}`",
            self.name
        );
        if traffic.kind == Kind::Leaves {
            let program = kernel.departures().context("nothing sees what leaves")?;
            return Ok(vec![meter.leaving(program, &frame)?]);
        }
        let before = traffic.counted(kernel)?;
        let run = |(program, buffers)| Run {
            program,
            frame: &frame,
            senders: traffic.senders(),
            buffers,
        };
        let guard: &Xdp = kernel.program()?;
        let others = yardsticks.iter().map(|program| (*program, Buffers::One));
        let runs: Vec<_> = once((guard, Buffers::Many))
            .chain(others)
            .map(run)
            .collect();
        let costs = meter.in_turn(&runs)?;
        let as_meant = traffic.counted(kernel)? - before;
        ensure!(
            as_meant > meter.packets() / 2,
            "of the {} packets of the row `{}` only {as_meant} were counted as {}",
            meter.packets(),
            self.name,
            traffic.reason.name()
        );
        Ok(costs)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn names_are_unique_and_rows_of_the_same_settings_stand_together() {
        let names: HashSet<_> = ROWS.iter().map(|row| row.name).collect();
        assert_eq!(names.len(), ROWS.len());
        let groups = ROWS.chunk_by(|one, next| one.settings == next.settings);
        let settings: HashSet<_> = ROWS.iter().map(|row| row.settings.name).collect();
        assert_eq!(groups.count(), settings.len());
    }
}
