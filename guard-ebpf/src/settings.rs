//! What the agent told the program at load time. The verifier sees constants, and deletes the
//! code of whatever is off.

use core::ptr::{addr_of, read_volatile};

use guard_common::{
    limit::{DEBTS, Limit, Tariff},
    offence::Patience,
    wire::{Budget, Settings},
};

#[unsafe(no_mangle)]
static SETTINGS: Settings = Settings::OFF;

/// A setting, read so that the compiler does not take its initial value for the last word.
macro_rules! setting {
    ($($field:tt)+) => {
        // SAFETY: the static is valid, initialised and never written while the program exists.
        unsafe { read_volatile(addr_of!(SETTINGS.$($field)+)) }
    };
}

/// What a packet and a SYN cost, and how much may be owed for each; what is not limited costs
/// nothing.
#[inline(always)]
pub(crate) fn tariff() -> Tariff {
    Tariff {
        costs: [setting!(limits[0].cost), setting!(limits[1].cost)],
        full: [setting!(limits[0].full), setting!(limits[1].full)],
    }
}

#[inline(always)]
pub(crate) fn limits() -> [Limit; DEBTS] {
    [
        Limit {
            cost: setting!(limits[0].cost),
            leak: setting!(limits[0].leak),
            full: setting!(limits[0].full),
            idle: setting!(limits[0].idle),
        },
        Limit {
            cost: setting!(limits[1].cost),
            leak: setting!(limits[1].leak),
            full: setting!(limits[1].full),
            idle: setting!(limits[1].idle),
        },
    ]
}

/// Whether packets or SYNs of a source have a limit.
#[inline(always)]
pub(crate) fn limits_sources() -> bool {
    setting!(limits[0].cost) != 0 || setting!(limits[1].cost) != 0
}

/// Whether its bytes have one.
#[inline(always)]
pub(crate) fn limits_bytes() -> bool {
    setting!(limit_bytes.cost) != 0
}

#[inline(always)]
pub(crate) fn limit_bytes() -> Limit {
    Limit {
        cost: setting!(limit_bytes.cost),
        leak: setting!(limit_bytes.leak),
        full: setting!(limit_bytes.full),
        idle: setting!(limit_bytes.idle),
    }
}

/// A budget of the whole host.
#[inline(always)]
pub(crate) fn budget(budget: Budget) -> Limit {
    macro_rules! limit {
        ($at:literal) => {
            Limit {
                cost: setting!(budgets[$at].cost),
                leak: setting!(budgets[$at].leak),
                full: setting!(budgets[$at].full),
                idle: setting!(budgets[$at].idle),
            }
        };
    }
    match budget {
        Budget::Icmp => limit!(0),
        Budget::Fragments => limit!(1),
        Budget::Udp => limit!(2),
        Budget::Stray => limit!(3),
        Budget::NewSources => limit!(4),
        Budget::Answers => limit!(5),
        Budget::Administrators => limit!(6),
    }
}

/// Whether the whole host has a budget of this kind.
#[inline(always)]
pub(crate) fn has_budget(budget: Budget) -> bool {
    let cost = match budget {
        Budget::Icmp => setting!(budgets[0].cost),
        Budget::Fragments => setting!(budgets[1].cost),
        Budget::Udp => setting!(budgets[2].cost),
        Budget::Stray => setting!(budgets[3].cost),
        Budget::NewSources => setting!(budgets[4].cost),
        Budget::Answers => setting!(budgets[5].cost),
        Budget::Administrators => setting!(budgets[6].cost),
    };
    cost != 0
}

/// Which kinds of packets have a budget whoever sends them, by the flags of a shape.
#[inline(always)]
pub(crate) fn budgeted() -> u32 {
    setting!(budgeted) as u32
}

/// Whether a limit depends on whom the host talks with.
#[inline(always)]
pub(crate) fn asks_who_is_known() -> bool {
    has_budget(Budget::NewSources) || has_budget(Budget::Stray)
}

#[inline(always)]
pub(crate) fn aggregates() -> [Limit; DEBTS] {
    [
        Limit {
            cost: setting!(aggregates[0].cost),
            leak: setting!(aggregates[0].leak),
            full: setting!(aggregates[0].full),
            idle: setting!(aggregates[0].idle),
        },
        Limit {
            cost: setting!(aggregates[1].cost),
            leak: setting!(aggregates[1].leak),
            full: setting!(aggregates[1].full),
            idle: setting!(aggregates[1].idle),
        },
    ]
}

/// Whether networks have a limit.
#[inline(always)]
pub(crate) fn limits_networks() -> bool {
    setting!(aggregates[0].cost) != 0 || setting!(aggregates[1].cost) != 0
}

#[inline(always)]
pub(crate) fn service_limits() -> bool {
    setting!(service_limits) != 0
}

#[inline(always)]
pub(crate) fn network_mask() -> u32 {
    setting!(network_mask)
}

#[inline(always)]
pub(crate) fn known_mask() -> u32 {
    setting!(known_mask)
}

#[inline(always)]
pub(crate) fn known_ticks() -> u32 {
    setting!(known_ticks)
}

#[inline(always)]
pub(crate) fn hash_seed() -> [u64; 2] {
    [setting!(hash_seed[0]), setting!(hash_seed[1])]
}

#[inline(always)]
pub(crate) fn ipv6_mask() -> [u64; 2] {
    [setting!(ipv6_mask[0]), setting!(ipv6_mask[1])]
}

#[inline(always)]
pub(crate) fn abi_version() -> u32 {
    setting!(abi_version)
}

#[inline(always)]
pub(crate) fn clock() -> u32 {
    setting!(clock)
}

#[inline(always)]
pub(crate) fn set_mask() -> u32 {
    setting!(set_mask)
}

#[inline(always)]
pub(crate) fn dry_run() -> bool {
    setting!(dry_run) != 0
}

#[inline(always)]
pub(crate) fn interfaces() -> u32 {
    setting!(interfaces)
}

#[inline(always)]
pub(crate) fn has_services() -> bool {
    setting!(services) != 0
}

#[inline(always)]
pub(crate) fn address_mask_v4() -> u32 {
    setting!(address_mask_v4)
}

#[inline(always)]
pub(crate) fn address_mask_v6() -> u32 {
    setting!(address_mask_v6)
}

#[inline(always)]
pub(crate) fn filter_mask_v4() -> u32 {
    setting!(filter_mask_v4)
}

#[inline(always)]
pub(crate) fn filter_mask_v6() -> u32 {
    setting!(filter_mask_v6)
}

#[inline(always)]
pub(crate) fn ticks_per_second() -> u32 {
    setting!(ticks_per_second)
}

#[inline(always)]
pub(crate) fn tells() -> bool {
    setting!(tells) != 0
}

#[inline(always)]
pub(crate) fn refuses_land() -> bool {
    setting!(refuses_land) != 0
}

#[inline(always)]
pub(crate) fn asks_sockets() -> bool {
    setting!(asks_sockets) != 0
}

#[inline(always)]
pub(crate) fn connection_mask() -> u32 {
    setting!(connection_mask)
}

#[inline(always)]
pub(crate) fn conduct_mask() -> u32 {
    setting!(conduct_mask)
}

#[inline(always)]
pub(crate) fn offender_mask() -> u32 {
    setting!(offender_mask)
}

/// Whether sources are banned that stay over their limit.
#[inline(always)]
pub(crate) fn bans() -> bool {
    setting!(ban_after) != 0
}

#[inline(always)]
pub(crate) fn patience() -> Patience {
    Patience {
        after: setting!(ban_after),
        gap: ticks_per_second(),
    }
}

#[inline(always)]
pub(crate) fn event_budget() -> u32 {
    setting!(event_budget)
}

/// First and last of the host's ephemeral ports.
#[inline(always)]
pub(crate) fn ephemeral_ports() -> [u16; 2] {
    let ports = setting!(ephemeral_ports);
    [ports as u16, (ports >> 16) as u16]
}

/// Whether it is found out of some connections whether they are encrypted.
#[inline(always)]
pub(crate) fn checks() -> bool {
    setting!(checks) != 0
}

/// The same, of some that the host opens.
#[inline(always)]
pub(crate) fn checks_calls() -> bool {
    setting!(checks_calls) != 0
}

/// Whether it matters whom the host talks with.
#[inline(always)]
pub(crate) fn notes_known() -> bool {
    setting!(notes_known) != 0
}

/// Whether lifelines pass where they would be refused.
#[inline(always)]
pub(crate) fn protects_self() -> bool {
    setting!(protects_self) != 0
}

#[inline(always)]
pub(crate) fn question_ticks() -> u32 {
    setting!(question_ticks)
}

/// Whether connections are broken off.
#[inline(always)]
pub(crate) fn resets() -> bool {
    setting!(resets) != 0
}

#[inline(always)]
pub(crate) fn opening_mask() -> u32 {
    setting!(opening_mask)
}

#[inline(always)]
pub(crate) fn talk_mask() -> u32 {
    setting!(talk_mask)
}

#[inline(always)]
pub(crate) fn settled_mask() -> u32 {
    setting!(settled_mask)
}

#[inline(always)]
pub(crate) fn sample_budget() -> u32 {
    setting!(sample_budget)
}

/// Whether user space is told who sends most.
#[inline(always)]
pub(crate) fn tells_talkers() -> bool {
    talker_budget() != 0
}

#[inline(always)]
pub(crate) fn talker_budget() -> u32 {
    setting!(talker_budget)
}

#[inline(always)]
pub(crate) fn talker_ticks() -> u32 {
    setting!(talker_ticks)
}
