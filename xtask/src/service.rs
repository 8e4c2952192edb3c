//! Keeps a service that a Debian package brings from being started.

use std::{
    fs::{self, Permissions},
    os::unix::fs::PermissionsExt as _,
    path::Path,
    process::{self, Command},
};

use anyhow::{Context as _, Result};

use crate::progress;

/// The program that Debian's packages ask before they start a service.
const POLICY: &str = "/usr/sbin/policy-rc.d";

/// While it lives, installing the package of a service does not start that.
pub(crate) struct Quiet {
    service: &'static str,
    /// Whether the policy is ours; one that is there already is not touched.
    has_policy: bool,
}

impl Quiet {
    /// Forbids Debian's packages to start `service`, and nothing else.
    pub(crate) fn keep(service: &'static str) -> Result<Self> {
        let has_policy = !Path::new(POLICY).exists();
        if has_policy {
            fs::write(POLICY, policy(service))
                .and_then(|()| fs::set_permissions(POLICY, Permissions::from_mode(0o755)))
                .with_context(|| format!("cannot write {POLICY}"))?;
        }
        Ok(Self {
            service,
            has_policy,
        })
    }

    /// Leaves the service off for the next boot too.
    pub(crate) fn disable(self) -> Result<()> {
        // As systemd itself advises to find out whether it runs this machine.
        if !Path::new("/run/systemd/system").is_dir() {
            return Ok(());
        }
        say!(
            "switching the {} service off: only its program is used",
            self.service
        );
        let mut systemctl = Command::new("systemctl");
        systemctl.args(["disable", "--now", self.service]);
        progress::run("service", &mut systemctl)
    }
}

impl Drop for Quiet {
    fn drop(&mut self) {
        if self.has_policy {
            // A policy that stays removes itself when it is next asked.
            let _ = fs::remove_file(POLICY);
        }
    }
}

/// The policy is void as soon as this process is gone, even when it was killed. Exit code 101
/// forbids, 0 allows.
fn policy(service: &str) -> String {
    let pid = process::id();
    format!(
        "#!/bin/sh\n\
         # Temporary, by `cargo xtask setup` of guard: {service} is installed but not started.\n\
         [ -d /proc/{pid} ] || {{ rm -f \"$0\"; exit 0; }}\n\
         for word; do case $word in {service} | {service}.service) exit 101 ;; esac; done\n\
         exit 0\n"
    )
}
