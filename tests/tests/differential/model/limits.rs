//! Every limit, in the order in which they are asked.

use std::{collections::HashMap, net::IpAddr};

use guard_common::{packet::Kind, reason::Reason};
use ipnet::IpNet;

use super::{
    debt::{Law, SECOND_TICKS, TICK_NS},
    seen::Packet,
    table::{Debtor, Laws, Table, elapsed},
};
use crate::setup::{Rate, Rates, Setup};

/// A source is known for a day after the host last sent it something, and that is noted anew only
/// when the last note is a second old.
const DAY_TICKS: u64 = 24 * 3_600 * 1_000_000_000 / TICK_NS;

/// Debts to one kind of limits.
struct Ledger {
    table: Table,
    reasons: [Reason; 2],
    /// The limits, by service where each has its own.
    laws: Vec<Laws>,
    /// Debtors of different services share a table: who owes least is told as if all debts leaked
    /// as slowly as those of the slowest.
    slowest: Laws,
}

/// Which of the ledgers, in the order in which they are asked.
#[derive(Clone, Copy, Debug)]
enum Of {
    Icmp,
    Fragments,
    Udp,
    Stray,
    NewSources,
    Source,
    SourceBytes,
    Service,
    ServiceBytes,
    Network,
}

/// What a packet costs somebody: so many units under each limit of a ledger.
type Charge = (Of, Debtor, [u64; 2]);

/// All limits, and who owes them what.
pub(super) struct Limits {
    /// By [`Of`].
    ledgers: Vec<Ledger>,
    ipv6_prefix: u8,
    /// When each source was last noted.
    known: HashMap<IpAddr, u64>,
    knows: bool,
    /// Packets that were refused since debts are rounded.
    pub(super) by_rounding: u64,
}

impl Limits {
    pub(super) fn new(setup: &Setup) -> Self {
        let burst_ms = setup.burst_ms;
        let packets = |rate: Option<Rate>| rate.map(|rate| Law::of_packets(rate, burst_ms));
        let bytes = |rate: Option<Rate>| rate.map(|rate| Law::of_bytes(rate, burst_ms));
        let both = |rates: &Rates| [packets(rates.packets), packets(rates.connections)];
        let host = |rate| {
            Ledger::new(
                false,
                [Reason::LimitProtocol; 2],
                vec![[packets(rate), None]],
            )
        };
        let many = |reasons, laws| Ledger::new(setup.cramped, reasons, laws);
        let services = |laws: &dyn Fn(&Rates) -> Laws| {
            let services = setup.services.iter();
            services.map(|service| laws(&service.rates)).collect()
        };
        let ledgers = vec![
            host(setup.icmp),
            host(setup.fragments),
            host(setup.udp),
            host(setup.stray),
            Ledger::new(
                false,
                [Reason::NewSources; 2],
                vec![[packets(setup.new_sources), None]],
            ),
            many(
                [Reason::LimitPackets, Reason::LimitConnections],
                vec![both(&setup.source)],
            ),
            many(
                [Reason::LimitBytes; 2],
                vec![[bytes(setup.source.bytes), None]],
            ),
            many([Reason::LimitService; 2], services(&both)),
            many(
                [Reason::LimitService; 2],
                services(&|rates| [bytes(rates.bytes), None]),
            ),
            many([Reason::LimitAggregate; 2], vec![both(&setup.network)]),
        ];
        Self {
            ledgers,
            ipv6_prefix: setup.ipv6_prefix,
            known: HashMap::new(),
            knows: setup.new_sources.is_some() || setup.stray.is_some(),
            by_rounding: 0,
        }
    }

    /// Charges a packet to everything that limits it: all are asked before any is charged.
    pub(super) fn charge(
        &mut self,
        packet: &Packet,
        service: Option<usize>,
        now: u64,
    ) -> Result<(), Reason> {
        let charges = self.charges(packet, service, now);
        for charge in &charges {
            self.ask(charge, now)?;
        }
        for charge in charges {
            self.pay(charge, now);
        }
        Ok(())
    }

    /// Notes that the host talks with somebody.
    pub(super) fn note(&mut self, peer: IpAddr, now: u64) {
        let source = self.source(peer);
        let noted = self.known.get(&source);
        if self.knows && noted.is_none_or(|noted| elapsed(*noted, now) >= SECOND_TICKS) {
            self.known.insert(source, now);
        }
    }

    fn is_known(&self, source: IpAddr, now: u64) -> bool {
        let noted = self.known.get(&source);
        noted.is_some_and(|noted| elapsed(*noted, now) <= DAY_TICKS)
    }

    /// Whom a packet is charged to.
    fn charges(&self, packet: &Packet, service: Option<usize>, now: u64) -> Vec<Charge> {
        let mut charges = Vec::with_capacity(8);
        let source = self.source(packet.source);
        let at = |address, service| Debtor { address, service };
        let packets = [1, u64::from(packet.opens())];
        let bytes = [packet.bytes, 0];
        let host = at(IpAddr::from([0; 4]), 0);
        let is_new = !self.is_known(source, now);
        if packet.fragment {
            charges.push((Of::Fragments, host, [1, 0]));
        } else if packet.kind == Kind::Icmp {
            charges.push((Of::Icmp, host, [1, 0]));
        } else if packet.kind == Kind::Udp {
            charges.push((Of::Udp, host, [1, 0]));
        } else if is_new && packet.segment.is_some() && !packet.opens() {
            charges.push((Of::Stray, host, [1, 0]));
        }
        if is_new {
            charges.push((Of::NewSources, host, [1, 0]));
        }
        charges.push((Of::Source, at(source, 0), packets));
        charges.push((Of::SourceBytes, at(source, 0), bytes));
        if let Some(service) = service {
            charges.push((Of::Service, at(source, service), packets));
            charges.push((Of::ServiceBytes, at(source, service), bytes));
        }
        charges.push((Of::Network, at(network(packet.source), 0), packets));
        charges.retain(|(of, debtor, _)| {
            let [first, second] = &self.ledgers[*of as usize].laws[debtor.service];
            first.is_some() || second.is_some()
        });
        charges
    }

    fn ask(&mut self, charge: &Charge, now: u64) -> Result<(), Reason> {
        let (of, debtor, units) = charge;
        let ledger = &self.ledgers[*of as usize];
        let laws = &ledger.laws[debtor.service];
        let account = ledger.table.account(debtor, now, laws);
        for at in 0..2 {
            if let Some(law) = &laws[at]
                && units[at] != 0
                && let Err(over) = account.debts[at].with(units[at], law)
            {
                self.by_rounding += u64::from(over.by_rounding);
                return Err(ledger.reasons[at]);
            }
        }
        Ok(())
    }

    fn pay(&mut self, charge: Charge, now: u64) {
        let (of, debtor, units) = charge;
        let ledger = &mut self.ledgers[of as usize];
        let laws = &ledger.laws[debtor.service];
        let mut account = ledger.table.account(&debtor, now, laws);
        for at in 0..2 {
            if let Some(law) = &laws[at]
                && units[at] != 0
            {
                let debt = account.debts[at].with(units[at], law);
                account.debts[at] = debt.expect("all were asked");
                account.debts[at].assert_close(law);
            }
        }
        ledger.table.write(debtor, account, now, &ledger.slowest);
    }

    /// The source that an address belongs to.
    fn source(&self, address: IpAddr) -> IpAddr {
        around(address, 32, self.ipv6_prefix)
    }
}

impl Ledger {
    fn new(cramped: bool, reasons: [Reason; 2], laws: Vec<Laws>) -> Self {
        let slowest = [0, 1].map(|at| {
            let limits = laws.iter().filter_map(|laws| laws[at]);
            limits.reduce(Law::slower)
        });
        Self {
            table: Table::new(cramped),
            reasons,
            laws,
            slowest,
        }
    }
}

/// The network around an address that has a limit of its own.
fn network(address: IpAddr) -> IpAddr {
    around(address, 24, 48)
}

/// The first address of the network around one.
fn around(address: IpAddr, ipv4_prefix: u8, ipv6_prefix: u8) -> IpAddr {
    let prefix = if address.is_ipv4() {
        ipv4_prefix
    } else {
        ipv6_prefix
    };
    let net = IpNet::new(address, prefix).expect("a length of the family");
    net.network()
}
