//! The btrfs filesystem under a store: made, mounted and checked.

use std::ffi::CStr;
use std::fs::{self, File};
use std::io::{self, Seek, SeekFrom};
use std::os::fd::AsFd;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use crate::driver::FilesystemRequest;
use crate::driver::filesystem::{FilesystemError, FilesystemKind, bytes_at, open};
use crate::layout::Layout;
use crate::sys::btrfs::{self, Device};
use crate::sys::loop_device::LoopDevice;
use crate::sys::mount_point;
use crate::sys::owner::Owner;
use crate::sys::path_error::{OnPath, PathError};

pub(super) const BTRFS: FilesystemKind = FilesystemKind {
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

/// Attaches `backing` to a loop device and mounts it on the store's directory.
pub(super) fn mount_backing(
    layout: &Layout,
    backing: &Path,
    request: FilesystemRequest,
) -> Result<(), FilesystemError> {
    let device = LoopDevice::attach(backing, request.with_direct_io)?;
    let mounted = BTRFS.mount(&device, layout.root(), Some(USERS_REMOVE));
    mounted.map_err(|errno| BTRFS.mount_error(backing, layout.root(), errno))
}

/// Tells whoever makes a store for an ordinary user on a filesystem of his own what that user will miss.
pub(super) fn tell_users(layout: &Layout, owner: Owner) -> Result<(), PathError> {
    let root = layout.root();
    let uid = owner.uid.map_or_else(|| fs::metadata(root).map(|metadata| metadata.uid()), Ok).on("stat", root)?;
    let option = USERS_REMOVE.to_string_lossy();
    if uid != 0 && !mount_point::has_option(root, &option)? {
        let hint = format!("mount the filesystem with {option} for images of users to be removed at once");
        tracing::info!(hint, "users-remove-images-file-by-file");
    }
    Ok(())
}

/// Lets the filesystem mounted on `store` take all of its block device.
pub(super) fn grow(store: &Path) -> Result<(), FilesystemError> {
    const OPERATION: &str = "growing filesystem";
    /// The kernel leaves out what is less than a block, which has this size at most.
    const BLOCK: u64 = 64 * 1024;
    /// The kernel changes the size of none that would have less.
    const SMALLEST: u64 = 256 * 1024 * 1024;
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
