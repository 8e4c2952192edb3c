//! What the compiler must not know.

use core::arch::asm;

/// The same number, of which the compiler has forgotten the range. What it can prove, the verifier
/// may not be able to: a check that the compiler leaves out is one that the verifier misses.
#[inline(always)]
pub(crate) fn forget(number: u64) -> u64 {
    let mut number = number;
    // An instruction has to be there: the debug information names it.
    // SAFETY: leaves the register as it is.
    unsafe {
        asm!("{number} = {number}", number = inout(reg) number, options(pure, nomem, nostack));
    }
    number
}
