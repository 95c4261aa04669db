//! Subvolumes and quota groups of btrfs. Layouts come from the kernel's `include/uapi/linux/btrfs.h` and
//! `include/uapi/linux/btrfs_tree.h`, and have been the same since the calls exist.

use super::ioctl::{Command, Request};
use std::ffi::CStr;
use std::io;
use std::mem::{offset_of, size_of};
use std::os::fd::BorrowedFd;

/// `struct btrfs_ioctl_quota_ctl_args`
#[repr(C)]
struct QuotaControl {
    command: u64,
    status: u64,
}
const _: () = assert!(size_of::<QuotaControl>() == 16);

/// `struct btrfs_ioctl_qgroup_create_args`
#[repr(C)]
struct QgroupCreate {
    create: u64,
    qgroup: u64,
}
const _: () = assert!(size_of::<QgroupCreate>() == 16);

/// `struct btrfs_ioctl_qgroup_assign_args`
#[repr(C)]
struct QgroupAssign {
    assign: u64,
    member: u64,
    group: u64,
}
const _: () = assert!(size_of::<QgroupAssign>() == 24);

/// Limits of a quota group (`struct btrfs_ioctl_qgroup_limit_args`). Sizes are in bytes.
#[repr(C)]
pub(crate) struct QgroupLimit {
    qgroup: u64,
    flags: u64,
    max_referenced: u64,
    max_exclusive: u64,
    reserved: [u64; 2],
}
const _: () = assert!(size_of::<QgroupLimit>() == 48);

impl QgroupLimit {
    /// `BTRFS_QGROUP_LIMIT_MAX_RFER`: the limit of referenced bytes counts.
    pub(crate) const REFERENCED: u64 = 1 << 0;
    /// `BTRFS_QGROUP_LIMIT_MAX_EXCL`: the limit of exclusive bytes counts.
    pub(crate) const EXCLUSIVE: u64 = 1 << 1;
    /// What takes a limit off (`CLEAR_VALUE` of the kernel's `fs/btrfs/qgroup.c`); 0 allows nothing at all.
    const NONE: u64 = u64::MAX;

    /// A request for both limits of a quota group; `None` takes one off.
    pub(crate) fn both(qgroup: u64, referenced: Option<u64>, exclusive: Option<u64>) -> Self {
        let value = |limit: Option<u64>| limit.map_or(Self::NONE, |bytes| bytes.min(Self::NONE - 1));
        Self {
            qgroup,
            flags: Self::REFERENCED | Self::EXCLUSIVE,
            max_referenced: value(referenced),
            max_exclusive: value(exclusive),
            reserved: [0; 2],
        }
    }
}

/// `struct btrfs_ioctl_fs_info_args`
#[repr(C)]
struct FilesystemInfo {
    max_id: u64,
    devices: u64,
    id: [u8; 16],
    node_size: u32,
    rest: [u8; 988],
}
const _: () = assert!(size_of::<FilesystemInfo>() == 1024 && offset_of!(FilesystemInfo, node_size) == 32);

/// `struct btrfs_ioctl_quota_rescan_args`
#[repr(C)]
struct Rescan {
    is_running: u64,
    progress: u64,
    reserved: [u64; 6],
}
const _: () = assert!(size_of::<Rescan>() == 64);

/// `struct btrfs_ioctl_ino_lookup_args`
#[repr(C)]
struct InodeLookup {
    tree: u64,
    object: u64,
    path: [u8; 4080],
}
const _: () = assert!(size_of::<InodeLookup>() == 4096);

/// Where a subvolume hangs: in which directory of which parent.
#[repr(C)]
#[derive(Clone, Copy, Default)]
pub(crate) struct SubvolumeReference {
    /// Id of the subvolume.
    pub(crate) subvolume: u64,
    /// Inode number of the directory, in the parent subvolume.
    pub(crate) directory: u64,
}

/// `struct btrfs_ioctl_get_subvol_rootref_args`
#[repr(C)]
struct SubvolumeReferences {
    first: u64,
    references: [SubvolumeReference; 255],
    count: u8,
    padding: [u8; 7],
}
const _: () = assert!(size_of::<SubvolumeReferences>() == 4096);

/// `struct btrfs_ioctl_ino_lookup_user_args`
#[repr(C)]
struct SubvolumeLookup {
    directory: u64,
    subvolume: u64,
    name: [u8; 256],
    path: [u8; 3824],
}
const _: () = assert!(size_of::<SubvolumeLookup>() == 4096);

/// The place of an item in a tree; ordered as the kernel orders them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct TreeKey {
    pub(crate) object: u64,
    pub(crate) kind: u32,
    pub(crate) offset: u64,
}

impl TreeKey {
    /// The place after this one.
    pub(crate) fn next(self) -> Self {
        match self {
            TreeKey { offset: u64::MAX, kind: u32::MAX, object } => {
                TreeKey { object: object.saturating_add(1), kind: 0, offset: 0 }
            }
            TreeKey { offset: u64::MAX, kind, .. } => TreeKey { kind: kind + 1, offset: 0, ..self },
            TreeKey { offset, .. } => TreeKey { offset: offset + 1, ..self },
        }
    }
}

/// What is at a place of a tree. Numbers in `data` are little-endian.
pub(crate) struct TreeItem {
    pub(crate) key: TreeKey,
    pub(crate) data: Vec<u8>,
}

/// `struct btrfs_ioctl_search_args_v2` with room for some results.
#[repr(C)]
struct TreeSearch {
    tree: u64,
    min_object: u64,
    max_object: u64,
    min_offset: u64,
    max_offset: u64,
    min_transaction: u64,
    max_transaction: u64,
    min_kind: u32,
    max_kind: u32,
    items: u32,
    unused: u32,
    more_unused: [u64; 4],
    buffer_size: u64,
    buffer: [u8; TreeSearch::ROOM],
}
const _: () = assert!(offset_of!(TreeSearch, items) == 64);
const _: () = assert!(offset_of!(TreeSearch, buffer) == 112);

impl TreeSearch {
    const ROOM: usize = 16 << 10;
    /// `struct btrfs_ioctl_search_header`, which precedes each item.
    const ITEM_HEADER: usize = 32;

    fn results(&self) -> Vec<TreeItem> {
        let mut rest = self.buffer.as_slice();
        (0..self.items).map_while(|_| Self::take_item(&mut rest)).collect()
    }

    fn take_item(rest: &mut &[u8]) -> Option<TreeItem> {
        let (header, after) = rest.split_at_checked(Self::ITEM_HEADER)?;
        let long = |at: usize| header[at..].first_chunk().map(|bytes| u64::from_ne_bytes(*bytes));
        let short = |at: usize| header[at..].first_chunk().map(|bytes| u32::from_ne_bytes(*bytes));
        let key = TreeKey { object: long(8)?, offset: long(16)?, kind: short(24)? };
        let (data, after) = after.split_at_checked(short(28)? as usize)?;
        *rest = after;
        Some(TreeItem { key, data: data.to_owned() })
    }
}

/// `BTRFS_IOCTL_MAGIC`
const GROUP: u8 = 0x94;

/// `BTRFS_IOC_SYNC`
// SAFETY: it has no argument.
const SYNC: Command = unsafe { Command::new(GROUP, 8) };
/// `BTRFS_IOC_QUOTA_RESCAN_WAIT`
// SAFETY: it has no argument.
const QUOTA_RESCAN_WAIT: Command = unsafe { Command::new(GROUP, 46) };
/// `BTRFS_IOC_TREE_SEARCH_V2`
// SAFETY: the kernel changes one `struct btrfs_ioctl_search_args_v2` and writes no more behind it than `buffer_size` says,
// which `search_tree` sets to the size of the field that follows.
const TREE_SEARCH_V2: Request<TreeSearch> =
    unsafe { Request::read_write_behind::<[u8; offset_of!(TreeSearch, buffer)]>(GROUP, 17) };
/// `BTRFS_IOC_INO_LOOKUP`
// SAFETY: the kernel takes one such structure, which is all numbers.
const INO_LOOKUP: Request<InodeLookup> = unsafe { Request::read_write(GROUP, 18) };
/// `BTRFS_IOC_FS_INFO`
// SAFETY: the kernel takes one such structure, which is all numbers.
const FS_INFO: Request<FilesystemInfo> = unsafe { Request::read(GROUP, 31) };
/// `BTRFS_IOC_QUOTA_CTL`
// SAFETY: the kernel takes one such structure, which is all numbers.
const QUOTA_CTL: Request<QuotaControl> = unsafe { Request::read_write(GROUP, 40) };
/// `BTRFS_IOC_QGROUP_ASSIGN`
// SAFETY: the kernel takes one such structure, which is all numbers.
const QGROUP_ASSIGN: Request<QgroupAssign> = unsafe { Request::write(GROUP, 41) };
/// `BTRFS_IOC_QGROUP_CREATE`
// SAFETY: the kernel takes one such structure, which is all numbers.
const QGROUP_CREATE: Request<QgroupCreate> = unsafe { Request::write(GROUP, 42) };
/// `BTRFS_IOC_QGROUP_LIMIT`
// SAFETY: the kernel takes one such structure, which is all numbers.
const QGROUP_LIMIT: Request<QgroupLimit> = unsafe { Request::read(GROUP, 43) };
/// `BTRFS_IOC_QUOTA_RESCAN`
// SAFETY: the kernel takes one such structure, which is all numbers.
const QUOTA_RESCAN: Request<Rescan> = unsafe { Request::write(GROUP, 44) };
/// `BTRFS_IOC_QUOTA_RESCAN_STATUS`
// SAFETY: the kernel takes one such structure, which is all numbers.
const QUOTA_RESCAN_STATUS: Request<Rescan> = unsafe { Request::read(GROUP, 45) };
/// `BTRFS_IOC_GET_SUBVOL_ROOTREF`
// SAFETY: the kernel takes one such structure, which is all numbers.
const GET_SUBVOL_ROOTREF: Request<SubvolumeReferences> = unsafe { Request::read_write(GROUP, 61) };
/// `BTRFS_IOC_INO_LOOKUP_USER`
// SAFETY: the kernel takes one such structure, which is all numbers.
const INO_LOOKUP_USER: Request<SubvolumeLookup> = unsafe { Request::read_write(GROUP, 62) };

/// How a filesystem is to count what its subvolumes take.
#[derive(Clone, Copy)]
pub(crate) enum Accounting {
    /// `BTRFS_QUOTA_CTL_ENABLE`
    Classic = 1,
    /// `BTRFS_QUOTA_CTL_ENABLE_SIMPLE_QUOTA`, kernel 6.7.
    Simple = 4,
}

/// Switches quotas on, filesystem-wide. Where some are on already, nothing happens and the kernel says nothing.
pub(crate) fn enable_quota(fs: BorrowedFd<'_>, accounting: Accounting) -> io::Result<()> {
    let mut control = QuotaControl { command: accounting as u64, status: 0 };
    QUOTA_CTL.submit(fs, &mut control).map(drop)
}

/// Has the kernel count everything anew, in the background; `EINPROGRESS` where it does already.
pub(crate) fn start_rescan(fs: BorrowedFd<'_>) -> io::Result<()> {
    QUOTA_RESCAN.submit(fs, &mut Rescan { is_running: 0, progress: 0, reserved: [0; 6] }).map(drop)
}

/// Whether the kernel is counting everything anew.
pub(crate) fn is_rescanning(fs: BorrowedFd<'_>) -> io::Result<bool> {
    let mut status = Rescan { is_running: 0, progress: 0, reserved: [0; 6] };
    QUOTA_RESCAN_STATUS.submit(fs, &mut status)?;
    Ok(status.is_running != 0)
}

/// Waits until no rescan is running.
pub(crate) fn wait_for_rescan(fs: BorrowedFd<'_>) -> io::Result<()> {
    QUOTA_RESCAN_WAIT.submit(fs, 0).map(drop)
}

/// Sets the limits of a quota group.
pub(crate) fn limit_qgroup(fs: BorrowedFd<'_>, mut limit: QgroupLimit) -> io::Result<()> {
    QGROUP_LIMIT.submit(fs, &mut limit).map(drop)
}

/// Makes a quota group.
pub(crate) fn create_qgroup(fs: BorrowedFd<'_>, qgroup: u64) -> io::Result<()> {
    make_or_remove_qgroup(fs, QgroupCreate { create: 1, qgroup })
}

/// Removes a quota group.
pub(crate) fn remove_qgroup(fs: BorrowedFd<'_>, qgroup: u64) -> io::Result<()> {
    make_or_remove_qgroup(fs, QgroupCreate { create: 0, qgroup })
}

fn make_or_remove_qgroup(fs: BorrowedFd<'_>, mut create: QgroupCreate) -> io::Result<()> {
    QGROUP_CREATE.submit(fs, &mut create).map(drop)
}

/// Makes one quota group a member of another, of a higher level, or takes it out.
pub(crate) fn assign_qgroup(fs: BorrowedFd<'_>, member: u64, group: u64, assign: bool) -> io::Result<()> {
    let mut assignment = QgroupAssign { assign: u64::from(assign), member, group };
    QGROUP_ASSIGN.submit(fs, &mut assignment).map(drop)
}

/// Writes out all data and commits.
pub(crate) fn sync_filesystem(fs: BorrowedFd<'_>) -> io::Result<()> {
    SYNC.submit(fs, 0).map(drop)
}

/// The UUID under which sysfs has the filesystem. Needs no privilege.
pub(crate) fn filesystem_id(fs: BorrowedFd<'_>) -> io::Result<[u8; 16]> {
    Ok(filesystem_info(fs)?.id)
}

/// The size of a node of a tree, in bytes. Needs no privilege.
pub(crate) fn node_size(fs: BorrowedFd<'_>) -> io::Result<u32> {
    Ok(filesystem_info(fs)?.node_size)
}

fn filesystem_info(fs: BorrowedFd<'_>) -> io::Result<FilesystemInfo> {
    let mut info = FilesystemInfo { max_id: 0, devices: 0, id: [0; 16], node_size: 0, rest: [0; 988] };
    FS_INFO.submit(fs, &mut info)?;
    Ok(info)
}

/// The id of the subvolume that `file` is in. Needs no privilege.
pub(crate) fn subvolume_of(file: BorrowedFd<'_>) -> io::Result<u64> {
    /// `BTRFS_FIRST_FREE_OBJECTID`, the inode number of a subvolume's own directory.
    const TOP: u64 = 256;
    let mut lookup = InodeLookup { tree: 0, object: TOP, path: [0; 4080] };
    INO_LOOKUP.submit(file, &mut lookup)?;
    Ok(lookup.tree)
}

/// Subvolumes whose parent is the one that `subvolume` is in, with ids from `first` up, in the order of their ids; with
/// them, whether there are more. Needs no privilege. Kernel 4.18.
pub(crate) fn child_subvolumes(subvolume: BorrowedFd<'_>, first: u64) -> io::Result<(Vec<SubvolumeReference>, bool)> {
    let mut found =
        SubvolumeReferences { first, references: [SubvolumeReference::default(); 255], count: 0, padding: [0; 7] };
    let result = GET_SUBVOL_ROOTREF.submit(subvolume, &mut found);
    let has_more = match result {
        Err(error) if error.raw_os_error() == Some(libc::EOVERFLOW) => true,
        other => other.map(|_| false)?,
    };
    Ok((found.references[..usize::from(found.count)].to_vec(), has_more))
}

/// The path of a child subvolume, relative to the directory `parent`. The kernel lets a caller without privileges see
/// only what lies in directories that it may read and search. Kernel 4.18.
pub(crate) fn path_of_child(parent: BorrowedFd<'_>, child: SubvolumeReference) -> io::Result<Vec<u8>> {
    let SubvolumeReference { subvolume, directory } = child;
    let mut lookup = SubvolumeLookup { directory, subvolume, name: [0; 256], path: [0; 3824] };
    INO_LOOKUP_USER.submit(parent, &mut lookup)?;
    let text = |bytes| CStr::from_bytes_until_nul(bytes).map_err(io::Error::other).map(CStr::to_bytes);
    // The path of the directory ends with a slash unless it is empty.
    Ok([text(&lookup.path)?, text(&lookup.name)?].concat())
}

/// Items of a tree from `first` to `last`, both included: at most `most` of them, and no more than fit a buffer of
/// 16 KiB. None means there are none. Needs `CAP_SYS_ADMIN`.
pub(crate) fn search_tree(
    fs: BorrowedFd<'_>,
    tree: u64,
    first: TreeKey,
    last: TreeKey,
    most: u32,
) -> io::Result<Vec<TreeItem>> {
    let mut search = TreeSearch {
        tree,
        min_object: first.object,
        max_object: last.object,
        min_offset: first.offset,
        max_offset: last.offset,
        min_transaction: 0,
        max_transaction: u64::MAX,
        min_kind: first.kind,
        max_kind: last.kind,
        items: most,
        unused: 0,
        more_unused: [0; 4],
        buffer_size: TreeSearch::ROOM as u64,
        buffer: [0; TreeSearch::ROOM],
    };
    TREE_SEARCH_V2.submit(fs, &mut search)?;
    Ok(search.results())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn search_with(items: u32, bytes: &[u8]) -> TreeSearch {
        // SAFETY: all fields are integers or arrays of them, for which zeros are a value.
        let mut search: TreeSearch = unsafe { std::mem::zeroed() };
        search.items = items;
        search.buffer[..bytes.len()].copy_from_slice(bytes);
        search
    }

    fn header(object: u64, offset: u64, kind: u32, length: u32) -> Vec<u8> {
        let mut bytes = 1_u64.to_ne_bytes().to_vec();
        bytes.extend(object.to_ne_bytes());
        bytes.extend(offset.to_ne_bytes());
        bytes.extend(kind.to_ne_bytes());
        bytes.extend(length.to_ne_bytes());
        bytes
    }

    #[test]
    fn items_of_any_length_follow_each_other() {
        let mut bytes = header(1, 2, 3, 3);
        bytes.extend(b"abc");
        bytes.extend(header(4, 5, 6, 0));
        let items = search_with(2, &bytes).results();
        assert_eq!(items[0].key, TreeKey { object: 1, offset: 2, kind: 3 });
        assert_eq!(items[0].data, b"abc");
        assert_eq!(items[1].key, TreeKey { object: 4, offset: 5, kind: 6 });
        assert_eq!((items.len(), items[1].data.len()), (2, 0));
    }

    #[test]
    fn an_item_longer_than_the_buffer_is_not_read() {
        let bytes = header(1, 2, 3, u32::MAX);
        assert_eq!(search_with(1, &bytes).results().len(), 0);
    }

    #[test]
    fn no_limit_and_the_largest_one_are_not_the_same() {
        let limit = QgroupLimit::both(300, None, Some(u64::MAX));
        assert_eq!((limit.max_referenced, limit.max_exclusive), (u64::MAX, u64::MAX - 1));
    }
}
