//! Loading programs into the kernel, which verifies them first.

use std::thread;

use anyhow::{Context as _, Error, Result, bail};
use aya::{
    Ebpf,
    programs::{Program, ProgramError},
};

/// Loads these programs at once: verifying the largest takes longer than everything else at a start.
pub(super) fn all<'n>(ebpf: &mut Ebpf, names: impl Iterator<Item = &'n str>) -> Result<()> {
    let names: Vec<&str> = names.collect();
    thread::scope(|scope| {
        let wanted = ebpf.programs_mut().filter(|(name, _)| names.contains(name));
        let loading: Vec<_> = wanted
            .map(|(name, program)| scope.spawn(move || verify(program, name)))
            .collect();
        let loaded = loading.into_iter().map(|loading| {
            let verified = loading.join();
            // A panic goes on where it is waited for.
            verified.unwrap_or_else(|panic| std::panic::resume_unwind(panic))
        });
        // Every one is waited for, and the first error is told.
        loaded.fold(Ok(()), Result::and)
    })
}

/// Loads a program. Of what the verifier says against it, which is long, the error holds the last
/// line; all of it goes to the log as `debug`.
fn verify(program: &mut Program, name: &str) -> Result<()> {
    let loaded = match program {
        Program::Xdp(program) => program.load(),
        Program::SchedClassifier(program) => program.load(),
        _ => bail!("the program {name} is of no kind that guard has"),
    };
    let Err(error) = loaded else {
        return Ok(());
    };
    let ProgramError::LoadError {
        io_error,
        verifier_log,
    } = error
    else {
        return Err(error).with_context(|| format!("loading the program {name}"));
    };
    let log = verifier_log.to_string();
    tracing::debug!(program = name, log, "refused by the verifier");
    let reason = verdict_line(&log)
        .unwrap_or("it does not say why")
        .to_owned();
    Err(Error::new(io_error))
        .with_context(|| format!("the kernel's verifier refused the program {name}: {reason}"))
}

/// The line of a verifier's log that says why: the last one before its statistics.
fn verdict_line(log: &str) -> Option<&str> {
    let statistics = ["processed ", "stack depth ", "verification time "];
    log.lines()
        .map(str::trim)
        .rfind(|line| !line.is_empty() && !statistics.iter().any(|start| line.starts_with(start)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_verifier_gives_its_reason_last() {
        let log = "0: R1=ctx()\nR4 invalid zero-sized read\nverification time 3 usec\n\
                   stack depth 8\nprocessed 4 insns (limit 1000000)\n\n";
        assert_eq!(verdict_line(log), Some("R4 invalid zero-sized read"));
        assert_eq!(verdict_line(""), None);
    }
}
