//! The start-up test-run: what the kernel side says of itself.

use anyhow::{Context as _, Result, ensure};
use aya::{Ebpf, TestRun as _, TestRunOptions, programs::Xdp};
use aya_log::EbpfLogger;

use super::{STARTUP_PROGRAM, program};

/// Runs the start-up program of a loaded kernel side; what it says goes to the log.
pub(super) fn report(ebpf: &mut Ebpf) -> Result<()> {
    let mut logger = EbpfLogger::init(ebpf).context("reading the log of the kernel side")?;
    let reading = read(program(ebpf, STARTUP_PROGRAM)?)?;
    logger.flush();
    ensure!(
        reading.ns > 0,
        "the start-up program ran, but did not answer"
    );
    Ok(())
}

/// Both clocks at one instant.
#[derive(Clone, Copy)]
pub(super) struct Reading {
    pub(super) jiffies: u64,
    pub(super) ns: u64,
}

/// Reads them.
pub(super) fn read(program: &Xdp) -> Result<Reading> {
    let frame = [0_u8; 64];
    let mut answer = [0_u8; 64];
    let options = TestRunOptions {
        data_in: Some(&frame),
        data_out: Some(&mut answer),
        ..TestRunOptions::default()
    };
    program
        .test_run(options)
        .context("the start-up test-run failed")?;
    let word = |at: usize| u64::from_ne_bytes(std::array::from_fn(|byte| answer[at + byte]));
    Ok(Reading {
        jiffies: word(0),
        ns: word(8),
    })
}
