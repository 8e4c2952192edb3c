//! The systemd unit, and its start without systemd: the same user, capabilities, folders and command.

use std::{process::ExitStatus, time::Duration};

use anyhow::{Context as _, Result, ensure};
use lab::{agent::LISTEN, http, process::Server};

use crate::system::System;

/// For whatever is to begin or to end.
const PATIENCE: Duration = Duration::from_mins(1);

/// What a unit's file says under `[Service]`, in its order.
pub(crate) struct Unit(Vec<(String, String)>);

impl Unit {
    /// Reads the unit that is installed in the system.
    pub(crate) fn installed(system: &System) -> Result<Self> {
        Ok(Self::of(
            &system.read("/usr/lib/systemd/system/guard.service")?,
        ))
    }

    fn of(text: &str) -> Self {
        let text = text.replace("\\\n", " ");
        let lines = text.lines().map(str::trim);
        let service = lines.skip_while(|line| *line != "[Service]").skip(1);
        let service = service.take_while(|line| !line.starts_with('['));
        let settings = service.filter(|line| !line.starts_with(['#', ';']));
        let pairs = settings.filter_map(|line| line.split_once('='));
        Self(
            pairs
                .map(|(key, value)| (key.trim().to_owned(), value.trim().to_owned()))
                .collect(),
        )
    }

    /// The words of all settings of this name; an empty one takes back those before it.
    pub(crate) fn words(&self, key: &str) -> Vec<&str> {
        let mut words = Vec::new();
        for (_, value) in self.0.iter().filter(|(own, _)| own == key) {
            if value.is_empty() {
                words.clear();
            }
            words.extend(value.split_whitespace());
        }
        words
    }

    fn word(&self, key: &str) -> Result<&str> {
        let last = self.words(key).pop();
        last.with_context(|| format!("the unit says no {key}"))
    }

    /// Starts what the unit starts, as its user, and waits until it protects.
    pub(crate) fn start(&self, system: &System) -> Result<Started> {
        self.make_folders(system)?;
        self.prepare(system)?;
        let user = self.word("User")?;
        let capabilities = self.capabilities();
        ensure!(!capabilities.is_empty(), "the unit grants no capability");
        let mut command = system.command("sh");
        // The number is that in the system, by which it is ended.
        let line = "echo $$ > /run/main.pid; exec setpriv \"$@\"";
        command.args(["-c", line, "setpriv"]);
        command.args([
            format!("--reuid={user}"),
            format!("--regid={}", self.word("Group").unwrap_or(user)),
        ]);
        command.args(["--clear-groups", "--no-new-privs"]);
        command.arg(format!("--bounding-set=-all,{capabilities}"));
        command.arg(format!("--inh-caps=-all,{capabilities}"));
        command.arg(format!("--ambient-caps=-all,{capabilities}"));
        command.arg("--").args(self.words("ExecStart"));
        let mut server = system.serve(command, "agent.log")?;
        server.wait_until(PATIENCE, |_| is_ready(system))?;
        Ok(Started { server })
    }

    /// What root does before the command starts.
    fn prepare(&self, system: &System) -> Result<()> {
        for (_, line) in self.0.iter().filter(|(key, _)| key == "ExecStartPre") {
            let line = line.strip_prefix('+');
            system.shell(line.context("a preparation that is not root's")?)?;
        }
        Ok(())
    }

    /// As `setpriv` names them.
    fn capabilities(&self) -> String {
        let words = self.words("AmbientCapabilities").into_iter();
        let names =
            words.map(|word| format!("+{}", word.trim_start_matches("CAP_").to_lowercase()));
        names.collect::<Vec<_>>().join(",")
    }

    /// Those that systemd makes before it starts the command.
    fn make_folders(&self, system: &System) -> Result<()> {
        let user = self.word("User")?;
        for (kind, place) in [
            ("Runtime", "/run"),
            ("State", "/var/lib"),
            ("Cache", "/var/cache"),
            ("Logs", "/var/log"),
        ] {
            let mode = self.word(&format!("{kind}DirectoryMode")).unwrap_or("0755");
            for name in self.words(&format!("{kind}Directory")) {
                system.shell(&format!(
                    "install --directory --owner={user} --group={user} --mode={mode} {place}/{name}"
                ))?;
            }
        }
        Ok(())
    }
}

/// A started unit.
pub(crate) struct Started {
    server: Server,
}

impl Started {
    /// Stops it as systemd does.
    pub(crate) fn stop(mut self, system: &System) -> Result<ExitStatus> {
        system.shell("kill -TERM \"$(cat /run/main.pid)\"")?;
        self.server.wait(PATIENCE)
    }

    /// What it printed.
    pub(crate) fn printed(&self) -> String {
        self.server.printed()
    }
}

fn is_ready(system: &System) -> bool {
    http::get(system.namespace(), LISTEN, "/readyz").is_ok_and(|answer| answer.status == 200)
}

#[test]
fn a_unit_is_read_as_systemd_reads_it() {
    let unit = Unit::of(
        "[Unit]\nUser=nobody\n[Service]\n# User=root\nUser=guard\nExecStart=/usr/bin/guard \\\n  run\n\
         AmbientCapabilities=CAP_SYS_ADMIN\nAmbientCapabilities=\nAmbientCapabilities=CAP_BPF CAP_PERFMON\n\
         [Install]\nUser=x\n",
    );
    assert_eq!(unit.words("User"), ["guard"]);
    assert_eq!(unit.words("ExecStart"), ["/usr/bin/guard", "run"]);
    assert_eq!(unit.capabilities(), "+bpf,+perfmon");
}
