//! What the kernel's verifier makes of the programs, with everything switched on and with nothing.
//!
//! It walks at most a million instructions; a program that comes near that is refused by a kernel
//! that walks a little differently. So each form of a program has a budget, whatever the kernel.

mod rig;

use std::fmt;

use anyhow::Result;
use aya::programs::ProgramInfo;
use guard::kernel::Tick;
use guard_common::{
    reason::{Reason, Verdict},
    wire::{COARSE_TICK_NS, Clock},
};
use lab::{frames::Packet, machine};

use crate::rig::{LEAST_LINEAR, MANUAL, Rig, packet_names};

/// Instructions the verifier may walk through, all switched on.
const MAXIMAL_BUDGET: u32 = 500_000;
/// And with nothing switched on: functions are followed whether anybody calls them or not.
const MINIMAL_BUDGET: u32 = 350_000;

/// Of the program for what leaves.
const LEAVING_BUDGET: u32 = 500_000;
/// Of the one that is run at start.
const STARTING_BUDGET: u32 = 10_000;

/// Everything there is, of both families.
const MAXIMAL: &str = r#"
    interfaces = ["a0", "a1", "a2", "a3", "a4", "a5", "a6", "a7",
                  "b0", "b1", "b2", "b3", "b4", "b5", "b6", "b7"]
    allow = [{ cidr = "198.51.100.0/24" }, { cidr = "2001:db8:a::/48" }, { cidr = "192.0.2.1" }]
    deny = [{ cidr = "203.0.113.0/24" }, { cidr = "2001:db8:b::/48" }, { cidr = "2001:db8::1" }]
    [limits]
    packets = "250k/s"
    bytes = "100MiB/s"
    connections = "600/min"
    ipv6_prefix = 128
    protocol = { udp = "1M/s", stray = "1M/s" }
    ban = { after = "10s", for = "1m", max = "1h" }
    aggregate = { packets = "1M/s", connections = "10k/s" }
    [[service]]
    name = "drops"
    ports = [8443, "9000-9010"]
    on_plaintext = "drop"
    limits = { packets = "10k/s", bytes = "10MiB/s", connections = "600/min" }
    allow = ["10.0.0.0/8", "2001:db8:c::/48"]
    [[service]]
    name = "flags"
    ports = [8080]
    [[service]]
    name = "resets"
    ports = [8081]
    on_plaintext = "reset"
    strict = true
    [[service]]
    name = "calls"
    ports = [443]
    direction = "outbound"
"#;

/// Nothing but counting.
const MINIMAL: &str = r#"
    protect_self = false
    [limits]
    packets = "off"
    connections = "off"
    new_sources = "off"
    protocol = { icmp = "off", fragments = "off" }
    [[service]]
    name = "off"
    ports = [1]
    encryption = "off"
"#;

const CLOCKS: [Tick; 3] = [
    Tick {
        clock: Clock::Jiffies,
        ns: 4_000_000,
    },
    Tick {
        clock: Clock::Coarse,
        ns: COARSE_TICK_NS,
    },
    MANUAL,
];

/// Instructions the verifier walked through.
struct Verified {
    judging: u32,
    /// Where there is such a program.
    leaving: Option<u32>,
    starting: u32,
}

impl Verified {
    fn assert_within(&self, budget: u32) {
        assert!(self.judging <= budget, "{self}: {budget} may be");
        let leaving = self.leaving.unwrap_or(0);
        assert!(leaving <= LEAVING_BUDGET, "{self}: {LEAVING_BUDGET} may be");
        let starting = self.starting;
        assert!(
            starting <= STARTING_BUDGET,
            "{self}: {STARTING_BUDGET} may be"
        );
    }
}

impl fmt::Display for Verified {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} instructions", self.judging)?;
        if let Some(leaving) = self.leaving {
            write!(f, ", {leaving} for what leaves")?;
        }
        write!(f, ", {} at start", self.starting)
    }
}

/// Loads the programs and says how many instructions the verifier walked through.
fn verified(configuration: &str, tick: Tick) -> Verified {
    let mut rig = Rig::load(configuration, tick);
    // What was loaded also works.
    let frame = Packet::ipv4("192.0.2.9", "192.0.2.1").udp(1, 2).build();
    rig.sends(&frame);
    let (passed, counts) =
        rig.observe(|rig| rig.passes(&frame) && rig.passes_in_pieces(&frame, LEAST_LINEAR));
    let [packets, _] = packet_names(Verdict::Pass, Reason::Pass);
    assert!(passed && counts[&packets] == 2, "{counts:?}");
    let program = rig.kernel.program().expect("the program").info();
    let leaving = rig.kernel.departures().map(|program| program.info());
    let startup = rig.kernel.startup().expect("the start-up program").info();
    Verified {
        judging: count(program),
        leaving: leaving.map(count),
        starting: count(startup),
    }
}

fn count<E: fmt::Debug>(info: Result<ProgramInfo, E>) -> u32 {
    let info = info.expect("what the kernel says of the program");
    info.verified_instruction_count()
        .expect("a kernel of 5.16 or newer")
}

fn check(name: &str, configuration: &str, budget: u32) {
    for dry_run in [false, true] {
        for tick in CLOCKS {
            let verified = verified(&format!("dry_run = {dry_run}\n{configuration}"), tick);
            println!(
                "{name}, {:?} clock, dry run {dry_run}: {verified}",
                tick.clock
            );
            verified.assert_within(budget);
        }
    }
}

#[test]
fn the_program_with_everything_keeps_to_its_budget() {
    check("everything", MAXIMAL, MAXIMAL_BUDGET);
}

#[test]
fn the_program_with_nothing_keeps_to_its_budget() {
    check("nothing", MINIMAL, MINIMAL_BUDGET);
}

/// Each switch alone: what is deleted for one form must not be missing in another.
#[test]
fn every_single_option_is_accepted() {
    let off = "packets = \"off\"\nconnections = \"off\"";
    let options = [
        "protect_self = false".to_owned(),
        "deny = [{ cidr = \"203.0.113.0/24\" }]".to_owned(),
        "deny = [{ cidr = \"2001:db8::/32\" }]".to_owned(),
        "allow = [{ cidr = \"2001:db8::/32\" }]".to_owned(),
        "deny = [{ cidr = \"203.0.113.1\" }]".to_owned(),
        "deny = [{ cidr = \"2001:db8::1\" }]".to_owned(),
        "interfaces = [\"a0\", \"a1\"]".to_owned(),
        format!("[limits]\n{off}\nbytes = \"100MiB/s\""),
        "[limits]\npackets = \"off\"".to_owned(),
        format!("[limits]\n{off}\nprotocol = {{ udp = \"1M/s\" }}"),
        format!("[limits]\n{off}\naggregate = {{ packets = \"1M/s\" }}"),
        format!("[limits]\n{off}\nnew_sources = \"off\""),
        format!("[limits]\n{off}\nnew_sources = \"off\"\nprotocol = {{ stray = \"1M/s\" }}"),
        "[limits]\nban = { after = \"1s\" }".to_owned(),
        format!("[limits]\n{off}\nbytes = \"1MB/s\"\nban = {{ after = \"1s\" }}"),
        "[[service]]\nname = \"a\"\nports = [1]\nlimits = { bytes = \"1MB/s\" }".to_owned(),
        "[limits]\nconnections = \"off\"".to_owned(),
        "[limits]\nipv6_prefix = 32".to_owned(),
        "[limits]\nipv6_prefix = 127".to_owned(),
        "[[service]]\nname = \"a\"\nports = [1]\nallow = [\"10.0.0.0/8\"]".to_owned(),
        "[[service]]\nname = \"a\"\nports = [1]\nallow = [\"2001:db8::/32\"]".to_owned(),
    ];
    for option in options {
        let verified = verified(&option, MANUAL);
        println!("{}: {verified}", option.replace('\n', "; "));
        verified.assert_within(MAXIMAL_BUDGET);
    }
}

#[test]
#[ignore = "boots virtual machines: `cargo xtask test --full`"]
fn older_kernels_accept_every_form() -> Result<()> {
    machine::repeat_on_older_kernels(&["--nocapture", "--test-threads=1"])
}
