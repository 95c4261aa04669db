//! How full a filesystem is (statvfs(3)).

use std::path::Path;

use rustix::fs::statvfs;

use super::path_error::{OnPath, PathError};

/// A filesystem in bytes, and in inodes where it has a limited number of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Space {
    /// All of it.
    pub size: u64,
    /// What is in use.
    pub used: u64,
    /// What may still be written.
    pub available: u64,
    /// Inodes; none where the filesystem does not count them, as btrfs does not.
    pub inodes: Option<Inodes>,
}

/// The inodes of a filesystem. XFS makes them as they are needed, so that all three numbers move with the free space.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Inodes {
    /// How many there may be.
    pub total: u64,
    /// How many are in use.
    pub used: u64,
    /// How many may still be made.
    pub available: u64,
}

impl Space {
    /// Whether it is inodes that it lacks, rather than bytes.
    pub fn lacks_inodes(&self) -> bool {
        /// XFS makes inodes by the chunk of 64, in each of its allocation groups: the last few may be out of reach.
        const OUT_OF_REACH: u64 = 256;
        let has_room = self.available > self.size / 100;
        has_room && self.inodes.is_some_and(|inodes| inodes.available < OUT_OF_REACH)
    }
}

/// Looks at the filesystem of `path`.
pub fn space_of(path: &Path) -> Result<Space, PathError> {
    let status = statvfs(path).on("statfs", path)?;
    let bytes = |blocks: u64| blocks.saturating_mul(status.f_frsize);
    Ok(Space {
        size: bytes(status.f_blocks),
        used: bytes(status.f_blocks.saturating_sub(status.f_bfree)),
        available: bytes(status.f_bavail),
        inodes: (status.f_files > 0).then(|| Inodes {
            total: status.f_files,
            used: status.f_files.saturating_sub(status.f_ffree),
            available: status.f_favail,
        }),
    })
}
