//! Prometheus' Alertmanager.

use std::{
    fs,
    net::{Ipv4Addr, SocketAddr},
};

use anyhow::{Context as _, Result, ensure};
use serde_json::Value;

use super::Daemon;
use crate::{Namespace, Scratch, http};

/// One that tells nobody, and shows what it was told. It listens on loopback only.
#[derive(Debug)]
pub struct Alertmanager {
    daemon: Daemon,
    address: SocketAddr,
}

impl Alertmanager {
    /// Starts one.
    pub fn start(namespace: &Namespace, port: u16) -> Result<Self> {
        let folder = Scratch::new()?;
        let configuration = folder.join("alertmanager.yml");
        fs::write(
            &configuration,
            "route: { receiver: nobody }\nreceivers: [{ name: nobody }]\n",
        )?;
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
        let mut command = namespace.command("prometheus-alertmanager");
        command
            .arg(format!("--config.file={}", configuration.display()))
            .arg(format!("--storage.path={}", folder.join("data").display()))
            .arg(format!("--web.listen-address={address}"))
            // Alone.
            .arg("--cluster.listen-address=");
        let daemon = Daemon::start(namespace, folder, command, port)?;
        Ok(Self { daemon, address })
    }

    /// The alerts that are on.
    pub fn alerts(&self) -> Result<Vec<Value>> {
        let namespace = self.daemon.server().namespace();
        let answer = http::get(namespace, self.address, "/api/v2/alerts")?;
        ensure!(answer.status == 200, "{answer:?}");
        serde_json::from_str(&answer.body).context("what Alertmanager shows")
    }
}
