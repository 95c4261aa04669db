//! Giving out project ids, and taking them back.

use super::{Limit, ProjectId, set_limit, set_project_id};
use crate::error::{Error, Operation, Result};
use crate::sys::{self, DiskQuota, QuotaCommand};
use std::ffi::CString;
use std::fs::File;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::fs::MetadataExt;

/// Gives `image`, an empty directory, a project of its own with `limit`; returns its number.
///
/// Several stores may share a filesystem, and with it the numbers; any user may put files into any project. So the kernel
/// is asked who bears a number: first a nameless file, which nobody else can reach, is put into the project, and then the
/// project's inodes are counted. If that file is all there is, no image has the number, and everybody else who tries it
/// from now on finds it taken: of two at the same time both see two inodes, and both look for another one. A limit that
/// was left on a number that nobody bears means nothing.
///
/// Then the number is reserved in this store (`mkdir <projectids>/<number>`), limited, and put on the image, in that
/// order. So an image with a number is limited, and a reservation that no image bears is garbage. Allocating processes
/// need no lock among themselves; a collector must keep them off while it looks.
///
/// Numbers are drawn at random from a range 16 times as large as the count in use, which doubles with each one that is
/// taken, so the expected number of attempts is just above one however many images there are. They start at 2, as the
/// original's do.
pub fn allocate_project(image: BorrowedFd<'_>, projectids: BorrowedFd<'_>, limit: Limit) -> Result<u32> {
    const ATTEMPTS: u32 = 64;

    let stake = Stake::new(projectids)?;
    let in_use = in_use(projectids)?;
    for attempt in 0..ATTEMPTS {
        let id = candidate(in_use, attempt)?;
        if stake.claim(id)? && reserve(projectids, id)? {
            if let Err(error) = limit_and_bind(image, projectids, id, limit) {
                // What cannot be undone is left to the collector.
                let _ = sys::remove_dir_at(projectids, &name(id));
                return Err(error);
            }
            return Ok(id);
        }
    }
    Err(Error::during(Operation::Reserve)(std::io::Error::from_raw_os_error(libc::EEXIST)))
}

/// Gives the number of a project back and takes its limit off, on behalf of an image whose directory is all that still
/// bears it. A number that is not reserved any more, and 0, are fine.
///
/// In a store of somebody else's the limit stays: there the owner may have put any number on the directory. It also
/// stays when it may not or cannot be taken off. It means nothing, see [`allocate_project`].
pub fn release_project(projectids: BorrowedFd<'_>, id: u32) -> Result<()> {
    if id == 0 {
        return Ok(());
    }
    if is_own(projectids).map_err(Error::during(Operation::Release(ProjectId(id))))? {
        take_limit_off(projectids, id)?;
    }
    unreserve(projectids, id)
}

/// Gives the number of a project back that no image of this store bears, and takes its limit off unless it is borne
/// elsewhere. The limit also stays where the caller may not take it off.
pub fn reclaim_project(projectids: BorrowedFd<'_>, id: u32) -> Result<()> {
    match Stake::new(projectids)?.claim(id) {
        // EINVAL: in user namespaces there are no projects to be changed.
        Err(error) if !matches!(error.errno(), libc::EPERM | libc::EINVAL) => return Err(error),
        Ok(true) => take_limit_off(projectids, id)?,
        Ok(false) | Err(_) => {}
    }
    unreserve(projectids, id)
}

fn limit_and_bind(image: BorrowedFd<'_>, projectids: BorrowedFd<'_>, id: u32, limit: Limit) -> Result<()> {
    set_limit(projectids, id, limit)?;
    set_project_id(image, id)
}

/// A nameless file that is put into one project after the other.
struct Stake(OwnedFd);

impl Stake {
    fn new(directory: BorrowedFd<'_>) -> Result<Self> {
        sys::open_nameless_file(directory).map(Self).map_err(Error::during(Operation::Stake))
    }

    /// Puts the file into project `id`, and tells whether nothing else is in it.
    fn claim(&self, id: u32) -> Result<bool> {
        set_project_id(self.0.as_fd(), id)?;
        let mut quota = DiskQuota::default();
        match sys::quotactl(self.0.as_fd(), QuotaCommand::Get(&mut quota), id) {
            Ok(()) => Ok(quota.inode_count == 1),
            // Nothing is counted, and limiting will fail.
            Err(error) if are_off(error.raw_os_error()) => Ok(true),
            Err(error) => Err(Error::during(Operation::GetUsage(ProjectId(id)))(error)),
        }
    }
}

/// The answers of a filesystem that is mounted without quotas, and of a kernel that has none.
fn are_off(errno: Option<i32>) -> bool {
    matches!(errno, Some(libc::ENOSYS | libc::ESRCH))
}

fn reserve(projectids: BorrowedFd<'_>, id: u32) -> Result<bool> {
    match sys::make_dir_at(projectids, &name(id), 0o755) {
        Err(error) if error.raw_os_error() == Some(libc::EEXIST) => Ok(false),
        other => other.map(|()| true).map_err(Error::during(Operation::Reserve)),
    }
}

fn unreserve(projectids: BorrowedFd<'_>, id: u32) -> Result<()> {
    match sys::remove_dir_at(projectids, &name(id)) {
        Err(error) if error.raw_os_error() == Some(libc::ENOENT) => Ok(()),
        other => other.map_err(Error::during(Operation::Release(ProjectId(id)))),
    }
}

fn take_limit_off(projectids: BorrowedFd<'_>, id: u32) -> Result<()> {
    match set_limit(projectids, id, Limit::NONE) {
        Err(error) if are_off(Some(error.errno())) || error.errno() == libc::EPERM => Ok(()),
        other => other,
    }
}

/// Whether the store is that of the user whose rights the process has.
fn is_own(projectids: BorrowedFd<'_>) -> std::io::Result<bool> {
    Ok(metadata(projectids)?.uid() == sys::effective_uid())
}

/// How many numbers are reserved: XFS counts one link for each subdirectory, besides `.` and the name itself.
fn in_use(projectids: BorrowedFd<'_>) -> Result<u64> {
    Ok(metadata(projectids).map_err(Error::during(Operation::CountReserved))?.nlink().saturating_sub(2))
}

fn metadata(directory: BorrowedFd<'_>) -> std::io::Result<std::fs::Metadata> {
    File::from(directory.try_clone_to_owned()?).metadata()
}

/// A random number to try, given how many are in use and how many have turned out to be taken.
fn candidate(in_use: u64, attempt: u32) -> Result<u32> {
    const FIRST: u64 = 2;
    let range = in_use.saturating_mul(16).saturating_add(1024).saturating_mul(1 << attempt.min(32));
    let range = range.min(u64::from(u32::MAX) - FIRST);
    let random = sys::random().map_err(Error::during(Operation::Random))?;
    // The remainder favours small numbers by less than one in 2^32.
    let id = FIRST + random % range;
    Ok(u32::try_from(id).unwrap_or(u32::MAX))
}

fn name(id: u32) -> CString {
    CString::new(id.to_string()).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn candidates_stay_between_two_and_sixteen_times_the_numbers_in_use() {
        for count in [0, 1, 1000] {
            for _ in 0..2000 {
                let id = u64::from(candidate(count, 0).unwrap());
                assert!((2..2 + 16 * count + 1024).contains(&id), "{id} with {count} in use");
            }
        }
    }

    #[test]
    fn the_range_grows_with_each_number_that_is_taken() {
        let largest = (0..2000).map(|_| candidate(0, 10).unwrap()).max();
        assert!((500_000..2 + (1024 << 10)).contains(&largest.unwrap()), "{largest:?}");
    }

    #[test]
    fn candidates_never_reach_the_number_that_means_unset() {
        for attempt in [0, 63] {
            for _ in 0..2000 {
                assert_ne!(candidate(u64::MAX, attempt).unwrap(), u32::MAX);
            }
        }
    }

    #[test]
    fn releasing_no_project_touches_nothing() {
        // It has no projects, so it refuses whatever is asked of it.
        let proc = File::open("/proc").unwrap();
        release_project(proc.as_fd(), 1).unwrap_err();
        release_project(proc.as_fd(), 0).unwrap();
    }
}
