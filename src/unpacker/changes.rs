//! What a container changed of its image: paths that it added, changed or deleted.
//!
//! On overlay the upper directory has it all. On btrfs the root filesystem is compared with the volume that it began as a
//! copy of: there a file that was not touched has the same inode number and the same time of its last change.

use std::collections::BTreeSet;
use std::ffi::{OsStr, OsString};
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::{Path, PathBuf};

use rustix::fs::{OFlags, Stat, fstat};

use super::whiteout::is_whiteout;
use super::{MergedView, attribute_ids};
use crate::archive::Xattr;
use crate::idmap::{IdError, IdMappings};
use crate::sys::path_error::{OnPath, PathError};
use crate::sys::{dirfd, xattr};

/// What became of a path.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum ChangeKind {
    /// The image has nothing there.
    Added,
    /// The image has something else there.
    Changed,
    /// Only the image has something there.
    Deleted,
}

/// One difference between a container and its image. Of a directory that was deleted nothing below it is told.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Change {
    /// The path, relative to the root.
    pub path: PathBuf,
    /// What became of it.
    pub kind: ChangeKind,
}

/// Among whose attributes an overlay keeps its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OverlayAttributes {
    /// `trusted.overlay.*`
    Trusted,
    /// `user.overlay.*`, as where it was mounted with `userxattr`
    User,
}

impl OverlayAttributes {
    fn prefix(self) -> &'static str {
        match self {
            OverlayAttributes::Trusted => "trusted.overlay.",
            OverlayAttributes::User => "user.overlay.",
        }
    }

    pub(super) fn get(self, file: impl AsFd, name: &str) -> io::Result<Option<Vec<u8>>> {
        xattr::get(file, OsStr::new(&format!("{}{name}", self.prefix())))
    }
}

/// Whether an extended attribute belongs to a file, wherever it is: not to the machine's security modules, and not to an
/// overlay, of which those in user namespaces, nested ones too, have theirs in `user.overlay.*`.
fn is_of_file(name: &OsStr) -> bool {
    let is_of_another = |prefix: &str| name.as_encoded_bytes().starts_with(prefix.as_bytes());
    !matches!(name.to_str(), Some("security.selinux" | "security.SMACK64" | "security.ima" | "security.evm"))
        && !["trusted.", "user.overlay.", "btrfs."].into_iter().any(is_of_another)
}

/// The changes in the upper directory of an overlay above `layers`, sorted by path. `ids` are from those of the layers on
/// disk to those of the upper directory.
///
/// # Errors
/// Those of the system calls, and for a directory that was renamed by a redirection, which only a mount can follow.
pub fn changes_of_upper(
    upper: BorrowedFd<'_>,
    layers: &mut MergedView<'_>,
    attributes: OverlayAttributes,
    ids: &IdMappings,
) -> Result<Vec<Change>, PathError> {
    let mut found = Vec::new();
    let mut pending = vec![(PathBuf::new(), false)];
    while let Some((path, hides_lower)) = pending.pop() {
        let directory = open_directory(upper, &path)?;
        let is = |name: &str, value: &[u8]| {
            Ok(attributes.get(&directory, name).on("read attribute of", &path)?.as_deref() == Some(value))
        };
        if attributes.get(&directory, "redirect").on("read attribute of", &path)?.is_some() {
            return Err(redirected(&path));
        }
        let hides_lower = hides_lower || is("opaque", b"y")?;
        let names: BTreeSet<OsString> = dirfd::names(&directory).on("read", &path)?.into_iter().collect();
        for name in &names {
            let Some(stat) = dirfd::stat_name(&directory, name).on("stat", path.join(name))? else { continue };
            let path = path.join(name);
            let below = layers.lookup(&path).on("stat", &path)?;
            let is_directory = dirfd::file_type(&stat).is_dir();
            let kind = match (&below, is_whiteout(&stat)) {
                (Some(_), true) => Some(ChangeKind::Deleted),
                (None, true) => None,
                (None, false) => Some(ChangeKind::Added),
                (Some(below), false) if is_directory && dirfd::file_type(&below.stat).is_dir() => {
                    let original = layers.open(below, OFlags::RDONLY | OFlags::DIRECTORY).on("open", &path)?;
                    let own = open_directory(upper, &path)?;
                    let differs = differ(&own, &original, ids).on("compare", &path)?;
                    differs.then_some(ChangeKind::Changed)
                }
                (Some(_), false) => Some(ChangeKind::Changed),
            };
            found.extend(kind.map(|kind| Change { path: path.clone(), kind }));
            if is_directory {
                pending.push((path, hides_lower));
            }
        }
        if hides_lower {
            layers
                .each_file(&path, |_, name, _| {
                    if !names.contains(name) {
                        found.push(Change { path: path.join(name), kind: ChangeKind::Deleted });
                    }
                    Ok::<(), io::Error>(())
                })
                .on("read", &path)?;
        }
    }
    found.sort();
    Ok(found)
}

/// The changes of `rootfs`, which began as a copy of `layer`, sorted by path.
///
/// # Errors
/// Those of the system calls.
pub fn changes_of_copy(rootfs: BorrowedFd<'_>, layer: BorrowedFd<'_>) -> Result<Vec<Change>, PathError> {
    let mut found = Vec::new();
    let mut pending = vec![(PathBuf::new(), true)];
    while let Some((path, has_original)) = pending.pop() {
        let own = open_directory(rootfs, &path)?;
        let original = has_original.then(|| open_directory(layer, &path)).transpose()?;
        let names = |directory: &OwnedFd| -> Result<BTreeSet<OsString>, PathError> {
            Ok(dirfd::names(directory).on("read", &path)?.into_iter().collect())
        };
        let theirs = original.as_ref().map(names).transpose()?.unwrap_or_default();
        for name in names(&own)?.union(&theirs) {
            let path = path.join(name);
            let stat = dirfd::stat_name(&own, name).on("stat", &path)?;
            let before = match &original {
                Some(original) => dirfd::stat_name(original, name).on("stat", &path)?,
                None => None,
            };
            let is_directory = |stat: &Stat| dirfd::file_type(stat).is_dir();
            let kind = match (&stat, &before) {
                (Some(stat), Some(before)) if !is_touched(stat, before) => None,
                (Some(stat), Some(before)) if is_directory(stat) && is_directory(before) => {
                    let (own, original) = (open_directory(rootfs, &path)?, open_directory(layer, &path)?);
                    let differs = differ(&own, &original, &IdMappings::identity()).on("compare", &path)?;
                    differs.then_some(ChangeKind::Changed)
                }
                (Some(_), Some(_)) => Some(ChangeKind::Changed),
                (Some(_), None) => Some(ChangeKind::Added),
                (None, Some(_)) => Some(ChangeKind::Deleted),
                (None, None) => None,
            };
            found.extend(kind.map(|kind| Change { path: path.clone(), kind }));
            if stat.as_ref().is_some_and(is_directory) {
                pending.push((path, before.as_ref().is_some_and(is_directory)));
            }
        }
    }
    found.sort();
    Ok(found)
}

/// Whether a file of a copy may have been changed, or is another one. Only the kernel sets the time of the last change.
fn is_touched(own: &Stat, original: &Stat) -> bool {
    own.st_ino != original.st_ino || (own.st_ctime, own.st_ctime_nsec) != (original.st_ctime, original.st_ctime_nsec)
}

/// Whether a layer says something else of two directories, the original's ids translated by `ids`. Otherwise one is but the
/// way to what has changed below it. Names that came or went show in its time of modification.
fn differ(own: &OwnedFd, original: &OwnedFd, ids: &IdMappings) -> io::Result<bool> {
    let (own_stat, mut original_stat) = (fstat(own)?, fstat(original)?);
    original_stat.st_uid = ids.uid(original_stat.st_uid).map_err(unmappable)?;
    original_stat.st_gid = ids.gid(original_stat.st_gid).map_err(unmappable)?;
    let facts = |stat: &Stat| (stat.st_mode, stat.st_uid, stat.st_gid, stat.st_mtime, stat.st_mtime_nsec);
    if facts(&own_stat) != facts(&original_stat) {
        return Ok(true);
    }
    Ok(attributes_of(own, &IdMappings::identity())? != attributes_of(original, ids)?)
}

/// The extended attributes that belong to an open file, sorted, with translated ids.
pub(super) fn attributes_of(file: impl AsFd, ids: &IdMappings) -> io::Result<Vec<Xattr>> {
    let mut names = xattr::list(file.as_fd())?;
    names.retain(|name| is_of_file(name));
    names.sort();
    let mut found = Vec::new();
    for name in names {
        let Some(value) = xattr::get(file.as_fd(), &name)? else { continue };
        let mut attribute = Xattr { name, value };
        attribute_ids::translate(&mut attribute, ids).map_err(unmappable)?;
        found.push(attribute);
    }
    Ok(found)
}

fn unmappable(error: IdError) -> io::Error {
    io::Error::other(error)
}

fn open_directory(root: BorrowedFd<'_>, path: &Path) -> Result<OwnedFd, PathError> {
    dirfd::resolve(root, path, OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW, within_root()).on("open", path)
}

/// Subvolumes in a root filesystem are directories of it.
pub(super) fn within_root() -> rustix::fs::ResolveFlags {
    use rustix::fs::ResolveFlags;
    ResolveFlags::BENEATH | ResolveFlags::NO_SYMLINKS | ResolveFlags::NO_MAGICLINKS
}

fn redirected(path: &Path) -> PathError {
    let reason = "it was renamed by a redirection of the overlay (redirect_dir), which is not followed";
    PathError::new("compare", path, io::Error::other(reason))
}
