//! What is open: names for it, and keeping it from new processes.

use std::fs;
use std::io;
use std::os::fd::{AsFd, AsRawFd, RawFd};
use std::path::{Path, PathBuf};

/// The directory of names for what is open.
const NAMES: &str = "/proc/self/fd";

/// A name for what is open. It leads there whatever else happens, so that nobody can have it followed elsewhere.
pub fn name_of(open: impl AsFd) -> PathBuf {
    Path::new(NAMES).join(open.as_fd().as_raw_fd().to_string())
}

/// Whether `path` is such a name, and nothing below it.
pub fn is_name(path: &Path) -> bool {
    path.parent() == Some(Path::new(NAMES))
}

/// The path without links. What is open has one by itself, which saves looking at each of its parents.
///
/// # Errors
/// Those of readlink(2) and realpath(3).
pub fn resolve(path: &Path) -> io::Result<PathBuf> {
    if is_name(path) { fs::read_link(path) } else { fs::canonicalize(path) }
}

/// Has every descriptor but the standard three closed when this process starts another program: whoever started this one
/// may have left some open (close_range(2), `CLOSE_RANGE_CLOEXEC`, kernel 5.11).
pub fn keep_from_programs() -> io::Result<()> {
    const CLOEXEC: libc::c_uint = 1 << 2;
    // SAFETY: close_range takes three numbers and, with this flag, closes nothing in this process.
    let result = unsafe { libc::syscall(libc::SYS_close_range, 3 as libc::c_uint, libc::c_uint::MAX, CLOEXEC) };
    if result < 0 { keep_each_from_programs() } else { Ok(()) }
}

/// The same, one after the other.
fn keep_each_from_programs() -> io::Result<()> {
    let numbers: Vec<RawFd> =
        fs::read_dir(NAMES)?.filter_map(|name| name.ok()?.file_name().to_str()?.parse().ok()).collect();
    for number in numbers.into_iter().filter(|number| *number > 2) {
        // SAFETY: fcntl takes three numbers. One that is open no longer, as that of the directory that was read, is left
        // out by the kernel.
        unsafe { libc::fcntl(number, libc::F_SETFD, libc::FD_CLOEXEC) };
    }
    Ok(())
}
