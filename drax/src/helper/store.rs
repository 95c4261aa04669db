//! What the helper takes for a store, and for whose.
//!
//! A store of the caller's is a directory that belongs to the caller, on which the directories of every store are, theirs
//! too, and a file `meta/namespace.json` of theirs or of root's, who makes stores. None of the directories may be
//! writable by anybody else. All of it is on one mount, and none of it is a link. So whatever is below has been put there
//! by the caller or by root.
//!
//! Root may name any directory.

use super::caller::Caller;
use super::directory::Directory;
use super::error::HelperError;
use super::store_path::StorePath;
use crate::sys;
use crate::xfs;
use std::fs::{File, Metadata};
use std::io::{self, Read};
use std::os::fd::AsFd;
use std::os::unix::fs::{MetadataExt, fchown};
use std::thread;
use std::time::{Duration, Instant};

/// A store that the caller may work on.
pub(super) struct Store<'a> {
    caller: &'a Caller,
    pub(super) directory: Directory,
}

impl<'a> Store<'a> {
    pub(super) fn open(caller: &'a Caller, place: &StorePath) -> Result<Self, HelperError> {
        let store = Self { caller, directory: Directory::walk(&place.store)? };
        caller.check_owns(&store.directory)?;
        if !caller.is_root() {
            store.check_is_store()?;
        }
        Ok(store)
    }

    fn check_is_store(&self) -> Result<(), HelperError> {
        for name in ["images", "volumes", "tmp", "locks", "meta"] {
            let directory = self.directory.enter(name).map_err(|error| match error.is_not_found() {
                true => HelperError::NotAStore(self.directory.path.clone()),
                false => error,
            });
            self.caller.check_owns(&directory?)?;
        }
        let is_known = match self.directory.enter("meta")?.open_file("namespace.json", libc::O_RDONLY) {
            Ok((_, metadata)) => metadata.uid() == 0 || self.caller.owns(&metadata),
            Err(_) => false,
        };
        if is_known { Ok(()) } else { Err(HelperError::NotAStore(self.directory.path.clone())) }
    }

    /// Opens what is below the store. All directories on the way must be the caller's, and the last one too unless it may
    /// be anybody's.
    pub(super) fn enter(&self, below: &[impl AsRef<str>], last: Last) -> Result<Directory, HelperError> {
        let Some((name, way)) = below.split_last() else {
            return Err(HelperError::NotAStore(self.directory.path.clone()));
        };
        let mut parent = None;
        for name in way {
            parent = Some(self.enter_own(parent.as_ref().unwrap_or(&self.directory), name.as_ref())?);
        }
        let parent = parent.as_ref().unwrap_or(&self.directory);
        match last {
            Last::Own => self.enter_own(parent, name.as_ref()),
            Last::Any => parent.enter(name.as_ref()),
        }
    }

    fn enter_own(&self, parent: &Directory, name: &str) -> Result<Directory, HelperError> {
        let directory = parent.enter(name)?;
        self.caller.check_owns(&directory)?;
        Ok(directory)
    }

    /// Whether root works on a store of root's.
    pub(super) fn is_roots_own(&self) -> Result<bool, HelperError> {
        Ok(self.caller.is_root() && self.directory.metadata()?.uid() == 0)
    }

    /// The size of the layers below an image, which grootfs notes in `image_info` when it makes the image; `None` where
    /// there is no such file.
    pub(super) fn layers_size(&self, image: &Directory) -> Result<Option<u64>, HelperError> {
        let failed = |error| HelperError::ImageInfo { path: image.path.join("image_info"), error };
        let file = match image.open_file("image_info", libc::O_RDONLY) {
            Err(error) if error.raw_os_error() == Some(libc::ENOENT) => return Ok(None),
            Ok((_, metadata)) if !self.caller.owns(&metadata) => {
                return Err(failed(io::Error::other("it belongs to somebody else")));
            }
            opened => opened.map_err(failed)?.0,
        };
        let mut text = String::new();
        file.take(32).read_to_string(&mut text).map_err(failed)?;
        text.trim_end().parse().map(Some).map_err(|_| failed(io::Error::other("not a number")))
    }

    /// Keeps collectors of project ids away.
    ///
    /// The lock is the store's own, so its owner can hold it for ever: it is waited for as long as a collector may take,
    /// and no longer.
    pub(super) fn acquire_allocation_lock(&self) -> Result<AllocationLock, HelperError> {
        const FILE: &str = "global-groot-lock.lock";
        const TIMEOUT: Duration = Duration::from_secs(3);
        const POLL: Duration = Duration::from_millis(10);

        let locks = self.enter(&["locks"], Last::Own)?;
        let failed = |error| HelperError::Lock { path: locks.path.join(FILE), error };
        let (file, metadata) = self.open_or_make(&locks, FILE).map_err(failed)?;
        if !self.caller.owns(&metadata) {
            return Err(failed(io::Error::other("it belongs to somebody else")));
        }
        let start = Instant::now();
        while !sys::try_share_byte(file.as_fd(), xfs::PROJECT_IDS_LOCK).map_err(failed)? {
            if start.elapsed() > TIMEOUT {
                return Err(HelperError::Busy(self.directory.path.clone()));
            }
            thread::sleep(POLL);
        }
        Ok(AllocationLock { _file: file })
    }

    /// Opens a file for writing. One that root has to make is of use to the store's owner only if it is the owner's.
    fn open_or_make(&self, directory: &Directory, name: &str) -> io::Result<(File, Metadata)> {
        match directory.open_file(name, libc::O_RDWR) {
            Err(error) if error.raw_os_error() == Some(libc::ENOENT) => {}
            opened => return opened,
        }
        // What is there by now has been made by somebody else, and may be a link to anything.
        let made = match directory.open_file(name, libc::O_RDWR | libc::O_CREAT | libc::O_EXCL) {
            Err(error) if error.raw_os_error() == Some(libc::EEXIST) => return directory.open_file(name, libc::O_RDWR),
            made => made?,
        };
        let store = self.directory.metadata().map_err(io::Error::other)?;
        if self.caller.is_root() {
            fchown(&made.0, Some(store.uid()), Some(store.gid()))?;
        }
        Ok(made)
    }
}

/// Whose the last directory of a path must be.
#[derive(Clone, Copy)]
pub(super) enum Last {
    /// The caller's.
    Own,
    /// Anybody's: the top of a root filesystem belongs to whom the image says.
    Any,
}

/// The lock shared by all who allocate project ids in a store.
pub(super) struct AllocationLock {
    _file: File,
}
