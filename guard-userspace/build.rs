//! Embeds the eBPF object of guard.

#[path = "../xtask/src/embed.rs"]
mod embed;

use std::process::ExitCode;

use embed::EbpfCrate;

fn main() -> ExitCode {
    embed::embed(&EbpfCrate {
        name: "guard-ebpf",
        dir: "guard-ebpf",
        depends_on: &["guard-common"],
        object_variable: Some("GUARD_EBPF_OBJECT"),
    })
}
