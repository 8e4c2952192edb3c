//! Connections whose first bytes are being put together.

use super::{Assembly, TlsFacts};

/// The connections kept, at most.
pub const CONNECTION_LIMIT: usize = 64;
/// How long a connection is kept after its first segment, in milliseconds.
pub const LIFETIME_MS: u64 = 10_000;

/// A table of at most [`CONNECTION_LIMIT`] connections, each kept for [`LIFETIME_MS`]. It holds at
/// most 36 KiB for each.
#[derive(Debug, Default)]
pub struct Hellos {
    /// Oldest first.
    connections: Vec<Connection>,
}

#[derive(Debug)]
struct Connection {
    key: u64,
    since_ms: u64,
    client: Assembly,
    server: Assembly,
}

impl Hellos {
    /// Adds a segment of the connection `key` at `offset` from the start of TLS. `now_ms` is any
    /// clock that does not go back, in milliseconds. A new connection drops the oldest of a full
    /// table, and its own past life if [`Self::expired`] did not collect that.
    pub fn add(&mut self, key: u64, from_client: bool, offset: u32, bytes: &[u8], now_ms: u64) {
        let connection = self.connection(key, now_ms);
        let side = if from_client {
            &mut connection.client
        } else {
            &mut connection.server
        };
        side.add(offset, bytes);
    }

    /// Forgets a connection, and tells what its bytes show. `None` when it is not known.
    pub fn finish(&mut self, key: u64) -> Option<TlsFacts> {
        let at = self.position(key)?;
        Some(self.connections.remove(at).facts())
    }

    /// Forgets the connections whose time is over, and tells what their bytes show, oldest first.
    pub fn expired(&mut self, now_ms: u64) -> Vec<(u64, TlsFacts)> {
        let over = |connection: &mut Connection| connection.is_over(now_ms);
        let connections = self.connections.extract_if(.., over);
        connections
            .map(|connection| (connection.key, connection.facts()))
            .collect()
    }

    fn position(&self, key: u64) -> Option<usize> {
        self.connections
            .iter()
            .position(|connection| connection.key == key)
    }

    fn connection(&mut self, key: u64, now_ms: u64) -> &mut Connection {
        let known = self.position(key);
        let at = match known {
            Some(at) if !self.connections[at].is_over(now_ms) => at,
            _ => {
                let leaving = known.or((self.connections.len() >= CONNECTION_LIMIT).then_some(0));
                if let Some(leaving) = leaving {
                    self.connections.remove(leaving);
                }
                self.connections.push(Connection::new(key, now_ms));
                self.connections.len() - 1
            }
        };
        &mut self.connections[at]
    }
}

impl Connection {
    fn new(key: u64, since_ms: u64) -> Self {
        Self {
            key,
            since_ms,
            client: Assembly::default(),
            server: Assembly::default(),
        }
    }

    fn is_over(&self, now_ms: u64) -> bool {
        now_ms.saturating_sub(self.since_ms) >= LIFETIME_MS
    }

    fn facts(&self) -> TlsFacts {
        TlsFacts::read(self.client.contiguous(), self.server.contiguous())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ALERT: [u8; 7] = [21, 3, 3, 0, 2, 2, 40];

    #[test]
    fn sides_are_apart() {
        let mut hellos = Hellos::default();
        hellos.add(1, false, 2, &ALERT[2..], 0);
        hellos.add(1, true, 0, b"GET", 0);
        hellos.add(1, false, 0, &ALERT[..2], 9_999);
        let facts = hellos.finish(1).expect("a known connection");
        assert_eq!(facts.alert, Some(40));
        assert_eq!(hellos.finish(1), None);
    }

    #[test]
    fn the_oldest_makes_room() {
        let mut hellos = Hellos::default();
        for key in 0..=CONNECTION_LIMIT as u64 {
            hellos.add(key, false, 0, &ALERT, key);
        }
        assert_eq!(hellos.connections.len(), CONNECTION_LIMIT);
        assert_eq!(hellos.finish(0), None);
        assert!(hellos.finish(1).is_some());
    }

    #[test]
    fn each_is_told_when_its_time_is_over() {
        let mut hellos = Hellos::default();
        hellos.add(7, false, 0, &ALERT, 100);
        hellos.add(8, false, 0, &ALERT, 101);
        assert_eq!(hellos.expired(10_099), []);
        let told = hellos.expired(10_100);
        assert_eq!(told.len(), 1);
        assert_eq!((told[0].0, told[0].1.alert), (7, Some(40)));
        assert!(hellos.finish(8).is_some());
    }

    #[test]
    fn a_key_starts_anew_after_its_time() {
        let mut hellos = Hellos::default();
        hellos.add(7, false, 0, &ALERT[..3], 0);
        hellos.add(7, false, 3, &ALERT[3..], LIFETIME_MS);
        let facts = hellos.finish(7).expect("a known connection");
        assert_eq!(facts, TlsFacts::default());
    }
}
