//! The SSH connections to this host, as `sshd` and the kernel tell of them.

mod administrators;

use std::{
    env,
    fs::File,
    io::{BufRead as _, BufReader},
    net::{IpAddr, SocketAddr},
};

use guard_common::{packet::Address, source};
use serde::{Deserialize, Serialize};

pub(crate) use self::administrators::Administrators;

/// What `sshd` tells those it lets in: address and port of the client, then of the server.
const VARIABLE: &str = "SSH_CONNECTION";
/// Where `sshd` listens unless it was told otherwise.
const PORT: u16 = 22;
/// Where the kernel lists the TCP connections of this namespace.
const CONNECTIONS: [&str; 2] = ["/proc/net/tcp", "/proc/net/tcp6"];
/// What it calls one that is established.
const ESTABLISHED: &str = "01";

/// A TCP connection to an SSH server of this host. Addresses are never IPv4 ones in the form of IPv6.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Connection {
    /// The end of whoever came.
    pub client: SocketAddr,
    /// The end of this host.
    pub server: SocketAddr,
}

impl Connection {
    /// The number that the kernel side knows it by.
    pub(crate) fn hash(&self, seed: [u64; 2]) -> u64 {
        let (client, server) = (on_the_wire(self.client.ip()), on_the_wire(self.server.ip()));
        let ports = u32::from(self.client.port()) << 16 | u32::from(self.server.port());
        source::connection(client, server.as_local(), ports, seed)
    }
}

/// An address as packets have it.
pub(crate) fn on_the_wire(address: IpAddr) -> Address {
    match address.to_canonical() {
        IpAddr::V4(address) => Address::V4(u32::from_ne_bytes(address.octets())),
        IpAddr::V6(address) => {
            let octets = address.octets();
            let (words, _) = octets.as_chunks();
            Address::of([u64::from_ne_bytes(words[0]), u64::from_ne_bytes(words[1])])
        }
    }
}

/// The SSH connection that this process was started by, if it was.
pub fn own() -> Option<Connection> {
    read_ends(&env::var(VARIABLE).ok()?)
}

/// The connections that are established to these ports. What the kernel does not list is not among
/// them.
pub(crate) fn established(is_ssh: impl Fn(u16) -> bool) -> Vec<Connection> {
    let files = CONNECTIONS.iter().filter_map(|path| File::open(path).ok());
    let lines = files.flat_map(|file| BufReader::new(file).lines().map_while(Result::ok));
    let connections = lines.filter_map(|line| connection(&line));
    connections
        .filter(|connection| is_ssh(connection.server.port()))
        .collect()
}

/// A connection, from what `sshd` says of it.
pub fn read_ends(text: &str) -> Option<Connection> {
    let mut words = text.split(' ');
    let mut end = || {
        let address: IpAddr = words.next()?.parse().ok()?;
        let port = words.next()?.parse().ok()?;
        Some(SocketAddr::new(address.to_canonical(), port))
    };
    Some(Connection {
        client: end()?,
        server: end()?,
    })
}

/// A connection that is established, if a line of the kernel's list is of such.
pub fn connection(line: &str) -> Option<Connection> {
    // Number, local and remote end, state.
    let mut words = line.split_ascii_whitespace().skip(1);
    let (server, client) = (words.next()?, words.next()?);
    if words.next()? != ESTABLISHED {
        return None;
    }
    Some(Connection {
        client: end(client)?,
        server: end(server)?,
    })
}

/// An address, in words of 32 bits as they lie in memory, and a port.
fn end(text: &str) -> Option<SocketAddr> {
    let (address, port) = text.split_once(':')?;
    let port = u16::from_str_radix(port, 16).ok()?;
    let word = |at: usize| u32::from_str_radix(address.get(at..at + 8)?, 16).ok();
    let address: IpAddr = match address.len() {
        8 => word(0)?.to_ne_bytes().into(),
        32 => {
            let mut octets = [0; 16];
            for (octets, at) in octets.chunks_exact_mut(4).zip([0, 8, 16, 24]) {
                octets.copy_from_slice(&word(at)?.to_ne_bytes());
            }
            octets.into()
        }
        _ => return None,
    };
    Some(SocketAddr::new(address.to_canonical(), port))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn connection_of(client: &str, server: &str) -> Connection {
        let end = |text: &str| text.parse().expect("an address and a port");
        Connection {
            client: end(client),
            server: end(server),
        }
    }

    #[test]
    fn ends_of_connections_are_read() {
        let ends = |text| read_ends(text);
        assert_eq!(
            ends("203.0.113.10 50314 203.0.113.1 2222"),
            Some(connection_of("203.0.113.10:50314", "203.0.113.1:2222"))
        );
        assert_eq!(
            ends("2001:db8::10 50314 ::ffff:203.0.113.1 22"),
            Some(connection_of("[2001:db8::10]:50314", "203.0.113.1:22"))
        );
        for broken in [
            "",
            "203.0.113.10",
            "203.0.113.10 1 203.0.113.1",
            "x 1 y 22",
            "203.0.113.10 1 203.0.113.1 70000",
        ] {
            assert_eq!(ends(broken), None, "{broken:?}");
        }
    }

    #[test]
    #[cfg(target_endian = "little")]
    fn established_connections_are_read() {
        let line = |ends: &str, state: &str| format!("   1: {ends} {state} 00000000:00000000 00:0");
        let v4 = "017100CB:0016 0A7100CB:C48A";
        let expected = connection_of("203.0.113.10:50314", "203.0.113.1:22");
        assert_eq!(connection(&line(v4, "01")), Some(expected));
        assert_eq!(
            connection(&line(v4, "06")),
            None,
            "it waits to be forgotten"
        );
        let v6 = "B80D0120000000000000000001000000:08AE B80D0120000000000000000010000000:C48A";
        assert_eq!(
            connection(&line(v6, "01")),
            Some(connection_of("[2001:db8::10]:50314", "[2001:db8::1]:2222"))
        );
        let mapped = "0000000000000000FFFF0000017100CB:0016 0000000000000000FFFF00000A7100CB:C48A";
        assert_eq!(connection(&line(mapped, "01")), Some(expected));
        assert_eq!(connection("  sl  local_address rem_address   st"), None);
    }

    #[test]
    fn a_connection_has_the_number_that_its_packets_have() {
        let seed = [3, 5];
        let wire = Address::V4(u32::from_ne_bytes([203, 0, 113, 10]));
        let host = u32::from_ne_bytes([203, 0, 113, 1]);
        let hash = connection_of("203.0.113.10:50314", "203.0.113.1:22").hash(seed);
        assert_eq!(
            hash,
            source::connection(wire, host, (50_314 << 16) + 22, seed)
        );
    }
}
