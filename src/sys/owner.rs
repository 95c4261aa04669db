//! Giving files away.

use std::io;
use std::os::fd::AsFd;
use std::os::unix::fs::lchown;
use std::path::Path;

use rustix::fs::{AtFlags, Gid, Uid, chownat};

use super::path_error::{OnPath, PathError};

/// Whom files are given to that a process makes for somebody else. The default keeps them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Owner {
    /// The user; `None` leaves it as it is.
    pub uid: Option<u32>,
    /// The group; `None` leaves it as it is.
    pub gid: Option<u32>,
}

impl Owner {
    /// Gives `path`, a link itself if it is one, to this owner.
    ///
    /// # Errors
    /// Those of lchown(2).
    pub fn chown(self, path: &Path) -> Result<(), PathError> {
        if self == Owner::default() {
            return Ok(());
        }
        lchown(path, self.uid, self.gid).on("chown", path)
    }

    /// Gives what is open, be it by name only, to this owner.
    ///
    /// # Errors
    /// Those of fchownat(2).
    pub fn chown_fd(self, file: impl AsFd) -> io::Result<()> {
        if self == Owner::default() {
            return Ok(());
        }
        let (uid, gid) = (self.uid.map(Uid::from_raw), self.gid.map(Gid::from_raw));
        Ok(chownat(file, "", uid, gid, AtFlags::EMPTY_PATH)?)
    }

    /// The same for something that may not be there.
    ///
    /// # Errors
    /// Those of lchown(2) but `ENOENT`.
    pub fn chown_if_exists(self, path: &Path) -> Result<(), PathError> {
        match self.chown(path) {
            Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(()),
            given => given,
        }
    }
}
