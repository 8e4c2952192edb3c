//! What the agent tells whoever started it and watches over it, as systemd's `sd_notify` has it: that it
//! protects, reloads, stops, and, as long as its loop turns, that it lives. Without `NOTIFY_SOCKET`
//! nothing is told.

use std::{
    env,
    ffi::OsStr,
    fmt::Write as _,
    io,
    os::{
        linux::net::SocketAddrExt as _,
        unix::{
            ffi::OsStrExt as _,
            net::{SocketAddr, UnixDatagram},
        },
    },
    time::{Duration, Instant},
};

use sd_notify::NotifyState;
use tracing::warn;

/// Where the supervisor listens: a path, or a name behind an `@`.
const SOCKET: &str = "NOTIFY_SOCKET";

/// Protection is in force, or again what it was; `how`, in a few words.
pub(crate) fn ready(how: &str) {
    tell(&[NotifyState::Ready, NotifyState::Status(how)]);
}

/// The configuration is being read. [`ready`] follows in any case.
pub(crate) fn reloading() {
    let now = NotifyState::monotonic_usec_now().ok();
    let states: Vec<_> = Some(NotifyState::Reloading)
        .into_iter()
        .chain(now)
        .collect();
    tell(&states);
}

/// The agent ends, since it was told to.
pub(crate) fn stopping() {
    tell(&[NotifyState::Stopping, NotifyState::Status("stopping")]);
}

/// Says that the agent lives, as often as the supervisor wants it.
#[derive(Debug)]
pub(crate) struct Heart {
    /// Nothing when nobody watches.
    every: Option<Duration>,
    last: Instant,
}

impl Heart {
    /// Asks whether somebody watches. Half of the time that it waits has room for one lost beat.
    pub(crate) fn new() -> Self {
        Self {
            every: sd_notify::watchdog_enabled().map(|patience| patience / 2),
            last: Instant::now(),
        }
    }

    /// To be called by what has to go on, and by nothing else.
    pub(crate) fn beat(&mut self) {
        if self.every.is_some_and(|every| self.last.elapsed() >= every) {
            self.last = Instant::now();
            tell(&[NotifyState::Watchdog]);
        }
    }
}

fn tell(states: &[NotifyState<'_>]) {
    let Some(socket) = env::var_os(SOCKET).filter(|socket| !socket.is_empty()) else {
        return;
    };
    if let Err(error) = send(&socket, &text(states)) {
        warn!(%error, "the supervisor is not told");
    }
}

fn text(states: &[NotifyState<'_>]) -> String {
    states.iter().fold(String::new(), |mut text, state| {
        // Writing to a string cannot fail.
        let _ = writeln!(text, "{state}");
        text
    })
}

/// Never waits: a supervisor that does not read is told the next time.
fn send(socket: &OsStr, text: &str) -> io::Result<()> {
    let own = UnixDatagram::unbound()?;
    own.set_nonblocking(true)?;
    let address = match socket.as_bytes().strip_prefix(b"@") {
        Some(name) => SocketAddr::from_abstract_name(name)?,
        None => SocketAddr::from_pathname(socket)?,
    };
    own.send_to_addr(text.as_bytes(), &address)?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn states_are_lines() {
        let states = [NotifyState::Ready, NotifyState::Status("protecting")];
        assert_eq!(text(&states), "READY=1\nSTATUS=protecting\n");
    }

    #[test]
    fn a_socket_may_have_a_path_or_a_name() -> io::Result<()> {
        let folder = tempfile::tempdir()?;
        let path = folder.path().join("notify");
        let name = format!("guard-test-{}", std::process::id());
        for (address, socket) in [
            (SocketAddr::from_pathname(&path)?, path.into_os_string()),
            (
                SocketAddr::from_abstract_name(&name)?,
                format!("@{name}").into(),
            ),
        ] {
            let listener = UnixDatagram::bind_addr(&address)?;
            send(&socket, "WATCHDOG=1\n")?;
            let mut bytes = [0; 64];
            let len = listener.recv(&mut bytes)?;
            assert_eq!(&bytes[..len], b"WATCHDOG=1\n");
        }
        Ok(())
    }

    #[test]
    fn nobody_waits_for_a_supervisor_that_does_not_read() -> io::Result<()> {
        let folder = tempfile::tempdir()?;
        let path = folder.path().join("notify");
        let _never_read = UnixDatagram::bind(&path)?;
        let refused = (0..100_000).find_map(|_| send(path.as_os_str(), "WATCHDOG=1\n").err());
        let kind = refused.map(|error| error.kind());
        assert_eq!(kind, Some(io::ErrorKind::WouldBlock));
        Ok(())
    }
}
