//! Names that tell whose things they are, and the removal of what dead processes left.

use std::{fs, path::Path, sync::Once};

use nix::{
    mount::{MntFlags, umount2},
    sys::signal::{Signal, kill},
    unistd::Pid,
};

use crate::command;

/// How the names of all namespaces and temporary folders begin; the process id follows.
pub(crate) const PREFIX: &str = "guard-lab-";

/// Removes the namespaces, mounts and folders of processes that are no more, once a process.
pub(crate) fn remove_once() {
    static REMOVED: Once = Once::new();
    REMOVED.call_once(|| {
        for name in stale_names(Path::new(crate::netns::FOLDER)) {
            remove_namespace(&name);
        }
        let temporary = std::env::temp_dir();
        for name in stale_names(&temporary) {
            remove_folder(&temporary.join(name));
        }
    });
}

/// Kills what runs in a namespace of ours and deletes it. Another process may be doing the same.
pub(crate) fn remove_namespace(name: &str) {
    let pids = command::run(&format!("ip netns pids {name}")).unwrap_or_default();
    for pid in pids.lines().filter_map(|line| line.trim().parse().ok()) {
        let _ = kill(Pid::from_raw(pid), Signal::SIGKILL);
    }
    let _ = command::run(&format!("ip netns delete {name}"));
}

fn remove_folder(folder: &Path) {
    for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
        let _ = umount2(&entry.path(), MntFlags::MNT_DETACH);
    }
    let _ = fs::remove_dir_all(folder);
}

/// The entries of `folder` whose maker is no longer alive.
fn stale_names(folder: &Path) -> Vec<String> {
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    let names = entries.filter_map(|entry| entry.file_name().into_string().ok());
    names
        .filter(|name| owner(name).is_some_and(is_dead))
        .collect()
}

/// The process id in a name of ours.
fn owner(name: &str) -> Option<u32> {
    let (pid, _) = name.strip_prefix(PREFIX)?.split_once('-')?;
    pid.parse().ok()
}

/// Whether the process has ended, if only as far as waiting to be collected.
fn is_dead(pid: u32) -> bool {
    fs::read_link(Path::new("/proc").join(pid.to_string()).join("exe")).is_err()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn finds_the_owner_in_a_name() {
        assert_eq!(owner("guard-lab-123-0-server"), Some(123));
        assert_eq!(owner("guard-lab-123"), None);
        assert_eq!(owner("guard-lab-x-0"), None);
        assert_eq!(owner("guard-123-0"), None);
    }

    #[test]
    fn tells_the_living_from_the_dead() {
        assert!(!is_dead(std::process::id()));
        // Above the largest pid_max there is.
        assert!(is_dead(1 << 23));
    }
}
