//! What a process is and inherits.

use super::check;
use std::io;
use std::os::fd::RawFd;

/// Eight random bytes from the kernel.
pub(crate) fn random() -> io::Result<u64> {
    let mut bytes = [0_u8; 8];
    // SAFETY: the pointer and length describe `bytes`. Requests of up to 256 bytes are never cut short.
    let count = unsafe { libc::getrandom(bytes.as_mut_ptr().cast(), bytes.len(), 0) };
    if count == -1 { Err(io::Error::last_os_error()) } else { Ok(u64::from_ne_bytes(bytes)) }
}

/// The user who started the process.
pub(crate) fn real_uid() -> u32 {
    // SAFETY: getuid has no preconditions and cannot fail.
    unsafe { libc::getuid() }
}

/// The user whose rights the process has.
pub(crate) fn effective_uid() -> u32 {
    // SAFETY: geteuid has no preconditions and cannot fail.
    unsafe { libc::geteuid() }
}

/// Forbids core dumps of, and tracing and `/proc` access by other users to, this process.
pub(crate) fn forbid_dumps() -> io::Result<()> {
    // SAFETY: PR_SET_DUMPABLE takes an integer and touches no memory of ours.
    check(unsafe { libc::prctl(libc::PR_SET_DUMPABLE, 0, 0, 0, 0) }).map(drop)
}

/// Sets the file mode creation mask.
pub(crate) fn set_umask(mask: libc::mode_t) {
    // SAFETY: umask has no preconditions and cannot fail.
    unsafe { libc::umask(mask) };
}

/// Empties the environment.
pub(crate) fn clear_environment() -> io::Result<()> {
    // SAFETY: the caller runs before any other thread exists and holds no pointer into the environment.
    if unsafe { libc::clearenv() } == 0 { Ok(()) } else { Err(io::Error::from_raw_os_error(libc::ENOMEM)) }
}

/// Opens `/dev/null` on each of descriptors 0, 1 and 2 that is closed, so that no file opened later lands there.
pub(crate) fn open_standard_descriptors() -> io::Result<()> {
    for wanted in 0..=2 {
        // SAFETY: F_GETFD only looks the number up.
        if unsafe { libc::fcntl(wanted, libc::F_GETFD) } != -1 {
            continue;
        }
        // SAFETY: the path is a NUL-terminated literal. The lowest free number is `wanted`: all below it are open.
        let opened: RawFd = check(unsafe { libc::open(c"/dev/null".as_ptr(), libc::O_RDWR) })?;
        if opened != wanted {
            return Err(io::Error::from_raw_os_error(libc::EBADF));
        }
    }
    Ok(())
}

/// Closes every descriptor from 3 up. Kernel 5.9.
pub(crate) fn close_other_descriptors() -> io::Result<()> {
    // SAFETY: called first thing in the process, when nothing of ours owns a descriptor above 2.
    let result = unsafe { libc::syscall(libc::SYS_close_range, 3_u32, u32::MAX, 0_u32) };
    if result == -1 { Err(io::Error::last_os_error()) } else { Ok(()) }
}
