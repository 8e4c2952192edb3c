//! Who asks: what the kernel says of the other end of a connection to the control socket.

mod groups;

use std::io;

use tokio::net::UnixStream;

/// Who may change something.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Access {
    /// The agent's own user. Root may too.
    pub(crate) uid: u32,
    /// The group that the socket is for, if there is one.
    pub(crate) group: Option<u32>,
}

/// Who asks.
#[derive(Clone, Copy, Debug)]
pub(super) struct Peer {
    pub(super) uid: u32,
    pub(super) gid: u32,
    /// The process that connected; it may have handed the connection on.
    pub(super) pid: Option<i32>,
    /// Whether it may change something. Whoever the socket's file lets in may read.
    pub(super) may_change: bool,
}

impl Peer {
    /// Who is at the other end of `stream`, as the kernel knew it when it connected.
    pub(super) fn of(stream: &UnixStream, access: Access) -> io::Result<Self> {
        let cred = stream.peer_cred()?;
        let (uid, gid) = (cred.uid(), cred.gid());
        let is_trusted = uid == 0 || uid == access.uid;
        let is_member = |group| -> io::Result<bool> {
            Ok(gid == group || groups::of_peer(stream)?.contains(&group))
        };
        let may_change = is_trusted || access.group.map_or(Ok(false), is_member)?;
        Ok(Self {
            uid,
            gid,
            pid: cred.pid(),
            may_change,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_user_is_trusted_by_its_id_or_its_group() {
        let (stream, _other) = UnixStream::pair().expect("a pair of sockets");
        let uid = nix::unistd::geteuid().as_raw();
        let gid = nix::unistd::getegid().as_raw();
        let peer = |access| Peer::of(&stream, access).expect("its credentials");
        let own = peer(Access { uid, group: None });
        assert_eq!((own.uid, own.gid), (uid, gid));
        assert_eq!(own.pid, i32::try_from(std::process::id()).ok());
        assert!(own.may_change);
        if uid != 0 {
            let other = Access {
                uid: uid + 1,
                group: None,
            };
            assert!(!peer(other).may_change);
            let group = Some(gid);
            assert!(peer(Access { group, ..other }).may_change);
        }
    }
}
