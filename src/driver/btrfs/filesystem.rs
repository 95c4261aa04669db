//! The btrfs filesystem under a store: made, mounted and checked.

use std::ffi::CStr;
use std::fs::File;
use std::io::{self, Seek, SeekFrom};
use std::os::fd::AsFd;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use super::{Btrfs, Error, quota, restore, subvolumes};
use crate::driver::filesystem::{FilesystemKind, bytes_at, open, set_direct_io};
use crate::driver::{self, BackingFilesystem, FilesystemRequest};
use crate::layout::Layout;
use crate::sys::btrfs::{self, Device};
use crate::sys::files;
use crate::sys::loop_device::LoopDevice;
use crate::sys::mount_point;
use crate::sys::owner::Owner;
use crate::sys::path_error::{OnPath, PathError};

const BTRFS: FilesystemKind = FilesystemKind {
    name: "BTRFS",
    mount_type: "btrfs",
    magic: super::MAGIC,
    mkfs: "mkfs.btrfs",
    package: "btrfs-progs",
    damaged: ": the filesystem is damaged: look at it with btrfs check before anything else (of btrfs-progs 6.7 or later \
              where quotas are simple)",
    missing_in_kernel: ": the kernel has no btrfs (modprobe btrfs)",
    size,
};

/// `total_bytes` of `struct btrfs_super_block`, whose first copy is at 64 KiB.
fn size(file: &File) -> io::Result<u64> {
    Ok(u64::from_le_bytes(bytes_at(file, 0x1_0070)?))
}

/// The mount option that lets users remove subvolumes of their own at once (btrfs(5)).
const USERS_REMOVE: &CStr = c"user_subvol_rm_allowed";

impl BackingFilesystem for Btrfs {
    fn name(&self) -> &'static str {
        super::NAME
    }

    fn content_of_backing_file(&self) -> &'static str {
        "a btrfs filesystem"
    }

    fn filesystems(&self) -> &'static [&'static str] {
        &["btrfs"]
    }

    fn formatter(&self) -> PathBuf {
        self.progs.as_ref().map_or(BTRFS.mkfs.into(), |directory| directory.join(BTRFS.mkfs))
    }

    fn format(&self, backing: &Path) -> Result<(), driver::Error> {
        Ok(BTRFS.format(self.progs.as_deref(), backing)?)
    }

    fn mount_backing(&self, layout: &Layout, backing: &Path, request: FilesystemRequest) -> Result<(), driver::Error> {
        let device = LoopDevice::of(backing, request.with_direct_io)?;
        let mounted = BTRFS.mount(&device, layout.root(), Some(USERS_REMOVE));
        Ok(mounted.map_err(|errno| BTRFS.mount_error(backing, layout.root(), errno))?)
    }

    fn grow(&self, layout: &Layout) -> Result<(), driver::Error> {
        const OPERATION: &str = "growing filesystem";
        /// The kernel leaves out what is less than a block, which has this size at most.
        const BLOCK: u64 = 64 * 1024;
        /// The kernel changes the size of none that would have less.
        const SMALLEST: u64 = 256 * 1024 * 1024;
        let store = layout.root();
        let directory = open(store)?;
        let Device { path, bytes } = btrfs::first_device(directory.as_fd()).on(OPERATION, store)?;
        let size =
            File::open(&path).and_then(|mut device| device.seek(SeekFrom::End(0))).on("look at the size of", &path)?;
        if size < bytes.saturating_add(BLOCK) {
            return Ok(());
        }
        if size < SMALLEST {
            let reason = "the kernel makes no btrfs of less than 256 MiB larger: choose a larger size";
            return Err(PathError::new(OPERATION, store, io::Error::other(reason)).into());
        }
        Ok(btrfs::grow(directory.as_fd()).on(OPERATION, store)?)
    }

    fn validate(&self, path: &Path) -> Result<(), driver::Error> {
        Ok(BTRFS.validate(path)?)
    }

    fn check_features(&self, path: &Path, request: FilesystemRequest) -> Result<(), driver::Error> {
        if request.without_quota {
            return Ok(());
        }
        Ok(quota::enable(path).map_err(Error::from)?)
    }

    fn missing_quotas(&self, layout: &Layout) -> Result<Option<&'static str>, driver::Error> {
        Ok(quota::missing(layout).map_err(Error::from)?)
    }

    fn configure(&self, layout: &Layout, request: FilesystemRequest, owner: Owner) -> Result<(), driver::Error> {
        set_direct_io(layout, request.with_direct_io)?;
        tell_users(layout, owner)?;
        if request.without_quota {
            return Ok(());
        }
        Ok(restore::limits(layout).map_err(Error::from)?)
    }

    fn wait_for_free_space(&self, layout: &Layout) -> Result<(), driver::Error> {
        Ok(subvolumes::wait_for_deletions(layout.root())?)
    }
}

/// Tells whoever makes a store for an ordinary user on a filesystem of his own what that user will miss.
fn tell_users(layout: &Layout, owner: Owner) -> Result<(), PathError> {
    let root = layout.root();
    let uid = match owner.uid {
        Some(uid) => uid,
        None => files::status(&layout.directories().open("")?)?.uid(),
    };
    let option = USERS_REMOVE.to_string_lossy();
    if uid != 0 && !mount_point::has_option(root, &option)? {
        let hint = format!("mount the filesystem with {option} for images of users to be removed at once");
        tracing::info!(hint, "users-remove-images-file-by-file");
    }
    Ok(())
}
