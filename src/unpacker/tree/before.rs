//! Directories that were there before: what they are left with, unless the layer says what they have.
//!
//! What is made in a directory is to be what its entry says, no more and no less. But a directory hands down its group and
//! the bit that says so (inode(7), "set-group-ID"), and an access control list if it has one for that (acl(5), "Object
//! creation and default ACLs"); and it may not even let its owner write. So while entries are made in it, it does none of
//! that.

use std::ffi::OsStr;
use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};

use rustix::fs::{Mode, OFlags, Stat, Timespec, Timestamps, chmod, fchmod, fstat, futimens, openat};

use crate::sys::xattr;
use crate::unpacker::attributes::Owner;

const DEFAULT_ACL: &str = "system.posix_acl_default";

/// What a directory was.
pub(super) struct Before {
    pub(super) times: Timestamps,
    /// Its mode, if that had to change.
    mode: Option<Mode>,
    /// What it hands down of permissions, if it did.
    default_acl: Option<Vec<u8>>,
}

impl Before {
    /// A directory of which nothing has been changed yet but its times.
    pub(super) fn of_times(times: Timestamps) -> Self {
        Self { times, mode: None, default_acl: None }
    }

    /// Takes a directory over: it lets its owner do what root may do anyway, and hands nothing down.
    pub(super) fn take_over(directory: &OwnedFd, user: u32) -> io::Result<Self> {
        let stat = fstat(directory)?;
        let mut before = Self::of_times(times(&stat));
        if !may_change(&stat, user) {
            return Ok(before);
        }
        let mut mode = Mode::from_raw_mode(stat.st_mode & 0o7777);
        if let_in(directory, mode)? {
            before.mode = Some(mode);
            mode |= Mode::RWXU;
        }
        // The descriptor may be one that allows no more than to go through.
        let directory = openat(directory, ".", OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty())?;
        if mode.contains(Mode::SGID) {
            fchmod(&directory, mode - Mode::SGID)?;
            before.mode.get_or_insert(mode);
        }
        before.default_acl = xattr::get(&directory, OsStr::new(DEFAULT_ACL))?;
        if before.default_acl.is_some() {
            xattr::remove(&directory, OsStr::new(DEFAULT_ACL))?;
        }
        Ok(before)
    }

    /// Makes the directory what it was.
    pub(super) fn restore(&self, directory: BorrowedFd<'_>) -> io::Result<()> {
        if let Some(acl) = &self.default_acl {
            xattr::set(directory, OsStr::new(DEFAULT_ACL), acl)?;
        }
        if let Some(mode) = self.mode {
            fchmod(directory, mode)?;
        }
        Ok(futimens(directory, &self.times)?)
    }
}

/// Opens a directory that may not let its owner read, for it to be given other attributes.
pub(super) fn open_closed(directory: &OwnedFd, user: u32) -> io::Result<OwnedFd> {
    let stat = fstat(directory)?;
    if may_change(&stat, user) {
        let_in(directory, Mode::from_raw_mode(stat.st_mode & 0o7777))?;
    }
    Ok(openat(directory, ".", OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty())?)
}

fn may_change(directory: &Stat, user: u32) -> bool {
    Owner::can_be_given() || directory.st_uid == user
}

/// Has a directory let its owner do what root may do anyway. Returns whether that changed its mode.
fn let_in(directory: impl AsFd, mode: Mode) -> io::Result<bool> {
    if Owner::can_be_given() || mode.contains(Mode::RWXU) {
        return Ok(false);
    }
    // By its other name: a descriptor that allows no reading does not allow this either.
    chmod(format!("/proc/self/fd/{}", directory.as_fd().as_raw_fd()), mode | Mode::RWXU)?;
    Ok(true)
}

/// Both times of a file, to be given back to it later.
pub(in crate::unpacker) fn times(stat: &Stat) -> Timestamps {
    let time = |seconds, nanoseconds: u64| Timespec { tv_sec: seconds, tv_nsec: nanoseconds.cast_signed() };
    Timestamps {
        last_access: time(stat.st_atime, stat.st_atime_nsec),
        last_modification: time(stat.st_mtime, stat.st_mtime_nsec),
    }
}
