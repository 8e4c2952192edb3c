//! The archive that a kernel unpacks into its memory at boot: cpio in its format `newc`
//! (Documentation/driver-api/early-userspace/buffer-format.rst of the kernel).

use std::{
    collections::BTreeSet,
    fs::File,
    io::{self, BufWriter, Write},
    path::{Path, PathBuf},
};

const FOLDER: u32 = 0o040_755;
const EXECUTABLE: u32 = 0o100_755;

/// An archive that is being written. All in it belongs to root, and everybody may run it.
pub(super) struct Archive<W> {
    out: W,
    names: BTreeSet<PathBuf>,
}

impl Archive<BufWriter<File>> {
    pub(super) fn create(path: &Path) -> io::Result<Self> {
        Ok(Self::to(BufWriter::new(File::create(path)?)))
    }
}

impl<W: Write> Archive<W> {
    fn to(out: W) -> Self {
        Self {
            out,
            names: BTreeSet::new(),
        }
    }

    /// Adds an empty folder at this absolute path, and those it is in.
    pub(super) fn folder(&mut self, path: &Path) -> io::Result<()> {
        let folders: Vec<_> = path.ancestors().collect();
        for folder in folders.into_iter().rev() {
            self.entry(folder, FOLDER, &[])?;
        }
        Ok(())
    }

    /// Adds a file at this absolute path, and the folders it is in. What is there already stays.
    pub(super) fn file(&mut self, path: &Path, content: &[u8]) -> io::Result<()> {
        if let Some(folder) = path.parent() {
            self.folder(folder)?;
        }
        self.entry(path, EXECUTABLE, content)
    }

    /// Whether something is at this path.
    pub(super) fn has(&self, path: &Path) -> bool {
        self.names.contains(path)
    }

    /// Ends the archive.
    pub(super) fn finish(mut self) -> io::Result<()> {
        self.write(0, 0, b"TRAILER!!!", &[])?;
        self.out.flush()
    }

    fn entry(&mut self, path: &Path, mode: u32, content: &[u8]) -> io::Result<()> {
        let Ok(name) = path.strip_prefix("/") else {
            return Err(io::Error::other(format!(
                "{} is not absolute",
                path.display()
            )));
        };
        if name.as_os_str().is_empty() || !self.names.insert(path.to_owned()) {
            return Ok(());
        }
        // Files of one number are taken for links to each other.
        let number = self.names.len() as u32;
        self.write(number, mode, name.as_os_str().as_encoded_bytes(), content)
    }

    fn write(&mut self, number: u32, mode: u32, name: &[u8], content: &[u8]) -> io::Result<()> {
        let len = u32::try_from(content.len()).map_err(io::Error::other)?;
        // Number, mode, owner, group, links, time, length, four numbers of devices, length of the
        // name with the zero after it, checksum (of another format).
        let name_len = name.len() as u32 + 1;
        let words = [number, mode, 0, 0, 1, 0, len, 0, 0, 0, 0, name_len, 0];
        let mut header = b"070701".to_vec();
        for word in words {
            write!(header, "{word:08x}")?;
        }
        header.extend(name);
        header.push(0);
        self.padded(&header)?;
        self.padded(content)
    }

    /// Writes up to the next multiple of 4 bytes.
    fn padded(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.out.write_all(bytes)?;
        let padding = bytes.len().next_multiple_of(4) - bytes.len();
        self.out.write_all(&[0; 4][..padding])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_comes_with_its_folders_once() {
        let mut bytes = Vec::new();
        let mut archive = Archive::to(&mut bytes);
        archive.file(Path::new("/a/b"), b"hello").expect("a file");
        archive.file(Path::new("/a/b"), b"again").expect("the same");
        archive
            .file(Path::new("relative"), b"")
            .expect_err("nowhere");
        archive.finish().expect("an end");
        let folder = "070701000000010000\
                      41ed0000000000000000000000010000000000000000000000000000000000000000000000000000000200000000a\0";
        let file = "070701000000020000\
                    81ed0000000000000000000000010000000000000005000000000000000000000000000000000000000400000000a/b\0\0\0hello\0\0\0";
        let text = String::from_utf8(bytes).expect("text");
        assert!(
            text.starts_with(&format!("{folder}{file}070701")),
            "{text:?}"
        );
        assert!(text.ends_with("TRAILER!!!\0\0\0\0"), "{text:?}");
    }
}
