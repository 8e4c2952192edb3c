//! Layers: defaults, then the file, then the flags.

use std::collections::HashSet;
use std::fs::File;
use std::io::{self, Read as _};
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::ops::RangeInclusive;
use std::path::{Path, PathBuf};
use std::string::FromUtf8Error;
use std::time::Duration;

use ipnet::IpNet;

use super::alerts;
use super::feeds;
use super::problem::{ConfigErrors, Problem};
use super::rate::{MAX_UNITS, Rate, RateSetting};
use super::raw::{self, RawConfig, RawLimits, RawServiceLimits};
use super::schema::{Located, Span};
use super::services::RawService;
use super::units::duration_text;
use super::{
    AggregateLimits, Ban, Config, DEFAULT_SOCKET, Direction, Encryption, Entry, Limits,
    MAX_FILE_BYTES, MAX_INTERFACES, OnPlaintext, ProtocolLimits, Service, ServiceLimits,
};
use crate::cli::RunFlags;

const STATE_DIR: &str = "/var/lib/guard";
const BPFFS: &str = "/sys/fs/bpf/guard";
const LISTEN: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 9797);
/// Ports on which APIs usually are: those of the service there is when none is configured.
const API_PORTS: [u16; 11] = [
    80, 443, 3000, 5000, 8000, 8080, 8081, 8443, 8888, 9000, 9443,
];

/// What is called so when no file is to blame.
const NO_FILE: &str = "guard";

pub(super) fn for_run(file: Option<&Path>, flags: &RunFlags) -> Result<Config, ConfigErrors> {
    Source::open(file)?.resolve(flags, true)
}

pub(super) fn for_check(file: Option<&Path>) -> Result<Config, ConfigErrors> {
    Source::open(file)?.resolve(&RunFlags::default(), false)
}

pub(super) fn for_replay(file: Option<&Path>) -> Result<Config, ConfigErrors> {
    let source = Source::open(file)?;
    let names_services = !raw::parse(&source.text).0.services.is_empty();
    let mut config = source.resolve(&RunFlags::default(), false)?;
    if !names_services {
        config.services = vec![service("any", vec![1..=u16::MAX])];
    }
    Ok(config)
}

pub(super) fn from_text(name: &str, text: &str) -> Result<Config, ConfigErrors> {
    let source = Source {
        name: name.to_owned(),
        text: text.to_owned(),
    };
    source.resolve(&RunFlags::default(), false)
}

/// A configuration file that was read; an empty one when there is none.
struct Source {
    name: String,
    text: String,
}

impl Source {
    fn open(file: Option<&Path>) -> Result<Self, ConfigErrors> {
        let Some(path) = file else {
            return Ok(Self {
                name: NO_FILE.to_owned(),
                text: String::new(),
            });
        };
        let name = path.display().to_string();
        let failed = |text, problem| ConfigErrors::new(name.clone(), text, vec![problem]);
        let bytes = read(path).map_err(|problem| failed(String::new(), problem))?;
        let text = String::from_utf8(bytes).map_err(|error| {
            let problem = not_utf8(&error);
            failed(
                String::from_utf8_lossy(error.as_bytes()).into_owned(),
                problem,
            )
        })?;
        Ok(Self { name, text })
    }

    fn resolve(self, flags: &RunFlags, needs_interface: bool) -> Result<Config, ConfigErrors> {
        let (raw, mut problems) = raw::parse(&self.text);
        let folder = Path::new(&self.name).parent().unwrap_or(Path::new(""));
        let config = layer(raw, folder, flags, &mut problems);
        if needs_interface && config.interfaces.is_empty() {
            problems.push(Problem::overall(
                "no interface to protect",
                "add interfaces = [\"eth0\"] to the configuration, or --iface eth0",
            ));
        }
        if problems.is_empty() {
            return Ok(config);
        }
        Err(ConfigErrors::new(self.name, self.text, problems))
    }
}

fn read(path: &Path) -> Result<Vec<u8>, Problem> {
    let unreadable = |error: io::Error| match error.kind() {
        io::ErrorKind::NotFound => Problem::overall(
            format!("there is no file {}", path.display()),
            "create it, or name another with --config",
        ),
        io::ErrorKind::PermissionDenied => Problem::overall(
            format!("{} may not be read", path.display()),
            "give this user permission to read it",
        ),
        _ => Problem::overall(
            format!("{} cannot be read: {error}", path.display()),
            "name a readable file with --config",
        ),
    };
    let mut bytes = Vec::new();
    let file = File::open(path).map_err(unreadable)?;
    file.take(MAX_FILE_BYTES + 1)
        .read_to_end(&mut bytes)
        .map_err(unreadable)?;
    if bytes.len() as u64 > MAX_FILE_BYTES {
        return Err(Problem::overall(
            format!(
                "{} is larger than {} MiB",
                path.display(),
                MAX_FILE_BYTES >> 20
            ),
            "shorten it: neighbouring networks can be one larger network",
        ));
    }
    Ok(bytes)
}

fn not_utf8(error: &FromUtf8Error) -> Problem {
    let start = error.utf8_error().valid_up_to();
    Problem::at(
        start..start + 1,
        "this byte is not UTF-8 text",
        "save the file as UTF-8",
    )
}

/// `folder` is where the files are that the configuration names.
fn layer(raw: RawConfig, folder: &Path, flags: &RunFlags, problems: &mut Vec<Problem>) -> Config {
    let config = Config {
        interfaces: interfaces(raw.interfaces.unwrap_or_default(), flags, problems),
        xdp_mode: flags.xdp_mode.or(raw.xdp_mode).unwrap_or_default(),
        dry_run: flags.dry_run.or(raw.dry_run).unwrap_or_default(),
        protect_self: raw.protect_self.unwrap_or(true),
        listen: flags.listen.or(raw.listen).unwrap_or(LISTEN),
        socket: path(flags.socket.as_ref(), DEFAULT_SOCKET),
        state_dir: path(flags.state_dir.as_ref(), STATE_DIR),
        bpffs: path(flags.bpffs.as_ref(), BPFFS),
        limits: limits(&raw.limits, flags, problems),
        services: services(raw.services, burst(&raw.limits), flags, problems),
        allow: entries(raw.allow, &flags.allow),
        deny: entries(raw.deny, &flags.deny),
        feeds: feeds::load(raw.feeds, folder, problems),
        alerts: alerts::load(raw.alerts, folder, problems),
    };
    feeds::refuse_too_many((&config.feeds, &config.allow, &config.deny), problems);
    config
}

fn path(flag: Option<&PathBuf>, default: &str) -> PathBuf {
    flag.cloned().unwrap_or_else(|| PathBuf::from(default))
}

fn interfaces(
    configured: Vec<String>,
    flags: &RunFlags,
    problems: &mut Vec<Problem>,
) -> Vec<String> {
    if flags.interfaces.is_empty() {
        return configured;
    }
    let mut interfaces: Vec<String> = Vec::with_capacity(flags.interfaces.len());
    for name in &flags.interfaces {
        if !interfaces.contains(name) {
            interfaces.push(name.clone());
        }
    }
    if interfaces.len() > MAX_INTERFACES {
        problems.push(Problem::overall(
            format!(
                "{} interfaces are more than guard protects",
                interfaces.len()
            ),
            format!("give --iface at most {MAX_INTERFACES} times"),
        ));
    }
    interfaces
}

fn limits(raw: &RawLimits, flags: &RunFlags, problems: &mut Vec<Problem>) -> Limits {
    let default = Limits::default();
    let burst = burst(raw);
    let mut limit = |name, flag: Option<RateSetting>, raw: &Option<_>, default| {
        let Some(flag) = flag else {
            return rate(name, raw.as_ref(), burst, problems).unwrap_or(default);
        };
        let rate = flag.rate();
        problems.extend(rate.and_then(|rate| too_much_at_once(name, rate, burst, None)));
        rate
    };
    let mut limits = Limits {
        packets: limit(
            "packets",
            flags.limit_packets,
            &raw.packets,
            default.packets,
        ),
        bytes: limit("bytes", flags.limit_bytes, &raw.bytes, default.bytes),
        connections: limit(
            "connections",
            flags.limit_connections,
            &raw.connections,
            default.connections,
        ),
        new_sources: limit("packets", None, &raw.new_sources, default.new_sources),
        aggregate: AggregateLimits {
            packets: limit("packets", None, &raw.aggregate.packets, None),
            connections: limit("connections", None, &raw.aggregate.connections, None),
        },
        protocol: ProtocolLimits {
            icmp: limit(
                "ICMP messages",
                None,
                &raw.protocol.icmp,
                default.protocol.icmp,
            ),
            fragments: limit(
                "fragments",
                None,
                &raw.protocol.fragments,
                default.protocol.fragments,
            ),
            udp: limit(
                "UDP datagrams",
                None,
                &raw.protocol.udp,
                default.protocol.udp,
            ),
            stray: limit("stray segments", None, &raw.protocol.stray, None),
        },
        burst,
        ipv6_prefix: raw.ipv6_prefix.unwrap_or(default.ipv6_prefix),
        ban: None,
    };
    limits.ban = ban(raw, &limits, problems);
    limits
}

/// What `ban` says, with its defaults.
fn ban(raw: &RawLimits, limits: &Limits, problems: &mut Vec<Problem>) -> Option<Ban> {
    let (Some(times), span) = raw.ban.as_ref()? else {
        return None;
    };
    if limits.packets.is_none() && limits.bytes.is_none() {
        problems.push(Problem::at(
            span.clone(),
            "nobody can be banned for staying over a limit that is off",
            "set `packets` or `bytes` in [limits], or `ban = \"off\"`",
        ));
    }
    let default = Ban::default();
    let time = |time: &Option<Located<Duration>>| time.as_ref().map(|(time, _)| *time);
    let first = time(&times.first).unwrap_or(default.first);
    let max = time(&times.max).unwrap_or(default.max.max(first));
    if first > max {
        let named = times.first.as_ref().or(times.max.as_ref());
        problems.push(Problem::at(
            named.map_or(span, |(_, span)| span).clone(),
            format!(
                "the first ban, of {}, would last longer than `max`, {}",
                duration_text(first),
                duration_text(max)
            ),
            "lower `for`, or raise `max`",
        ));
    }
    Some(Ban {
        after: times.after.unwrap_or(default.after),
        first,
        max,
    })
}

fn burst(raw: &RawLimits) -> Duration {
    let burst = raw.burst.as_ref();
    burst.map_or(Limits::default().burst, |(burst, _)| *burst)
}

/// What a key says, if it is there: a rate, or that there is no limit.
#[expect(
    clippy::option_option,
    reason = "a key that is not there is not one that says \"off\""
)]
fn rate(
    name: &str,
    raw: Option<&Located<RateSetting>>,
    burst: Duration,
    problems: &mut Vec<Problem>,
) -> Option<Option<Rate>> {
    let (setting, span) = raw?;
    let rate = setting.rate();
    problems.extend(rate.and_then(|rate| too_much_at_once(name, rate, burst, Some(span))));
    Some(rate)
}

fn service_limits(
    raw: &RawServiceLimits,
    burst: Duration,
    problems: &mut Vec<Problem>,
) -> ServiceLimits {
    let mut limit = |name, raw: &Option<_>| rate(name, raw.as_ref(), burst, problems).flatten();
    ServiceLimits {
        packets: limit("packets", &raw.packets),
        bytes: limit("bytes", &raw.bytes),
        connections: limit("connections", &raw.connections),
    }
}

fn too_much_at_once(
    name: &str,
    rate: Rate,
    burst: Duration,
    span: Option<&Span>,
) -> Option<Problem> {
    if rate.allowance(burst).units <= MAX_UNITS {
        return None;
    }
    Some(Problem {
        message: format!(
            "a burst of {} at {rate} lets more than 10^12 {name} through at once",
            duration_text(burst)
        ),
        span: span.cloned(),
        help: "lower the rate or the burst, or write \"off\" for no limit".to_owned(),
    })
}

fn services(
    raw: Vec<RawService>,
    burst: Duration,
    flags: &RunFlags,
    problems: &mut Vec<Problem>,
) -> Vec<Service> {
    let mut services: Vec<Service> = raw
        .into_iter()
        .filter_map(|raw| raw.into_service(|raw| service_limits(raw, burst, problems)))
        .collect();
    if !flags.api_ports.is_empty() {
        services = vec![api(flags.api_ports.clone())];
        refuse_repeated_ports(&flags.api_ports, problems);
    } else if services.is_empty() {
        services = vec![api(API_PORTS.map(|port| port..=port).into())];
    }
    if let Some(on_plaintext) = flags.on_plaintext {
        let inbound = |service: &&mut Service| service.direction == Direction::Inbound;
        for service in services.iter_mut().filter(inbound) {
            service.on_plaintext = on_plaintext;
        }
    }
    services
}

fn api(ports: Vec<RangeInclusive<u16>>) -> Service {
    service("api", ports)
}

/// A service with the defaults.
fn service(name: &str, ports: Vec<RangeInclusive<u16>>) -> Service {
    Service {
        name: name.to_owned(),
        ports,
        direction: Direction::Inbound,
        encryption: Encryption::Required,
        on_plaintext: OnPlaintext::Flag,
        strict: false,
        allow: None,
        limits: ServiceLimits::default(),
    }
}

fn refuse_repeated_ports(ports: &[RangeInclusive<u16>], problems: &mut Vec<Problem>) {
    let mut sorted: Vec<_> = ports.iter().collect();
    sorted.sort_by_key(|ports| *ports.start());
    if let Some(pair) = sorted
        .windows(2)
        .find(|pair| pair[1].start() <= pair[0].end())
    {
        problems.push(Problem::overall(
            format!("--api-port names port {} twice", pair[1].start()),
            "name each port once",
        ));
    }
}

/// The entries of the file and those of the flags, each network once: the first one's reason
/// stays.
fn entries(configured: Vec<Entry>, added: &[IpNet]) -> Vec<Entry> {
    let added = added.iter().map(|cidr| Entry {
        cidr: *cidr,
        reason: None,
        expires: None,
    });
    let mut seen = HashSet::with_capacity(configured.len() + added.len());
    configured
        .into_iter()
        .chain(added)
        .filter(|entry| seen.insert(entry.cidr))
        .collect()
}
