//! The btrfs filesystem under a store: made, mounted and checked.

use std::os::fd::AsFd;
use std::path::Path;

use crate::driver::FilesystemRequest;
use crate::driver::filesystem::{FilesystemError, Kind, open};
use crate::layout::Layout;
use crate::sys::btrfs;
use crate::sys::loop_device::LoopDevice;
use crate::sys::path_error::OnPath;

pub(super) const BTRFS: Kind = Kind {
    name: "BTRFS",
    mount_type: "btrfs",
    magic: 0x9123_683e,
    mkfs: "mkfs.btrfs",
    package: "btrfs-progs",
    damaged: ": the filesystem is damaged: look at it with btrfs check before anything else",
    missing_in_kernel: ": the kernel has no btrfs (modprobe btrfs)",
};

/// Attaches `backing` to a loop device and mounts it on the store's directory, so that users can remove subvolumes of
/// their own.
pub(super) fn mount_backing(
    layout: &Layout,
    backing: &Path,
    request: FilesystemRequest,
) -> Result<(), FilesystemError> {
    let device = LoopDevice::attach(backing, request.with_direct_io)?;
    let mounted = BTRFS.mount(&device, layout.root(), Some(c"user_subvol_rm_allowed"));
    mounted.map_err(|errno| BTRFS.mount_error(layout.root(), errno))
}

/// Lets the filesystem mounted on `store` take all of its block device.
pub(super) fn grow(store: &Path) -> Result<(), FilesystemError> {
    let directory = open(store)?;
    Ok(btrfs::grow(directory.as_fd()).on("growing filesystem", store)?)
}
