//! A walk through a tree of directories, each entered from the one above it and left before it.
//!
//! That takes the same few steps for each directory, however deep it is, and few descriptors at any time. Where the one of
//! the directory above was closed, the way back is `..`, and must lead to where it was come from.

use std::ffi::OsStr;
use std::io;
use std::os::fd::{BorrowedFd, OwnedFd};
use std::path::Path;

use rustix::fs::{Mode, OFlags, fstat, openat};

use super::DIRECTORY;
use crate::sys::dirfd;

/// Directories that stay open above the one entered.
const OPEN: usize = 32;

pub(super) struct Descent {
    levels: Vec<Level>,
}

struct Level {
    open: Option<OwnedFd>,
    /// Device and inode, of a directory that was closed.
    identity: (u64, u64),
}

impl Descent {
    /// Begins at `root`.
    pub(super) fn new(root: BorrowedFd<'_>) -> io::Result<Self> {
        dirfd::open_beneath(root, Path::new(""), OFlags::RDONLY | DIRECTORY).map(Self::from)
    }

    /// The directory entered last.
    pub(super) fn current(&self) -> io::Result<&OwnedFd> {
        self.levels.last().and_then(|level| level.open.as_ref()).ok_or_else(left)
    }

    /// Enters `name`, opened by `open`.
    pub(super) fn enter(
        &mut self,
        name: &OsStr,
        open: impl FnOnce(&OwnedFd, &OsStr) -> io::Result<OwnedFd>,
    ) -> io::Result<()> {
        let opened = open(self.current()?, name)?;
        self.levels.push(Level { open: Some(opened), identity: (0, 0) });
        let closing = self.levels.len().checked_sub(1 + OPEN).filter(|index| *index > 0);
        if let Some(level) = closing.and_then(|index| self.levels.get_mut(index))
            && let Some(directory) = level.open.take()
        {
            level.identity = identity(&directory)?;
        }
        Ok(())
    }

    /// Leaves the directory entered last, and returns it. Whatever becomes of it now, the one above is open.
    pub(super) fn leave(&mut self) -> io::Result<OwnedFd> {
        let left_now = self.levels.pop().and_then(|level| level.open).ok_or_else(left)?;
        if let Some(above) = self.levels.last_mut().filter(|level| level.open.is_none()) {
            let flags = OFlags::PATH | DIRECTORY | OFlags::CLOEXEC;
            let directory = openat(&left_now, "..", flags, Mode::empty())?;
            if identity(&directory)? != above.identity {
                return Err(io::Error::other("the directory was moved while it was worked on"));
            }
            // One that is read through is opened for it.
            above.open = Some(
                openat(&directory, ".", OFlags::RDONLY | DIRECTORY | OFlags::CLOEXEC, Mode::empty())
                    .unwrap_or(directory),
            );
        }
        Ok(left_now)
    }
}

impl From<OwnedFd> for Descent {
    fn from(directory: OwnedFd) -> Self {
        Self { levels: vec![Level { open: Some(directory), identity: (0, 0) }] }
    }
}

fn identity(directory: &OwnedFd) -> io::Result<(u64, u64)> {
    let stat = fstat(directory)?;
    Ok((stat.st_dev, stat.st_ino))
}

fn left() -> io::Error {
    io::Error::other("the walk has come to its end")
}
