//! `cargo xtask`: set-up, build, demo, test and benchmarks of guard.

/// Prints a line. A reader that has read enough, such as `head`, is no reason to stop halfway.
macro_rules! say {
    ($($text:tt)*) => {{
        use std::io::Write as _;
        let _ = writeln!(std::io::stdout(), $($text)*);
    }};
}

mod apt;
mod bench;
mod build;
mod captures;
mod debian;
mod demo;
mod doctor;
mod fuzz;
mod kernels;
mod linker;
mod package;
mod packages;
mod progress;
mod python;
mod service;
mod setup;
mod test;
mod toolchain;
mod workspace;

use std::process::ExitCode;

use anyhow::Result;
use clap::Parser;

#[derive(Parser)]
#[command(name = "cargo xtask", bin_name = "cargo xtask", about, version)]
enum Task {
    /// Install what is missing to build, demonstrate and test guard
    Setup,
    /// Say what this machine has, what it lacks and what to do about it
    Doctor,
    /// Build the workspace, with its eBPF programs
    Build {
        /// Optimise, as for an installation
        #[arg(long)]
        release: bool,
    },
    /// Show guard at work against real traffic, in network namespaces of its own (needs root)
    Demo {
        /// Arguments of the demo
        #[arg(last = true)]
        args: Vec<String>,
    },
    /// Run the tests (needs root)
    Test {
        /// Also run those that take long
        #[arg(long)]
        full: bool,
        /// Arguments of the test runner: cargo-nextest where it is installed, else cargo test
        #[arg(last = true)]
        args: Vec<String>,
    },
    /// Build the Debian package
    Package(package::Package),
    /// Fuzz the parsers (needs a nightly toolchain)
    Fuzz(fuzz::Fuzz),
    /// Measure what guard costs (needs root)
    #[command(subcommand)]
    Bench(bench::Bench),
}

fn main() -> ExitCode {
    run(&Task::parse()).unwrap_or_else(|error| {
        eprintln!("error: {error:#}");
        ExitCode::FAILURE
    })
}

fn run(task: &Task) -> Result<ExitCode> {
    match task {
        Task::Setup => set_up().map(|()| ExitCode::SUCCESS),
        Task::Doctor => Ok(doctor::run()),
        Task::Build { release } => build::run(*release).map(|()| ExitCode::SUCCESS),
        Task::Demo { args } => demo::run(args),
        Task::Test { full, args } => test::run(*full, args),
        Task::Package(package) => package::run(package).map(|()| ExitCode::SUCCESS),
        Task::Fuzz(fuzz) => fuzz::run(fuzz),
        Task::Bench(bench) => bench::run(bench),
    }
}

fn set_up() -> Result<()> {
    setup::for_tests()?;
    package::provide()?;
    python::install()?;
    captures::fetch()?;
    debian::fetch()
}
