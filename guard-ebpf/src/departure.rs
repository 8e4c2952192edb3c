//! What leaves the host: nothing is judged, only who is talked with is noted.

use aya_ebpf::{bindings::TC_ACT_UNSPEC, programs::TcContext};
use guard_common::{
    departure::{Departure, EphemeralPorts, Talk},
    packet::Frame,
    source,
};

use crate::{clock, maps, settings};

/// Notes whom the host talks with. The frame goes on as if this program were not there.
#[inline(always)]
pub(crate) fn run(ctx: &TcContext) -> i32 {
    let [first, last] = settings::ephemeral_ports();
    if !is_forwarded(ctx)
        && let Some(departure) = Departure::read(&Departing { ctx }, EphemeralPorts { first, last })
    {
        note(ctx, departure);
    }
    TC_ACT_UNSPEC
}

#[inline(always)]
fn note(ctx: &TcContext, Departure { peer, talk }: Departure) {
    let seed = settings::hash_seed();
    if let Talk::Segment { ports, ack } = talk {
        if settings::asks_sockets() && !is_established(ctx) {
            return;
        }
        if settings::bans() {
            maps::note_connection(source::connection(peer, ports, seed), ack);
        }
    }
    let hash = source::hash(peer, settings::ipv6_mask(), seed);
    maps::note_known(hash, clock::now());
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

/// A frame that leaves. Its headers can be read directly: our own stack has just written them.
struct Departing<'a> {
    ctx: &'a TcContext,
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
