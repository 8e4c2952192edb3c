//! The `guard` command.
#![forbid(unsafe_code)]

use std::{
    io::{BufWriter, ErrorKind, IsTerminal as _, Write as _, stderr, stdout},
    path::Path,
    process::ExitCode,
};

use guard::{
    agent,
    cli::{
        self, CheckFlags, Command, DoctorFlags, OutputFormat, ReplayFlags, RunFlags, StatusFlags,
    },
    client::{self, ClientError},
    config::{Config, ConfigErrors, Style},
    doctor,
    logging::Log,
    replay,
    status::Status,
};
use serde::Serialize;

/// What a command ends with: see the contract's table of commands.
const START_FAILED: u8 = 1;
const BAD_CONFIGURATION: u8 = 2;
const AGENT_FAILED: u8 = 1;
const NO_AGENT: u8 = 3;

#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    let command = match cli::parse() {
        Ok(command) => command,
        Err(error) => match cli::sentence(&error) {
            Some(sentence) => return failure(BAD_CONFIGURATION, &sentence),
            None => error.exit(),
        },
    };
    match command {
        Command::Run(flags) => run(&flags).await,
        Command::Check(flags) => check(&flags),
        Command::Status(flags) => status(&flags).await,
        Command::Replay(flags) => replay(&flags),
        Command::Doctor(flags) => diagnose(&flags).await,
    }
}

async fn run(flags: &RunFlags) -> ExitCode {
    let config = match Config::resolve(flags.config.as_deref(), flags) {
        Ok(config) => config,
        Err(errors) => return bad_configuration(&errors),
    };
    let log = Log::start(flags.log_format);
    let ended = agent::run(config, log.dropped()).await;
    // What failed is said last.
    drop(log);
    match ended {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => failure(START_FAILED, &format!("{error:#}")),
    }
}

fn check(flags: &CheckFlags) -> ExitCode {
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

async fn status(flags: &StatusFlags) -> ExitCode {
    let status: Status = match client::fetch(&flags.socket, "/v1/status").await {
        Ok(status) => status,
        Err(error) => {
            let code = match error {
                ClientError::NoAgent { .. } => NO_AGENT,
                ClientError::Answer { .. } => AGENT_FAILED,
            };
            return failure(code, &error.to_string());
        }
    };
    match flags.output {
        OutputFormat::Json => print_json(&status),
        OutputFormat::Table => print(&status.render()),
    }
}

fn replay(flags: &ReplayFlags) -> ExitCode {
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

async fn diagnose(flags: &DoctorFlags) -> ExitCode {
    let report = match doctor::run(flags).await {
        Ok(report) => report,
        Err(error) => return failure(START_FAILED, &format!("{error:#}")),
    };
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

fn bad_configuration(errors: &ConfigErrors) -> ExitCode {
    let style = if stderr().is_terminal() {
        Style::Terminal
    } else {
        Style::Plain
    };
    say(&errors.render(style));
    ExitCode::from(BAD_CONFIGURATION)
}

/// One sentence on standard error that says what to do.
fn failure(code: u8, sentence: &str) -> ExitCode {
    say(&format!("guard: {sentence}\n"));
    ExitCode::from(code)
}

/// Writes to standard error. Where that is not possible, the exit code has to do.
fn say(text: &str) {
    let _ = stderr().write_all(text.as_bytes());
}

fn print_json<T: Serialize>(value: &T) -> ExitCode {
    match serde_json::to_string_pretty(value) {
        Ok(text) => print(&(text + "\n")),
        Err(error) => failure(START_FAILED, &format!("cannot write JSON: {error}")),
    }
}

/// Answers on standard output. A reader that has read enough, such as `head`, is no failure.
fn print(text: &str) -> ExitCode {
    let written = stdout()
        .write_all(text.as_bytes())
        .and_then(|()| stdout().flush());
    match written {
        Err(error) if error.kind() != ErrorKind::BrokenPipe => {
            failure(START_FAILED, &format!("cannot write the answer: {error}"))
        }
        _ => ExitCode::SUCCESS,
    }
}
