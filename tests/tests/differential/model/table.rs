//! Who owes what.

use std::{collections::HashMap, net::IpAddr};

use super::debt::{Debt, Law};

/// The kernel side counts ticks with 32 bits.
pub(super) const TURN: u64 = 1 << 32;
/// So many ticks before a full turn are taken for a clock that lags.
const LAG: u64 = 1 << 16;

/// Ticks that have gone by between two, as far as the kernel side can tell.
pub(super) fn elapsed(since: u64, now: u64) -> u64 {
    if now < since {
        return 0;
    }
    let ticks = (now - since) % TURN;
    if ticks >= TURN - LAG { 0 } else { ticks }
}

/// A limit of packets or of bytes, and one of SYNs, if there are any.
pub(super) type Laws = [Option<Law>; 2];

/// Whose debt it is: an address or the first of a network, and the service it is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct Debtor {
    pub(super) address: IpAddr,
    pub(super) service: usize,
}

/// What one debtor owes to both limits.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Account {
    /// When it was brought up to date.
    tick: u64,
    pub(super) debts: [Debt; 2],
}

impl Account {
    /// It at a tick: both debts are brought up to date together.
    pub(super) fn at(self, now: u64, laws: &Laws) -> Self {
        let ticks = elapsed(self.tick, now);
        let debts = [0, 1].map(|at| match &laws[at] {
            Some(law) => self.debts[at].after(ticks, law),
            None => Debt::default(),
        });
        Self {
            // A clock that lags does not set it back.
            tick: if ticks == 0 { self.tick } else { now },
            debts,
        }
    }

    /// The larger of both debts.
    fn most_owed(self, now: u64, laws: &Laws) -> u128 {
        let [first, second] = self.at(now, laws).debts;
        first.grains.max(second.grains)
    }
}

/// Accounts by debtor.
pub(super) enum Table {
    /// There is room for everybody.
    Roomy(HashMap<Debtor, Account>),
    /// There is room for four: a new one takes the place of who owes least, the first such.
    Cramped(Box<[Option<(Debtor, Account)>; 4]>),
}

impl Table {
    pub(super) fn new(cramped: bool) -> Self {
        if cramped {
            Self::Cramped(Box::new([None; 4]))
        } else {
            Self::Roomy(HashMap::new())
        }
    }

    /// The account of a debtor at a tick. Who is not known owes nothing.
    pub(super) fn account(&self, debtor: &Debtor, now: u64, laws: &Laws) -> Account {
        let known = match self {
            Self::Roomy(accounts) => accounts.get(debtor),
            Self::Cramped(places) => {
                let mut known = places.iter().flatten();
                known
                    .find(|(known, _)| known == debtor)
                    .map(|(_, account)| account)
            }
        };
        let fresh = Account {
            tick: now,
            ..Account::default()
        };
        known.map_or(fresh, |account| account.at(now, laws))
    }

    /// Writes an account down. Who owes least is told by `slowest`.
    pub(super) fn write(&mut self, debtor: Debtor, account: Account, now: u64, slowest: &Laws) {
        let places = match self {
            Self::Roomy(accounts) => {
                accounts.insert(debtor, account);
                return;
            }
            Self::Cramped(places) => places,
        };
        let known = places.iter().position(|place| {
            let place = place.as_ref();
            place.is_some_and(|(known, _)| *known == debtor)
        });
        let owed = |place: &Option<(Debtor, Account)>| {
            place.map_or(0, |(_, account)| account.most_owed(now, slowest))
        };
        let least = (0..places.len()).min_by_key(|at| owed(&places[*at]));
        if let Some(at) = known.or(least) {
            places[at] = Some((debtor, account));
        }
    }
}
