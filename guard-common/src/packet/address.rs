//! Addresses, as they stand on the wire and as numbers.

use super::{IPV6_LEN, word};

/// An address as it stands on the wire: words hold network order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Address {
    /// IPv4, and IPv6 addresses of the form `::ffff:a.b.c.d`.
    V4(u32),
    /// IPv6.
    V6([u64; 2]),
}

impl Address {
    /// What comes before the IPv4 address in the low half of its IPv6 form.
    const MAPPED: u64 = 0xffff;

    /// The address of these 16 bytes, two words in network order. `::ffff:a.b.c.d` is the IPv4
    /// address `a.b.c.d` (RFC 4291 section 2.5.5.2).
    #[inline(always)]
    #[must_use]
    pub const fn of(words: [u64; 2]) -> Self {
        let [high, low] = words;
        let low = u64::from_be(low);
        if high == 0 && low >> 32 == Self::MAPPED {
            return Self::V4((low as u32).to_be());
        }
        Self::V6(words)
    }

    /// The same where it is known whether it is an IPv4 address.
    #[inline(always)]
    pub(crate) const fn known(words: [u64; 2], is_ipv4: bool) -> Self {
        if is_ipv4 {
            Self::V4((u64::from_be(words[1]) as u32).to_be())
        } else {
            Self::V6(words)
        }
    }

    /// Its 16 bytes, of which [`Address::of`] makes it again.
    #[inline(always)]
    #[must_use]
    pub const fn words(self) -> [u64; 2] {
        match self {
            Self::V4(word) => [0, (Self::MAPPED << 32 | u32::from_be(word) as u64).to_be()],
            Self::V6(words) => words,
        }
    }

    /// The number that stands for it where it is one of the host's own: see [`IpPacket::local`].
    #[must_use]
    pub const fn as_local(self) -> u32 {
        match self {
            Self::V4(word) => word,
            Self::V6(words) => local(words),
        }
    }
}

/// A number for one of the host's own IPv6 addresses; an IPv4 one is such a number. Whom the host
/// talks with has no say in it.
#[inline(always)]
pub(crate) const fn local([high, low]: [u64; 2]) -> u32 {
    let mixed = high.wrapping_mul(0x9e37_79b9_7f4a_7c15) ^ low.wrapping_mul(0xd6e8_feb8_6659_fd93);
    (mixed >> 32) as u32
}

/// The address at `at` as two words in network order.
#[inline(always)]
pub(crate) fn ipv6_address(header: &[u8; IPV6_LEN], at: usize) -> [u64; 2] {
    [word(header, at), word(header, at + 8)]
}
