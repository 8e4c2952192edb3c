//! What the kernel says that every thread of this process may still do.

use std::fs;

use caps::Capability;

use super::capabilities;
use crate::status::PrivilegeStatus;

/// Where the kernel lists the threads of this process.
const THREADS: &str = "/proc/self/task";
/// What it calls a thread with a filter of system calls.
const FILTERED: u64 = 2;

/// What one thread may do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Thread {
    permitted: u64,
    no_new_privs: bool,
    filtered: bool,
}

/// What is kept, as far as all threads agree.
pub(super) fn of_this_process(
    kept: &[Capability],
    landlock: Option<u32>,
    mut lacking: Vec<String>,
) -> PrivilegeStatus {
    let allowed = kept.iter().fold(0, |mask, kept| mask | kept.bitmask());
    let threads = threads();
    let with_more = threads
        .iter()
        .filter(|thread| thread.permitted & !allowed != 0);
    match with_more.count() {
        0 => {}
        more => lacking.push(format!(
            "{more} threads of the agent keep capabilities: report this as a bug"
        )),
    }
    let all = |has: fn(&Thread) -> bool| !threads.is_empty() && threads.iter().all(has);
    PrivilegeStatus {
        capabilities: kept.iter().copied().map(capabilities::name).collect(),
        no_new_privs: all(|thread| thread.no_new_privs),
        landlock,
        seccomp: all(|thread| thread.filtered),
        lacking,
    }
}

fn threads() -> Vec<Thread> {
    let entries = fs::read_dir(THREADS).into_iter().flatten().flatten();
    let texts = entries.filter_map(|entry| fs::read_to_string(entry.path().join("status")).ok());
    texts.map(|text| read(&text)).collect()
}

/// Reads what the kernel says of a thread. What it does not say is not so.
fn read(text: &str) -> Thread {
    let number = |name: &str, radix| {
        let value = text.lines().find_map(|line| line.strip_prefix(name))?;
        u64::from_str_radix(value.trim(), radix).ok()
    };
    Thread {
        permitted: number("CapPrm:", 16).unwrap_or(u64::MAX),
        no_new_privs: number("NoNewPrivs:", 10) == Some(1),
        filtered: number("Seccomp:", 10) == Some(FILTERED),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_kernel_says_of_a_thread_is_read() {
        let text = "Name:\tguard\nCapInh:\t0000000000000000\nCapPrm:\t000000c000001000\n\
                    NoNewPrivs:\t1\nSeccomp:\t2\nSeccomp_filters:\t3\n";
        let thread = Thread {
            permitted: 0xc0_0000_1000,
            no_new_privs: true,
            filtered: true,
        };
        assert_eq!(read(text), thread);
        let nothing = Thread {
            permitted: u64::MAX,
            no_new_privs: false,
            filtered: false,
        };
        assert_eq!(read(""), nothing);
    }
}
