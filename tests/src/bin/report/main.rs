//! Makes a document of the benchmarks' stored reports, and holds one report against another.
//!
//! `cargo xtask bench` starts it; it measures nothing itself.

#![forbid(unsafe_code)]

/// Prints a line. A reader that has read enough, such as `head`, is no failure.
macro_rules! say {
    ($($text:tt)*) => {{
        use std::io::Write as _;
        let _ = writeln!(std::io::stdout(), $($text)*);
    }};
}

mod compare;
mod document;
mod notes;
mod peers;
mod plot;
mod publish;
mod rank;
mod stored;
mod table;
mod wins;

#[cfg(test)]
mod fixture;

use std::{path::PathBuf, process::ExitCode};

use anyhow::Result;
use clap::Parser;

#[derive(Parser)]
#[command(
    name = "report",
    about = "Show what the benchmarks measured, or hold one run against another",
    version
)]
struct Flags {
    /// Folder of the stored reports and their notes; the plots are put there
    #[arg(long, value_name = "FOLDER", requires = "document")]
    #[arg(required_unless_present = "compare")]
    folder: Option<PathBuf>,
    /// The Markdown document to write, in a folder above the stored reports
    #[arg(long, value_name = "FILE", requires = "folder")]
    document: Option<PathBuf>,
    /// Print what the second report has better or worse than the first
    #[arg(long, num_args = 2, value_names = ["OLD", "NEW"], conflicts_with = "folder")]
    compare: Vec<PathBuf>,
}

fn main() -> ExitCode {
    match run(&Flags::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run(flags: &Flags) -> Result<()> {
    if let (Some(folder), Some(document)) = (&flags.folder, &flags.document) {
        publish::publish(folder, document)?;
    }
    if let [old, new] = flags.compare.as_slice() {
        let text = compare::compare(&stored::read(old)?, &stored::read(new)?);
        say!("{}", text.trim_end());
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;

    use super::*;

    #[test]
    fn flags_are_sound() {
        Flags::command().debug_assert();
    }

    #[test]
    fn it_makes_a_document_or_compares() {
        let parsed = |line: &str| Flags::try_parse_from(line.split(' ')).is_ok();
        assert!(parsed("report --folder a --document b"));
        assert!(parsed("report --compare a b"));
        for wrong in [
            "report",
            "report --folder a",
            "report --document b",
            "report --compare a",
            "report --compare a b --folder c --document d",
        ] {
            assert!(!parsed(wrong), "{wrong}");
        }
    }
}
