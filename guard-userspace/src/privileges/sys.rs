//! The two system calls that nobody wraps as they are wanted here.
#![expect(unsafe_code, reason = "system calls")]

use std::io;

use seccompiler::BpfProgram;

/// Whatever is executed from now on gains nothing by it. Holds for the calling thread and those it
/// starts.
pub(super) fn set_no_new_privs() -> io::Result<()> {
    // SAFETY: takes numbers only.
    let answer = unsafe { libc::prctl(libc::PR_SET_NO_NEW_PRIVS, 1_u64, 0_u64, 0_u64, 0_u64) };
    told(answer.into())
}

/// Puts a filter on the calling thread's system calls, and on those of the threads it starts. What it
/// refuses goes to the kernel's log, if it `tells` and as far as `kernel.seccomp.actions_logged` says.
pub(super) fn install(program: &BpfProgram, tells: bool) -> io::Result<()> {
    let flags = if tells {
        libc::SECCOMP_FILTER_FLAG_LOG
    } else {
        0
    };
    let filter = libc::sock_fprog {
        len: u16::try_from(program.len()).map_err(io::Error::other)?,
        filter: program.as_ptr().cast::<libc::sock_filter>().cast_mut(),
    };
    // SAFETY: the kernel copies the program, which outlives the call. Both types of an instruction
    // are the kernel's: 8 bytes, laid out as C does.
    let answer = unsafe {
        libc::syscall(
            libc::SYS_seccomp,
            libc::SECCOMP_SET_MODE_FILTER,
            flags,
            &raw const filter,
        )
    };
    told(answer)
}

fn told(answer: libc::c_long) -> io::Result<()> {
    if answer == 0 {
        Ok(())
    } else {
        Err(io::Error::last_os_error())
    }
}
