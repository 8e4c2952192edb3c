//! Loads the kernel side as `guard run` does, attaches it to nothing, and unloads it.

use std::{
    io,
    time::{Duration, Instant},
};

use anyhow::{Error, Result};
use guard_common::wire::Clock;

use super::{AS_ROOT, Check};
use crate::{
    config::Config,
    kernel::{Kernel, Plan, Tick},
};

const NAME: &str = "program";
/// Characters of an error that are shown, at most: the verifier's can be long.
const ERROR_LEN: usize = 200;

/// Has the kernel verify the programs, unless capabilities are `missing`; and whether it made
/// machine code of them.
pub(super) fn run(config: &Config, missing: &[&str]) -> (Check, Option<bool>) {
    if !missing.is_empty() {
        return (
            Check::warn(NAME, "not tried, for want of privileges", AS_ROOT),
            None,
        );
    }
    match load(config) {
        Ok((found, compiled)) => (Check::ok(NAME, found), Some(compiled)),
        Err(error) => (Check::fail(NAME, first_words(&error), remedy(&error)), None),
    }
}

fn load(config: &Config) -> Result<(String, bool)> {
    let tick = Tick::of_kernel();
    let started = Instant::now();
    // Nothing is attached, so nobody can make use of the seed.
    let mut kernel = Kernel::load(&Plan::new(config, tick, [0; 2]), None)?;
    let milliseconds = started.elapsed().as_millis();
    let info = kernel.program()?.info()?;
    let instructions = info
        .verified_instruction_count()
        .map_or_else(String::new, |count| format!("{count} instructions "));
    let clock = match tick.clock {
        Clock::Jiffies => "jiffies",
        Clock::Coarse => "coarse clock",
        Clock::Manual => "manual clock",
    };
    let tick = Duration::from_nanos(tick.ns);
    let found = format!(
        "{instructions}verified in {milliseconds} ms; limits have a grain of {tick:?} ({clock})"
    );
    Ok((found, info.size_jitted() > 0))
}

pub(super) fn first_words(error: &Error) -> String {
    let whole = format!("{error:#}");
    let line = whole.lines().next().unwrap_or_default();
    let mut words: String = line
        .chars()
        .filter(|c| !c.is_control())
        .take(ERROR_LEN)
        .collect();
    if words.len() < whole.len() {
        words.push_str("...");
    }
    words
}

fn remedy(error: &Error) -> &'static str {
    let mut causes = error
        .chain()
        .filter_map(|cause| cause.downcast_ref::<io::Error>());
    match causes.find_map(io::Error::raw_os_error) {
        Some(libc::EPERM | libc::EACCES) => {
            "let this container, seccomp profile or kernel lockdown permit bpf(2)"
        }
        Some(libc::ENOMEM) => "free some memory: the kernel side needs about 10 MiB",
        _ => "boot a newer kernel, or report this as a bug: guard supports 5.18 and later",
    }
}
