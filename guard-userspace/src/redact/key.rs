//! The key by which values of credentials are told apart, without being known.

use std::{
    fmt::{self, Write as _},
    fs::{self, File, OpenOptions},
    io::{self, Read as _, Write as _},
    os::unix::fs::OpenOptionsExt as _,
    path::Path,
};

use hmac::{Hmac, KeyInit as _, Mac as _};
use sha2::Sha256;

/// Bytes of a key.
const KEY_LEN: usize = 32;
/// Bytes of the hash that are shown.
const MARK_LEN: usize = 6;
/// Its file in the state folder.
const FILE: &str = "credentials.key";

/// A key that never leaves this host.
#[derive(Clone)]
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

    /// The key of this installation, made at random when there is none yet.
    ///
    /// # Errors
    /// The state folder cannot be written, or the file in it is no key.
    pub fn load(state_dir: &Path) -> io::Result<Self> {
        let path = state_dir.join(FILE);
        match fs::read(&path) {
            Ok(bytes) => {
                let bytes = bytes.try_into();
                bytes.map(Self).map_err(|_| {
                    let message = format!("{} is no key: remove it", path.display());
                    io::Error::new(io::ErrorKind::InvalidData, message)
                })
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => Self::make(&path),
            Err(error) => Err(error),
        }
    }

    fn make(path: &Path) -> io::Result<Self> {
        let key = Self::random()?;
        // Whole or not at all: a power cut must not leave half a key.
        let draft = path.with_extension("draft");
        let mut options = OpenOptions::new();
        let mut file = options
            .write(true)
            .create(true)
            .truncate(true)
            .mode(0o600)
            .open(&draft)?;
        file.write_all(&key.0)?;
        file.sync_all()?;
        fs::rename(draft, path)?;
        Ok(key)
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
        let first = Key::load(folder.path()).expect("a key");
        let again = Key::load(folder.path()).expect("the same");
        assert_eq!(first.mark(b"secret"), again.mark(b"secret"));
        let mode = fs::metadata(folder.path().join(FILE)).expect("the file");
        assert_eq!(mode.permissions().mode() & 0o777, 0o600);

        let other = Key::random().expect("a key");
        assert_ne!(first.mark(b"secret"), other.mark(b"secret"));
        assert_ne!(first.mark(b"secret"), first.mark(b"secret2"));

        fs::write(folder.path().join(FILE), b"short").expect("written");
        let error = Key::load(folder.path()).expect_err("no key");
        assert!(
            error.to_string().ends_with("is no key: remove it"),
            "{error}"
        );
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
