//! Whether a filesystem counts, and how.

use super::{QUOTA_TREE, find, is, number};
use crate::btrfs::qgroup::sysfs;
use crate::error::{Error, Operation, Result};
use crate::sys::{self, Accounting, TreeKey};
use std::fs;
use std::io;
use std::os::fd::BorrowedFd;

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

/// Has the filesystem count in the wanted way, unless it counts already; returns the way it does.
///
/// Fails with `EINVAL` where the kernel does not know simple quotas. Classic quotas are waited for until all that was
/// there before is counted, which takes as long as reading the metadata of the filesystem.
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
    }
    Ok(mode)
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
    /// `BTRFS_QGROUP_STATUS_KEY`
    const STATUS: TreeKey = TreeKey { object: 0, kind: 240, offset: 0 };
    // BTRFS_QGROUP_STATUS_FLAG_*
    const RESCANNING: u64 = 1 << 1;
    const INCONSISTENT: u64 = 1 << 2;
    const SIMPLE: u64 = 1 << 3;

    let status = match find(fs, QUOTA_TREE, STATUS) {
        Err(error) if is(&error, libc::ENOENT) => None,
        other => other?,
    };
    let Some(status) = status else { return Ok(None) };
    let flags = number(&status, 2)?;
    let mode = if flags & SIMPLE == 0 { QuotaMode::Classic } else { QuotaMode::Simple };
    Ok(Some(QuotaState { mode, is_consistent: flags & (RESCANNING | INCONSISTENT) == 0 }))
}

/// `denied` is what to say where there is no sysfs.
fn state_from_sysfs(fs: BorrowedFd<'_>, denied: io::Error) -> io::Result<Option<QuotaState>> {
    let filesystem = sysfs(fs)?;
    if !filesystem.is_dir() {
        return Err(denied);
    }
    // The directory comes and goes with the quotas.
    let read = |name: &str| match fs::read_to_string(filesystem.join("qgroups").join(name)) {
        Err(error) if is(&error, libc::ENOENT) => Ok(None),
        other => other.map(|text| Some(text.trim_end().to_owned())),
    };
    if read("enabled")?.as_deref() != Some("1") {
        return Ok(None);
    }
    // Kernels without simple quotas have no such file.
    let mode = if read("mode")?.as_deref() == Some("squota") { QuotaMode::Simple } else { QuotaMode::Classic };
    Ok(Some(QuotaState { mode, is_consistent: read("inconsistent")?.as_deref() != Some("1") }))
}
