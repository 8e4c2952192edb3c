//! Whom this host lives by: looked for every few seconds, and told to the kernel side.

use std::{collections::BTreeSet, net::IpAddr, time::Instant};

use anyhow::Result;
use tracing::{error, info};

use super::state::{Agent, Inner};
use crate::{
    resolvers::Resolvers,
    ssh::{Administrators, Connection},
    status::ProtectSelfStatus,
};

/// Whom this host lives by, as far as that was seen.
pub(super) struct Lifelines {
    administrators: Administrators,
    resolvers: Resolvers,
    /// What the kernel side was told last.
    told: ProtectSelfStatus,
    is_deaf: bool,
}

impl Lifelines {
    pub(super) fn new() -> Self {
        Self {
            administrators: Administrators::new(),
            resolvers: Resolvers::default(),
            told: ProtectSelfStatus::default(),
            is_deaf: false,
        }
    }

    /// The other ends of SSH connections to this host, and whoever a command came from.
    pub(super) fn clients(&self) -> BTreeSet<IpAddr> {
        self.administrators.clients()
    }

    /// Whether somebody at this address has an SSH connection that goes on whatever is refused.
    pub(super) fn keeps(&self, client: IpAddr) -> bool {
        let mut kept = self.told.connections.iter();
        kept.any(|connection| connection.client.ip() == client)
    }

    /// What goes on at this moment.
    pub(super) fn status(&self) -> ProtectSelfStatus {
        self.told.clone()
    }

    /// What is to go on.
    fn wanted(&self, is_on: bool, now: Instant) -> ProtectSelfStatus {
        if !is_on {
            return ProtectSelfStatus::default();
        }
        ProtectSelfStatus {
            enabled: true,
            resolvers: self.resolvers.addresses().to_vec(),
            ssh_ports: self.administrators.ports().collect(),
            connections: self.administrators.connections(now),
        }
    }
}

impl Agent {
    /// Looks who there is, when that is due.
    pub(super) fn keep_lifelines(&self) {
        let inner = &mut *self.lock();
        if inner.lifelines.administrators.is_due(Instant::now()) {
            inner.keep_lifelines(None);
        }
    }
}

impl Inner {
    /// Looks who there is, `caller` among them, and has them go on.
    pub(super) fn keep_lifelines(&mut self, caller: Option<Connection>) {
        let now = Instant::now();
        self.lifelines.administrators.look(now, caller);
        self.lifelines.resolvers.look();
        let wanted = self.lifelines.wanted(self.rules.config.protect_self, now);
        if wanted == self.lifelines.told {
            return;
        }
        let told = self.tell_lifelines(&wanted);
        match &told {
            Ok(()) => info!(
                resolvers = ?wanted.resolvers,
                connections = wanted.connections.len(),
                "what goes on whatever is refused"
            ),
            Err(error) if !self.lifelines.is_deaf => error!(
                error = format!("{error:#}"),
                "answers of resolvers and SSH connections may be refused"
            ),
            Err(_) => {}
        }
        self.lifelines.is_deaf = told.is_err();
        if told.is_ok() {
            self.lifelines.told = wanted;
        }
    }

    fn tell_lifelines(&mut self, wanted: &ProtectSelfStatus) -> Result<()> {
        let ports = wanted.ssh_ports.iter().copied();
        self.kernel
            .keep_lifelines(&wanted.resolvers, ports, &wanted.connections)
    }
}
