//! Unmounting an image, whoever mounted it.

use std::ffi::OsStr;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::time::Duration;

use rustix::fs::{CWD, Mode, OFlags, openat};
use rustix::io::Errno;
use rustix::mount::{UnmountFlags, unmount as umount2};

use super::Error;
use crate::sys::descriptors;
use crate::sys::files;
use crate::sys::mount_point;
use crate::sys::path_error::{OnPath, PathError, named};

/// Where an image's root filesystem is mounted.
const ROOTFS: &str = "rootfs";

/// How long a look at a root filesystem may take, and a process that was forked with a file of it open to close that.
const LOOKING: Duration = Duration::from_millis(200);

/// What becomes of a root filesystem that a process uses.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum InUse {
    /// It goes from the tree of directories; the process may keep it.
    Detach,
    /// It stays, and the unmount fails.
    Refuse,
}

/// Unmounts the root filesystem of the image at `path`. What is no directory has nothing
/// mounted in it: a link may lead to somebody else's.
///
/// Whatever else is mounted below the image stays, and stops the removal: it is somebody's data.
pub(super) fn unmount(path: &Path, shown: &Path, in_use: InUse) -> Result<(), Error> {
    let shown = &named(shown);
    let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let directory = match openat(CWD, path, flags, Mode::empty()) {
        Err(Errno::LOOP | Errno::NOTDIR) => return Ok(()),
        opened => opened.on("open", path)?,
    };
    // From here on it is the same directory, whatever is made of its name.
    let image = descriptors::name_of(&directory);
    if let Some(below) = first_other_mount(&image)? {
        return Err(Error::mounted_below(shown, &below));
    }
    let rootfs = image.join(ROOTFS);
    let failed =
        |errno| Error::Unmount(shown.display().to_string(), PathError::new("umount", shown.join(ROOTFS), errno));
    let limit = if in_use == InUse::Refuse { LOOKING } else { Duration::ZERO };
    match mount_point::unmount_within(limit, &rootfs) {
        Ok(()) | Err(Errno::INVAL | Errno::NOENT) => Ok(()),
        Err(Errno::PERM) if !mount_point::is_mount_point(&rootfs)? => Ok(()),
        // Either a process uses it, which may keep it, or something is mounted in it.
        Err(Errno::BUSY) => match mount_point::below(&path.join(ROOTFS))?.into_iter().next() {
            Some(below) => Err(Error::mounted_below(shown, &Path::new(ROOTFS).join(below))),
            None if in_use == InUse::Refuse => Err(Error::InUse(shown.join(ROOTFS).display().to_string())),
            None => umount2(&rootfs, UnmountFlags::DETACH | UnmountFlags::NOFOLLOW).map_err(failed),
        },
        Err(errno) => Err(failed(errno)),
    }
}

/// The first mount in the image beside that of its root filesystem and those in it, relative to the image.
///
/// The kernel's list of mounts is as long as there are mounted images, so it is read only where there can be one: deeper
/// than in the image's own directory, below what a container or its maker has written.
fn first_other_mount(image: &Path) -> Result<Option<PathBuf>, PathError> {
    let mut has_content = false;
    let mut rootfs_is_mounted = false;
    for entry in files::entry_names(image)? {
        let inside = image.join(&entry);
        let is_mount_point = mount_point::is_mount_point(&inside)?;
        if is_mount_point && entry != ROOTFS {
            return Ok(Some(entry.into()));
        }
        rootfs_is_mounted |= is_mount_point;
        has_content |= !is_mount_point && holds_files(&entry) && !is_empty(&inside)?;
    }
    if !has_content {
        return Ok(None);
    }
    let is_root_s = |below: &PathBuf| rootfs_is_mounted && below.starts_with(ROOTFS);
    Ok(mount_point::below(image)?.into_iter().find(|below| !is_root_s(below)))
}

/// Whether an entry of an image's directory can be one with files of a container: neither the kernel's own nor a record.
fn holds_files(entry: &OsStr) -> bool {
    entry != "workdir" && !entry.as_encoded_bytes().starts_with(b"image_")
}

fn is_empty(path: &Path) -> Result<bool, PathError> {
    match files::entry_names(path) {
        Ok(names) => Ok(names.is_empty()),
        Err(error) => match error.kind() {
            ErrorKind::NotADirectory | ErrorKind::NotFound => Ok(true),
            // Whoever may not look into it may find out from the list.
            ErrorKind::PermissionDenied => Ok(false),
            _ if error.raw_os_error() == Some(libc::ELOOP) => Ok(true),
            _ => Err(error),
        },
    }
}
