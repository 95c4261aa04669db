//! Files by directory descriptor: nothing here follows a symlink or leaves the directory it was given.

use std::ffi::{OsStr, OsString};
use std::io;
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use rustix::fs::{AtFlags, FileType, Mode, OFlags, RawDir, ResolveFlags, Stat, openat2, readlinkat, statat};
use rustix::io::Errno;

/// How often an `openat2` that raced with a rename elsewhere in the filesystem is tried again.
const OPENAT2_ATTEMPTS: usize = 64;

/// Opens `path`, relative to and beneath `root`; an empty path is `root` itself. A symlink anywhere in the path is
/// `ELOOP`, a mount point `EXDEV`.
///
/// # Errors
/// Those of openat2(2).
pub fn open_beneath(root: impl AsFd, path: &Path, flags: OFlags) -> io::Result<OwnedFd> {
    let resolve =
        ResolveFlags::BENEATH | ResolveFlags::NO_SYMLINKS | ResolveFlags::NO_MAGICLINKS | ResolveFlags::NO_XDEV;
    let path = if path.as_os_str().is_empty() { Path::new(".") } else { path };
    for _ in 1..OPENAT2_ATTEMPTS {
        match openat2(root.as_fd(), path, flags | OFlags::CLOEXEC, Mode::empty(), resolve) {
            // The kernel could not be sure that a rename elsewhere did not lead out of the root (openat2(2)).
            Err(Errno::AGAIN | Errno::INTR) => {}
            result => return Ok(result?),
        }
    }
    Err(Errno::AGAIN.into())
}

/// The status of `name` itself (no following) in `directory`; `None` if there is no such name.
///
/// # Errors
/// Those of fstatat(2) but `ENOENT`.
pub fn stat_name(directory: impl AsFd, name: &OsStr) -> io::Result<Option<Stat>> {
    match statat(directory, name, AtFlags::SYMLINK_NOFOLLOW) {
        Ok(stat) => Ok(Some(stat)),
        Err(Errno::NOENT) => Ok(None),
        Err(errno) => Err(errno.into()),
    }
}

/// The type of the file that `stat` describes.
pub fn file_type(stat: &Stat) -> FileType {
    FileType::from_raw_mode(stat.st_mode)
}

/// The text of the symlink `name` in `directory`.
///
/// # Errors
/// Those of readlinkat(2).
pub fn read_link(directory: impl AsFd, name: &OsStr) -> io::Result<OsString> {
    let text = readlinkat(directory, name, Vec::new())?;
    Ok(OsStr::from_bytes(text.as_bytes()).to_owned())
}

/// The names in `directory`, freshly opened for reading, without `.` and `..`, in the filesystem's order.
///
/// # Errors
/// Those of getdents(2).
pub fn names(directory: impl AsFd) -> io::Result<Vec<OsString>> {
    let mut names = Vec::new();
    each_name(directory, |name| {
        names.push(name.to_owned());
        Ok::<_, io::Error>(())
    })?;
    Ok(names)
}

/// Calls `each` for every name in the open directory but `.` and `..`, in the filesystem's order. It holds a few names at
/// a time, however many there are; `each` may remove the one it is given.
///
/// # Errors
/// Those of getdents(2), and of `each`.
pub fn each_name<E: From<io::Error>>(
    directory: impl AsFd,
    mut each: impl FnMut(&OsStr) -> Result<(), E>,
) -> Result<(), E> {
    let mut buffer = [MaybeUninit::uninit(); 16 * 1024];
    let mut entries = RawDir::new(directory, &mut buffer);
    while let Some(entry) = entries.next() {
        let entry = entry.map_err(io::Error::from)?;
        let name = OsStr::from_bytes(entry.file_name().to_bytes());
        if name != "." && name != ".." {
            each(name)?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::symlink;

    use super::*;

    #[test]
    fn opens_nothing_through_a_symlink() {
        let directory = tempfile::tempdir().unwrap();
        fs::create_dir(directory.path().join("real")).unwrap();
        symlink("real", directory.path().join("link")).unwrap();
        let root = fs::File::open(directory.path()).unwrap();
        assert!(open_beneath(&root, Path::new("real"), OFlags::PATH).is_ok());
        assert!(open_beneath(&root, Path::new(""), OFlags::PATH).is_ok());
        let error = open_beneath(&root, Path::new("link"), OFlags::PATH | OFlags::DIRECTORY).unwrap_err();
        assert_eq!(error.raw_os_error(), Some(libc::ELOOP));
        let error = open_beneath(&root, Path::new(".."), OFlags::PATH).unwrap_err();
        assert_eq!(error.raw_os_error(), Some(libc::EXDEV));
    }
}
