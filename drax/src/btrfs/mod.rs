//! Btrfs quota groups and subvolumes, all by ioctl; the program `btrfs` is not needed.
//!
//! Each subvolume has a quota group of its own, `0/<subvolume id>`, made and numbered by the kernel. It counts the bytes
//! that the subvolume refers to and those that it alone refers to, and can limit either; a write past a limit fails with
//! `EDQUOT`. There are two ways to count ([`QuotaMode`]).
//!
//! What the kernel does, as measured on 6.18 and on 6.1 (which has classic quotas only):
//!
//! - Whichever quotas are on stay on: switching on the other kind succeeds and changes nothing.
//! - Numbers are those of the last commit. What has been written since is limited, but not in the numbers before a
//!   [`sync`], which any user may ask for.
//! - A snapshot's group starts at its one tree block (16 KiB with the usual size), in simple mode for both numbers, in
//!   classic mode for the exclusive one; there the other starts with all that the original refers to.
//! - In simple mode, bytes are counted where they were first written, for as long as any subvolume refers to them, and
//!   the two numbers are the same. What was written before quotas were on is not counted, ever. Switching on is at once.
//! - In classic mode, switching on has the kernel count everything there is, and the numbers are wrong until that is
//!   done. [`enable_quota`] waits for it.
//! - Simple quotas are an incompatible feature of the filesystem: kernels before 6.7 do not mount it any more.
//! - While a subvolume exists, removing its group fails with `EBUSY`, and so it does while the group's numbers are not
//!   zero: in simple mode until no other subvolume refers to its bytes, on 6.1 until the commit after the subvolume has
//!   been dropped, which a thread of the kernel's does a while after the deletion.
//! - On 6.18 that thread removes the group with the subvolume, unless its numbers are not zero. Such a group is left for
//!   good, also when they become zero later. On 6.1 no group is ever removed. [`stale_qgroups`] finds both.
//! - With quotas off, limits fail with `ENOTCONN`, and there is no quota tree to be searched (`ENOENT`).

mod image;
mod qgroup;
mod state;
mod subvolume;

pub use image::{ImageUsage, LimitError, limit_image, minimum_limit, usage_of_image};
pub use qgroup::{
    Limit, QgroupId, Usage, remove_qgroup, remove_stale_qgroup, set_limit, share_limit, stale_qgroups,
    subvolumes_outside, unlimit, usage,
};
pub use state::{QuotaMode, QuotaState, enable_quota, make_consistent, quota_state, simple_quota_epoch};
pub use subvolume::{
    NestedSubvolume, has_deleted_subvolumes, has_grandchildren, is_subvolume, nested_subvolume_ids, nested_subvolumes,
    subvolume_id, visible_subvolumes,
};

use crate::error::{Error, Operation, Result};
use crate::sys::{self, TreeItem, TreeKey};
use std::io;
use std::os::fd::BorrowedFd;

/// The tree with the roots of all others, and who hangs below whom.
const ROOT_TREE: u64 = 1;
/// The tree of the quota groups. There is none while quotas are off.
const QUOTA_TREE: u64 = 8;

/// Writes out all data of the filesystem and commits, after which numbers are right. Needs no privilege.
pub fn sync(fs: BorrowedFd<'_>) -> Result<()> {
    sys::sync_filesystem(fs).map_err(Error::during(Operation::Sync))
}

/// The item at exactly one place of a tree.
fn find(fs: BorrowedFd<'_>, tree: u64, key: TreeKey) -> io::Result<Option<TreeItem>> {
    Ok(sys::search_tree(fs, tree, key, key, 1)?.pop())
}

/// The number at a place of an item.
fn number(item: &TreeItem, index: usize) -> io::Result<u64> {
    let bytes = item.data.get(index * 8..).and_then(|rest| rest.first_chunk());
    // Shorter than the kernel has ever written it.
    Ok(u64::from_le_bytes(*bytes.ok_or_else(|| io::Error::from_raw_os_error(libc::EUCLEAN))?))
}

fn is(error: &io::Error, errno: i32) -> bool {
    error.raw_os_error() == Some(errno)
}
