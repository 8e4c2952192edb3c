//! The usual stage: a client's namespace, a server's, and a cable between them.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use anyhow::Result;

use crate::{
    Namespace,
    frames::Packet,
    link::{Cable, Interface},
};

// The documentation networks of RFC 5737 and RFC 3849.
/// The server's IPv4 address.
pub const SERVER: Ipv4Addr = Ipv4Addr::new(203, 0, 113, 1);
/// The client's IPv4 address.
pub const CLIENT: Ipv4Addr = Ipv4Addr::new(203, 0, 113, 10);
/// The client's other IPv4 address.
pub const OTHER: Ipv4Addr = Ipv4Addr::new(203, 0, 113, 20);
/// An IPv4 address nobody has, for floods; the server knows where it is.
pub const NOBODY: Ipv4Addr = Ipv4Addr::new(203, 0, 113, 66);
/// The server's IPv6 address.
pub const SERVER_V6: Ipv6Addr = Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 1);
/// The client's IPv6 address.
pub const CLIENT_V6: Ipv6Addr = Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 0x10);
/// The client's other IPv6 address.
pub const OTHER_V6: Ipv6Addr = Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 0x20);
/// An IPv6 address nobody has, for floods; the server knows where it is.
pub const NOBODY_V6: Ipv6Addr = Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 0x66);

/// The name of both ends of the cable.
pub const INTERFACE: &str = "eth0";

/// A cable with addresses of both families at both ends.
#[derive(Debug)]
pub struct Stage {
    /// The client's end.
    pub client: Interface,
    /// The server's end, where guard belongs.
    pub server: Interface,
}

impl Stage {
    /// Lays a cable with an MTU of 1500.
    pub fn new() -> Result<Self> {
        Self::with_mtu(1500)
    }

    /// Lays a cable with this MTU.
    pub fn with_mtu(mtu: u32) -> Result<Self> {
        Self::on(|cable| cable.mtu(mtu))
    }

    /// Lays a cable with so many queues in each direction.
    pub fn with_queues(queues: u32) -> Result<Self> {
        Self::on(|cable| cable.queues(queues))
    }

    fn on(made: impl FnOnce(Cable<'_>) -> Cable<'_>) -> Result<Self> {
        let (clients, servers) = (Namespace::new("client")?, Namespace::new("server")?);
        let cable = Cable::new((&clients, INTERFACE), (&servers, INTERFACE));
        let (client, server) = made(cable).lay()?;
        for address in [CLIENT, OTHER] {
            client.add_address(&format!("{address}/24"))?;
        }
        for address in [CLIENT_V6, OTHER_V6] {
            client.add_address(&format!("{address}/64"))?;
        }
        server.add_address(&format!("{SERVER}/24"))?;
        server.add_address(&format!("{SERVER_V6}/64"))?;
        for nobody in [IpAddr::V4(NOBODY), IpAddr::V6(NOBODY_V6)] {
            server.add_neighbour(nobody, client.mac())?;
        }
        Ok(Self { client, server })
    }

    /// A packet from this source to the server, of IPv4 or of IPv6, with the cable's hardware
    /// addresses.
    pub fn packet(&self, source: IpAddr) -> Packet {
        let packet = match source {
            IpAddr::V4(source) => Packet::ipv4(&source.to_string(), &SERVER.to_string()),
            IpAddr::V6(source) => Packet::ipv6(&source.to_string(), &SERVER_V6.to_string()),
        };
        packet.macs(self.client.mac(), self.server.mac())
    }

    /// The namespace of the server, and of guard.
    pub fn host(&self) -> &Namespace {
        self.server.namespace()
    }
}
