//! What the kernel and `sshd` say of connections.

use std::net::IpAddr;

use guard::ssh;

/// The kernel's number of an established connection.
const ESTABLISHED: &str = "01";

/// The input is a line of either; and, as bytes, the server's port and the client's address, of
/// which lines are made.
pub fn check(input: &[u8]) {
    if let Ok(text) = str::from_utf8(input) {
        let clients = [
            ssh::peer(text, [22, 2_222]),
            ssh::read_ends(text).map(|(client, _)| client),
        ];
        for client in clients.into_iter().flatten() {
            assert_eq!(client, client.to_canonical());
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
    let client = address.to_canonical();
    let said = format!("{address} 50314 {address} {port}");
    assert_eq!(ssh::read_ends(&said), Some((client, port)));
    let word = as_in_memory(address);
    let line = format!("   7: {word}:{port:04X} {word}:C48A {ESTABLISHED} 00000000:00000000");
    assert_eq!(ssh::peer(&line, [22, port]), Some(client));
    let other = port.wrapping_add(1);
    assert_eq!(ssh::peer(&line, [other; 2]), None);
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
