//! The log output of a whole test run, collected where `GROOTFS_TEST_LOGS` names a directory, which `hack/test` does.
//!
//! Every command that a test runs on a store, and that does not say itself where it logs to, then logs all it can into a
//! file there; so does what other commands leave on standard error. `collected_logs.rs` reads them in the end.

use std::ffi::{OsStr, OsString};
use std::fs;
use std::path::PathBuf;
use std::sync::atomic::{AtomicU32, Ordering};

static FILES: AtomicU32 = AtomicU32::new(0);

/// The directory.
pub fn directory() -> Option<PathBuf> {
    std::env::var_os("GROOTFS_TEST_LOGS").map(PathBuf::from)
}

fn new_file() -> Option<PathBuf> {
    let number = FILES.fetch_add(1, Ordering::Relaxed);
    directory().map(|directory| directory.join(format!("{}-{number}.log", std::process::id())))
}

/// Global flags that have a command log there; none if its own arguments have to do with logs, a configuration file
/// included.
pub fn flags(arguments: &[OsString]) -> Vec<OsString> {
    let says_so_itself = |argument: &OsString| {
        let argument = argument.to_string_lossy();
        argument.starts_with("--log") || argument.starts_with("--config")
    };
    if arguments.iter().any(says_so_itself) {
        return Vec::new();
    }
    let Some(file) = new_file() else { return Vec::new() };
    [OsStr::new("--log-level"), OsStr::new("debug"), OsStr::new("--log-file"), file.as_os_str()]
        .map(OsString::from)
        .into()
}

/// Keeps what a command has logged elsewhere.
pub fn collect(log: &[u8]) {
    if !log.is_empty()
        && let Some(file) = new_file()
    {
        fs::write(file, log).expect("collected");
    }
}
