//! What the kernel side is told of whom this host lives by.

use std::{collections::BTreeSet, io, net::IpAddr};

use anyhow::{Context as _, Result};
use aya::maps::{Array, HashMap, MapData, MapError};
use guard_common::lifeline::{Awaited, Lifelines};

use super::{Kernel, object};
use crate::ssh::{Connection, on_the_wire};

/// Add, or leave what is there (`BPF_NOEXIST`).
const ADD: u64 = 1;

impl Kernel {
    /// Has answers of these resolvers pass, and segments of these connections to these ports; what
    /// was told before holds no longer.
    ///
    /// # Errors
    /// The kernel cannot be told.
    pub fn keep_lifelines(
        &mut self,
        resolvers: &[IpAddr],
        ports: impl IntoIterator<Item = u16>,
        connections: &[Connection],
    ) -> Result<()> {
        let resolvers = resolvers.iter().copied().map(on_the_wire);
        let lifelines = Lifelines::new(resolvers, ports);
        let mut told: Array<&mut MapData, Lifelines> = object::map(&mut self.ebpf, "LIFELINES")?;
        told.set(0, lifelines, 0).context("filling LIFELINES")?;

        let seed = self.hash_seed;
        let wanted = connections.iter().map(|connection| connection.hash(seed));
        self.keep_administrators(&wanted.collect())
    }

    fn keep_administrators(&mut self, wanted: &BTreeSet<u64>) -> Result<()> {
        const NAME: &str = "ADMINISTRATORS";
        let mut map: HashMap<&mut MapData, u64, u64> = object::map(&mut self.ebpf, NAME)?;
        let there: BTreeSet<u64> = map
            .keys()
            .collect::<Result<_, MapError>>()
            .context("reading ADMINISTRATORS")?;
        for gone in there.difference(wanted) {
            map.remove(gone).context("taking off ADMINISTRATORS")?;
        }
        for new in wanted.difference(&there) {
            match map.insert(new, Awaited::NOT_KNOWN.0, ADD) {
                Err(MapError::SyscallError(error))
                    if error.io_error.kind() == io::ErrorKind::AlreadyExists => {}
                inserted => inserted.context("filling ADMINISTRATORS")?,
            }
        }
        Ok(())
    }
}
