//! Subvolumes by path.

use std::ffi::OsStr;
use std::os::fd::{AsFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::thread;
use std::time::{Duration, Instant};

use drax::btrfs as quotas;
use rustix::fs::{AtFlags, CWD, Timespec, Timestamps, statat, utimensat};
use rustix::io::Errno;

use crate::driver::filesystem::open;
use crate::sys::btrfs::{self, Identity};
use crate::sys::files;
use crate::sys::path_error::{OnPath, PathError};

/// Makes an empty subvolume, as a layer without parents finds it: its root changed last in 1970, unless the layer knows
/// better.
pub(super) fn create(path: &Path) -> Result<(), PathError> {
    let (parent, name) = split(path)?;
    btrfs::create_subvolume(parent.as_fd(), name).on("create subvolume", path)?;
    files::chmod_directory(path, 0o755)?;
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

/// Waits until the kernel has freed the space of all subvolumes deleted so far, but no longer than a patient user would.
/// By itself it begins with that up to half a minute later. What quota groups say of it is right then, too.
pub(super) fn wait_for_deletions(filesystem: &Path) -> Result<(), PathError> {
    const TIMEOUT: Duration = Duration::from_secs(20);
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
            Ok(true) if start.elapsed() < TIMEOUT => thread::sleep(Duration::from_millis(50)),
            other => {
                other.map_err(failed)?;
                return quotas::sync(directory.as_fd()).map_err(failed);
            }
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

/// Names of the subvolumes in `candidates` that the subvolume at `path` is a copy of, of those the one that the copy is a
/// copy of, and so on.
pub(super) fn origins(path: &Path, candidates: &Path) -> Result<Vec<String>, PathError> {
    let mut known = Vec::new();
    for name in files::names(candidates)? {
        let candidate = candidates.join(&name);
        if is_subvolume(&candidate)? {
            known.push((name, identity(&candidate)?));
        }
    }
    let mut origins = Vec::new();
    let mut parent = identity(path)?.parent;
    while let Some(at) = known.iter().position(|(_, known)| parent != [0; 16] && known.uuid == parent) {
        let (name, found) = known.swap_remove(at);
        origins.push(name);
        parent = found.parent;
    }
    Ok(origins)
}

fn identity(path: &Path) -> Result<Identity, PathError> {
    btrfs::identity(open(path)?.as_fd()).on("look at subvolume", path)
}

/// The directory around `path`, and the name it has there.
pub(super) fn split(path: &Path) -> Result<(OwnedFd, &OsStr), PathError> {
    let (Some(parent), Some(name)) = (path.parent(), path.file_name()) else {
        return Err(PathError::new("open", path, Errno::INVAL));
    };
    Ok((open(parent)?, name))
}
