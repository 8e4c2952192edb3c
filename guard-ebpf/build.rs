//! Tells the linker what every kernel that can run the program offers.

fn main() {
    println!("cargo::rerun-if-changed=build.rs");
    if std::env::var("CARGO_CFG_TARGET_ARCH").is_ok_and(|arch| arch == "bpf") {
        // A misaligned word is loaded at once; without it each header field is put together from
        // single bytes. 32-bit arithmetic saves the shifts that clear the upper halves.
        println!("cargo::rustc-link-arg-bins=--cpu-features=+allows-misaligned-mem-access,+alu32");
    }
}
