//! The flags of each command.

use std::net::{IpAddr, SocketAddr};
use std::num::NonZeroU16;
use std::ops::RangeInclusive;
use std::path::PathBuf;
use std::time::Duration;

use clap::builder::BoolishValueParser;
use clap::{Args, Subcommand, ValueEnum};
use ipnet::IpNet;

use crate::config::units;
use crate::config::{OnPlaintext, RateSetting, XdpMode};

/// Flags of `guard run`; each overrides the configuration file.
///
/// An empty environment variable counts as unset.
#[derive(Args, Clone, Debug, Default, PartialEq, Eq)]
pub struct RunFlags {
    /// Configuration file (TOML)
    #[arg(long, value_name = "FILE", env = "GUARD_CONFIG")]
    pub config: Option<PathBuf>,

    /// Interface to protect; replaces the configured ones; repeatable
    #[arg(
        long = "iface",
        value_name = "NAME",
        env = "GUARD_IFACE",
        value_delimiter = ',',
        value_parser = units::interface
    )]
    pub interfaces: Vec<String>,

    /// How to attach: auto takes native where the driver can
    #[arg(
        long,
        value_name = "auto|native|generic",
        env = "GUARD_XDP_MODE",
        value_parser = XdpMode::parse
    )]
    pub xdp_mode: Option<XdpMode>,

    /// Drop nothing, count what would have been dropped
    #[arg(
        long,
        value_name = "true|false",
        env = "GUARD_DRY_RUN",
        num_args = 0..=1,
        require_equals = true,
        default_missing_value = "true",
        value_parser = BoolishValueParser::new()
    )]
    pub dry_run: Option<bool>,

    /// Packets from each source, like 20k/s, or off
    #[arg(
        long,
        value_name = "RATE",
        env = "GUARD_LIMIT_PACKETS",
        value_parser = RateSetting::count
    )]
    pub limit_packets: Option<RateSetting>,

    /// Bytes from each source, like 100MiB/s, or off
    #[arg(long, value_name = "RATE", env = "GUARD_LIMIT_BYTES", value_parser = RateSetting::bytes)]
    pub limit_bytes: Option<RateSetting>,

    /// TCP connection attempts from each source, like 600/min, or off
    #[arg(
        long,
        value_name = "RATE",
        env = "GUARD_LIMIT_CONNECTIONS",
        value_parser = RateSetting::count
    )]
    pub limit_connections: Option<RateSetting>,

    /// TCP port (or range 9000-9010) of an API; replaces the configured services; repeatable
    #[arg(
        long = "api-port",
        value_name = "PORT",
        env = "GUARD_API_PORT",
        value_delimiter = ',',
        value_parser = units::ports
    )]
    pub api_ports: Vec<RangeInclusive<u16>>,

    /// What to do with a plaintext request to an API that requires encryption
    #[arg(
        long,
        value_name = "flag|reset|drop",
        env = "GUARD_ON_PLAINTEXT",
        value_parser = OnPlaintext::parse
    )]
    pub on_plaintext: Option<OnPlaintext>,

    /// Network to let through, beside the configured ones; repeatable
    #[arg(
        long,
        value_name = "CIDR",
        env = "GUARD_ALLOW",
        value_delimiter = ',',
        value_parser = units::cidr
    )]
    pub allow: Vec<IpNet>,

    /// Network to drop, beside the configured ones; repeatable
    #[arg(
        long,
        value_name = "CIDR",
        env = "GUARD_DENY",
        value_delimiter = ',',
        value_parser = units::denied
    )]
    pub deny: Vec<IpNet>,

    /// Where to serve metrics and health [default: 127.0.0.1:9797]
    #[arg(long, value_name = "ADDR", env = "GUARD_LISTEN", value_parser = units::listen)]
    pub listen: Option<SocketAddr>,

    /// Control socket [default: /run/guard/guard.sock]
    #[arg(long, value_name = "PATH", env = "GUARD_SOCKET", value_parser = units::socket)]
    pub socket: Option<PathBuf>,

    /// Group whose members may use the control socket, beside root and the agent's own user
    #[arg(long, value_name = "GROUP", env = "GUARD_SOCKET_GROUP", value_parser = units::group)]
    pub socket_group: Option<u32>,

    /// Folder for what outlives the agent [default: /var/lib/guard]
    #[arg(long, value_name = "DIR", env = "GUARD_STATE_DIR")]
    pub state_dir: Option<PathBuf>,

    /// Folder for pins, on a BPF file system [default: /sys/fs/bpf/guard]
    #[arg(long, value_name = "DIR", env = "GUARD_BPFFS")]
    pub bpffs: Option<PathBuf>,

    /// How to write the log to standard error
    #[arg(
        long,
        value_name = "FORMAT",
        env = "GUARD_LOG_FORMAT",
        default_value = "text"
    )]
    pub log_format: LogFormat,

    /// Undo everything and end again unless `guard confirm` comes within this time, like 60s
    #[arg(long, value_name = "DURATION", env = "GUARD_CONFIRM", value_parser = units::trial)]
    pub confirm: Option<Duration>,
}

/// Flags of `guard check`.
#[derive(Args, Clone, Debug)]
pub struct CheckFlags {
    /// Configuration file (TOML); without one, the defaults are checked
    #[arg(long, value_name = "FILE", env = "GUARD_CONFIG")]
    pub config: Option<PathBuf>,

    /// How to answer
    #[arg(long, short, value_name = "FORMAT", default_value = "table")]
    pub output: OutputFormat,
}

/// Flags of `guard status`.
#[derive(Args, Clone, Debug)]
pub struct StatusFlags {
    /// Control socket of the agent
    #[arg(
        long,
        value_name = "PATH",
        env = "GUARD_SOCKET",
        default_value = crate::config::DEFAULT_SOCKET,
        value_parser = units::socket
    )]
    pub socket: PathBuf,

    /// How to answer
    #[arg(long, short, value_name = "FORMAT", default_value = "table")]
    pub output: OutputFormat,
}

/// What to do with a list of the running agent.
#[derive(Clone, Debug, Subcommand)]
pub enum EntryCommand {
    /// Add networks, all or none
    Add(AddFlags),
    /// Add the networks of a file, all or none
    Import(ImportFlags),
    /// Take off networks that were added, all or none
    Remove(RemoveFlags),
    /// Show the entries, those of the configuration first
    List(StatusFlags),
}

/// Flags of `guard allow add` and `guard deny add`.
#[derive(Args, Clone, Debug)]
pub struct AddFlags {
    /// Networks or addresses
    #[arg(value_name = "CIDR", required = true, value_parser = units::cidr)]
    pub cidrs: Vec<IpNet>,

    /// How long the entries stay, like 10m; without it, until they are removed
    #[arg(long = "for", value_name = "DURATION", value_parser = units::period)]
    pub period: Option<Duration>,

    /// Why they are there
    #[arg(long, value_name = "TEXT", value_parser = units::reason)]
    pub reason: Option<String>,

    /// Where the agent listens
    #[command(flatten)]
    pub agent: AgentFlags,
}

/// Flags of `guard allow import` and `guard deny import`.
#[derive(Args, Clone, Debug)]
pub struct ImportFlags {
    /// File with a network, an address or a range of addresses a line; `-` is standard input. What
    /// stands behind a `#` is why the networks of its line are there
    #[arg(value_name = "FILE")]
    pub file: PathBuf,

    /// How long the entries stay, like 10m; without it, until they are removed
    #[arg(long = "for", value_name = "DURATION", value_parser = units::period)]
    pub period: Option<Duration>,

    /// Why those are there of which the file does not say it
    #[arg(long, value_name = "TEXT", value_parser = units::reason)]
    pub reason: Option<String>,

    /// Where the agent listens
    #[command(flatten)]
    pub agent: AgentFlags,
}

/// Flags of `guard events`.
#[derive(Args, Clone, Debug)]
pub struct EventsFlags {
    /// Go on with what is found from now on, until Ctrl-C; as JSON, an object a line
    #[arg(long, short)]
    pub follow: bool,

    /// Where the agent listens, and how to answer
    #[command(flatten)]
    pub answer: StatusFlags,
}

/// Flags of `guard allow remove` and `guard deny remove`.
#[derive(Args, Clone, Debug)]
pub struct RemoveFlags {
    /// Networks or addresses
    #[arg(value_name = "CIDR", required = true, value_parser = units::cidr)]
    pub cidrs: Vec<IpNet>,

    /// Where the agent listens
    #[command(flatten)]
    pub agent: AgentFlags,
}

/// Flags of `guard unban`.
#[derive(Args, Clone, Debug)]
pub struct UnbanFlags {
    /// Addresses that are banned: all of them are let go, or none
    #[arg(value_name = "IP", required_unless_present = "all")]
    pub addresses: Vec<IpAddr>,

    /// Everybody who is banned
    #[arg(long, conflicts_with = "addresses")]
    pub all: bool,

    /// Where the agent listens
    #[command(flatten)]
    pub agent: AgentFlags,
}

/// Flags of `guard explain`.
#[derive(Args, Clone, Debug)]
pub struct ExplainFlags {
    /// Address of the source
    #[arg(value_name = "IP")]
    pub address: IpAddr,

    /// TCP port of this host: also say what its service demands
    #[arg(long, value_name = "PORT")]
    pub port: Option<NonZeroU16>,

    /// Where the agent listens, and how to answer
    #[command(flatten)]
    pub answer: StatusFlags,
}

/// Flags of `guard reload`.
#[derive(Args, Clone, Debug)]
pub struct ReloadFlags {
    /// Go back to the configuration of before unless `guard confirm` comes within this time, like 60s
    #[arg(long, value_name = "DURATION", value_parser = units::trial)]
    pub confirm: Option<Duration>,
    /// Take lists of feeds that have grown suddenly, too
    #[arg(long)]
    pub force: bool,

    /// Where the agent listens
    #[command(flatten)]
    pub agent: AgentFlags,
}

/// Which agent is meant.
#[derive(Args, Clone, Debug)]
pub struct AgentFlags {
    /// Control socket of the agent
    #[arg(
        long,
        value_name = "PATH",
        env = "GUARD_SOCKET",
        default_value = crate::config::DEFAULT_SOCKET,
        value_parser = units::socket
    )]
    pub socket: PathBuf,
}

/// Flags of `guard replay`.
#[derive(Args, Clone, Debug)]
pub struct ReplayFlags {
    /// Capture of Ethernet packets (pcap or pcapng)
    #[arg(value_name = "FILE")]
    pub file: PathBuf,

    /// Configuration file (TOML); without services in it, every TCP port is an API's
    #[arg(long, value_name = "FILE", env = "GUARD_CONFIG")]
    pub config: Option<PathBuf>,

    /// Network of the protected host; repeatable; without one, it is whoever received the SYN, or
    /// has the lower port
    #[arg(long, value_name = "CIDR", value_delimiter = ',', value_parser = units::cidr)]
    pub local: Vec<IpNet>,

    /// How to answer
    #[arg(long, short, value_name = "FORMAT", default_value = "table")]
    pub output: OutputFormat,
}

/// Flags of `guard doctor`.
#[derive(Args, Clone, Debug)]
pub struct DoctorFlags {
    /// Configuration file (TOML) to examine, too: whom it would shut out of this host, and which
    /// limits are low
    #[arg(long, value_name = "FILE", env = "GUARD_CONFIG")]
    pub config: Option<PathBuf>,

    /// Interface to examine; repeatable; without one, every one that could be protected
    #[arg(
        long = "iface",
        value_name = "NAME",
        env = "GUARD_IFACE",
        value_delimiter = ',',
        value_parser = units::interface
    )]
    pub interfaces: Vec<String>,

    /// How to answer
    #[arg(long, short, value_name = "FORMAT", default_value = "table")]
    pub output: OutputFormat,
}

/// How a command answers on standard output.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum OutputFormat {
    /// For people
    #[default]
    Table,
    /// For scripts: stable, `snake_case`
    Json,
}

/// How the log is written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum LogFormat {
    /// One line an event, for people
    #[default]
    Text,
    /// One JSON object an event
    Json,
}

/// What to do with the switch that lets everything pass.
#[derive(Clone, Debug, Subcommand)]
pub enum BypassCommand {
    /// Let everything pass, counted as what it would have been; ends by itself
    On(BypassFlags),
    /// Enforce again
    Off(AgentFlags),
}

/// Flags of `guard bypass on`.
#[derive(Args, Clone, Debug)]
pub struct BypassFlags {
    /// For how long, like 10m; up to a day
    #[arg(
        long = "for",
        value_name = "DURATION",
        default_value = "10m",
        value_parser = units::bypass
    )]
    pub period: Duration,

    /// Where the agent listens
    #[command(flatten)]
    pub agent: AgentFlags,
}

/// Flags of `guard detach`.
#[derive(Args, Clone, Debug)]
pub struct DetachFlags {
    /// Folder of the stopped agent's state
    #[arg(long, value_name = "DIR", env = "GUARD_STATE_DIR", default_value = crate::config::STATE_DIR)]
    pub state_dir: PathBuf,

    /// Folder of its pins
    #[arg(long, value_name = "DIR", env = "GUARD_BPFFS", default_value = crate::config::BPFFS)]
    pub bpffs: PathBuf,
}
