//! Entry points of the kernel side. What happens to a packet stands in `pipeline.rs`.
#![no_std]
#![no_main]
#![cfg_attr(target_arch = "bpf", feature(asm_experimental_arch))]
#![expect(
    missing_docs,
    unreachable_pub,
    clippy::needless_pass_by_value,
    reason = "the macro makes each entry point public, drops its docs, and gives it the context"
)]

mod clock;
mod departure;
mod events;
mod forget;
mod hearing;
mod maps;
mod packet;
mod pipeline;
mod reset;
mod settings;
mod stages;
mod startup;
mod sweep;
mod talkers;

use aya_ebpf::{
    macros::{classifier, xdp},
    programs::{TcContext, XdpContext},
};

/// Judges every packet that arrives on a protected interface.
#[xdp(frags)]
#[inline(always)]
pub fn guard(ctx: XdpContext) -> u32 {
    pipeline::run(&ctx)
}

/// Sees every packet that leaves by a protected interface.
#[classifier]
#[inline(always)]
pub fn guard_egress(ctx: TcContext) -> i32 {
    departure::run(&ctx)
}

/// Sees every packet that passes to the stack where connections are broken off.
#[classifier]
#[inline(always)]
pub fn guard_arrival(ctx: TcContext) -> i32 {
    reset::arrives(&ctx)
}

/// Run once, by the agent at its start: says in the log what the kernel side was told, and reads
/// the clock. See `startup.rs`.
#[xdp(frags)]
#[inline(always)]
pub fn guard_startup(ctx: XdpContext) -> u32 {
    startup::run(&ctx)
}

/// Run by the agent now and then: gives up connections that have been quiet for too long. See
/// `sweep.rs`. It sees no packet: a classifier because running an XDP program time and again has the
/// kernel patch its own text for it, on every processor.
#[classifier]
#[inline(always)]
pub fn guard_sweep(_ctx: TcContext) -> i32 {
    sweep::run()
}

/// Never called: the verifier refuses a program that could get here.
#[panic_handler]
fn panic(_info: &core::panic::PanicInfo<'_>) -> ! {
    loop {}
}

#[unsafe(link_section = "license")]
#[unsafe(no_mangle)]
static LICENSE: [u8; 13] = *b"Dual MIT/GPL\0";
