//! Whose word goes before whose: the operator's before feeds, feeds before bans, and in each the
//! most specific network's. By a table, and by comparison with a model while rules come and go.

use std::{
    collections::HashMap,
    fs,
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
};

use guard::{
    config::Config,
    kernel::{Kernel, Plan, RuleCounts},
};
use guard_common::{
    reason::{
        Reason::{self, Allow, Ban, Deny, Feed, Pass, Spoofed},
        Verdict,
    },
    source::mix,
    wire::{Layer, Rule, RuleWord},
};
use ipnet::{IpNet, Ipv4Net, Ipv6Net};

use crate::{
    case::{Bytes, Case, case, check, drops, passes, udp},
    rig::MANUAL,
};

/// A feed of both families, and operator's entries in, around and beside its networks.
const OPERATOR: &str = r#"
    allow = [
        { cidr = "10.0.0.0/8" }, { cidr = "198.51.100.9" }, { cidr = "198.51.100.128/25" },
        { cidr = "2001:db8:a::/48" }, { cidr = "2001:db8:b::9" },
    ]
    deny = [
        { cidr = "10.7.0.0/16" }, { cidr = "198.51.100.10" }, { cidr = "203.0.113.0/24" },
        { cidr = "2001:db8:a:7::/64" }, { cidr = "2001:db8:b::10" },
    ]
"#;
const FEED: &str = "\
    10.1.2.3\n10.1.4.0/24\n10.7.1.0/24\n198.51.100.0/24\n198.51.100.10\n203.0.113.7\n192.0.2.7\n\
    2001:db8:a::1\n2001:db8:a:7::1\n2001:db8:a:8::/64\n2001:db8:b::/48\n2001:db8:c::1\n";

fn check_with_feed(operator: &str, cases: impl IntoIterator<Item = Case>) {
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("list");
    fs::write(&file, FEED).expect("a list");
    let feed = format!("[[feed]]\nname = \"a\"\nfile = \"{}\"\n", file.display());
    check(&format!("{operator}\n{feed}"), cases);
}

#[test]
fn a_feed_decides_where_the_operator_says_nothing() {
    let allowed = |name, source| case(name, [passes(udp(source), Allow)]);
    let denied = |name, source| case(name, [drops(udp(source), Deny)]);
    let listed = |name, source| case(name, [drops(udp(source), Feed)]);
    check_with_feed(
        OPERATOR,
        [
            listed("an address", "192.0.2.7"),
            listed("in a network", "198.51.100.7"),
            listed("an address, IPv6", "2001:db8:c::1"),
            listed("in a network, IPv6", "2001:db8:b:1::1"),
            allowed("an address in an allowed network", "10.1.2.3"),
            allowed("a network in an allowed network", "10.1.4.1"),
            denied("a network in a denied one in that", "10.7.1.1"),
            allowed("an allowed address in its network", "198.51.100.9"),
            allowed("an allowed network in its network", "198.51.100.200"),
            denied("an address that is denied too", "198.51.100.10"),
            denied("an address in a denied network", "203.0.113.7"),
            allowed("an address in an allowed network, IPv6", "2001:db8:a::1"),
            allowed("a network in an allowed network, IPv6", "2001:db8:a:8::1"),
            denied("an address in a denied network, IPv6", "2001:db8:a:7::1"),
            allowed("an allowed address in its network, IPv6", "2001:db8:b::9"),
            denied("a denied address in its network, IPv6", "2001:db8:b::10"),
            case("nobody's", [passes(udp("192.0.2.8"), Pass)]),
        ],
    );
}

#[test]
fn a_feed_decides_without_any_entry_of_the_operator() {
    let listed = [
        "10.1.2.3",
        "10.1.4.255",
        "203.0.113.7",
        "2001:db8:a::1",
        "2001:db8:b:2::",
    ];
    let others = ["10.1.2.4", "10.1.5.0", "2001:db8:a::2", "2001:db8:d::"];
    let listed = listed.map(|source| case(source, [drops(udp(source), Feed)]));
    let others = others.map(|source| case(source, [passes(udp(source), Pass)]));
    check_with_feed("", listed.into_iter().chain(others));
}

/// Numbers that look random and are the same in every run.
struct Noise(u64);

impl Noise {
    fn below(&mut self, bound: u64) -> u64 {
        self.0 += 1;
        mix(self.0) % bound
    }

    fn one_of<const N: usize>(&mut self, these: [u8; N]) -> u8 {
        these[self.below(N as u64) as usize]
    }

    /// Of so few that networks lie in each other, and that some single addresses find no room.
    fn address(&mut self) -> IpAddr {
        if self.below(2) == 0 {
            let (high, low) = (self.one_of([10, 11, 12]), self.below(40) as u8);
            return Ipv4Addr::new(high, self.one_of([0, 1, 255]), self.one_of([0, 128]), low)
                .into();
        }
        let high = [0x2001_0db8, 0x2001_0fff, 0x1000_0000, 0x3000_0000][self.below(4) as usize];
        Ipv6Addr::from_bits(
            high << 96 | u128::from(self.below(3)) << 64 | u128::from(self.below(400)),
        )
        .into()
    }

    fn net(&mut self) -> IpNet {
        let address = self.address();
        let v4 = [32, 32, 32, 31, 30, 30, 28, 26, 25, 24, 17, 16, 15, 8];
        let v6 = [128, 128, 128, 128, 127, 126, 124, 120, 64, 63, 32, 20, 19];
        match address {
            IpAddr::V4(address) => {
                let net = Ipv4Net::new(address, self.one_of(v4)).expect("a network");
                IpNet::V4(net.trunc())
            }
            IpAddr::V6(address) => {
                let net = Ipv6Net::new(address, self.one_of(v6)).expect("a network");
                IpNet::V6(net.trunc())
            }
        }
    }

    fn rule(&mut self) -> RuleWord {
        let rule = match self.below(10) {
            0 => Rule::Allow,
            1 => Rule::Deny,
            2..5 => Rule::Feed,
            _ => Rule::Ban,
        };
        RuleWord::new(rule, self.below(4) as u32)
    }
}

/// Rules of whole families, which come and go, so that not everybody has one.
fn everyone(noise: &mut Noise) -> (IpNet, Option<RuleWord>) {
    let nets = ["0.0.0.0/0", "8.0.0.0/6", "::/0", "2000::/4"];
    let net = nets[noise.below(4) as usize];
    let rule = (noise.below(4) == 0).then(|| noise.rule());
    (net.parse().expect("a network"), rule)
}

/// Every network and its rule.
type Model = HashMap<IpNet, RuleWord>;

/// What must become of a packet from here.
fn expected(model: &Model, address: IpAddr) -> Reason {
    let whole = IpNet::from(address);
    let lengths = (0..=whole.max_prefix_len()).rev();
    let nets = lengths.map(|len| IpNet::new(address, len).expect("a network").trunc());
    let around: Vec<RuleWord> = nets.filter_map(|net| model.get(&net).copied()).collect();
    let of = |layer| around.iter().find(|rule| rule.layer() == Some(layer));
    // A ban of the address itself goes before feeds' prefixes.
    let listed = model.get(&whole);
    let decides = of(Layer::Operator)
        .or(listed)
        .or(of(Layer::Feed))
        .or(of(Layer::Ban));
    match decides.and_then(|rule| rule.rule()) {
        None => Pass,
        Some(Rule::Allow) => Allow,
        Some(Rule::Deny) => Deny,
        Some(Rule::Feed) => Feed,
        Some(Rule::Ban) => Ban,
        Some(Rule::Own) => Spoofed,
    }
}

fn load(rules: &Model) -> Kernel {
    let config = "limits = { packets = \"off\", connections = \"off\" }";
    let config = Config::parse("guard.toml", config).expect("a configuration");
    let mut plan = Plan::new(&config, MANUAL, [7, 9]);
    plan.settings.tells = 1;
    plan.lay_over(|all| all.extend(rules.iter().map(|(net, rule)| (*net, *rule))));
    Kernel::load(&plan, None).expect("the kernel takes the kernel side")
}

/// Ranges in use, of both families.
fn ranges(kernel: &Kernel) -> u64 {
    let tables = kernel.tables();
    let ranges = tables
        .iter()
        .filter(|table| table.map.starts_with("ranges"));
    ranges.filter_map(|table| table.entries).sum()
}

/// Changes a few rules at random, in the model and in the kernel.
fn change(noise: &mut Noise, model: &mut Model, kernel: &mut Kernel) {
    let changes: Vec<_> = (0..=noise.below(5))
        .map(|_| {
            let known = model
                .keys()
                .nth(noise.below(1 + model.len() as u64) as usize)
                .copied();
            match known {
                Some(known) if noise.below(2) == 0 => (known, None),
                _ if noise.below(4) == 0 => everyone(noise),
                _ => (noise.net(), Some(noise.rule())),
            }
        })
        .collect();
    for (net, rule) in &changes {
        match rule {
            Some(rule) => model.insert(*net, *rule),
            None => model.remove(net),
        };
    }
    kernel.change_rules(&changes).expect("room for them");
    for (net, _) in &changes {
        assert_eq!(kernel.rule(*net), model.get(net).copied(), "{net}");
    }
}

#[test]
fn rules_that_come_and_go_decide_as_a_model_of_them() {
    const ROUNDS: usize = 600;
    const ASKED: usize = 30;
    let mut noise = Noise(0);
    let mut model: Model = (0..3_000).map(|_| (noise.net(), noise.rule())).collect();
    let mut kernel = load(&model);
    let (mut seen, mut replaced) = (HashMap::<Reason, usize>::new(), 0);
    let mut check = |model: &Model, kernel: &mut Kernel, noise: &mut Noise| {
        for _ in 0..ASKED {
            let address = noise.address();
            let Bytes(frame) = udp(&address.to_string()).into();
            let (verdict, reason) = kernel.judge(&frame).expect("a test-run");
            assert_eq!(reason, expected(model, address), "{address}");
            let passes = matches!(reason, Pass | Allow);
            assert_eq!(verdict == Verdict::Pass, passes, "{address}");
            *seen.entry(reason).or_default() += 1;
        }
    };
    for _ in 0..ROUNDS {
        let before = ranges(&kernel);
        change(&mut noise, &mut model, &mut kernel);
        replaced += usize::from(ranges(&kernel) < before);
        check(&model, &mut kernel, &mut noise);
    }
    // Down to the last one, and up again.
    let all: Vec<_> = model.drain().map(|(net, _)| (net, None)).collect();
    for changes in all.chunks(200) {
        kernel.change_rules(changes).expect("room for them");
    }
    assert_eq!(kernel.rules(), RuleCounts::default());
    check(&model, &mut kernel, &mut noise);
    for _ in 0..20 {
        change(&mut noise, &mut model, &mut kernel);
        check(&model, &mut kernel, &mut noise);
    }
    println!("{seen:?}, replaced {replaced} times");
    assert!(replaced > 1, "the ranges have run full {replaced} times");
    for reason in [Pass, Allow, Deny, Feed, Ban] {
        assert!(seen.get(&reason) > Some(&100), "{reason:?}: {seen:?}");
    }
}
