//! The `guard` command.
#![forbid(unsafe_code)]

mod commands;

use std::process::ExitCode;

use guard::{
    cli::{self, Command},
    entries::List,
};

use self::commands::{BAD_CONFIGURATION, START_FAILED, ask, local, output::failure, pages, top};

fn main() -> ExitCode {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build();
    match runtime {
        Ok(runtime) => {
            let code = runtime.block_on(obey());
            // Looking up the name of a server may take longer than anybody waits.
            runtime.shutdown_background();
            code
        }
        Err(error) => failure(START_FAILED, &format!("cannot start: {error}")),
    }
}

/// Does what the command line says.
async fn obey() -> ExitCode {
    let command = match cli::parse() {
        Ok(command) => command,
        Err(error) => match cli::sentence(&error) {
            Some(sentence) => return failure(BAD_CONFIGURATION, &sentence),
            None => error.exit(),
        },
    };
    match command {
        Command::Run(flags) => local::run(&flags).await,
        Command::Check(flags) => local::check(&flags),
        Command::Status(flags) => ask::status(&flags).await,
        Command::Top(flags) => top::top(&flags).await,
        Command::Allow(command) => ask::entries(List::Allow, command).await,
        Command::Deny(command) => ask::entries(List::Deny, command).await,
        Command::Bans(flags) => ask::bans(&flags).await,
        Command::Unban(flags) => ask::unban(flags).await,
        Command::Explain(flags) => ask::explain(&flags).await,
        Command::Bypass(command) => ask::bypass(command).await,
        Command::Confirm(flags) => ask::confirm(&flags).await,
        Command::Detach(flags) => local::detach(&flags).await,
        Command::Reload(flags) => ask::reload(&flags).await,
        Command::Events(flags) => ask::events(&flags).await,
        Command::Replay(flags) => local::replay(&flags),
        Command::Doctor(flags) => local::diagnose(&flags).await,
        Command::Completions(flags) => pages::completions(&flags),
        Command::Man(flags) => pages::man(&flags),
    }
}
