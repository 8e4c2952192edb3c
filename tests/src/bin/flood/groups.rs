//! What the kernel's functions are there for, as far as those are concerned that receive packets.

use anyhow::{Result, ensure};

/// Functions with one purpose.
struct Group {
    name: &'static str,
    /// How their names begin.
    begins: &'static [&'static str],
}

/// A function is of the first that knows it.
const GROUPS: &[Group] = &[
    Group {
        name: "the program itself",
        begins: &["bpf_prog_"],
    },
    Group {
        name: "helpers and maps that it calls",
        begins: &[
            "bpf_",
            "__bpf_",
            "htab_",
            "__htab_",
            "array_map_",
            "lookup_",
        ],
    },
    Group {
        name: "waking, polling and scheduling",
        begins: &[
            // Interrupts, and so the clock that samples, are off until here.
            "_raw_spin_unlock_irq",
            "_raw_spin_lock_irq",
            "finish_task_switch",
            "schedule",
            "__schedule",
            "sched_",
            "try_to_wake_up",
            "pick_next_task",
            "__pick_next_task",
            "napi_threaded_poll",
            "napi_schedule",
            "__napi_schedule",
            "__napi_poll",
            "napi_complete",
            "handle_softirqs",
            "__do_softirq",
        ],
    },
    Group {
        name: "giving frames back: the page pool and its lock",
        begins: &[
            "native_queued_spin_",
            "__pv_queued_spin_",
            "__raw_callee_save___pv_queued_spin_",
            "queued_spin_",
            "_raw_spin_lock",
            "_raw_spin_unlock",
            "page_pool_",
            "__page_pool_",
            "xdp_return_",
            "__xdp_return",
            "free_frozen_page",
            "__free_frozen_page",
        ],
    },
    Group {
        name: "the driver (veth)",
        begins: &["veth_"],
    },
];

/// Whatever no group knows.
const REST: &str = "the rest, such as the stack";

/// How many percent of the functions met are of each group, in order.
///
/// # Errors
/// There are none.
#[expect(clippy::cast_precision_loss, reason = "samples of a second")]
pub(crate) fn shares(functions: &[String]) -> Result<Vec<(&'static str, f64)>> {
    ensure!(!functions.is_empty(), "no sample");
    let names = GROUPS.iter().map(|group| group.name).chain([REST]);
    let shares = names.map(|name| {
        let of_group = functions.iter().filter(|function| group(function) == name);
        let share = of_group.count() as f64 / functions.len() as f64;
        (name, share * 100.0)
    });
    Ok(shares.collect())
}

fn group(function: &str) -> &'static str {
    let mut groups = GROUPS.iter();
    let found = groups.find(|group| {
        let mut begins = group.begins.iter();
        begins.any(|begin| function.starts_with(begin))
    });
    found.map_or(REST, |group| group.name)
}
