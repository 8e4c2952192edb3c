//! What the kernel and `sshd` say of connections.

use std::net::{IpAddr, SocketAddr};

use guard::ssh::{self, Connection};

/// The kernel's number of an established connection.
const ESTABLISHED: &str = "01";

/// The input is a line of either; and, as bytes, the server's port and the client's address, of
/// which lines are made.
pub fn check(input: &[u8]) {
    if let Ok(text) = str::from_utf8(input) {
        let connections = [ssh::connection(text), ssh::read_ends(text)];
        for connection in connections.into_iter().flatten() {
            for end in [connection.client, connection.server] {
                assert_eq!(end.ip(), end.ip().to_canonical());
            }
        }
    }
    let Some((port, address)) = input.split_first_chunk() else {
        return;
    };
    let port = u16::from_be_bytes(*port);
    let address: IpAddr = match (address.first_chunk::<16>(), address.first_chunk::<4>()) {
        (Some(octets), _) => (*octets).into(),
        (None, Some(octets)) => (*octets).into(),
        (None, None) => return,
    };
    let canonical = address.to_canonical();
    let connection = Connection {
        client: SocketAddr::new(canonical, 50_314),
        server: SocketAddr::new(canonical, port),
    };
    let said = format!("{address} 50314 {address} {port}");
    assert_eq!(ssh::read_ends(&said), Some(connection));
    let word = as_in_memory(address);
    let line = format!("   7: {word}:{port:04X} {word}:C48A {ESTABLISHED} 00000000:00000000");
    assert_eq!(ssh::connection(&line), Some(connection));
}

/// An address as the kernel writes it: words of 32 bits as they lie in memory.
fn as_in_memory(address: IpAddr) -> String {
    let octets = match address {
        IpAddr::V4(address) => address.octets().to_vec(),
        IpAddr::V6(address) => address.octets().to_vec(),
    };
    let (words, _) = octets.as_chunks();
    let words = words.iter().map(|word| u32::from_ne_bytes(*word));
    let words: Vec<String> = words.map(|word| format!("{word:08X}")).collect();
    words.concat()
}
