//! Embeds the eBPF object of the flood generator.

#[path = "../xtask/src/embed.rs"]
mod embed;

use std::process::ExitCode;

use embed::EbpfCrate;

fn main() -> ExitCode {
    embed::embed(&EbpfCrate {
        name: "flood-ebpf",
        dir: "tests/flood-ebpf",
        depends_on: &[],
        object_variable: None,
    })
}
