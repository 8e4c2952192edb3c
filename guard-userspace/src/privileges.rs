//! What the agent gives up as soon as it protects: every capability but three, all but a few
//! folders, and most system calls. `docs/THREATS.md` says what is kept, and why.
//!
//! All of it belongs to a thread, and to those that it starts. So the agent restricts itself while it
//! has one thread, and the one that is there before, which writes the log, is started by
//! [`unprivileged`].

mod capabilities;
mod landlock;
mod places;
mod report;
mod seccomp;
mod sys;

use std::{panic::resume_unwind, thread};

use anyhow::{Context as _, Result};
use tracing::{info, warn};

pub(crate) use self::places::{Places, is_out_of_reach};
use crate::status::PrivilegeStatus;

/// Gives up everything that the agent does without from now on, for good. What the kernel lacks for
/// that is in the answer and in the log.
///
/// # Errors
/// The kernel does not let capabilities go, or this user cannot write the state folder without them.
pub(crate) fn give_up(places: &Places) -> Result<PrivilegeStatus> {
    let kept = capabilities::keep_needed().context("giving up capabilities")?;
    places.demand_own_state()?;
    let mut lacks = places.unreadable();
    sys::set_no_new_privs().context("giving up what programs could gain by being executed")?;
    let landlock = match landlock::restrict(places) {
        Ok(Some(level)) => Some(level),
        Ok(None) => {
            lacks.push("this kernel has no landlock: every file of this user is in reach".into());
            None
        }
        Err(error) => {
            lacks.push(format!("landlock is not in force: {error:#}"));
            None
        }
    };
    places.remember(landlock.is_some());
    if let Err(error) = seccomp::restrict() {
        lacks.push(format!("no system call is refused: {error:#}"));
    }
    let status = report::of_this_process(&kept, landlock, lacks);
    info!("privileges given up; kept: {}", status.render());
    for lacking in &status.lacking {
        warn!("{lacking}");
    }
    Ok(status)
}

/// Has `work` done by a thread that may do nothing but go on with what is open; and the threads that it
/// starts may not, either. Whatever the kernel lacks for that, the work is done.
pub(crate) fn unprivileged<T: Send>(work: impl FnOnce() -> T + Send) -> T {
    let restricted = || {
        // What could not be given up, `give_up` finds and tells.
        let _ = capabilities::keep_none();
        let _ = sys::set_no_new_privs();
        let _ = landlock::restrict(&Places::default());
        let _ = seccomp::restrict();
        work()
    };
    let joined = thread::scope(|scope| scope.spawn(restricted).join());
    joined.unwrap_or_else(|panic| resume_unwind(panic))
}
