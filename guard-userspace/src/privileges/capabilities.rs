//! Capabilities of the calling thread.

use anyhow::{Result, anyhow};
use caps::{CapSet, Capability, CapsHashSet, errors::CapsError};

/// What loading, attaching and replacing a program takes. A reload does all of it again.
const NEEDED: [Capability; 3] = [
    Capability::CAP_BPF,
    Capability::CAP_NET_ADMIN,
    Capability::CAP_PERFMON,
];

/// Keeps what a reload needs, and nothing else.
pub(super) fn keep_needed() -> Result<Vec<Capability>> {
    let permitted = caps::read(None, CapSet::Permitted).map_err(|error| told(&error))?;
    let kept = needed_of(&permitted);
    keep(&kept).map_err(|error| told(&error))?;
    Ok(kept)
}

/// Keeps none.
pub(super) fn keep_none() -> Result<()> {
    keep(&[]).map_err(|error| told(&error))
}

/// The capabilities to keep of those that are there. Where one is missing, the one that implies those
/// of BPF, without which the agent would not have started, stays instead.
fn needed_of(permitted: &CapsHashSet) -> Vec<Capability> {
    let there = |capability: &Capability| permitted.contains(capability);
    let mut kept: Vec<Capability> = NEEDED.into_iter().filter(there).collect();
    if kept.len() < NEEDED.len() {
        kept.extend(Some(Capability::CAP_SYS_ADMIN).filter(there));
    }
    kept
}

fn keep(kept: &[Capability]) -> Result<(), CapsError> {
    // Who may not take them out of the bounding set is no worse off: with no_new_privs no program that
    // is executed gains any.
    if caps::has_cap(None, CapSet::Effective, Capability::CAP_SETPCAP)? {
        for capability in caps::read(None, CapSet::Bounding)? {
            if !kept.contains(&capability) {
                caps::drop(None, CapSet::Bounding, capability)?;
            }
        }
    }
    let kept: CapsHashSet = kept.iter().copied().collect();
    caps::clear(None, CapSet::Ambient)?;
    caps::clear(None, CapSet::Inheritable)?;
    // What is effective has to be permitted at each step.
    caps::set(None, CapSet::Effective, &kept)?;
    caps::set(None, CapSet::Permitted, &kept)
}

fn told(error: &CapsError) -> anyhow::Error {
    anyhow!("{error}")
}

/// Its stable word, such as `net_admin`.
pub(super) fn name(capability: Capability) -> String {
    let name = capability.to_string().to_lowercase();
    name.strip_prefix("cap_").unwrap_or(&name).to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn set(capabilities: &[Capability]) -> CapsHashSet {
        capabilities.iter().copied().collect()
    }

    #[test]
    fn three_are_kept_of_all_and_sys_admin_only_in_their_place() {
        assert_eq!(needed_of(&caps::all()), NEEDED);
        assert_eq!(needed_of(&set(&NEEDED)), NEEDED);
        let older = [Capability::CAP_NET_ADMIN, Capability::CAP_SYS_ADMIN];
        let with_more = set(&[older[0], older[1], Capability::CAP_SYS_PTRACE]);
        assert_eq!(needed_of(&with_more), older);
        assert!(needed_of(&set(&[Capability::CAP_SYS_PTRACE])).is_empty());
    }

    #[test]
    fn a_thread_that_keeps_none_has_none_while_the_others_go_on() {
        let before = caps::read(None, CapSet::Permitted).expect("ours");
        let sets = [CapSet::Permitted, CapSet::Effective, CapSet::Inheritable];
        std::thread::spawn(move || {
            keep_none().expect("given up");
            for set in sets {
                assert!(caps::read(None, set).expect("its").is_empty(), "{set:?}");
            }
        })
        .join()
        .expect("the thread ends");
        assert_eq!(caps::read(None, CapSet::Permitted).expect("ours"), before);
    }

    #[test]
    fn names_are_words() {
        assert_eq!(name(Capability::CAP_NET_ADMIN), "net_admin");
        assert_eq!(name(Capability::CAP_BPF), "bpf");
    }
}
