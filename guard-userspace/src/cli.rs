//! The command line.
//!
//! Every error here is one of clap's: it goes to standard error and ends the process with 2.

use std::ffi::OsString;

use clap::error::{ContextKind, ContextValue, ErrorKind};
use clap::{
    Arg, Command as ClapCommand, CommandFactory as _, FromArgMatches as _, Parser, Subcommand,
};

pub use self::flags::{
    AddFlags, AgentFlags, BypassCommand, BypassFlags, CheckFlags, DetachFlags, DoctorFlags,
    EntryCommand, EventsFlags, ExplainFlags, ImportFlags, LogFormat, OutputFormat, ReloadFlags,
    RemoveFlags, ReplayFlags, RunFlags, StatusFlags, UnbanFlags,
};
pub use self::pages::{CompletionsFlags, ManFlags};
pub use self::top::TopFlags;

mod flags;
mod pages;
mod top;

/// Reads the process's command line and environment.
///
/// # Errors
/// What is wrong and what to write instead; `exit` of the error prints it and ends with 2, or
/// with 0 for `--help` and `--version`.
pub fn parse() -> Result<Command, clap::Error> {
    parse_from(std::env::args_os())
}

/// Reads a command line; the first of `arguments` is the program's name.
///
/// # Errors
/// As [`parse`].
pub fn parse_from<A>(arguments: impl IntoIterator<Item = A>) -> Result<Command, clap::Error>
where
    A: Into<OsString> + Clone,
{
    let mut command = Cli::command()
        .subcommands(UNBUILT.map(|(name, _)| unbuilt_command(name)))
        .mut_subcommands(|command| command.mut_args(without_empty_variable));
    let matches = command
        .try_get_matches_from_mut(arguments)
        .map_err(|error| name_variable(error, &mut command))?;
    let unbuilt = UNBUILT
        .iter()
        .find(|(name, _)| matches.subcommand_name() == Some(name));
    if let Some((name, instead)) = unbuilt {
        let message = format!("`guard {name}` is not built yet: {instead}\n");
        return Err(clap::Error::raw(ErrorKind::InvalidSubcommand, message));
    }
    let cli = Cli::from_arg_matches(&matches).map_err(|error| error.format(&mut command))?;
    Ok(cli.command)
}

/// What is wrong with a command line, in one sentence; nothing for help and the version, which are
/// errors to clap too.
pub fn sentence(error: &clap::Error) -> Option<String> {
    let shown = [
        ErrorKind::DisplayHelp,
        ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand,
        ErrorKind::DisplayVersion,
    ];
    if shown.contains(&error.kind()) {
        return None;
    }
    let text = error.render().to_string();
    let lines = text.lines().map(str::trim).filter(|line| {
        let is_usage = line.starts_with("Usage:") || line.starts_with("For more information");
        !line.is_empty() && !is_usage
    });
    let sentence = lines.fold(String::new(), |sentence, line| {
        match line.strip_prefix("tip: ") {
            Some(tip) => format!("{sentence}; {tip}"),
            None if sentence.is_empty() => line.trim_start_matches("error: ").to_owned(),
            None => format!("{sentence} {line}"),
        }
    });
    let has_remedy = sentence.contains("; ") || error.kind() == ErrorKind::ValueValidation;
    if text.contains("For more information") && !has_remedy {
        return Some(format!(
            "{sentence}; `--help` in its place lists what there is"
        ));
    }
    Some(sentence)
}

/// Watches and limits the traffic of a host in XDP, and finds API traffic that is not encrypted.
#[derive(Debug, Parser)]
#[command(
    name = "guard",
    version,
    subcommand_required = true,
    arg_required_else_help = true
)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

/// What to do.
#[derive(Clone, Debug, Subcommand)]
pub enum Command {
    /// Load, attach, protect and serve metrics until SIGTERM or SIGINT
    Run(Box<RunFlags>),
    /// Validate a configuration, with no privilege and without touching the system
    Check(CheckFlags),
    /// Show what the running agent protects, and what it counted
    Status(StatusFlags),
    /// Show the same live in the terminal, with rates and who sends most
    Top(TopFlags),
    /// Let networks through: entries of the running agent, which survive its restart
    #[command(subcommand)]
    Allow(EntryCommand),
    /// Drop networks: entries of the running agent, which survive its restart
    #[command(subcommand)]
    Deny(EntryCommand),
    /// Show who is banned for having stayed over its limit
    Bans(StatusFlags),
    /// End bans before their time: of some addresses, or all
    Unban(UnbanFlags),
    /// Say which entry decides for a source, and what the verdict would be
    Explain(ExplainFlags),
    /// Let everything pass for a while, whatever is configured
    #[command(subcommand)]
    Bypass(BypassCommand),
    /// Keep what `run --confirm` or `reload --confirm` has put on trial
    Confirm(AgentFlags),
    /// Take off what a stopped or killed agent has left attached
    Detach(DetachFlags),
    /// Have the running agent read its configuration again; a bad one is refused and the old stays
    Reload(ReloadFlags),
    /// Show what was found lately: plaintext, credentials in clear, weak TLS; newest last
    Events(EventsFlags),
    /// Run a capture through the kernel programs, and say what became of each packet
    Replay(ReplayFlags),
    /// Say what works on this host, what does not, and the remedy
    Doctor(DoctorFlags),
    /// Write completions for a shell to standard output
    Completions(CompletionsFlags),
    /// Write the manual page to standard output, or one for each command to a folder
    Man(ManFlags),
}

/// Every command and flag there is, for completions and manual pages.
pub fn command() -> ClapCommand {
    Cli::command()
}

/// Commands of the contract whose work is not built yet, and what to do until then.
const UNBUILT: [(&str, &str); 3] = [
    (
        "services",
        "`guard status` shows the services and their encryption",
    ),
    (
        "endpoints",
        "`guard status` shows the services and their encryption",
    ),
    ("report", "`guard status --output json` has what is known"),
];

fn unbuilt_command(name: &'static str) -> ClapCommand {
    let rest = Arg::new("rest")
        .num_args(0..)
        .allow_hyphen_values(true)
        .trailing_var_arg(true);
    ClapCommand::new(name)
        .hide(true)
        .disable_help_flag(true)
        .arg(rest)
}

/// Adds which environment variable a bad value came from.
fn name_variable(mut error: clap::Error, command: &mut ClapCommand) -> clap::Error {
    // Only built arguments can be written out, and so far only those of the command in use are.
    command.build();
    let Some(ContextValue::String(flag)) = error.get(ContextKind::InvalidArg) else {
        return error;
    };
    let Some(ContextValue::String(bad)) = error.get(ContextKind::InvalidValue) else {
        return error;
    };
    let variable = command
        .get_subcommands()
        .flat_map(ClapCommand::get_arguments)
        .filter(|argument| argument.to_string() == *flag)
        .find_map(Arg::get_env)
        .filter(|name| std::env::var(name).is_ok_and(|value| value.contains(bad.as_str())));
    if let Some(name) = variable {
        let tip = format!("the environment variable {} says so", name.display());
        error.insert(
            ContextKind::Suggested,
            ContextValue::StyledStrs(vec![tip.into()]),
        );
    }
    error
}

fn without_empty_variable(arg: Arg) -> Arg {
    let is_empty = arg
        .get_env()
        .is_some_and(|name| std::env::var_os(name).is_some_and(|value| value.is_empty()));
    if is_empty {
        arg.env(None::<&'static str>)
    } else {
        arg
    }
}

#[cfg(test)]
mod tests;
