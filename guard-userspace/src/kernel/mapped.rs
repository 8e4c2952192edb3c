//! Arrays of the kernel side, mapped into the agent's memory.
#![expect(
    unsafe_code,
    clippy::cast_ptr_alignment,
    reason = "memory that the kernel reads at the same time, aligned to pages"
)]

use std::{
    io,
    marker::PhantomData,
    os::fd::{AsFd as _, AsRawFd as _},
    ptr::{self, read_volatile, write_volatile},
};

use anyhow::{Context as _, Result, ensure};
use aya::{Pod, maps::MapData};
use memmap2::{MmapOptions, MmapRaw};

/// `MEMBARRIER_CMD_GLOBAL` of the kernel: returns after a grace period of RCU.
const WAIT_FOR_READERS: libc::c_int = 1;

/// Bytes that are written at once.
const WORD: usize = 8;

/// All elements of an array, to be read and written while the program reads them.
pub(super) struct Mapped<T> {
    memory: MmapRaw,
    len: usize,
    elements: PhantomData<T>,
}

impl<T: Pod> Mapped<T> {
    /// An array puts its elements at multiples of a word.
    const FITS: () = assert!(size_of::<T>().is_multiple_of(WORD) && align_of::<T>() <= WORD);

    /// Maps `array`, which has to be made for that (`BPF_F_MMAPABLE`).
    pub(super) fn new(array: &MapData) -> Result<Self> {
        let () = Self::FITS;
        let info = array.info().context("asking the kernel about an array")?;
        ensure!(
            info.value_size() as usize == size_of::<T>(),
            "the elements of an array are not what they should be"
        );
        let len = info.max_entries() as usize;
        let memory = MmapOptions::new()
            .len(len * size_of::<T>())
            .map_raw(array.fd().as_fd().as_raw_fd())
            .context("the kernel does not let its memory be mapped")?;
        Ok(Self {
            memory,
            len,
            elements: PhantomData,
        })
    }

    pub(super) fn len(&self) -> usize {
        self.len
    }

    /// The element at `position`, which is below [`Mapped::len`].
    pub(super) fn read(&self, position: usize) -> T {
        assert!(position < self.len, "within the array");
        // SAFETY: within the mapping and aligned, and any bytes are a `Pod`. Nobody else writes.
        unsafe { read_volatile(self.memory.as_ptr().cast::<T>().add(position)) }
    }

    /// Overwrites the element at `position`, which is below [`Mapped::len`]: word for word, the
    /// first one first. The program sees each of them whole, old or new.
    pub(super) fn write(&mut self, position: usize, element: &T) {
        assert!(position < self.len, "within the array");
        let from = ptr::from_ref(element).cast::<u8>();
        let to = self.memory.as_mut_ptr();
        for word in (0..size_of::<T>()).step_by(WORD) {
            // SAFETY: within the mapping, see above, and both are valid for `WORD` bytes. The
            // kernel gives memory aligned to pages, and elements are multiples of a word.
            unsafe {
                let to = to.add(position * size_of::<T>() + word).cast::<u64>();
                write_volatile(to, from.add(word).cast::<u64>().read_unaligned());
            }
        }
    }
}

/// Waits until no program runs any more that was running when this was called.
pub(super) fn wait_for_readers() -> io::Result<()> {
    // SAFETY: the system call takes three numbers and touches no memory of ours.
    let answer = unsafe { libc::syscall(libc::SYS_membarrier, WAIT_FOR_READERS, 0, 0) };
    if answer == 0 {
        Ok(())
    } else {
        Err(io::Error::last_os_error())
    }
}
