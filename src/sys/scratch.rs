//! Files and directories that are written under a name of their own, beside where they belong, and are gone when whoever
//! writes them is done: at once, also where the process is ended because it is overdue, and otherwise with the next one that
//! is made at the same place.
//!
//! Whoever works on one has it locked (flock(2)), so that it is known for abandoned where nobody has. On filesystems without
//! such locks nothing is ever taken for abandoned.

use std::fs::{self, DirBuilder, File};
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};

use rustix::fs::{FlockOperation, Mode, OFlags};
use rustix::io::Errno;

use super::path_error::{OnPath, PathError};
use super::random::random_number;
use super::umask;

/// How often another name is tried, where somebody takes a new one for abandoned.
const TRIES: usize = 8;
/// How often the content of a directory is removed that others may still be writing to.
const REMOVALS: usize = 8;

/// What is there now.
static PRESENT: Mutex<Vec<PathBuf>> = Mutex::new(Vec::new());

/// A file or directory that goes again.
#[derive(Debug)]
pub struct Scratch {
    path: PathBuf,
    /// Keeps others from taking it for abandoned.
    _lock: OwnedFd,
}

impl Scratch {
    /// A directory that others may not look into. Its name begins with `prefix`, which is for such directories alone.
    ///
    /// # Errors
    /// Those of the system calls.
    pub fn directory(parent: &Path, prefix: &str) -> Result<Self, PathError> {
        let make = |path: &Path| {
            DirBuilder::new().mode(0o700).create(path).on("mkdir", path)?;
            open(path).on("open", path)
        };
        Self::made(parent, prefix, make, |descriptor| descriptor.try_clone()).map(|(scratch, _)| scratch)
    }

    /// A file to be written; the same of its name.
    ///
    /// # Errors
    /// Those of the system calls.
    pub fn file(parent: &Path, prefix: &str) -> Result<(Self, File), PathError> {
        let make = |path: &Path| {
            let mode = umask::allowed(0o666);
            File::options().write(true).create_new(true).mode(mode).open(path).on("open", path)
        };
        Self::made(parent, prefix, make, |file| Ok(file.try_clone()?.into()))
    }

    fn made<T: AsFd>(
        parent: &Path,
        prefix: &str,
        make: impl Fn(&Path) -> Result<T, PathError>,
        lock: impl Fn(&T) -> io::Result<OwnedFd>,
    ) -> Result<(Self, T), PathError> {
        remove_abandoned(parent, prefix);
        let mut tries = 0;
        loop {
            tries += 1;
            let path = parent.join(format!("{prefix}{:016x}", random_number()?));
            let mut present = present();
            let made = make(&path)?;
            // Held only while somebody takes it for abandoned, before it is locked.
            let is_taken = rustix::fs::flock(&made, FlockOperation::NonBlockingLockExclusive) == Err(Errno::WOULDBLOCK);
            if tries < TRIES && (is_taken || fs::symlink_metadata(&path).is_err()) {
                continue;
            }
            present.push(path.clone());
            drop(present);
            let lock = lock(&made).on("dup", &path)?;
            return Ok((Scratch { path, _lock: lock }, made));
        }
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Gives a file its name, in place of what has it. It then stays.
    ///
    /// # Errors
    /// Those of rename(2).
    pub fn rename(self, to: &Path) -> Result<(), PathError> {
        fs::rename(&self.path, to).on("rename", to)
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let mut present = present();
        remove(&self.path);
        present.retain(|path| *path != self.path);
    }
}

/// Removes all that is there, for a process that ends before those are done who work on it. They are kept from making more.
pub fn remove_all() {
    let present = present();
    present.iter().for_each(|path| remove(path));
    std::mem::forget(present);
}

fn present() -> MutexGuard<'static, Vec<PathBuf>> {
    PRESENT.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Removes what dead processes of this user have left below `parent`. What cannot be told or removed stays.
fn remove_abandoned(parent: &Path, prefix: &str) {
    let Ok(entries) = fs::read_dir(parent) else { return };
    for entry in entries.filter_map(Result::ok) {
        if entry.file_name().to_str().and_then(|name| name.strip_prefix(prefix)).is_some_and(is_number) {
            let path = entry.path();
            let _lock = match open(&path) {
                Ok(descriptor) if is_abandoned(&descriptor) => descriptor,
                _ => continue,
            };
            tracing::info!(path = %path.display(), "removing-abandoned-scratch");
            remove(&path);
        }
    }
}

fn is_number(name: &str) -> bool {
    name.len() == 16 && name.bytes().all(|byte| byte.is_ascii_hexdigit())
}

fn open(path: &Path) -> io::Result<OwnedFd> {
    let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
    Ok(rustix::fs::open(path, flags, Mode::empty())?)
}

/// Whether it is this user's, and nobody works on it any more. In a directory for everybody others may have such names, too.
fn is_abandoned(descriptor: &OwnedFd) -> bool {
    let is_own = rustix::fs::fstat(descriptor).is_ok_and(|stat| stat.st_uid == rustix::process::geteuid().as_raw());
    is_own && rustix::fs::flock(descriptor, FlockOperation::NonBlockingLockExclusive).is_ok()
}

fn remove(path: &Path) {
    let remove = |metadata: fs::Metadata| {
        if metadata.is_dir() { fs::remove_dir_all(path) } else { fs::remove_file(path) }
    };
    for attempt in 1..=REMOVALS {
        match fs::symlink_metadata(path).and_then(remove) {
            Err(error) if error.kind() == io::ErrorKind::DirectoryNotEmpty && attempt < REMOVALS => {}
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                tracing::error!(%error, path = %path.display(), "removing-scratch-failed");
                return;
            }
            _ => return,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(directory: &Path) -> Vec<String> {
        let names = fs::read_dir(directory).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap());
        names.collect()
    }

    #[test]
    fn what_nobody_works_on_goes_with_the_next() {
        let directory = tempfile::tempdir().unwrap();
        let at = directory.path();
        let abandoned = at.join(".layout-0123456789abcdef");
        fs::create_dir_all(abandoned.join("blobs")).unwrap();
        fs::write(abandoned.join("blobs/blob"), "").unwrap();
        fs::write(at.join(".layout-mine"), "").unwrap();
        let first = Scratch::directory(at, ".layout-").unwrap();
        let second = Scratch::directory(at, ".layout-").unwrap();
        assert!(first.path().is_dir() && second.path().is_dir() && !abandoned.exists());
        drop((first, second));
        assert_eq!(names(at), [".layout-mine"]);
    }

    #[test]
    fn a_file_stays_that_was_given_its_name() {
        let directory = tempfile::tempdir().unwrap();
        let at = directory.path();
        let (first, _file) = Scratch::file(at, ".new-").unwrap();
        let (second, _file) = Scratch::file(at, ".new-").unwrap();
        first.rename(&at.join("blob")).unwrap();
        drop(second);
        assert_eq!(names(at), ["blob"]);
    }
}
