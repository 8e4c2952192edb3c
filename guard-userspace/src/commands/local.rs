//! Commands that need no running agent.

use std::{
    io::{BufWriter, IsTerminal as _, stderr, stdout},
    path::Path,
    process::ExitCode,
};

use guard::{
    agent::{self, Chosen},
    cli::{CheckFlags, DetachFlags, DoctorFlags, OutputFormat, ReplayFlags, RunFlags},
    config::{Config, ConfigErrors, Style},
    doctor,
    logging::Log,
    replay,
};

use super::{
    BAD_CONFIGURATION, START_FAILED,
    output::{failure, print, print_json, say},
};

pub(crate) async fn run(flags: &RunFlags) -> ExitCode {
    let chosen = match Chosen::of(flags) {
        Ok(chosen) => chosen,
        Err(errors) => return bad_configuration(&errors),
    };
    let log = Log::start(flags.log_format);
    let ended = Box::pin(agent::run(chosen, flags.clone(), log.dropped())).await;
    // What failed is said last.
    drop(log);
    match ended {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => failure(START_FAILED, &format!("{error:#}")),
    }
}

pub(crate) fn check(flags: &CheckFlags) -> ExitCode {
    let config = match Config::check(flags.config.as_deref()) {
        Ok(config) => config,
        Err(errors) => return bad_configuration(&errors),
    };
    match flags.output {
        OutputFormat::Json => print_json(&config),
        OutputFormat::Table => {
            let name = flags
                .config
                .as_deref()
                .unwrap_or(Path::new("defaults"))
                .display();
            print(&format!("{name}: ok: {}\n", config.summary()))
        }
    }
}

pub(crate) fn replay(flags: &ReplayFlags) -> ExitCode {
    let config = match Config::replay(flags.config.as_deref()) {
        Ok(config) => config,
        Err(errors) => return bad_configuration(&errors),
    };
    match replay::run(&config, flags, &mut BufWriter::new(stdout())) {
        Ok(()) => ExitCode::SUCCESS,
        // A reader that has read enough.
        Err(error) if replay::is_broken_pipe(&error) => ExitCode::SUCCESS,
        Err(error) => failure(START_FAILED, &format!("{error:#}")),
    }
}

pub(crate) async fn detach(flags: &DetachFlags) -> ExitCode {
    match agent::detach(&flags.state_dir, &flags.bpffs).await {
        Ok(names) if names.is_empty() => print("nothing was attached\n"),
        Ok(names) => print(&format!("detached from {}\n", names.join(", "))),
        Err(error) => failure(START_FAILED, &format!("{error:#}")),
    }
}

pub(crate) async fn diagnose(flags: &DoctorFlags) -> ExitCode {
    let config = match Config::check(flags.config.as_deref()) {
        Ok(config) => config,
        Err(errors) => return bad_configuration(&errors),
    };
    let report = doctor::run(flags, &config).await;
    let printed = match flags.output {
        OutputFormat::Json => print_json(&report),
        OutputFormat::Table => print(&report.render()),
    };
    if report.passed() {
        printed
    } else {
        ExitCode::from(START_FAILED)
    }
}

pub(crate) fn bad_configuration(errors: &ConfigErrors) -> ExitCode {
    let style = if stderr().is_terminal() {
        Style::Terminal
    } else {
        Style::Plain
    };
    say(&errors.render(style));
    ExitCode::from(BAD_CONFIGURATION)
}
