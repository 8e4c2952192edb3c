//! The key by which values of credentials are told apart, without being known.

use std::{
    fmt::{self, Write as _},
    fs::{self, File},
    io::{self, Read as _},
    path::Path,
};

use hmac::{Hmac, KeyInit as _, Mac as _};
use sha2::Sha256;

use crate::state_file::{self, Lasting, Loaded};

/// Bytes of a key.
const KEY_LEN: usize = 32;
/// Bytes of the hash that are shown.
const MARK_LEN: usize = 6;
/// Its file in the state folder.
const FILE: &str = "credentials.key";

/// A key that never leaves this host.
#[derive(Clone, PartialEq, Eq)]
pub struct Key([u8; KEY_LEN]);

impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Key")
    }
}

impl Key {
    /// The key of these bytes.
    pub const fn new(bytes: [u8; KEY_LEN]) -> Self {
        Self(bytes)
    }

    /// The key of this installation, made at random when there is none yet: then it is to be kept. A
    /// file that is no key is moved aside for a new one.
    ///
    /// # Errors
    /// The system has no randomness.
    pub(crate) fn load(state_dir: &Path) -> io::Result<Loaded<Self>> {
        let path = state_dir.join(FILE);
        let error = match state_file::read(&path).map(<[u8; KEY_LEN]>::try_from) {
            Ok(Ok(key)) => return Ok(Loaded::whole(Self(key))),
            Ok(Err(bytes)) => format!("{} bytes are no key", bytes.len()),
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                return Self::random().map(Loaded::whole);
            }
            Err(error) => error.to_string(),
        };
        Ok(Loaded {
            warning: Some(state_file::set_aside(
                &path,
                "marks of credentials change",
                &error,
            )),
            value: Self::random()?,
        })
    }

    /// Whether the state folder holds this key.
    pub(crate) fn is_kept(&self, state_dir: &Path) -> bool {
        state_file::read(&state_dir.join(FILE)).is_ok_and(|bytes| bytes == self.0)
    }

    /// Puts this key into the state folder.
    ///
    /// # Errors
    /// The folder is full or cannot be written.
    pub(crate) fn keep(&self, state_dir: &Path) -> io::Result<()> {
        let path = state_dir.join(FILE);
        if fs::symlink_metadata(&path).is_ok() {
            // When it was read there was no room to move it aside.
            let otherwise = "marks of credentials change";
            drop(state_file::set_aside(&path, otherwise, "it is no key"));
        }
        state_file::write(state_dir, FILE, &self.0, Lasting::PowerCut)
    }

    /// A key that nothing keeps.
    ///
    /// # Errors
    /// The system has no randomness.
    pub fn random() -> io::Result<Self> {
        let mut bytes = [0; KEY_LEN];
        File::open("/dev/urandom")?.read_exact(&mut bytes)?;
        Ok(Self(bytes))
    }

    /// What tells a value from others of its kind.
    pub(super) fn mark(&self, value: &[u8]) -> Option<String> {
        let mut hash = Hmac::<Sha256>::new_from_slice(&self.0).ok()?;
        hash.update(value);
        let digest = hash.finalize().into_bytes();
        let mut mark = String::new();
        for byte in digest.iter().take(MARK_LEN) {
            // Writing to a string cannot fail.
            let _ = write!(mark, "{byte:02x}");
        }
        Some(mark)
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    #[test]
    fn a_key_is_made_once_and_nobody_else_reads_it() {
        let folder = tempfile::tempdir().expect("a folder");
        let first = Key::load(folder.path()).expect("a key").value;
        first.keep(folder.path()).expect("it can be written");
        let again = Key::load(folder.path()).expect("the same").value;
        assert_eq!(first.mark(b"secret"), again.mark(b"secret"));
        let mode = fs::metadata(folder.path().join(FILE)).expect("the file");
        assert_eq!(mode.permissions().mode() & 0o777, 0o600);

        let other = Key::random().expect("a key");
        assert_ne!(first.mark(b"secret"), other.mark(b"secret"));
        assert_ne!(first.mark(b"secret"), first.mark(b"secret2"));

        fs::write(folder.path().join(FILE), b"short").expect("written");
        let new = Key::load(folder.path()).expect("a new key").value;
        assert_ne!(first.mark(b"secret"), new.mark(b"secret"));
        let aside = fs::read(folder.path().join("credentials.key.broken"));
        assert_eq!(aside.ok().as_deref(), Some(&b"short"[..]));
        fs::write(folder.path().join(FILE), b"unmoved").expect("written");
        new.keep(folder.path()).expect("it can be written");
        let aside = fs::read(folder.path().join("credentials.key.broken.2"));
        assert_eq!(aside.ok().as_deref(), Some(&b"unmoved"[..]));
    }

    #[test]
    fn a_mark_is_the_start_of_a_known_hash() {
        // RFC 4231 section 4.3 has a key of four bytes; padded with zeros it is the same.
        let mut bytes = [0; KEY_LEN];
        bytes[..4].copy_from_slice(b"Jefe");
        let mark = Key::new(bytes).mark(b"what do ya want for nothing?");
        assert_eq!(mark.as_deref(), Some("5bdcc146bf60"));
    }
}
