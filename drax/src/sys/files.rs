//! Opening, making and removing by descriptor and name.

use super::check;
use std::ffi::{CStr, CString};
use std::io;
use std::mem::{MaybeUninit, size_of};
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd, RawFd};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

/// The magic number of the filesystem that `fd` is on (`statfs(2)`).
pub(crate) fn filesystem_magic(fd: BorrowedFd<'_>) -> io::Result<u32> {
    let mut status = MaybeUninit::<libc::statfs>::uninit();
    // SAFETY: the pointer is valid for one `struct statfs`.
    check(unsafe { libc::fstatfs(fd.as_raw_fd(), status.as_mut_ptr()) })?;
    // SAFETY: fstatfs succeeded, so it has filled the structure.
    let status = unsafe { status.assume_init() };
    // The field's type differs between architectures and C libraries; every magic number fits 32 bits.
    Ok(status.f_type as u32)
}

/// Opens `/` as a place to start from.
pub(crate) fn open_root() -> io::Result<OwnedFd> {
    // SAFETY: the path is a NUL-terminated literal; no mode is read because O_CREAT is not given.
    let fd = check(unsafe { libc::open(c"/".as_ptr(), libc::O_PATH | libc::O_DIRECTORY | libc::O_CLOEXEC) })?;
    // SAFETY: open returned a descriptor that nobody else owns.
    Ok(unsafe { OwnedFd::from_raw_fd(fd) })
}

/// Opens `name` below `parent` without following a link at `name`; close-on-exec.
pub(crate) fn open_at(parent: BorrowedFd<'_>, name: &CStr, flags: libc::c_int) -> io::Result<OwnedFd> {
    let flags = flags | libc::O_NOFOLLOW | libc::O_CLOEXEC;
    // SAFETY: `name` is a NUL-terminated string that outlives the call; no mode is read because O_CREAT is never given.
    let fd = check(unsafe { libc::openat(parent.as_raw_fd(), name.as_ptr(), flags) })?;
    // SAFETY: openat returned a descriptor that nobody else owns.
    Ok(unsafe { OwnedFd::from_raw_fd(fd) })
}

/// Opens a new file on the filesystem of `directory` that has no name, and goes when it is closed.
pub(crate) fn open_nameless_file(directory: BorrowedFd<'_>) -> io::Result<OwnedFd> {
    let flags = libc::O_TMPFILE | libc::O_RDWR | libc::O_EXCL | libc::O_CLOEXEC;
    // SAFETY: the path is a NUL-terminated literal, and the mode that O_TMPFILE has read is given.
    let fd = check(unsafe { libc::openat(directory.as_raw_fd(), c".".as_ptr(), flags, 0o600 as libc::c_uint) })?;
    // SAFETY: openat returned a descriptor that nobody else owns.
    Ok(unsafe { OwnedFd::from_raw_fd(fd) })
}

/// `mkdirat(2)`
pub(crate) fn make_dir_at(parent: BorrowedFd<'_>, name: &CStr, mode: libc::mode_t) -> io::Result<()> {
    // SAFETY: `name` is a NUL-terminated string that outlives the call.
    check(unsafe { libc::mkdirat(parent.as_raw_fd(), name.as_ptr(), mode) }).map(drop)
}

/// Removes the empty directory `name` below `parent`.
pub(crate) fn remove_dir_at(parent: BorrowedFd<'_>, name: &CStr) -> io::Result<()> {
    // SAFETY: `name` is a NUL-terminated string that outlives the call.
    check(unsafe { libc::unlinkat(parent.as_raw_fd(), name.as_ptr(), libc::AT_REMOVEDIR) }).map(drop)
}

/// Opens what is at `path` below `parent`, going through no link and no mount on the way; close-on-exec. With `O_CREAT`
/// in `flags`, a file that is not there is made for its owner alone. Kernel 5.6.
pub(crate) fn open_below(parent: BorrowedFd<'_>, path: &Path, flags: libc::c_int) -> io::Result<OwnedFd> {
    /// `struct open_how`
    #[repr(C)]
    struct OpenHow {
        flags: u64,
        mode: u64,
        resolve: u64,
    }
    const _: () = assert!(size_of::<OpenHow>() == 24);

    let how = OpenHow {
        flags: (flags | libc::O_NOFOLLOW | libc::O_CLOEXEC) as u64,
        mode: if flags & libc::O_CREAT == 0 { 0 } else { 0o600 },
        resolve: libc::RESOLVE_BENEATH | libc::RESOLVE_NO_SYMLINKS | libc::RESOLVE_NO_XDEV,
    };
    let path = CString::new(path.as_os_str().as_bytes())?;
    // SAFETY: `path` is a NUL-terminated string and `how` a `struct open_how` of the given size; both outlive the call.
    let fd = unsafe {
        libc::syscall(libc::SYS_openat2, parent.as_raw_fd(), path.as_ptr(), &raw const how, size_of::<OpenHow>())
    };
    let fd = check(RawFd::try_from(fd).map_err(io::Error::other)?)?;
    // SAFETY: openat2 returned a descriptor that nobody else owns.
    Ok(unsafe { OwnedFd::from_raw_fd(fd) })
}

/// Locks one byte of a file together with others who share it, unless somebody holds it alone (`F_OFD_SETLK`). The lock
/// ends with the descriptor.
pub(crate) fn try_share_byte(file: BorrowedFd<'_>, place: i64) -> io::Result<bool> {
    let range = libc::flock {
        l_type: libc::F_RDLCK as libc::c_short,
        l_whence: libc::SEEK_SET as libc::c_short,
        l_start: place,
        l_len: 1,
        l_pid: 0,
    };
    // SAFETY: the pointer is to a live `struct flock`, which this command only reads.
    match check(unsafe { libc::fcntl(file.as_raw_fd(), libc::F_OFD_SETLK, &raw const range) }) {
        Err(error) if matches!(error.raw_os_error(), Some(libc::EAGAIN | libc::EACCES)) => Ok(false),
        other => other.map(|_| true),
    }
}

/// Sets an extended attribute.
pub(crate) fn set_attribute(file: BorrowedFd<'_>, name: &CStr, value: &[u8]) -> io::Result<()> {
    // SAFETY: `name` is a NUL-terminated string; pointer and length describe `value`; both outlive the call.
    let result = unsafe { libc::fsetxattr(file.as_raw_fd(), name.as_ptr(), value.as_ptr().cast(), value.len(), 0) };
    check(result).map(drop)
}
