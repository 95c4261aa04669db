//! For both programs: links the unwinder into the program, where it would be a shared library of its own. Loading
//! `libgcc_s.so.1`, which only backtraces of panics need, takes a tenth of the time of a short command.
//!
//! Linkers that decide on a shared library when they first meet it, as GNU ld does, load it all the same.

use std::env;
use std::path::Path;
use std::process::Command;

fn main() {
    // Nothing else can change the answer; drax has this file from outside of its directory.
    println!("cargo:rerun-if-env-changed=RUSTC_LINKER");
    if let Some(archive) = unwinder() {
        println!("cargo:rustc-link-arg-bins=-Wl,--push-state,--whole-archive,{archive},--pop-state");
    }
}

/// The static unwinder of the compiler that links, if it has one and it is for the target.
fn unwinder() -> Option<String> {
    let is_gnu = env::var("CARGO_CFG_TARGET_ENV").is_ok_and(|environment| environment == "gnu");
    let linker = env::var("RUSTC_LINKER").ok();
    let is_native = env::var("TARGET").ok() == env::var("HOST").ok();
    if !is_gnu || !(is_native || linker.is_some()) {
        return None;
    }
    let output = Command::new(linker.as_deref().unwrap_or("cc")).arg("-print-file-name=libgcc_eh.a").output().ok()?;
    let path = String::from_utf8(output.stdout).ok()?.trim().to_owned();
    // A compiler that does not know the file says its bare name.
    Path::new(&path).is_absolute().then_some(path)
}
