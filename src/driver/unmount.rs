//! Unmounting an image, whoever mounted it.

use std::path::Path;

use rustix::fs::{CWD, Mode, OFlags, openat};
use rustix::io::Errno;
use rustix::mount::{UnmountFlags, unmount as umount2};

use super::Error;
use crate::sys::descriptors;
use crate::sys::files;
use crate::sys::mount_point;
use crate::sys::path_error::{OnPath, PathError};

/// Unmounts the root filesystem of the image at `path`, detaching it where it is in use. What is no directory has nothing
/// mounted in it: a link may lead to somebody else's.
///
/// Whatever else is mounted below the image stays, and stops the removal: it is somebody's data.
pub(super) fn unmount(path: &Path, shown: &Path) -> Result<(), Error> {
    let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let directory = match openat(CWD, path, flags, Mode::empty()) {
        Err(Errno::LOOP | Errno::NOTDIR) => return Ok(()),
        opened => opened.on("open", path)?,
    };
    // From here on it is the same directory, whatever is made of its name.
    let image = descriptors::name_of(&directory);
    for entry in files::entry_names(&image)? {
        if entry != "rootfs" && mount_point::is_mount_point(&image.join(&entry))? {
            return Err(Error::mounted_below(shown, Path::new(&entry)));
        }
    }
    let rootfs = image.join("rootfs");
    let failed =
        |errno| Error::Unmount(shown.display().to_string(), PathError::new("umount", shown.join("rootfs"), errno));
    match umount2(&rootfs, UnmountFlags::NOFOLLOW) {
        Ok(()) | Err(Errno::INVAL | Errno::NOENT) => Ok(()),
        Err(Errno::PERM) if !mount_point::is_mount_point(&rootfs)? => Ok(()),
        // Either a process uses it, which may keep it, or something is mounted in it.
        Err(Errno::BUSY) => match mount_point::first_below(&path.join("rootfs"))? {
            Some(below) => Err(Error::mounted_below(shown, &Path::new("rootfs").join(below))),
            None => umount2(&rootfs, UnmountFlags::DETACH | UnmountFlags::NOFOLLOW).map_err(failed),
        },
        Err(errno) => Err(failed(errno)),
    }
}
