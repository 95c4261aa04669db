//! Is something mounted there?

use std::path::Path;

use rustix::fs::{AtFlags, CWD, StatxAttributes, StatxFlags, statx};

use super::path_error::{OnPath, PathError};

/// Whether `path` is the root of a mount (statx(2), `STATX_ATTR_MOUNT_ROOT`, kernel 5.8); bind mounts count.
pub fn is_mount_point(path: &Path) -> Result<bool, PathError> {
    let status = statx(CWD, path, AtFlags::SYMLINK_NOFOLLOW, StatxFlags::empty()).on("stat", path)?;
    Ok(status.stx_attributes.contains(StatxAttributes::MOUNT_ROOT))
}
