//! Loading the lab's own eBPF object, `flood-ebpf`.

use anyhow::{Context as _, Result};
use aya::{
    Ebpf, EbpfLoader, Pod,
    maps::{Array, MapData, ProgramArray},
    programs::{Program, Xdp},
};

static OBJECT: &[u8] = aya::include_bytes_aligned!(concat!(env!("OUT_DIR"), "/flood-ebpf"));

/// Loads the object as `settings` leave its globals.
pub(crate) fn load(settings: &mut EbpfLoader<'_>) -> Result<Ebpf> {
    settings
        .load(OBJECT)
        .context("cannot load the lab's eBPF object (root?)")
}

/// A program of the object, loaded into the kernel.
pub(crate) fn xdp<'a>(object: &'a mut Ebpf, name: &str) -> Result<&'a mut Xdp> {
    let program: &mut Xdp = program(object, name)?.try_into()?;
    program
        .load()
        .with_context(|| format!("the kernel refused the program {name}"))?;
    Ok(program)
}

/// A program of the object, not yet in the kernel.
pub(crate) fn program<'a>(object: &'a mut Ebpf, name: &str) -> Result<&'a mut Program> {
    object
        .program_mut(name)
        .with_context(|| format!("no program {name} in the lab's object"))
}

/// Takes an array map out of the object.
pub(crate) fn array<T: Pod>(object: &mut Ebpf, name: &str) -> Result<Array<MapData, T>> {
    let map = object
        .take_map(name)
        .with_context(|| format!("no map {name}"))?;
    Ok(map.try_into()?)
}

/// Has the programs of the object that hand their packets on hand them to `program`.
pub(crate) fn set_target(object: &mut Ebpf, program: &Xdp) -> Result<()> {
    let map = object.map_mut("TARGET").context("no map TARGET")?;
    let mut target: ProgramArray<&mut MapData> = map.try_into()?;
    target.set(0, program.fd()?, 0).context("filling TARGET")
}
