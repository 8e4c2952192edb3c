//! Network interfaces as the kernel lists them over rtnetlink, and the XDP programs on them.
//!
//! Everything here speaks of the calling thread's network namespace and needs no privilege, but
//! for the names of programs.

mod watch;

use std::{
    collections::BTreeSet,
    fmt, fs, io,
    net::IpAddr,
    panic::resume_unwind,
    path::{Path, PathBuf},
    thread,
};

use aya::programs::loaded_programs;
use futures_util::TryStreamExt as _;
use rtnetlink::{
    Handle, new_connection,
    packet_route::{
        address::AddressAttribute,
        link::{
            InfoKind, LinkAttribute, LinkFlags, LinkInfo, LinkLayerType, LinkMessage, LinkXdp,
            XdpAttached,
        },
    },
};
use serde::Serialize;
use thiserror::Error;
use tokio::{runtime::Builder, task::JoinSet};

pub use self::watch::{Change, Watch};

/// Where the kernel shows interfaces as files.
const SYSFS: &str = "/sys/class/net";
/// Interfaces that an error names at most.
const NAMED: usize = 20;

/// An interface at the moment it was looked at.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Interface {
    /// The kernel's number, unique in the namespace at this moment.
    pub index: u32,
    /// Its name, unique at this moment.
    pub name: String,
    /// Largest IP packet, in bytes.
    pub mtu: u32,
    /// The administrator has it up; a cable need not be plugged in.
    pub up: bool,
    /// It is the loopback.
    pub loopback: bool,
    /// Its packets start with an Ethernet header; a tunnel's do not.
    pub ethernet: bool,
    /// The XDP program on it.
    pub xdp: Option<AttachedXdp>,
    /// What sort of virtual interface it is, such as `veth`.
    kind: Option<String>,
    /// Receive queues that it was made with.
    queues: u32,
}

/// An XDP program on an interface.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct AttachedXdp {
    /// Where it runs.
    pub mode: AttachedMode,
    /// The kernel's number of the program.
    pub program_id: u32,
}

impl AttachedXdp {
    /// Its name, of at most 15 characters; `?` where the kernel does not tell us.
    pub fn program_name(&self) -> String {
        program_name(self.program_id).unwrap_or_else(|| "?".to_owned())
    }
}

/// The name of a loaded program, of at most 15 characters, by the kernel's number; nothing where the
/// kernel does not tell us.
pub(crate) fn program_name(id: u32) -> Option<String> {
    let mut programs = loaded_programs().filter_map(Result::ok);
    let program = programs.find(|program| program.id() == id)?;
    let name = program.name_as_str()?;
    Some(name.escape_default().to_string())
}

/// Where an XDP program runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum AttachedMode {
    /// In the driver.
    Native,
    /// In the kernel's generic path.
    Generic,
    /// On the card.
    Offloaded,
}

impl AttachedMode {
    /// The stable word users see.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Native => "native",
            Self::Generic => "generic",
            Self::Offloaded => "offloaded",
        }
    }
}

/// Why interfaces could not be looked at.
#[derive(Debug, Error)]
pub enum InterfaceError {
    /// Names that no interface has.
    #[error(
        "no interface named {}; there are: {}; correct --iface or `interfaces`",
        Names { names: unknown, quote: "`" },
        Names { names: existing, quote: "" }
    )]
    Unknown {
        /// The wrong names, in the order they were given.
        unknown: Vec<String>,
        /// The names there are.
        existing: Vec<String>,
    },
    /// There is no netlink socket to be had.
    #[error("cannot open a netlink socket to ask the kernel about interfaces")]
    Socket(#[source] io::Error),
    /// The kernel did not answer as it should.
    #[error("the kernel does not list its interfaces")]
    List(#[source] rtnetlink::Error),
    /// The kernel no longer tells of changes.
    #[error("the netlink socket that tells of interfaces has closed")]
    Closed,
}

/// The interfaces with these `names`, in their order.
///
/// # Errors
/// [`InterfaceError::Unknown`] with every name that no interface has; or the kernel cannot be
/// asked.
pub async fn lookup(names: &[String]) -> Result<Vec<Interface>, InterfaceError> {
    pick(list().await?, names)
}

/// Those of the `existing` interfaces that have these `names`, in their order.
///
/// # Errors
/// [`InterfaceError::Unknown`] with every name that none has.
pub fn pick(existing: Vec<Interface>, names: &[String]) -> Result<Vec<Interface>, InterfaceError> {
    let mut found = Vec::with_capacity(names.len());
    let mut unknown = Vec::new();
    for name in names {
        match existing.iter().find(|interface| interface.name == *name) {
            Some(interface) => found.push(interface.clone()),
            None => unknown.push(name.clone()),
        }
    }
    if unknown.is_empty() {
        return Ok(found);
    }
    let existing = existing
        .into_iter()
        .map(|interface| interface.name)
        .collect();
    Err(InterfaceError::Unknown { unknown, existing })
}

/// A socket to ask the kernel on, time and again.
#[derive(Debug)]
pub struct Asker {
    handle: Handle,
    _connection: JoinSet<()>,
}

impl Asker {
    /// Opens one.
    ///
    /// # Errors
    /// [`InterfaceError::Socket`].
    pub fn new() -> Result<Self, InterfaceError> {
        let (connection, handle, _) = new_connection().map_err(InterfaceError::Socket)?;
        let mut tasks = JoinSet::new();
        tasks.spawn(connection);
        Ok(Self {
            handle,
            _connection: tasks,
        })
    }

    /// Those interfaces that have one of these `names`.
    ///
    /// # Errors
    /// The kernel does not answer. Another socket may do.
    pub async fn find(&self, names: &[String]) -> Result<Vec<Interface>, InterfaceError> {
        let mut found = Vec::with_capacity(names.len());
        for name in names {
            let request = self.handle.link().get().match_name(name.clone());
            match request.execute().try_next().await {
                Ok(link) => found.extend(link.and_then(interface)),
                Err(rtnetlink::Error::NetlinkError(refused)) if is_absent(&refused.to_io()) => {}
                Err(error) => return Err(InterfaceError::List(error)),
            }
        }
        Ok(found)
    }

    /// The addresses of all interfaces but the loopback.
    ///
    /// # Errors
    /// The kernel does not answer. Another socket may do.
    pub async fn own_addresses(&self) -> Result<BTreeSet<IpAddr>, InterfaceError> {
        let answers = self.handle.address().get().execute();
        let addresses: Vec<_> = answers.try_collect().await.map_err(InterfaceError::List)?;
        let own = addresses.iter().flat_map(|message| {
            let attributes = message.attributes.iter();
            attributes.filter_map(|attribute| match attribute {
                // Of a point-to-point interface, `Address` is the other end.
                AddressAttribute::Local(address) => Some(*address),
                AddressAttribute::Address(address) if address.is_ipv6() => Some(*address),
                _ => None,
            })
        });
        Ok(own.filter(|address| !address.is_loopback()).collect())
    }
}

fn is_absent(refused: &io::Error) -> bool {
    refused.raw_os_error() == Some(libc::ENODEV)
}

/// Every interface, by index.
///
/// # Errors
/// The kernel cannot be asked.
pub async fn list() -> Result<Vec<Interface>, InterfaceError> {
    let links = links(&Asker::new()?.handle).await?;
    Ok(links.into_iter().filter_map(interface).collect())
}

/// The same, to whoever cannot await anything: a thread of its own asks.
///
/// # Errors
/// The kernel cannot be asked.
pub fn list_now() -> Result<Vec<Interface>, InterfaceError> {
    let ask = || {
        let runtime = Builder::new_current_thread().enable_io().build();
        runtime.map_err(InterfaceError::Socket)?.block_on(list())
    };
    let answer = thread::scope(|scope| scope.spawn(ask).join());
    answer.unwrap_or_else(|panic| resume_unwind(panic))
}

async fn links(handle: &Handle) -> Result<Vec<LinkMessage>, InterfaceError> {
    handle
        .link()
        .get()
        .execute()
        .try_collect()
        .await
        .map_err(InterfaceError::List)
}

impl Interface {
    /// The driver of its hardware, or what sort of virtual interface it is, such as `veth`; `?`
    /// where neither is known.
    pub fn driver(&self) -> String {
        if self.loopback {
            return "loopback".to_owned();
        }
        let kind = self.kind.clone().or_else(|| self.hardware_driver());
        kind.unwrap_or_else(|| "?".to_owned())
    }

    /// Receive queues in use, at least 1.
    pub fn receive_queues(&self) -> u32 {
        let in_use = self
            .folder()
            .and_then(|folder| count_queues(&folder.join("queues")).ok());
        in_use.unwrap_or(self.queues).max(1)
    }

    fn hardware_driver(&self) -> Option<String> {
        let link = fs::read_link(self.folder()?.join("device/driver")).ok()?;
        Some(
            link.file_name()?
                .to_string_lossy()
                .escape_default()
                .to_string(),
        )
    }

    /// Its folder in sysfs, which may show another namespace with interfaces of the same names.
    fn folder(&self) -> Option<PathBuf> {
        let folder = Path::new(SYSFS).join(&self.name);
        let index = fs::read_to_string(folder.join("ifindex")).ok()?;
        (index.trim().parse() == Ok(self.index)).then_some(folder)
    }
}

fn count_queues(folder: &Path) -> io::Result<u32> {
    let mut queues = 0;
    for entry in fs::read_dir(folder)? {
        let name = entry?.file_name();
        queues += u32::from(name.as_encoded_bytes().starts_with(b"rx-"));
    }
    Ok(queues)
}

/// Reads a link message. Nothing when it has no name.
fn interface(link: LinkMessage) -> Option<Interface> {
    let flags = link.header.flags;
    let mut interface = Interface {
        index: link.header.index,
        name: name(&link)?.to_owned(),
        mtu: 0,
        up: flags.contains(LinkFlags::Up),
        loopback: flags.contains(LinkFlags::Loopback),
        ethernet: matches!(
            link.header.link_layer_type,
            LinkLayerType::Ether | LinkLayerType::Loopback
        ),
        xdp: None,
        kind: None,
        queues: 1,
    };
    for attribute in link.attributes {
        match attribute {
            LinkAttribute::Mtu(mtu) => interface.mtu = mtu,
            LinkAttribute::NumRxQueues(queues) => interface.queues = queues,
            LinkAttribute::Xdp(xdp) => interface.xdp = attached(&xdp),
            LinkAttribute::LinkInfo(info) => interface.kind = kind(&info),
            _ => {}
        }
    }
    Some(interface)
}

fn name(link: &LinkMessage) -> Option<&str> {
    link.attributes
        .iter()
        .find_map(|attribute| match attribute {
            LinkAttribute::IfName(name) => Some(name.as_str()),
            _ => None,
        })
}

fn kind(info: &[LinkInfo]) -> Option<String> {
    info.iter().find_map(|info| match info {
        LinkInfo::Kind(InfoKind::Other(kind)) => Some(kind.escape_default().to_string()),
        LinkInfo::Kind(kind) => Some(kind.to_string()),
        _ => None,
    })
}

/// The program that sees a packet first, where several are attached.
fn attached(xdp: &[LinkXdp]) -> Option<AttachedXdp> {
    let none = xdp.contains(&LinkXdp::Attached(XdpAttached::None));
    let programs = xdp.iter().filter_map(|part| match part {
        LinkXdp::HwProgId(id) => Some((0, AttachedMode::Offloaded, *id)),
        LinkXdp::DrvProgId(id) => Some((1, AttachedMode::Native, *id)),
        LinkXdp::SkbProgId(id) => Some((2, AttachedMode::Generic, *id)),
        _ => None,
    });
    let (_, mode, program_id) = programs
        .min_by_key(|(order, ..)| *order)
        .filter(|_| !none)?;
    Some(AttachedXdp { mode, program_id })
}

/// Writes names, separated by commas, each between a pair of `quote`.
struct Names<'a> {
    names: &'a [String],
    quote: &'static str,
}

impl fmt::Display for Names<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { names, quote } = self;
        for (position, name) in names.iter().take(NAMED).enumerate() {
            let separator = if position == 0 { "" } else { ", " };
            write!(f, "{separator}{quote}{}{quote}", name.escape_debug())?;
        }
        match names.len().saturating_sub(NAMED) {
            0 => Ok(()),
            more => write!(f, " and {more} more"),
        }
    }
}

#[cfg(test)]
mod tests;
