//! XFS project quotas.
//!
//! A project is a number on an inode. A directory that carries one with the inherit flag hands it to everything made in
//! it, and the kernel counts and limits what all inodes of one project occupy, together. A write past the limit fails
//! with `ENOSPC` (not `EDQUOT`), and `statfs(2)` inside the directory shows the limit as the size of the filesystem.
//!
//! The numbers in use are the names of the empty directories in `<store>/projectids`, as the original has them.
//! [`allocate_project`] tells the order of events that others may rely on.
//!
//! The kernel lets the owner of a directory put it into any project, also into one that is somebody else's image
//! (`FS_IOC_FSSETXATTR` asks for ownership alone, outside of user namespaces). What is there then counts against that
//! image's limit. So the number on a directory says nothing about whose project it is; [`allocate_project`] shows how
//! one is told that is nobody's.

mod allocation;

pub use allocation::{allocate_project, reclaim_project, release_project};

use crate::error::{Error, Operation, Result};
use crate::limit::proportional_inodes;
use crate::sys::{self, DiskQuota, QuotaCommand, QuotaInfo, QuotaState};

use std::os::fd::BorrowedFd;

/// New files and directories take over the project of the directory (`FS_XFLAG_PROJINHERIT`).
const INHERIT_PROJECT: u32 = 0x200;

/// Unit of the sizes in `struct fs_disk_quota`.
const QUOTA_BLOCK: u64 = 512;

/// The place of the lock that who allocates project ids shares and who collects them holds alone: a byte of the store's
/// lock file, locked with `F_OFD_SETLK`. grootfs computes it from the name `projectids`.
pub const PROJECT_IDS_LOCK: i64 = 0x2430_136a_4bae_ae09;

/// The number of a project. 0 is the project of everything that has been given none.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ProjectId(pub u32);

/// What a project occupies and what it may.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Usage {
    /// Bytes of disk space occupied.
    pub used_bytes: u64,
    /// Inodes in the project.
    pub used_inodes: u64,
    /// What it may come to.
    pub limit: Limit,
}

/// What a project may occupy.
///
/// Inodes need a limit of their own: an empty file takes no block that is counted, but XFS takes an inode for it out of the
/// share of the filesystem that inodes may have, which all images need.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Limit {
    /// Bytes of disk space; 0 is no limit.
    pub bytes: u64,
    /// Inodes; 0 is no limit.
    pub inodes: u64,
}

impl Limit {
    /// No limit.
    pub const NONE: Self = Self { bytes: 0, inodes: 0 };

    /// A limit on bytes, and on the inodes that go with it.
    pub fn of_bytes(bytes: u64) -> Self {
        Self { bytes, inodes: proportional_inodes(bytes) }
    }
}

/// Whether project limits can be relied upon.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum QuotaSupport {
    /// Limits are enforced.
    Enforced,
    /// The kernel could, but the filesystem is not mounted with `pquota`.
    NotMounted,
    /// The kernel is built without XFS quotas (`CONFIG_XFS_QUOTA`) or is older than 5.14.
    KernelLacks,
}

/// The project of a directory; 0 for none (`FS_IOC_FSGETXATTR`).
pub fn project_id(dir: BorrowedFd<'_>) -> Result<u32> {
    let attributes = sys::inode_attributes(dir).map_err(Error::during(Operation::GetAttributes))?;
    Ok(attributes.project_id)
}

/// Puts a directory into a project, and everything made in it from now on. What is in it already stays where it is.
pub fn set_project_id(dir: BorrowedFd<'_>, id: u32) -> Result<()> {
    let mut attributes = sys::inode_attributes(dir).map_err(Error::during(Operation::GetAttributes))?;
    attributes.project_id = id;
    attributes.flags |= INHERIT_PROJECT;
    sys::set_inode_attributes(dir, &attributes).map_err(Error::during(Operation::SetAttributes))
}

/// Puts a file or directory into the project that `directory` hands to what is made in it, so that it can be moved there.
/// Returns whether that changed anything.
pub fn join_project(file: BorrowedFd<'_>, directory: BorrowedFd<'_>) -> Result<bool> {
    let around = sys::inode_attributes(directory).map_err(Error::during(Operation::GetAttributes))?;
    let mut attributes = sys::inode_attributes(file).map_err(Error::during(Operation::GetAttributes))?;
    if around.flags & INHERIT_PROJECT == 0 || around.project_id == attributes.project_id {
        return Ok(false);
    }
    attributes.project_id = around.project_id;
    sys::set_inode_attributes(file, &attributes).map_err(Error::during(Operation::SetAttributes))?;
    Ok(true)
}

/// Has what is made in a directory no longer take over its project. Returns whether that changed anything.
pub fn stop_handing_down(dir: BorrowedFd<'_>) -> Result<bool> {
    let mut attributes = sys::inode_attributes(dir).map_err(Error::during(Operation::GetAttributes))?;
    if attributes.flags & INHERIT_PROJECT == 0 {
        return Ok(false);
    }
    attributes.flags &= !INHERIT_PROJECT;
    sys::set_inode_attributes(dir, &attributes).map_err(Error::during(Operation::SetAttributes))?;
    Ok(true)
}

/// Limits the disk space and the inodes of project `id` on the filesystem of `store`. The kernel rounds bytes up to whole
/// blocks; [`Limit::NONE`] removes the limit.
///
/// Project 0 is refused with `EINVAL`: what is set there becomes the default of every project without a limit.
pub fn set_limit(store: BorrowedFd<'_>, id: u32, limit: Limit) -> Result<()> {
    let failed = Error::during(Operation::SetLimit(ProjectId(id)));
    if id == 0 {
        return Err(failed(std::io::Error::from_raw_os_error(libc::EINVAL)));
    }
    let mut quota = DiskQuota::limit(id, limit.bytes.div_ceil(QUOTA_BLOCK), limit.inodes);
    sys::quotactl(store, QuotaCommand::SetLimit(&mut quota), id).map_err(failed)
}

/// Usage and limit of project `id` on the filesystem of `store`. A project that the kernel has no record of occupies
/// nothing and has no limit.
pub fn usage(store: BorrowedFd<'_>, id: u32) -> Result<Usage> {
    let mut quota = DiskQuota::default();
    match sys::quotactl(store, QuotaCommand::Get(&mut quota), id) {
        Ok(()) => Ok(Usage {
            used_bytes: quota.block_count.saturating_mul(QUOTA_BLOCK),
            used_inodes: quota.inode_count,
            limit: Limit { bytes: quota.block_hard_limit.saturating_mul(QUOTA_BLOCK), inodes: quota.inode_hard_limit },
        }),
        Err(error) if error.raw_os_error() == Some(libc::ENOENT) => Ok(Usage::default()),
        Err(error) => Err(Error::during(Operation::GetUsage(ProjectId(id)))(error)),
    }
}

/// Whether the filesystem of `store`, which the caller knows to be XFS, enforces project limits. Needs no privilege.
pub fn support(store: BorrowedFd<'_>) -> Result<QuotaSupport> {
    const PROJECT_ENFORCED: u16 = 1 << 5;

    let mut state = QuotaState::request();
    match sys::quotactl(store, QuotaCommand::State(&mut state), 0) {
        Ok(()) if state.flags & PROJECT_ENFORCED != 0 => Ok(QuotaSupport::Enforced),
        Ok(()) => Ok(QuotaSupport::NotMounted),
        Err(error) if error.raw_os_error() == Some(libc::ENOSYS) => why_no_state(store),
        Err(error) => Err(Error::during(Operation::GetSupport)(error)),
    }
}

/// "No quota is on" and "there is no such thing as a quota" are both `ENOSYS` to `Q_XGETQSTATV`. `Q_GETINFO` tells them
/// apart: where quotas exist but are off it says `ESRCH`.
fn why_no_state(store: BorrowedFd<'_>) -> Result<QuotaSupport> {
    let mut info = QuotaInfo::default();
    match sys::quotactl(store, QuotaCommand::Info(&mut info), 0) {
        Ok(()) => Ok(QuotaSupport::NotMounted),
        Err(error) => match error.raw_os_error() {
            Some(libc::ESRCH) => Ok(QuotaSupport::NotMounted),
            Some(libc::ENOSYS) => Ok(QuotaSupport::KernelLacks),
            _ => Err(Error::during(Operation::GetSupport)(error)),
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs::File;
    use std::os::fd::AsFd;

    #[test]
    fn the_default_of_all_projects_cannot_be_limited_by_accident() {
        let root = File::open("/").unwrap();
        let error = set_limit(root.as_fd(), 0, Limit::of_bytes(4096)).unwrap_err();
        assert_eq!(error.errno(), libc::EINVAL);
    }

    #[test]
    fn a_filesystem_without_quotas_is_seen_as_such() {
        let proc = File::open("/proc").unwrap();
        assert_eq!(support(proc.as_fd()).unwrap(), QuotaSupport::KernelLacks);
        let error = set_limit(proc.as_fd(), 7, Limit::of_bytes(4096)).unwrap_err();
        assert_eq!(error.to_string(), "setting quota limit for projid 7: function not implemented");
    }

    #[test]
    fn a_filesystem_without_projects_names_the_failing_step() {
        let dir = File::open("/proc").unwrap();
        let error = project_id(dir.as_fd()).unwrap_err();
        assert_eq!(error.operation(), Operation::GetAttributes);
        assert_eq!(error.to_string(), "getting extended attributes: inappropriate ioctl for device");
    }
}
