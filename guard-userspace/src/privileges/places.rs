//! The files and folders that the agent uses once it protects.

use std::{
    env, fs,
    path::{Path, PathBuf},
    sync::OnceLock,
};

use anyhow::{Result, ensure};
use nix::{
    errno::Errno,
    unistd::{AccessFlags, access, geteuid},
};

use crate::config::Config;

/// What is read of the system, where it is there: what the kernel tells, how names are looked up, the
/// certificates of authorities, the time zone, and the C library's modules for these.
const SYSTEM: [&str; 27] = [
    "/proc",
    "/sys/class/net",
    "/sys/devices",
    "/sys/kernel/btf",
    "/dev/urandom",
    "/etc/hosts",
    "/etc/host.conf",
    "/etc/gai.conf",
    "/etc/nsswitch.conf",
    "/etc/services",
    "/etc/passwd",
    "/etc/group",
    "/etc/localtime",
    "/etc/ld.so.cache",
    "/etc/ssl/certs",
    "/etc/ssl/cert.pem",
    "/etc/pki/tls/certs",
    "/etc/pki/ca-trust",
    "/etc/ca-certificates",
    "/usr/share/ca-certificates",
    "/usr/local/share/ca-certificates",
    "/usr/share/zoneinfo",
    "/usr/lib",
    "/usr/lib64",
    "/lib",
    "/lib64",
    "/run/systemd/resolve",
];
/// Which servers are asked for names.
const RESOLVERS: &str = "/etc/resolv.conf";
/// Names of certificates' places that override the system's.
const CERTIFICATES: [&str; 2] = ["SSL_CERT_FILE", "SSL_CERT_DIR"];

/// The folders that this process may read since it has restricted itself; nothing before.
static IN_REACH: OnceLock<Vec<PathBuf>> = OnceLock::new();

/// Files and folders, by what is done with them. The default is none.
#[derive(Clone, Debug, Default)]
pub(crate) struct Places {
    /// The files of the configuration.
    configured: Vec<PathBuf>,
    state: PathBuf,
    /// Read only.
    pub(super) read: Vec<PathBuf>,
    /// Read and changed.
    pub(super) change: Vec<PathBuf>,
    /// Folders in which files are taken away.
    pub(super) clear: Vec<PathBuf>,
    /// Folders in which empty folders are taken away.
    pub(super) clear_folders: Vec<PathBuf>,
}

impl Places {
    /// Those of a configuration, which was read from `file`. `handover` is where programs leave
    /// something to the next one, if that is not among the pins.
    pub(crate) fn of(config: &Config, file: Option<&Path>, handover: Option<PathBuf>) -> Self {
        let feeds = config.feeds.iter().map(|feed| feed.file.as_path());
        let documents = config.services.iter().filter_map(|service| {
            let document = service.openapi.as_ref()?;
            Some(document.file.as_path())
        });
        let tokens = config.alerts.iter();
        let tokens = tokens.filter_map(|receiver| receiver.token_file.as_deref());
        let named = file.into_iter().chain(feeds).chain(documents).chain(tokens);
        let configured: Vec<PathBuf> = named.map(Path::to_owned).collect();
        let mut read: Vec<PathBuf> = SYSTEM.iter().map(PathBuf::from).collect();
        read.extend(
            CERTIFICATES
                .iter()
                .filter_map(env::var_os)
                .map(PathBuf::from),
        );
        read.extend(resolvers(Path::new(RESOLVERS), geteuid().is_root()));
        // Their folders, since a file is best replaced by another of its name.
        read.extend(configured.iter().flat_map(|file| folders_of(file)));
        let change = [config.state_dir.clone(), config.bpffs.clone()];
        Self {
            configured,
            state: config.state_dir.clone(),
            read,
            change: change.into_iter().chain(handover).collect(),
            clear: vec![folder_of(&config.socket)],
            clear_folders: vec![folder_of(&config.bpffs)],
        }
    }

    /// Refuses a state folder that only the privilege of root could write, which is given up.
    pub(super) fn demand_own_state(&self) -> Result<()> {
        let found = access(&self.state, AccessFlags::W_OK | AccessFlags::X_OK);
        // What nobody can write for now is told by whoever wants to.
        let is_ours = matches!(found, Ok(()) | Err(Errno::EROFS | Errno::EPERM));
        ensure!(
            is_ours,
            "the state folder {} belongs to another user: run guard as that user, or give this one a \
             folder of its own with --state-dir",
            self.state.display()
        );
        Ok(())
    }

    /// What of the configuration a reload could not read, a sentence each.
    pub(super) fn unreadable(&self) -> Vec<String> {
        let is_unreadable = |file: &&PathBuf| access(file.as_path(), AccessFlags::R_OK).is_err();
        let unreadable = self.configured.iter().filter(is_unreadable);
        let sentence = |file: &PathBuf| {
            format!(
                "{} is readable by privilege only, which is given up, so a reload will fail: give \
                 the user that guard runs as permission to read it",
                file.display()
            )
        };
        unreadable.map(sentence).collect()
    }

    /// Keeps in mind what is in reach from now on.
    pub(super) fn remember(&self, is_enforced: bool) {
        if is_enforced {
            // No list is where programs leave something to the next one.
            let all = self.read.iter().chain([&self.state]);
            let real = all.filter_map(|path| fs::canonicalize(path).ok());
            // There is one agent in a process.
            let _ = IN_REACH.set(real.collect());
        }
    }
}

/// Whether a file lies outside of what the agent may read since it protects, so that only a restart
/// can change that.
pub(crate) fn is_out_of_reach(file: &Path) -> bool {
    let Some(in_reach) = IN_REACH.get() else {
        return false;
    };
    // To look where a file is takes no right to read it.
    let real = fs::canonicalize(file).unwrap_or_else(|_| file.to_owned());
    !in_reach.iter().any(|place| real.starts_with(place))
}

/// The folder that a path lies in.
fn folder_of(path: &Path) -> PathBuf {
    match path.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => folder.to_owned(),
        _ => PathBuf::from("."),
    }
}

/// The folder that a path lies in, and that of what it leads to.
fn folders_of(path: &Path) -> Vec<PathBuf> {
    let real = fs::canonicalize(path).ok();
    let folders = [Some(folder_of(path)), real.as_deref().map(folder_of)];
    folders.into_iter().flatten().collect()
}

/// Where the servers are listed that are asked for names. Who maintains that file replaces it, so its
/// folder is meant; but not root's whole `/etc`, in which there are secrets that others cannot read.
fn resolvers(file: &Path, is_root: bool) -> Vec<PathBuf> {
    let mut places = vec![file.to_owned()];
    let real = fs::canonicalize(file).unwrap_or_else(|_| file.to_owned());
    let is_link = real != file;
    if is_link || !is_root {
        places.push(folder_of(&real));
    }
    places
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    #[test]
    fn a_path_without_a_folder_lies_here() {
        assert_eq!(folder_of(Path::new("guard.toml")), Path::new("."));
        assert_eq!(folder_of(Path::new("/etc/guard.toml")), Path::new("/etc"));
    }

    #[test]
    fn the_folder_of_what_a_link_leads_to_is_in_reach_too() {
        let scratch = tempfile::tempdir().expect("a folder");
        let real = fs::canonicalize(scratch.path()).expect("its path");
        for folder in ["lists", "configuration"] {
            fs::create_dir(real.join(folder)).expect("made");
        }
        fs::write(real.join("lists/drop"), "").expect("written");
        let link = real.join("configuration/drop");
        symlink(real.join("lists/drop"), &link).expect("linked");
        let folders = [real.join("configuration"), real.join("lists")];
        assert_eq!(folders_of(&link), folders);

        assert_eq!(resolvers(&link, true), [link, real.join("lists")]);
        let plain = real.join("lists/drop");
        assert_eq!(resolvers(&plain, true), std::slice::from_ref(&plain));
        assert_eq!(resolvers(&plain, false), [plain, real.join("lists")]);
    }

    #[test]
    fn before_anything_is_given_up_everything_is_in_reach() {
        assert!(!is_out_of_reach(Path::new("/nowhere")));
    }
}
