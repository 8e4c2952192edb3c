//! The only file that touches packet memory.

use core::arch::asm;

use aya_ebpf::{
    EbpfContext as _,
    bindings::xdp_md,
    helpers::generated::{bpf_xdp_get_buff_len, bpf_xdp_load_bytes},
    programs::XdpContext,
};
use guard_common::{
    connection::talk::{Segment, TEXT_LEN},
    facts::{Facts, Shape},
    packet::{
        Fragment, Frame, IpPacket, MAX_HEADERS_LEN, Packet, Payload, TCP_SYN, Unsound, Walk,
        extensions, parse_any, plain,
    },
    wire::ServicePort,
};

use crate::{forget::forget, hearing::Said, maps, settings};

/// The longest header that is read in one piece: IPv6's.
const LONGEST_HEADER: usize = 40;
/// No number that is made unknown is larger: the verifier takes none of 2^29 or more for an offset,
/// and the kernel's own bound on a packet's bytes is lower.
const MAX_UNKNOWN: u32 = (1 << 28) - 1;
/// Room for a copy of a frame's headers, each where it is in the frame.
pub(crate) type Headers = [u8; MAX_HEADERS_LEN + LONGEST_HEADER];

/// A received frame.
pub(crate) struct XdpFrame<'a> {
    ctx: &'a XdpContext,
}

impl<'a> XdpFrame<'a> {
    #[inline(always)]
    pub(crate) fn new(ctx: &'a XdpContext) -> Self {
        Self { ctx }
    }

    /// What the kernel knows it by, for functions of their own.
    #[inline(always)]
    pub(crate) fn raw(&self) -> *mut xdp_md {
        self.ctx.ctx
    }

    /// Position of the interface it came in by.
    #[inline(always)]
    pub(crate) fn interface(&self) -> u32 {
        // One interface, the usual case, costs nothing here, nor is its device looked at.
        (1..settings::interfaces())
            .find(|at| maps::interface_index(*at) == self.ctx.ingress_ifindex() as u32)
            .unwrap_or(0)
    }

    /// What the decisions need of a packet, of whose layout the verifier has forgotten all.
    #[inline(always)]
    pub(crate) fn settled_facts(&self, packet: &IpPacket, now: u32) -> Facts {
        let mut facts = Facts::of(packet, now, settings::hash_seed());
        let bytes = self.unknown(facts.bytes as usize) as u32;
        let shape = self.unknown(facts.shape.0 as usize) as u32;
        (facts.bytes, facts.shape) = (bytes, Shape(shape));
        facts
    }

    /// The same number, at most [`MAX_UNKNOWN`], which the verifier knows nothing of: the difference
    /// of two packet pointers.
    #[inline(always)]
    fn unknown(&self, number: usize) -> usize {
        let mut number = number;
        // The verifier has to know that it is in range, and kernels before 6.10 do not of a number
        // that was put together with `|`. Here, since the compiler would leave out such a mask.
        // SAFETY: adds the packet's start and takes it away again.
        unsafe {
            asm!(
                "{number} &= {max}",
                "{number} += {start}",
                "{number} -= {start}",
                number = inout(reg) number,
                max = const MAX_UNKNOWN,
                start = in(reg) self.ctx.data(),
                options(pure, nomem, nostack),
            );
        }
        number
    }

    /// Lays down a segment of a service's connection, and hears what it says.
    #[inline(always)]
    pub(crate) fn heard(
        &self,
        facts: &Facts,
        service: ServicePort,
        by_client: bool,
        hash: u64,
    ) -> Said {
        const MAX: u32 = TEXT_LEN;
        let Some(hearing) = maps::hearing() else {
            return Said::Nothing;
        };
        // SAFETY: the memory is this CPU's alone, and the text is MAX bytes long.
        unsafe {
            let text = (&raw mut (*hearing).text).cast();
            let has_text = facts.payload_len != 0
                && self.load::<MAX>(facts.payload_offset, text, facts.payload_len.min(MAX));
            let text_len = if has_text {
                facts.payload_len.min(MAX)
            } else {
                0
            };
            (&raw mut (*hearing).segment).write(Segment {
                hash,
                peer: facts.address(),
                ports: facts.tcp.ports(),
                seq: facts
                    .tcp
                    .seq()
                    .wrapping_add(u32::from(facts.tcp.flags() & TCP_SYN != 0)),
                ack: facts.tcp.ack(),
                payload_len: facts.payload_len,
                text_len,
                now: facts.now,
                service_plus_one: service.service_plus_one,
                flags: facts.tcp.flags(),
                by_client: by_client.into(),
                by_host: 0,
                interface: self.interface() as u8,
                service_flags: service.flags,
            });
        }
        Said::hear()
    }

    /// Copies `len` bytes, at least 1 and at most `MAX`, from wherever in the frame they are.
    /// False when the frame ends before.
    ///
    /// # Safety
    ///
    /// `buffer` must be valid for writes of `MAX` bytes.
    #[inline(always)]
    unsafe fn load<const MAX: u32>(&self, offset: u16, buffer: *mut u8, len: u32) -> bool {
        // The compiler may know that it is in range. Kernels before 6.8 learn nothing from a
        // comparison with 0, only from one that orders.
        let beyond_one = forget(u64::from(len.wrapping_sub(1)));
        let len = (beyond_one as u32).min(MAX - 1) + 1;
        let ctx = self.ctx.as_ptr().cast();
        // SAFETY: the helper writes `len` bytes, which the caller vouches for, or none.
        unsafe { bpf_xdp_load_bytes(ctx, u32::from(offset), buffer.cast(), len) == 0 }
    }

    /// Overwrites the start of the frame with `words`, in host order. False when it is shorter.
    #[inline(always)]
    pub(crate) fn answer(&self, words: [u64; 2]) -> bool {
        let start = self.ctx.data();
        if start + size_of::<[u64; 2]>() > self.ctx.data_end() {
            return false;
        }
        // SAFETY: the bytes lie within the packet, and no reference to them is alive.
        unsafe { (start as *mut [u64; 2]).write_unaligned(words) };
        true
    }
}

impl Frame for XdpFrame<'_> {
    #[inline(always)]
    fn linear_len(&self) -> usize {
        self.ctx.data_end() - self.ctx.data()
    }

    #[inline(always)]
    fn total_len(&self) -> usize {
        // SAFETY: the context is the one this program was called with.
        unsafe { bpf_xdp_get_buff_len(self.ctx.as_ptr().cast()) as usize }
    }

    #[inline(always)]
    fn bytes<const N: usize>(&self, offset: usize) -> Option<&[u8; N]> {
        let start = self.ctx.data() + offset;
        if start + N > self.ctx.data_end() {
            return None;
        }
        // SAFETY: the bytes lie within the packet, which nobody writes while the program runs.
        Some(unsafe { &*(start as *const [u8; N]) })
    }

    /// The verifier would follow every way the headers can be laid out through all that comes
    /// after.
    #[inline(always)]
    fn settled(&self, offset: usize) -> usize {
        self.unknown(offset) % MAX_HEADERS_LEN
    }

    #[inline(always)]
    fn beyond_extensions(&self, at: Payload) -> Result<Payload, Unsound> {
        let place = (at.len as u64) << 32 | (at.offset as u64) << 16 | u64::from(at.protocol);
        Walk(guard_extensions(self.ctx.ctx, place)).unpack(at)
    }
}

/// A frame whose headers may lie in any of its buffers: each is copied, to the same place in memory
/// of this CPU's own.
pub(crate) struct Scattered<'a> {
    frame: &'a XdpFrame<'a>,
    copy: *mut Headers,
}

impl<'a> Scattered<'a> {
    #[inline(always)]
    pub(crate) fn new(frame: &'a XdpFrame<'a>) -> Option<Self> {
        maps::headers().map(|copy| Self { frame, copy })
    }
}

impl Frame for Scattered<'_> {
    #[inline(always)]
    fn linear_len(&self) -> usize {
        self.frame.linear_len()
    }

    #[inline(always)]
    fn total_len(&self) -> usize {
        self.frame.total_len()
    }

    #[inline(always)]
    fn bytes<const N: usize>(&self, offset: usize) -> Option<&[u8; N]> {
        if offset >= MAX_HEADERS_LEN || N > LONGEST_HEADER {
            return None;
        }
        let ctx = self.frame.ctx.as_ptr().cast();
        // SAFETY: the N bytes are within the memory, and this CPU's alone. The helper writes all
        // of them or none. Headers do not overlap, so what was lent before is not written again.
        unsafe {
            let copy = self.copy.cast::<u8>().add(offset);
            let copied = bpf_xdp_load_bytes(ctx, offset as u32, copy.cast(), N as u32) == 0;
            copied.then(|| &*copy.cast())
        }
    }

    #[inline(always)]
    fn settled(&self, offset: usize) -> usize {
        self.frame.settled(offset)
    }

    #[inline(always)]
    fn beyond_extensions(&self, at: Payload) -> Result<Payload, Unsound> {
        self.frame.beyond_extensions(at)
    }
}

/// A frame's headers, from wherever in it they are. Nearly always they are where they always are, and
/// are read there; for all else there is a function of its own.
#[inline(always)]
pub(crate) fn read(frame: &XdpFrame<'_>) -> Result<Packet, Unsound> {
    if let Some(packet) = plain(frame) {
        return Ok(Packet::Ip(packet));
    }
    match guard_parse(frame.raw()) {
        NOT_IP => Ok(Packet::NotIp),
        IP => match maps::parsed() {
            // SAFETY: the memory is this CPU's alone, and has just been written.
            Some(packet) => Ok(Packet::Ip(unsafe { packet.read() })),
            None => Err(Unsound::OutOfReach),
        },
        unsound => Err(Unsound::numbered((unsound - UNSOUND).into())),
    }
}

/// What [`guard_parse`] answers: neither IPv4 nor IPv6, or a packet, which it has laid down; from here
/// on, the number of why it is none.
const NOT_IP: u32 = 0;
const IP: u32 = 1;
const UNSOUND: u32 = 2;

/// [`parse_any`] as a function of its own: the verifier goes through it once, and knows nothing of what
/// comes out, so whatever the layout, all that follows is one way to it. Headers that cannot be read
/// directly are copied.
#[unsafe(no_mangle)]
#[inline(never)]
extern "C" fn guard_parse(ctx: *mut xdp_md) -> u32 {
    let ctx = XdpContext::new(ctx);
    let frame = XdpFrame::new(&ctx);
    let mut read = parse_any(&frame);
    if read == Err(Unsound::OutOfReach)
        && let Some(scattered) = Scattered::new(&frame)
    {
        read = parse_any(&scattered);
    }
    match (read, maps::parsed()) {
        (Ok(Packet::NotIp), _) => NOT_IP,
        (Ok(Packet::Ip(packet)), Some(place)) => {
            // SAFETY: the memory is this CPU's alone.
            unsafe { place.write(packet) };
            IP
        }
        (Ok(Packet::Ip(_)), None) => UNSOUND,
        (Err(unsound), _) => UNSOUND + unsound as u32,
    }
}

/// [`extensions`] as a function of its own: the verifier goes through it once, not once for each
/// way that leads to it. `place` holds length, offset and protocol of what follows the IPv6
/// header.
#[unsafe(no_mangle)]
#[inline(never)]
extern "C" fn guard_extensions(ctx: *mut xdp_md, place: u64) -> u64 {
    let ctx = XdpContext::new(ctx);
    let frame = XdpFrame::new(&ctx);
    let at = Payload {
        protocol: place as u8,
        hop_limit: 0,
        offset: frame.settled((place >> 16) as u16 as usize),
        len: (place >> 32) as usize,
        fragment: Fragment::WHOLE,
    };
    let walked = match Scattered::new(&frame) {
        Some(frame) => extensions(&frame, at),
        None => extensions(&frame, at),
    };
    Walk::pack(walked).0
}
