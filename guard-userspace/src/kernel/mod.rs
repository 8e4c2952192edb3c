//! The kernel side as the agent handles it: load, measure, attach, read.

mod attach;
mod bypass;
mod carried;
mod counters;
mod counts;
mod estate;
mod held;
mod lifelines;
mod linked;
mod mapped;
mod object;
mod pins;
mod place;
mod plan;
mod rules;
mod startup;
mod tick;
mod verify;

use std::{
    fmt,
    path::{Path, PathBuf},
    sync::Arc,
};

use anyhow::{Context as _, Result, bail};
use aya::{
    Ebpf,
    maps::{Array, MapData, RingBuf},
    programs::{SchedClassifier, TestRun as _, TestRunOptions, Xdp},
};
use guard_common::{
    connection::talk::TALK_WAYS,
    reason::{Reason, Verdict},
    wire::{RuleWord, Told},
};
use ipnet::IpNet;
use tracing::warn;

use crate::status::MapStatus;

pub use self::{
    attach::{AttachError, Attachment, Mode, Port, remove_remains},
    counters::{Counters, EventCounts},
    estate::{Estate, forget as forget_estate},
    place::{Hook, Left, Place},
    plan::{FeedRules, Plan},
    rules::{MAX_ADDRESSES, MAX_PREFIXES, NoRoom, RuleCounts},
    tick::Tick,
};
use self::{carried::Carried, pins::Pins, place::Generation, rules::Rules};

/// The program that judges packets, as the kernel lists it.
pub const PROGRAM: &str = "guard";
/// The program that sees what leaves.
const DEPARTURES: &str = "guard_egress";
/// The program that is run once, at start.
const STARTUP_PROGRAM: &str = "guard_startup";
/// The program that gives up quiet connections.
const SWEEP_PROGRAM: &str = "guard_sweep";
/// The program that sees what passes to the stack.
const ARRIVALS: &str = "guard_arrival";
/// Connections that one run of the sweep looks at.
const SWEPT_AT_ONCE: u32 = 64;

/// How many of the connections a sweep looks at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Share {
    /// Every one.
    All,
    /// A quarter: each is looked at in every fourth sweep.
    Quarter,
}

/// A loaded kernel side. Dropping it unloads everything that is not attached.
pub struct Kernel {
    ebpf: Ebpf,
    plan: Plan,
    /// Where nothing outlives us, nobody else can remove them.
    pins: Option<Pins>,
    generation: Option<Generation>,
    /// Where the next program finds what this one leaves to it. Dropped last.
    place: Option<Arc<Place>>,
    program_id: u32,
    sees_departures: bool,
    sees_arrivals: bool,
    hash_seed: [u64; 2],
    /// Runs of the sweep that look at every connection; none where nobody looks.
    sweep_runs: u32,
    tables: Vec<MapStatus>,
    rules: Rules,
    /// What it counts.
    pub counters: Counters,
}

impl fmt::Debug for Kernel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Kernel").finish_non_exhaustive()
    }
}

impl Kernel {
    /// Loads the kernel side, has it verified, and runs its start-up program, which says in the
    /// log what it was told. With a `place` its maps are pinned there, and it can be succeeded.
    pub fn load(plan: &Plan, place: Option<Place>) -> Result<Self> {
        let place = place.map(Arc::new);
        let generation = place
            .as_deref()
            .map(|place| Generation::make(place, 1))
            .transpose()?;
        Self::load_with(plan, place, generation, Carried::default())
    }

    /// The same, going on with what an earlier agent has left.
    pub fn inherit(plan: &Plan, place: Place, estate: &Estate) -> Result<Self> {
        let generation = Generation::make(&place, estate.next_generation())?;
        estate.hand_to(&generation, plan)?;
        let place = Some(Arc::new(place));
        Self::load_with(plan, place, Some(generation), Carried::default())
    }

    /// Loads another kernel side, as `plan` wants it, that goes on with what this one has learned
    /// and counted. This one stays in force until [`Kernel::take_on`].
    pub fn succeed(&self, plan: &Plan) -> Result<Self> {
        let (Some(place), Some(current)) = (&self.place, &self.generation) else {
            bail!(
                "a new program cannot take over from the one that runs: that takes a BPF file \
                 system (`mount -t bpf bpf /sys/fs/bpf`); restart guard instead"
            );
        };
        let generation = Generation::make(place, current.number.wrapping_add(1))?;
        for name in estate::same_maps(&self.plan, plan) {
            generation.take(name, &current.path(name))?;
        }
        let carried = self.counters.carried().clone();
        Self::load_with(plan, Some(Arc::clone(place)), Some(generation), carried)
    }

    fn load_with(
        plan: &Plan,
        place: Option<Arc<Place>>,
        generation: Option<Generation>,
        carried: Carried,
    ) -> Result<Self> {
        let mut ebpf = object::load(plan, generation.as_ref())?;
        let sees_departures = plan.needs_departures();
        let sees_arrivals = plan.settings.resets != 0;
        let sweeps = plan.settings.checks != 0;
        let wanted = [
            (PROGRAM, true),
            (STARTUP_PROGRAM, true),
            (DEPARTURES, sees_departures),
            (ARRIVALS, sees_arrivals),
            (SWEEP_PROGRAM, sweeps),
        ];
        let wanted = wanted.into_iter().filter(|(_, is_wanted)| *is_wanted);
        verify::all(&mut ebpf, wanted.map(|(name, _)| name))?;
        let talks = (plan.settings.talk_mask + 1) * TALK_WAYS;
        let sweep_runs = if sweeps {
            talks.div_ceil(SWEPT_AT_ONCE)
        } else {
            0
        };
        if let Some(generation) = &generation {
            generation.complete(&ebpf)?;
        }
        let lasting = generation
            .as_ref()
            .filter(|_| place.as_ref().is_some_and(|place| place.is_lasting()));
        let pins = lasting
            .map(|generation| Pins::of(generation.folder(), estate::names()))
            .transpose()?;
        startup::report(&mut ebpf)?;
        let tables = object::tables(&ebpf)?;
        let rules = Rules::fill(&mut ebpf, plan.all_rules(), plan.settings.hash_seed)?;
        let counters = Counters::new(&mut ebpf, plan.labels.clone(), carried)?;
        let program_id = program(&mut ebpf, PROGRAM)?
            .info()
            .context("what the kernel calls the program")?
            .id();
        Ok(Self {
            ebpf,
            plan: plan.clone(),
            place,
            pins,
            generation,
            program_id,
            sees_departures,
            sees_arrivals,
            hash_seed: plan.settings.hash_seed,
            sweep_runs,
            tables,
            rules,
            counters,
        })
    }

    /// Takes over the counts of an earlier agent, whose programs are gone.
    pub fn settle(&mut self, estate: &Estate) -> Result<()> {
        if let Some(generation) = &self.generation {
            self.counters.carry(estate.carried(generation)?);
        }
        Ok(())
    }

    /// Where this one tells what it sees, if the names of what it tells of are others than those of the
    /// kernel side before it: then its events have a ring of their own.
    pub fn voice_after(&mut self, before: &Self) -> Result<Option<RingBuf<MapData>>> {
        let is_other = before.plan.labels != self.plan.labels;
        is_other.then(|| self.take_events()).transpose()
    }

    /// Takes over the counts of the kernel side before this one, which counts nothing any more, as far
    /// as they have other places here.
    pub fn settle_after(&mut self, before: &Self) {
        let (Some(old), Some(new)) = (&before.generation, &self.generation) else {
            return;
        };
        if before.plan.labels == self.plan.labels {
            return;
        }
        let mut carried = before.counters.carried().clone();
        if let Err(error) = carried.add_left(old.folder(), &before.plan.labels, new) {
            let error = format!("{error:#}");
            warn!(error, "some of what was counted before cannot be read");
        }
        self.counters.carry(carried);
    }

    /// Writes down for the next agent what it needs to go on with the maps of this one. Where
    /// nothing outlives this one there is nothing to write.
    pub fn bequeath(&self, state_dir: &Path) -> Result<()> {
        let (Some(place), Some(generation)) = (&self.place, &self.generation) else {
            return Ok(());
        };
        if !place.is_lasting() {
            return Ok(());
        }
        estate::write(state_dir, generation, &self.plan, self.counters.carried())?;
        place.sweep(Some(generation.folder()));
        Ok(())
    }

    /// Sees to it that the maps which the next one goes on with are pinned still. How many pins were
    /// not there, or not ours, and are again; and what hinders others.
    pub fn mend_pins(&mut self) -> (u64, Result<()>) {
        let pins = self.pins.as_mut();
        pins.map_or((0, Ok(())), Pins::mend)
    }

    /// Where it is pinned.
    pub fn place(&self) -> Option<&Place> {
        self.place.as_deref()
    }

    /// Leaves the maps' pins to the next agent when this is dropped.
    pub fn leave(&mut self) {
        if let Some(generation) = &mut self.generation {
            generation.leave();
        }
    }

    /// Gives each network its rule, or takes it away: all of them, or none.
    ///
    /// # Errors
    /// [`NoRoom`], or the kernel cannot be told.
    pub fn change_rules(&mut self, changes: &[(IpNet, Option<RuleWord>)]) -> Result<()> {
        self.rules.change(changes)
    }

    /// The rule of exactly this network, if it has one.
    pub fn rule(&self, net: IpNet) -> Option<RuleWord> {
        self.rules.get(net)
    }

    /// What the program tells of single packets. There is one reader.
    pub fn take_events(&mut self) -> Result<RingBuf<MapData>> {
        let map = self
            .ebpf
            .take_map("EVENTS")
            .context("the events have a reader already")?;
        map.try_into().context("EVENTS is not a ring buffer")
    }

    /// The program that judges packets.
    pub fn program(&mut self) -> Result<&mut Xdp> {
        program(&mut self.ebpf, PROGRAM)
    }

    /// The program that sees what leaves, where something depends on it.
    pub fn departures(&mut self) -> Option<&mut SchedClassifier> {
        let program = self
            .sees_departures
            .then(|| classifier(&mut self.ebpf, DEPARTURES))?;
        program.ok()
    }

    /// The program that sees what passes to the stack, where connections are broken off.
    pub fn arrivals(&mut self) -> Option<&mut SchedClassifier> {
        let program = self
            .sees_arrivals
            .then(|| classifier(&mut self.ebpf, ARRIVALS))?;
        program.ok()
    }

    /// Looks at a share of the connections, one after the other time by time, and gives up those that
    /// have been quiet for too long. Where nobody looks whether they are encrypted there are none.
    pub fn sweep(&mut self, share: Share) -> Result<()> {
        if self.sweep_runs == 0 {
            return Ok(());
        }
        let frame = [0_u8; 64];
        let options = TestRunOptions {
            data_in: Some(&frame),
            repeat: match share {
                Share::All => self.sweep_runs,
                Share::Quarter => self.sweep_runs.div_ceil(4),
            },
            ..TestRunOptions::default()
        };
        classifier(&mut self.ebpf, SWEEP_PROGRAM)?
            .test_run(options)
            .context("the kernel does not run the program that gives up quiet connections")?;
        Ok(())
    }

    /// The program that was run once, at start.
    pub fn startup(&mut self) -> Result<&mut Xdp> {
        program(&mut self.ebpf, STARTUP_PROGRAM)
    }

    /// What becomes of a frame, without any interface: a test-run of the program, which a plan has
    /// to have told to tell.
    pub fn judge(&mut self, frame: &[u8]) -> Result<(Verdict, Reason)> {
        let options = TestRunOptions {
            data_in: Some(frame),
            ..TestRunOptions::default()
        };
        let answer = self
            .program()?
            .test_run(options)
            .context("the kernel does not run the program on it")?;
        Told(answer.return_value)
            .read()
            .context("the program does not tell what it did")
    }

    /// Shows a frame that the host sends, without any interface, to the program that sees what
    /// leaves, where something depends on it. Of the frame, its start suffices.
    pub fn sees_leave(&mut self, frame: &[u8]) -> Result<()> {
        /// The kernel's test-run takes about a page; of what is said first that is enough.
        const ENOUGH: usize = 3_000;
        /// And wants a whole IP header, of either family.
        const LEAST: usize = 14 + 40;
        let mut headers = frame[..frame.len().min(ENOUGH)].to_vec();
        headers.resize(headers.len().max(LEAST), 0);
        let options = TestRunOptions {
            data_in: Some(&headers),
            ..TestRunOptions::default()
        };
        if let Some(program) = self.departures() {
            program
                .test_run(options)
                .context("the kernel does not run the program for what leaves")?;
        }
        Ok(())
    }

    /// Where it is pinned if nobody else can name that.
    pub fn private_place(&self) -> Option<PathBuf> {
        let place = self.place.as_ref().filter(|place| !place.is_lasting())?;
        Some(place.path())
    }

    /// What the kernel calls the program that judges packets.
    pub fn program_id(&self) -> u32 {
        self.program_id
    }

    /// Sets the clock of a plan with [`guard_common::wire::Clock::Manual`].
    pub fn set_manual_clock(&mut self, now_ns: u64) -> Result<()> {
        let mut clock: Array<&mut MapData, u64> = object::map(&mut self.ebpf, "CLOCK")?;
        clock.set(0, now_ns, 0).context("setting CLOCK")
    }

    /// Whether its maps are pinned where others find them.
    pub fn is_pinned(&self) -> bool {
        self.place.as_ref().is_some_and(|place| place.is_lasting())
    }

    /// How many rules the kernel holds.
    pub fn rules(&self) -> RuleCounts {
        self.rules.counts()
    }

    /// The tables that traffic or the operator fills, and how much fits.
    pub fn tables(&self) -> Vec<MapStatus> {
        let rules = self.rules.tables();
        self.tables.iter().cloned().chain(rules).collect()
    }
}

fn classifier<'a>(ebpf: &'a mut Ebpf, name: &str) -> Result<&'a mut SchedClassifier> {
    let program = ebpf
        .program_mut(name)
        .with_context(|| format!("the object has no program {name}"))?;
    program
        .try_into()
        .with_context(|| format!("the program {name} is no classifier"))
}

fn program<'a>(ebpf: &'a mut Ebpf, name: &str) -> Result<&'a mut Xdp> {
    let program = ebpf
        .program_mut(name)
        .with_context(|| format!("the object has no program {name}"))?;
    program
        .try_into()
        .with_context(|| format!("the program {name} is not XDP"))
}
