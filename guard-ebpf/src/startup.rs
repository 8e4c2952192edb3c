//! What the kernel side says when it starts.

use aya_ebpf::{bindings::xdp_action, helpers::bpf_ktime_get_ns, programs::XdpContext};
use aya_log_ebpf::info;

use crate::{clock, packet::XdpFrame, settings};

/// Logs the settings as the program sees them, and answers with the two clocks in the packet:
/// `bpf_jiffies64`, then `bpf_ktime_get_ns`, as words in host order. From two runs the agent
/// learns how long a jiffy is.
#[inline(always)]
pub(crate) fn run(ctx: &XdpContext) -> u32 {
    // SAFETY: the helper takes nothing and touches nothing.
    let now_ns = unsafe { bpf_ktime_get_ns() };
    if !XdpFrame::new(ctx).answer([clock::jiffies(), now_ns]) {
        return xdp_action::XDP_ABORTED;
    }
    let [packets, connections] = settings::limits();
    info!(
        ctx,
        "kernel side up: abi {}, clock {}, dry-run {}, source sets {}, limits packets {} bytes {} connections {}",
        settings::abi_version(),
        clock::name(),
        u32::from(settings::dry_run()),
        settings::set_mask() + 1,
        u32::from(packets.cost != 0),
        u32::from(settings::limit_bytes().cost != 0),
        u32::from(connections.cost != 0),
    );
    xdp_action::XDP_PASS
}
