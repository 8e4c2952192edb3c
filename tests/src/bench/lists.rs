//! Lists like those that are published: mostly single addresses, and prefixes of all lengths.

use std::{
    collections::HashSet,
    fs::File,
    io::{BufWriter, Write as _},
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
    path::Path,
};

use anyhow::{Context as _, Result};
use guard::config::{Config, Entry};
use guard_common::source::mix;
use ipnet::{IpNet, Ipv4Net, Ipv6Net};

use super::{Family, SOURCE_V4, SOURCE_V6};

/// How many of so many prefixes have each length. Together they hold a twentieth of IPv4.
const LENGTHS_V4: [(u8, u32); 24] = [
    (8, 4),
    (9, 2),
    (10, 3),
    (11, 5),
    (12, 10),
    (13, 15),
    (14, 30),
    (15, 50),
    (16, 300),
    (17, 200),
    (18, 300),
    (19, 500),
    (20, 1_000),
    (21, 1_200),
    (22, 2_500),
    (23, 3_000),
    (24, 45_000),
    (25, 5_000),
    (26, 6_000),
    (27, 8_000),
    (28, 9_000),
    (29, 10_000),
    (30, 4_000),
    (31, 3_881),
];
/// The same for IPv6: allocations, sites and networks.
const LENGTHS_V6: [(u8, u32); 12] = [
    (29, 2_000),
    (30, 1_000),
    (31, 1_000),
    (32, 18_000),
    (33, 1_000),
    (36, 4_000),
    (40, 6_000),
    (44, 5_000),
    (48, 32_000),
    (52, 2_000),
    (56, 8_000),
    (64, 20_000),
];
/// The first words of IPv6 addresses in use. New sources have the same, in `flood-ebpf`.
const REGIONS: [u16; 16] = [
    0x2001, 0x2400, 0x2401, 0x2402, 0x2404, 0x2405, 0x2406, 0x2409, 0x240e, 0x2600, 0x2603, 0x2607,
    0x2804, 0x2a02, 0x2a03, 0x2c0f,
];

/// Denied networks, the same in each run.
#[derive(Debug)]
pub struct Lists {
    nets: Vec<IpNet>,
    addresses: [Option<IpAddr>; 2],
    in_prefixes: [Option<IpAddr>; 2],
}

impl Lists {
    /// So many single addresses and prefixes of each family, none of which holds the bench's own
    /// sources.
    pub fn new(addresses: usize, prefixes: usize) -> Result<Self> {
        let mut noise = Noise(0);
        let mut v4 = Listed::new(SOURCE_V4.parse()?);
        v4.add(addresses, || net_v4(noise.address_v4(), 32))?;
        v4.add(prefixes, || {
            let length = noise.length(&LENGTHS_V4);
            net_v4(noise.address_v4(), length)
        })?;
        let mut v6 = Listed::new(SOURCE_V6.parse()?);
        v6.add(addresses, || net_v6(noise.address_v6(), 128))?;
        v6.add(prefixes, || {
            let length = noise.length(&LENGTHS_V6);
            net_v6(noise.address_v6(), length)
        })?;
        let ([address_v4, in_v4], [address_v6, in_v6]) = (v4.pick(), v6.pick());
        Ok(Self {
            nets: v4.nets.into_iter().chain(v6.nets).collect(),
            addresses: [address_v4, address_v6],
            in_prefixes: [in_v4, in_v6],
        })
    }

    /// Whether they hold nothing.
    pub fn is_empty(&self) -> bool {
        self.nets.is_empty()
    }

    /// An address that is listed itself.
    ///
    /// # Errors
    /// There is none.
    pub fn address(&self, family: Family) -> Result<IpAddr> {
        self.addresses[family as usize].context("the lists hold no address")
    }

    /// An address of which only a prefix is listed.
    ///
    /// # Errors
    /// There is none.
    pub fn in_prefix(&self, family: Family) -> Result<IpAddr> {
        self.in_prefixes[family as usize].context("the lists hold no prefix")
    }

    /// Writes them to a file as they are published, addresses without a length.
    pub fn write(&self, path: &Path) -> Result<()> {
        let file =
            File::create(path).with_context(|| format!("cannot write {}", path.display()))?;
        let mut file = BufWriter::new(file);
        for net in &self.nets {
            if net.prefix_len() == net.max_prefix_len() {
                writeln!(file, "{}", net.addr())?;
            } else {
                writeln!(file, "{net}")?;
            }
        }
        file.flush()?;
        Ok(())
    }

    /// Adds them to what `config` denies. As a text they would be longer than a file may be.
    pub(super) fn deny(&self, config: &mut Config) -> Result<()> {
        let text = "[[deny]]\ncidr = \"192.0.2.0/32\"";
        let one = Config::parse("entry.toml", text).ok();
        let one = one.and_then(|mut config| config.deny.pop());
        let one = one.context("cannot make an entry")?;
        let entries = self.nets.iter().map(|cidr| Entry {
            cidr: *cidr,
            ..one.clone()
        });
        config.deny.extend(entries);
        Ok(())
    }
}

/// So many networks of this length that look like listed ones.
pub(super) fn alike(family: Family, length: u8, count: usize) -> Result<Vec<IpNet>> {
    // Far behind what the lists are made of.
    let mut noise = Noise(1 << 40);
    let nets = (0..count).map(|_| match family {
        Family::V4 => net_v4(noise.address_v4(), length),
        Family::V6 => net_v6(noise.address_v6(), length),
    });
    nets.collect()
}

/// Networks of one family, each once.
struct Listed {
    spared: IpAddr,
    nets: Vec<IpNet>,
    known: HashSet<IpNet>,
}

impl Listed {
    fn new(spared: IpAddr) -> Self {
        Self {
            spared,
            nets: Vec::new(),
            known: HashSet::new(),
        }
    }

    fn add(&mut self, count: usize, mut make: impl FnMut() -> Result<IpNet>) -> Result<()> {
        let full = self.nets.len() + count;
        while self.nets.len() < full {
            let net = make()?;
            if !net.contains(&self.spared) && self.known.insert(net) {
                self.nets.push(net);
            }
        }
        Ok(())
    }

    /// A listed address, and one of which only a prefix is, of the usual length if there is one.
    fn pick(&self) -> [Option<IpAddr>; 2] {
        let usual = match self.spared {
            IpAddr::V4(_) => 24,
            IpAddr::V6(_) => 48,
        };
        let is_single = |net: &&IpNet| net.prefix_len() == net.max_prefix_len();
        let single = self.nets.iter().find(is_single).map(IpNet::addr);
        let prefixes = || self.nets.iter().filter(|net| !is_single(net));
        let in_prefix = prefixes()
            .filter(|net| net.prefix_len() == usual)
            .chain(prefixes())
            .map(IpNet::network)
            .find(|address| !self.known.contains(&IpNet::from(*address)));
        [single, in_prefix]
    }
}

fn net_v4(bits: u32, length: u8) -> Result<IpNet> {
    let net = Ipv4Net::new(Ipv4Addr::from_bits(bits), length)?;
    Ok(IpNet::V4(net.trunc()))
}

fn net_v6(bits: u128, length: u8) -> Result<IpNet> {
    let net = Ipv6Net::new(Ipv6Addr::from_bits(bits), length)?;
    Ok(IpNet::V6(net.trunc()))
}

/// Numbers that look random and are the same in every run.
struct Noise(u64);

impl Noise {
    fn word(&mut self) -> u64 {
        self.0 += 1;
        mix(self.0)
    }

    /// Anywhere from 1.0.0.0 to 223.255.255.255.
    fn address_v4(&mut self) -> u32 {
        let first = 1 + self.word() % 223;
        (first as u32) << 24 | (self.word() as u32) >> 8
    }

    fn address_v6(&mut self) -> u128 {
        let region = REGIONS[(self.word() % REGIONS.len() as u64) as usize];
        let rest = u128::from(self.word()) << 64 | u128::from(self.word());
        u128::from(region) << 112 | rest >> 16
    }

    fn length(&mut self, lengths: &[(u8, u32)]) -> u8 {
        let all: u32 = lengths.iter().map(|(_, share)| share).sum();
        let mut left = (self.word() % u64::from(all)) as u32;
        for (length, share) in lengths {
            if left < *share {
                return *length;
            }
            left -= share;
        }
        lengths[0].0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists_are_as_long_as_asked_for_and_the_same_each_time() -> Result<()> {
        let (lists, again) = (Lists::new(500, 300)?, Lists::new(500, 300)?);
        assert_eq!(lists.nets, again.nets);
        let single = |net: &&IpNet| net.prefix_len() == net.max_prefix_len();
        assert_eq!(
            (lists.nets.len(), lists.nets.iter().filter(single).count()),
            (1_600, 1_000)
        );
        for family in [Family::V4, Family::V6] {
            let (address, inside) = (lists.address(family)?, lists.in_prefix(family)?);
            assert!(lists.nets.contains(&IpNet::from(address)));
            assert!(!lists.nets.contains(&IpNet::from(inside)));
            assert!(lists.nets.iter().any(|net| net.contains(&inside)));
        }
        Ok(())
    }

    #[test]
    fn shares_of_lengths_are_of_a_hundred_thousand() {
        for lengths in [&LENGTHS_V4[..], &LENGTHS_V6] {
            assert_eq!(lengths.iter().map(|(_, share)| share).sum::<u32>(), 100_000);
        }
    }
}
