//! The operator's rules as the kernel side holds them: single addresses in tables of cache lines,
//! all else in longest-prefix tries.

use guard_common::{
    addresses::{IPV4_WAYS, Ipv4Line, Ipv6Line},
    packet::Address,
    wire::Rule,
};
use ipnet::{IpNet, Ipv4Net, Ipv6Net};

/// Prefixes with their rules.
pub(super) type Nets<N> = Vec<(N, Rule)>;

/// Single addresses of one family.
#[derive(Clone, Debug)]
pub(super) struct Table<L> {
    /// A power of two.
    pub(super) lines: Vec<L>,
    /// Addresses in the lines.
    pub(super) entries: u64,
    /// Addresses that found no room, and are in the trie.
    pub(super) spilled: u64,
}

/// Rules as tables and tries.
#[derive(Clone, Debug)]
pub struct Rules {
    pub(super) addresses_v4: Table<Ipv4Line>,
    pub(super) addresses_v6: Table<Ipv6Line>,
    /// Prefixes, and addresses that found no room.
    pub(super) nets_v4: Nets<Ipv4Net>,
    pub(super) nets_v6: Nets<Ipv6Net>,
}

impl Rules {
    /// Lays out `rules`, each network once.
    pub(super) fn new(rules: impl Iterator<Item = (IpNet, Rule)>, seed: [u64; 2]) -> Self {
        let (mut v4, mut v6) = (Vec::new(), Vec::new());
        for (net, rule) in rules {
            match net {
                IpNet::V4(net) => v4.push((net, rule)),
                IpNet::V6(net) => v6.push((net, rule)),
            }
        }
        let (singles_v4, mut nets_v4): (Vec<_>, Vec<_>) = v4
            .into_iter()
            .partition(|(net, _)| net.prefix_len() == net.max_prefix_len());
        let (singles_v6, mut nets_v6): (Vec<_>, Vec<_>) = v6
            .into_iter()
            .partition(|(net, _)| net.prefix_len() == net.max_prefix_len());
        // Half full on average, so that few lines overflow.
        let lines_v4 = singles_v4.len().div_ceil(IPV4_WAYS / 2);
        let (addresses_v4, spilled) = Table::fill(
            lines_v4,
            singles_v4,
            |lines: &mut [Ipv4Line], (net, rule): &(Ipv4Net, Rule)| {
                let word = v4_word(*net);
                let line = Ipv4Line::of(word, seed) as usize & (lines.len() - 1);
                lines[line].insert(word, *rule)
            },
        );
        nets_v4.extend(spilled);
        // A third full.
        let lines_v6 = singles_v6.len();
        let (addresses_v6, spilled) = Table::fill(
            lines_v6,
            singles_v6,
            |lines: &mut [Ipv6Line], (net, rule): &(Ipv6Net, Rule)| {
                let words = v6_address(*net);
                let line = Ipv6Line::of(words, seed) as usize & (lines.len() - 1);
                lines[line].insert(words, *rule)
            },
        );
        nets_v6.extend(spilled);
        Self {
            addresses_v4,
            addresses_v6,
            nets_v4,
            nets_v6,
        }
    }
}

impl<L: Clone + Default> Table<L> {
    /// Puts each of `entries` into one of at least `lines` lines; those without room come back.
    fn fill<E>(
        lines: usize,
        entries: Vec<E>,
        mut insert: impl FnMut(&mut [L], &E) -> bool,
    ) -> (Self, Vec<E>) {
        let mut lines = vec![L::default(); lines.next_power_of_two()];
        let count = entries.len() as u64;
        let mut spilled = entries;
        spilled.retain(|entry| !insert(&mut lines, entry));
        let table = Self {
            lines,
            entries: count - spilled.len() as u64,
            spilled: spilled.len() as u64,
        };
        (table, spilled)
    }
}

/// The address as the wire has it.
pub(super) fn v4_word(net: Ipv4Net) -> u32 {
    u32::from_ne_bytes(net.network().octets())
}

fn v6_address(net: Ipv6Net) -> [u64; 2] {
    let octets = net.network().octets();
    let word = |at: usize| {
        octets[at..]
            .first_chunk()
            .copied()
            .map_or(0, u64::from_ne_bytes)
    };
    let words = [word(0), word(8)];
    debug_assert!(matches!(Address::from_v6(words), Address::V6(_)));
    words
}

#[cfg(test)]
mod tests {
    use super::*;

    const SEED: [u64; 2] = [7, 9];

    /// Addresses of both families, one in three allowed.
    fn single(number: u32) -> [(IpNet, Rule); 2] {
        let rule = if number.is_multiple_of(3) {
            Rule::Allow
        } else {
            Rule::Deny
        };
        let v4 = std::net::Ipv4Addr::from_bits(0x0a00_0000 + number);
        let v6 = std::net::Ipv6Addr::from_bits((0x2001_0db8 << 96) + u128::from(number));
        [
            (IpNet::from(std::net::IpAddr::from(v4)), rule),
            (IpNet::from(std::net::IpAddr::from(v6)), rule),
        ]
    }

    #[test]
    fn every_address_is_in_its_line_or_in_the_trie() {
        const COUNT: u32 = 100_000;
        let rules = Rules::new((0..COUNT).flat_map(single), SEED);
        let tables = [
            (rules.addresses_v4.entries, rules.addresses_v4.spilled),
            (rules.addresses_v6.entries, rules.addresses_v6.spilled),
        ];
        for (entries, spilled) in tables {
            assert_eq!(entries + spilled, u64::from(COUNT));
            assert!(spilled < u64::from(COUNT) / 20, "{spilled} found no room");
        }
        assert_eq!(rules.nets_v4.len() as u64, rules.addresses_v4.spilled);
        assert_eq!(rules.nets_v6.len() as u64, rules.addresses_v6.spilled);
        assert!(rules.addresses_v4.lines.len() * 64 <= 4 << 20);
    }

    #[test]
    fn prefixes_are_for_the_trie() {
        let nets = ["10.0.0.0/31", "10.0.0.0/8", "2001:db8::/127", "::/0"];
        let nets = nets.map(|net| (net.parse().expect("a network"), Rule::Deny));
        let rules = Rules::new(nets.into_iter(), SEED);
        assert_eq!((rules.nets_v4.len(), rules.nets_v6.len()), (2, 2));
        assert_eq!(rules.addresses_v4.entries + rules.addresses_v6.entries, 0);
        assert_eq!(rules.addresses_v4.lines.len(), 1, "a map holds something");
    }
}
