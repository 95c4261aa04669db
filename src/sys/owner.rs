//! Giving files away.

use std::io;
use std::os::unix::fs::lchown;
use std::path::Path;

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
    pub fn take(self, path: &Path) -> Result<(), PathError> {
        if self == Owner::default() {
            return Ok(());
        }
        lchown(path, self.uid, self.gid).on("chown", path)
    }

    /// The same for something that may not be there.
    ///
    /// # Errors
    /// Those of lchown(2) but `ENOENT`.
    pub fn take_if_there(self, path: &Path) -> Result<(), PathError> {
        match self.take(path) {
            Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(()),
            taken => taken,
        }
    }
}
