//! Who holds locks on a file, as far as this process may see (proc_pid_fdinfo(5)).

use std::fmt;
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use super::lock::lock_offset;
use super::path_error::{OnPath, PathError};

/// A process that holds a lock.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LockHolder {
    /// Its number.
    pub pid: u32,
    /// Its program's name.
    pub program: String,
    /// How long it has been running, in seconds.
    pub age: u64,
    /// Whether it holds the file as a whole, rather than a byte of it.
    pub holds_whole: bool,
}

impl fmt::Display for LockHolder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "pid {} ({}) for at most {} s", self.pid, self.program, self.age)
    }
}

/// Processes that hold a lock on the file at `path`, each once for each way. Those of other users are seen by root alone.
pub fn holders(path: &Path) -> Result<Vec<LockHolder>, PathError> {
    holders_where(path, &[(&|line| line.contains("FLOCK"), true), (&|line| line.contains("OFDLCK"), false)])
}

/// What a line says of a lock, and whether that is one of the whole file.
type Way<'a> = (&'a dyn Fn(&str) -> bool, bool);

fn holders_where(path: &Path, ways: &[Way<'_>]) -> Result<Vec<LockHolder>, PathError> {
    let file = fs::metadata(path).on("stat", path)?;
    let mut holders = Vec::new();
    for process in numbers(Path::new("/proc")) {
        let directory = Path::new("/proc").join(process.to_string());
        let is_it = |number: &u32| {
            let found = fs::metadata(directory.join("fd").join(number.to_string()));
            found.is_ok_and(|found| (found.dev(), found.ino()) == (file.dev(), file.ino()))
        };
        let open = numbers(&directory.join("fd")).into_iter().filter(is_it);
        let info = |number| fs::read_to_string(directory.join("fdinfo").join(u32::to_string(&number))).ok();
        let locks: String = open.filter_map(info).collect();
        for (is_so, holds_whole) in ways {
            if locks.lines().any(|line| line.starts_with("lock:") && is_so(line)) {
                holders.push(LockHolder {
                    pid: process,
                    program: program(&directory),
                    age: age(&directory),
                    holds_whole: *holds_whole,
                });
            }
        }
    }
    Ok(holders)
}

/// Processes that hold the lock on `name` in the file at `path`.
pub fn holders_of(path: &Path, name: &str) -> Result<Vec<LockHolder>, PathError> {
    // "lock: 1: OFDLCK ADVISORY WRITE -1 00:2d:12 <first byte> <last byte>"
    let offset = lock_offset(name).to_string();
    let has_it = |line: &str| line.contains("OFDLCK") && line.split_whitespace().rev().nth(1) == Some(&offset);
    holders_where(path, &[(&has_it, false)])
}

/// Entries of a directory that are numbers; none where it may not be read, or is gone.
pub(super) fn numbers(directory: &Path) -> Vec<u32> {
    let entries = fs::read_dir(directory).into_iter().flatten().flatten();
    entries.filter_map(|entry| entry.file_name().to_str()?.parse().ok()).collect()
}

/// The name of a process's program, by its directory in /proc; empty if it is gone.
pub(super) fn program(process: &Path) -> String {
    fs::read_to_string(process.join("comm")).unwrap_or_default().trim_end().to_owned()
}

/// How long a process has been running; 0 if that cannot be told.
fn age(directory: &Path) -> u64 {
    /// `USER_HZ`, which is the same on all architectures that are in use.
    const TICKS: u64 = 100;
    let started = || {
        let stat = fs::read_to_string(directory.join("stat")).ok()?;
        // Field 22; the program's name, field 2, may have spaces in it.
        stat.rsplit_once(')')?.1.split_whitespace().nth(19)?.parse::<u64>().ok()
    };
    let uptime = || fs::read_to_string("/proc/uptime").ok()?.split('.').next()?.parse::<u64>().ok();
    match (started(), uptime()) {
        (Some(started), Some(uptime)) => uptime.saturating_sub(started / TICKS),
        _ => 0,
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::sys::lock;

    #[test]
    fn this_process_is_found_with_what_it_holds() {
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("lock");
        let own = |holders: Vec<LockHolder>| {
            let own = holders.into_iter().filter(|holder| holder.pid == std::process::id());
            own.map(|holder| holder.holds_whole).collect::<Vec<bool>>()
        };
        let whole = lock::share_whole_within(&file, Duration::ZERO).unwrap();
        assert_eq!(own(holders(&file).unwrap()), [true]);
        let byte = lock::try_own(&file, "name").unwrap();
        assert_eq!(own(holders(&file).unwrap()), [true, false]);
        assert_eq!(own(holders_of(&file, "name").unwrap()), [false]);
        assert_eq!(own(holders_of(&file, "other").unwrap()), [false; 0]);
        drop((whole, byte));
        assert_eq!(own(holders(&file).unwrap()), [false; 0]);
    }
}
