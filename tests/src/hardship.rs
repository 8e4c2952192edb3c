//! What keeps a running agent from doing what it should: a kernel that does not take what it is told,
//! and files that run out.

use std::fs;

use anyhow::{Context as _, Result, ensure};
use aya::maps::loaded_maps;

use crate::{agent::Agent, command, remains::Held};

/// What the map of a program's variables is called.
const VARIABLES: &str = ".bss";

/// Files that are left to an agent that is about to run out of them: enough for some clients, and
/// not for the tables of another program.
const SPARE: usize = 10;

/// Few files are left to the agent until this is dropped.
#[derive(Debug)]
pub struct FewFiles {
    pid: u32,
    before: String,
}

impl FewFiles {
    /// Lets the agent open hardly any more than it has.
    pub fn of(agent: &mut Agent) -> Result<Self> {
        let pid = agent.server().pid();
        let before = command::run(&format!(
            "prlimit --pid {pid} --nofile --noheadings --output SOFT"
        ))?;
        // The kernel gives each the lowest number that is free, and a limit is to these numbers.
        let open = fs::read_dir(format!("/proc/{pid}/fd"))?.count();
        limit(pid, &(open + SPARE).to_string())?;
        let before = before.trim().to_owned();
        Ok(Self { pid, before })
    }
}

impl Drop for FewFiles {
    fn drop(&mut self) {
        // The agent may have ended.
        let _ = limit(self.pid, &self.before);
    }
}

fn limit(pid: u32, files: &str) -> Result<()> {
    command::run(&format!("prlimit --pid {pid} --nofile={files}:")).map(drop)
}

/// Has an entry for an address be in force no more, though it is configured: the kernel takes half of a
/// change and refuses the rest, and no other program can be loaded that would know all of it. That ends
/// with a reload when what comes back is dropped. `network` has to be the only one of its family.
pub fn break_a_change(agent: &mut Agent, network: &str, address: &str) -> Result<FewFiles> {
    let added = agent.cli(&["deny", "add", network, address])?;
    ensure!(added.status.success(), "{added:?}");
    freeze_variables(agent)?;
    let few = FewFiles::of(agent)?;
    let refused = agent.cli(&["deny", "remove", network, address])?;
    ensure!(refused.status.code() == Some(1), "{refused:?}");
    let said = String::from_utf8_lossy(&refused.stderr);
    ensure!(said.contains("some of it may be in force"), "{said}");
    Ok(few)
}

/// Has the kernel refuse to be told by the agent which prefixes hold, until another program takes
/// over, with tables of its own.
fn freeze_variables(agent: &mut Agent) -> Result<()> {
    let own = Held::by(agent.server().pid())?.maps;
    let mut frozen = 0;
    for map in loaded_maps() {
        let map = map.context("asking the kernel for its maps")?;
        let is_variables = map
            .name_as_str()
            .is_some_and(|name| name.ends_with(VARIABLES));
        if is_variables && own.contains(&map.id()) {
            command::run(&format!("bpftool map freeze id {}", map.id()))?;
            frozen += 1;
        }
    }
    ensure!(frozen == 1, "{frozen} maps of variables");
    Ok(())
}
