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

/// Opens `name` below `parent` without following a link at `name`; close-on-exec.
pub(crate) fn open_at(parent: BorrowedFd<'_>, name: &CStr, flags: libc::c_int) -> io::Result<OwnedFd> {
    let flags = flags | libc::O_NOFOLLOW | libc::O_CLOEXEC;
    // SAFETY: `name` is a NUL-terminated string that outlives the call; no mode is read because O_CREAT is never given.
    let fd = check(unsafe { libc::openat(parent.as_raw_fd(), name.as_ptr(), flags) })?;
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

/// Opens a directory somewhere below `parent`, going through no link and no mount on the way. Kernel 5.6.
pub(crate) fn open_below(parent: BorrowedFd<'_>, path: &Path) -> io::Result<OwnedFd> {
    /// `struct open_how`
    #[repr(C)]
    struct OpenHow {
        flags: u64,
        mode: u64,
        resolve: u64,
    }
    const _: () = assert!(size_of::<OpenHow>() == 24);

    let how = OpenHow {
        flags: (libc::O_RDONLY | libc::O_DIRECTORY | libc::O_CLOEXEC) as u64,
        mode: 0,
        resolve: libc::RESOLVE_BENEATH | libc::RESOLVE_NO_SYMLINKS | libc::RESOLVE_NO_XDEV,
    };
    let path = CString::new(path.as_os_str().as_bytes())?;
    // SAFETY: `path` is a NUL-terminated string and `how` a `struct open_how` of the given size; both outlive the call.
    let fd = unsafe {
        libc::syscall(libc::SYS_openat2, parent.as_raw_fd(), path.as_ptr(), &raw const how, size_of::<OpenHow>())
    };
    let fd = RawFd::try_from(fd).map_err(io::Error::other)?;
    let fd = check(fd)?;
    // SAFETY: openat2 returned a descriptor that nobody else owns.
    Ok(unsafe { OwnedFd::from_raw_fd(fd) })
}
