//! What filesystems under a store have in common, whatever their kind: made in a file, mounted, checked.

use std::ffi::CStr;
use std::fs::{File, Metadata};
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use rustix::fs::{CWD, Mode, OFlags, openat, statfs};
use rustix::io::Errno;
use rustix::mount::{MountFlags, mount};

use crate::layout::Layout;
use crate::sys::files;
use crate::sys::loop_device::{self, LoopDevice};
use crate::sys::path_error::{OnPath, PathError};
use crate::sys::spawning;

/// Why a filesystem could not be made, mounted or used.
#[derive(Debug, thiserror::Error)]
pub enum FilesystemError {
    /// `mkfs` failed or is missing.
    #[error("Formatting {kind} filesystem: {reason}")]
    Format {
        /// The filesystem as its name is written.
        kind: &'static str,
        /// What `mkfs` said.
        reason: String,
    },
    /// The filesystem could not be mounted.
    #[error("Mounting filesystem: {0}{1}")]
    Mount(PathError, &'static str),
    /// The file that the filesystem is in has lost its end.
    #[error(
        "Mounting filesystem: the file {path} has {actual} bytes and the filesystem in it {wanted}: it has been cut short, \
         or not copied to its end; get the whole file back"
    )]
    CutShort {
        /// The file.
        path: String,
        /// Its size.
        actual: u64,
        /// What it should be, at least.
        wanted: u64,
    },
    /// The path is on a filesystem of another kind.
    #[error("Store path filesystem ({0}) is incompatible with requested driver")]
    Incompatible(String),
    /// Limits cannot be enforced.
    #[error(
        "disk limits cannot be enforced in {path}: {reason}. Use a kernel and a mount that have them, or \
         init-store --without-quota (config: init.without_quota) for a store without limits"
    )]
    NoQuota {
        /// The store.
        path: String,
        /// What is missing.
        reason: &'static str,
    },
    /// Direct I/O could not be switched.
    #[error("enabling direct-io on {0}")]
    DirectIo(PathError),
    /// A path could not be worked on.
    #[error(transparent)]
    Path(#[from] PathError),
}

/// The kind of filesystem that a driver works on.
pub(super) struct FilesystemKind {
    /// As users write it.
    pub(super) name: &'static str,
    /// As mount(8) writes it.
    pub(super) mount_type: &'static str,
    /// `f_type` of statfs(2).
    pub(super) magic: i64,
    /// The program that makes one, and the package that has the program.
    pub(super) mkfs: &'static str,
    pub(super) package: &'static str,
    /// What to do about one that cannot be mounted because it is damaged.
    pub(super) damaged: &'static str,
    pub(super) missing_in_kernel: &'static str,
    /// Reads from the superblock in a file how many bytes the filesystem takes.
    pub(super) size: fn(&File) -> io::Result<u64>,
}

impl FilesystemKind {
    /// Makes a filesystem in an empty file. `mkfs` is not told to use force, so that it refuses what holds data.
    pub(super) fn format(&self, directory: Option<&Path>, backing: &Path) -> Result<(), FilesystemError> {
        let failed = |reason| FilesystemError::Format { kind: self.name, reason };
        let program = directory.map_or_else(|| PathBuf::from(self.mkfs), |directory| directory.join(self.mkfs));
        let output = spawning::program(&program).arg("-q").arg(backing).output().map_err(|e| match e.kind() {
            io::ErrorKind::NotFound if directory.is_none() => {
                failed(format!("{} was not found in the $PATH: install {}", self.mkfs, self.package))
            }
            _ => failed(PathError::new("run", &program, e).to_string()),
        })?;
        if output.status.success() {
            return Ok(());
        }
        let said = String::from_utf8_lossy(&output.stderr);
        Err(failed(format!("{}: {}", output.status, first_line(&said).unwrap_or("it gave no reason"))))
    }

    /// Checks that `path` is on a filesystem of this kind.
    pub(super) fn validate(&self, path: &Path) -> Result<(), FilesystemError> {
        let status = statfs(path).on("Failed to detect type of filesystem: statfs", path)?;
        if status.f_type as i64 == self.magic {
            return Ok(());
        }
        Err(FilesystemError::Incompatible(path.display().to_string()))
    }

    /// Mounts `device` on `target`.
    pub(super) fn mount(&self, device: &LoopDevice, target: &Path, options: Option<&CStr>) -> Result<(), Errno> {
        mount(device.path(), target, self.mount_type, MountFlags::NOATIME, options)
    }

    /// What the user is told of a failed mount of the file `backing`.
    pub(super) fn mount_error(&self, backing: &Path, target: &Path, errno: Errno) -> FilesystemError {
        if let Some(cut_short) = self.cut_short(backing) {
            return cut_short;
        }
        let advice = match errno {
            Errno::UCLEAN => self.damaged,
            Errno::NODEV => self.missing_in_kernel,
            _ => "",
        };
        FilesystemError::Mount(PathError::new("mount", target, errno), advice)
    }

    fn cut_short(&self, backing: &Path) -> Option<FilesystemError> {
        let file = File::open(backing).ok()?;
        let metadata = file.metadata().ok().filter(Metadata::is_file)?;
        let (actual, wanted) = (metadata.len(), (self.size)(&file).ok()?);
        let path = backing.display().to_string();
        (actual < wanted).then_some(FilesystemError::CutShort { path, actual, wanted })
    }
}

/// The bytes of a number at a place of a file.
pub(super) fn bytes_at<const N: usize>(file: &File, offset: u64) -> io::Result<[u8; N]> {
    let mut bytes = [0; N];
    file.read_exact_at(&mut bytes, offset)?;
    Ok(bytes)
}

/// mkfs prints its usage after the reason.
fn first_line(text: &str) -> Option<&str> {
    text.lines().map(str::trim).find(|line| !line.is_empty())
}

/// Switches direct I/O of the loop device of the store's backing file, if it has one.
pub(super) fn set_direct_io(layout: &Layout, on: bool) -> Result<(), FilesystemError> {
    let Some(device) = loop_device::of_file(&layout.backing_file())? else { return Ok(()) };
    if device.direct_io == on {
        return Ok(());
    }
    let opened = File::open(&device.node).on("open", &device.node)?;
    loop_device::set_direct_io(opened.as_fd(), on)
        .map_err(|e| FilesystemError::DirectIo(PathError::new("ioctl", &device.node, e)))
}

/// Opens a directory of a store.
pub(super) fn open(directory: &Path) -> Result<OwnedFd, PathError> {
    files::open_directory(directory)
}

/// Opens a store itself, the path of which may be a link.
pub(super) fn open_store(directory: &Path) -> Result<OwnedFd, PathError> {
    openat(CWD, directory, DIRECTORY, Mode::empty()).on("open", directory)
}

const DIRECTORY: OFlags = OFlags::RDONLY.union(OFlags::DIRECTORY).union(OFlags::CLOEXEC);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn mkfs_is_quoted_without_its_usage() {
        assert_eq!(first_line("\nsize too small\nUsage: mkfs.xfs\n"), Some("size too small"));
    }
}
