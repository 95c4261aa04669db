//! Files by directory descriptor: nothing here follows a symlink or leaves the directory it was given.

use std::ffi::{OsStr, OsString};
use std::io;
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::{Component, Path};

use rustix::fs::{
    AtFlags, FileType, Mode, OFlags, RawDir, ResolveFlags, Stat, fstat, openat, openat2, readlinkat, statat,
};
use rustix::io::Errno;

use super::mount_point;

/// How often an `openat2` that raced with a rename elsewhere in the filesystem is tried again.
const OPENAT2_ATTEMPTS: usize = 64;

/// Opens `path`, relative to and beneath `root`; an empty path is `root` itself. A symlink anywhere in the path is
/// `ELOOP`, a mount point `EXDEV`.
///
/// # Errors
/// Those of openat2(2).
pub fn open_beneath(root: impl AsFd, path: &Path, flags: OFlags) -> io::Result<OwnedFd> {
    let how = ResolveFlags::BENEATH | ResolveFlags::NO_SYMLINKS | ResolveFlags::NO_MAGICLINKS | ResolveFlags::NO_XDEV;
    resolve(root, path, flags, how)
}

/// The same with other rules; of those of openat2(2) that it may leave out, `NO_XDEV` is the only one.
///
/// # Errors
/// Those of openat2(2).
pub fn resolve(root: impl AsFd, path: &Path, flags: OFlags, how: ResolveFlags) -> io::Result<OwnedFd> {
    let path = if path.as_os_str().is_empty() { Path::new(".") } else { path };
    for _ in 1..OPENAT2_ATTEMPTS {
        match openat2(root.as_fd(), path, flags | OFlags::CLOEXEC, Mode::empty(), how) {
            // The kernel could not be sure that a rename elsewhere did not lead out of the root (openat2(2)).
            Err(Errno::AGAIN | Errno::INTR) => {}
            // Kernels before 5.6, and filters of system calls that do not know it.
            Err(Errno::NOSYS | Errno::PERM) => return resolve_by_component(root.as_fd(), path, flags, how),
            result => return Ok(result?),
        }
    }
    Err(Errno::AGAIN.into())
}

/// One name after the other: none is a link, none leads up.
fn resolve_by_component(root: BorrowedFd<'_>, path: &Path, flags: OFlags, how: ResolveFlags) -> io::Result<OwnedFd> {
    let mut names = Vec::new();
    for component in path.components() {
        match component {
            Component::Normal(name) => names.push(name),
            Component::CurDir => {}
            Component::ParentDir | Component::RootDir | Component::Prefix(_) => return Err(Errno::XDEV.into()),
        }
    }
    let last = names.pop().unwrap_or(OsStr::new("."));
    let mut current: Option<OwnedFd> = None;
    for name in names {
        let directory = current.as_ref().map_or(root, AsFd::as_fd);
        current = Some(open_name(directory, name, OFlags::PATH | OFlags::DIRECTORY, how)?);
    }
    open_name(current.as_ref().map_or(root, AsFd::as_fd), last, flags, how)
}

fn open_name(directory: BorrowedFd<'_>, name: &OsStr, flags: OFlags, how: ResolveFlags) -> io::Result<OwnedFd> {
    let opened = openat(directory, name, flags | OFlags::NOFOLLOW | OFlags::CLOEXEC, Mode::empty());
    // Whoever asks for the link itself has it, or hears that it is no directory.
    let may_be_link = flags.contains(OFlags::NOFOLLOW);
    // With O_DIRECTORY a link is no directory; without, O_PATH opens the link itself.
    let opened = match opened {
        Err(Errno::NOTDIR) if !may_be_link && is_link(directory, name) => return Err(Errno::LOOP.into()),
        opened => opened?,
    };
    if !may_be_link && flags.contains(OFlags::PATH) && file_type(&fstat(&opened)?).is_symlink() {
        return Err(Errno::LOOP.into());
    }
    if how.contains(ResolveFlags::NO_XDEV) && name != "." && mount_point::is_mount_root(&opened, directory)? {
        return Err(Errno::XDEV.into());
    }
    Ok(opened)
}

fn is_link(directory: BorrowedFd<'_>, name: &OsStr) -> bool {
    stat_name(directory, name).is_ok_and(|stat| stat.is_some_and(|stat| file_type(&stat).is_symlink()))
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

/// The names in `directory`, freshly opened for reading, with their types.
///
/// # Errors
/// Those of getdents(2) and, on filesystems that keep no types in directories, of fstatat(2).
pub fn entries(directory: impl AsFd) -> io::Result<Vec<(OsString, FileType)>> {
    let mut entries = Vec::new();
    each_entry(directory.as_fd(), |name, kind, _| {
        entries.push((name.to_owned(), kind));
        Ok::<_, io::Error>(())
    })?;
    for (name, kind) in entries.iter_mut().filter(|(_, kind)| *kind == FileType::Unknown) {
        *kind = stat_name(&directory, name)?.map_or(FileType::Unknown, |stat| file_type(&stat));
    }
    Ok(entries)
}

/// The same with their inode numbers.
///
/// # Errors
/// As for [`entries`].
pub fn entries_with_inodes(directory: impl AsFd) -> io::Result<Vec<(OsString, FileType, u64)>> {
    let mut entries = Vec::new();
    each_entry(directory.as_fd(), |name, kind, inode| {
        entries.push((name.to_owned(), kind, inode));
        Ok::<_, io::Error>(())
    })?;
    for (name, kind, _) in entries.iter_mut().filter(|(_, kind, _)| *kind == FileType::Unknown) {
        *kind = stat_name(&directory, name)?.map_or(FileType::Unknown, |stat| file_type(&stat));
    }
    Ok(entries)
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
    each_entry(directory, |name, _, _| each(name))
}

fn each_entry<E: From<io::Error>>(
    directory: impl AsFd,
    mut each: impl FnMut(&OsStr, FileType, u64) -> Result<(), E>,
) -> Result<(), E> {
    let mut buffer = [MaybeUninit::uninit(); 16 * 1024];
    let mut entries = RawDir::new(directory, &mut buffer);
    while let Some(entry) = entries.next() {
        let entry = entry.map_err(io::Error::from)?;
        let name = OsStr::from_bytes(entry.file_name().to_bytes());
        if name != "." && name != ".." {
            each(name, entry.file_type(), entry.ino())?;
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

    #[test]
    fn component_by_component_is_the_same() {
        let directory = tempfile::tempdir().unwrap();
        fs::create_dir_all(directory.path().join("a/b")).unwrap();
        fs::write(directory.path().join("a/file"), "").unwrap();
        symlink("b", directory.path().join("a/link")).unwrap();
        symlink("a", directory.path().join("link")).unwrap();
        let root = fs::File::open(directory.path()).unwrap();
        let how = ResolveFlags::BENEATH | ResolveFlags::NO_SYMLINKS | ResolveFlags::NO_MAGICLINKS;
        let flags = [OFlags::PATH, OFlags::PATH | OFlags::DIRECTORY, OFlags::RDONLY];
        for path in
            ["a", "a/b", "./a/b", ".", "a/file", "a/link", "link", "link/b", "a/../a", "/etc", "a/none", "a/file/x"]
        {
            for flags in flags.into_iter().chain(flags.map(|flags| flags | OFlags::NOFOLLOW)) {
                let by_kernel = openat2(&root, path, flags, Mode::empty(), how).map(drop);
                let by_component = resolve_by_component(root.as_fd(), Path::new(path), flags, how).map(drop);
                let number = by_component.map_err(|error| error.raw_os_error());
                // Both say no where the reasons differ.
                if path.contains("..") {
                    assert_eq!(number, Err(Some(libc::EXDEV)));
                } else {
                    assert_eq!(number, by_kernel.map_err(|errno| Some(errno.raw_os_error())), "{path} {flags:?}");
                }
            }
        }
    }
}
