//! What crossed the wire in clear.

use guard_common::connection::Outcome;

use super::{Cause, Counter, Memory, Subject, counted};
use crate::{
    alerts::rule::{Rule, Severity},
    status::{ServiceStatus, Status},
};

/// Services that require encryption and answered in clear.
pub(super) fn plaintext(memory: &mut Memory, status: &Status, causes: &mut Vec<Cause>) {
    for service in &status.services {
        if service.encryption != "required" {
            continue;
        }
        let protocols = service.connections.get(Outcome::PlaintextServed.name());
        let sum = protocols.map_or(0, |protocols| protocols.values().sum());
        let new = memory.growth(Counter::Plaintext(service.name.clone()), sum);
        if new > 0 {
            causes.push(served(service, sum));
        }
    }
}

fn served(service: &ServiceStatus, sum: u64) -> Cause {
    let name = &service.name;
    let ports = service.ports.join(", ");
    let protocols = service.connections.get(Outcome::PlaintextServed.name());
    let protocols: Vec<&str> = protocols
        .into_iter()
        .flat_map(|protocols| protocols.keys())
        .map(String::as_str)
        .collect();
    let protocols = protocols.join(", ");
    let connections = counted(sum, "connection", "connections");
    let (summary, action) = if service.direction == "outbound" {
        (
            format!("this host calls {name} in clear"),
            format!(
                "Have whatever calls {name} use TLS. If clear is meant, set `encryption = \
                 \"optional\"` for {name}. `guard events` shows the connections."
            ),
        )
    } else {
        (
            format!("{name} answers in clear"),
            format!(
                "Serve TLS on {ports}, or refuse such requests with `on_plaintext = \"drop\"` or \
                 \"reset\". If clear is meant, set `encryption = \"optional\"` for {name}. `guard \
                 events` shows the connections."
            ),
        )
    };
    Cause {
        subject: Subject::new(Rule::PlaintextServed, &[("service", name)]),
        severity: Severity::Critical,
        summary,
        description: format!(
            "{connections} of the service {name} (ports {ports}) crossed the wire in clear since \
             the agent started: {protocols}."
        ),
        action,
        sources: Vec::new(),
        news: 0,
    }
}

/// Credentials that were sent in clear.
pub(super) fn credentials(memory: &mut Memory, status: &Status, causes: &mut Vec<Cause>) {
    for service in &status.services {
        for (scheme, count) in &service.credentials {
            let counter = Counter::Credential(service.name.clone(), scheme.clone());
            if memory.growth(counter, *count) > 0 {
                causes.push(exposed(&service.name, scheme, *count));
            }
        }
    }
}

fn exposed(service: &str, scheme: &str, count: u64) -> Cause {
    let credentials = counted(count, "credential", "credentials");
    Cause {
        subject: Subject::new(
            Rule::CredentialExposed,
            &[("service", service), ("scheme", scheme)],
        ),
        severity: Severity::Critical,
        summary: format!("a credential ({scheme}) was sent to {service} in clear"),
        description: format!(
            "At least {credentials} of the kind {scheme} crossed the wire in clear at the service \
             {service} since the agent started. The values are not kept."
        ),
        action: format!(
            "Take these credentials for known to others: revoke and replace them. Then see to it \
             that {service} is called with TLS only. `guard events` shows who sent them, and which \
             are the same."
        ),
        sources: Vec::new(),
        news: 0,
    }
}
