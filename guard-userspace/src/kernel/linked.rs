//! What a pin among the links really keeps, and where: what it is called is only what somebody called
//! it.

use std::{
    fs,
    os::fd::{AsFd as _, AsRawFd as _},
    path::Path,
};

use aya::maps::MapData;

use super::place::Hook;
use crate::interface::program_name;

/// A link on an interface, as the kernel describes it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Linked {
    /// The program that it keeps, by the kernel's number.
    pub(super) program_id: u32,
    hook: Hook,
    /// The kernel's number; zero when the interface is gone.
    interface: u32,
}

impl Linked {
    /// That of the link which is pinned at `path`; nothing where another thing is, or none.
    pub(super) fn at(path: &Path) -> Option<Self> {
        // A map's handle, since it is the one that gives its descriptor. What is pinned may be
        // anything, and the kernel tells what.
        let pinned = MapData::from_pin(path).ok()?;
        let fd = pinned.fd().as_fd().as_raw_fd();
        Self::parse(&fs::read_to_string(format!("/proc/self/fdinfo/{fd}")).ok()?)
    }

    /// Whether it keeps a program of guard there. A stranger's link may be pinned in its place, and
    /// other namespaces have interfaces of the same number.
    pub(super) fn is_ours(&self, hook: Hook, interface: u32) -> bool {
        // Without privilege no name is told.
        self.is(hook, interface)
            && program_name(self.program_id).is_none_or(|name| name == hook.program())
    }

    /// Whether it was one, of an interface that is gone: it keeps nothing.
    pub(super) fn is_defunct(&self, hook: Hook) -> bool {
        self.is(hook, 0)
    }

    fn is(&self, hook: Hook, interface: u32) -> bool {
        (self.hook, self.interface) == (hook, interface)
    }

    fn parse(text: &str) -> Option<Self> {
        let field = |wanted: &str| {
            let mut fields = text.lines().filter_map(|line| line.split_once(':'));
            let (_, value) = fields.find(|(name, _)| *name == wanted)?;
            Some(value.trim())
        };
        let hook = match field("link_type")? {
            "xdp" => Hook::Xdp,
            "tcx" if field("attach_type")?.contains("ingress") => Hook::Ingress,
            "tcx" => Hook::Egress,
            _ => return None,
        };
        Some(Self {
            program_id: field("prog_id")?.parse().ok()?,
            hook,
            interface: field("ifindex")?.parse().ok()?,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// How every descriptor's text begins.
    const START: &str = "pos:\t0\nflags:\t02000002\nmnt_id:\t16\nino:\t1058\n";

    fn of(text: &str) -> Option<Linked> {
        Linked::parse(&format!("{START}{text}"))
    }

    #[test]
    fn a_link_is_known_by_what_the_kernel_tells() {
        let xdp = of("link_type:\txdp\nlink_id:\t7\nprog_tag:\t39\nprog_id:\t41\nifindex:\t3\n");
        let xdp = xdp.expect("a link");
        assert_eq!(xdp.program_id, 41);
        assert!(xdp.is(Hook::Xdp, 3));
        assert!(!xdp.is(Hook::Xdp, 4) && !xdp.is(Hook::Egress, 3));
        for (side, hook) in [("ingress", Hook::Ingress), ("egress", Hook::Egress)] {
            let text = format!(
                "link_type:\ttcx\nlink_id:\t8\nprog_id:\t42\nifindex:\t3\nattach_type:\t46 ({side})\n"
            );
            assert!(of(&text).expect("a link").is(hook, 3), "{side}");
        }
    }

    #[test]
    fn what_is_no_link_of_ours_is_none() {
        assert_eq!(of("map_type:\t2\nkey_size:\t4\nmap_id:\t9\n"), None);
        assert_eq!(of("prog_type:\t6\nprog_id:\t9\n"), None);
        let tracing = "link_type:\ttracing\nlink_id:\t7\nprog_id:\t41\n";
        assert_eq!(of(tracing), None);
        assert_eq!(of("link_type:\txdp\nprog_id:\t41\n"), None);
    }
}
