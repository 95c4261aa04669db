//! Whether a filesystem counts, and how.

use super::{QUOTA_TREE, find, is, number, sync};
use crate::btrfs::qgroup::sysfs;
use crate::error::{Error, Operation, Result};
use crate::sys::{self, Accounting, TreeItem, TreeKey};
use std::fs;
use std::io;
use std::os::fd::BorrowedFd;
use std::path::Path;
use std::thread;
use std::time::{Duration, Instant};

// Numbers of `struct btrfs_qgroup_status_item`, by their places.
const FLAGS: usize = 2;
/// Kernel 6.7, where quotas are simple.
const ENABLED_IN: usize = 4;

/// How a filesystem counts what its subvolumes take.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum QuotaMode {
    /// By who wrote the bytes; costs next to nothing. Kernel 6.7.
    Simple,
    /// By who refers to the bytes; each commit and each deletion takes longer the more snapshots there are.
    Classic,
}

/// The state of a filesystem's quotas.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct QuotaState {
    /// How it counts.
    pub mode: QuotaMode,
    /// Whether the numbers are right. In classic mode they are not while the kernel counts what was there before, and
    /// not after it has given up counting, until `btrfs quota rescan`.
    pub is_consistent: bool,
}

/// Whether and how the filesystem counts; `None` while quotas are off.
///
/// Without `CAP_SYS_ADMIN` the answer comes from sysfs, which containers may be without: then it is `EPERM`.
pub fn quota_state(fs: BorrowedFd<'_>) -> Result<Option<QuotaState>> {
    let state = match state_from_tree(fs) {
        Err(error) if is(&error, libc::EPERM) => state_from_sysfs(fs, error),
        other => other,
    };
    state.map_err(Error::during(Operation::GetQuotaState))
}

/// What changes when all limits of a filesystem have gone: its id, and the transaction in which simple quotas were switched
/// on. `None` for quotas that are off and for classic ones, which leave no record of when that was. Needs `CAP_SYS_ADMIN`.
pub fn simple_quota_epoch(fs: BorrowedFd<'_>) -> Result<Option<String>> {
    epoch(fs).map_err(Error::during(Operation::GetQuotaState))
}

fn epoch(fs: BorrowedFd<'_>) -> io::Result<Option<String>> {
    let Some(status) = status(fs)? else { return Ok(None) };
    if mode(&status)? == QuotaMode::Classic {
        return Ok(None);
    }
    let filesystem = u128::from_be_bytes(sys::filesystem_id(fs)?);
    Ok(Some(format!("{filesystem:032x}:{}", number(&status, ENABLED_IN)?)))
}

/// Has the filesystem count in the wanted way, unless it counts already; returns the way it does.
///
/// Fails with `EINVAL` where the kernel does not know simple quotas. Classic quotas are waited for until all that was
/// there before is counted, anew where they had gone wrong, which takes as long as reading the metadata of the filesystem.
pub fn enable_quota(fs: BorrowedFd<'_>, wanted: QuotaMode) -> Result<QuotaMode> {
    if quota_state(fs)?.is_none() {
        let accounting = match wanted {
            QuotaMode::Simple => Accounting::Simple,
            QuotaMode::Classic => Accounting::Classic,
        };
        sys::enable_quota(fs, accounting).map_err(Error::during(Operation::EnableQuota))?;
    }
    let off = || Error::during(Operation::EnableQuota)(io::Error::from_raw_os_error(libc::ENOTCONN));
    let mode = quota_state(fs)?.ok_or_else(off)?.mode;
    if mode == QuotaMode::Classic {
        wait_for_rescan(fs).map_err(Error::during(Operation::Rescan))?;
        make_consistent(fs, Duration::MAX)?;
    }
    Ok(mode)
}

/// Has the kernel count everything anew where classic quotas have gone wrong, and waits for that, but no longer than
/// `timeout`. Returns whether the numbers are right now: where they are not, limits are not enforced. Needs
/// `CAP_SYS_ADMIN` where they are not.
///
/// What makes them wrong: a snapshot that is to be in a group its original is not in, which its maker is free to want, or
/// a subvolume put into a group later.
pub fn make_consistent(fs: BorrowedFd<'_>, timeout: Duration) -> Result<bool> {
    let start = Instant::now();
    while quota_state(fs)?.is_some_and(|state| !state.is_consistent) {
        if start.elapsed() >= timeout
            || !rescan(fs, || start.elapsed() < timeout).map_err(Error::during(Operation::Rescan))?
        {
            return Ok(false);
        }
        // The numbers of groups, too, are right only in what has been committed since.
        sync(fs)?;
    }
    Ok(true)
}

/// Has the kernel count, if it does not already, and returns whether it is done.
fn rescan(fs: BorrowedFd<'_>, keep_waiting: impl Fn() -> bool) -> io::Result<bool> {
    match sys::start_rescan(fs) {
        Err(error) if is(&error, libc::EINPROGRESS) => {}
        started => started?,
    }
    while sys::is_rescanning(fs)? {
        if !keep_waiting() {
            return Ok(false);
        }
        thread::sleep(Duration::from_millis(20));
    }
    // Until it has written down that it is done.
    wait_for_rescan(fs)?;
    Ok(true)
}

fn wait_for_rescan(fs: BorrowedFd<'_>) -> io::Result<()> {
    loop {
        match sys::wait_for_rescan(fs) {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            other => return other,
        }
    }
}

fn state_from_tree(fs: BorrowedFd<'_>) -> io::Result<Option<QuotaState>> {
    // BTRFS_QGROUP_STATUS_FLAG_*
    const RESCANNING: u64 = 1 << 1;
    const INCONSISTENT: u64 = 1 << 2;

    let Some(status) = status(fs)? else { return Ok(None) };
    let is_consistent = number(&status, FLAGS)? & (RESCANNING | INCONSISTENT) == 0;
    Ok(Some(QuotaState { mode: mode(&status)?, is_consistent }))
}

/// `struct btrfs_qgroup_status_item`; there is none while quotas are off.
fn status(fs: BorrowedFd<'_>) -> io::Result<Option<TreeItem>> {
    /// `BTRFS_QGROUP_STATUS_KEY`
    const STATUS: TreeKey = TreeKey { object: 0, kind: 240, offset: 0 };
    match find(fs, QUOTA_TREE, STATUS) {
        Err(error) if is(&error, libc::ENOENT) => Ok(None),
        other => other,
    }
}

fn mode(status: &TreeItem) -> io::Result<QuotaMode> {
    /// `BTRFS_QGROUP_STATUS_FLAG_SIMPLE_MODE`
    const SIMPLE: u64 = 1 << 3;
    Ok(if number(status, FLAGS)? & SIMPLE == 0 { QuotaMode::Classic } else { QuotaMode::Simple })
}

/// `denied` is what to say where there is no sysfs.
fn state_from_sysfs(fs: BorrowedFd<'_>, denied: io::Error) -> io::Result<Option<QuotaState>> {
    let filesystem = sysfs(fs)?;
    if !filesystem.is_dir() {
        return Err(denied);
    }
    state_in(&filesystem.join("qgroups"))
}

/// What the directory says that comes and goes with the quotas.
fn state_in(qgroups: &Path) -> io::Result<Option<QuotaState>> {
    let read = |name: &str| match fs::read_to_string(qgroups.join(name)) {
        Err(error) if is(&error, libc::ENOENT) => Ok(None),
        other => other.map(|text| Some(text.trim_end().to_owned())),
    };
    // Kernels before 6.1 have none of these files, and those without simple quotas no `mode`.
    if !qgroups.is_dir() || read("enabled")?.is_some_and(|enabled| enabled != "1") {
        return Ok(None);
    }
    let mode = if read("mode")?.as_deref() == Some("squota") { QuotaMode::Simple } else { QuotaMode::Classic };
    Ok(Some(QuotaState { mode, is_consistent: read("inconsistent")?.as_deref() != Some("1") }))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn state(name: &str, files: &[(&str, &str)]) -> Option<QuotaState> {
        let directory = std::env::temp_dir().join(format!("drax-state-{name}-{}", std::process::id()));
        fs::create_dir(&directory).unwrap();
        for (name, content) in files {
            fs::write(directory.join(name), format!("{content}\n")).unwrap();
        }
        let state = state_in(&directory).unwrap();
        fs::remove_dir_all(&directory).unwrap();
        state
    }

    #[test]
    fn kernels_that_say_nothing_but_the_groups_have_quotas_on() {
        let on = |mode, is_consistent| Some(QuotaState { mode, is_consistent });
        assert_eq!(state("5-14", &[]), on(QuotaMode::Classic, true));
        assert_eq!(state("6-1", &[("enabled", "1"), ("inconsistent", "1")]), on(QuotaMode::Classic, false));
        let simple = [("enabled", "1"), ("inconsistent", "0"), ("mode", "squota")];
        assert_eq!(state("6-7", &simple), on(QuotaMode::Simple, true));
        assert_eq!(state("off", &[("enabled", "0")]), None);
        assert_eq!(state_in(Path::new("/nonexistent/qgroups")).unwrap(), None);
    }
}
