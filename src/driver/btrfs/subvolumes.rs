//! Subvolumes by path.

use std::ffi::OsStr;
use std::fs::{self, Permissions};
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::thread;
use std::time::{Duration, Instant};

use drax::btrfs as quotas;
use rustix::fs::{AtFlags, CWD, OFlags, Timespec, Timestamps, statat, utimensat};
use rustix::io::Errno;

use crate::driver::filesystem::open;
use crate::sys::btrfs::{self, Identity};
use crate::sys::dirfd;
use crate::sys::files;
use crate::sys::path_error::{OnPath, PathError};

/// Makes an empty subvolume, as a layer without parents finds it: its root changed last in 1970, unless the layer knows
/// better.
pub(super) fn create(path: &Path) -> Result<(), PathError> {
    let (parent, name) = split(path)?;
    btrfs::create_subvolume(parent.as_fd(), name).on("create subvolume", path)?;
    fs::set_permissions(path, Permissions::from_mode(0o755)).on("chmod", path)?;
    let epoch = Timespec { tv_sec: 0, tv_nsec: 0 };
    let times = Timestamps { last_access: epoch, last_modification: epoch };
    utimensat(CWD, path, &times, AtFlags::SYMLINK_NOFOLLOW).on("set the times of", path)
}

/// Makes a writable copy of the subvolume `source`.
pub(super) fn snapshot(source: &Path, path: &Path) -> Result<(), PathError> {
    let (parent, name) = split(path)?;
    let source = open(source)?;
    btrfs::create_snapshot(source.as_fd(), parent.as_fd(), name).on("create snapshot", path)
}

/// Whether there is a subvolume at `path`.
pub(super) fn is_subvolume(path: &Path) -> Result<bool, PathError> {
    match statat(CWD, path, AtFlags::SYMLINK_NOFOLLOW) {
        Ok(stat) => Ok(btrfs::is_subvolume(&stat)),
        Err(Errno::NOENT) => Ok(false),
        Err(errno) => Err(PathError::new("stat", path, errno)),
    }
}

/// Removes the subvolume at `path` and all that are inside it. One that is gone is no error.
pub(super) fn remove(path: &Path) -> Result<(), PathError> {
    let (parent, name) = split(path)?;
    let remove = || match btrfs::remove_subvolume(parent.as_fd(), name) {
        Err(e) if e.raw_os_error() == Some(libc::ENOENT) => Ok(()),
        removed => removed,
    };
    match remove() {
        // A container makes subvolumes like directories.
        Err(e) if e.raw_os_error() == Some(libc::ENOTEMPTY) => {
            remove_nested(path)?;
            remove().on("delete subvolume", path)
        }
        removed => removed.on("delete subvolume", path),
    }
}

/// Removes the subvolumes inside the one at `path`: by number, so that nobody's rename matters, or, where that is not
/// allowed, by name.
fn remove_nested(path: &Path) -> Result<(), PathError> {
    const OPERATION: &str = "delete the subvolumes in";
    let subvolume = open(path)?;
    let system = |error: drax::Error| PathError::new(OPERATION, path, Errno::from_raw_os_error(error.errno()));
    let by_id =
        quotas::subvolume_id(subvolume.as_fd()).and_then(|id| quotas::nested_subvolume_ids(subvolume.as_fd(), id));
    match by_id {
        Ok(ids) => ids.iter().try_for_each(|id| match btrfs::remove_subvolume_by_id(subvolume.as_fd(), *id) {
            Err(e) if e.raw_os_error() == Some(libc::ENOENT) => Ok(()),
            removed => removed.on(OPERATION, path),
        }),
        Err(error) if error.errno() == libc::EPERM => {
            let nested = quotas::nested_subvolumes(subvolume.as_fd()).map_err(system)?;
            nested.iter().try_for_each(|nested| remove_below(&subvolume, &nested.path).on(OPERATION, path))
        }
        Err(error) => Err(system(error)),
    }
}

fn remove_below(root: &OwnedFd, path: &Path) -> io::Result<()> {
    let (Some(parent), Some(name)) = (path.parent(), path.file_name()) else { return Err(Errno::INVAL.into()) };
    let parent = dirfd::open_beneath(root, parent, OFlags::RDONLY | OFlags::DIRECTORY)?;
    btrfs::remove_subvolume(parent.as_fd(), name)
}

/// Waits until the kernel has freed the space of all subvolumes deleted so far, but no longer than a patient user would.
/// By itself it begins with that up to half a minute later.
pub(super) fn wait_for_deletions(filesystem: &Path) -> Result<(), PathError> {
    const PATIENCE: Duration = Duration::from_secs(20);
    let directory = open(filesystem)?;
    let failed = |error: drax::Error| {
        PathError::new("wait for deleted subvolumes of", filesystem, Errno::from_raw_os_error(error.errno()))
    };
    let start = Instant::now();
    loop {
        // It is a commit that sets the kernel to work.
        quotas::sync(directory.as_fd()).map_err(failed)?;
        match quotas::has_deleted_subvolumes(directory.as_fd()) {
            // Only root can know.
            Err(error) if error.errno() == libc::EPERM => return Ok(()),
            Ok(true) if start.elapsed() < PATIENCE => thread::sleep(Duration::from_millis(50)),
            other => return other.map(drop).map_err(failed),
        }
    }
}

/// The one of the subvolumes in `candidates` that the subvolume at `path` is a copy of.
pub(super) fn origin(path: &Path, candidates: &Path) -> Result<Option<PathBuf>, PathError> {
    let parent = identity(path)?.parent;
    for name in files::names(candidates)? {
        let candidate = candidates.join(name);
        if parent != [0; 16] && is_subvolume(&candidate)? && identity(&candidate)?.uuid == parent {
            return Ok(Some(candidate));
        }
    }
    Ok(None)
}

fn identity(path: &Path) -> Result<Identity, PathError> {
    btrfs::identity(open(path)?.as_fd()).on("look at subvolume", path)
}

fn split(path: &Path) -> Result<(OwnedFd, &OsStr), PathError> {
    let (Some(parent), Some(name)) = (path.parent(), path.file_name()) else {
        return Err(PathError::new("open", path, Errno::INVAL));
    };
    Ok((open(parent)?, name))
}
