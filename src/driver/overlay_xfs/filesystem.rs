//! The XFS filesystem under a store: made, mounted and checked.

use std::fs;
use std::io;
use std::os::fd::AsFd;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::thread;
use std::time::Duration;

use rustix::fs::{CWD, FileType, Mode, OFlags, fstat, major, makedev, minor, mknodat, openat};
use rustix::io::Errno;
use rustix::mount::{UnmountFlags, unmount};

use super::{Error, OverlayXfs, quota};
use crate::driver::filesystem::{self, FilesystemError, FilesystemKind, bytes_at};
use crate::driver::{self, BackingFilesystem, FilesystemRequest};
use crate::layout::{self, Layout};
use crate::sys::loop_device::LoopDevice;
use crate::sys::owner::Owner;
use crate::sys::path_error::{OnPath, PathError, named};
use crate::sys::space::space_of;
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
    /// The filesystem does not tell the type of directory entries.
    #[error(
        "the XFS filesystem of {0} does not record the types of directory entries, which overlay needs: \
         make it anew with mkfs.xfs -n ftype=1"
    )]
    NoEntryTypes(String),
    /// What should be the whiteout device is something else.
    #[error("the whiteout device file is not a valid device: {0}")]
    WhiteoutDevice(String),
    /// A path could not be worked on.
    #[error(transparent)]
    Path(#[from] PathError),
}

impl BackingFilesystem for OverlayXfs {
    fn name(&self) -> &'static str {
        super::NAME
    }

    fn content_of_backing_file(&self) -> &'static str {
        "an XFS filesystem"
    }

    fn filesystems(&self) -> &'static [&'static str] {
        &["xfs", "overlay"]
    }

    fn formatter(&self) -> PathBuf {
        XFS.mkfs.into()
    }

    fn format(&self, backing: &Path) -> Result<(), driver::Error> {
        Ok(XFS.format(None, backing)?)
    }

    fn mount_backing(&self, layout: &Layout, backing: &Path, request: FilesystemRequest) -> Result<(), driver::Error> {
        let device = LoopDevice::of(backing, request.with_direct_io)?;
        let root = layout.root();
        if request.without_quota {
            return Ok(XFS.mount(&device, root, None).map_err(|errno| XFS.mount_error(backing, root, errno))?);
        }
        match XFS.mount(&device, root, Some(c"pquota")) {
            // The kernel's answer to an option it does not know is the same as to a filesystem it does not know.
            Err(Errno::INVAL) if XFS.mount(&device, root, None).is_ok() => {
                unmount(root, UnmountFlags::DETACH).on("umount", root)?;
                let path = root.display().to_string();
                let reason = "the kernel has no XFS quotas (CONFIG_XFS_QUOTA)";
                Err(FilesystemError::NoQuota { path, reason }.into())
            }
            mounted => Ok(mounted.map_err(|errno| XFS.mount_error(backing, root, errno))?),
        }
    }

    fn grow(&self, layout: &Layout) -> Result<(), driver::Error> {
        let store = layout.root();
        let directory = fs::File::open(store).on("open", store)?;
        let device = directory.metadata().on("stat", store)?.dev();
        // In sectors of 512 bytes, whatever the device's own are (Documentation/ABI/stable/sysfs-block).
        let size = format!("/sys/dev/block/{}:{}/size", major(device), minor(device));
        let sectors = fs::read_to_string(&size).on("open", &size)?;
        let sectors: u64 = sectors.trim_end().parse().map_err(io::Error::other).on("read", &size)?;
        Ok(xfs::grow(directory.as_fd(), sectors.saturating_mul(512)).on("growing filesystem", store)?)
    }

    fn validate(&self, path: &Path) -> Result<(), driver::Error> {
        Ok(XFS.validate(path)?)
    }

    /// The types of directory entries are for overlay, quotas for limits.
    fn check_features(&self, path: &Path, request: FilesystemRequest) -> Result<(), driver::Error> {
        let directory = filesystem::open_store(path)?;
        if !xfs::has_entry_types(directory.as_fd()).on("look at the geometry of", path)? {
            return Err(Error::Xfs(XfsError::NoEntryTypes(path.display().to_string())).into());
        }
        if request.without_quota {
            return Ok(());
        }
        match quota::missing_support(&directory).map_err(Error::from)? {
            Some(reason) => Err(FilesystemError::NoQuota { path: path.display().to_string(), reason }.into()),
            None => Ok(()),
        }
    }

    fn missing_quotas(&self, layout: &Layout) -> Result<Option<&'static str>, driver::Error> {
        let store = filesystem::open_store(layout.root())?;
        Ok(quota::missing_support(&store).map_err(Error::from)?)
    }

    fn configure(&self, layout: &Layout, request: FilesystemRequest, owner: Owner) -> Result<(), driver::Error> {
        ensure_whiteout_device(&layout.whiteout_device(), owner).map_err(Error::from)?;
        for directory in [layout::LINKS, layout::PROJECT_IDS] {
            layout.directories().ensure_owned(directory, 0o755, owner)?;
        }
        Ok(filesystem::set_direct_io(layout, request.with_direct_io)?)
    }

    /// XFS frees the blocks of removed files in the background (Linux 5.14). Nothing tells when it is done, but what is free
    /// grows until then.
    fn wait_for_free_space(&self, layout: &Layout) -> Result<(), driver::Error> {
        const PAUSE: Duration = Duration::from_millis(20);
        const LOOKS: usize = 150;
        let available = || space_of(layout.root()).map(|space| space.available);
        let (mut last, mut unchanged) = (available()?, 0);
        for _ in 0..LOOKS {
            thread::sleep(PAUSE);
            let now = available()?;
            unchanged = if now > last { 0 } else { unchanged + 1 };
            if unchanged == 2 {
                break;
            }
            last = now;
        }
        Ok(())
    }
}

/// The original hard-links its whiteouts to this device; it must be there for stores to go back.
fn ensure_whiteout_device(path: &Path, owner: Owner) -> Result<(), XfsError> {
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
        let error = XFS.validate(Path::new("/proc")).unwrap_err();
        assert_eq!(error.to_string(), "Store path filesystem (/proc) is incompatible with requested driver");
    }
}
