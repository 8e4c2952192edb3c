//! Connections that have been quiet for too long. No packet tells of them, so the agent has them
//! looked at.

use aya_ebpf::bindings::TC_ACT_OK;

use crate::{clock, hearing, maps};

/// Connections looked at in one run.
const AT_ONCE: u32 = 64;

/// Looks at the next few connections.
#[inline(always)]
pub(crate) fn run() -> i32 {
    let now = clock::now();
    for _ in 0..AT_ONCE {
        hearing::expire(maps::sweep_next(), now);
    }
    TC_ACT_OK
}
