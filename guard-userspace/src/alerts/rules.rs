//! When an alert begins, is told again and ends: pure, driven by snapshots and a clock.

use std::{collections::BTreeMap, time::Duration};

use serde::{Deserialize, Serialize};

use super::{
    causes::{Cause, Memory, Subject},
    message::Alert,
    rule::Rule,
};
use crate::status::Status;

/// Alerts that are on are told again so often, or Alertmanager would take them for over.
pub(super) const REFRESH: Duration = Duration::from_mins(2);
/// An alert that has begun does not begin again for so long, nor is more of it told than that it
/// goes on.
pub(super) const PACE: Duration = Duration::from_mins(1);
/// An alert that comes back sooner than this after its end lasts longer the next time.
const FLAPS_WITHIN: Duration = Duration::from_hours(1);
/// How long an alert that comes back lasts at most when its cause is gone.
const LONGEST_HOLD: Duration = Duration::from_mins(10);

/// How long an alert outlasts its cause.
fn hold(rule: Rule) -> Duration {
    Duration::from_secs(match rule {
        // Of these each instant is a case of its own.
        Rule::PlaintextServed | Rule::CredentialExposed => 60,
        Rule::Flood | Rule::NewSourcesGateClosed => 30,
        Rule::Ban | Rule::AgentDegraded | Rule::ConfiguredNotEnforced => 5,
    })
}

/// A moment.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Now {
    /// Time since whenever. It is never set back.
    pub(crate) elapsed: Duration,
    /// Milliseconds since 1970: what is told, and decides nothing.
    pub(crate) unix_ms: u64,
}

/// What has become of an alert.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Step {
    /// It begins.
    Started,
    /// It goes on, and there is more to tell.
    News,
    /// It goes on.
    Continues,
    /// It is over.
    Resolved,
}

/// A step of one alert.
#[derive(Clone, Debug)]
pub(super) struct Transition {
    pub(super) step: Step,
    pub(super) rule: Rule,
    pub(super) alert: Alert,
}

/// The alerts that are on, and what is remembered of those that were.
#[derive(Debug, Default)]
pub(super) struct Rules {
    memory: Memory,
    on: BTreeMap<Subject, Active>,
    over: BTreeMap<Subject, Ended>,
    refreshed: Duration,
}

#[derive(Debug)]
struct Active {
    cause: Cause,
    started_ms: u64,
    started: Duration,
    /// When its cause was there last.
    seen: Duration,
    hold: Duration,
    /// When it was told last that there is more.
    told: Duration,
    told_news: u64,
}

/// An alert that is over.
#[derive(Debug)]
struct Ended {
    started: Duration,
    at: Duration,
    hold: Duration,
}

/// An alert that is on, for the next agent.
#[derive(Debug, Deserialize, Serialize)]
pub(super) struct Kept {
    rule: Rule,
    alert: Alert,
}

impl Rules {
    /// Goes on with the alerts of an earlier agent. Those whose cause is gone end after a while.
    pub(super) fn resume(kept: Vec<Kept>, now: Now) -> Self {
        let active = kept.into_iter().map(|Kept { rule, alert }| {
            let (started_ms, cause) = (alert.started_ms, alert.into_cause(rule));
            let active = Active {
                hold: hold(rule),
                // What the earlier agent has told of it is not known any more.
                told_news: 0,
                started_ms,
                started: now.elapsed,
                seen: now.elapsed,
                told: now.elapsed,
                cause,
            };
            (active.cause.subject.clone(), active)
        });
        Self {
            on: active.collect(),
            refreshed: now.elapsed,
            ..Self::default()
        }
    }

    /// What the next agent has to know.
    pub(super) fn kept(&self) -> Vec<Kept> {
        let active = self.on.iter();
        active
            .map(|(subject, active)| Kept {
                rule: subject.rule,
                alert: active.alert(),
            })
            .collect()
    }

    /// The alerts that are on, with their rules.
    pub(super) fn active(&self) -> impl Iterator<Item = (Rule, Alert)> {
        let active = self.on.iter();
        active.map(|(subject, active)| (subject.rule, active.alert()))
    }

    /// What has changed by this snapshot.
    pub(super) fn observe(&mut self, status: &Status, now: Now) -> Vec<Transition> {
        let causes = self.memory.causes(status, now.elapsed);
        let mut transitions = Vec::new();
        for cause in causes {
            transitions.extend(self.note(cause, now));
        }
        transitions.extend(self.end(now));
        if now.elapsed.saturating_sub(self.refreshed) >= REFRESH {
            self.refreshed = now.elapsed;
            transitions.extend(self.refresh(now));
        }
        self.over
            .retain(|_, ended| now.elapsed.saturating_sub(ended.at) < FLAPS_WITHIN);
        transitions
    }

    /// Takes note of a cause that is there.
    fn note(&mut self, cause: Cause, now: Now) -> Option<Transition> {
        if let Some(active) = self.on.get_mut(&cause.subject) {
            return active.go_on(cause, now);
        }
        let rule = cause.subject.rule;
        let ended = self.over.get(&cause.subject);
        let is_too_soon =
            ended.is_some_and(|ended| now.elapsed.saturating_sub(ended.started) < PACE);
        if is_too_soon {
            // It waits: if it is still the case by then, it begins then.
            return None;
        }
        let subject = cause.subject.clone();
        let active = Active {
            hold: ended.map_or(hold(rule), |ended| (ended.hold * 2).min(LONGEST_HOLD)),
            started_ms: now.unix_ms,
            started: now.elapsed,
            seen: now.elapsed,
            told: now.elapsed,
            told_news: cause.news,
            cause,
        };
        let transition = active.transition(Step::Started);
        self.over.remove(&subject);
        self.on.insert(subject, active);
        Some(transition)
    }

    /// Ends the alerts whose cause has been gone for long enough.
    fn end(&mut self, now: Now) -> Vec<Transition> {
        let is_over = |active: &Active| now.elapsed.saturating_sub(active.seen) >= active.hold;
        let over = self
            .on
            .extract_if(.., |_, active| is_over(active))
            .collect::<Vec<_>>();
        let mut transitions = Vec::new();
        for (subject, active) in over {
            let mut transition = active.transition(Step::Resolved);
            // The clock may have been set back.
            transition.alert.ended_ms = Some(now.unix_ms);
            transition.alert.started_ms = active.started_ms.min(now.unix_ms);
            transitions.push(transition);
            let ended = Ended {
                started: active.started,
                at: now.elapsed,
                hold: active.hold,
            };
            self.over.insert(subject, ended);
        }
        transitions
    }

    /// Tells of all that go on, but for those that have just begun.
    fn refresh(&self, now: Now) -> Vec<Transition> {
        let older = self
            .on
            .values()
            .filter(|active| active.started < now.elapsed);
        older
            .map(|active| active.transition(Step::Continues))
            .collect()
    }
}

impl Active {
    fn go_on(&mut self, cause: Cause, now: Now) -> Option<Transition> {
        let has_news = cause.news > self.told_news;
        self.cause = cause;
        self.seen = now.elapsed;
        if !has_news || now.elapsed.saturating_sub(self.told) < PACE {
            return None;
        }
        self.told = now.elapsed;
        self.told_news = self.cause.news;
        Some(self.transition(Step::News))
    }

    fn transition(&self, step: Step) -> Transition {
        Transition {
            step,
            rule: self.cause.subject.rule,
            alert: self.alert(),
        }
    }

    fn alert(&self) -> Alert {
        Alert::new(&self.cause, self.started_ms)
    }
}

#[cfg(test)]
mod tests;
