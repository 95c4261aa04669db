//! Open files that a new process is not to have.

use std::io;

/// Has every descriptor but the standard three closed when this process starts another program: whoever started this one
/// may have left some open (close_range(2), `CLOSE_RANGE_CLOEXEC`, kernel 5.11).
pub fn keep_from_programs() -> io::Result<()> {
    const CLOEXEC: libc::c_uint = 1 << 2;
    // SAFETY: close_range takes three numbers and, with this flag, closes nothing in this process.
    let result = unsafe { libc::syscall(libc::SYS_close_range, 3 as libc::c_uint, libc::c_uint::MAX, CLOEXEC) };
    if result < 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
}
