//! What is in a capture file, read by other code than guard's.

/// Pads what pcapng holds.
const ALIGNMENT: usize = 4;
/// Link type of Ethernet.
const ETHERNET: u32 = 1;

/// A file's packets, up to where it cannot be read further.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct File {
    pub(crate) packets: Vec<Recorded>,
    pub(crate) end: End,
}

/// A packet: what the file has of it, and how long it was.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Recorded {
    pub(crate) bytes: Vec<u8>,
    pub(crate) wire_len: usize,
}

/// How a file ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum End {
    Whole,
    /// With a packet of another link type.
    NotEthernet(u32),
    /// In the middle of a record.
    CutShort,
    /// It is no capture.
    Unknown,
}

impl End {
    /// What `guard replay` says of it.
    pub(crate) fn words(self) -> String {
        match self {
            Self::Whole => String::new(),
            Self::NotEthernet(linktype) => format!("holds packets of link type {linktype},"),
            Self::CutShort => "ends in the middle of a record".to_owned(),
            Self::Unknown => "is no capture".to_owned(),
        }
    }
}

impl File {
    pub(crate) fn read(bytes: &[u8]) -> Self {
        let mut packets = Vec::new();
        let end = match bytes.get(..4) {
            Some([0x0a, 0x0d, 0x0d, 0x0a]) => pcapng(bytes, &mut packets),
            Some([0xd4, 0xc3, 0xb2, 0xa1] | [0x4d, 0x3c, 0xb2, 0xa1]) => {
                pcap(bytes, u32::from_le_bytes, &mut packets)
            }
            Some([0xa1, 0xb2, 0xc3, 0xd4] | [0xa1, 0xb2, 0x3c, 0x4d]) => {
                pcap(bytes, u32::from_be_bytes, &mut packets)
            }
            _ => Err(End::Unknown),
        };
        Self {
            packets,
            end: end.err().unwrap_or(End::Whole),
        }
    }
}

/// How a file orders the bytes of a word.
type Order = fn([u8; 4]) -> u32;

fn word(bytes: &[u8], at: usize, order: Order) -> Result<u32, End> {
    let word = bytes.get(at..).and_then(|rest| rest.first_chunk());
    word.map(|word| order(*word)).ok_or(End::CutShort)
}

fn pcap(bytes: &[u8], order: Order, packets: &mut Vec<Recorded>) -> Result<(), End> {
    // The six bits above say whether frames end with their check sequence.
    let linktype = word(bytes, 20, order)? & 0x03ff_ffff;
    let mut rest = &bytes[24..];
    while !rest.is_empty() {
        let (held, wire_len) = (word(rest, 8, order)?, word(rest, 12, order)?);
        let record = rest.get(16..16 + held as usize).ok_or(End::CutShort)?;
        packets.push(recorded(linktype, record, wire_len)?);
        rest = &rest[16 + record.len()..];
    }
    Ok(())
}

/// Sections of one interface and more, in enhanced and simple packet blocks.
fn pcapng(mut rest: &[u8], packets: &mut Vec<Recorded>) -> Result<(), End> {
    let (mut order, mut linktypes): (Order, Vec<u32>) = (u32::from_le_bytes, Vec::new());
    while !rest.is_empty() {
        if rest.starts_with(&[0x0a, 0x0d, 0x0d, 0x0a]) {
            let is_big = rest.get(8..12) == Some(&[0x1a, 0x2b, 0x3c, 0x4d]);
            order = if is_big {
                u32::from_be_bytes
            } else {
                u32::from_le_bytes
            };
            linktypes.clear();
        }
        let len = word(rest, 4, order)? as usize;
        let block = rest.get(..len.max(12)).ok_or(End::CutShort)?;
        match word(block, 0, order)? {
            1 => linktypes.push(word(block, 8, order)? & 0xffff),
            6 => {
                let linktype = linktypes.get(word(block, 8, order)? as usize);
                let held = word(block, 20, order)? as usize;
                let record = block.get(28..28 + held).ok_or(End::CutShort)?;
                let linktype = *linktype.ok_or(End::Unknown)?;
                packets.push(recorded(linktype, record, word(block, 24, order)?)?);
            }
            3 => {
                let linktype = *linktypes.first().ok_or(End::Unknown)?;
                let wire_len = word(block, 8, order)?;
                let held = (wire_len as usize).min(block.len() - 16);
                packets.push(recorded(linktype, &block[12..12 + held], wire_len)?);
            }
            _ => {}
        }
        let next = block.len().next_multiple_of(ALIGNMENT);
        rest = rest.get(next..).unwrap_or_default();
    }
    Ok(())
}

fn recorded(linktype: u32, bytes: &[u8], wire_len: u32) -> Result<Recorded, End> {
    if linktype != ETHERNET {
        return Err(End::NotEthernet(linktype));
    }
    Ok(Recorded {
        bytes: bytes.to_vec(),
        wire_len: bytes.len().max(wire_len as usize),
    })
}
