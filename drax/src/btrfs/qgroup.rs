//! What one subvolume takes and may take.

use super::{QUOTA_TREE, find, is, number};
use crate::btrfs::state::{QuotaMode, quota_state};
use crate::btrfs::subvolume::{all_ids, exists, nested_subvolume_ids, subvolume_id};
use crate::error::{Error, Operation, Result};
use crate::sys::{self, QgroupLimit, TreeKey};
use std::collections::BTreeSet;
use std::fmt;
use std::fs;
use std::io;
use std::os::fd::BorrowedFd;
use std::path::PathBuf;

/// `BTRFS_QGROUP_INFO_KEY`
const INFO: u32 = 242;
/// `BTRFS_QGROUP_LIMIT_KEY`
const LIMIT: u32 = 244;

/// What a subvolume may take, in bytes; `None` is no limit.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Limit {
    /// Of all that it refers to.
    pub referenced: Option<u64>,
    /// Of what nobody else refers to.
    pub exclusive: Option<u64>,
}

/// What a subvolume takes and may take, in bytes, as of the last commit.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Usage {
    /// All that it refers to.
    pub referenced: u64,
    /// What nobody else refers to.
    pub exclusive: u64,
    /// What it is limited to.
    pub limit: Limit,
}

impl Usage {
    /// What others refer to as well: in classic mode, of a snapshot, what it has of its original.
    pub fn shared(self) -> u64 {
        self.referenced.saturating_sub(self.exclusive)
    }
}

/// A quota group by its number, which has its level in the upper 16 bits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct QgroupId(pub u64);

impl fmt::Display for QgroupId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.0 >> LEVEL_SHIFT, self.0 & LARGEST_ID)
    }
}

const LEVEL_SHIFT: u32 = 48;
const LARGEST_ID: u64 = (1 << LEVEL_SHIFT) - 1;

/// Limits subvolume `id`; limits that it had are replaced. Needs `CAP_SYS_ADMIN`. `ENOTCONN` means that quotas are off.
///
/// With simple quotas that includes the subvolumes that are made inside it later: whoever may write to a directory may
/// make a subvolume there, and would be rid of the limit. Not all of them, though: who makes one by
/// `BTRFS_IOC_SUBVOL_CREATE_V2` with `BTRFS_SUBVOL_QGROUP_INHERIT` says himself which groups it is to be in, none
/// included, and the kernel asks for no privilege ([`subvolumes_outside`]). With classic quotas each is free of the limit.
///
/// `fs` is a directory outside that subvolume, such as the store: the kernel takes the room for this change from the
/// subvolume of the descriptor, and one that is at its limit has none.
pub fn set_limit(fs: BorrowedFd<'_>, id: u64, limit: Limit) -> Result<()> {
    let mode = quota_state(fs)?.map(|state| state.mode);
    let group = if mode == Some(QuotaMode::Simple) { enclosing_group(id) } else { id };
    let failed = Error::during(Operation::LimitQgroup(QgroupId(group)));
    if group != id {
        unless_done(sys::create_qgroup(fs, group)).map_err(&failed)?;
        join(fs, id, group).map_err(&failed)?;
    }
    set(fs, group, limit).map_err(failed)
}

/// Puts subvolume `member` under the limit of subvolume `id`, which it was not made in. For simple quotas.
pub fn share_limit(fs: BorrowedFd<'_>, member: u64, id: u64) -> Result<()> {
    let group = enclosing_group(id);
    join(fs, member, group).map_err(Error::during(Operation::LimitQgroup(QgroupId(group))))
}

/// Subvolumes inside the limited subvolume `id` that do not share its limit. For simple quotas; needs `CAP_SYS_ADMIN`.
pub fn subvolumes_outside(fs: BorrowedFd<'_>, id: u64) -> Result<Vec<u64>> {
    let mut nested = nested_subvolume_ids(fs, id)?;
    if !nested.is_empty() {
        let group = enclosing_group(id);
        let members = members(fs, group).map_err(Error::during(Operation::GetQgroup(QgroupId(group))))?;
        nested.retain(|id| !members.contains(id));
    }
    Ok(nested)
}

/// Takes the limits off subvolume `id`, which is about to be deleted: its own, and those of images that it has been put
/// under. Whoever makes a subvolume can have it limited at once, and a full one lets none be removed from it. Groups that
/// are not grootfs' own stay as they are. Needs `CAP_SYS_ADMIN`; `fs` is as with [`set_limit`].
pub fn unlimit(fs: BorrowedFd<'_>, id: u64) -> Result<()> {
    let own = [enclosing_group(0), enclosing_group(LARGEST_ID)];
    let groups = relations(fs, id, own).map_err(Error::during(Operation::GetQgroup(QgroupId(id))))?;
    for group in groups {
        let left = sys::assign_qgroup(fs, id, group, false);
        unless_absent(left).map_err(Error::during(Operation::LimitQgroup(QgroupId(group))))?;
    }
    unless_absent(set(fs, id, Limit::default())).map_err(Error::during(Operation::LimitQgroup(QgroupId(id))))
}

/// The group of subvolume `id` and those that are made inside it: the kernel makes these members of whatever groups the
/// one around them is in, unless their maker wants others (simple quotas only).
///
/// Its level is one that nobody else is likely to use, "gr" in ASCII: groups of low levels are administrators'.
const fn enclosing_group(id: u64) -> u64 {
    LEVEL << LEVEL_SHIFT | id
}
const LEVEL: u64 = 0x6772;

/// Makes a subvolume a member of a group.
fn join(fs: BorrowedFd<'_>, member: u64, group: u64) -> io::Result<()> {
    unless_done(sys::assign_qgroup(fs, member, group, true))
}

fn set(fs: BorrowedFd<'_>, group: u64, limit: Limit) -> io::Result<()> {
    sys::limit_qgroup(fs, QgroupLimit::both(group, limit.referenced, limit.exclusive))
}

/// Removes the enclosing group of subvolume `id`, if there is one. Its members are free of its limit afterwards.
///
/// The limit goes first: a full group lets none of its members do anything, and leaving it is something.
fn dissolve(fs: BorrowedFd<'_>, id: u64) -> io::Result<()> {
    let group = enclosing_group(id);
    unless_absent(set(fs, group, Limit::default()))?;
    for member in members(fs, group)? {
        unless_absent(sys::assign_qgroup(fs, member, group, false))?;
    }
    unless_absent(sys::remove_qgroup(fs, group))
}

fn unless_done(done: io::Result<()>) -> io::Result<()> {
    done.or_else(|error| if is(&error, libc::EEXIST) { Ok(()) } else { Err(error) })
}

/// `ENOTCONN`: quotas are off, and all groups with them.
fn is_absent(error: &io::Error) -> bool {
    is(error, libc::ENOENT) || is(error, libc::ENOTCONN)
}

fn unless_absent(done: io::Result<()>) -> io::Result<()> {
    done.or_else(|error| if is_absent(&error) { Ok(()) } else { Err(error) })
}

fn members(fs: BorrowedFd<'_>, group: u64) -> io::Result<Vec<u64>> {
    relations(fs, group, [0, group - 1])
}

/// The groups from `first` to `last` that `group` is a member of, or that are members of it.
fn relations(fs: BorrowedFd<'_>, group: u64, [first, last]: [u64; 2]) -> io::Result<Vec<u64>> {
    /// `BTRFS_QGROUP_RELATION_KEY`; there is an item for either direction.
    const RELATION: u32 = 246;
    let last = TreeKey { object: group, kind: RELATION, offset: last };
    let mut first = TreeKey { offset: first, ..last };
    let mut relations = Vec::new();
    loop {
        let found = match sys::search_tree(fs, QUOTA_TREE, first, last, u32::MAX) {
            Err(error) if is(&error, libc::ENOENT) => return Ok(relations),
            other => other?,
        };
        let Some(end) = found.last() else { return Ok(relations) };
        first.offset = end.key.offset + 1;
        relations.extend(found.iter().map(|item| item.key.offset));
    }
}

/// Usage and limit of the subvolume that `subvolume` is in; `None` if it has no quota group, as while quotas are off. Of one
/// that is limited together with those inside it, theirs are included.
///
/// One look-up of each, however many subvolumes there are. Without `CAP_SYS_ADMIN` the answer comes from sysfs, which
/// containers may be without: then it is `EPERM`.
pub fn usage(subvolume: BorrowedFd<'_>) -> Result<Option<Usage>> {
    let id = subvolume_id(subvolume)?;
    let usage = match usage_from_tree(subvolume, id) {
        Err(error) if is(&error, libc::EPERM) => usage_from_sysfs(subvolume, id, error),
        other => other,
    };
    usage.map_err(Error::during(Operation::GetQgroup(QgroupId(id))))
}

/// Takes off subvolume `id` the limit that [`set_limit`] has set, removes its quota group, and tells whether that is gone:
/// the kernel keeps it while the subvolume exists, and for a while longer (see the module). One that does not exist is
/// gone. Needs `CAP_SYS_ADMIN`; `fs` is as with [`set_limit`].
pub fn remove_qgroup(fs: BorrowedFd<'_>, id: u64) -> Result<bool> {
    let enclosing = Operation::RemoveQgroup(QgroupId(enclosing_group(id)));
    dissolve(fs, id).map_err(Error::during(enclosing))?;
    match sys::remove_qgroup(fs, id) {
        Ok(()) => Ok(true),
        Err(error) if is_absent(&error) => Ok(true),
        Err(error) if is(&error, libc::EBUSY) => take_limit_off(fs, id).map(|()| false),
        Err(error) => Err(Error::during(Operation::RemoveQgroup(QgroupId(id)))(error)),
    }
}

/// Of the group that the kernel keeps, where it is this one that was limited. Where the kernel never removes it, a later
/// subvolume may come to have the same id, and with it the group.
fn take_limit_off(fs: BorrowedFd<'_>, id: u64) -> Result<()> {
    if quota_state(fs)?.is_none_or(|state| state.mode == QuotaMode::Simple) {
        return Ok(());
    }
    let failed = Error::during(Operation::LimitQgroup(QgroupId(id)));
    unless_absent(set(fs, id, Limit::default())).map_err(failed)
}

/// Quota groups of subvolumes that are gone, at most `most`. Removing one may still have to wait ([`remove_qgroup`]).
///
/// One call for some hundreds of groups, and one for about thirty subvolumes. Needs `CAP_SYS_ADMIN`.
pub fn stale_qgroups(fs: BorrowedFd<'_>, most: usize) -> Result<Vec<u64>> {
    stale(fs, most).map_err(Error::during(Operation::ListQgroups))
}

/// The same as [`remove_qgroup`], unless there is such a subvolume by now: where ids are used again, as after a remount, it may
/// have come since the group was found stale, and have a limit.
pub fn remove_stale_qgroup(fs: BorrowedFd<'_>, id: u64) -> Result<bool> {
    if exists(fs, id).map_err(Error::during(Operation::ListSubvolumes))? {
        return Ok(false);
    }
    remove_qgroup(fs, id)
}

fn stale(fs: BorrowedFd<'_>, most: usize) -> io::Result<Vec<u64>> {
    // Before the subvolumes, so that one which is made meanwhile is not missing.
    let groups = subvolumes_with_groups(fs)?;
    let existing = all_ids(fs)?;
    Ok(groups.difference(&existing).copied().take(most).collect())
}

fn subvolumes_with_groups(fs: BorrowedFd<'_>) -> io::Result<BTreeSet<u64>> {
    let mut ids = BTreeSet::new();
    // Groups of subvolumes that users make: below 256 are the filesystem's own, from 2^48 up those of higher levels.
    for first in [256, enclosing_group(256)] {
        let last = TreeKey { object: 0, kind: INFO, offset: first | LARGEST_ID };
        let mut first = TreeKey { offset: first, ..last };
        while first <= last {
            let groups = match sys::search_tree(fs, QUOTA_TREE, first, last, u32::MAX) {
                Err(error) if is(&error, libc::ENOENT) => break,
                other => other?,
            };
            let Some(end) = groups.last() else { break };
            first = end.key.next();
            ids.extend(groups.iter().map(|group| group.key.offset & LARGEST_ID));
        }
    }
    Ok(ids)
}

fn usage_from_tree(fs: BorrowedFd<'_>, id: u64) -> io::Result<Option<Usage>> {
    match usage_of_group(fs, enclosing_group(id))? {
        None => usage_of_group(fs, id),
        enclosing => Ok(enclosing),
    }
}

fn usage_of_group(fs: BorrowedFd<'_>, group: u64) -> io::Result<Option<Usage>> {
    let item = |kind| match find(fs, QUOTA_TREE, TreeKey { object: 0, kind, offset: group }) {
        Err(error) if is(&error, libc::ENOENT) => Ok(None),
        other => other,
    };
    let (Some(info), Some(limit)) = (item(INFO)?, item(LIMIT)?) else { return Ok(None) };
    Ok(Some(Usage {
        referenced: number(&info, 1)?,
        exclusive: number(&info, 3)?,
        limit: limit_from(number(&limit, 0)?, number(&limit, 1)?, number(&limit, 2)?),
    }))
}

/// `denied` is what to say where there is no sysfs.
fn usage_from_sysfs(fs: BorrowedFd<'_>, id: u64, denied: io::Error) -> io::Result<Option<Usage>> {
    let filesystem = sysfs(fs)?;
    if !filesystem.is_dir() {
        return Err(denied);
    }
    let enclosing = filesystem.join(format!("qgroups/{LEVEL}_{id}"));
    let group = if enclosing.is_dir() { enclosing } else { filesystem.join(format!("qgroups/0_{id}")) };
    let read = |name: &str| fs::read_to_string(group.join(name))?.trim_end().parse().map_err(io::Error::other);
    let usage = || {
        Ok(Usage {
            referenced: read("referenced")?,
            exclusive: read("exclusive")?,
            limit: limit_from(read("limit_flags")?, read("max_referenced")?, read("max_exclusive")?),
        })
    };
    match usage() {
        Err(error) if is(&error, libc::ENOENT) => Ok(None),
        other => other.map(Some),
    }
}

/// A limit counts only where its flag is set.
fn limit_from(flags: u64, referenced: u64, exclusive: u64) -> Limit {
    let limit = |flag, bytes| (flags & flag != 0).then_some(bytes);
    Limit {
        referenced: limit(QgroupLimit::REFERENCED, referenced),
        exclusive: limit(QgroupLimit::EXCLUSIVE, exclusive),
    }
}

/// The directory in which the kernel shows a filesystem to everybody. Kernel 5.9.
pub(super) fn sysfs(fs: BorrowedFd<'_>) -> io::Result<PathBuf> {
    let id: String = sys::filesystem_id(fs)?.iter().map(|byte| format!("{byte:02x}")).collect();
    let (a, b, c, d, e) = (&id[..8], &id[8..12], &id[12..16], &id[16..20], &id[20..]);
    Ok(PathBuf::from(format!("/sys/fs/btrfs/{a}-{b}-{c}-{d}-{e}")))
}
