//! How full a filesystem is (statvfs(3)).

use std::path::Path;

use rustix::fs::statvfs;

use super::path_error::{OnPath, PathError};

/// A filesystem in bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Space {
    /// All of it.
    pub size: u64,
    /// What is in use.
    pub used: u64,
    /// What may still be written.
    pub available: u64,
}

/// Looks at the filesystem of `path`.
pub fn space_of(path: &Path) -> Result<Space, PathError> {
    let status = statvfs(path).on("statfs", path)?;
    let bytes = |blocks: u64| blocks.saturating_mul(status.f_frsize);
    Ok(Space {
        size: bytes(status.f_blocks),
        used: bytes(status.f_blocks.saturating_sub(status.f_bfree)),
        available: bytes(status.f_bavail),
    })
}
