//! Directories below one directory, each opened once, without following links and without leaving it.
//!
//! What is given to system calls is a name for the open directory (`/proc/self/fd/<n>`), and names in it. So a path is
//! resolved from the directory that was found, whatever is put in its place meanwhile.

use std::io;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};

use rustix::fs::{CWD, Mode, OFlags, ResolveFlags, fchmod, fchown, mkdirat, openat};
use rustix::fs::{Gid, Uid};
use rustix::io::Errno;

use super::owner::Owner;
use super::path_error::{OnPath, PathError};
use super::{descriptors, dirfd};

/// A path that leads nowhere (`ENOENT`), with the one that is meant behind it.
const MISSING: &str = "/proc/self/fd/-1";
/// The same, for what may be somewhere but must not be used (`ENOTDIR`): no directory has this name.
const REFUSED: &str = "/proc/self/exe";

const DIRECTORY: OFlags = OFlags::PATH.union(OFlags::DIRECTORY).union(OFlags::CLOEXEC);
/// Filesystems that an administrator mounts below the directory are part of it.
const BENEATH: ResolveFlags = ResolveFlags::BENEATH.union(ResolveFlags::NO_SYMLINKS).union(ResolveFlags::NO_MAGICLINKS);

/// The directories that are open, by their path below the first.
#[derive(Debug)]
pub struct Anchors {
    root: PathBuf,
    open: Mutex<Vec<(PathBuf, OwnedFd)>>,
}

impl Anchors {
    /// Directories below `root`, which may be reached by a link. Opens nothing yet.
    pub fn new(root: PathBuf) -> Self {
        Anchors { root, open: Mutex::default() }
    }

    /// The path of the directory that names are resolved from, as users know it.
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// A path for the directory `below`, by its descriptor. Where it cannot be opened, the path is one that no system call
    /// can do anything with.
    pub fn path(&self, below: &str) -> PathBuf {
        self.open(below).unwrap_or_else(|error| self.unusable(below, &error))
    }

    /// The same, or why it cannot be opened: a link in its place is `ELOOP` or `ENOTDIR`.
    ///
    /// # Errors
    /// Those of openat2(2).
    pub fn open(&self, below: &str) -> Result<PathBuf, PathError> {
        self.with_open(below, |_| ())
    }

    /// Makes the directory `below`, unless it is there.
    ///
    /// # Errors
    /// Those of openat2(2) and mkdirat(2).
    pub fn ensure(&self, below: &str) -> Result<PathBuf, PathError> {
        match self.open(below) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            opened => return opened,
        }
        let (parent, name) = below.rsplit_once('/').unwrap_or(("", below));
        let made = self.with_descriptor(parent, |parent| mkdirat(parent, name, Mode::from_raw_mode(0o777)))?;
        match made {
            Err(Errno::EXIST) => {}
            made => made.on("mkdir", self.root.join(below))?,
        }
        self.open(below)
    }

    /// Makes the directory `below`, or takes it over, for `owner`.
    ///
    /// # Errors
    /// Those of openat2(2), mkdirat(2), fchown(2) and fchmod(2).
    pub fn ensure_owned(&self, below: &str, mode: u32, owner: Owner) -> Result<(), PathError> {
        let path = self.ensure(below)?;
        let shown = self.root.join(below);
        let directory = openat(CWD, path, OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty());
        let directory = directory.on("open", &shown)?;
        fchown(&directory, owner.uid.map(Uid::from_raw), owner.gid.map(Gid::from_raw)).on("chown", &shown)?;
        fchmod(&directory, Mode::from_raw_mode(mode)).on("chmod", &shown)
    }

    /// Closes all, so that the directory can be unmounted, or what is mounted on it now is found.
    pub fn close(&self) {
        self.lock().clear();
    }

    fn with_open<T>(&self, below: &str, then: impl FnOnce(&OwnedFd) -> T) -> Result<PathBuf, PathError> {
        self.with_descriptor(below, |directory| {
            then(directory);
            descriptors::name_of(directory)
        })
    }

    fn with_descriptor<T>(&self, below: &str, then: impl FnOnce(&OwnedFd) -> T) -> Result<T, PathError> {
        let mut open = self.lock();
        if open.is_empty() {
            let root = openat(CWD, &self.root, DIRECTORY, Mode::empty()).on("open", &self.root)?;
            open.push((PathBuf::new(), root));
        }
        if let Some((_, directory)) = open.iter().find(|(name, _)| name == Path::new(below)) {
            return Ok(then(directory));
        }
        let directory = dirfd::resolve(&open[0].1, Path::new(below), DIRECTORY, BENEATH);
        let directory = directory.on("open", self.root.join(below))?;
        let done = then(&directory);
        open.push((below.into(), directory));
        Ok(done)
    }

    fn lock(&self) -> MutexGuard<'_, Vec<(PathBuf, OwnedFd)>> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn unusable(&self, below: &str, error: &PathError) -> PathBuf {
        let meant = self.root.join(below);
        match error.kind() {
            io::ErrorKind::NotFound => behind(MISSING, &meant),
            // Whoever may not look into the directory may not work in it either, whatever becomes of the path.
            io::ErrorKind::PermissionDenied => meant,
            _ => {
                tracing::error!(%error, "directory-cannot-be-used");
                behind(REFUSED, &meant)
            }
        }
    }
}

fn behind(nowhere: &str, meant: &Path) -> PathBuf {
    Path::new(nowhere).join(meant.strip_prefix("/").unwrap_or(meant))
}

/// The path that an unusable one stands for.
pub fn meant_by(path: &Path) -> Option<PathBuf> {
    [MISSING, REFUSED]
        .iter()
        .find_map(|nowhere| path.strip_prefix(nowhere).ok())
        .map(|meant| Path::new("/").join(meant))
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::symlink;

    use super::*;

    fn anchors() -> (tempfile::TempDir, Anchors) {
        let directory = tempfile::tempdir().unwrap();
        let anchors = Anchors::new(directory.path().join("store"));
        fs::create_dir_all(directory.path().join("store/real")).unwrap();
        (directory, anchors)
    }

    #[test]
    fn a_directory_stays_the_same_whatever_is_put_in_its_place() {
        let (directory, anchors) = anchors();
        let (real, aside) = (directory.path().join("store/real"), directory.path().join("store/aside"));
        let path = anchors.path("real");
        fs::rename(&real, &aside).unwrap();
        symlink(directory.path(), &real).unwrap();
        fs::write(path.join("x"), "").unwrap();
        fs::write(anchors.path("real").join("y"), "").unwrap();
        assert!(aside.join("x").exists() && aside.join("y").exists());
    }

    #[test]
    fn links_and_missing_directories_lead_nowhere_and_are_told_by_their_names() {
        let (directory, anchors) = anchors();
        symlink(directory.path(), directory.path().join("store/link")).unwrap();
        for (name, reason) in [("missing", "no such file or directory"), ("link", "not a directory")] {
            let path = anchors.path(name).join("x");
            let error = fs::write(&path, "").on("open", &path).unwrap_err();
            let shown = directory.path().join("store").join(name).join("x");
            assert_eq!(error.to_string(), format!("open {}: {reason}", shown.display()));
        }
        assert!(!directory.path().join("x").exists());
        assert!(anchors.open("link").is_err() && anchors.ensure("link").is_err());
        fs::write(anchors.ensure("missing").unwrap().join("x"), "").unwrap();
        assert!(directory.path().join("store/missing/x").exists());
    }
}
