//! Lock files: flock(2), which ends with the process that holds it, however it ends.
//!
//! The lock file of an image or a layer is removed when its lock is released, so that `locks/` does not grow with every
//! image there ever was. Whoever locks a file that was removed in the meantime notices that it is no longer the one
//! under that name, and begins again. This is the only module that sees `fs2`.

use std::fs::{self, File, OpenOptions};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::thread;
use std::time::{Duration, Instant};

use super::path_error::{OnPath, PathError};

/// How often a taken lock is looked at again.
const POLL: Duration = Duration::from_millis(10);

/// A held exclusive lock, whose file goes with it.
#[derive(Debug)]
pub struct Lock {
    _file: File,
    path: PathBuf,
}

impl Drop for Lock {
    fn drop(&mut self) {
        // Before the descriptor closes, so that nobody holds the lock of a file that is about to vanish.
        let _ = fs::remove_file(&self.path);
    }
}

/// A held lock of the whole store, whose file stays: others may wait for it in the kernel.
#[derive(Debug)]
pub struct StoreLock {
    _file: File,
}

/// Takes a store's lock together with others who share it. Waits for one who holds it alone.
pub fn shared(path: &Path) -> Result<StoreLock, PathError> {
    let file = open(path)?;
    fs2::FileExt::lock_shared(&file).on("lock", path)?;
    Ok(StoreLock { _file: file })
}

/// Takes a store's lock alone, waiting no longer than `limit` for it.
pub fn exclusive_within(path: &Path, limit: Duration) -> Result<Option<StoreLock>, PathError> {
    let file = open(path)?;
    let start = Instant::now();
    while !try_exclusive(&file, path)? {
        if start.elapsed() >= limit {
            return Ok(None);
        }
        thread::sleep(POLL);
    }
    Ok(Some(StoreLock { _file: file }))
}

/// Takes the lock if nobody has it.
pub fn try_lock(path: &Path) -> Result<Option<Lock>, PathError> {
    loop {
        let file = open(path)?;
        if !try_exclusive(&file, path)? {
            return Ok(None);
        }
        if is_current(&file, path)? {
            return Ok(Some(Lock { _file: file, path: path.to_owned() }));
        }
    }
}

/// Takes the lock, waiting while `keep_waiting` says so; `None` when it no longer does.
pub fn lock_while(path: &Path, keep_waiting: impl Fn() -> bool) -> Result<Option<Lock>, PathError> {
    loop {
        if let Some(lock) = try_lock(path)? {
            return Ok(Some(lock));
        }
        if !keep_waiting() {
            return Ok(None);
        }
        thread::sleep(POLL);
    }
}

/// Takes the lock, waiting no longer than `limit` for it.
pub fn lock_within(path: &Path, limit: Duration) -> Result<Option<Lock>, PathError> {
    let start = Instant::now();
    lock_while(path, || start.elapsed() < limit)
}

fn open(path: &Path) -> Result<File, PathError> {
    OpenOptions::new().create(true).truncate(false).write(true).mode(0o600).open(path).on("open", path)
}

fn try_exclusive(file: &File, path: &Path) -> Result<bool, PathError> {
    match fs2::FileExt::try_lock_exclusive(file) {
        Ok(()) => Ok(true),
        Err(e) if e.raw_os_error() == fs2::lock_contended_error().raw_os_error() => Ok(false),
        Err(e) => Err(PathError::new("lock", path, e)),
    }
}

fn is_current(file: &File, path: &Path) -> Result<bool, PathError> {
    let held = file.metadata().on("stat", path)?;
    match fs::metadata(path) {
        Ok(named) => Ok(held.ino() == named.ino() && held.dev() == named.dev()),
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => Ok(false),
        Err(e) => Err(PathError::new("stat", path, e)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::{AtomicUsize, Ordering};

    #[test]
    fn a_held_lock_cannot_be_taken_and_leaves_no_file_behind() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("x.lock");
        let held = try_lock(&path).unwrap().unwrap();
        assert!(try_lock(&path).unwrap().is_none());
        drop(held);
        assert!(!path.exists());
        assert!(try_lock(&path).unwrap().is_some());
    }

    #[test]
    fn only_one_holds_a_lock_while_its_file_comes_and_goes() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("x.lock");
        let inside = AtomicUsize::new(0);
        thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| {
                    for _ in 0..100 {
                        if let Some(_lock) = try_lock(&path).unwrap() {
                            assert_eq!(inside.fetch_add(1, Ordering::SeqCst), 0);
                            thread::yield_now();
                            inside.fetch_sub(1, Ordering::SeqCst);
                        }
                    }
                });
            }
        });
    }
}
