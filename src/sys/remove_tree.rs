//! Removes a directory tree without ever leaving it.
//!
//! `std::fs::remove_dir_all` descends into mounts, which would empty whatever an operator had bound below an image, and
//! holds a descriptor per level, which a deep tree exhausts. Here every step is relative to one open directory, symbolic
//! links are removed and never followed, and a mount point stops the removal (openat2(2), RESOLVE_NO_XDEV). Only a
//! directory that has something in it is opened.

use std::ffi::{CStr, CString, OsStr};
use std::io;
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use rustix::fs::{AtFlags, FileType, Mode, OFlags, RawDir, fchmod, fstat, openat, removexattr, unlinkat};
use rustix::io::Errno;

use super::path_error::{OnPath, PathError};
use super::{descriptors, dirfd};

/// Removes `path` and everything below it. A path that does not exist is no error.
pub fn remove_tree(path: &Path) -> Result<(), PathError> {
    let (Some(parent), Some(name)) = (path.parent(), path.file_name()) else {
        return Err(PathError::new("remove", path, io::Error::from(io::ErrorKind::InvalidInput)));
    };
    match open(parent) {
        Err(Errno::NOENT) => Ok(()),
        Err(e) => Err(PathError::new("open", parent, e)),
        Ok(parent) => remove(parent.as_fd(), name, path, FileType::Directory),
    }
}

fn open(directory: &Path) -> rustix::io::Result<OwnedFd> {
    let flags = if descriptors::is_name(directory) { DIRECTORY - OFlags::NOFOLLOW } else { DIRECTORY };
    openat(rustix::fs::CWD, directory, flags, Mode::empty())
}

/// Removes everything in the directory `path`, which exists and stays.
pub fn remove_all_in(path: &Path) -> Result<(), PathError> {
    let directory = open(path).on("open", path)?;
    for (name, kind) in dirfd::entries(&directory).on("read", path)? {
        remove(directory.as_fd(), &name, &path.join(&name), kind)?;
    }
    Ok(())
}

/// Removes the entry `name` of `parent` and everything below it. An entry that does not exist is no error.
pub fn remove_entry(parent: BorrowedFd<'_>, name: &OsStr) -> Result<(), PathError> {
    remove(parent, name, Path::new(name), FileType::Unknown)
}

/// `kind` is what the entry probably is. That is tried first.
fn remove(parent: BorrowedFd<'_>, name: &OsStr, shown: &Path, kind: FileType) -> Result<(), PathError> {
    let name = CString::new(name.as_bytes()).on("remove", shown)?;
    if kind != FileType::Directory {
        match unlinkat(parent, &name, AtFlags::empty()) {
            Ok(()) | Err(Errno::NOENT) => return Ok(()),
            Err(Errno::ISDIR | Errno::PERM) => {}
            Err(e) => return Err(PathError::new("remove", shown, e)),
        }
    }
    match remove_directory(parent, &name) {
        Ok(()) => Ok(()),
        Err(e) if e.kind() == io::ErrorKind::NotADirectory => match unlinkat(parent, &name, AtFlags::empty()) {
            Ok(()) | Err(Errno::NOENT) => Ok(()),
            Err(e) => Err(PathError::new("remove", shown, e)),
        },
        // What else there may be in the way is told by what comes of the rest.
        Err(_) => match Removal::begin(parent, &name, shown) {
            Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(()),
            removal => removal?.run(parent),
        },
    }
}

const DIRECTORY: OFlags = OFlags::RDONLY.union(OFlags::DIRECTORY).union(OFlags::NOFOLLOW).union(OFlags::CLOEXEC);

/// A directory on the way down: its name in its parent, and what tells it from a directory moved there meanwhile.
struct Level {
    name: CString,
    device: u64,
    inode: u64,
}

/// The state of one removal: one open directory, and the names that lead to it.
struct Removal {
    levels: Vec<Level>,
    current: OwnedFd,
    top: PathBuf,
    /// When to give up on directories that somebody goes on filling; set when that is first seen.
    deadline: Option<Instant>,
}

/// How long whoever writes into the tree is kept up with.
const WRITER_TIMEOUT: Duration = Duration::from_secs(5);

impl Removal {
    fn begin(parent: BorrowedFd<'_>, name: &CStr, top: &Path) -> Result<Self, PathError> {
        let current = descend(parent, name).on("open", top)?;
        let level = level_of(current.as_fd(), name).on("stat", top)?;
        Ok(Removal { levels: vec![level], current, top: top.to_owned(), deadline: None })
    }

    fn run(mut self, parent: BorrowedFd<'_>) -> Result<(), PathError> {
        loop {
            if let Some(child) = self.remove_entries()? {
                match self.enter(&child) {
                    // Another process is removing the same tree.
                    Err(e) if e.kind() == io::ErrorKind::NotFound => {}
                    entered => entered.map_err(|e| self.failed("open", Some(&child), e))?,
                }
                continue;
            }
            let Some(done) = self.levels.pop() else { return Ok(()) };
            let removed = match self.levels.is_empty() {
                true => remove_directory(parent, &done.name),
                false => self.ascend().and_then(|()| remove_directory(self.current.as_fd(), &done.name)),
            };
            match removed {
                Err(e) if e.kind() == io::ErrorKind::DirectoryNotEmpty => self.descend_again(parent, done)?,
                removed => {
                    let entry = (!self.levels.is_empty()).then_some(done.name.as_c_str());
                    removed.map_err(|e| self.failed("remove", entry, e))?;
                }
            }
            if self.levels.is_empty() {
                return Ok(());
            }
        }
    }

    /// Goes back into a directory that was empty and is not any more: a process still writes into the tree.
    fn descend_again(&mut self, parent: BorrowedFd<'_>, filled: Level) -> Result<(), PathError> {
        let deadline = *self.deadline.get_or_insert_with(|| Instant::now() + WRITER_TIMEOUT);
        if Instant::now() > deadline {
            let reason = "a process goes on writing there: the next delete or clean removes what is left";
            let entry = (!self.levels.is_empty()).then_some(filled.name.as_c_str());
            return Err(self.failed("remove", entry, io::Error::other(reason)));
        }
        let around = if self.levels.is_empty() { parent } else { self.current.as_fd() };
        match descend(around, &filled.name).and_then(|opened| Ok((level_of(opened.as_fd(), &filled.name)?, opened))) {
            Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(()),
            Err(e) => Err(self.failed("open", Some(&filled.name), e)),
            Ok((level, opened)) => {
                self.levels.push(level);
                self.current = opened;
                Ok(())
            }
        }
    }

    /// Removes all that is not a directory; returns the first directory that is not empty.
    fn remove_entries(&self) -> Result<Option<CString>, PathError> {
        let mut buffer = [MaybeUninit::uninit(); 16 * 1024];
        let mut entries = RawDir::new(&self.current, &mut buffer);
        while let Some(entry) = entries.next() {
            let entry = entry.map_err(|e| self.failed("read", None, e.into()))?;
            let name = entry.file_name();
            if name == c"." || name == c".." {
                continue;
            }
            let flags = if entry.file_type() == FileType::Directory { AtFlags::REMOVEDIR } else { AtFlags::empty() };
            match self.unlink(name, flags) {
                Ok(()) | Err(Errno::NOENT) => {}
                // XFS says EEXIST where others say ENOTEMPTY; a filesystem without entry types says EISDIR.
                Err(Errno::NOTEMPTY | Errno::EXIST | Errno::ISDIR) => return Ok(Some(name.to_owned())),
                Err(e) => return Err(self.failed("remove", Some(name), e.into())),
            }
        }
        Ok(None)
    }

    /// Removes an entry, also from a directory that does not let its owner do so.
    fn unlink(&self, name: &CStr, flags: AtFlags) -> rustix::io::Result<()> {
        match unlinkat(&self.current, name, flags) {
            Err(Errno::ACCESS) if fchmod(&self.current, Mode::RWXU).is_ok() => unlinkat(&self.current, name, flags),
            removed => removed,
        }
    }

    fn enter(&mut self, child: &CStr) -> io::Result<()> {
        let opened = descend(self.current.as_fd(), child)?;
        self.levels.push(level_of(opened.as_fd(), child)?);
        self.current = opened;
        Ok(())
    }

    /// Goes back to the parent, which must be the directory that was left on the way down.
    fn ascend(&mut self) -> io::Result<()> {
        self.current = openat(&self.current, c"..", DIRECTORY, Mode::empty())?;
        let stat = fstat(&self.current)?;
        match self.levels.last() {
            Some(level) if (level.device, level.inode) == (stat.st_dev, stat.st_ino) => Ok(()),
            _ => Err(io::Error::other("the directory was moved while it was being removed")),
        }
    }

    fn failed(&self, operation: &'static str, entry: Option<&CStr>, error: io::Error) -> PathError {
        let names = self.levels.iter().skip(1).map(|level| level.name.as_c_str()).chain(entry);
        let path = names.fold(self.top.clone(), |path, name| path.join(OsStr::from_bytes(name.to_bytes())));
        PathError::new(operation, path, error)
    }
}

/// Another process may be removing the same tree.
fn remove_directory(parent: BorrowedFd<'_>, name: &CStr) -> io::Result<()> {
    match unlinkat(parent, name, AtFlags::REMOVEDIR) {
        Ok(()) | Err(Errno::NOENT) => Ok(()),
        // What XFS says.
        Err(Errno::EXIST) => Err(Errno::NOTEMPTY.into()),
        Err(e) => Err(e.into()),
    }
}

fn descend(parent: BorrowedFd<'_>, name: &CStr) -> io::Result<OwnedFd> {
    let open = || dirfd::open_beneath(parent, Path::new(OsStr::from_bytes(name.to_bytes())), DIRECTORY);
    let opened = open();
    match opened.as_ref().map_err(Errno::from_io_error) {
        Err(Some(Errno::XDEV)) => Err(io::Error::other("something is mounted there: unmount it first")),
        // Nobody but its owner could list it; removing what is in it takes the right to.
        Err(Some(Errno::ACCESS)) => {
            rustix::fs::chmodat(parent, name, Mode::RWXU, AtFlags::empty())?;
            open()
        }
        // An access control list that XFS cannot read.
        Err(Some(errno @ (Errno::UCLEAN | Errno::INVAL))) => {
            remove_acls(parent, name).map_err(|_| errno)?;
            open()
        }
        _ => opened,
    }
}

/// Removes the access control lists of the directory `name`, which cannot be opened for them.
fn remove_acls(parent: BorrowedFd<'_>, name: &CStr) -> rustix::io::Result<()> {
    let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let directory = openat(parent, name, flags, Mode::empty())?;
    // By its other name: a descriptor of this kind does not allow it.
    let path = descriptors::name_of(&directory);
    ["system.posix_acl_access", "system.posix_acl_default"].iter().try_for_each(|acl| match removexattr(&path, *acl) {
        Err(Errno::NODATA | Errno::NOTSUP) => Ok(()),
        removed => removed,
    })
}

fn level_of(directory: BorrowedFd<'_>, name: &CStr) -> io::Result<Level> {
    let stat = fstat(directory)?;
    Ok(Level { name: name.to_owned(), device: stat.st_dev, inode: stat.st_ino })
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;
    use std::os::unix::fs::symlink;

    #[test]
    fn removes_a_tree_and_leaves_what_links_point_to() {
        let directory = tempfile::tempdir().unwrap();
        let outside = directory.path().join("outside");
        fs::create_dir(&outside).unwrap();
        fs::write(outside.join("kept"), "x").unwrap();
        let tree = directory.path().join("tree");
        fs::create_dir_all(tree.join("a/b/c")).unwrap();
        fs::write(tree.join("a/b/file"), "x").unwrap();
        symlink(&outside, tree.join("a/link")).unwrap();
        symlink("/nowhere", tree.join("dangling")).unwrap();

        remove_tree(&tree).unwrap();
        assert!(!tree.exists() && outside.join("kept").exists());
        remove_tree(&tree).unwrap();
    }

    #[test]
    fn removes_files_and_links_given_themselves() {
        let directory = tempfile::tempdir().unwrap();
        let link = directory.path().join("link");
        symlink(directory.path(), &link).unwrap();
        remove_tree(&link).unwrap();
        assert!(directory.path().exists() && !link.is_symlink());
    }

    #[test]
    fn removes_trees_deeper_than_there_are_descriptors() {
        let directory = tempfile::tempdir().unwrap();
        let tree = directory.path().join("tree");
        fs::create_dir(&tree).unwrap();
        let mut current = openat(rustix::fs::CWD, &tree, DIRECTORY, Mode::empty()).unwrap();
        for _ in 0..3000 {
            rustix::fs::mkdirat(&current, "deep", Mode::RWXU).unwrap();
            current = openat(&current, "deep", DIRECTORY, Mode::empty()).unwrap();
        }
        remove_tree(&tree).unwrap();
        assert!(!tree.exists());
    }
}
