//! Unmounting an image, whoever mounted it.

use std::path::Path;

use rustix::io::Errno;
use rustix::mount::{UnmountFlags, unmount as umount2};

use super::Error;
use crate::sys::files;
use crate::sys::mount_point;
use crate::sys::path_error::PathError;

/// Unmounts the root filesystem of the image at `path`, detaching it where it is in use.
///
/// Whatever else is mounted below the image stays, and stops the removal: it is somebody's data.
pub(super) fn unmount(path: &Path, shown: &Path) -> Result<(), Error> {
    for entry in files::entry_names(path)? {
        if entry != "rootfs" && mount_point::is_mount_point(&path.join(&entry))? {
            return Err(Error::mounted_below(shown, Path::new(&entry)));
        }
    }
    let rootfs = path.join("rootfs");
    let failed =
        |errno| Error::Unmount(shown.display().to_string(), PathError::new("umount", shown.join("rootfs"), errno));
    match umount2(&rootfs, UnmountFlags::NOFOLLOW) {
        Ok(()) | Err(Errno::INVAL | Errno::NOENT) => Ok(()),
        Err(Errno::PERM) if !mount_point::is_mount_point(&rootfs)? => Ok(()),
        // Either a process uses it, which may keep it, or something is mounted in it.
        Err(Errno::BUSY) => match mount_point::first_below(&rootfs)? {
            Some(below) => Err(Error::mounted_below(shown, &Path::new("rootfs").join(below))),
            None => umount2(&rootfs, UnmountFlags::DETACH | UnmountFlags::NOFOLLOW).map_err(failed),
        },
        Err(errno) => Err(failed(errno)),
    }
}
