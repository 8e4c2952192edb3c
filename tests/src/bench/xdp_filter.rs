//! xdp-filter, of the package xdp-tools: the yardstick. It denies what it is told, exact addresses by a
//! hash table, and knows neither prefixes nor limits.

use std::{
    fmt::{Display, Write as _},
    net::IpAddr,
    process::Command,
};

use anyhow::{Context as _, Result, ensure};
use aya::programs::{ProgramInfo, Xdp, loaded_programs};
use aya_obj::programs::XdpAttachType;

use crate::{command, link::Interface};

/// Which of its programs it loads.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Features {
    /// The one that looks at addresses of both families, and at nothing else.
    Addresses,
    /// The one that looks at everything: hardware addresses, addresses and ports.
    All,
}

impl Features {
    /// As its command wants them.
    fn list(self) -> &'static str {
        match self {
            Self::Addresses => "ipv4,ipv6",
            Self::All => "all",
        }
    }
}

/// On an interface; off it again when dropped.
#[derive(Debug)]
pub struct XdpFilter {
    interface: Interface,
    program_id: u32,
}

impl XdpFilter {
    /// Whether its command is there.
    pub fn is_installed() -> bool {
        // It exits with an error whatever it is asked, but for work done.
        Command::new("xdp-filter").arg("help").output().is_ok()
    }

    /// Attaches it in native mode, without a dispatcher before it, to deny these sources and pass
    /// everything else.
    ///
    /// Its maps are pinned in a bpffs that nobody else sees and that is gone when this returns; so is
    /// its lock, which two of its commands at once would stumble over.
    ///
    /// # Errors
    /// It is not installed, or the interface has no native mode or another program already.
    pub fn load(interface: &Interface, features: Features, denied: &[IpAddr]) -> Result<Self> {
        let script = script(interface.name(), features, denied)?;
        let mut filter = interface.namespace().command("unshare");
        filter
            .args(["--mount", "--propagation", "private", "sh", "-ec", &script])
            .env("LIBXDP_SKIP_DISPATCHER", "1");
        command::output(&mut filter)?;
        let attached = interface.xdp()?.context("xdp-filter did not attach")?;
        let loaded = Self {
            interface: interface.clone(),
            program_id: attached.program_id,
        };
        ensure!(attached.mode == "native", "xdp-filter is {attached:?}");
        Ok(loaded)
    }

    /// Its program, to be run without a packet.
    ///
    /// # Errors
    /// Somebody else took it off.
    pub fn program(&self) -> Result<Xdp> {
        let mut programs = loaded_programs().filter_map(Result::ok);
        let info = programs.find(|program| program.id() == self.program_id);
        let info = info.context("xdp-filter is no longer loaded")?;
        from_info(info)
    }
}

/// A handle of an XDP program that somebody loaded.
pub(super) fn from_info(info: ProgramInfo) -> Result<Xdp> {
    let attach = XdpAttachType::Interface;
    Ok(Xdp::from_program_info(info, "program".into(), attach)?)
}

impl Drop for XdpFilter {
    fn drop(&mut self) {
        let interface = &self.interface;
        // The interface may be gone, and its program with it.
        let _ = interface
            .namespace()
            .ip(&format!("link set dev {} xdp off", interface.name()));
    }
}

/// What a shell in the interface's network and in a mount namespace of its own has to do.
fn script(interface: impl Display, features: Features, denied: &[IpAddr]) -> Result<String> {
    let features = features.list();
    let mut script = format!(
        "mount -t bpf bpf /sys/fs/bpf\n\
         mount -t tmpfs tmpfs /run\n\
         xdp-filter load {interface} --mode native --policy allow --features {features}\n"
    );
    for address in denied {
        writeln!(script, "xdp-filter ip {address} --mode src")?;
    }
    Ok(script)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Namespace, link::Cable};

    #[test]
    fn denies_what_it_is_told_and_leaves_nothing_behind() -> Result<()> {
        if !XdpFilter::is_installed() {
            return Ok(());
        }
        let namespace = Namespace::new("filter")?;
        let (left, right) = Cable::new((&namespace, "eth0"), (&namespace, "eth1")).lay()?;
        let denied = ["192.0.2.7".parse()?, "2001:db8::7".parse()?];
        let names = [
            (Features::Addresses, "xdpfilt_alw_ip"),
            (Features::All, "xdpfilt_alw_all"),
        ];
        for (features, name) in names {
            let filter = XdpFilter::load(&left, features, &denied)?;
            let program = filter.program()?;
            assert_eq!(program.info()?.name_as_str(), Some(name));
            drop(filter);
            assert_eq!(left.xdp()?, None);
        }
        assert_eq!(right.xdp()?, None);
        Ok(())
    }
}
