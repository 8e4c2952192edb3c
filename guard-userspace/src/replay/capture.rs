//! Reads capture files: pcap and pcapng, of Ethernet.

use std::{
    fs::File,
    io::{self, Cursor, Read},
    path::{Path, PathBuf},
};

use pcap_parser::{
    Block, Linktype, PcapBlockOwned, PcapError, create_reader, traits::PcapReaderIterator,
};
use thiserror::Error;

/// The longest record, in bytes; capture programs cut packets at a quarter of that.
const LONGEST: usize = 1 << 20;
/// What nearly every record fits in, in bytes, and the first header, which may hold comments.
const BUFFER: usize = 1 << 16;
const NS_PER_SECOND: u64 = 1_000_000_000;
/// The bits of a pcap header's last word that name the link type, as libpcap reads them; those
/// above say whether frames end with their check sequence (draft-ietf-opsawg-pcap section 4).
const LINKTYPE_MASK: i32 = 0x03ff_ffff;

/// How a pcapng file starts, in either byte order.
const SECTION: [u8; 4] = [0x0a, 0x0d, 0x0d, 0x0a];
/// The type of its blocks that tell of processes, and the least such a block takes, in bytes.
/// `pcap-parser` takes for granted that it does.
const PROCESS: (u32, u32) = (0x8000_0001, 16);

/// A packet as it was captured.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Captured {
    /// When, in nanoseconds since 1970.
    pub time_ns: u64,
    /// Its first bytes, from the Ethernet header on.
    pub bytes: Vec<u8>,
    /// How long it was on the wire, in bytes; never less than what there is of it.
    pub wire_len: usize,
}

impl Captured {
    /// Whether it was captured on a loopback, whose frames name no hardware addresses.
    pub(super) fn is_by_loopback(&self) -> bool {
        self.bytes.starts_with(&[0; 12])
    }
}

/// Why a capture cannot be read, or not further.
#[derive(Debug, Error)]
#[expect(missing_docs, reason = "the message says it")]
pub enum CaptureError {
    #[error("cannot read {}: {cause}: name a capture file (pcap or pcapng)", path.display())]
    Unreadable { path: PathBuf, cause: io::Error },
    #[error("{} is no capture: name a pcap or pcapng file", path.display())]
    NotACapture { path: PathBuf },
    #[error(
        "{} holds packets of link type {linktype}, and guard reads Ethernet (1): capture on an \
         Ethernet interface instead of `any` or a tunnel",
        path.display()
    )]
    NotEthernet { path: PathBuf, linktype: i32 },
    #[error(
        "{} ends in the middle of a record: what came before it is above; capture again",
        path.display()
    )]
    CutShort { path: PathBuf },
    #[error(
        "{} holds a record that makes no sense: what came before it is above; capture again",
        path.display()
    )]
    Broken { path: PathBuf },
}

/// An open capture file.
pub struct Capture {
    path: PathBuf,
    reader: Box<dyn PcapReaderIterator + Send>,
    /// It is made of blocks: a pcapng file.
    has_blocks: bool,
    interfaces: Vec<Interface>,
}

/// How an interface of a capture writes its packets down.
#[derive(Clone, Copy)]
struct Interface {
    linktype: Linktype,
    /// Units of time in a second.
    resolution: u64,
    /// Seconds added to each time.
    offset: i64,
}

impl Capture {
    /// Opens a file.
    ///
    /// # Errors
    /// It cannot be read, or is no capture.
    pub fn open(path: &Path) -> Result<Self, CaptureError> {
        let file = File::open(path).map_err(|cause| CaptureError::Unreadable {
            path: path.to_owned(),
            cause,
        })?;
        Self::read(path, file)
    }

    /// Reads a capture from `input`, called `path` in what goes wrong.
    ///
    /// # Errors
    /// As [`Capture::open`].
    pub fn read(path: &Path, mut input: impl Read + Send + 'static) -> Result<Self, CaptureError> {
        let path = path.to_owned();
        // Its first header says what it is, and a pipe may hand that over in parts.
        let mut start = Vec::new();
        if let Err(cause) = input.by_ref().take(BUFFER as u64).read_to_end(&mut start) {
            return Err(CaptureError::Unreadable { path, cause });
        }
        let has_blocks = start.starts_with(&SECTION);
        let reader = create_reader(BUFFER, Cursor::new(start).chain(input))
            .map_err(|_| CaptureError::NotACapture { path: path.clone() })?;
        Ok(Self {
            path,
            reader,
            has_blocks,
            interfaces: Vec::new(),
        })
    }

    /// The next packet; nothing at the end of the file.
    ///
    /// # Errors
    /// The file cannot be read further.
    #[expect(
        clippy::should_implement_trait,
        reason = "an iterator of results would go on behind the first error"
    )]
    pub fn next(&mut self) -> Result<Option<Captured>, CaptureError> {
        loop {
            match self.step() {
                Step::Packet(packet) => return Ok(Some(packet)),
                Step::Nothing => {}
                Step::End => return Ok(None),
                Step::NeedsMore if self.reader.reader_exhausted() => {
                    return Err(CaptureError::CutShort { path: self.path() });
                }
                Step::NeedsMore => {
                    if self.reader.refill().is_err() {
                        return Err(CaptureError::Broken { path: self.path() });
                    }
                }
                Step::TooLong if self.reader.grow(LONGEST) => {}
                Step::TooLong => return Err(CaptureError::Broken { path: self.path() }),
                Step::Refused(Refused::Linktype(Linktype(linktype))) => {
                    let path = self.path();
                    return Err(CaptureError::NotEthernet { path, linktype });
                }
                Step::Refused(Refused::Nonsense) => {
                    return Err(CaptureError::Broken { path: self.path() });
                }
            }
        }
    }

    fn step(&mut self) -> Step {
        if self.has_blocks && is_stump(self.reader.data()) {
            return Step::Refused(Refused::Nonsense);
        }
        match self.reader.next() {
            Ok((len, block)) => {
                let packet = read(&mut self.interfaces, &block);
                self.reader.consume(len);
                match packet {
                    Ok(Some(packet)) => Step::Packet(packet),
                    Ok(None) => Step::Nothing,
                    Err(refused) => Step::Refused(refused),
                }
            }
            Err(PcapError::Eof) => Step::End,
            Err(PcapError::Incomplete(_) | PcapError::UnexpectedEof) => Step::NeedsMore,
            Err(PcapError::BufferTooSmall) => Step::TooLong,
            Err(_) => Step::Refused(Refused::Nonsense),
        }
    }

    fn path(&self) -> PathBuf {
        self.path.clone()
    }
}

/// Whether a block has no room for what its type says is in it.
fn is_stump(block: &[u8]) -> bool {
    let Some(([kind, len], _)) = block.as_chunks().0.split_first_chunk() else {
        return false;
    };
    let orders = [u32::from_le_bytes, u32::from_be_bytes];
    let (process, least) = PROCESS;
    orders
        .iter()
        .any(|order| order(*kind) == process && order(*len) < least)
}

/// What the next block comes to.
enum Step {
    Packet(Captured),
    Nothing,
    /// The rest of it is not read yet.
    NeedsMore,
    /// It does not fit into the buffer.
    TooLong,
    End,
    Refused(Refused),
}

/// Why a block is not taken.
enum Refused {
    Linktype(Linktype),
    Nonsense,
}

/// The packet in a block, if there is one; what a block says of interfaces is noted.
fn read(
    interfaces: &mut Vec<Interface>,
    block: &PcapBlockOwned<'_>,
) -> Result<Option<Captured>, Refused> {
    match block {
        PcapBlockOwned::LegacyHeader(header) => {
            let fine = header.is_nanosecond_precision();
            *interfaces = vec![Interface {
                linktype: Linktype(header.network.0 & LINKTYPE_MASK),
                resolution: if fine { NS_PER_SECOND } else { 1_000_000 },
                offset: 0,
            }];
            Ok(None)
        }
        PcapBlockOwned::Legacy(packet) => {
            let interface = interfaces.first().ok_or(Refused::Nonsense)?;
            let units = u64::from(packet.ts_sec)
                .saturating_mul(interface.resolution)
                .saturating_add(packet.ts_usec.into());
            captured(interface, units, packet.data, packet.caplen, packet.origlen)
        }
        PcapBlockOwned::NG(Block::SectionHeader(_)) => {
            interfaces.clear();
            Ok(None)
        }
        PcapBlockOwned::NG(Block::InterfaceDescription(described)) => {
            interfaces.push(Interface {
                linktype: described.linktype,
                resolution: described.ts_resolution().ok_or(Refused::Nonsense)?.max(1),
                offset: described.ts_offset(),
            });
            Ok(None)
        }
        PcapBlockOwned::NG(Block::EnhancedPacket(packet)) => {
            let interface = interfaces.get(packet.if_id as usize);
            let units = u64::from(packet.ts_high) << 32 | u64::from(packet.ts_low);
            let interface = interface.ok_or(Refused::Nonsense)?;
            captured(interface, units, packet.data, packet.caplen, packet.origlen)
        }
        PcapBlockOwned::NG(Block::SimplePacket(packet)) => {
            let interface = interfaces.first().ok_or(Refused::Nonsense)?;
            let caplen = packet.data.len() as u32;
            captured(interface, 0, packet.data, caplen, packet.origlen)
        }
        PcapBlockOwned::NG(_) => Ok(None),
    }
}

fn captured(
    interface: &Interface,
    units: u64,
    data: &[u8],
    caplen: u32,
    wire_len: u32,
) -> Result<Option<Captured>, Refused> {
    if interface.linktype != Linktype::ETHERNET {
        return Err(Refused::Linktype(interface.linktype));
    }
    // In pcapng, padding may follow.
    let bytes = data.get(..caplen as usize).unwrap_or(data);
    let ns = u128::from(units) * u128::from(NS_PER_SECOND) / u128::from(interface.resolution);
    let offset = interface.offset.saturating_mul(NS_PER_SECOND.cast_signed());
    let time_ns = u64::try_from(ns).unwrap_or(u64::MAX);
    Ok(Some(Captured {
        time_ns: time_ns.saturating_add_signed(offset),
        bytes: bytes.to_vec(),
        wire_len: bytes.len().max(wire_len as usize),
    }))
}
