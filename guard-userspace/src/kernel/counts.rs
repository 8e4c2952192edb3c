//! Counts of which each CPU has its own, many of them read at once: a thousand services have more than
//! a hundred thousand, and a call for each would be felt.
#![expect(
    unsafe_code,
    reason = "the kernel writes to where it is told; aya reads one position at a time"
)]

use std::{
    io, mem,
    ops::Range,
    os::fd::{AsFd as _, AsRawFd as _},
};

use anyhow::{Context as _, Result, bail, ensure};
use aya::{
    maps::{Map, MapData},
    util::nr_cpus,
};
use aya_obj::generated::{bpf_attr, bpf_attr__bindgen_ty_3, bpf_cmd};

/// An array of counts, one a CPU at each position.
pub(super) struct Counts {
    map: MapData,
    len: u32,
    cpus: usize,
}

impl Counts {
    pub(super) fn new(map: Map) -> Result<Self> {
        let Map::PerCpuArray(map) = map else {
            bail!("no array with an element a CPU");
        };
        let info = map.info().context("asking the kernel about an array")?;
        ensure!(
            info.key_size() as usize == size_of::<u32>()
                && info.value_size() as usize == size_of::<u64>(),
            "an array that does not hold counts"
        );
        Ok(Self {
            len: info.max_entries(),
            map,
            cpus: nr_cpus().map_err(|(file, error)| error_of(file, error))?,
        })
    }

    /// How many positions there are.
    pub(super) fn len(&self) -> u32 {
        self.len
    }

    /// The counts at these `positions`, each summed over the CPUs.
    pub(super) fn read(&self, positions: Range<u32>) -> Result<Vec<u64>> {
        ensure!(
            positions.end <= self.len,
            "an array with {} positions has none at {}",
            self.len,
            positions.end - 1
        );
        let count = positions.len();
        if count == 0 {
            return Ok(Vec::new());
        }
        let mut keys = vec![0_u32; count];
        let mut counts = vec![0_u64; count * self.cpus];
        // The kernel begins behind this one; behind the last number there is comes the first position.
        let before = positions.start.wrapping_sub(1);
        let mut last = 0_u32;
        // SAFETY: a union of integers, of which zero is a value.
        let mut attr: bpf_attr = unsafe { mem::zeroed() };
        attr.batch = bpf_attr__bindgen_ty_3 {
            in_batch: (&raw const before) as u64,
            out_batch: (&raw mut last) as u64,
            keys: keys.as_mut_ptr() as u64,
            values: counts.as_mut_ptr() as u64,
            count: count as u32,
            map_fd: self.map.fd().as_fd().as_raw_fd().cast_unsigned(),
            elem_flags: 0,
            flags: 0,
        };
        // SAFETY: every pointer is to memory of this function that has room for `count` elements: keys
        // of four bytes, and for each CPU there may be a value of eight, as `new` has seen.
        let result = unsafe {
            libc::syscall(
                libc::SYS_bpf,
                bpf_cmd::BPF_MAP_LOOKUP_BATCH as libc::c_int,
                &raw mut attr,
                size_of::<bpf_attr>(),
            )
        };
        if result != 0 {
            return Err(io::Error::last_os_error()).context("reading counts");
        }
        // SAFETY: the field that was written above, by this function and the kernel.
        let read = unsafe { attr.batch.count };
        ensure!(read as usize == count, "{read} counts were read of {count}");
        let of_each = counts.chunks_exact(self.cpus);
        Ok(of_each.map(|each| each.iter().sum()).collect())
    }
}

fn error_of(file: &str, error: io::Error) -> anyhow::Error {
    anyhow::Error::new(error).context(format!("cannot read {file}, where the number of CPUs is"))
}
