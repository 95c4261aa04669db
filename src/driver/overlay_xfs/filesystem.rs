//! The XFS filesystem under a store: made, mounted and checked.

use std::fs;
use std::io;
use std::os::fd::AsFd;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use rustix::fs::{CWD, FileType, Mode, OFlags, fstat, major, makedev, minor, mknodat, openat};
use rustix::io::Errno;
use rustix::mount::{UnmountFlags, unmount};

use super::quota::{self, QuotaError};
use crate::driver::FilesystemRequest;
use crate::driver::filesystem::{self, FilesystemError, FilesystemKind, bytes_at};
use crate::layout::{self, Layout};
use crate::sys::loop_device::LoopDevice;
use crate::sys::owner::Owner;
use crate::sys::path_error::{OnPath, PathError, named};
use crate::sys::xfs;

const XFS: FilesystemKind = FilesystemKind {
    name: "XFS",
    mount_type: "xfs",
    magic: super::MAGIC,
    mkfs: "mkfs.xfs",
    package: "xfsprogs",
    damaged: ": the filesystem is damaged: look at it with xfs_repair -n before anything else",
    missing_in_kernel: ": the kernel has no XFS (modprobe xfs)",
    size,
};

/// `sb_blocksize` and `sb_dblocks` of `struct xfs_dsb`.
fn size(file: &fs::File) -> io::Result<u64> {
    let (block, blocks) = (u32::from_be_bytes(bytes_at(file, 4)?), u64::from_be_bytes(bytes_at(file, 8)?));
    Ok(blocks.saturating_mul(u64::from(block)))
}

/// Why XFS cannot hold a store of this driver.
#[derive(Debug, thiserror::Error)]
pub enum XfsError {
    /// What can happen to any filesystem.
    #[error(transparent)]
    Filesystem(#[from] FilesystemError),
    /// The filesystem does not tell the type of directory entries.
    #[error(
        "the XFS filesystem of {0} does not record the types of directory entries, which overlay needs: \
         make it anew with mkfs.xfs -n ftype=1"
    )]
    NoEntryTypes(String),
    /// What should be the whiteout device is something else.
    #[error("the whiteout device file is not a valid device: {0}")]
    WhiteoutDevice(String),
    /// Quotas could not be looked at.
    #[error(transparent)]
    Quota(#[from] QuotaError),
    /// A path could not be worked on.
    #[error(transparent)]
    Path(#[from] PathError),
}

/// Makes an XFS filesystem in an empty file.
pub(super) fn format(backing: &Path) -> Result<(), FilesystemError> {
    XFS.format(None, backing)
}

/// Attaches `backing` to a loop device and mounts it on the store's directory.
pub(super) fn mount_backing(
    layout: &Layout,
    backing: &Path,
    request: FilesystemRequest,
) -> Result<(), FilesystemError> {
    let device = LoopDevice::attach(backing, request.with_direct_io)?;
    let root = layout.root();
    if request.without_quota {
        return XFS.mount(&device, root, None).map_err(|errno| XFS.mount_error(backing, root, errno));
    }
    match XFS.mount(&device, root, Some(c"pquota")) {
        // The kernel's answer to an option it does not know is the same as to a filesystem it does not know.
        Err(Errno::INVAL) if XFS.mount(&device, root, None).is_ok() => {
            unmount(root, UnmountFlags::DETACH).on("umount", root)?;
            let path = root.display().to_string();
            Err(FilesystemError::NoQuota { path, reason: "the kernel has no XFS quotas (CONFIG_XFS_QUOTA)" })
        }
        mounted => mounted.map_err(|errno| XFS.mount_error(backing, root, errno)),
    }
}

/// Lets the filesystem mounted on `store` take all of its block device.
pub(super) fn grow(store: &Path) -> Result<(), FilesystemError> {
    let directory = fs::File::open(store).on("open", store)?;
    let device = directory.metadata().on("stat", store)?.dev();
    // In sectors of 512 bytes, whatever the device's own are (Documentation/ABI/stable/sysfs-block).
    let size = format!("/sys/dev/block/{}:{}/size", major(device), minor(device));
    let sectors = fs::read_to_string(&size).on("open", &size)?;
    let sectors: u64 = sectors.trim_end().parse().map_err(std::io::Error::other).on("read", &size)?;
    Ok(xfs::grow(directory.as_fd(), sectors.saturating_mul(512)).on("growing filesystem", store)?)
}

/// Checks that `path` is on XFS.
pub(super) fn validate(path: &Path) -> Result<(), FilesystemError> {
    XFS.validate(path)
}

/// Checks that the filesystem of the directory `path` tells the types of entries and enforces quotas.
pub(super) fn check_features(path: &Path, request: FilesystemRequest) -> Result<(), XfsError> {
    let directory = filesystem::open_store(path)?;
    if !xfs::has_entry_types(directory.as_fd()).on("look at the geometry of", path)? {
        return Err(XfsError::NoEntryTypes(path.display().to_string()));
    }
    if !request.without_quota
        && let Some(reason) = quota::missing_support(&directory)?
    {
        return Err(FilesystemError::NoQuota { path: path.display().to_string(), reason }.into());
    }
    Ok(())
}

/// Makes what overlay-xfs needs in a store.
pub(super) fn configure(layout: &Layout, request: FilesystemRequest, owner: Owner) -> Result<(), XfsError> {
    settle_whiteout_device(&layout.whiteout_device(), owner)?;
    for directory in [layout::LINKS, layout::PROJECT_IDS] {
        layout.directories().settle(directory, 0o755, owner)?;
    }
    Ok(filesystem::set_direct_io(layout, request.with_direct_io)?)
}

/// The original hard-links its whiteouts to this device; it must be there for stores to go back.
fn settle_whiteout_device(path: &Path, owner: Owner) -> Result<(), XfsError> {
    match mknodat(CWD, path, FileType::CharacterDevice, Mode::empty(), makedev(0, 0)) {
        Err(Errno::EXIST) => {}
        made => made.on("mknod", path)?,
    }
    let device =
        openat(CWD, path, OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC, Mode::empty()).on("open", path)?;
    let stat = fstat(&device).on("stat", path)?;
    if FileType::from_raw_mode(stat.st_mode) != FileType::CharacterDevice || stat.st_rdev != 0 {
        return Err(XfsError::WhiteoutDevice(named(path).display().to_string()));
    }
    Ok(owner.chown_fd(&device).on("chown", path)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_xfs_will_do() {
        let error = validate(Path::new("/proc")).unwrap_err();
        assert_eq!(error.to_string(), "Store path filesystem (/proc) is incompatible with requested driver");
    }
}
