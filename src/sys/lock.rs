//! Locks between processes, which end with the process that holds them, however it ends.
//!
//! One file serves for all locks of a store. As a whole it is locked by flock(2); each thing in the store is locked by
//! its name, as one byte of the file at a place computed from the name (`F_OFD_SETLK`, fcntl_locking(2)). So locking
//! makes no files, which a full disk would refuse when deleting is all that helps, and leaves none behind. The two kinds
//! do not see each other.
//!
//! This is the only module that sees `fs2`.

use std::fs::File;
use std::io;
use std::path::Path;
use std::thread;
use std::time::{Duration, Instant};

use nix::errno::Errno;
use nix::fcntl::{FcntlArg, fcntl};
use rustix::fs::{Mode, OFlags, openat};
use sha2::{Digest, Sha256};

use super::path_error::{OnPath, PathError};
use super::{descriptors, interrupt};

/// How long after the first look a taken lock is looked at again; twice as long each time, up to the second.
const FIRST_POLL: Duration = Duration::from_micros(250);
const LAST_POLL: Duration = Duration::from_millis(10);

/// A held lock.
#[derive(Debug)]
pub struct Lock {
    _file: File,
}

/// Locks the whole file together with others who share it, waiting no longer than `limit` for one who holds it alone.
pub fn share_whole_within(file: &Path, limit: Duration) -> Result<Option<Lock>, PathError> {
    let opened = open(file)?;
    let is_taken = poll(within(limit), || uncontended(fs2::FileExt::try_lock_shared(&opened))).on("lock", file)?;
    Ok(is_taken.then_some(Lock { _file: opened }))
}

/// Locks the whole file alone, waiting no longer than `limit` for it.
pub fn own_whole_within(file: &Path, limit: Duration) -> Result<Option<Lock>, PathError> {
    let opened = open(file)?;
    let is_taken = own_file_within(&opened, limit).on("lock", file)?;
    Ok(is_taken.then_some(Lock { _file: opened }))
}

/// Locks a whole file alone until it is closed, and tells whether that took no longer than `limit`.
pub fn own_file_within(file: &File, limit: Duration) -> io::Result<bool> {
    poll(within(limit), || uncontended(fs2::FileExt::try_lock_exclusive(file)))
}

/// Whether a lock was had; that somebody else has it is no error.
fn uncontended(tried: io::Result<()>) -> io::Result<bool> {
    match tried {
        Err(e) if e.raw_os_error() == fs2::lock_contended_error().raw_os_error() => Ok(false),
        tried => tried.map(|()| true),
    }
}

/// Locks `name` together with others who share it, waiting no longer than `limit` for one who holds it alone.
pub fn share_within(file: &Path, name: &str, limit: Duration) -> Result<Option<Lock>, PathError> {
    take(file, name, libc::F_RDLCK, within(limit))
}

/// Locks `name` alone, if nobody has locked it.
pub fn try_own(file: &Path, name: &str) -> Result<Option<Lock>, PathError> {
    own_while(file, name, || false)
}

/// Locks `name` alone, waiting no longer than `limit` for it.
pub fn own_within(file: &Path, name: &str, limit: Duration) -> Result<Option<Lock>, PathError> {
    own_while(file, name, within(limit))
}

/// Locks `name` alone, waiting while `keep_waiting` says so; `None` when it no longer does.
pub fn own_while(file: &Path, name: &str, keep_waiting: impl Fn() -> bool) -> Result<Option<Lock>, PathError> {
    take(file, name, libc::F_WRLCK, keep_waiting)
}

/// Whether somebody holds the lock on `name`. It is not taken: nobody finds it held because of this.
pub fn is_held(file: &Path, name: &str) -> Result<bool, PathError> {
    let opened = open(file)?;
    let mut range = range(name, libc::F_WRLCK);
    fcntl(&opened, FcntlArg::F_OFD_GETLK(&mut range))
        .map_err(|errno| PathError::new("lock", file, io::Error::from(errno)))?;
    Ok(i32::from(range.l_type) != libc::F_UNLCK)
}

fn range(name: &str, kind: i32) -> libc::flock {
    libc::flock {
        l_type: kind as libc::c_short,
        l_whence: libc::SEEK_SET as libc::c_short,
        l_start: lock_offset(name),
        l_len: 1,
        l_pid: 0,
    }
}

fn take(file: &Path, name: &str, kind: i32, keep_waiting: impl Fn() -> bool) -> Result<Option<Lock>, PathError> {
    let opened = open(file)?;
    let range = range(name, kind);
    let is_taken = poll(keep_waiting, || match fcntl(&opened, FcntlArg::F_OFD_SETLK(&range)) {
        Ok(_) => Ok(true),
        Err(Errno::EAGAIN | Errno::EACCES) => Ok(false),
        Err(errno) => Err(PathError::new("lock", file, io::Error::from(errno))),
    })?;
    Ok(is_taken.then_some(Lock { _file: opened }))
}

/// Two names at one place would wait for each other for nothing; among 2^62 places there are none.
pub(super) fn lock_offset(name: &str) -> i64 {
    let digest: [u8; 32] = Sha256::digest(name).into();
    let number = digest[..8].iter().fold(0u64, |number, byte| number << 8 | u64::from(*byte));
    (number >> 2) as i64
}

fn open(file: &Path) -> Result<File, PathError> {
    // A link in its place is not followed: it may be somebody else's.
    let flags = OFlags::RDWR | OFlags::CREATE | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let (directory, name) = descriptors::at(file);
    openat(directory, name, flags, Mode::RUSR | Mode::WUSR).map(File::from).on("open", file)
}

fn within(limit: Duration) -> impl Fn() -> bool {
    let start = Instant::now();
    move || start.elapsed() < limit
}

fn poll<E>(keep_waiting: impl Fn() -> bool, mut attempt: impl FnMut() -> Result<bool, E>) -> Result<bool, E> {
    let mut pause = FIRST_POLL;
    while !attempt()? {
        if !keep_waiting() || interrupt::is_requested() {
            return Ok(false);
        }
        thread::sleep(pause);
        pause = LAST_POLL.min(pause * 2);
    }
    Ok(true)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_locked_once_and_others_are_not_touched() {
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("lock");
        let held = try_own(&file, "image:x").unwrap();
        assert!(held.is_some());
        assert!(try_own(&file, "image:x").unwrap().is_none());
        assert!(is_held(&file, "image:x").unwrap() && !is_held(&file, "image:y").unwrap());
        assert!(try_own(&file, "image:y").unwrap().is_some());
        assert!(own_whole_within(&file, Duration::ZERO).unwrap().is_some());
        drop(held);
        assert!(try_own(&file, "image:x").unwrap().is_some());
        assert_eq!(std::fs::read_dir(directory.path()).unwrap().count(), 1);
    }

    /// The setuid helper takes this one and has no digests.
    #[test]
    fn the_place_that_the_helper_knows_is_the_right_one() {
        assert_eq!(lock_offset("projectids"), drax::xfs::PROJECT_IDS_LOCK);
    }

    #[test]
    fn shared_locks_exclude_only_who_wants_it_alone() {
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("lock");
        let share = || share_whole_within(&file, Duration::ZERO).unwrap();
        let whole = (share(), share());
        assert!(whole.0.is_some() && whole.1.is_some());
        assert!(own_whole_within(&file, Duration::ZERO).unwrap().is_none());
        drop(whole);
        let alone = own_whole_within(&file, Duration::ZERO).unwrap();
        assert!(alone.is_some() && share().is_none());
        drop(alone);
        let first = share_within(&file, "n", Duration::ZERO).unwrap();
        assert!(first.is_some() && share_within(&file, "n", Duration::ZERO).unwrap().is_some());
        assert!(own_within(&file, "n", Duration::from_millis(30)).unwrap().is_none());
    }
}
