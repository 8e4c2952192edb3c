//! The real kernel side, loaded but attached to nothing: frames in, verdicts and counts out.

use std::collections::BTreeMap;

use aya::{TestRun as _, TestRunOptions};
use guard::{
    config::{Config, Style},
    kernel::{Kernel, Plan, Tick},
};
use guard_common::{
    connection::Outcome,
    protocol::Protocol,
    reason::{Reason, Verdict},
    wire::{COARSE_TICK_NS, Clock},
};
use nix::{
    sched::{CpuSet, sched_getcpu, sched_setaffinity},
    unistd::{Pid, geteuid},
};

/// The test-run of the kernel leaves no less than an Ethernet header in the first buffer.
pub(crate) const LEAST_LINEAR: usize = 14;

/// What XDP programs answer (`enum xdp_action` of the kernel).
const XDP_DROP: u32 = 1;
const XDP_PASS: u32 = 2;

/// The clock that tests set.
pub(crate) const MANUAL: Tick = Tick {
    clock: Clock::Manual,
    ns: COARSE_TICK_NS,
};
/// Any will do, and the same one each time makes what goes wrong repeatable.
const HASH_SEED: [u64; 2] = [0x0123_4567_89ab_cdef, 0xfedc_ba98_7654_3210];

/// What the kernel side counted, by readable names; what is zero is left out.
pub(crate) type Counts = BTreeMap<String, u64>;

/// A kernel side of its own.
pub(crate) struct Rig {
    pub(crate) kernel: Kernel,
    services: Vec<String>,
}

impl Rig {
    /// Loads the kernel side as `configuration`, a TOML text, wants it.
    pub(crate) fn load(configuration: &str, tick: Tick) -> Self {
        Self::load_changed(configuration, tick, |_| {})
    }

    /// The same, with a plan that is changed before.
    pub(crate) fn load_changed(
        configuration: &str,
        tick: Tick,
        change: impl FnOnce(&mut Plan),
    ) -> Self {
        assert!(
            geteuid().is_root(),
            "needs root: run `cargo xtask test` as root"
        );
        stay_on_this_cpu();
        let config = Config::parse("guard.toml", configuration)
            .unwrap_or_else(|errors| panic!("{}", errors.render(Style::Plain)));
        let mut plan = Plan::new(&config, tick, HASH_SEED);
        plan.settings.asks_sockets = 0;
        change(&mut plan);
        let kernel = Kernel::load(&plan, None).expect("the kernel takes the kernel side");
        let services = config.services.into_iter().map(|service| service.name);
        Self {
            kernel,
            services: services.collect(),
        }
    }

    /// Whether the program lets a frame pass. To the program, it comes in by the interface at
    /// position 0.
    pub(crate) fn passes(&mut self, frame: &[u8]) -> bool {
        self.run(TestRunOptions {
            data_in: Some(frame),
            ..TestRunOptions::default()
        })
    }

    /// The same for a frame of which only the first `linear` bytes can be read directly, at least
    /// [`LEAST_LINEAR`]: some network cards leave the first buffer empty.
    pub(crate) fn passes_in_pieces(&mut self, frame: &[u8], linear: usize) -> bool {
        let data_end = u32::try_from(linear.min(frame.len())).expect("a frame's length");
        // `struct xdp_md` of the kernel: data, data_end, data_meta, ingress_ifindex,
        // rx_queue_index, egress_ifindex.
        let words = [0, data_end, 0, 0, 0, 0];
        let context: Vec<u8> = words.into_iter().flat_map(u32::to_ne_bytes).collect();
        self.run(TestRunOptions {
            data_in: Some(frame),
            ctx_in: Some(&context),
            ..TestRunOptions::default()
        })
    }

    /// Shows the kernel side a frame that the host itself sends.
    pub(crate) fn sends(&mut self, frame: &[u8]) {
        self.kernel
            .sees_leave(frame)
            .expect("a test-run of the frame");
    }

    fn run(&mut self, options: TestRunOptions<'_>) -> bool {
        let program = self.kernel.program().expect("the program");
        let result = program.test_run(options).expect("a test-run of the frame");
        match result.return_value {
            XDP_PASS => true,
            XDP_DROP => false,
            action => panic!("the program answers neither XDP_PASS nor XDP_DROP, but {action}"),
        }
    }

    /// What `work` returns, and what was counted meanwhile.
    pub(crate) fn observe<T>(&mut self, work: impl FnOnce(&mut Self) -> T) -> (T, Counts) {
        let before = self.counts();
        let done = work(self);
        (done, difference(&before, &self.counts()))
    }

    /// Everything it has counted so far.
    pub(crate) fn counts(&self) -> Counts {
        let events = self.kernel.counters.events().expect("the event counts");
        let events = [
            ("events emitted".to_owned(), events.emitted),
            ("events suppressed".to_owned(), events.suppressed),
            ("events lost".to_owned(), events.lost),
        ];
        let all = self.packets().chain(self.connections()).chain(events);
        all.filter(|(_, count)| *count != 0).collect()
    }

    fn packets(&self) -> impl Iterator<Item = (String, u64)> {
        let kinds = Verdict::ALL
            .into_iter()
            .flat_map(|verdict| Reason::ALL.map(|reason| (verdict, reason)));
        kinds.flat_map(|(verdict, reason)| {
            let counted = self.kernel.counters.packets(0, verdict, reason);
            let counted = counted.expect("a packet count");
            let [packets, bytes] = packet_names(verdict, reason);
            [(packets, counted.packets), (bytes, counted.bytes)]
        })
    }

    fn connections(&self) -> impl Iterator<Item = (String, u64)> {
        let services = self.services.iter().zip(0..);
        let kinds = Outcome::ALL
            .into_iter()
            .flat_map(|outcome| Protocol::ALL.map(|protocol| (outcome, protocol)));
        services.flat_map(move |(service, position)| {
            let counted = self.kernel.counters.connections(position);
            let counted = counted.expect("the connection counts");
            kinds.clone().map(move |(outcome, protocol)| {
                let name = connection_name(service, outcome, protocol);
                (name, counted(outcome, protocol))
            })
        })
    }
}

/// What the packets and the bytes of a verdict and reason are called in [`Counts`].
pub(crate) fn packet_names(verdict: Verdict, reason: Reason) -> [String; 2] {
    ["packets", "bytes"].map(|unit| format!("{}/{} {unit}", verdict.name(), reason.name()))
}

/// What the connections of a service, an outcome and a protocol are called in [`Counts`].
pub(crate) fn connection_name(service: &str, outcome: Outcome, protocol: Protocol) -> String {
    format!(
        "connections {service}/{}/{}",
        outcome.name(),
        protocol.name()
    )
}

/// What was counted between two readings.
fn difference(before: &Counts, after: &Counts) -> Counts {
    let changes = after.iter().map(|(name, count)| {
        let before = before.get(name).copied().unwrap_or(0);
        (name.clone(), count - before)
    });
    changes.filter(|(_, change)| *change != 0).collect()
}

/// Budgets of events are each CPU's own, so a thread that wanders would have more of them.
fn stay_on_this_cpu() {
    let mut cpus = CpuSet::new();
    cpus.set(sched_getcpu().expect("a CPU"))
        .expect("a CPU the set has room for");
    sched_setaffinity(Pid::from_raw(0), &cpus).expect("to stay on this CPU");
}
