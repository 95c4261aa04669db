//! Is something mounted there?

use std::ffi::OsString;
use std::fs;
use std::os::unix::ffi::OsStringExt;
use std::path::{Path, PathBuf};

use rustix::fs::{AtFlags, CWD, StatxAttributes, StatxFlags, statx};

use super::path_error::{OnPath, PathError};

/// Whether `path` is the root of a mount (statx(2), `STATX_ATTR_MOUNT_ROOT`, kernel 5.8); bind mounts count.
pub fn is_mount_point(path: &Path) -> Result<bool, PathError> {
    let status = statx(CWD, path, AtFlags::SYMLINK_NOFOLLOW, StatxFlags::empty()).on("stat", path)?;
    Ok(status.stx_attributes.contains(StatxAttributes::MOUNT_ROOT))
}

/// The first mount point below `path` in this mount namespace, relative to it (proc_pid_mountinfo(5), field 5).
pub fn first_below(path: &Path) -> Result<Option<PathBuf>, PathError> {
    const MOUNTINFO: &str = "/proc/self/mountinfo";
    // Mount points have no links in their paths.
    let path = &fs::canonicalize(path).on("resolve", path)?;
    let mountinfo = fs::read(MOUNTINFO).on("open", MOUNTINFO)?;
    let mut points = mountinfo.split(|b| *b == b'\n').filter_map(|line| line.split(|b| *b == b' ').nth(4));
    Ok(points.find_map(|point| {
        let point = PathBuf::from(OsString::from_vec(unescape(point)));
        point.strip_prefix(path).ok().filter(|below| !below.as_os_str().is_empty()).map(Path::to_owned)
    }))
}

/// Spaces, tabs, newlines and backslashes stand as three octal digits behind a backslash.
fn unescape(field: &[u8]) -> Vec<u8> {
    let mut text = Vec::with_capacity(field.len());
    let mut rest = field;
    while let Some((&first, tail)) = rest.split_first() {
        let octal = tail.get(..3).filter(|digits| first == b'\\' && digits.iter().all(|d| (b'0'..=b'7').contains(d)));
        match octal {
            Some(digits) => {
                text.push(digits.iter().fold(0u8, |value, digit| value.wrapping_mul(8).wrapping_add(digit - b'0')));
                rest = &tail[3..];
            }
            None => {
                text.push(first);
                rest = tail;
            }
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_escaped_mount_points() {
        assert_eq!(unescape(br"/a\040b\134c\9"), b"/a b\\c\\9");
        assert_eq!(unescape(br"/end\0"), br"/end\0");
    }
}
