//! The loaded program and the model, side by side.

use guard_common::{
    reason::{Reason, Verdict},
    wire::{Rule as Said, RuleWord},
};
use ipnet::IpNet;

use crate::{
    model::{Model, Rule, TICK_NS},
    rig::{MANUAL, Rig},
    setup::Setup,
    traffic::{Does, Step, Traffic},
};

/// What becomes of a packet, and why.
pub(crate) type Judged = (Verdict, Reason);

/// The program and the model, side by side.
pub(crate) struct Pair<'a> {
    rig: Rig,
    pub(crate) model: Model,
    setup: &'a Setup,
    traffic: &'a Traffic,
    /// Where the clock stands.
    tick: Option<u64>,
}

/// The first packet they do not agree on.
pub(crate) struct Difference {
    /// Of its step.
    pub(crate) position: usize,
    pub(crate) kernel: Judged,
    pub(crate) model: Judged,
}

impl<'a> Pair<'a> {
    pub(crate) fn load(setup: &'a Setup, traffic: &'a Traffic) -> Self {
        let rig = Rig::load_changed(&setup.text(), MANUAL, |plan| {
            plan.settings.tells = 1;
            plan.lay_over(|rules| {
                let own = setup.own.iter().copied().map(IpNet::from);
                rules.retain(|(net, _)| own.clone().all(|own| own != *net));
                rules.extend(own.map(|own| (own, RuleWord::new(Said::Own, 0))));
                rules.extend(beneath(setup));
            });
            if setup.cramped {
                plan.source_sets = 1;
                plan.settings.set_mask = 0;
                plan.settings.network_mask = 0;
            }
        });
        Self {
            rig,
            model: Model::new(setup),
            setup,
            traffic,
            tick: None,
        }
    }

    /// Takes the steps in turn, up to the first difference. How many packets arrived in them.
    pub(crate) fn run(&mut self, steps: &[Step]) -> Result<u64, Difference> {
        let mut packets = 0;
        for (position, step) in steps.iter().enumerate() {
            let now = step.at_ns / TICK_NS;
            if self.tick.replace(now) != Some(now) {
                let set = self.rig.kernel.set_manual_clock(step.at_ns);
                set.expect("setting the clock");
            }
            match step.does {
                Does::Arrives(at) => {
                    packets += 1;
                    let arriving = &self.traffic.arriving[at];
                    let kernel = self.rig.kernel.judge(&arriving.bytes);
                    let kernel = kernel.expect("a test-run that tells");
                    let model = self.model.judge(&arriving.seen, now);
                    if kernel != model {
                        return Err(Difference {
                            position,
                            kernel,
                            model,
                        });
                    }
                }
                Does::Leaves(at) => {
                    let leaving = &self.traffic.leaving[at];
                    self.rig.sends(&leaving.bytes);
                    if let Some(peer) = leaving.talks_with {
                        self.model.talks_with(peer, now);
                    }
                }
                Does::Changes(at) => self.change(at),
            }
        }
        Ok(packets)
    }

    fn change(&mut self, at: usize) {
        let (net, rule) = self.traffic.changes[at];
        // Behind those of the configuration.
        let number = self.setup.entries() + at;
        let word = rule.map(|rule| {
            let said = match rule {
                Rule::Allow => Said::Allow,
                Rule::Deny => Said::Deny,
                Rule::Own => Said::Own,
                Rule::Feed => Said::Feed,
                Rule::Ban => Said::Ban,
            };
            RuleWord::new(said, number as u32)
        });
        let changed = self.rig.kernel.change_rules(&[(net, word)]);
        changed.expect("there is room for one more");
        self.model.change_rule(net, rule.map(|rule| (rule, number)));
    }

    /// After all steps: every count is the same too.
    pub(crate) fn assert_same_counts(&self) {
        let (mut kernel, model) = (self.rig.counts(), self.model.tally.counts());
        // Nobody reads the events: some find no room.
        let told = ["events emitted", "events lost"].map(|name| kernel.remove(name));
        kernel.insert("events told".to_owned(), told.iter().flatten().sum());
        kernel.retain(|_, count| *count != 0);
        assert_eq!(kernel, model);
        for (number, packets) in self.model.tally.rules() {
            let hits = self.rig.kernel.counters.rule_hits(number as u32);
            assert_eq!(hits, Some(packets), "rule {number}");
        }
    }
}

/// What the feed and the bans of a configuration say, numbered behind the operator's entries.
fn beneath(setup: &Setup) -> impl Iterator<Item = (IpNet, RuleWord)> {
    let feed = setup.feed.iter().map(|net| (*net, Said::Feed));
    let banned = setup.banned.iter().map(|net| (*net, Said::Ban));
    let first = (setup.allow.len() + setup.deny.len()) as u32;
    let numbered = feed.chain(banned).zip(first..);
    numbered.map(|((net, said), number)| (net, RuleWord::new(said, number)))
}
