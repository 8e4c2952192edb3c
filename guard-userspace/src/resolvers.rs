//! Whom this host asks for names: the servers of `resolv.conf`.

use std::{
    fs::{self, File},
    io::Read as _,
    net::IpAddr,
    os::unix::fs::MetadataExt as _,
    path::Path,
};

use guard_common::lifeline::MAX_RESOLVERS;

/// What programs read (resolv.conf(5)).
const CONFIGURATION: &str = "/etc/resolv.conf";
/// What systemd-resolved asks, where programs ask it on a loopback address.
const BEHIND_STUB: &str = "/run/systemd/resolve/resolv.conf";
/// Bytes of a file that are read, at most: there is no reason for more than a few hundred.
const MAX_BYTES: u64 = 1 << 16;

/// The resolvers of this host, as far as they were looked up.
#[derive(Debug, Default)]
pub(crate) struct Resolvers {
    addresses: Vec<IpAddr>,
    read: Option<[Option<Version>; 2]>,
}

/// What tells one version of a file from another.
type Version = (u64, i64, i64, u64);

impl Resolvers {
    /// Reads the files again that have changed.
    pub(crate) fn look(&mut self) {
        let now = [CONFIGURATION, BEHIND_STUB].map(version);
        if self.read != Some(now) {
            self.addresses = addresses();
            self.read = Some(now);
        }
    }

    /// Each of them, at most [`MAX_RESOLVERS`].
    pub(crate) fn addresses(&self) -> &[IpAddr] {
        &self.addresses
    }
}

/// The resolvers that this host is configured to ask, and nobody on a loopback.
pub(crate) fn addresses() -> Vec<IpAddr> {
    let configured = servers(&text(CONFIGURATION));
    let asks_stub = configured.iter().any(IpAddr::is_loopback);
    let behind = asks_stub.then(|| servers(&text(BEHIND_STUB)));
    let mut addresses = Vec::new();
    for address in configured.into_iter().chain(behind.unwrap_or_default()) {
        if !address.is_loopback() && !addresses.contains(&address) {
            addresses.push(address);
        }
    }
    addresses.truncate(MAX_RESOLVERS);
    addresses
}

fn version(path: &str) -> Option<Version> {
    let found = fs::metadata(path).ok()?;
    Some((found.ino(), found.mtime(), found.mtime_nsec(), found.len()))
}

fn text(path: impl AsRef<Path>) -> String {
    let mut bytes = Vec::new();
    // What cannot be read names nobody.
    let _ = File::open(path).map(|file| file.take(MAX_BYTES).read_to_end(&mut bytes));
    String::from_utf8_lossy(&bytes).into_owned()
}

/// The servers that a `resolv.conf` names, in its order, those on a loopback too.
pub fn servers(text: &str) -> Vec<IpAddr> {
    let lines = text.lines().filter_map(|line| {
        let mut words = line.split_ascii_whitespace();
        let is_server = words.next() == Some("nameserver");
        words.next().filter(|_| is_server)
    });
    let addresses = lines.filter_map(|word| {
        // A link-local address may name its interface.
        let address = word.split_once('%').map_or(word, |(address, _)| address);
        address.parse::<IpAddr>().ok()
    });
    addresses
        .map(|address| address.to_canonical())
        .filter(|address| !address.is_unspecified())
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn servers_are_read_as_programs_do() {
        let text = "# by hand\nsearch example.org\nnameserver 192.0.2.53\n\
                    nameserver\t2001:db8::53 # the other\n  nameserver fe80::1%eth0\n\
                    nameserver ::ffff:192.0.2.54\nnameserver\nnameserver x\n\
                    nameserver 0.0.0.0\nnameservers 192.0.2.55\noptions edns0\n";
        let names = ["192.0.2.53", "2001:db8::53", "fe80::1", "192.0.2.54"];
        let expected = names.map(|name| name.parse::<IpAddr>().expect("an address"));
        assert_eq!(servers(text), expected);
        assert_eq!(servers(""), [] as [IpAddr; 0]);
    }
}
