//! Breaks a connection off at both ends.
//!
//! The segment that offends becomes one that resets the connection, and passes to the host: its
//! sequence number is the one that the host waits for. The program on the way to the stack sends a
//! copy back whose ends are swapped, with the number that the client waits for.

use aya_ebpf::{
    EbpfContext as _,
    bindings::{TC_ACT_UNSPEC, xdp_md},
    helpers::generated::{bpf_clone_redirect, bpf_skb_pull_data},
    programs::{TcContext, XdpContext},
};
use guard_common::{
    connection::settled::State,
    departure::{self, Departure},
    packet::{
        Address, ETHERTYPE_IPV4, ETHERTYPE_IPV6, Frame, IPV4_LEN, IPV6_LEN, PROTOCOL_TCP, TCP_ACK,
        TCP_LEN, TCP_RST, link,
    },
    source::{self, Slot},
    wire::ServicePort,
};

use crate::{departure::Departing, maps, packet::XdpFrame, settings};

/// Header bytes that are looked at, link layer and VLAN tags included.
const HEADERS_LEN: u32 = 22 + 60 + 20;
/// Hops that a segment may take.
const TTL: u8 = 64;

/// Bytes of a packet, which can be written to.
struct Bytes {
    start: usize,
    end: usize,
}

impl Bytes {
    /// `N` bytes from `offset` on.
    #[inline(always)]
    fn at<const N: usize>(&mut self, offset: usize) -> Option<&mut [u8; N]> {
        let start = self.start + offset;
        if start + N > self.end {
            return None;
        }
        // SAFETY: the bytes lie within the packet, and each is lent once at a time.
        Some(unsafe { &mut *(start as *mut [u8; N]) })
    }
}

/// See [`reset`]; not zero when it is done.
#[unsafe(no_mangle)]
#[inline(never)]
extern "C" fn guard_reset(ctx: *mut xdp_md) -> u32 {
    let ctx = XdpContext::new(ctx);
    let frame = XdpFrame::new(&ctx);
    let Ok((ethertype, offset)) = link(&frame) else {
        return 0;
    };
    let mut bytes = Bytes {
        start: ctx.data(),
        end: ctx.data_end(),
    };
    let rewritten = match ethertype {
        ETHERTYPE_IPV4 => cut_ipv4(&frame, &mut bytes, offset),
        ETHERTYPE_IPV6 => cut_ipv6(&frame, &mut bytes, offset),
        _ => None,
    };
    rewritten.is_some().into()
}

/// Makes the segment that is judged one that resets its connection; false when its headers cannot
/// be reached.
#[inline(always)]
pub(crate) fn reset(ctx: &XdpContext) -> bool {
    guard_reset(ctx.as_ptr().cast()) != 0
}

#[inline(always)]
fn cut_ipv4(frame: &XdpFrame<'_>, bytes: &mut Bytes, offset: usize) -> Option<()> {
    let header: &mut [u8; IPV4_LEN] = bytes.at(offset)?;
    let header_len = usize::from(header[0] & 0x0f) * 4;
    let old = u16::from_be_bytes([header[2], header[3]]);
    let new = (header_len + TCP_LEN) as u16;
    let check = u16::from_be_bytes([header[10], header[11]]);
    [header[2], header[3]] = new.to_be_bytes();
    [header[10], header[11]] = adjusted(check, old, new).to_be_bytes();
    let mut sum = sum_of(&header[12..20]);
    sum += u32::from(PROTOCOL_TCP) + TCP_LEN as u32;
    let tcp: &mut [u8; TCP_LEN] = bytes.at(frame.settled(offset + header_len))?;
    break_off(tcp, TCP_RST | TCP_ACK, sum);
    Some(())
}

#[inline(always)]
fn cut_ipv6(frame: &XdpFrame<'_>, bytes: &mut Bytes, offset: usize) -> Option<()> {
    let header: &mut [u8; IPV6_LEN] = bytes.at(offset)?;
    // Behind extension headers it is not reached.
    if header[6] != PROTOCOL_TCP {
        return None;
    }
    [header[4], header[5]] = (TCP_LEN as u16).to_be_bytes();
    let mut sum = sum_of(&header[8..40]);
    sum += u32::from(PROTOCOL_TCP) + TCP_LEN as u32;
    let tcp: &mut [u8; TCP_LEN] = bytes.at(frame.settled(offset + IPV6_LEN))?;
    break_off(tcp, TCP_RST | TCP_ACK, sum);
    Some(())
}

/// Makes a header one without options or data that resets a connection. `pseudo` is the sum of the
/// addresses, the protocol and the length.
#[inline(always)]
fn break_off(tcp: &mut [u8; TCP_LEN], flags: u8, pseudo: u32) {
    tcp[12] = (TCP_LEN as u8 / 4) << 4;
    tcp[13] = flags;
    // Window, checksum and urgent pointer.
    tcp[14..20].copy_from_slice(&[0; 6]);
    let check = !folded(pseudo + sum_of(&tcp[..]));
    [tcp[16], tcp[17]] = check.to_be_bytes();
}

/// Sum of 16-bit words (RFC 1071), of an even number of bytes.
#[inline(always)]
fn sum_of(bytes: &[u8]) -> u32 {
    let words = bytes.chunks_exact(2);
    words.fold(0, |sum, word| {
        sum + u32::from(u16::from_be_bytes([word[0], word[1]]))
    })
}

#[inline(always)]
const fn folded(sum: u32) -> u16 {
    let sum = (sum & 0xffff) + (sum >> 16);
    ((sum & 0xffff) + (sum >> 16)) as u16
}

/// A checksum after a word has changed (RFC 1624).
#[inline(always)]
const fn adjusted(check: u16, old: u16, new: u16) -> u16 {
    !folded(!check as u32 + !old as u32 + new as u32)
}

/// Sees what passes to the stack: to a segment that breaks off a connection of ours a copy goes
/// back.
#[inline(always)]
pub(crate) fn arrives(ctx: &TcContext) -> i32 {
    // SAFETY: the context is the one this program was called with.
    unsafe { bpf_skb_pull_data(ctx.as_ptr().cast(), HEADERS_LEN.min(ctx.len())) };
    if is_ours(ctx) {
        // Swapped, sent, and swapped back: what the host gets is what came.
        let sent = swap(ctx, true).is_some();
        if sent {
            // SAFETY: as above; the copy leaves by the interface that it came in by.
            unsafe {
                let index = (*ctx.skb.skb).ifindex;
                bpf_clone_redirect(ctx.as_ptr().cast(), index, 0);
            }
        }
        if sent && swap(ctx, false).is_none() {
            return aya_ebpf::bindings::TC_ACT_SHOT;
        }
    }
    TC_ACT_UNSPEC
}

/// Whether a segment breaks off a connection whose client is refused. A reset of the client's own
/// with an acknowledgement looks the same, and is answered with one.
#[inline(always)]
fn is_ours(ctx: &TcContext) -> bool {
    let frame = Departing::new(ctx);
    // Read as one that leaves, the peer is where it goes to: the host.
    let Some(arrival) = Departure::read(&frame) else {
        return false;
    };
    let Some(segment) = arrival.segment(&frame) else {
        return false;
    };
    if segment.flags != TCP_RST | TCP_ACK || segment.payload_len != 0 {
        return false;
    }
    let port = (segment.ports >> 16) as u16;
    if maps::service_port(port).flags & ServicePort::RESET == 0 {
        return false;
    }
    let Some((source, local)) = departure::arrival(&frame) else {
        return false;
    };
    let ports = segment.ports.rotate_left(16);
    let hash = source::connection(Address::of(source), local, ports, settings::hash_seed());
    let slot = Slot::from_hash(hash);
    let found = maps::settled(slot.set).and_then(|line| line.find(slot.tag));
    found.is_some_and(|found| found.state().has(State::REFUSED))
}

/// Swaps the ends of a segment that resets, which is to go `back` or has gone.
#[inline(always)]
fn swap(ctx: &TcContext, back: bool) -> Option<()> {
    let frame = Departing::new(ctx);
    let (ethertype, offset) = link(&frame).ok()?;
    let mut bytes = Bytes {
        start: ctx.data(),
        end: ctx.data_end(),
    };
    let macs: &mut [u8; 12] = bytes.at(0)?;
    for i in 0..6 {
        macs.swap(i, i + 6);
    }
    let (tcp_offset, sum) = match ethertype {
        ETHERTYPE_IPV4 => {
            let header: &mut [u8; IPV4_LEN] = bytes.at(offset)?;
            for i in 12..16 {
                header.swap(i, i + 4);
            }
            let old = u16::from_be_bytes([header[8], header[9]]);
            header[8] = TTL;
            let new = u16::from_be_bytes([header[8], header[9]]);
            let check = u16::from_be_bytes([header[10], header[11]]);
            [header[10], header[11]] = adjusted(check, old, new).to_be_bytes();
            let header_len = usize::from(header[0] & 0x0f) * 4;
            (offset + header_len, sum_of(&header[12..20]))
        }
        ETHERTYPE_IPV6 => {
            let header: &mut [u8; IPV6_LEN] = bytes.at(offset)?;
            for i in 8..24 {
                header.swap(i, i + 16);
            }
            header[7] = TTL;
            (offset + IPV6_LEN, sum_of(&header[8..40]))
        }
        _ => return None,
    };
    let tcp: &mut [u8; TCP_LEN] = bytes.at(tcp_offset)?;
    for i in 0..2 {
        tcp.swap(i, i + 2);
    }
    for i in 4..8 {
        tcp.swap(i, i + 4);
    }
    // The number that the client waits for is enough: it takes no acknowledgement.
    let flags = if back { TCP_RST } else { TCP_RST | TCP_ACK };
    break_off(tcp, flags, sum + u32::from(PROTOCOL_TCP) + TCP_LEN as u32);
    Some(())
}
