//! What the agent must have to itself, taken before anything is attached.

use std::{
    fs::{self, DirBuilder},
    io,
    net::TcpListener,
    os::unix::{
        fs::{DirBuilderExt as _, FileTypeExt as _, PermissionsExt as _, chown},
        net::{UnixListener, UnixStream},
    },
    path::{Path, PathBuf},
};

use anyhow::{Context as _, Result, bail};

use super::lock::StateLock;
use crate::config::Config;

/// Listeners, and what keeps a second agent out.
pub(super) struct Claims {
    /// Metrics and health.
    pub(super) listener: TcpListener,
    /// The control socket.
    pub(super) control: UnixListener,
    /// Whose members may connect to it and change something, if there is such a group.
    pub(super) group: Option<u32>,
    /// The lock and the socket's file.
    pub(super) guard: Guard,
}

/// Holds the lock on the state folder; removes the socket when dropped.
pub(super) struct Guard {
    socket: PathBuf,
    _lock: StateLock,
}

impl Claims {
    /// Takes them all, or none. The control socket is for `group` too, if there is one.
    pub(super) fn take(config: &Config, group: Option<u32>) -> Result<Self> {
        make_folder(&config.state_dir, 0o700, "--state-dir")?;
        let lock = StateLock::take(&config.state_dir)?;
        let listener = TcpListener::bind(config.listen).with_context(|| {
            format!(
                "cannot serve metrics on {}: choose another address with --listen",
                config.listen
            )
        })?;
        listener
            .set_nonblocking(true)
            .context("the metrics listener")?;
        let control = bind_control(&config.socket, group)?;
        let guard = Guard {
            socket: config.socket.clone(),
            _lock: lock,
        };
        Ok(Self {
            listener,
            control,
            group,
            guard,
        })
    }
}

impl Drop for Guard {
    fn drop(&mut self) {
        if let Err(error) = fs::remove_file(&self.socket) {
            tracing::warn!(socket = %self.socket.display(), %error, "the socket stays behind");
        }
    }
}

fn bind_control(path: &Path, group: Option<u32>) -> Result<UnixListener> {
    if let Some(folder) = path.parent() {
        make_folder(folder, 0o755, "--socket")?;
    }
    // A connection to any file is refused, but only a socket is an old agent's.
    if fs::symlink_metadata(path).is_ok_and(|found| !found.file_type().is_socket()) {
        bail!(
            "{} is no socket and in the way: choose another with --socket",
            path.display()
        );
    }
    match UnixStream::connect(path) {
        Ok(_) => bail!(
            "another agent answers on {}: stop it, or choose another socket with --socket",
            path.display()
        ),
        // A socket that nobody listens on is a killed agent's.
        Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => {
            fs::remove_file(path)
                .with_context(|| format!("cannot remove the old socket {}", path.display()))?;
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
        Err(error) => {
            return Err(error).with_context(|| {
                format!(
                    "{} is in the way: choose another with --socket",
                    path.display()
                )
            });
        }
    }
    let listener = UnixListener::bind(path).with_context(|| {
        format!(
            "cannot listen on {}: choose another socket with --socket",
            path.display()
        )
    })?;
    protect(path, group)?;
    listener
        .set_nonblocking(true)
        .context("the control socket")?;
    Ok(listener)
}

/// Lets the agent's own user connect, and the members of `group`.
fn protect(path: &Path, group: Option<u32>) -> Result<()> {
    let mode = match group {
        Some(group) => {
            chown(path, None, Some(group)).with_context(|| {
                format!(
                    "cannot give {} to the group {group}: make the agent's user a member of it, or \
                     leave --socket-group out",
                    path.display()
                )
            })?;
            0o660
        }
        None => 0o600,
    };
    fs::set_permissions(path, fs::Permissions::from_mode(mode))
        .with_context(|| format!("cannot protect {}", path.display()))
}

/// Makes a folder for what `flag` places.
fn make_folder(folder: &Path, mode: u32, flag: &str) -> Result<()> {
    DirBuilder::new()
        .recursive(true)
        .mode(mode)
        .create(folder)
        .with_context(|| {
            format!(
                "cannot make the folder {}: make it for this user, or choose another with {flag}",
                folder.display()
            )
        })
}
