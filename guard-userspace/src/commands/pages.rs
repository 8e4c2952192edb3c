//! Completions and manual pages, made from the same description as the command line itself.

use std::process::ExitCode;

use guard::cli::{self, CompletionsFlags, ManFlags};

use super::{
    START_FAILED,
    output::{failure, print_exactly},
};

/// What the program is called, whatever its file is.
const NAME: &str = "guard";

pub(crate) fn completions(flags: &CompletionsFlags) -> ExitCode {
    let mut text = Vec::new();
    clap_complete::generate(flags.shell, &mut cli::command(), NAME, &mut text);
    print_exactly(&text)
}

pub(crate) fn man(flags: &ManFlags) -> ExitCode {
    let Some(folder) = &flags.all else {
        let mut text = Vec::new();
        return match clap_mangen::Man::new(cli::command()).render(&mut text) {
            Ok(()) => print_exactly(&text),
            Err(error) => failure(START_FAILED, &format!("cannot write the page: {error}")),
        };
    };
    match clap_mangen::generate_to(cli::command(), folder) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => failure(
            START_FAILED,
            &format!(
                "cannot write the pages to {}: {error}: name a folder that is there and may be \
                 written to",
                folder.display()
            ),
        ),
    }
}
