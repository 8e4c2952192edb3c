//! The groups of a connection's other end, which no safe interface tells.
#![expect(unsafe_code, reason = "getsockopt of an option that only libc knows")]

use std::{
    io,
    os::fd::{AsFd, AsRawFd as _},
    ptr,
};

use libc::{c_void, gid_t, socklen_t};

/// Groups that are asked for at first.
const USUAL: usize = 64;

/// The supplementary groups that the process at the other end of a Unix socket had when it
/// connected.
pub(super) fn of_peer(socket: &impl AsFd) -> io::Result<Vec<gid_t>> {
    let mut groups: Vec<gid_t> = vec![0; USUAL];
    loop {
        let mut bytes = socklen_t::try_from(size_of_val(&*groups)).map_err(io::Error::other)?;
        // SAFETY: the descriptor is open for as long as it is borrowed, and the kernel writes at
        // most `bytes` bytes, which the vector has.
        let failed = unsafe {
            libc::getsockopt(
                socket.as_fd().as_raw_fd(),
                libc::SOL_SOCKET,
                libc::SO_PEERGROUPS,
                groups.as_mut_ptr().cast::<c_void>(),
                ptr::from_mut(&mut bytes),
            )
        };
        let count = bytes as usize / size_of::<gid_t>();
        if failed == 0 {
            groups.truncate(count);
            return Ok(groups);
        }
        let error = io::Error::last_os_error();
        // The kernel says how many there are.
        if error.raw_os_error() != Some(libc::ERANGE) || count <= groups.len() {
            return Err(error);
        }
        groups.resize(count, 0);
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::net::UnixStream;

    use super::*;

    #[test]
    fn they_are_those_of_the_process() {
        let (stream, _other) = UnixStream::pair().expect("a pair of sockets");
        let mut groups = of_peer(&stream).expect("its groups");
        let own = nix::unistd::getgroups().expect("our own groups");
        let mut own: Vec<_> = own.into_iter().map(nix::unistd::Gid::as_raw).collect();
        groups.sort_unstable();
        own.sort_unstable();
        assert_eq!(groups, own);
    }
}
