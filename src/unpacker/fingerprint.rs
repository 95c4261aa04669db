//! What a file is like, in sixteen bytes, for whoever looks later whether it still is.
//!
//! A fingerprint is of the content and of the attributes that an image can set. It finds what a disk or a power cut has
//! spoilt. XXH3 is fast and no cryptographic hash: whoever can write to a store can make files of any fingerprint.

use std::collections::HashMap;
use std::ffi::OsStr;
use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::ffi::OsStrExt;

use rustix::fs::{FileType, Stat, fstat};
use rustix::io::{Errno, read};
use twox_hash::XxHash3_128;

use super::portable::is_portable;
use super::whiteout::OPAQUE_MARKS;
use crate::sys::{dirfd, xattr};

/// A fingerprint.
type Fingerprint = u128;

/// The most files of one layer whose fingerprints are kept in memory, 12 MiB of them.
const MOST: usize = 1 << 18;

/// Fingerprints of the regular files that were written, by their inode numbers. Only the files know them: names change
/// until a layer is finished.
#[derive(Debug, Default)]
pub struct WrittenFiles {
    by_inode: HashMap<u64, Fingerprint>,
    too_many: bool,
}

impl WrittenFiles {
    /// Notes a file that has all its attributes.
    pub(super) fn add(&mut self, file: BorrowedFd<'_>, content: ContentHasher) -> io::Result<()> {
        if self.by_inode.len() == MOST {
            self.by_inode = HashMap::new();
            self.too_many = true;
        }
        if !self.too_many {
            let stat = fstat(file)?;
            self.by_inode.insert(stat.st_ino, with_xattrs(&stat, file, content.0.finish_128())?);
        }
        Ok(())
    }

    /// Whether there were more files than are kept.
    pub fn are_too_many(&self) -> bool {
        self.too_many
    }

    /// The fingerprint of the file with this number, if it was written by this layer.
    pub fn get(&self, inode: u64) -> Option<u128> {
        self.by_inode.get(&inode).copied()
    }
}

/// Hashes the content of a file as it passes.
pub(super) struct ContentHasher(XxHash3_128);

impl ContentHasher {
    pub(super) fn new() -> Self {
        ContentHasher(XxHash3_128::new())
    }

    pub(super) fn update(&mut self, bytes: &[u8]) {
        self.0.write(bytes);
    }
}

/// Whether most of a file is holes, which nobody wants to read: its fingerprint is of its attributes alone.
fn is_sparse(stat: &Stat) -> bool {
    const SLACK: u64 = 1 << 20;
    let (size, on_disk) = (stat.st_size.unsigned_abs(), stat.st_blocks.unsigned_abs().saturating_mul(512));
    size > on_disk.saturating_mul(2).saturating_add(SLACK)
}

/// The fingerprint of `name` in an open directory, which is read for it; no link is followed, and no pipe waited for.
///
/// # Errors
/// Those of reading the file or its attributes.
pub fn fingerprint(directory: BorrowedFd<'_>, name: &OsStr, stat: &Stat) -> io::Result<u128> {
    use rustix::fs::OFlags;
    let open = |flags| dirfd::open_beneath(directory, name.as_ref(), OFlags::RDONLY | OFlags::NONBLOCK | flags);
    match dirfd::file_type(stat) {
        FileType::RegularFile => {
            let file = open(OFlags::NOFOLLOW)?;
            let content = if is_sparse(stat) { 0 } else { content_of(file.as_fd())? };
            with_xattrs(stat, file.as_fd(), content)
        }
        FileType::Directory => with_xattrs(stat, open(OFlags::DIRECTORY)?.as_fd(), 0),
        FileType::Symlink => {
            let target = dirfd::read_link(directory, name)?;
            Ok(of(stat, &[], XxHash3_128::oneshot(target.as_bytes())))
        }
        _ => Ok(of(stat, &[], 0)),
    }
}

/// The fingerprint of an open directory.
///
/// # Errors
/// Those of fstat(2) and of reading its attributes.
pub fn fingerprint_of_directory(directory: BorrowedFd<'_>) -> io::Result<u128> {
    with_xattrs(&fstat(directory)?, directory, 0)
}

fn content_of(file: BorrowedFd<'_>) -> io::Result<u128> {
    let mut hasher = XxHash3_128::new();
    let mut buffer = vec![0; 128 << 10];
    loop {
        match read(file, &mut buffer) {
            Ok(0) => return Ok(hasher.finish_128()),
            Ok(count) => hasher.write(&buffer[..count]),
            Err(Errno::INTR) => {}
            Err(errno) => return Err(errno.into()),
        }
    }
}

fn with_xattrs(stat: &Stat, file: BorrowedFd<'_>, content: u128) -> io::Result<u128> {
    let mut names = xattr::list(file)?;
    // Security modules of the host add some.
    names.retain(|name| is_portable(name) || OPAQUE_MARKS.iter().any(|mark| name == *mark));
    names.sort();
    let mut xattrs = Vec::new();
    for name in &names {
        xattrs.push((name.as_os_str(), xattr::get(file, name)?.unwrap_or_default()));
    }
    Ok(of(stat, &xattrs, content))
}

fn of(stat: &Stat, xattrs: &[(&OsStr, Vec<u8>)], content: u128) -> Fingerprint {
    let mut hasher = XxHash3_128::new();
    for number in [stat.st_mode, stat.st_uid, stat.st_gid] {
        hasher.write(&number.to_le_bytes());
    }
    let is_file = dirfd::file_type(stat) == FileType::RegularFile;
    // Of directories each filesystem has its own idea.
    let size = if is_file { stat.st_size as u64 } else { 0 };
    for number in [stat.st_mtime as u64, stat.st_mtime_nsec, stat.st_rdev, size] {
        hasher.write(&number.to_le_bytes());
    }
    for (name, value) in xattrs {
        for part in [name.as_bytes(), value] {
            hasher.write(&(part.len() as u64).to_le_bytes());
            hasher.write(part);
        }
    }
    hasher.write(&content.to_le_bytes());
    hasher.finish_128()
}
