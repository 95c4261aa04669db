//! Is something mounted there?

use std::ffi::OsString;
use std::fs;
use std::io;
use std::os::fd::{AsFd, AsRawFd};
use std::os::unix::ffi::OsStringExt;
use std::path::{Path, PathBuf};
use std::thread;
use std::time::{Duration, Instant};

use rustix::fs::{AtFlags, CWD, Mode, OFlags, Statx, StatxAttributes, StatxFlags, openat, statx};
use rustix::io::Errno;
use rustix::mount::{UnmountFlags, unmount};

use super::descriptors;
use super::path_error::{OnPath, PathError};

/// Whether `path` is the root of a mount; bind mounts count.
pub fn is_mount_point(path: &Path) -> Result<bool, PathError> {
    match has_mount_root(statx(CWD, path, AtFlags::SYMLINK_NOFOLLOW, StatxFlags::empty())).on("stat", path)? {
        Some(is_root) => Ok(is_root),
        None => is_in_other_mount_than_parent(path).on("stat", path),
    }
}

/// Unmounts what is mounted at `path`, a link there not followed. While it is in use that is tried again for `limit`.
///
/// # Errors
/// Those of umount2(2).
pub fn unmount_within(limit: Duration, path: &Path) -> Result<(), Errno> {
    let start = Instant::now();
    loop {
        match unmount(path, UnmountFlags::NOFOLLOW) {
            Err(Errno::BUSY) if start.elapsed() < limit => thread::sleep(Duration::from_millis(20)),
            unmounted => return unmounted,
        }
    }
}

/// Whether what is open is the root of a mount, not that of the `directory` it is in.
///
/// # Errors
/// Those of statx(2).
pub(super) fn is_mount_root(open: impl AsFd, directory: impl AsFd) -> io::Result<bool> {
    match has_mount_root(statx(open.as_fd(), "", AtFlags::EMPTY_PATH, StatxFlags::empty()))? {
        Some(is_root) => Ok(is_root),
        None => match (mount_id(open), mount_id(directory)) {
            // A thread with a root directory of its own has no /proc. It works where nothing is mounted.
            (Err(error), _) if error.kind() == io::ErrorKind::NotFound => Ok(false),
            (id, outside) => Ok(id? != outside?),
        },
    }
}

/// What statx(2) says (`STATX_ATTR_MOUNT_ROOT`, kernel 5.8); nothing where the kernel, or a filter, does not know it.
fn has_mount_root(status: rustix::io::Result<Statx>) -> rustix::io::Result<Option<bool>> {
    match status {
        Ok(status) if status.stx_attributes_mask.contains(StatxAttributes::MOUNT_ROOT) => {
            Ok(Some(status.stx_attributes.contains(StatxAttributes::MOUNT_ROOT)))
        }
        Ok(_) | Err(Errno::NOSYS | Errno::PERM) => Ok(None),
        Err(errno) => Err(errno),
    }
}

fn is_in_other_mount_than_parent(path: &Path) -> io::Result<bool> {
    let flags = OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let open = openat(CWD, path, flags, Mode::empty())?;
    let Some(parent) = path.parent() else { return Ok(true) };
    let parent = if parent.as_os_str().is_empty() { Path::new(".") } else { parent };
    let parent = openat(CWD, parent, OFlags::PATH | OFlags::CLOEXEC, Mode::empty())?;
    Ok(mount_id(open)? != mount_id(parent)?)
}

/// The number of the mount in which something was opened (proc_pid_fdinfo(5), kernel 3.15).
fn mount_id(open: impl AsFd) -> io::Result<u64> {
    let text = fs::read_to_string(format!("/proc/self/fdinfo/{}", open.as_fd().as_raw_fd()))?;
    let line = text.lines().find_map(|line| line.strip_prefix("mnt_id:"));
    line.and_then(|id| id.trim().parse().ok()).ok_or_else(|| io::Error::from(Errno::NOSYS))
}

/// The mounts of this mount namespace (proc_pid_mountinfo(5)).
const MOUNTINFO: &str = "/proc/self/mountinfo";

/// Whether the filesystem that `path` is on, which exists, is mounted with an option of its own (field 11).
pub fn has_option(path: &Path, option: &str) -> Result<bool, PathError> {
    let mountinfo = fs::read(MOUNTINFO).on("open", MOUNTINFO)?;
    let path = descriptors::resolve(path).on("resolve", path)?;
    Ok(options_at(&path, &mountinfo)
        .is_some_and(|options| options.split(|b| *b == b',').any(|o| o == option.as_bytes())))
}

/// The options of the filesystem that is mounted at `path`, its own ones (field 11); `None` if nothing is mounted there.
pub fn filesystem_options(path: &Path) -> Result<Option<Vec<String>>, PathError> {
    let mountinfo = fs::read(MOUNTINFO).on("open", MOUNTINFO)?;
    let at_path = |line: &&[u8]| {
        let point = line.split(|b| *b == b' ').nth(4).map(unescape);
        point.is_some_and(|point| point == path.as_os_str().as_encoded_bytes())
    };
    // The last one hides those below it.
    let line = mountinfo.split(|b| *b == b'\n').rfind(at_path);
    let options = line.and_then(|line| line.rsplit(|b| *b == b' ').next());
    let as_text = |option: &[u8]| String::from_utf8_lossy(&unescape(option)).into_owned();
    Ok(options.map(|options| options.split(|b| *b == b',').map(as_text).collect()))
}

/// Of several mounts around `path` the innermost counts, and of several at one place the last.
fn options_at<'a>(path: &Path, mountinfo: &'a [u8]) -> Option<&'a [u8]> {
    let mounts = mountinfo.split(|b| *b == b'\n').filter_map(|line| {
        let point = PathBuf::from(OsString::from_vec(unescape(line.split(|b| *b == b' ').nth(4)?)));
        Some((point, line.rsplit(|b| *b == b' ').next()?))
    });
    let around = mounts.filter(|(point, _)| path.starts_with(point));
    around.max_by_key(|(point, _)| point.components().count()).map(|(_, options)| options)
}

/// The mount points below `path` in this mount namespace, relative to it (proc_pid_mountinfo(5), field 5).
///
/// The table of all mounts, which may be thousands, is read only where there may be one.
pub fn below(path: &Path) -> Result<Vec<PathBuf>, PathError> {
    // Mount points have no links in their paths, and what is asked of a link is not asked of what it leads to.
    let path = &descriptors::resolve(path).on("resolve", path)?;
    if !may_have_children(path) {
        return Ok(Vec::new());
    }
    let mountinfo = fs::read(MOUNTINFO).on("open", MOUNTINFO)?;
    let points = mountinfo.split(|b| *b == b'\n').filter_map(|line| line.split(|b| *b == b' ').nth(4));
    let below = points.filter_map(|point| {
        let point = PathBuf::from(OsString::from_vec(unescape(point)));
        point.strip_prefix(path).ok().filter(|below| !below.as_os_str().is_empty()).map(Path::to_owned)
    });
    Ok(below.collect())
}

/// Whether anything is mounted on a place in the mount that `path` is in. It may be where the kernel cannot tell
/// (listmount(2), kernel 6.8).
fn may_have_children(path: &Path) -> bool {
    // `STATX_MNT_ID_UNIQUE` and `struct mnt_id_req` of <linux/mount.h>.
    const MNT_ID_UNIQUE: StatxFlags = StatxFlags::from_bits_retain(0x4000);
    const SYS_LISTMOUNT: libc::c_long = 458;
    #[repr(C)]
    struct MntIdReq {
        size: u32,
        spare: u32,
        mnt_id: u64,
        param: u64,
    }
    let Ok(status) = statx(CWD, path, AtFlags::SYMLINK_NOFOLLOW, MNT_ID_UNIQUE) else { return true };
    if status.stx_mask & MNT_ID_UNIQUE.bits() == 0 {
        return true;
    }
    let request = MntIdReq { size: size_of::<MntIdReq>() as u32, spare: 0, mnt_id: status.stx_mnt_id, param: 0 };
    let mut first = 0_u64;
    // SAFETY: the kernel reads `request`, whose size is in it, and writes at most the one number that there is room for.
    let count = unsafe { libc::syscall(SYS_LISTMOUNT, &raw const request, &raw mut first, 1_usize, 0_u32) };
    count != 0
}

/// Looks a path up in a mount table.
#[cfg(fuzzing)]
pub fn fuzz(mountinfo: &[u8]) {
    let _ = options_at(Path::new("/a/b/c"), mountinfo);
}

/// Spaces, tabs, newlines and backslashes stand as three octal digits behind a backslash.
pub(super) fn unescape(field: &[u8]) -> Vec<u8> {
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
    fn the_innermost_mount_around_a_path_has_its_options() {
        let mountinfo = b"21 1 0:2 / / rw - ext4 /dev/a rw\n\
            22 21 0:3 / /s rw shared:1 - btrfs /dev/b rw,one\n\
            23 21 0:4 / /s rw - btrfs /dev/c rw,two\n\
            24 23 0:5 / /s/d\\040e rw - xfs /dev/d rw,three\n";
        let options = |path: &str| options_at(Path::new(path), mountinfo).map(String::from_utf8_lossy).unwrap();
        assert_eq!(options("/s/x"), "rw,two");
        assert_eq!(options("/s/d e"), "rw,three");
        assert_eq!(options("/sx"), "rw");
    }

    #[test]
    fn the_root_has_something_mounted_in_it() {
        assert!(may_have_children(Path::new("/")));
        assert!(!below(Path::new("/")).unwrap().is_empty());
    }

    #[test]
    fn mounts_are_told_by_their_numbers_where_statx_does_not_tell() {
        let directory = tempfile::tempdir().unwrap();
        std::os::unix::fs::symlink("/proc", directory.path().join("link")).unwrap();
        for path in ["/", "/proc", "/proc/self/fd", "/usr"].map(PathBuf::from).into_iter().chain([
            directory.path().to_owned(),
            directory.path().join("link"),
            directory.path().join("link/"),
        ]) {
            let told = is_mount_point(&path).unwrap();
            assert_eq!(is_in_other_mount_than_parent(&path).unwrap(), told, "{}", path.display());
        }
        assert!(is_mount_point(Path::new("/proc")).unwrap());
    }

    #[test]
    fn reads_escaped_mount_points() {
        assert_eq!(unescape(br"/a\040b\134c\9"), b"/a b\\c\\9");
        assert_eq!(unescape(br"/end\0"), br"/end\0");
    }
}
