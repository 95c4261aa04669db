//! What is open: names for it, and keeping it from new processes.

use std::fs;
use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, RawFd};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use rustix::fs::CWD;

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

/// What to give a system call that takes a directory and a path below it: for a path below a name of [`name_of`], what the
/// name stands for and the rest. The kernel then need not look through procfs for it, which takes as
/// long as a short system call.
pub fn at(path: &Path) -> (BorrowedFd<'_>, &Path) {
    parts(path).unwrap_or((CWD, path))
}

fn parts(path: &Path) -> Option<(BorrowedFd<'_>, &Path)> {
    let mut below = path.strip_prefix(NAMES).ok()?.components();
    let number = below.next()?.as_os_str().to_str()?;
    let number = number.parse::<RawFd>().ok().filter(|number| *number >= 0)?;
    let rest = below.as_path();
    // A slash at the end, which says that a directory is meant, is not in the rest.
    if rest.as_os_str().is_empty() || path.as_os_str().as_bytes().ends_with(b"/") {
        return None;
    }
    // SAFETY: the number is not -1. Who uses a name keeps what it stands for open, since it means nothing otherwise; should
    // it be closed, the system call reports that, as it would for the path.
    Some((unsafe { BorrowedFd::borrow_raw(number) }, rest))
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

#[cfg(test)]
mod tests {
    use std::fs::File;

    use super::*;

    #[test]
    fn a_path_below_a_name_begins_at_what_is_open() {
        let open = File::open("/").unwrap();
        let name = name_of(&open);
        let number = |path: &Path| at(path).0.as_raw_fd();
        assert_eq!((number(&name.join("a/b")), at(&name.join("a/b")).1), (open.as_raw_fd(), Path::new("a/b")));
        for other in ["/proc/self/fd", "/proc/self/fd/-1/a", "/proc/self/fd/x/a", "/proc/self/exe/a", "/a", "a"] {
            assert_eq!((number(Path::new(other)), at(Path::new(other)).1), (CWD.as_raw_fd(), Path::new(other)));
        }
        for whole in [name.clone(), name.join("tmp/")] {
            assert_eq!((number(&whole), at(&whole).1), (CWD.as_raw_fd(), whole.as_path()));
        }
    }
}
