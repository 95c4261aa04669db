//! Files by directory descriptor: nothing here follows a symlink or leaves the directory it was given.

use std::ffi::{OsStr, OsString};
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use rustix::fs::{
    AtFlags, Dir, FileType, Mode, OFlags, ResolveFlags, Stat, fstat, openat, openat2, readlinkat, statat, unlinkat,
};
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

/// The names in `directory`, without `.` and `..`, in the filesystem's order.
///
/// # Errors
/// Those of openat(2) and getdents(2).
pub fn names(directory: impl AsFd) -> io::Result<Vec<OsString>> {
    let mut names = Vec::new();
    for entry in Dir::read_from(directory)? {
        let entry = entry?;
        let name = OsStr::from_bytes(entry.file_name().to_bytes());
        if name != "." && name != ".." {
            names.push(name.to_owned());
        }
    }
    Ok(names)
}

/// Removes `name` in `directory` and, if it is a directory, all that is below it. A missing name is fine.
///
/// Needs two descriptors however deep the tree is: it goes up again by `..` and makes sure that this led to where it
/// came from.
///
/// # Errors
/// Those of openat(2), unlinkat(2) and getdents(2); `ESTALE` if somebody moves the tree meanwhile.
pub fn remove_all(directory: BorrowedFd<'_>, name: &OsStr) -> io::Result<()> {
    match unlinkat(directory, name, AtFlags::empty()) {
        Ok(()) | Err(Errno::NOENT) => return Ok(()),
        Err(Errno::ISDIR) => {}
        Err(errno) => return Err(errno.into()),
    }
    let mut here = open_directory(directory, name)?;
    let mut above: Vec<(OsString, FileId)> = Vec::new();
    loop {
        match remove_some(&here)? {
            Pass::Removed => {}
            Pass::Subdirectory(child) => {
                let below = open_directory(&here, &child)?;
                above.push((child, FileId::of(&here)?));
                here = below;
            }
            Pass::Empty => match above.pop() {
                Some((child, parent)) => {
                    let up = open_directory(&here, OsStr::new(".."))?;
                    if FileId::of(&up)? != parent {
                        return Err(Errno::STALE.into());
                    }
                    unlinkat(&up, &child, AtFlags::REMOVEDIR)?;
                    here = up;
                }
                None => return Ok(unlinkat(directory, name, AtFlags::REMOVEDIR)?),
            },
        }
    }
}

/// What one reading of a directory came to.
enum Pass {
    Empty,
    Removed,
    Subdirectory(OsString),
}

/// Removes entries of `directory` up to the first subdirectory that is not empty.
fn remove_some(directory: &OwnedFd) -> io::Result<Pass> {
    let mut removed = false;
    for entry in Dir::read_from(directory)? {
        let entry = entry?;
        let name = entry.file_name();
        if name.to_bytes() == b"." || name.to_bytes() == b".." {
            continue;
        }
        let is_directory = match entry.file_type() {
            FileType::Unknown => file_type(&statat(directory, name, AtFlags::SYMLINK_NOFOLLOW)?).is_dir(),
            kind => kind.is_dir(),
        };
        let flags = if is_directory { AtFlags::REMOVEDIR } else { AtFlags::empty() };
        match unlinkat(directory, name, flags) {
            Ok(()) | Err(Errno::NOENT) => removed = true,
            Err(Errno::NOTEMPTY | Errno::EXIST) => {
                return Ok(Pass::Subdirectory(OsStr::from_bytes(name.to_bytes()).to_owned()));
            }
            Err(errno) => return Err(errno.into()),
        }
    }
    Ok(if removed { Pass::Removed } else { Pass::Empty })
}

fn open_directory(parent: impl AsFd, name: &OsStr) -> io::Result<OwnedFd> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    Ok(openat(parent, name, flags, Mode::empty())?)
}

/// Which file it is, whatever it is called.
#[derive(PartialEq, Eq)]
struct FileId {
    device: u64,
    inode: u64,
}

impl FileId {
    fn of(file: &OwnedFd) -> io::Result<Self> {
        let stat = fstat(file)?;
        Ok(Self { device: stat.st_dev, inode: stat.st_ino })
    }
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

    #[test]
    fn removes_a_tree_deeper_than_the_descriptor_limit_and_nothing_behind_a_symlink() {
        let directory = tempfile::tempdir().unwrap();
        let outside = directory.path().join("outside");
        fs::create_dir(&outside).unwrap();
        fs::write(outside.join("kept"), "x").unwrap();
        let mut deepest = directory.path().join("tree");
        fs::create_dir(&deepest).unwrap();
        symlink(&outside, deepest.join("link")).unwrap();
        for depth in 0..1500 {
            deepest.push("d");
            fs::create_dir(&deepest).unwrap();
            if depth % 100 == 0 {
                fs::write(deepest.join("file"), "x").unwrap();
                fs::create_dir(deepest.join("empty")).unwrap();
            }
        }
        let root = fs::File::open(directory.path()).unwrap();
        remove_all(root.as_fd(), OsStr::new("tree")).unwrap();
        assert!(!directory.path().join("tree").exists());
        assert!(outside.join("kept").exists());
        remove_all(root.as_fd(), OsStr::new("tree")).unwrap();
    }
}
