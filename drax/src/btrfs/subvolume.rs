//! Subvolumes and those that lie in them.

use super::{ROOT_TREE, is};
use crate::error::{Error, Operation, Result};
use crate::sys::{self, SubvolumeReference, TreeKey};
use std::collections::BTreeSet;
use std::ffi::OsString;
use std::fs::File;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStringExt;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

/// `BTRFS_ROOT_ITEM_KEY`. The offset of a snapshot's is the transaction it was made in.
const ROOT_ITEM: u32 = 132;
/// `BTRFS_ROOT_REF_KEY`: the object is the parent, the offset the child.
const ROOT_REF: u32 = 156;

/// A subvolume somewhere below another one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NestedSubvolume {
    /// Its id.
    pub id: u64,
    /// Its path, relative to that other one.
    pub path: PathBuf,
}

/// The id of the subvolume that `file` is in. Needs no privilege; fails with `ENOTTY` on other filesystems.
pub fn subvolume_id(file: BorrowedFd<'_>) -> Result<u64> {
    sys::subvolume_of(file).map_err(Error::during(Operation::GetSubvolumeId))
}

/// Whether a directory is a subvolume, and not just in one.
pub fn is_subvolume(directory: BorrowedFd<'_>) -> Result<bool> {
    is_top(directory).map_err(Error::during(Operation::GetSubvolumeId))
}

fn is_top(directory: BorrowedFd<'_>) -> io::Result<bool> {
    /// `f_type` of btrfs in `statfs(2)`.
    const BTRFS_MAGIC: u32 = 0x9123_683e;
    /// `BTRFS_FIRST_FREE_OBJECTID`
    const TOP: u64 = 256;
    let metadata = File::from(directory.try_clone_to_owned()?).metadata()?;
    Ok(metadata.is_dir() && metadata.ino() == TOP && sys::filesystem_magic(directory)? == BTRFS_MAGIC)
}

/// All subvolumes below `subvolume`, children before their parents, with their paths.
///
/// Needs no privilege. Where a directory on the way may not be read and searched it fails with `EACCES`; where a path is
/// longer than 3823 bytes from one subvolume to the next, with `ENAMETOOLONG`; and it holds one descriptor a level. Who
/// cannot have that asks for [`nested_subvolume_ids`].
pub fn nested_subvolumes(subvolume: BorrowedFd<'_>) -> Result<Vec<NestedSubvolume>> {
    let mut found = Vec::new();
    walk(subvolume, Path::new(""), &mut found, &|_| false).map_err(Error::during(Operation::ListSubvolumes))?;
    Ok(found)
}

/// All subvolumes below `directory`, which may be a plain one, children before their parents, with their paths: those of
/// them that the caller may see, for the kernel does not tell what is out of reach from what is elsewhere.
pub fn visible_subvolumes(directory: BorrowedFd<'_>) -> Result<Vec<NestedSubvolume>> {
    let is_out_of_sight = |error: &io::Error| is(error, libc::EACCES) || is(error, libc::ENOENT);
    let mut found = Vec::new();
    walk(directory, Path::new(""), &mut found, &is_out_of_sight).map_err(Error::during(Operation::ListSubvolumes))?;
    Ok(found)
}

fn walk(
    parent: BorrowedFd<'_>,
    path: &Path,
    found: &mut Vec<NestedSubvolume>,
    is_skipped: &dyn Fn(&io::Error) -> bool,
) -> io::Result<()> {
    let mut first = 0;
    loop {
        let (children, has_more) = sys::child_subvolumes(parent, first)?;
        for child in &children {
            let (name, directory) = match open_child(parent, *child) {
                Err(error) if is_skipped(&error) => continue,
                other => other?,
            };
            let path = path.join(name);
            walk(directory.as_fd(), &path, found, is_skipped)?;
            found.push(NestedSubvolume { id: child.subvolume, path });
        }
        match children.last() {
            Some(last) if has_more => first = last.subvolume + 1,
            _ => return Ok(()),
        }
    }
}

/// The path of a child, and the child. One that has been moved since its path was looked up is `ESTALE`.
fn open_child(parent: BorrowedFd<'_>, child: SubvolumeReference) -> io::Result<(PathBuf, OwnedFd)> {
    let path = PathBuf::from(OsString::from_vec(sys::path_of_child(parent, child)?));
    let directory = sys::open_below(parent, &path, libc::O_RDONLY | libc::O_DIRECTORY)?;
    if sys::subvolume_of(directory.as_fd())? == child.subvolume {
        return Ok((path, directory));
    }
    Err(io::Error::from_raw_os_error(libc::ESTALE))
}

/// The ids of all subvolumes below the one with id `subvolume`, children before their parents, wherever they lie. Needs
/// `CAP_SYS_ADMIN`.
pub fn nested_subvolume_ids(fs: BorrowedFd<'_>, subvolume: u64) -> Result<Vec<u64>> {
    let mut ids = vec![subvolume];
    let mut next = 0;
    // Each is listed after its parent, so that the reverse has children first.
    while let Some(parent) = ids.get(next).copied() {
        ids.extend(child_ids(fs, parent).map_err(Error::during(Operation::ListSubvolumes))?);
        next += 1;
    }
    Ok(ids.into_iter().skip(1).rev().collect())
}

/// Whether there are subvolumes in those that lie in the one of `fs`. Needs `CAP_SYS_ADMIN`.
///
/// One call for about thirty subvolumes of the filesystem.
pub fn has_grandchildren(fs: BorrowedFd<'_>) -> Result<bool> {
    let parent = subvolume_id(fs)?;
    let references = items_of_subvolumes(fs, ROOT_REF).map_err(Error::during(Operation::ListSubvolumes))?;
    let children: BTreeSet<u64> = references.iter().filter(|key| key.object == parent).map(|key| key.offset).collect();
    Ok(references.iter().any(|key| children.contains(&key.object)))
}

/// Whether there is a subvolume of this id; also true of one that is deleted but not yet dropped.
pub(super) fn exists(fs: BorrowedFd<'_>, id: u64) -> io::Result<bool> {
    let first = TreeKey { object: id, kind: ROOT_ITEM, offset: 0 };
    Ok(!sys::search_tree(fs, ROOT_TREE, first, TreeKey { offset: u64::MAX, ..first }, 1)?.is_empty())
}

/// The ids of all subvolumes of the filesystem, with those that are deleted but not yet dropped. One call for about thirty.
pub(super) fn all_ids(fs: BorrowedFd<'_>) -> io::Result<BTreeSet<u64>> {
    Ok(items_of_subvolumes(fs, ROOT_ITEM)?.into_iter().map(|key| key.object).collect())
}

/// Where the items of one kind are that the tree of roots has of subvolumes.
fn items_of_subvolumes(fs: BorrowedFd<'_>, kind: u32) -> io::Result<Vec<TreeKey>> {
    /// `BTRFS_FS_TREE_OBJECTID`: the subvolume that is there from the beginning.
    const FIRST: u64 = 5;
    /// `BTRFS_LAST_FREE_OBJECTID`: behind the subvolumes come trees that the filesystem keeps for itself.
    const LAST: u64 = -256_i64 as u64;
    let last = TreeKey { object: LAST, kind: u32::MAX, offset: u64::MAX };
    let mut first = TreeKey { object: FIRST, kind, offset: 0 };
    let mut items = Vec::new();
    loop {
        // Items of other kinds lie between them, and come along.
        let found = sys::search_tree(fs, ROOT_TREE, first, last, u32::MAX)?;
        let Some(end) = found.last().map(|item| item.key) else { return Ok(items) };
        items.extend(found.iter().map(|item| item.key).filter(|key| key.kind == kind));
        first = end.next();
    }
}

/// Whether there are subvolumes that are deleted and whose space is not free yet. Needs `CAP_SYS_ADMIN`.
pub fn has_deleted_subvolumes(fs: BorrowedFd<'_>) -> Result<bool> {
    /// `BTRFS_ORPHAN_OBJECTID` and `BTRFS_ORPHAN_ITEM_KEY`; the offset is the subvolume.
    const ORPHANS: TreeKey = TreeKey { object: -5_i64 as u64, kind: 48, offset: 0 };
    let found = sys::search_tree(fs, ROOT_TREE, ORPHANS, TreeKey { offset: u64::MAX, ..ORPHANS }, 1);
    Ok(!found.map_err(Error::during(Operation::ListSubvolumes))?.is_empty())
}

fn child_ids(fs: BorrowedFd<'_>, parent: u64) -> io::Result<Vec<u64>> {
    let last = TreeKey { object: parent, kind: ROOT_REF, offset: u64::MAX };
    let mut first = TreeKey { offset: 0, ..last };
    let mut ids = Vec::new();
    loop {
        let found = sys::search_tree(fs, ROOT_TREE, first, last, u32::MAX)?;
        let Some(end) = found.last() else { return Ok(ids) };
        first.offset = end.key.offset.saturating_add(1);
        ids.extend(found.iter().map(|item| item.key.offset));
    }
}
