//! Sources: whom a limit counts, and where the source table keeps them.

use crate::packet::Address;

/// Where a source stands in a table of limits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Slot {
    /// Position of its set, before the mask of the table's size.
    pub set: u32,
    /// What tells it from the others in its set. Never zero.
    pub tag: u32,
}

impl Slot {
    /// The slot of whoever `address` belongs to: see [`hash`].
    #[must_use]
    pub fn of(address: Address, ipv6_mask: [u64; 2], seed: [u64; 2]) -> Self {
        Self::from_hash(hash(address, ipv6_mask, seed))
    }

    /// The slot of a value that is already well mixed.
    #[inline(always)]
    #[must_use]
    pub const fn from_hash(hash: u64) -> Self {
        Self {
            set: hash as u32,
            tag: (hash >> 32) as u32 | 1,
        }
    }
}

/// A number for an address.
///
/// It is seeded, as all that follow from it, so that nobody outside can aim two sources at one slot.
#[inline(always)]
#[must_use]
pub const fn address(address: Address, seed: [u64; 2]) -> u64 {
    match address {
        Address::V4(word) => mix(word as u64 ^ seed[0]),
        Address::V6([high, low]) => mix(mix(high ^ seed[1]) ^ low),
    }
}

/// A number for whoever `address` belongs to: the IPv4 address, or the IPv6 prefix that
/// `ipv6_mask` (two words in network order) leaves.
#[inline(always)]
#[must_use]
pub const fn hash(address: Address, ipv6_mask: [u64; 2], seed: [u64; 2]) -> u64 {
    match address {
        Address::V4(_) => self::address(address, seed),
        Address::V6(words) => prefix(words, ipv6_mask, seed),
    }
}

/// The same where it is known to be IPv6.
#[inline(always)]
#[must_use]
pub const fn prefix([high, low]: [u64; 2], ipv6_mask: [u64; 2], seed: [u64; 2]) -> u64 {
    let prefix = mix((high & ipv6_mask[0]) ^ seed[1]);
    // A mask of /64 or shorter is a constant to the verifier, which drops this half.
    if ipv6_mask[1] == 0 {
        prefix
    } else {
        mix(prefix ^ (low & ipv6_mask[1]))
    }
}

/// A number for a TCP connection: the peer's address, a number for the host's own, and both ports
/// with the peer's in the high half. Never zero.
#[inline(always)]
#[must_use]
pub const fn connection(peer: Address, local: u32, ports: u32, seed: [u64; 2]) -> u64 {
    connection_of(address(peer, seed), local, ports)
}

/// The same, of a peer whose [`address`] number is `peer`.
#[inline(always)]
#[must_use]
pub const fn connection_of(peer: u64, local: u32, ports: u32) -> u64 {
    mix(peer ^ ((local as u64) << 32 | ports as u64)) | 1 << 32
}

/// A number for the network around `address`: its IPv4 /24, or its IPv6 /48.
#[inline(always)]
#[must_use]
pub const fn network(address: Address, seed: [u64; 2]) -> u64 {
    match address {
        Address::V4(word) => mix((word & u32::from_ne_bytes([255, 255, 255, 0])) as u64 ^ seed[0]),
        Address::V6([high, _]) => mix((high & ipv6_mask(48)[0]) ^ seed[1]),
    }
}

/// Spreads a word over all its bits: multiply and fold, twice.
#[inline(always)]
#[must_use]
pub const fn mix(word: u64) -> u64 {
    let word = word.wrapping_mul(0x9e37_79b9_7f4a_7c15);
    let word = (word ^ (word >> 32)).wrapping_mul(0xd6e8_feb8_6659_fd93);
    word ^ (word >> 32)
}

/// The network-order words of an IPv6 prefix mask of `len` bits (0 to 128).
#[must_use]
pub const fn ipv6_mask(len: u8) -> [u64; 2] {
    let mask = if len == 0 {
        0
    } else {
        u128::MAX << (128 - if len > 128 { 128 } else { len })
    };
    [((mask >> 64) as u64).to_be(), (mask as u64).to_be()]
}

#[cfg(test)]
mod tests {
    use super::*;

    const SEED: [u64; 2] = [0x0123_4567_89ab_cdef, 0xfedc_ba98_7654_3210];

    fn v6(text: &str) -> Address {
        let bytes = text
            .parse::<core::net::Ipv6Addr>()
            .expect("an address")
            .octets();
        let word = |at: usize| u64::from_ne_bytes(*bytes[at..].first_chunk().expect("8 bytes"));
        Address::of([word(0), word(8)])
    }

    #[test]
    fn masks_are_prefixes() {
        assert_eq!(ipv6_mask(64), [u64::MAX, 0]);
        assert_eq!(ipv6_mask(128), [u64::MAX, u64::MAX]);
        assert_eq!(ipv6_mask(48), [0xffff_ffff_ffff_0000_u64.to_be(), 0]);
        assert_eq!(ipv6_mask(0), [0, 0]);
    }

    #[test]
    fn one_prefix_is_one_source() {
        let of = |text, len| Slot::of(v6(text), ipv6_mask(len), SEED);
        assert_eq!(of("2001:db8::1", 64), of("2001:db8::ffff:ffff:0:2", 64));
        assert_ne!(of("2001:db8::1", 64), of("2001:db8:0:1::1", 64));
        assert_ne!(of("2001:db8::1", 128), of("2001:db8::2", 128));
        assert_eq!(of("2001:db8:0:1::1", 48), of("2001:db8:0:2::1", 48));
    }

    #[test]
    fn a_network_is_an_ipv4_24_and_an_ipv6_48() {
        let of = |text| network(v6(text), SEED);
        assert_eq!(of("::ffff:192.0.2.1"), of("::ffff:192.0.2.255"));
        assert_ne!(of("::ffff:192.0.2.1"), of("::ffff:192.0.3.1"));
        assert_eq!(of("2001:db8:1::1"), of("2001:db8:1:ffff::2"));
        assert_ne!(of("2001:db8:1::1"), of("2001:db8:2::1"));
    }

    #[test]
    fn mapped_ipv4_is_ipv4() {
        let address = Address::V4(u32::from_ne_bytes([192, 0, 2, 1]));
        assert_eq!(v6("::ffff:192.0.2.1"), address);
        assert_ne!(v6("::192.0.2.1"), address);
    }

    #[test]
    fn a_million_neighbours_spread_evenly() {
        const SETS: u32 = 1 << 14;
        let mut load = std::vec![0_u32; SETS as usize];
        for host in 0..1_000_000_u32 {
            let slot = Slot::of(Address::V4((0x0a00_0000 + host).to_be()), [0; 2], SEED);
            load[(slot.set % SETS) as usize] += 1;
        }
        // 61 a set on average; a Poisson spread stays well below twice that.
        let most = load.iter().max().copied().unwrap_or_default();
        assert!(most < 122, "{most} sources in one set");
    }
}
