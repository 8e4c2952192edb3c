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
        self, CheckFlags, Command, DoctorFlags, EntryCommand, ExplainFlags, OutputFormat,
        ReplayFlags, RunFlags, StatusFlags,
    },
    client::{self, ClientError},
    config::{Config, ConfigErrors, Style},
    doctor,
    entries::{Banned, Done, Edit, Explanation, List, Listed, Unban},
    logging::Log,
    replay, ssh,
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
        Command::Allow(command) => entries(List::Allow, command).await,
        Command::Deny(command) => entries(List::Deny, command).await,
        Command::Bans(flags) => bans(&flags).await,
        Command::Unban(flags) => {
            let unban = Unban {
                addresses: flags.addresses,
                all: flags.all,
            };
            let asked = client::change(&flags.agent.socket, "/v1/unban", &unban).await;
            changed(asked, AGENT_FAILED)
        }
        Command::Explain(flags) => explain(&flags).await,
        Command::Reload(flags) => {
            let asked = client::change(&flags.agent.socket, "/v1/reload", &()).await;
            changed(asked, BAD_CONFIGURATION)
        }
        Command::Events(flags) => events(&flags).await,
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
    let ended = agent::run(config, flags.clone(), log.dropped()).await;
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
    let status: Result<Status, _> = client::fetch(&flags.socket, "/v1/status").await;
    answer(status, flags.output, Status::render)
}

async fn entries(list: List, command: EntryCommand) -> ExitCode {
    let (edit, agent) = match command {
        EntryCommand::List(flags) => {
            let path = format!("/v1/entries/{list}");
            let entries: Result<Vec<Listed>, _> = client::fetch(&flags.socket, &path).await;
            return answer(entries, flags.output, |entries| {
                entries.iter().map(|entry| entry.render() + "\n").collect()
            });
        }
        EntryCommand::Add(flags) => {
            let edit = Edit {
                list,
                add: flags.cidrs,
                remove: Vec::new(),
                reason: flags.reason,
                seconds: flags.period.map(|period| period.as_secs()),
                ssh_client: ssh::client(),
            };
            (edit, flags.agent)
        }
        EntryCommand::Remove(flags) => {
            let edit = Edit {
                list,
                add: Vec::new(),
                remove: flags.cidrs,
                reason: None,
                seconds: None,
                ssh_client: None,
            };
            (edit, flags.agent)
        }
    };
    let asked = client::change(&agent.socket, "/v1/entries", &edit).await;
    changed(asked, AGENT_FAILED)
}

async fn bans(flags: &StatusFlags) -> ExitCode {
    let bans: Result<Vec<Banned>, _> = client::fetch(&flags.socket, "/v1/bans").await;
    answer(bans, flags.output, |bans| {
        bans.iter().map(|banned| banned.render() + "\n").collect()
    })
}

async fn events(flags: &StatusFlags) -> ExitCode {
    let events: Result<Vec<serde_json::Value>, _> =
        client::fetch(&flags.socket, "/v1/events").await;
    answer(events, flags.output, |events| {
        let texts = events.iter().filter_map(|event| event["text"].as_str());
        texts.map(|text| text.to_owned() + "\n").collect()
    })
}

async fn explain(flags: &ExplainFlags) -> ExitCode {
    let path = format!("/v1/explain/{}", flags.address);
    let explained: Result<Explanation, _> = client::fetch(&flags.answer.socket, &path).await;
    answer(explained, flags.answer.output, Explanation::render)
}

/// Shows what the agent answers.
fn answer<T: Serialize>(
    answer: Result<T, ClientError>,
    output: OutputFormat,
    render: impl FnOnce(&T) -> String,
) -> ExitCode {
    match (answer, output) {
        (Ok(answer), OutputFormat::Json) => print_json(&answer),
        (Ok(answer), OutputFormat::Table) => print(&render(&answer)),
        (Err(error), _) => no_answer(&error, AGENT_FAILED),
    }
}

/// Says whether the agent did what it was asked for; `refused` is the exit code when it did not.
fn changed(asked: Result<Done, ClientError>, refused: u8) -> ExitCode {
    match asked {
        Ok(done) => {
            for warning in done.warnings {
                say(&format!("guard: warning: {warning}\n"));
            }
            ExitCode::SUCCESS
        }
        Err(error) => no_answer(&error, refused),
    }
}

fn no_answer(error: &ClientError, refused: u8) -> ExitCode {
    let code = match error {
        ClientError::NoAgent { .. } => NO_AGENT,
        ClientError::Answer { .. } => AGENT_FAILED,
        ClientError::Refused(_) => refused,
    };
    failure(code, &error.to_string())
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
