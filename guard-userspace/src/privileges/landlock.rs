//! The folders that stay in reach.

use std::{env, path::Path};

use anyhow::{Context as _, Result};
use landlock::{
    ABI, Access as _, AccessFs, AccessNet, BitFlags, LandlockStatus, PathBeneath, PathFd, Ruleset,
    RulesetAttr as _, RulesetCreatedAttr as _, RulesetStatus, Scope, make_bitflags,
};

use super::Places;

/// What is asked for: the newest version that guard was tried on. An older kernel gives what it has.
const WANTED: ABI = ABI::V7;

/// To be read: files, and what is in a folder.
const READ: BitFlags<AccessFs> = make_bitflags!(AccessFs::{ReadFile | ReadDir});
/// To be changed: files and folders come and go. No device, link or socket is made, and nothing is
/// executed.
const CHANGE: BitFlags<AccessFs> = make_bitflags!(AccessFs::{
    ReadFile | ReadDir | WriteFile | Truncate | MakeReg | MakeDir | RemoveFile | RemoveDir | Refer
});
/// Files are taken away.
const CLEAR: BitFlags<AccessFs> = make_bitflags!(AccessFs::{RemoveFile});
/// Empty folders are taken away.
const CLEAR_FOLDERS: BitFlags<AccessFs> = make_bitflags!(AccessFs::{RemoveDir});

/// Leaves `places` in reach of the calling thread and of those it starts, and no other files. It listens
/// on no further TCP port, and sends no signal to other processes. The answer is the version of what is
/// in force; nothing where the kernel has none.
pub(super) fn restrict(places: &Places) -> Result<Option<u32>> {
    let mut rules = Ruleset::default()
        .handle_access(AccessFs::from_all(WANTED))
        .and_then(|rules| rules.handle_access(AccessNet::BindTcp))
        .and_then(|rules| rules.scope(scopes()))
        .and_then(Ruleset::create)
        .context("describing what stays in reach")?;
    let groups = [
        (&places.read, READ),
        (&places.change, CHANGE),
        (&places.clear, CLEAR),
        (&places.clear_folders, CLEAR_FOLDERS),
    ];
    for (paths, access) in groups {
        for path in paths {
            // What is not there is in nobody's reach.
            let Ok(open) = PathFd::new(path) else {
                continue;
            };
            rules = rules
                .add_rule(PathBeneath::new(open, fitting(path, access)))
                .with_context(|| format!("leaving {} in reach", path.display()))?;
        }
    }
    let status = rules.restrict_self().context("restricting this process")?;
    Ok(match status.landlock {
        LandlockStatus::Available { effective_abi, .. }
            if status.ruleset != RulesetStatus::NotEnforced =>
        {
            Some(effective_abi as u32)
        }
        _ => None,
    })
}

/// What of an access makes sense of a file, if `path` is one.
fn fitting(path: &Path, access: BitFlags<AccessFs>) -> BitFlags<AccessFs> {
    if path.is_dir() {
        access
    } else {
        access & AccessFs::from_file(WANTED)
    }
}

/// What processes outside are left alone with. A service manager that listens on a socket without a
/// file is talked to as long as the agent runs.
fn scopes() -> BitFlags<Scope> {
    let manager = env::var_os("NOTIFY_SOCKET").unwrap_or_default();
    if manager.as_encoded_bytes().starts_with(b"@") {
        Scope::Signal.into()
    } else {
        Scope::Signal | Scope::AbstractUnixSocket
    }
}

#[cfg(test)]
mod tests;
