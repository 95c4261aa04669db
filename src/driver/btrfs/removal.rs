//! Removing subvolumes, whatever has been done to them and in them.
//!
//! As a rule a subvolume goes in one step, and before it, likewise, those inside it, which containers make like
//! directories. Where the kernel refuses that, it goes file by file as a directory does. That takes longer and less: no
//! mount option, no right to write in directories, and what stands in the way on one file has a path to be told.

use std::ffi::OsStr;
use std::fs::{self, Permissions};
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use drax::btrfs as quotas;
use rustix::fs::{CWD, FileType, IFlags, Mode, OFlags, fstat, ioctl_getflags, ioctl_setflags, openat};
use rustix::io::Errno;

use super::subvolumes::{is_subvolume, split};
use crate::driver::filesystem::open;
use crate::sys::btrfs;
use crate::sys::descriptors;
use crate::sys::dirfd;
use crate::sys::path_error::{OnPath, PathError, named};
use crate::sys::remove_tree::remove_tree;

/// Obstacles that one removal takes out of its way. More are somebody's who puts up new ones meanwhile.
const MOST_OBSTACLES: usize = 10_000;

/// Removes the subvolume, directory or file at `path` and all that is inside. One that is gone is no error.
pub(super) fn remove(path: &Path) -> Result<(), PathError> {
    if is_subvolume(path)? {
        match remove_at_once(path) {
            Err(error) if is_refused(&error) => tracing::info!(%error, "removing-file-by-file"),
            removed => return removed,
        }
    }
    remove_file_by_file(path)
}

/// Removes the subvolume at `path` in one step, and before it those inside it.
pub(super) fn remove_at_once(path: &Path) -> Result<(), PathError> {
    let (parent, name) = split(path)?;
    let remove = || match btrfs::remove_subvolume(parent.as_fd(), name) {
        Err(e) if is(&e, Errno::NOENT) => Ok(()),
        removed => removed,
    };
    let removed = match remove() {
        // An ordinary user has to be let write to its top.
        Err(e) if is(&e, Errno::ACCESS) && let_owner_write(&parent, name).is_ok() => remove(),
        removed => removed,
    };
    match removed {
        Err(e) if is(&e, Errno::NOTEMPTY) => {
            remove_nested(path, &parent)?;
            remove().on("delete subvolume", path)
        }
        removed => removed.on("delete subvolume", path),
    }
}

fn let_owner_write(parent: &OwnedFd, name: &OsStr) -> io::Result<()> {
    let found = dirfd::open_beneath(parent, Path::new(name), OFlags::PATH | OFlags::DIRECTORY)?;
    fs::set_permissions(descriptors::name_of(&found), Permissions::from_mode(0o700))
}

fn is(error: &io::Error, errno: Errno) -> bool {
    error.raw_os_error() == Some(errno.raw_os_error())
}

/// Whether what could not be done at once may be done file by file.
fn is_refused(error: &PathError) -> bool {
    const REFUSALS: [Errno; 8] = [
        Errno::ACCESS,
        Errno::PERM,
        Errno::ROFS,
        Errno::DQUOT,
        // Something inside is out of sight, or has been moved there this moment.
        Errno::NOTEMPTY,
        Errno::NAMETOOLONG,
        Errno::STALE,
        Errno::MFILE,
    ];
    REFUSALS.iter().any(|errno| error.raw_os_error() == Some(errno.raw_os_error()))
}

/// Removes the subvolumes inside the one at `path`. `outside` is a directory around it.
fn remove_nested(path: &Path, outside: &OwnedFd) -> Result<(), PathError> {
    const OPERATION: &str = "delete the subvolumes in";
    let subvolume = open(path)?;
    let system = |error: drax::Error| io::Error::from_raw_os_error(error.errno());
    match remove_all_inside(&subvolume) {
        Err(e) if is(&e, Errno::ROFS) => {
            make_all_writable(&subvolume).and_then(|()| remove_all_inside(&subvolume)).on(OPERATION, path)
        }
        // The limits of the image are off already: its container made some of its own.
        Err(e) if is(&e, Errno::DQUOT) => {
            unlimit_all_inside(&subvolume, outside).map_err(system).on(OPERATION, path)?;
            remove_all_inside(&subvolume).on(OPERATION, path)
        }
        removed => removed.on(OPERATION, path),
    }
}

/// By number, so that nobody's rename matters, or, where that is not allowed, by name.
fn remove_all_inside(subvolume: &OwnedFd) -> io::Result<()> {
    let system = |error: drax::Error| io::Error::from_raw_os_error(error.errno());
    match ids_inside(subvolume) {
        Ok(ids) => ids.iter().try_for_each(|id| match btrfs::remove_subvolume_by_id(subvolume.as_fd(), *id) {
            Err(e) if is(&e, Errno::NOENT) => Ok(()),
            removed => removed,
        }),
        Err(error) if error.errno() == libc::EPERM => {
            let nested = quotas::nested_subvolumes(subvolume.as_fd()).map_err(system)?;
            nested.iter().try_for_each(|nested| remove_below(subvolume, &nested.path))
        }
        Err(error) => Err(system(error)),
    }
}

/// Children before their parents.
fn ids_inside(subvolume: &OwnedFd) -> Result<Vec<u64>, drax::Error> {
    quotas::nested_subvolume_ids(subvolume.as_fd(), quotas::subvolume_id(subvolume.as_fd())?)
}

fn remove_below(root: &OwnedFd, path: &Path) -> io::Result<()> {
    let (Some(parent), Some(name)) = (path.parent(), path.file_name()) else { return Err(Errno::INVAL.into()) };
    let parent = dirfd::open_beneath(root, parent, OFlags::RDONLY | OFlags::DIRECTORY)?;
    btrfs::remove_subvolume(parent.as_fd(), name)
}

/// None can be removed from a read-only subvolume, and by its owner, who is not root, no read-only one.
fn make_all_writable(subvolume: &OwnedFd) -> io::Result<()> {
    btrfs::make_writable(subvolume.as_fd())?;
    let nested = quotas::nested_subvolumes(subvolume.as_fd());
    for nested in nested.map_err(|error| io::Error::from_raw_os_error(error.errno()))? {
        let nested = dirfd::open_beneath(subvolume, &nested.path, OFlags::RDONLY | OFlags::DIRECTORY)?;
        btrfs::make_writable(nested.as_fd())?;
    }
    Ok(())
}

fn unlimit_all_inside(subvolume: &OwnedFd, outside: &OwnedFd) -> Result<(), drax::Error> {
    ids_inside(subvolume)?.iter().try_for_each(|id| quotas::unlimit(outside.as_fd(), *id))
}

/// Removes what is at `path` as any directory tree, with whatever subvolumes are in it: an empty one goes like an empty
/// directory (kernel 4.18).
fn remove_file_by_file(path: &Path) -> Result<(), PathError> {
    for _ in 0..MOST_OBSTACLES {
        let Err(error) = remove_tree(path) else { return Ok(()) };
        if !remove_obstacle(path, &error) {
            return Err(error);
        }
    }
    remove_tree(path)
}

/// Changes what has kept `error`'s path, which is at or below `top`, from being removed. Returns whether there was
/// anything to be changed.
fn remove_obstacle(top: &Path, error: &PathError) -> bool {
    let Some(around) = top.parent() else { return false };
    let Ok(below) = error.path().strip_prefix(named(around)) else { return false };
    let Ok(around) = open(around) else { return false };
    // Not the directory around it, which is nothing of what is to be removed.
    let ways: Vec<PathBuf> = below.ancestors().filter(|way| !way.as_os_str().is_empty()).map(Path::to_owned).collect();
    match error.raw_os_error().map(Errno::from_raw_os_error) {
        // The nearest subvolume is the one that is read-only.
        Some(Errno::ROFS) => ways.iter().any(|way| make_writable(&around, way).unwrap_or(false)),
        // One that may not be removed, or the directory it is in.
        Some(Errno::PERM) => ways.iter().take(2).filter(|way| make_mutable(&around, way).unwrap_or(false)).count() > 0,
        _ => false,
    }
}

fn make_writable(around: &OwnedFd, way: &Path) -> io::Result<bool> {
    let directory = dirfd::open_beneath(around, way, OFlags::RDONLY | OFlags::DIRECTORY)?;
    if btrfs::is_subvolume(&fstat(&directory)?) { btrfs::make_writable(directory.as_fd()) } else { Ok(false) }
}

/// Clears the attributes `i` and `a` of chattr(1), which only root can.
fn make_mutable(around: &OwnedFd, way: &Path) -> io::Result<bool> {
    let found = dirfd::open_beneath(around, way, OFlags::PATH)?;
    // To open anything else might set something off.
    if !matches!(dirfd::file_type(&fstat(&found)?), FileType::RegularFile | FileType::Directory) {
        return Ok(false);
    }
    let file = openat(CWD, descriptors::name_of(&found), OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty())?;
    let (flags, fixed) = (ioctl_getflags(&file)?, IFlags::IMMUTABLE | IFlags::APPEND);
    if !flags.intersects(fixed) {
        return Ok(false);
    }
    ioctl_setflags(&file, flags - fixed)?;
    Ok(true)
}
