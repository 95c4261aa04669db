//! Project ids and quotas of XFS. Layouts come from the kernel's `include/uapi/linux/fs.h` and
//! `include/uapi/linux/dqblk_xfs.h`, and have been the same since the calls exist.

use super::ioctl::Request;
use std::io;
use std::mem::size_of;
use std::os::fd::{AsRawFd, BorrowedFd};

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
    pub(crate) inode_hard_limit: u64,
    inode_soft_limit: u64,
    pub(crate) block_count: u64,
    pub(crate) inode_count: u64,
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
    /// A request to limit project `id` to `blocks` units of 512 bytes and to so many inodes, soft and hard limits alike.
    pub(crate) fn limit(id: u32, blocks: u64, inodes: u64) -> Self {
        const VERSION: i8 = 1;
        const PROJECT: i8 = 2;
        const INODE_SOFT: u16 = 1 << 0;
        const INODE_HARD: u16 = 1 << 1;
        const BLOCK_SOFT: u16 = 1 << 2;
        const BLOCK_HARD: u16 = 1 << 3;
        Self {
            version: VERSION,
            flags: PROJECT,
            field_mask: INODE_SOFT | INODE_HARD | BLOCK_SOFT | BLOCK_HARD,
            id,
            block_hard_limit: blocks,
            block_soft_limit: blocks,
            inode_hard_limit: inodes,
            inode_soft_limit: inodes,
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

// SAFETY: the kernel writes one `struct fsxattr`, which is all numbers.
const FS_IOC_FSGETXATTR: Request<InodeAttributes> = unsafe { Request::read(b'X', 31) };
// SAFETY: the kernel reads one `struct fsxattr`.
const FS_IOC_FSSETXATTR: Request<InodeAttributes> = unsafe { Request::write(b'X', 32) };

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
    FS_IOC_FSGETXATTR.submit(fd, &mut attributes)?;
    Ok(attributes)
}

/// Writes the attributes of an inode.
pub(crate) fn set_inode_attributes(fd: BorrowedFd<'_>, attributes: &InodeAttributes) -> io::Result<()> {
    FS_IOC_FSSETXATTR.submit(fd, &mut attributes.clone()).map(drop)
}
