//! The lab's traffic programs: a generator, two independent counters, and the least a filter can be.
//!
//! [`flood`] is run with `BPF_F_TEST_XDP_LIVE_FRAMES`: the kernel hands it the frame user space
//! gave, it writes the source of the moment into it and answers `XDP_TX`, which sends the frame
//! out of the interface named in the context. [`count_drop`] and [`count_source`] count at the
//! receiving side, so that what guard says can be held against what somebody else saw.

#![no_std]
#![no_main]
#![expect(
    clippy::needless_pass_by_value,
    reason = "the macros give each program its context"
)]

use aya_ebpf::{
    Global,
    bindings::{TC_ACT_UNSPEC, xdp_action},
    helpers::bpf_ktime_get_ns,
    macros::{classifier, map, xdp},
    maps::{Array, HashMap, PerCpuArray, PerCpuHashMap, ProgramArray},
    programs::{TcContext, XdpContext},
};

// Where in the frame the varied fields and their checksums are, in bytes. 0: not to be touched.
#[unsafe(no_mangle)]
static ADDRESS_OFFSET: Global<u32> = Global::new(0);
#[unsafe(no_mangle)]
static PORT_OFFSET: Global<u32> = Global::new(0);
#[unsafe(no_mangle)]
static IP_CHECKSUM_OFFSET: Global<u32> = Global::new(0);
#[unsafe(no_mangle)]
static L4_CHECKSUM_OFFSET: Global<u32> = Global::new(0);

// The values of the frame as user space built it. Recycled pages keep what was last written to
// them, so every varied field is computed from these and never from the frame.
#[unsafe(no_mangle)]
static ADDRESS_BASE: Global<u32> = Global::new(0);
#[unsafe(no_mangle)]
static PORT_BASE: Global<u32> = Global::new(0);
#[unsafe(no_mangle)]
static IP_CHECKSUM: Global<u32> = Global::new(0);
#[unsafe(no_mangle)]
static L4_CHECKSUM: Global<u32> = Global::new(0);

/// Frame `i` comes from address `base + i * step mod count`.
#[unsafe(no_mangle)]
static ADDRESS_STEP: Global<u64> = Global::new(1);
/// See [`ADDRESS_STEP`].
#[unsafe(no_mangle)]
static ADDRESS_COUNT: Global<u64> = Global::new(1);
/// Frame `i` comes from port `base + i mod this`.
#[unsafe(no_mangle)]
static PORT_COUNT: Global<u64> = Global::new(1);
/// Frames to send in all.
#[unsafe(no_mangle)]
static FRAME_COUNT: Global<u64> = Global::new(0);
/// Time between two bursts; 0 is as fast as it goes.
#[unsafe(no_mangle)]
static INTERVAL_NS: Global<u64> = Global::new(0);
/// Frames that leave together when paced. A power of two, below the 256 slots of a veth ring.
#[unsafe(no_mangle)]
static BURST: Global<u64> = Global::new(64);

/// Frames sent. Written by the one thread that runs `flood`, read by user space.
#[map]
static SENT: Array<u64> = Array::with_max_entries(1, 0);

/// By the kernel's monotonic clock: when the next burst is due, and before when it may not leave
/// even if it is late. Written and read by `flood`.
#[map]
static NEXT_NS: Array<[u64; 2]> = Array::with_max_entries(1, 0);

/// Frames `count_drop` met. Written per CPU, read by user space.
#[map]
static RECEIVED: PerCpuArray<u64> = PerCpuArray::with_max_entries(1, 0);

/// IPv4 packets `count_source` met, by source address in network order. Written per CPU, read by
/// user space.
#[map]
static RECEIVED_FROM: PerCpuHashMap<[u8; 4], u64> = PerCpuHashMap::with_max_entries(4096, 0);

/// Of the packets [`stamp`] met: how many, and the kernel's monotonic clock at the first and at one of
/// the last [`STAMP_EVERY`]. Written per CPU, read by user space.
#[map]
static STAMPS: PerCpuArray<[u64; 3]> = PerCpuArray::with_max_entries(1, 0);
/// A reading of the clock costs more than a packet. A power of two.
const STAMP_EVERY: u64 = 256;

/// The program that [`renumber`], [`renumber_v6`], [`crowd`] and [`stamp`] hand their packets to.
/// Written by user space.
#[map]
static TARGET: ProgramArray = ProgramArray::with_max_entries(1, 0);

/// Packets of a cycle of [`crowd`]. A power of two.
const CYCLE_LEN: u32 = 1 << 13;

/// Who sends the packets of a cycle, and to which port: an IPv4 address, zero for a source that was
/// not there before, and a port. Written by user space.
#[map]
static CYCLE: Array<[u32; 2]> = Array::with_max_entries(CYCLE_LEN, 0);

/// After how many packets the sources of [`renumber`] and [`renumber_v6`] come again; zero: never.
/// Written by user space.
#[map]
static SOURCES_IN_TURN: Array<u64> = Array::with_max_entries(1, 0);

/// Sources that [`hash_drop`] drops, by address in network order. Written by user space.
#[map]
static DENIED_V4: HashMap<[u8; 4], u8> = HashMap::with_max_entries(1024, 0);
/// The same of IPv6.
#[map]
static DENIED_V6: HashMap<[u8; 16], u8> = HashMap::with_max_entries(1024, 0);

/// Of the ethertype in an untagged frame.
const ETHERTYPE_OFFSET: usize = 12;
/// Of the source address in an untagged IPv4 packet.
const SOURCE_OFFSET: usize = 26;
/// Of the same in an IPv6 packet.
const SOURCE_OFFSET_V6: usize = 22;
/// Of the destination port in an untagged IPv4 packet without options.
const PORT_OFFSET_V4: usize = 36;

/// First words of IPv6 addresses in use, those of the lists in `tests/src/bench/lists.rs`.
static REGIONS: [u16; 16] = [
    0x2001, 0x2400, 0x2401, 0x2402, 0x2404, 0x2405, 0x2406, 0x2409, 0x240e, 0x2600, 0x2603, 0x2607,
    0x2804, 0x2a02, 0x2a03, 0x2c0f,
];

/// Sends the frame it was given, from the next source, when its time has come.
#[xdp]
fn flood(ctx: XdpContext) -> u32 {
    match try_flood(&ctx) {
        Some(action) => action,
        None => xdp_action::XDP_ABORTED,
    }
}

fn try_flood(ctx: &XdpContext) -> Option<u32> {
    let sent = SENT.get_ptr_mut(0)?;
    // SAFETY: the pointer came from the map and one thread at a time runs this program.
    let number = unsafe { *sent };
    if number >= FRAME_COUNT.load() || !is_due(number)? {
        return Some(xdp_action::XDP_DROP);
    }
    write_source(ctx, number)?;
    // SAFETY: as above.
    unsafe { *sent = number + 1 };
    Some(xdp_action::XDP_TX)
}

/// Whether frame `number` may leave. All of a burst may once its first one may.
fn is_due(number: u64) -> Option<bool> {
    let interval = INTERVAL_NS.load();
    if interval == 0 || number & (BURST.load() - 1) != 0 {
        return Some(true);
    }
    let next = NEXT_NS.get_ptr_mut(0)?;
    // SAFETY: the pointer came from the map and one thread at a time runs this program.
    let [due, earliest] = unsafe { *next };
    let Some(now) = wait_until(due.max(earliest)) else {
        return Some(false);
    };
    let due = if due == 0 { now } else { due };
    // Time lost is made up for at no more than four times the rate, or the receiver's ring overflows.
    // SAFETY: as above.
    unsafe { *next = [due + interval, now + interval / 4] };
    Some(true)
}

/// Waits for an instant, for some microseconds at most, and says when that was. A frame that does not
/// leave goes back to where frames come from, on a lock that the receiver needs too: so it is better
/// waited here than by run after run.
#[inline(always)]
fn wait_until(instant: u64) -> Option<u64> {
    for _ in 0..256 {
        // SAFETY: the helper has no preconditions.
        let now = unsafe { bpf_ktime_get_ns() };
        if now >= instant {
            return Some(now);
        }
    }
    None
}

/// Writes address and port of frame `number`, and the checksums that cover them.
fn write_source(ctx: &XdpContext, number: u64) -> Option<()> {
    let address_base = ADDRESS_BASE.load();
    let step = number.wrapping_mul(ADDRESS_STEP.load());
    let address = address_base.wrapping_add(step.checked_rem(ADDRESS_COUNT.load())? as u32);
    let port_base = PORT_BASE.load() as u16;
    let port = port_base.wrapping_add(number.checked_rem(PORT_COUNT.load())? as u16);
    let address_change = change(address_base, address);
    if ADDRESS_OFFSET.load() != 0 {
        write(ctx, ADDRESS_OFFSET.load(), address.to_be_bytes())?;
    }
    if PORT_OFFSET.load() != 0 {
        write(ctx, PORT_OFFSET.load(), port.to_be_bytes())?;
    }
    if IP_CHECKSUM_OFFSET.load() != 0 {
        let sum = updated(IP_CHECKSUM.load(), address_change);
        write(ctx, IP_CHECKSUM_OFFSET.load(), sum.to_be_bytes())?;
    }
    if L4_CHECKSUM_OFFSET.load() != 0 {
        let port_change = change(u32::from(port_base), u32::from(port));
        let sum = updated(L4_CHECKSUM.load(), address_change + port_change);
        write(ctx, L4_CHECKSUM_OFFSET.load(), sum.to_be_bytes())?;
    }
    Some(())
}

/// What replacing `old` by `new` adds to a one's complement sum (RFC 1624).
#[inline(always)]
fn change(old: u32, new: u32) -> u32 {
    (!old >> 16) + (!old & 0xffff) + (new >> 16) + (new & 0xffff)
}

/// `checksum` after its data changed by `change` (RFC 1624, equation 3).
#[inline(always)]
fn updated(checksum: u32, change: u32) -> u16 {
    let sum = (!checksum & 0xffff) + change;
    let sum = (sum >> 16) + (sum & 0xffff);
    let sum = (sum >> 16) + (sum & 0xffff);
    !(sum as u16)
}

#[inline(always)]
fn write<const N: usize>(ctx: &XdpContext, offset: u32, bytes: [u8; N]) -> Option<()> {
    let start = ctx.data() + offset as usize;
    if start + N > ctx.data_end() {
        return None;
    }
    // SAFETY: the bounds were checked above, and a byte array has no alignment to keep.
    unsafe { *(start as *mut [u8; N]) = bytes };
    Some(())
}

#[inline(always)]
fn read<const N: usize>(ctx: &XdpContext, offset: usize) -> Option<[u8; N]> {
    let start = ctx.data() + offset;
    if start + N > ctx.data_end() {
        return None;
    }
    // SAFETY: the bounds were checked above, and a byte array has no alignment to keep.
    Some(unsafe { *(start as *const [u8; N]) })
}

/// Passes everything: what an XDP program costs that does nothing.
#[xdp(frags)]
fn floor(_ctx: XdpContext) -> u32 {
    xdp_action::XDP_PASS
}

/// The same, of a program that takes only packets in one buffer: nobody else may hand packets to such.
#[xdp]
fn floor_whole(_ctx: XdpContext) -> u32 {
    xdp_action::XDP_PASS
}

/// Drops everything: the most that dropping can do.
#[xdp(frags)]
fn drop_all(_ctx: XdpContext) -> u32 {
    xdp_action::XDP_DROP
}

/// Drops every IPv4 packet, whose source it has read: the most that a program can do which looks at what
/// it drops. Nothing comes from 0.0.0.0.
#[xdp]
fn read_drop(ctx: XdpContext) -> u32 {
    match read(&ctx, SOURCE_OFFSET) {
        None | Some([0, 0, 0, 0]) => xdp_action::XDP_PASS,
        Some(_) => xdp_action::XDP_DROP,
    }
}

/// Drops what comes from a source in [`DENIED_V4`] or [`DENIED_V6`], and passes everything else: the
/// least a filter by source can do.
#[xdp]
fn hash_drop(ctx: XdpContext) -> u32 {
    if is_denied(&ctx) == Some(true) {
        xdp_action::XDP_DROP
    } else {
        xdp_action::XDP_PASS
    }
}

/// Nothing for a frame that is no IP packet.
#[inline(always)]
fn is_denied(ctx: &XdpContext) -> Option<bool> {
    match read(ctx, ETHERTYPE_OFFSET)? {
        [0x08, 0x00] => {
            let source: [u8; 4] = read(ctx, SOURCE_OFFSET)?;
            Some(DENIED_V4.get_ptr(source).is_some())
        }
        [0x86, 0xdd] => {
            let source: [u8; 16] = read(ctx, SOURCE_OFFSET_V6)?;
            Some(DENIED_V6.get_ptr(source).is_some())
        }
        _ => None,
    }
}

/// Gives an untagged IPv4 packet a source that was not there before, and hands it to the program in
/// [`TARGET`]. With [`SOURCES_IN_TURN`], it is one of so many.
#[xdp(frags)]
fn renumber(ctx: XdpContext) -> u32 {
    renumber_v4(&ctx)
}

/// The same for an IPv6 packet: a source in a /64 of its own.
#[xdp(frags)]
fn renumber_v6(ctx: XdpContext) -> u32 {
    renumber_prefix(&ctx)
}

/// [`renumber`] for programs that take only packets in one buffer.
#[xdp]
fn renumber_whole(ctx: XdpContext) -> u32 {
    renumber_v4(&ctx)
}

/// [`renumber_v6`] for the same.
#[xdp]
fn renumber_v6_whole(ctx: XdpContext) -> u32 {
    renumber_prefix(&ctx)
}

#[inline(always)]
fn renumber_v4(ctx: &XdpContext) -> u32 {
    if let Some(number) = next_in_turn()
        && write(ctx, SOURCE_OFFSET as u32, source_v4(number)).is_some()
    {
        hand_over(ctx);
    }
    xdp_action::XDP_ABORTED
}

#[inline(always)]
fn renumber_prefix(ctx: &XdpContext) -> u32 {
    if let Some(number) = next_in_turn()
        && write(ctx, SOURCE_OFFSET_V6 as u32, prefix_v6(number)).is_some()
    {
        hand_over(ctx);
    }
    xdp_action::XDP_ABORTED
}

/// Gives an untagged IPv4 packet the source and the destination port whose turn it is by [`CYCLE`],
/// and hands it to the program in [`TARGET`].
#[xdp(frags)]
fn crowd(ctx: XdpContext) -> u32 {
    if let Some(number) = next_number()
        && let Some(&[address, port]) = CYCLE.get(number as u32 & (CYCLE_LEN - 1))
    {
        let source = if address == 0 {
            source_v4(number)
        } else {
            address.to_be_bytes()
        };
        let port = (port as u16).to_be_bytes();
        if write(&ctx, SOURCE_OFFSET as u32, source).is_some()
            && write(&ctx, PORT_OFFSET_V4 as u32, port).is_some()
        {
            hand_over(&ctx);
        }
    }
    xdp_action::XDP_ABORTED
}

/// Notes when packets came, and hands them to the program in [`TARGET`].
#[xdp(frags)]
fn stamp(ctx: XdpContext) -> u32 {
    if let Some(stamps) = STAMPS.get_ptr_mut(0) {
        // SAFETY: the pointer came from a per-CPU map, and one thread of each CPU runs this program.
        let [count, first, last] = unsafe { &mut *stamps };
        if *count & (STAMP_EVERY - 1) == 0 {
            // SAFETY: the helper has no preconditions.
            *last = unsafe { bpf_ktime_get_ns() };
            if *count == 0 {
                *first = *last;
            }
        }
        *count += 1;
        hand_over(&ctx);
    }
    xdp_action::XDP_ABORTED
}

/// Comes back only when there is nobody to hand over to.
#[inline(always)]
fn hand_over(ctx: &XdpContext) {
    // SAFETY: the program is of this type.
    unsafe { TARGET.tail_call(ctx, 0) };
}

/// Counts the packets of a program that is run on one thread at a time, from 0.
#[inline(always)]
fn next_number() -> Option<u64> {
    let sent = SENT.get_ptr_mut(0)?;
    // SAFETY: the pointer came from the map and one thread at a time runs these programs.
    let number = unsafe { *sent };
    // SAFETY: as above.
    unsafe { *sent = number + 1 };
    Some(number)
}

/// The same, from 1 again when all of [`SOURCES_IN_TURN`] had their turn: number 0 is nobody's address.
#[inline(always)]
fn next_in_turn() -> Option<u64> {
    let number = next_number()?;
    let sources = *SOURCES_IN_TURN.get(0)?;
    Some(number.checked_rem(sources).map_or(number, |turn| turn + 1))
}

/// One of 2^32 addresses for each of 2^32 numbers, as if at random: each step can be undone
/// (the finaliser of `MurmurHash3`).
#[inline(always)]
fn source_v4(number: u64) -> [u8; 4] {
    let word = number as u32;
    let word = (word ^ word >> 16).wrapping_mul(0x85eb_ca6b);
    let word = (word ^ word >> 13).wrapping_mul(0xc2b2_ae35);
    (word ^ word >> 16).to_be_bytes()
}

/// The first half of an address in one of [`REGIONS`], as if at random (the finaliser of
/// `SplitMix64`).
#[inline(always)]
fn prefix_v6(number: u64) -> [u8; 8] {
    let word = number.wrapping_mul(0x9e37_79b9_7f4a_7c15);
    let word = (word ^ word >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let word = (word ^ word >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
    let word = word ^ word >> 31;
    let region = REGIONS[(word & 15) as usize];
    (u64::from(region) << 48 | word >> 16).to_be_bytes()
}

/// Counts and drops every frame.
#[xdp(frags)]
fn count_drop(_ctx: XdpContext) -> u32 {
    if let Some(received) = RECEIVED.get_ptr_mut(0) {
        // SAFETY: the pointer came from a per-CPU map, and XDP does not nest on a CPU.
        unsafe { *received += 1 };
    }
    xdp_action::XDP_DROP
}

/// Counts IPv4 packets by source on their way into the host's stack, and lets the next one decide.
#[classifier]
fn count_source(ctx: TcContext) -> i32 {
    if ctx.load::<[u8; 2]>(ETHERTYPE_OFFSET) == Ok([0x08, 0x00])
        && let Ok(source) = ctx.load::<[u8; 4]>(SOURCE_OFFSET)
    {
        count_one(&source);
    }
    TC_ACT_UNSPEC
}

fn count_one(source: &[u8; 4]) {
    if let Some(received) = RECEIVED_FROM.get_ptr_mut(source) {
        // SAFETY: the pointer came from a per-CPU map, and this program does not nest on a CPU.
        unsafe { *received += 1 };
    } else {
        // A full map loses the source, which its missing count then shows.
        let _ = RECEIVED_FROM.insert(source, 1, 0);
    }
}

#[panic_handler]
fn panic(_info: &core::panic::PanicInfo<'_>) -> ! {
    loop {}
}

#[unsafe(link_section = "license")]
#[unsafe(no_mangle)]
static LICENSE: [u8; 13] = *b"Dual MIT/GPL\0";
