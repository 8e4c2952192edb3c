//! Keeps the services that Debian packages bring from being started.

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

/// While it lives, installing the packages of some services does not start these.
pub(crate) struct Quiet {
    services: Vec<&'static str>,
    /// Whether the policy is ours; one that is there already is not touched.
    has_policy: bool,
}

impl Quiet {
    /// Forbids Debian's packages to start `services`, and nothing else.
    pub(crate) fn keep(services: Vec<&'static str>) -> Result<Self> {
        let has_policy = !services.is_empty() && !Path::new(POLICY).exists();
        if has_policy {
            fs::write(POLICY, policy(&services))
                .and_then(|()| fs::set_permissions(POLICY, Permissions::from_mode(0o755)))
                .with_context(|| format!("cannot write {POLICY}"))?;
        }
        Ok(Self {
            services,
            has_policy,
        })
    }

    /// Leaves the services off for the next boot too.
    pub(crate) fn disable(self) -> Result<()> {
        // As systemd itself advises to find out whether it runs this machine.
        if !Path::new("/run/systemd/system").is_dir() {
            return Ok(());
        }
        for service in &self.services {
            say!("switching the {service} service off: only its program is used");
            let mut systemctl = Command::new("systemctl");
            systemctl.args(["disable", "--now", service]);
            progress::run("service", &mut systemctl)?;
        }
        Ok(())
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
/// forbids, 0 allows. A service may have instances, such as `postgresql@15-main.service`.
fn policy(services: &[&str]) -> String {
    let pid = process::id();
    let names: Vec<_> = services
        .iter()
        .map(|service| format!("{service} | {service}.* | {service}@*"))
        .collect();
    format!(
        "#!/bin/sh\n\
         # Temporary, by `cargo xtask setup` of guard: {} installed but not started.\n\
         [ -d /proc/{pid} ] || {{ rm -f \"$0\"; exit 0; }}\n\
         for word; do case $word in {}) exit 101 ;; esac; done\n\
         exit 0\n",
        services.join(", "),
        names.join(" | ")
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What `policy-rc.d` answers for this service when asked as invoke-rc.d asks.
    fn answer(services: &[&str], asked: &str) -> i32 {
        let mut shell = Command::new("sh");
        shell.args(["-c", &policy(services), "policy-rc.d", asked, "start"]);
        shell.status().expect("sh").code().expect("a code")
    }

    #[test]
    fn forbids_these_services_and_no_other() {
        let services = ["nginx", "postgresql", "ssh"];
        for asked in [
            "nginx",
            "ssh.service",
            "ssh.socket",
            "postgresql@15-main.service",
        ] {
            assert_eq!(answer(&services, asked), 101, "{asked}");
        }
        for asked in ["cron", "nginx-debug", "sshguard.service"] {
            assert_eq!(answer(&services, asked), 0, "{asked}");
        }
    }
}
