//! The system calls that stay permitted. What is not on the list is refused with EPERM and goes on: a
//! library that one day asks for something else must not end the protection. What only an attacker
//! asks for ends the process.

mod table;

use std::{collections::BTreeMap, env::consts::ARCH, process};

use anyhow::{Context as _, Result};
use seccompiler::{
    BackendError, BpfProgram, SeccompAction, SeccompCmpArgLen, SeccompCmpOp, SeccompCondition,
    SeccompFilter, SeccompRule, TargetArch,
};

use super::sys;

/// Rules by the number of the system call: any of them has to hold, none is needed where there is none.
type Rules = BTreeMap<i64, Vec<SeccompRule>>;

/// Restricts the calling thread and those it starts, for which it must have given up to gain privileges.
///
/// # Errors
/// The kernel has no such filters, or there is no list for this processor.
pub(super) fn restrict() -> Result<()> {
    // The kernel asks all of them, and does the gravest of what they answer. The last one permits no
    // further filter.
    for (filter, tells) in filters().context("writing the filter of system calls")? {
        sys::install(&filter, tells).context("installing the filter of system calls")?;
    }
    Ok(())
}

/// The filters, and whether what each of them refuses is worth a line in the kernel's log.
fn filters() -> Result<[(BpfProgram, bool); 3], BackendError> {
    let unconditional = |calls: &[libc::c_long]| -> Rules {
        calls.iter().map(|call| (*call, Vec::new())).collect()
    };
    let errno = |errno: i32| SeccompAction::Errno(errno.cast_unsigned());
    let deadly = compile(
        unconditional(table::DEADLY),
        SeccompAction::Allow,
        SeccompAction::KillProcess,
    )?;
    // What it starts cannot be seen in a register. Told that there is no such call, the C library uses
    // the older one.
    let unseen = compile(
        unconditional(&[libc::SYS_clone3]),
        SeccompAction::Allow,
        errno(libc::ENOSYS),
    )?;
    let permitted = compile(permitted()?, errno(libc::EPERM), SeccompAction::Allow)?;
    Ok([(deadly, true), (unseen, false), (permitted, true)])
}

fn compile(
    rules: Rules,
    otherwise: SeccompAction,
    matching: SeccompAction,
) -> Result<BpfProgram, BackendError> {
    let target = TargetArch::try_from(ARCH)?;
    SeccompFilter::new(rules, otherwise, matching, target)?.try_into()
}

fn permitted() -> Result<Rules, BackendError> {
    let plain = table::PERMITTED.iter().chain(table::OLDER);
    let mut rules: Rules = plain.map(|call| (*call, Vec::new())).collect();
    let one_of = |argument, values: &[u64]| {
        let rule = |value: &u64| rule(equal(argument, *value));
        values.iter().map(rule).collect::<Result<Vec<_>, _>>()
    };
    rules.insert(libc::SYS_bpf, one_of(0, table::BPF_COMMANDS)?);
    rules.insert(libc::SYS_socket, one_of(0, &numbers(table::FAMILIES))?);
    rules.insert(libc::SYS_socketpair, one_of(0, &numbers(&[libc::AF_UNIX]))?);
    rules.insert(libc::SYS_ioctl, one_of(1, table::CONTROLS)?);
    rules.insert(
        libc::SYS_prctl,
        one_of(0, &numbers(table::PROCESS_CONTROLS))?,
    );
    // Signals for itself, as `abort` sends one.
    rules.insert(libc::SYS_tgkill, one_of(0, &[process::id().into()])?);
    // Limits are read and not set.
    rules.insert(libc::SYS_prlimit64, vec![rule(wide(2, 0))?]);
    // Threads, and no processes.
    let thread = libc::CLONE_THREAD.cast_unsigned().into();
    rules.insert(libc::SYS_clone, vec![rule(masked(0, thread, thread))?]);
    // No memory is written and executed.
    let write = libc::PROT_WRITE.cast_unsigned().into();
    let execute = libc::PROT_EXEC.cast_unsigned().into();
    let not_executed = rule(masked(2, execute, 0))?;
    let not_written = rule(masked(2, write, 0))?;
    rules.insert(libc::SYS_mmap, vec![not_executed.clone(), not_written]);
    rules.insert(libc::SYS_mprotect, vec![not_executed]);
    Ok(rules)
}

fn numbers(values: &[i32]) -> Vec<u64> {
    values
        .iter()
        .map(|value| value.cast_unsigned().into())
        .collect()
}

fn rule(condition: Result<SeccompCondition, BackendError>) -> Result<SeccompRule, BackendError> {
    SeccompRule::new(vec![condition?])
}

fn equal(argument: u8, value: u64) -> Result<SeccompCondition, BackendError> {
    SeccompCondition::new(argument, SeccompCmpArgLen::Dword, SeccompCmpOp::Eq, value)
}

/// As [`equal`], of all 64 bits.
fn wide(argument: u8, value: u64) -> Result<SeccompCondition, BackendError> {
    SeccompCondition::new(argument, SeccompCmpArgLen::Qword, SeccompCmpOp::Eq, value)
}

/// The bits of `mask` are those of `value`.
fn masked(argument: u8, mask: u64, value: u64) -> Result<SeccompCondition, BackendError> {
    let operator = SeccompCmpOp::MaskedEq(mask);
    SeccompCondition::new(argument, SeccompCmpArgLen::Dword, operator, value)
}

#[cfg(test)]
mod tests;
