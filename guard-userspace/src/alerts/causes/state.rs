//! What the agent says of itself: whom it bans, and what it does less well than it should.

use super::{Cause, Counter, Memory, Subject, counted};
use crate::{
    alerts::rule::{Rule, Severity},
    status::Status,
};

/// Sources are banned: one alert for all of them.
pub(super) fn bans(status: &Status) -> Option<Cause> {
    if status.bans == 0 {
        return None;
    }
    let last = &status.banned_last;
    let sources: Vec<String> = last.iter().map(|ban| ban.source.to_string()).collect();
    let shown = match status.bans {
        all if all > sources.len() as u64 => format!("the last {}", sources.len()),
        _ => "they are".to_owned(),
    };
    Some(Cause {
        subject: Subject::new(Rule::Ban, &[]),
        severity: Severity::Info,
        summary: format!("{} banned", counted(status.bans, "source", "sources")),
        description: format!(
            "Banned for having stayed over a limit by connections of their own; {shown}: {}.",
            sources.join(", ")
        ),
        action: "`guard bans` lists them, `guard explain ADDRESS` says why, `guard unban ADDRESS` \
                 ends a ban, and `guard allow add ADDRESS` keeps a source from being limited."
            .to_owned(),
        sources,
        news: status.bans_begun,
    })
}

/// Interfaces that are not protected, and pins that are not there.
pub(super) fn attachment(status: &Status, causes: &mut Vec<Cause>) {
    for interface in &status.interfaces {
        if interface.attached.is_some() {
            continue;
        }
        let name = interface.name.as_str();
        let note = interface.note.as_deref().unwrap_or("no program is on it");
        causes.push(Cause {
            severity: Severity::Critical,
            ..degraded(
                &[("what", "not_attached"), ("iface", name)],
                format!("{name} is not protected"),
                format!("What arrives on {name} is not judged: {note}."),
                "Bring the interface back, or restart guard. `guard doctor` says what hinders it.",
            )
        });
    }
    if status.bypass_until.is_some() {
        causes.push(degraded(
            &[("what", "bypass")],
            "everything passes".to_owned(),
            "Somebody has switched guard off for a while (`guard bypass on`): what it would refuse is \
             only counted."
                .to_owned(),
            "`guard bypass off` ends it; `guard status` says when it ends by itself.",
        ));
    }
    if !status.pinned {
        causes.push(degraded(
            &[("what", "not_pinned")],
            "the kernel side is not pinned".to_owned(),
            "There is no BPF file system where the maps should be pinned, so nothing of them \
             outlives the agent."
                .to_owned(),
            "`mount -t bpf bpf /sys/fs/bpf`, or name another folder with --bpffs, and restart guard.",
        ));
    }
}

/// What was to be told and is not.
pub(super) fn losses(memory: &mut Memory, status: &Status, causes: &mut Vec<Cause>) {
    let lost = status.events.lost;
    if memory.growth(Counter::EventsLost, lost) > 0 {
        causes.push(degraded(
            &[("what", "events_lost")],
            "events are lost".to_owned(),
            format!(
                "{} lost so far, since the agent did not read them in time. All packets are \
                 judged and counted nevertheless.",
                counted(lost, "event", "events")
            ),
            "See whether the host is short of CPU.",
        ));
    }
    let lines = status.log_lines_dropped;
    if memory.growth(Counter::LogLines, lines) > 0 {
        causes.push(degraded(
            &[("what", "log_lines_dropped")],
            "lines of the log are left out".to_owned(),
            format!(
                "{} left out so far, since whoever reads the log does not keep up.",
                counted(lines, "line", "lines")
            ),
            "See to whatever reads the agent's standard error: its disk, or its pipe.",
        ));
    }
}

/// What is configured and is not in force.
pub(super) fn configuration(status: &Status, causes: &mut Vec<Cause>) {
    if status.last_reload_failed {
        causes.push(degraded(
            &[("what", "reload_failed")],
            "the last configuration was refused".to_owned(),
            "The configuration that was given last is not in force; the one before is.".to_owned(),
            "`guard check --config FILE` says what is wrong; then `guard reload`.",
        ));
    }
    for list in status.rules.iter().filter(|list| list.missing > 0) {
        let name = list.list.as_str();
        causes.push(Cause {
            subject: Subject::new(Rule::ConfiguredNotEnforced, &[("list", name)]),
            severity: Severity::Critical,
            summary: format!(
                "{} of the list {name} not in force",
                counted(list.missing, "entry", "entries")
            ),
            description: format!(
                "The list {name} has {} configured, and the kernel side holds {}; for {} of them it \
                 has no rule at all.",
                list.configured, list.in_force, list.missing
            ),
            action: "`guard reload` tells the kernel side everything anew; the log says what went \
                     wrong before."
                .to_owned(),
            sources: Vec::new(),
            news: 0,
        });
    }
}

fn degraded(labels: &[(&str, &str)], summary: String, description: String, action: &str) -> Cause {
    Cause {
        subject: Subject::new(Rule::AgentDegraded, labels),
        severity: Severity::Warning,
        summary,
        description,
        action: action.to_owned(),
        sources: Vec::new(),
        news: 0,
    }
}
