//! What leaves the host: nothing is judged, only who is talked with is noted.

use aya_ebpf::{bindings::TC_ACT_UNSPEC, programs::TcContext};
use guard_common::{
    departure::{EphemeralPorts, peer},
    packet::Frame,
    source,
};

use crate::{clock, maps, settings};

/// Notes whom the host talks with. The frame goes on as if this program were not there.
#[inline(always)]
pub(crate) fn run(ctx: &TcContext) -> i32 {
    if is_forwarded(ctx) {
        return TC_ACT_UNSPEC;
    }
    let [first, last] = settings::ephemeral_ports();
    if let Some(peer) = peer(&Departing { ctx }, EphemeralPorts { first, last }) {
        let hash = source::hash(peer, settings::ipv6_mask(), settings::hash_seed());
        maps::note_known(hash, clock::now());
    }
    TC_ACT_UNSPEC
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
