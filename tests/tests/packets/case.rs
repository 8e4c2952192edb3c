//! Tables of cases: frames, what becomes of them, and every count they change.

use std::{
    collections::BTreeSet,
    fmt::{Display, Write as _},
    net::IpAddr,
    time::Duration,
};

use guard::kernel::Share;
use guard_common::{
    reason::{Reason, Verdict},
    wire::COARSE_TICK_NS,
};
use lab::frames::{Frame, Packet};

use crate::rig::{Counts, LEAST_LINEAR, MANUAL, Rig, packet_names};

/// The protected host.
pub(crate) const HOST_V4: &str = "192.0.2.1";
pub(crate) const HOST_V6: &str = "2001:db8:ffff::1";

/// From one case to the next this much time passes, so that every debt has leaked away and every
/// budget is fresh.
pub(crate) const BETWEEN_CASES: Duration = Duration::from_hours(2);

/// Steps that belong together. Each case starts at a second of its own, all debts forgotten.
pub(crate) struct Case {
    name: String,
    steps: Vec<Step>,
}

pub(crate) fn case(name: impl Display, steps: impl IntoIterator<Item = Step>) -> Case {
    Case {
        name: name.to_string(),
        steps: steps.into_iter().collect(),
    }
}

/// A frame, sent once or several times, and what must come of it. What it does not name must not
/// change.
#[derive(Clone)]
pub(crate) struct Step {
    frame: Bytes,
    verdict: Verdict,
    reason: Reason,
    times: u64,
    after: Duration,
    counted_bytes: u64,
    emitted: u64,
    suppressed: u64,
    in_pieces: bool,
    leaves: bool,
    told: bool,
}

/// The host itself sends the frame, which no counter counts.
pub(crate) fn leaves(frame: impl Into<Bytes>) -> Step {
    Step {
        leaves: true,
        times: 0,
        ..passes(frame, Reason::Pass)
    }
}

/// The frame passes, and counts as that.
pub(crate) fn passes(frame: impl Into<Bytes>, reason: Reason) -> Step {
    step(frame.into(), Verdict::Pass, reason)
}

/// The frame is dropped for `reason`.
pub(crate) fn drops(frame: impl Into<Bytes>, reason: Reason) -> Step {
    step(frame.into(), Verdict::Drop, reason)
}

/// The frame passes in dry-run, and counts as what would have been dropped.
pub(crate) fn would_drop(frame: impl Into<Bytes>, reason: Reason) -> Step {
    step(frame.into(), Verdict::WouldDrop, reason)
}

fn step(frame: Bytes, verdict: Verdict, reason: Reason) -> Step {
    // Unsound frames have no source to tell of; all else that is held against one is told.
    let is_refused = !matches!(reason, Reason::Pass | Reason::Allow | Reason::ProtectSelf);
    let told = !reason.is_of_headers() && is_refused;
    Step {
        counted_bytes: frame.0.len() as u64,
        frame,
        verdict,
        reason,
        times: 1,
        after: Duration::ZERO,
        emitted: u64::from(told),
        suppressed: 0,
        in_pieces: false,
        leaves: false,
        told: false,
    }
}

impl Step {
    /// Sends the frame so many times, all to the same end.
    pub(crate) fn times(mut self, times: u64) -> Self {
        self.times = times;
        self
    }

    /// Lets time pass before it is sent.
    pub(crate) fn after(mut self, pause: Duration) -> Self {
        self.after = pause;
        self
    }

    /// Counts each frame as so many bytes, where they are not all of the frame's.
    pub(crate) fn counted_as(mut self, bytes: usize) -> Self {
        self.counted_bytes = bytes as u64;
        self
    }

    /// Of each frame only the Ethernet header can be read directly.
    pub(crate) fn in_pieces(mut self) -> Self {
        self.in_pieces = true;
        self
    }

    /// Of the events, so many are left out since the budget is spent.
    pub(crate) fn suppressed(mut self, events: u64) -> Self {
        self.suppressed = events;
        self
    }

    /// The host takes part in the connection, so its first request is told of.
    pub(crate) fn told_of(mut self) -> Self {
        self.told = true;
        self
    }

    fn told(&self) -> u64 {
        if self.reason == Reason::Plaintext {
            u64::from(self.told)
        } else {
            self.times * self.emitted
        }
    }

    fn expected(&self) -> Counts {
        let [packets, bytes] = packet_names(self.verdict, self.reason);
        let mut counts = Counts::from([
            (packets, self.times),
            (bytes, self.times * self.counted_bytes),
            ("events emitted".to_owned(), self.told() - self.suppressed),
            ("events suppressed".to_owned(), self.suppressed),
        ]);
        counts.retain(|_, count| *count != 0);
        counts
    }

    /// Sends the frame and says in `failures` what did not come as expected.
    fn run(&self, rig: &mut Rig, failures: &mut String) {
        let (actions, changes) = rig.observe(|rig| {
            if self.leaves {
                rig.sends(&self.frame.0);
            }
            let send = |rig: &mut Rig| {
                if self.in_pieces {
                    rig.passes_in_pieces(&self.frame.0, LEAST_LINEAR)
                } else {
                    rig.passes(&self.frame.0)
                }
            };
            let actions = (0..self.times).map(|_| send(rig));
            actions.collect::<Vec<bool>>()
        });
        let expected = self.expected();
        let passes = self.verdict != Verdict::Drop;
        if let Some(wrong) = actions.iter().position(|action| *action != passes) {
            let [got, wanted] =
                [!passes, passes].map(|pass| if pass { "passed" } else { "dropped" });
            line(
                failures,
                format_args!("frame {wrong} was {got}, not {wanted}"),
            );
        }
        let names = expected.keys().chain(changes.keys());
        let names: BTreeSet<&String> = names.collect();
        for name in names {
            let of = |counts: &Counts| counts.get(name).copied().unwrap_or(0);
            if of(&changes) != of(&expected) {
                let (got, wanted) = (of(&changes), of(&expected));
                line(failures, format_args!("{name}: {got:+}, not {wanted:+}"));
            }
        }
    }
}

/// Loads the kernel side with `configuration`, goes through the cases in turn and shows all that
/// did not come as expected.
pub(crate) fn check(configuration: &str, cases: impl IntoIterator<Item = Case>) {
    check_from(BETWEEN_CASES, configuration, cases);
}

/// The same, with the clock at `now` in the beginning.
pub(crate) fn check_from(
    now: Duration,
    configuration: &str,
    cases: impl IntoIterator<Item = Case>,
) {
    check_on(Rig::load(configuration, MANUAL), now, cases);
}

/// Goes through the cases on a kernel side that was told more than its configuration.
pub(crate) fn check_on(mut rig: Rig, mut now: Duration, cases: impl IntoIterator<Item = Case>) {
    let mut failures = String::new();
    for case in cases {
        for (number, step) in case.steps.iter().enumerate() {
            now += step.after;
            let now_ns = u64::try_from(now.as_nanos()).expect("a time of this age");
            rig.kernel
                .set_manual_clock(now_ns)
                .expect("setting the clock");
            let mut failure = String::new();
            step.run(&mut rig, &mut failure);
            if !failure.is_empty() {
                let name = &case.name;
                let _ = write!(failures, "\n{name}, step {}:\n{failure}", number + 1);
            }
        }
        now += BETWEEN_CASES;
        // What was said before is forgotten.
        let now_ns = u64::try_from(now.as_nanos()).expect("a time of this age");
        let kernel = &mut rig.kernel;
        kernel.set_manual_clock(now_ns).expect("setting the clock");
        // Once to count them, once more to free their places.
        for _ in 0..2 {
            kernel.sweep(Share::All).expect("a sweep");
        }
    }
    assert!(failures.is_empty(), "{failures}");
}

fn line(text: &mut String, what: impl Display) {
    // Writing to a string cannot fail.
    let _ = writeln!(text, "    {what}");
}

/// So many ticks of the clock.
pub(crate) fn ticks(count: u64) -> Duration {
    Duration::from_nanos(COARSE_TICK_NS * count)
}

/// The bytes of a frame.
#[derive(Clone)]
pub(crate) struct Bytes(pub(crate) Vec<u8>);

impl From<Packet> for Bytes {
    fn from(packet: Packet) -> Self {
        packet.build().into()
    }
}

impl From<Frame> for Bytes {
    fn from(frame: Frame) -> Self {
        Self(frame.to_vec())
    }
}

impl From<Vec<u8>> for Bytes {
    fn from(bytes: Vec<u8>) -> Self {
        Self(bytes)
    }
}

/// A packet of either family from `source` to the protected host.
pub(crate) fn from(source: &str) -> Packet {
    match source.parse().expect("an address") {
        IpAddr::V4(_) => Packet::ipv4(source, HOST_V4),
        IpAddr::V6(_) => Packet::ipv6(source, HOST_V6),
    }
}

/// A UDP datagram.
pub(crate) fn udp(source: &str) -> Packet {
    from(source).udp(5_000, 53).payload("12345678")
}

/// An ACK without a payload to a TCP port.
pub(crate) fn ack(source: &str, port: u16) -> Packet {
    from(source).tcp(40_000, port)
}

/// A SYN to a TCP port.
pub(crate) fn syn(source: &str, port: u16) -> Packet {
    ack(source, port).flags(lab::frames::tcp::SYN)
}
