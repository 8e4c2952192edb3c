//! Who administers this host: which of its SSH connections are of somebody who was let in.
//!
//! Whoever can reach `sshd` can hold a connection to it for as long as it waits for a login. So one
//! counts that was there when the agent started, that a command came by, or that is older than that.

use std::{
    collections::{BTreeMap, BTreeSet},
    net::IpAddr,
    time::{Duration, Instant},
};

use guard_common::lifeline::{MAX_ADMINISTRATORS, MAX_SSH_PORTS};

use super::{Connection, PORT, established, own};

/// How long `sshd` waits for a login, and some (`LoginGraceTime` is 120 s unless configured).
const LET_IN_AFTER: Duration = Duration::from_secs(150);
/// For how long what was listed is taken for what is: the kernel goes through a table of all
/// connections for it, which takes milliseconds.
const FRESH: Duration = Duration::from_secs(10);
/// After a look that took a while nobody looks for this many times as long: a five hundredth of a
/// processor is the most that looking may take.
const PAUSE: u32 = 500;

/// Who administers this host, as far as that was seen.
#[derive(Debug)]
pub(crate) struct Administrators {
    ports: BTreeSet<u16>,
    /// The connections there are.
    connections: BTreeMap<Connection, Since>,
    /// Clients that commands came from, or the agent itself, whether they are listed or not.
    callers: BTreeSet<IpAddr>,
    looked_at: Option<Instant>,
    took: Duration,
}

/// Since when there is a connection, as far as that matters.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Since {
    /// It is known to be an administrator's.
    Long,
    /// It was first seen then.
    Seen(Instant),
}

impl Since {
    fn is_let_in(self, now: Instant) -> bool {
        match self {
            Self::Long => true,
            Self::Seen(at) => now.saturating_duration_since(at) >= LET_IN_AFTER,
        }
    }
}

impl Administrators {
    /// Nobody has been looked for yet.
    pub(crate) fn new() -> Self {
        let own = own();
        let ports = own.iter().map(|own| own.server.port());
        Self {
            ports: ports.chain([PORT]).collect(),
            connections: BTreeMap::new(),
            callers: own.iter().map(|own| own.client.ip()).collect(),
            looked_at: None,
            took: Duration::ZERO,
        }
    }

    /// Every connection that there is at this moment, that of this process too.
    pub(crate) fn all() -> BTreeSet<Connection> {
        let ports = Self::new().ports;
        let listed = established(|port| ports.contains(&port));
        listed.into_iter().chain(own()).collect()
    }

    /// Whether what was seen last is too old.
    pub(crate) fn is_due(&self, now: Instant) -> bool {
        let pause = FRESH.max(self.took * PAUSE);
        self.looked_at
            .is_none_or(|at| now.saturating_duration_since(at) >= pause)
    }

    /// Looks who there is, unless that was done just now. A `caller` is known to be let in.
    pub(crate) fn look(&mut self, now: Instant, caller: Option<Connection>) {
        let is_unknown = |caller: Connection| !self.connections.contains_key(&caller);
        if self.is_due(now) || caller.is_some_and(is_unknown) {
            self.learn_port(caller);
            let listed = established(|port| self.ports.contains(&port));
            self.took = now.elapsed();
            self.listed(now, listed);
        }
        let Some(caller) = caller else {
            return;
        };
        self.callers.insert(caller.client.ip());
        if let Some(since) = self.connections.get_mut(&caller) {
            *since = Since::Long;
        }
    }

    fn learn_port(&mut self, caller: Option<Connection>) {
        let port = caller.map(|caller| caller.server.port());
        if self.ports.len() < MAX_SSH_PORTS {
            self.ports.extend(port.filter(|port| *port != 0));
        }
    }

    /// These are the connections there are.
    fn listed(&mut self, now: Instant, listed: Vec<Connection>) {
        let new = match self.looked_at {
            None => Since::Long,
            Some(_) => Since::Seen(now),
        };
        let since = |connection| self.connections.get(&connection).copied().unwrap_or(new);
        let connections = listed.into_iter();
        self.connections = connections
            .map(|connection| (connection, since(connection)))
            .collect();
        self.looked_at = Some(now);
    }

    /// Where SSH servers listen, as far as it is known.
    pub(crate) fn ports(&self) -> impl Iterator<Item = u16> {
        self.ports.iter().copied()
    }

    /// The connections of those who were let in; of more than the kernel side has room for, the
    /// oldest.
    pub(crate) fn connections(&self, now: Instant) -> Vec<Connection> {
        let all = self.connections.iter();
        let let_in = all.filter(|(_, since)| since.is_let_in(now));
        let mut oldest: Vec<_> = let_in
            .map(|(connection, since)| (*since, *connection))
            .collect();
        oldest.sort_unstable();
        oldest.truncate(MAX_ADMINISTRATORS as usize);
        oldest
            .into_iter()
            .map(|(_, connection)| connection)
            .collect()
    }

    /// The other end of each connection, let in or not, and whoever called.
    pub(crate) fn clients(&self) -> BTreeSet<IpAddr> {
        let connections = self.connections.keys();
        let clients = connections.map(|connection| connection.client.ip());
        clients.chain(self.callers.iter().copied()).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn connection(host: u8) -> Connection {
        Connection {
            client: ([192, 0, 2, host], 50_000).into(),
            server: ([203, 0, 113, 1], PORT).into(),
        }
    }

    fn nobody() -> Administrators {
        Administrators {
            callers: BTreeSet::new(),
            ..Administrators::new()
        }
    }

    #[test]
    fn who_was_there_at_the_start_is_let_in_and_who_comes_later_has_to_stay() {
        let (mut all, start) = (nobody(), Instant::now());
        all.listed(start, vec![connection(1)]);
        let later = start + Duration::from_secs(10);
        all.listed(later, vec![connection(1), connection(2)]);
        assert_eq!(all.connections(later), [connection(1)]);
        assert_eq!(all.clients().len(), 2, "told of both");
        let before = later + Duration::from_secs(149);
        assert_eq!(all.connections(before), [connection(1)]);
        let at = later + LET_IN_AFTER;
        assert_eq!(all.connections(at), [connection(1), connection(2)]);
    }

    #[test]
    fn who_goes_and_comes_again_starts_anew() {
        let (mut all, start) = (nobody(), Instant::now());
        all.listed(start, vec![connection(1)]);
        all.listed(start, vec![]);
        all.listed(start, vec![connection(1)]);
        assert_eq!(all.connections(start), []);
    }

    #[test]
    fn a_command_comes_by_a_connection_that_is_let_in_if_there_is_such() {
        let (mut all, start) = (nobody(), Instant::now());
        all.listed(start, vec![]);
        all.listed(start, vec![connection(1)]);
        all.look(start, Some(connection(1)));
        assert_eq!(all.connections(start), [connection(1)]);

        // Nobody has such a connection here.
        all.look(start, Some(connection(2)));
        assert_eq!(all.connections(start), []);
        assert!(all.clients().contains(&connection(2).client.ip()));
    }

    #[test]
    fn the_oldest_have_the_room_there_is() {
        let (mut all, start) = (nobody(), Instant::now());
        all.listed(start, vec![connection(200)]);
        all.listed(start, (0..=200).map(connection).collect());
        let at = start + LET_IN_AFTER;
        let let_in = all.connections(at);
        assert_eq!(let_in.len(), MAX_ADMINISTRATORS as usize);
        assert_eq!(let_in[0], connection(200));
    }

    #[test]
    fn a_look_that_takes_long_is_seldom() {
        let (mut all, start) = (nobody(), Instant::now());
        assert!(all.is_due(start));
        all.listed(start, vec![]);
        assert!(!all.is_due(start + Duration::from_secs(4)));
        assert!(all.is_due(start + FRESH));
        all.took = Duration::from_millis(40);
        assert!(!all.is_due(start + Duration::from_secs(19)));
        assert!(all.is_due(start + Duration::from_secs(20)));
    }
}
