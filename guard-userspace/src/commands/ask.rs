//! Commands that ask the running agent.

use std::process::ExitCode;

use guard::{
    cli::{
        AgentFlags, BypassCommand, EntryCommand, EventsFlags, ExplainFlags, OutputFormat,
        ReloadFlags, StatusFlags, UnbanFlags,
    },
    client::{self, ClientError},
    control::{Bypass, Reload},
    entries::{Addition, Banned, Done, Edit, List, Listed, Unban},
    explanation::Explanation,
    printable, ssh,
    status::Status,
};
use serde::Serialize;

use super::{
    AGENT_FAILED, BAD_CONFIGURATION, NO_AGENT,
    follow::follow,
    import::additions,
    output::{failure, print, print_json, report, say},
};

pub(crate) async fn status(flags: &StatusFlags) -> ExitCode {
    let status: Result<Status, _> = client::fetch(&flags.socket, "/v1/status").await;
    answer(status, flags.output, Status::render)
}

pub(crate) async fn entries(list: List, command: EntryCommand) -> ExitCode {
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
                add: flags.cidrs.into_iter().map(Addition::from).collect(),
                remove: Vec::new(),
                reason: flags.reason,
                seconds: flags.period.map(|period| period.as_secs()),
                ssh_connection: ssh::own(),
            };
            (edit, flags.agent)
        }
        EntryCommand::Import(flags) => {
            let add = match additions(&flags.file) {
                Ok(add) => add,
                Err(wrong) => return report(BAD_CONFIGURATION, &wrong),
            };
            let edit = Edit {
                list,
                add,
                remove: Vec::new(),
                reason: flags.reason,
                seconds: flags.period.map(|period| period.as_secs()),
                ssh_connection: ssh::own(),
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
                ssh_connection: ssh::own(),
            };
            (edit, flags.agent)
        }
    };
    let asked = client::change(&agent.socket, "/v1/entries", &edit).await;
    changed(asked, AGENT_FAILED)
}

pub(crate) async fn bans(flags: &StatusFlags) -> ExitCode {
    let bans: Result<Vec<Banned>, _> = client::fetch(&flags.socket, "/v1/bans").await;
    answer(bans, flags.output, |bans| {
        bans.iter().map(|banned| banned.render() + "\n").collect()
    })
}

pub(crate) async fn events(flags: &EventsFlags) -> ExitCode {
    let StatusFlags { socket, output } = &flags.answer;
    if flags.follow {
        return follow(socket, *output).await;
    }
    let events: Result<Vec<serde_json::Value>, _> = client::fetch(socket, "/v1/events").await;
    answer(events, *output, |events| {
        let texts = events.iter().filter_map(|event| event["text"].as_str());
        texts.map(|text| text.to_owned() + "\n").collect()
    })
}

pub(crate) async fn unban(flags: UnbanFlags) -> ExitCode {
    let unban = Unban {
        addresses: flags.addresses,
        all: flags.all,
    };
    let asked = client::change(&flags.agent.socket, "/v1/unban", &unban).await;
    changed(asked, AGENT_FAILED)
}

pub(crate) async fn reload(flags: &ReloadFlags) -> ExitCode {
    let reload = Reload {
        force: flags.force,
        confirm_seconds: flags.confirm.map(|time| time.as_secs()),
    };
    let asked = client::change(&flags.agent.socket, "/v1/reload", &reload).await;
    changed(asked, BAD_CONFIGURATION)
}

pub(crate) async fn confirm(flags: &AgentFlags) -> ExitCode {
    let asked = client::change(&flags.socket, "/v1/confirm", &serde_json::json!({})).await;
    changed(asked, AGENT_FAILED)
}

pub(crate) async fn bypass(command: BypassCommand) -> ExitCode {
    let (seconds, agent) = match command {
        BypassCommand::On(flags) => (Some(flags.period.as_secs()), flags.agent),
        BypassCommand::Off(agent) => (None, agent),
    };
    let asked = client::change(&agent.socket, "/v1/bypass", &Bypass { seconds }).await;
    changed(asked, AGENT_FAILED)
}

pub(crate) async fn explain(flags: &ExplainFlags) -> ExitCode {
    let port = flags
        .port
        .map_or(String::new(), |port| format!("?port={port}"));
    let path = format!("/v1/explain/{}{port}", flags.address);
    let explained: Result<Explanation, _> = client::fetch(&flags.answer.socket, &path).await;
    answer(explained, flags.answer.output, Explanation::render)
}

/// Shows what the agent answers.
pub(crate) fn answer<T: Serialize>(
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
pub(crate) fn changed(asked: Result<Done, ClientError>, refused: u8) -> ExitCode {
    match asked {
        Ok(done) => {
            for warning in done.warnings {
                say(&format!("guard: warning: {}\n", printable::line(&warning)));
            }
            ExitCode::SUCCESS
        }
        Err(error) => no_answer(&error, refused),
    }
}

pub(crate) fn no_answer(error: &ClientError, refused: u8) -> ExitCode {
    match error {
        // A refused configuration has many problems, and each its place.
        ClientError::Refused(said) => report(refused, said),
        ClientError::NoAgent { .. } => failure(NO_AGENT, &error.to_string()),
        ClientError::Answer { .. } | ClientError::Forbidden { .. } | ClientError::Failed(_) => {
            failure(AGENT_FAILED, &error.to_string())
        }
    }
}
