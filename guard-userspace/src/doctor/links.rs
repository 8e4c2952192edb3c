//! The interfaces that are to be protected.

use anyhow::Error;

use super::{AS_ROOT, Check, trial::first_words};
use crate::{
    interface::{Interface, InterfaceError, list, lookup},
    kernel::PROGRAM,
};

/// Examines the interfaces with these `names`; without any, those that are up
/// and could be.
pub(super) async fn examine(names: &[String]) -> Vec<Check> {
    let (interfaces, error) = if names.is_empty() {
        protectable().await
    } else {
        named(names).await
    };
    let mut checks: Vec<Check> = error.into_iter().map(not_found).collect();
    if interfaces.is_empty() && checks.is_empty() {
        let found = "none but the loopback is up and has Ethernet";
        checks.push(Check::warn(
            "interface",
            found,
            "name the one to protect with --iface",
        ));
    }
    checks.extend(
        interfaces
            .iter()
            .flat_map(|interface| [link(interface), xdp(interface)]),
    );
    checks
}

async fn protectable() -> (Vec<Interface>, Option<InterfaceError>) {
    match list().await {
        Ok(mut interfaces) => {
            interfaces
                .retain(|interface| interface.up && interface.ethernet && !interface.loopback);
            (interfaces, None)
        }
        Err(error) => (Vec::new(), Some(error)),
    }
}

/// Those that are there; and the error that names the others.
async fn named(names: &[String]) -> (Vec<Interface>, Option<InterfaceError>) {
    match lookup(names).await {
        Ok(interfaces) => (interfaces, None),
        Err(error) => {
            let InterfaceError::Unknown { unknown, .. } = &error else {
                return (Vec::new(), Some(error));
            };
            let rest = names.iter().filter(|name| !unknown.contains(*name));
            let rest: Vec<String> = rest.cloned().collect();
            (lookup(&rest).await.unwrap_or_default(), Some(error))
        }
    }
}

fn not_found(error: InterfaceError) -> Check {
    let remedy = match &error {
        InterfaceError::Unknown { .. } => "name one that is there",
        _ => "let this container or seccomp profile permit netlink sockets",
    };
    Check::fail("interface", first_words(&Error::from(error)), remedy)
}

/// What it is, and whether it is up.
pub(super) fn link(interface: &Interface) -> Check {
    let name = &interface.name;
    let queues = match interface.receive_queues() {
        1 => "1 receive queue".to_owned(),
        queues => format!("{queues} receive queues"),
    };
    let found = format!("{}, {queues}, MTU {}", interface.driver(), interface.mtu);
    let check = if !interface.ethernet {
        let remedy = "protect the interface that its packets come in on";
        Check::fail(
            "link",
            format!("{found}: its packets have no Ethernet header"),
            remedy,
        )
    } else if interface.up {
        Check::ok("link", found)
    } else {
        Check::warn(
            "link",
            format!("{found}: it is down"),
            format!("`ip link set dev {name} up`"),
        )
    };
    check.about(name)
}

/// The XDP program on it.
pub(super) fn xdp(interface: &Interface) -> Check {
    let name = &interface.name;
    let Some(xdp) = &interface.xdp else {
        return Check::ok("xdp", "no program attached").about(name);
    };
    let place = format!("id {}, {}", xdp.program_id, xdp.mode.name());
    let check = match xdp.program_name().as_str() {
        PROGRAM => Check::ok("xdp", format!("guard's program is attached ({place})")),
        "?" => Check::warn("xdp", format!("a program is attached ({place})"), AS_ROOT),
        stranger => {
            let remedy = format!(
                "guard never replaces a stranger's program: stop its owner, or detach it with \
                 `ip link set dev {name} xdp off`"
            );
            Check::fail(
                "xdp",
                format!("the program `{stranger}` is attached ({place})"),
                remedy,
            )
        }
    };
    check.about(name)
}
