//! The XFS filesystem under a store: made, mounted and checked.

use std::fs;
use std::os::fd::AsFd;
use std::os::unix::fs::{FileTypeExt, MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::process::Command;

use rustix::fs::{CWD, Dev, FileType, Mode, OFlags, makedev, mknodat, openat, statfs};
use rustix::io::Errno;
use rustix::mount::{MountFlags, UnmountFlags, mount, unmount};

use super::quota::{self, QuotaError};
use crate::driver::FilesystemRequest;
use crate::layout::Layout;
use crate::sys::files;
use crate::sys::loop_device::{self, LOOP_MAJOR, LoopDevice};
use crate::sys::path_error::{OnPath, PathError};
use crate::sys::xfs;

/// `f_type` of XFS, statfs(2).
const XFS_MAGIC: i64 = 0x5846_5342;

/// Why a filesystem could not be made, mounted or used.
#[derive(Debug, thiserror::Error)]
pub enum FilesystemError {
    /// `mkfs.xfs` failed or is missing.
    #[error("Formatting XFS filesystem: {0}")]
    Format(String),
    /// The filesystem could not be mounted.
    #[error("Mounting filesystem: {0}{1}")]
    Mount(PathError, &'static str),
    /// The path is on a filesystem of another kind.
    #[error("Store path filesystem ({0}) is incompatible with requested driver")]
    Incompatible(String),
    /// The filesystem does not tell the type of directory entries.
    #[error(
        "the XFS filesystem of {0} does not record the types of directory entries, which overlay needs: \
         make it anew with mkfs.xfs -n ftype=1"
    )]
    NoEntryTypes(String),
    /// Limits cannot be enforced.
    #[error(
        "disk limits cannot be enforced in {path}: {reason}. Use a kernel and a mount that have them, or \
         init-store --without-quota (config: init.without_quota) for a store without limits"
    )]
    NoQuota {
        /// The store.
        path: String,
        /// What is missing.
        reason: &'static str,
    },
    /// What should be the whiteout device is something else.
    #[error("the whiteout device file is not a valid device: {0}")]
    WhiteoutDevice(String),
    /// Direct I/O could not be switched.
    #[error("enabling direct-io on {0}")]
    DirectIo(PathError),
    /// Quotas could not be looked at.
    #[error(transparent)]
    Quota(#[from] QuotaError),
    /// A path could not be worked on.
    #[error(transparent)]
    Path(#[from] PathError),
}

/// Makes an XFS filesystem in an empty file. Without `-f`, so that mkfs.xfs itself refuses what holds data.
pub(super) fn format(backing: &Path) -> Result<(), FilesystemError> {
    let output = Command::new("mkfs.xfs").arg("-q").arg(backing).output().map_err(|e| match e.kind() {
        std::io::ErrorKind::NotFound => {
            FilesystemError::Format("mkfs.xfs was not found in the $PATH: install xfsprogs".into())
        }
        _ => FilesystemError::Format(PathError::new("run", "mkfs.xfs", e).to_string()),
    })?;
    if output.status.success() {
        return Ok(());
    }
    let said = String::from_utf8_lossy(&output.stderr);
    Err(FilesystemError::Format(format!("{}: {}", output.status, first_line(&said))))
}

/// mkfs prints its usage after the reason.
fn first_line(text: &str) -> &str {
    text.lines().find(|line| !line.trim().is_empty()).unwrap_or("mkfs.xfs gave no reason").trim()
}

/// Attaches `backing` to a loop device and mounts it on the store's directory.
pub(super) fn mount_backing(
    layout: &Layout,
    backing: &Path,
    request: FilesystemRequest,
) -> Result<(), FilesystemError> {
    let device = LoopDevice::attach(backing, request.with_direct_io)?;
    if request.without_quota {
        return mount_xfs(&device, layout.root(), None).map_err(|errno| mount_error(layout.root(), errno));
    }
    match mount_xfs(&device, layout.root(), Some(c"pquota")) {
        // The kernel's answer to an option it does not know is the same as to a filesystem it does not know.
        Err(Errno::INVAL) if mount_xfs(&device, layout.root(), None).is_ok() => {
            unmount(layout.root(), UnmountFlags::DETACH).on("umount", layout.root())?;
            let path = layout.root().display().to_string();
            Err(FilesystemError::NoQuota { path, reason: "the kernel has no XFS quotas (CONFIG_XFS_QUOTA)" })
        }
        mounted => mounted.map_err(|errno| mount_error(layout.root(), errno)),
    }
}

fn mount_xfs(device: &LoopDevice, target: &Path, options: Option<&std::ffi::CStr>) -> Result<(), Errno> {
    mount(device.path(), target, "xfs", MountFlags::NOATIME, options)
}

fn mount_error(target: &Path, errno: Errno) -> FilesystemError {
    let advice = match errno {
        Errno::UCLEAN => ": the filesystem is damaged: look at it with xfs_repair -n before anything else",
        Errno::NODEV => ": the kernel has no XFS (modprobe xfs)",
        _ => "",
    };
    FilesystemError::Mount(PathError::new("mount", target, errno), advice)
}

/// Lets the filesystem mounted on `store` take all of its block device.
pub(super) fn grow(store: &Path) -> Result<(), FilesystemError> {
    let directory = fs::File::open(store).on("open", store)?;
    let device: Dev = directory.metadata().on("stat", store)?.dev();
    // In sectors of 512 bytes, whatever the device's own are (Documentation/ABI/stable/sysfs-block).
    let size = format!("/sys/dev/block/{}:{}/size", rustix::fs::major(device), rustix::fs::minor(device));
    let sectors = fs::read_to_string(&size).on("open", &size)?;
    let sectors: u64 = sectors.trim_end().parse().map_err(std::io::Error::other).on("read", &size)?;
    Ok(xfs::grow(directory.as_fd(), sectors.saturating_mul(512)).on("growing filesystem", store)?)
}

/// Checks that `path` is on XFS.
pub(super) fn validate(path: &Path) -> Result<(), FilesystemError> {
    let status = statfs(path).on("Failed to detect type of filesystem: statfs", path)?;
    if status.f_type as i64 == XFS_MAGIC {
        return Ok(());
    }
    Err(FilesystemError::Incompatible(path.display().to_string()))
}

/// Checks that the filesystem of the directory `path` tells the types of entries and enforces quotas.
pub(super) fn check_features(path: &Path, request: FilesystemRequest) -> Result<(), FilesystemError> {
    let directory =
        openat(CWD, path, OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty()).on("open", path)?;
    if !xfs::has_entry_types(directory.as_fd()).on("look at the geometry of", path)? {
        return Err(FilesystemError::NoEntryTypes(path.display().to_string()));
    }
    if !request.without_quota
        && let Some(reason) = quota::missing_support(&directory)?
    {
        return Err(FilesystemError::NoQuota { path: path.display().to_string(), reason });
    }
    Ok(())
}

/// Makes what overlay-xfs needs in a store.
pub(super) fn configure(layout: &Layout, request: FilesystemRequest) -> Result<(), FilesystemError> {
    ensure_whiteout_device(&layout.whiteout_device())?;
    for directory in [layout.links(), layout.project_ids()] {
        files::ensure_directory(&directory)?;
        fs::set_permissions(&directory, fs::Permissions::from_mode(0o755)).on("chmod", &directory)?;
    }
    set_direct_io(layout, request.with_direct_io)
}

/// The original hard-links its whiteouts to this device; it must be there for stores to go back.
fn ensure_whiteout_device(path: &Path) -> Result<(), FilesystemError> {
    match mknodat(CWD, path, FileType::CharacterDevice, Mode::empty(), makedev(0, 0)) {
        Err(Errno::EXIST) => {}
        made => made.on("mknod", path)?,
    }
    let metadata = fs::symlink_metadata(path).on("stat", path)?;
    if metadata.file_type().is_char_device() && metadata.rdev() == 0 {
        return Ok(());
    }
    Err(FilesystemError::WhiteoutDevice(path.display().to_string()))
}

/// Switches direct I/O of the store's loop device, if it is on the one of its own backing file.
fn set_direct_io(layout: &Layout, on: bool) -> Result<(), FilesystemError> {
    let device: Dev = fs::metadata(layout.root()).on("stat", layout.root())?.dev();
    if rustix::fs::major(device) != LOOP_MAJOR {
        return Ok(());
    }
    let sysfs = PathBuf::from(format!("/sys/dev/block/{LOOP_MAJOR}:{}/loop", rustix::fs::minor(device)));
    let attribute = |name: &str| fs::read_to_string(sysfs.join(name)).map(|text| text.trim_end().to_owned());
    let is_own = attribute("backing_file").is_ok_and(|file| Path::new(&file) == layout.backing_file());
    let is_set = attribute("dio").is_ok_and(|dio| dio == "1");
    if !is_own || is_set == on {
        return Ok(());
    }
    let node = PathBuf::from(format!("/dev/loop{}", rustix::fs::minor(device)));
    let opened = fs::File::open(&node).on("open", &node)?;
    loop_device::set_direct_io(opened.as_fd(), on)
        .map_err(|e| FilesystemError::DirectIo(PathError::new("ioctl", &node, e)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_xfs_will_do() {
        let error = validate(Path::new("/proc")).unwrap_err();
        assert_eq!(error.to_string(), "Store path filesystem (/proc) is incompatible with requested driver");
    }

    #[test]
    fn mkfs_is_quoted_without_its_usage() {
        assert_eq!(first_line("\nsize too small\nUsage: mkfs.xfs\n"), "size too small");
    }
}
