//! What an earlier agent has left on interfaces, and what is in the way there.

use anyhow::{Result, bail, ensure};
use tracing::warn;

use crate::{
    interface::{AttachedMode, Interface},
    kernel::{Hook, Left, Mode, PROGRAM, Place},
};

/// Where on an interface the program runs that an earlier agent has left there, if it is that.
pub(super) fn left_on(place: &Place, interface: &Interface) -> Option<Mode> {
    let xdp = interface.xdp.as_ref()?;
    let linked = place.linked(Hook::Xdp, interface.index)?;
    let mode = match xdp.mode {
        AttachedMode::Native => Mode::Native,
        AttachedMode::Generic => Mode::Generic,
        AttachedMode::Offloaded => return None,
    };
    (linked == xdp.program_id).then_some(mode)
}

/// Whether some pin in `place` keeps this program, whatever it is called.
fn is_pinned_elsewhere(place: Option<&Place>, program_id: u32) -> bool {
    let links = place.map(Place::links).unwrap_or_default();
    let mut programs = links.iter().filter_map(Left::program_id);
    programs.any(|pinned| pinned == program_id)
}

/// Says which pins among the links are not what they are called, or lack the one beside them, before
/// others are made in their place.
pub(super) fn warn_of_false_pins(place: &Place, found: &[Interface]) {
    let links = place.links();
    for left in links.iter().filter(|left| !left.is_genuine()) {
        warn!(
            pin = %left, "what is pinned there is not the link it is called after: not taken over"
        );
    }
    for interface in found {
        let mut own = links
            .iter()
            .filter(|left| left.interface == interface.index && left.is_genuine());
        if interface.xdp.is_none() && own.any(|left| left.hook != Hook::Xdp) {
            warn!(
                iface = interface.name,
                "an earlier agent left its program there, and somebody has taken it off or removed \
                 its pin: the interface was not protected since"
            );
        }
    }
}

/// Refuses an interface that the program cannot or must not be on. What an earlier agent has left,
/// whose links are pinned in `place`, is not in the way.
pub(super) fn refuse_unfit(interface: &Interface, place: Option<&Place>) -> Result<()> {
    let name = &interface.name;
    // The program reads Ethernet headers first, and would drop whatever starts without one.
    ensure!(
        interface.ethernet,
        "{name} carries packets without an Ethernet header, which guard cannot read: protect the \
         interface they leave the machine by, and leave out this one"
    );
    let Some(xdp) = &interface.xdp else {
        return Ok(());
    };
    if place.is_some_and(|place| left_on(place, interface).is_some()) {
        return Ok(());
    }
    let (id, mode) = (xdp.program_id, xdp.mode.name());
    let (program, hint) = match xdp.program_name() {
        // The kernel names programs of others to `CAP_SYS_ADMIN` only, which is given up.
        name if name == "?" => (
            format!("which root's `bpftool prog show id {id}` names"),
            "guard never replaces a stranger's program.",
        ),
        name if name == PROGRAM && is_pinned_elsewhere(place, xdp.program_id) => (
            format!("`{name}`"),
            "an earlier agent left it, and somebody has moved the pin of its link. It goes on; \
             `guard detach` takes it off, then start guard.",
        ),
        name if name == PROGRAM => (format!("`{name}`"), "is another guard agent running?"),
        name => (
            format!("`{name}`"),
            "guard never replaces a stranger's program.",
        ),
    };
    bail!(
        "{name} has an XDP program already, {program} (id {id}, {mode}): {hint} Stop its owner, or \
         detach it with `ip link set dev {name} xdp off`, or leave out this interface"
    );
}
