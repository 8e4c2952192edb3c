//! What leaves the host: nothing is judged, only noted who is talked with, and what is said.

use aya_ebpf::{
    EbpfContext as _, bindings::TC_ACT_UNSPEC, helpers::generated::bpf_skb_load_bytes,
    programs::TcContext,
};
use guard_common::{
    connection::talk::{Segment, TEXT_LEN},
    departure::{Departure, EphemeralPorts, Outgoing, Talk},
    packet::{Frame, TCP_SYN},
    source,
    wire::ServicePort,
};

use crate::{
    clock,
    forget::forget,
    hearing::Said,
    maps, settings,
    stages::{encryption::is_settled, lifelines},
};

/// Notes whom the host talks with, and hears what services' connections say. The frame goes on as
/// if this program were not there.
#[inline(always)]
pub(crate) fn run(ctx: &TcContext) -> i32 {
    let frame = Departing::new(ctx);
    let Some(departure) = Departure::read(&frame) else {
        return TC_ACT_UNSPEC;
    };
    if (settings::notes_known() || settings::protects_self()) && !is_forwarded(ctx) {
        let [first, last] = settings::ephemeral_ports();
        if let Some(talk) = departure.talk(&frame, EphemeralPorts { first, last }) {
            note(ctx, &departure, talk);
        }
    }
    if settings::checks()
        && let Some(segment) = departure.segment(&frame)
    {
        hear(ctx, &departure, &segment);
    }
    TC_ACT_UNSPEC
}

#[inline(always)]
fn note(ctx: &TcContext, departure: &Departure, talk: Talk) {
    let (seed, now) = (settings::hash_seed(), clock::now());
    let peer = departure.peer();
    let is_segment = matches!(talk, Talk::Segment { .. });
    if is_segment && settings::asks_sockets() && !is_established(ctx) {
        return;
    }
    if settings::protects_self() {
        lifelines::note(departure, talk, now);
    }
    if !settings::notes_known() {
        return;
    }
    if let Talk::Segment { ports, ack } = talk
        && settings::bans()
    {
        let connection = source::connection(peer, departure.local, ports, seed);
        maps::note_connection(connection, ack);
    }
    let hash = source::hash(peer, settings::ipv6_mask(), seed);
    maps::note_known(hash, now);
}

/// Hears what a service's connection says, also of what is only forwarded: a container's answers.
#[inline(always)]
fn hear(ctx: &TcContext, departure: &Departure, segment: &Outgoing) {
    let mut service = maps::service_port(segment.ports as u16);
    let mut by_client = false;
    if service.flags & ServicePort::CHECK == 0 && settings::checks_calls() {
        service = maps::called_port((segment.ports >> 16) as u16);
        by_client = true;
    }
    if service.flags & ServicePort::CHECK == 0 {
        return;
    }
    let seed = settings::hash_seed();
    let hash = source::connection(departure.peer(), departure.local, segment.ports, seed);
    let now = clock::now();
    let asks = by_client && segment.payload_len != 0;
    if !is_settled(hash, segment.flags, now, asks) {
        lay_down(
            ctx,
            departure,
            segment,
            service,
            [hash, now.into(), by_client.into()],
        );
        Said::hear();
    }
}

/// Lays the segment down where it is heard.
#[inline(always)]
fn lay_down(
    ctx: &TcContext,
    departure: &Departure,
    segment: &Outgoing,
    service: ServicePort,
    [hash, now, by_client]: [u64; 3],
) {
    const MAX: u32 = TEXT_LEN;
    let Some(hearing) = maps::hearing() else {
        return;
    };
    // What a capture cut off is not there.
    let there = ctx.len().saturating_sub(segment.payload_offset.into());
    let wanted = segment.payload_len.min(there).min(MAX);
    // Not as a comparison with zero, of which kernels before 6.8 learn nothing.
    let len = (forget(u64::from(wanted.wrapping_sub(1))) as u32).min(MAX - 1) + 1;
    // SAFETY: the memory is this CPU's alone, and the text is MAX bytes long.
    unsafe {
        let text = (&raw mut (*hearing).text).cast();
        let offset = u32::from(segment.payload_offset);
        let has_text =
            wanted != 0 && bpf_skb_load_bytes(ctx.as_ptr().cast(), offset, text, len) == 0;
        (&raw mut (*hearing).segment).write(Segment {
            hash,
            peer: departure.peer,
            ports: segment.ports,
            seq: segment
                .seq
                .wrapping_add(u32::from(segment.flags & TCP_SYN != 0)),
            ack: segment.ack,
            payload_len: segment.payload_len,
            text_len: if has_text { wanted } else { 0 },
            now: now as u32,
            service_plus_one: service.service_plus_one,
            flags: segment.flags,
            by_client: by_client as u8,
            by_host: 1,
            interface: 0,
            service_flags: service.flags,
        });
    }
}

/// Whether the socket of an established connection sends it. What answers for a half-open one, or
/// for none at all, is no such socket: its peer may be forged.
#[inline(always)]
fn is_established(ctx: &TcContext) -> bool {
    // States of `enum tcp_states` in which both sides have proven that they are there:
    // ESTABLISHED, FIN_WAIT1, FIN_WAIT2, CLOSE_WAIT, LAST_ACK, CLOSING.
    const ESTABLISHED: u32 = 1 << 1 | 1 << 4 | 1 << 5 | 1 << 8 | 1 << 9 | 1 << 11;

    // SAFETY: the kernel's context of the program, and the socket it names, both valid as long as
    // the program runs.
    let state = unsafe {
        let socket = (*ctx.skb.skb).__bindgen_anon_2.sk;
        if socket.is_null() {
            return false;
        }
        (*socket).state
    };
    ESTABLISHED >> (state & 31) & 1 != 0
}

/// Whether it came in by an interface: somebody else's packet, which anybody can send.
#[inline(always)]
fn is_forwarded(ctx: &TcContext) -> bool {
    // SAFETY: the kernel's context of the program, valid as long as it runs.
    unsafe { (*ctx.skb.skb).ingress_ifindex != 0 }
}

/// A frame on its way through the stack. Its headers can be read directly.
pub(crate) struct Departing<'a> {
    ctx: &'a TcContext,
}

impl<'a> Departing<'a> {
    #[inline(always)]
    pub(crate) fn new(ctx: &'a TcContext) -> Self {
        Self { ctx }
    }
}

impl Frame for Departing<'_> {
    #[inline(always)]
    fn linear_len(&self) -> usize {
        self.ctx.data_end() - self.ctx.data()
    }

    #[inline(always)]
    fn total_len(&self) -> usize {
        self.ctx.len() as usize
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
}
