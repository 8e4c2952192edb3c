//! Layers: defaults, then the file, then the flags.

use std::collections::{BTreeSet, HashSet};
use std::fs::{self, File};
use std::io::Read as _;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::ops::RangeInclusive;
use std::path::{Path, PathBuf};
use std::string::FromUtf8Error;
use std::time::Duration;

use ipnet::IpNet;

use super::alerts;
use super::feeds::{self, Places};
use super::problem::{ConfigErrors, Problem};
use super::rate::{MAX_UNITS, Rate, RateSetting};
use super::raw::{self, RawConfig, RawLimits, RawServiceLimits};
use super::schema::{Located, Span};
use super::services::RawService;
use super::units::{Invalid, duration_text};
use super::{
    AggregateLimits, BPFFS, Ban, Config, DEFAULT_SOCKET, Direction, Encryption, Entry, Limits,
    MAX_FILE_BYTES, MAX_INTERFACES, OnPlaintext, ProtocolLimits, STATE_DIR, Service, ServiceLimits,
};
use super::{files, openapi};
use crate::cli::RunFlags;

/// Where lists that are fetched are kept, in the state folder.
const COPIES: &str = "feeds";
const LISTEN: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 9797);
/// Ports on which APIs usually are: those of the service there is when none is configured.
const API_PORTS: [u16; 11] = [
    80, 443, 3000, 5000, 8000, 8080, 8081, 8443, 8888, 9000, 9443,
];

/// What is called so when no file is to blame.
const NO_FILE: &str = "guard";

pub(super) fn for_run(file: Option<&Path>, flags: &RunFlags) -> Result<Config, ConfigErrors> {
    Source::open(file)?.resolve_to_run(flags)
}

pub(super) fn for_check(file: Option<&Path>) -> Result<Config, ConfigErrors> {
    Source::open(file)?.resolve(&RunFlags::default(), Purpose::Look)
}

pub(super) fn for_replay(file: Option<&Path>) -> Result<Config, ConfigErrors> {
    let source = Source::open(file)?;
    let names_services = !raw::parse(&source.text).0.services.is_empty();
    let mut config = source.resolve(&RunFlags::default(), Purpose::Look)?;
    if !names_services {
        config.services = vec![service("any", vec![1..=u16::MAX])];
    }
    Ok(config)
}

pub(super) fn from_text(name: &str, text: &str) -> Result<Config, ConfigErrors> {
    Source::new(name, text).resolve(&RunFlags::default(), Purpose::Look)
}

/// The file and those that it names, whatever is wrong with it.
pub(super) fn files(file: &Path) -> BTreeSet<PathBuf> {
    // What is no regular file may be read but once. One that is missing may come.
    if fs::metadata(file).is_ok_and(|found| !found.is_file()) {
        return BTreeSet::new();
    }
    let mut files = BTreeSet::from([file.to_owned()]);
    let mut bytes = Vec::new();
    // Half of what is being written will do: whoever asks looks again when it changes.
    let read = File::open(file).and_then(|file| file.take(MAX_FILE_BYTES).read_to_end(&mut bytes));
    let text = read.map_or(String::new(), |_| {
        String::from_utf8_lossy(&bytes).into_owned()
    });
    let raw = raw::parse(&text).0;
    let folder = folder_of(file);
    files.extend(raw.feeds.iter().filter_map(|feed| feed.named(folder)));
    let documents = raw
        .services
        .iter()
        .filter_map(|service| service.openapi.as_ref());
    files.extend(documents.map(|(document, _)| folder.join(document)));
    files
}

/// Where the files are that a configuration names.
fn folder_of(file: &Path) -> &Path {
    file.parent().unwrap_or(Path::new(""))
}

/// What a configuration is read for.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Purpose {
    /// To be put in force: it names an interface, and what was fetched matters.
    Run,
    /// To be looked at, without touching anything else.
    Look,
}

/// A configuration file that was read; an empty one when there is none.
#[derive(Debug)]
pub(crate) struct Source {
    name: String,
    text: String,
    /// What is wrong with the file, whatever it says.
    problems: Vec<Problem>,
}

impl Source {
    /// One of this text, called `name` in what goes wrong.
    pub(crate) fn new(name: &str, text: &str) -> Self {
        Self {
            name: name.to_owned(),
            text: text.to_owned(),
            problems: Vec::new(),
        }
    }

    /// The path of its file.
    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    /// What it says.
    pub(crate) fn text(&self) -> &str {
        &self.text
    }

    /// What [`Config::resolve`] makes of it.
    pub(crate) fn resolve_to_run(self, flags: &RunFlags) -> Result<Config, ConfigErrors> {
        self.resolve(flags, Purpose::Run)
    }

    /// Reads it.
    pub(crate) fn open(file: Option<&Path>) -> Result<Self, ConfigErrors> {
        let Some(path) = file else {
            return Ok(Self::new(NO_FILE, ""));
        };
        let name = path.display().to_string();
        let failed = |text, problem| ConfigErrors::new(name.clone(), text, vec![problem]);
        let overall = |wrong: Invalid| Problem::overall(wrong.message, wrong.help);
        let (bytes, unsafe_) = files::read(path, &files::CONFIGURATION)
            .map_err(|wrong| failed(String::new(), overall(wrong)))?;
        let text = String::from_utf8(bytes).map_err(|error| {
            let problem = not_utf8(&error);
            failed(
                String::from_utf8_lossy(error.as_bytes()).into_owned(),
                problem,
            )
        })?;
        Ok(Self {
            name,
            text,
            problems: unsafe_.map(overall).into_iter().collect(),
        })
    }

    fn resolve(self, flags: &RunFlags, purpose: Purpose) -> Result<Config, ConfigErrors> {
        let (raw, mut problems) = raw::parse(&self.text);
        problems.extend(self.problems);
        let copies = path(flags.state_dir.as_ref(), STATE_DIR).join(COPIES);
        let places = Places {
            folder: folder_of(Path::new(&self.name)),
            copies: (purpose == Purpose::Run).then_some(&copies),
        };
        let config = layer(raw, &places, flags, &mut problems);
        if purpose == Purpose::Run && config.interfaces.is_empty() {
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

fn not_utf8(error: &FromUtf8Error) -> Problem {
    let start = error.utf8_error().valid_up_to();
    Problem::at(
        start..start + 1,
        "this byte is not UTF-8 text",
        "save the file as UTF-8",
    )
}

/// `places` is where the files are that the configuration names.
fn layer(
    raw: RawConfig,
    places: &Places<'_>,
    flags: &RunFlags,
    problems: &mut Vec<Problem>,
) -> Config {
    let burst = burst(&raw.limits);
    let config = Config {
        interfaces: interfaces(raw.interfaces.unwrap_or_default(), flags, problems),
        xdp_mode: flags.xdp_mode.or(raw.xdp_mode).unwrap_or_default(),
        dry_run: flags.dry_run.or(raw.dry_run).unwrap_or_default(),
        watch: raw.watch.unwrap_or(true),
        on_stop: raw.on_stop.unwrap_or_default(),
        protect_self: raw.protect_self.unwrap_or(true),
        listen: flags.listen.or(raw.listen).unwrap_or(LISTEN),
        socket: path(flags.socket.as_ref(), DEFAULT_SOCKET),
        state_dir: path(flags.state_dir.as_ref(), STATE_DIR),
        bpffs: path(flags.bpffs.as_ref(), BPFFS),
        limits: limits(&raw.limits, flags, problems),
        services: services(raw.services, (burst, places.folder), flags, problems),
        allow: entries(raw.allow, &flags.allow),
        deny: entries(raw.deny, &flags.deny),
        feeds: feeds::load(raw.feeds, places, problems),
        alerts: alerts::load(raw.alerts, places.folder, problems),
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
    (burst, folder): (Duration, &Path),
    flags: &RunFlags,
    problems: &mut Vec<Problem>,
) -> Vec<Service> {
    let services = raw.into_iter().filter_map(|mut raw| {
        let named = raw.openapi.take();
        let openapi = named.and_then(|named| openapi::load(folder, named, problems));
        let service = raw.into_service(|raw| service_limits(raw, burst, problems))?;
        Some(Service { openapi, ..service })
    });
    let mut services: Vec<Service> = services.collect();
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
        openapi: None,
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
