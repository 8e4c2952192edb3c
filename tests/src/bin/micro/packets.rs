//! Nanoseconds a packet, and the programs they are spent in.

use anyhow::{Context as _, Result};
use aya::programs::Xdp;
use guard::kernel::Tick;
use lab::bench::{
    Scale,
    lists::Lists,
    load::Loaded,
    meter::Meter,
    report::Recorder,
    rows::{ROWS, Row},
    table::{Table, count},
    xdp_filter::XdpFilter,
    yardsticks::Yardsticks,
};

const PACKETS: Table = Table::less("Nanoseconds a packet", "ns");
const INSTRUCTIONS: Table = Table::neither("Program", "instructions");
const BYTES: Table = Table::neither("Program", "bytes");

/// Measures every row, and then says what the programs are like.
pub(crate) fn measure(
    scale: &Scale,
    lists: &Lists,
    tick: Tick,
    recorder: &mut Recorder,
) -> Result<()> {
    methods(scale, recorder);
    let mut meter = Meter::new(*scale)?;
    let mut programs = Vec::new();
    for rows in ROWS.chunk_by(|one, next| one.settings == next.settings) {
        let settings = rows[0].settings;
        let listed = settings.lists.then_some(lists);
        let mut loaded = Loaded::new(settings.text, listed, tick)
            .with_context(|| format!("loading guard with {}", settings.name))?;
        programs.push(Size::of(settings.name, loaded.kernel.program()?)?);
        let yardsticks = yardsticks(&rows[0])?;
        for row in rows {
            measure_row(
                row,
                &mut loaded,
                yardsticks.as_ref(),
                lists,
                &mut meter,
                recorder,
            )?;
        }
        if let Some(yardsticks) = yardsticks {
            for (name, program) in yardsticks.programs() {
                let size = Size::of(name, program)?;
                if !programs.iter().any(|known: &Size| known.row == size.row) {
                    programs.push(size);
                }
            }
        }
    }
    programs.iter().try_for_each(|size| size.record(recorder))
}

fn methods(scale: &Scale, recorder: &mut Recorder) {
    recorder.method(
        PACKETS.title,
        format!(
            "{} rounds of {} test-runs of the real programs, attached to nothing, on one core: thread \
             CPU time, net of an empty XDP program that has its turn before each. In each round every \
             column of a row has its turn.",
            scale.rounds,
            count(scale.repeat as usize)
        ),
    );
    recorder.method(
        PACKETS.title,
        format!(
            "The lists are {} addresses and {} prefixes of each family, from a fixed seed. xdp-filter is \
             that of the package xdp-tools, with the program for addresses and with the one for \
             everything; the hash drop is an XDP program that finds the source in a hash table or passes \
             the packet. They do the same as guard with the source, and nothing of the rest.",
            count(scale.addresses),
            count(scale.prefixes)
        ),
    );
    if !XdpFilter::is_installed() {
        recorder.method(
            PACKETS.title,
            "xdp-filter is not installed here, and left out.",
        );
    }
    recorder.method(
        INSTRUCTIONS.title,
        "Instructions that the verifier went through, and bytes of the program as the kernel keeps it, \
         translated and compiled.",
    );
}

/// Where they do the same, such as the other rows with these settings do too.
fn yardsticks(row: &Row) -> Result<Option<Yardsticks>> {
    let denied = row.denied_sources().map(str::parse);
    let [v4, v6] = denied;
    if row.has_yardsticks() {
        return Yardsticks::new(&[v4?, v6?]).map(Some);
    }
    Ok(None)
}

fn measure_row(
    row: &Row,
    loaded: &mut Loaded,
    yardsticks: Option<&Yardsticks>,
    lists: &Lists,
    meter: &mut Meter,
    recorder: &mut Recorder,
) -> Result<()> {
    let yardsticks = yardsticks.filter(|_| row.has_yardsticks());
    let programs = yardsticks.map_or(&[][..], Yardsticks::programs);
    if let Some(yardsticks) = yardsticks {
        yardsticks.ensure_drop(&row.traffic.frame(lists)?, row.is_denied())?;
    }
    let others: Vec<_> = programs.iter().map(|(_, program)| program).collect();
    let costs = row.measure(&mut loaded.kernel, &others, lists, meter)?;
    let names = std::iter::once("guard").chain(programs.iter().map(|(name, _)| *name));
    for (column, cost) in names.zip(costs) {
        PACKETS.add(recorder, row.name, column, cost.samples)?;
    }
    Ok(())
}

/// How large a program is.
struct Size {
    row: String,
    verified: u32,
    translated: u32,
    jitted: u32,
}

impl Size {
    fn of(row: &str, program: &Xdp) -> Result<Self> {
        let info = program.info()?;
        Ok(Self {
            row: row.to_owned(),
            verified: info.verified_instruction_count().unwrap_or(0),
            translated: info.size_translated().unwrap_or(0),
            jitted: info.size_jitted(),
        })
    }

    fn record(&self, recorder: &mut Recorder) -> Result<()> {
        let row = &self.row;
        INSTRUCTIONS.add(recorder, row, "verified", vec![self.verified.into()])?;
        BYTES.add(recorder, row, "translated", vec![self.translated.into()])?;
        BYTES.add(recorder, row, "compiled", vec![self.jitted.into()])
    }
}
