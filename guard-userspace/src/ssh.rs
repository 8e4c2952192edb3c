//! Who administers this host: the other ends of its SSH connections.

use std::{
    collections::BTreeSet,
    env,
    fs::File,
    io::{BufRead as _, BufReader},
    net::IpAddr,
    time::{Duration, Instant},
};

/// What `sshd` tells those it lets in: address and port of the client, then of the server.
const VARIABLE: &str = "SSH_CONNECTION";
/// Where `sshd` listens unless it was told otherwise.
const PORT: u16 = 22;
/// Where the kernel lists the TCP connections of this namespace.
const CONNECTIONS: [&str; 2] = ["/proc/net/tcp", "/proc/net/tcp6"];
/// What it calls one that is established.
const ESTABLISHED: &str = "01";
/// For how long what was listed is taken for what is: the kernel goes through a table of all
/// connections for it, which takes milliseconds.
const FRESH: Duration = Duration::from_secs(5);

/// The other end of the SSH connection that this process was started by, if it was.
pub fn client() -> Option<IpAddr> {
    ends().map(|(client, _)| client)
}

/// Who administers this host, as far as that was seen.
#[derive(Debug, Default)]
pub(crate) struct Peers {
    addresses: BTreeSet<IpAddr>,
    looked_at: Option<Instant>,
}

impl Peers {
    /// Looks who there is, unless that was done just now. `client` is one that is known anyway.
    pub(crate) fn look(&mut self, client: Option<IpAddr>) {
        if self.looked_at.is_none_or(|at| at.elapsed() > FRESH) {
            self.addresses = peers();
            self.looked_at = Some(Instant::now());
        }
        self.addresses.extend(client);
    }

    /// Each of them.
    pub(crate) fn iter(&self) -> impl Iterator<Item = IpAddr> {
        self.addresses.iter().copied()
    }
}

/// The other ends of all SSH connections to this host: that by which this process was started, and
/// those established to port 22 or the one that it came by. What the kernel does not list is not
/// among them.
fn peers() -> BTreeSet<IpAddr> {
    let own = ends();
    let ports = [PORT, own.map_or(PORT, |(_, port)| port)];
    let mut peers: BTreeSet<IpAddr> = own.into_iter().map(|(client, _)| client).collect();
    for file in CONNECTIONS.iter().filter_map(|path| File::open(path).ok()) {
        let lines = BufReader::new(file).lines().map_while(Result::ok);
        peers.extend(lines.filter_map(|line| peer(&line, ports)));
    }
    peers
}

/// The client's address and the server's port.
fn ends() -> Option<(IpAddr, u16)> {
    read_ends(&env::var(VARIABLE).ok()?)
}

/// The client's address and the server's port, from what `sshd` says of a connection.
pub fn read_ends(text: &str) -> Option<(IpAddr, u16)> {
    let mut words = text.split(' ');
    let client: IpAddr = words.next()?.parse().ok()?;
    Some((client.to_canonical(), words.nth(2)?.parse().ok()?))
}

/// The other end of a connection that is established to one of these ports, if a line of the
/// kernel's list is of such.
pub fn peer(line: &str, ports: [u16; 2]) -> Option<IpAddr> {
    // Number, local and remote end, state.
    let mut words = line.split_ascii_whitespace().skip(1);
    let (_, port) = end(words.next()?)?;
    let remote = words.next()?;
    if !ports.contains(&port) || words.next()? != ESTABLISHED {
        return None;
    }
    end(remote).map(|(address, _)| address)
}

/// An address, in words of 32 bits as they lie in memory, and a port.
fn end(text: &str) -> Option<(IpAddr, u16)> {
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
    Some((address.to_canonical(), port))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn address(text: &str) -> IpAddr {
        text.parse().expect("an address")
    }

    #[test]
    fn ends_of_connections_are_read() {
        let ends = |text| read_ends(text);
        assert_eq!(
            ends("203.0.113.10 50314 203.0.113.1 2222"),
            Some((address("203.0.113.10"), 2222))
        );
        assert_eq!(
            ends("2001:db8::10 50314 2001:db8::1 22"),
            Some((address("2001:db8::10"), 22))
        );
        for broken in ["", "203.0.113.10", "203.0.113.10 1 203.0.113.1", "x 1 y 22"] {
            assert_eq!(ends(broken), None, "{broken:?}");
        }
    }

    #[test]
    #[cfg(target_endian = "little")]
    fn established_connections_to_the_port_have_a_peer() {
        let line = |ends: &str, state: &str| format!("   1: {ends} {state} 00000000:00000000 00:0");
        let v4 = "017100CB:0016 0A7100CB:C48A";
        assert_eq!(
            peer(&line(v4, "01"), [22, 22]),
            Some(address("203.0.113.10"))
        );
        assert_eq!(
            peer(&line(v4, "06"), [22, 22]),
            None,
            "it waits to be forgotten"
        );
        assert_eq!(peer(&line(v4, "01"), [2222, 80]), None, "another port");
        let v6 = "B80D0120000000000000000001000000:08AE B80D0120000000000000000010000000:C48A";
        assert_eq!(
            peer(&line(v6, "01"), [22, 2222]),
            Some(address("2001:db8::10"))
        );
        let mapped = "0000000000000000FFFF0000017100CB:0016 0000000000000000FFFF00000A7100CB:C48A";
        assert_eq!(
            peer(&line(mapped, "01"), [22, 22]),
            Some(address("203.0.113.10"))
        );
        assert_eq!(peer("  sl  local_address rem_address   st", [22, 22]), None);
    }
}
