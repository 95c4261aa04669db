//! Moving files between the directories of a store.
//!
//! A directory of XFS can hand the project it is in to whatever is made in it (`FS_XFLAG_PROJINHERIT`), and then takes
//! nothing by rename(2) that is in another project: `EXDEV`, as between filesystems. Stores below such a directory, of
//! which they inherit the flag, have images with projects of their own. They move all the same, in one of two ways.

use std::fs::{File, OpenOptions};
use std::io;
use std::os::fd::AsFd;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use drax::xfs;
use rustix::fs::{RenameFlags, lstat, renameat, renameat_with};
use rustix::io::Errno;

use super::descriptors;

/// Renames `from` to `to`. If `to` is in a directory that hands down another project, `from` joins that project; what is
/// in it stays where it is.
///
/// # Errors
/// Those of rename(2).
pub fn rename(from: &Path, to: &Path) -> io::Result<()> {
    let rename = || {
        let ((from_directory, from), (to_directory, to)) = (descriptors::at(from), descriptors::at(to));
        renameat(from_directory, from, to_directory, to)
    };
    match rename() {
        Err(Errno::XDEV) if join_project_around(to, from) => Ok(rename()?),
        renamed => Ok(renamed?),
    }
}

/// Renames `from` to `to`, where there is nothing, with the project that it has. If `to` is in a directory that hands down
/// another project, that one no longer does.
///
/// # Errors
/// Those of renameat2(2) with `RENAME_NOREPLACE`.
pub fn rename_with_project(from: &Path, to: &Path) -> Result<(), Errno> {
    let rename = || rename_to_nothing(from, to);
    match rename() {
        Err(Errno::XDEV) if stop_handing_down_around(to) => rename(),
        renamed => renamed,
    }
}

fn rename_to_nothing(from: &Path, to: &Path) -> Result<(), Errno> {
    let ((from_directory, old), (to_directory, new)) = (descriptors::at(from), descriptors::at(to));
    match renameat_with(from_directory, old, to_directory, new, RenameFlags::NOREPLACE) {
        // Kernels before 3.15, and filters of system calls that do not know it. The name is locked, so that nobody
        // takes it meanwhile.
        Err(Errno::NOSYS | Errno::PERM) => match lstat(to) {
            Ok(_) => Err(Errno::EXIST),
            Err(Errno::NOENT) => rustix::fs::rename(from, to),
            Err(errno) => Err(errno),
        },
        renamed => renamed,
    }
}

fn join_project_around(to: &Path, file: &Path) -> bool {
    let joined =
        parent(to).and_then(|directory| xfs::join_project(open(file)?.as_fd(), directory.as_fd()).map_err(system));
    log(joined, "joining-project-failed")
}

fn stop_handing_down_around(to: &Path) -> bool {
    let stopped = parent(to).and_then(|directory| xfs::stop_handing_down(directory.as_fd()).map_err(system));
    log(stopped, "clearing-project-inheritance-failed")
}

/// That it could not be done is told by the error of the rename.
fn log(changed: io::Result<bool>, failure: &'static str) -> bool {
    changed.unwrap_or_else(|error| {
        tracing::info!(%error, "{failure}");
        false
    })
}

fn parent(path: &Path) -> io::Result<File> {
    open(path.parent().ok_or(Errno::INVAL)?)
}

/// Neither a link is followed nor a pipe waited for, should the store's owner have put one there.
fn open(path: &Path) -> io::Result<File> {
    let flags = if descriptors::is_name(path) { libc::O_NONBLOCK } else { libc::O_NOFOLLOW | libc::O_NONBLOCK };
    OpenOptions::new().read(true).custom_flags(flags).open(path)
}

fn system(error: drax::Error) -> io::Error {
    io::Error::from_raw_os_error(error.errno())
}
