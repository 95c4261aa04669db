//! The system calls that the standard library does not have, each as a safe function over checked types.
//!
//! This is the only file of the crate with `unsafe` in it. Layouts come from the kernel's `include/uapi/linux/fs.h` and
//! `include/uapi/linux/dqblk_xfs.h`, and have been the same since the calls exist.

use std::ffi::CStr;
use std::io;
use std::mem::{MaybeUninit, size_of};
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd, RawFd};

/// Inode attributes as `FS_IOC_FSGETXATTR` reads and `FS_IOC_FSSETXATTR` writes them (`struct fsxattr`).
#[repr(C)]
#[derive(Clone, Copy, Default)]
pub(crate) struct InodeAttributes {
    /// `FS_XFLAG_*` bits.
    pub(crate) flags: u32,
    extent_size: u32,
    extent_count: u32,
    /// Project id.
    pub(crate) project_id: u32,
    cow_extent_size: u32,
    padding: [u8; 8],
}
const _: () = assert!(size_of::<InodeAttributes>() == 28);

/// Limits and usage of one id (`struct fs_disk_quota`). Sizes are in units of 512 bytes.
#[repr(C)]
#[derive(Clone, Copy, Default)]
pub(crate) struct DiskQuota {
    version: i8,
    flags: i8,
    field_mask: u16,
    id: u32,
    pub(crate) block_hard_limit: u64,
    block_soft_limit: u64,
    inode_hard_limit: u64,
    inode_soft_limit: u64,
    pub(crate) block_count: u64,
    inode_count: u64,
    inode_timer: i32,
    block_timer: i32,
    inode_warnings: u16,
    block_warnings: u16,
    timers_high: [i8; 4],
    realtime_hard_limit: u64,
    realtime_soft_limit: u64,
    realtime_count: u64,
    realtime_timer: i32,
    realtime_warnings: u16,
    padding: [u8; 10],
}
const _: () = assert!(size_of::<DiskQuota>() == 112);

impl DiskQuota {
    /// A request to limit project `id` to `blocks` units of 512 bytes, soft and hard limit alike.
    pub(crate) fn limit(id: u32, blocks: u64) -> Self {
        const VERSION: i8 = 1;
        const PROJECT: i8 = 2;
        const BLOCK_SOFT: u16 = 1 << 2;
        const BLOCK_HARD: u16 = 1 << 3;
        Self {
            version: VERSION,
            flags: PROJECT,
            field_mask: BLOCK_SOFT | BLOCK_HARD,
            id,
            block_hard_limit: blocks,
            block_soft_limit: blocks,
            ..Self::default()
        }
    }
}

/// Which quotas are on, filesystem-wide (`struct fs_quota_statv`, version 1). Only the flags are of use here.
#[repr(C)]
#[derive(Clone, Copy, Default)]
pub(crate) struct QuotaState {
    version: i8,
    padding: u8,
    /// `FS_QUOTA_*` bits.
    pub(crate) flags: u16,
    dquots_in_core: u32,
    quota_files: [[u64; 3]; 3],
    grace_periods: [i32; 3],
    warning_limits: [u16; 4],
    more_padding: u32,
    reserved: [u64; 7],
}
const _: () = assert!(size_of::<QuotaState>() == 160);

impl QuotaState {
    /// An empty answer in the version of the structure that we know.
    pub(crate) fn request() -> Self {
        Self { version: 1, ..Self::default() }
    }
}

/// Quota format information (`struct if_dqinfo`); asked for only to see whether the kernel answers.
#[repr(C)]
#[derive(Clone, Copy, Default)]
pub(crate) struct QuotaInfo {
    block_grace: u64,
    inode_grace: u64,
    flags: u32,
    valid: u32,
}
const _: () = assert!(size_of::<QuotaInfo>() == 24);

/// `_IOR('X', 31, struct fsxattr)`
const FS_IOC_FSGETXATTR: libc::c_ulong = 0x801c_581f;
/// `_IOW('X', 32, struct fsxattr)`
const FS_IOC_FSSETXATTR: libc::c_ulong = 0x401c_5820;

/// `PRJQUOTA`: of the three kinds of quota, the one by project.
const PROJECT_QUOTA: libc::c_int = 2;

/// What can be asked of `quotactl_fd(2)`, with the structure that belongs to each command.
pub(crate) enum QuotaCommand<'a> {
    /// `Q_GETINFO`
    Info(&'a mut QuotaInfo),
    /// `Q_XGETQUOTA`
    Get(&'a mut DiskQuota),
    /// `Q_XSETQLIM`
    SetLimit(&'a mut DiskQuota),
    /// `Q_XGETQSTATV`
    State(&'a mut QuotaState),
}

/// Runs a project quota command on the filesystem that `fd` is on. `id` is the project; commands about the whole
/// filesystem ignore it. Kernel 5.14.
pub(crate) fn quotactl(fd: BorrowedFd<'_>, command: QuotaCommand<'_>, id: u32) -> io::Result<()> {
    const fn xfs(number: libc::c_int) -> libc::c_int {
        ((b'X' as libc::c_int) << 8) + number
    }
    let (number, argument): (libc::c_int, *mut libc::c_void) = match command {
        QuotaCommand::Info(info) => (0x80_0005, std::ptr::from_mut(info).cast()),
        QuotaCommand::Get(quota) => (xfs(3), std::ptr::from_mut(quota).cast()),
        QuotaCommand::SetLimit(quota) => (xfs(4), std::ptr::from_mut(quota).cast()),
        QuotaCommand::State(state) => (xfs(8), std::ptr::from_mut(state).cast()),
    };
    // QCMD: the kind of quota in the low byte, the command above it. Commands with bit 23 set reach bit 31, hence the
    // arithmetic on unsigned numbers.
    let request = ((number as libc::c_uint) << 8) | PROJECT_QUOTA as libc::c_uint;
    // SAFETY: `argument` points to a live, writable structure of the type this command reads or writes (size asserted
    // above), and the kernel keeps no reference to it.
    let result = unsafe { libc::syscall(libc::SYS_quotactl_fd, fd.as_raw_fd(), request, id, argument) };
    if result == -1 { Err(io::Error::last_os_error()) } else { Ok(()) }
}

/// Reads the attributes of an inode.
pub(crate) fn inode_attributes(fd: BorrowedFd<'_>) -> io::Result<InodeAttributes> {
    let mut attributes = InodeAttributes::default();
    // SAFETY: FS_IOC_FSGETXATTR writes one `struct fsxattr` (size asserted above) through the pointer and keeps nothing.
    let result = unsafe { libc::ioctl(fd.as_raw_fd(), FS_IOC_FSGETXATTR as _, &raw mut attributes) };
    check(result).map(|_| attributes)
}

/// Writes the attributes of an inode.
pub(crate) fn set_inode_attributes(fd: BorrowedFd<'_>, attributes: &InodeAttributes) -> io::Result<()> {
    // SAFETY: FS_IOC_FSSETXATTR reads one `struct fsxattr` (size asserted above) through the pointer and keeps nothing.
    let result = unsafe { libc::ioctl(fd.as_raw_fd(), FS_IOC_FSSETXATTR as _, std::ptr::from_ref(attributes)) };
    check(result).map(drop)
}

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

fn check(result: libc::c_int) -> io::Result<libc::c_int> {
    if result == -1 { Err(io::Error::last_os_error()) } else { Ok(result) }
}
