//! Subvolumes of btrfs by ioctl (btrfs-ioctl(2), <linux/btrfs.h>): made, copied and removed without the `btrfs` program;
//! and making the filesystem larger.
//!
//! The owner of a directory may make subvolumes in it and snapshots of those that are his. To remove one he needs the
//! mount option `user_subvol_rm_allowed`; root does not.

use std::ffi::{CStr, OsStr};
use std::io;
use std::os::fd::{AsRawFd, BorrowedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::PathBuf;

use drax::ioctl::Request;
use rustix::fs::Stat;

/// `BTRFS_IOCTL_MAGIC`
const GROUP: u8 = 0x94;
// SAFETY: the kernel reads one `struct btrfs_ioctl_vol_args_v2`, with a name that ends in a zero byte.
const SUBVOL_CREATE_V2: Request<VolumeArguments> = unsafe { Request::write(GROUP, 24) };
// SAFETY: the kernel reads one `struct btrfs_ioctl_vol_args_v2`, with a name that ends in a zero byte.
const SNAP_CREATE_V2: Request<VolumeArguments> = unsafe { Request::write(GROUP, 23) };
// SAFETY: the kernel reads one `struct btrfs_ioctl_vol_args_v2`, with a name that ends in a zero byte.
const SNAP_DESTROY_V2: Request<VolumeArguments> = unsafe { Request::write(GROUP, 63) };
// SAFETY: the kernel reads one `struct btrfs_ioctl_vol_args`, with a text that ends in a zero byte.
const RESIZE: Request<ResizeArguments> = unsafe { Request::write(GROUP, 3) };
// SAFETY: the kernel fills one `__u64`.
const SUBVOL_GETFLAGS: Request<u64> = unsafe { Request::read(GROUP, 25) };
// SAFETY: the kernel reads one `__u64`.
const SUBVOL_SETFLAGS: Request<u64> = unsafe { Request::write(GROUP, 26) };
// SAFETY: the kernel changes one `struct btrfs_ioctl_dev_info_args`, which is all numbers.
const DEV_INFO: Request<DeviceInfo> = unsafe { Request::read_write(GROUP, 30) };
// SAFETY: the kernel fills one `struct btrfs_ioctl_get_subvol_info_args`, which is all numbers.
const GET_SUBVOL_INFO: Request<SubvolumeInfo> = unsafe { Request::read(GROUP, 60) };

/// Inode number of the root directory of every subvolume (`BTRFS_FIRST_FREE_OBJECTID`).
const ROOT_INODE: u64 = 256;
/// `BTRFS_SUBVOL_NAME_MAX`
const NAME_MAX: usize = 4039;

/// `struct btrfs_ioctl_vol_args_v2`
#[repr(C)]
struct VolumeArguments {
    fd: i64,
    transaction: u64,
    flags: u64,
    unused: [u64; 4],
    name: [u8; NAME_MAX + 1],
}
const _: () = assert!(size_of::<VolumeArguments>() == 4096);

impl VolumeArguments {
    fn new(fd: i64, flags: u64) -> Self {
        VolumeArguments { fd, transaction: 0, flags, unused: [0; 4], name: [0; NAME_MAX + 1] }
    }
}

/// `struct btrfs_ioctl_vol_args`
#[repr(C)]
struct ResizeArguments {
    fd: i64,
    size: [u8; 4088],
}
const _: () = assert!(size_of::<ResizeArguments>() == 4096);

/// `struct btrfs_ioctl_dev_info_args`
#[repr(C)]
struct DeviceInfo {
    id: u64,
    uuid: [u8; 16],
    bytes_used: u64,
    total_bytes: u64,
    unused: [u64; 379],
    path: [u8; 1024],
}
const _: () = assert!(size_of::<DeviceInfo>() == 4096);

/// `struct btrfs_ioctl_get_subvol_info_args`, of which only the identities are of use here.
#[repr(C)]
struct SubvolumeInfo {
    id: u64,
    name: [u8; 256],
    parent_id: u64,
    directory_id: u64,
    generation: u64,
    flags: u64,
    uuid: [u8; 16],
    parent_uuid: [u8; 16],
    received_uuid: [u8; 16],
    transactions: [u64; 4],
    times: [[u64; 2]; 4],
    reserved: [u64; 8],
}
const _: () = assert!(size_of::<SubvolumeInfo>() == 504);

/// What tells subvolumes apart, and which one a snapshot was taken of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Identity {
    /// The subvolume's own.
    pub uuid: [u8; 16],
    /// That of the subvolume it is a snapshot of; zeros for one that is none.
    pub parent: [u8; 16],
}

/// The first device of a filesystem.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Device {
    /// Its node.
    pub path: PathBuf,
    /// How much of it the filesystem takes, in bytes.
    pub bytes: u64,
}

/// The first device of the filesystem that `directory` is on.
///
/// # Errors
/// Those of the ioctl: `ENODEV` where there is none any more, and others.
pub fn first_device(directory: BorrowedFd<'_>) -> io::Result<Device> {
    let mut info =
        DeviceInfo { id: 1, uuid: [0; 16], bytes_used: 0, total_bytes: 0, unused: [0; 379], path: [0; 1024] };
    DEV_INFO.submit(directory, &mut info)?;
    let path = CStr::from_bytes_until_nul(&info.path).map_err(io::Error::other)?;
    Ok(Device { path: OsStr::from_bytes(path.to_bytes()).into(), bytes: info.total_bytes })
}

/// Has a mounted filesystem take all of its first device. Needs root.
///
/// # Errors
/// Those of the ioctl: `EINVAL` where that device has less than 256 MiB, which the kernel says even where nothing is to
/// be changed, and others. That the filesystem is busy with something like it is no error of the kernel's.
pub fn grow(directory: BorrowedFd<'_>) -> io::Result<()> {
    let mut arguments = ResizeArguments { fd: 0, size: [0; 4088] };
    arguments.size[..3].copy_from_slice(b"max");
    match RESIZE.submit(directory, &mut arguments)? {
        0 => Ok(()),
        // `enum btrfs_err_code`: BTRFS_ERROR_DEV_EXCL_RUN_IN_PROGRESS.
        8 => Err(io::Error::other(
            "a balance, which may be paused, or another change of the filesystem's devices is under way: end it first \
             (btrfs balance status), then run init-store again",
        )),
        code => Err(io::Error::other(format!("the kernel's answer is {code} (enum btrfs_err_code)"))),
    }
}

/// Whether `stat` is of the root directory of a subvolume, on btrfs.
pub fn is_subvolume(stat: &Stat) -> bool {
    stat.st_ino == ROOT_INODE && rustix::fs::FileType::from_raw_mode(stat.st_mode).is_dir()
}

/// Makes the empty subvolume `name` in `directory`; its mode is 0777 less the umask.
///
/// # Errors
/// Those of the ioctl: `EEXIST`, `EACCES` and others.
pub fn create_subvolume(directory: BorrowedFd<'_>, name: &OsStr) -> io::Result<()> {
    submit_named(directory, &SUBVOL_CREATE_V2, 0, name)
}

/// Makes `name` in `directory` a writable snapshot of the subvolume `source`, of which any open directory will do. What
/// `source` has is on disk when this returns.
///
/// # Errors
/// Those of the ioctl: `EEXIST`, `EPERM` where the caller does not own `source`, `EXDEV` on another filesystem, and others.
pub fn create_snapshot(source: BorrowedFd<'_>, directory: BorrowedFd<'_>, name: &OsStr) -> io::Result<()> {
    submit_named(directory, &SNAP_CREATE_V2, i64::from(source.as_raw_fd()), name)
}

/// Removes the subvolume `name` of `directory` with all files in it; the kernel frees their space in the background.
///
/// # Errors
/// Those of the ioctl: `ENOTEMPTY` where there is a subvolume inside, `EPERM` for an ordinary user on a filesystem mounted
/// without `user_subvol_rm_allowed`, `EINVAL` where `name` is no subvolume, and others.
pub fn remove_subvolume(directory: BorrowedFd<'_>, name: &OsStr) -> io::Result<()> {
    submit_named(directory, &SNAP_DESTROY_V2, 0, name)
}

/// Removes the subvolume with the number `id`, wherever it lies on the filesystem of `directory`. For root only.
///
/// # Errors
/// Those of the ioctl: `EPERM` for an ordinary user, `ENOENT` for one that is gone, and others.
pub fn remove_subvolume_by_id(directory: BorrowedFd<'_>, id: u64) -> io::Result<()> {
    /// `BTRFS_SUBVOL_SPEC_BY_ID`: the number stands where the name would.
    const BY_ID: u64 = 1 << 4;
    let mut arguments = VolumeArguments::new(0, BY_ID);
    arguments.name[..8].copy_from_slice(&id.to_ne_bytes());
    SNAP_DESTROY_V2.submit(directory, &mut arguments).map(drop)
}

/// The identity of the subvolume that `directory` is in (kernel 4.18).
///
/// # Errors
/// Those of the ioctl.
pub fn identity(directory: BorrowedFd<'_>) -> io::Result<Identity> {
    let mut info = SubvolumeInfo {
        id: 0,
        name: [0; 256],
        parent_id: 0,
        directory_id: 0,
        generation: 0,
        flags: 0,
        uuid: [0; 16],
        parent_uuid: [0; 16],
        received_uuid: [0; 16],
        transactions: [0; 4],
        times: [[0; 2]; 4],
        reserved: [0; 8],
    };
    GET_SUBVOL_INFO.submit(directory, &mut info)?;
    Ok(Identity { uuid: info.uuid, parent: info.parent_uuid })
}

/// Lets the subvolume whose root directory is `directory` be written to. Returns whether it was read-only.
///
/// # Errors
/// Those of the ioctls: `EINVAL` where `directory` is no subvolume, `EPERM` where the caller does not own it, and others.
pub fn make_writable(directory: BorrowedFd<'_>) -> io::Result<bool> {
    /// `BTRFS_SUBVOL_RDONLY`
    const READ_ONLY: u64 = 1 << 1;
    let mut flags = 0_u64;
    SUBVOL_GETFLAGS.submit(directory, &mut flags)?;
    if flags & READ_ONLY == 0 {
        return Ok(false);
    }
    flags &= !READ_ONLY;
    SUBVOL_SETFLAGS.submit(directory, &mut flags)?;
    Ok(true)
}

fn submit_named(
    directory: BorrowedFd<'_>,
    request: &Request<VolumeArguments>,
    fd: i64,
    name: &OsStr,
) -> io::Result<()> {
    let bytes = name.as_bytes();
    if bytes.len() > NAME_MAX || bytes.contains(&0) {
        return Err(io::Error::from_raw_os_error(libc::ENAMETOOLONG));
    }
    let mut arguments = VolumeArguments::new(fd, 0);
    arguments.name[..bytes.len()].copy_from_slice(bytes);
    request.submit(directory, &mut arguments).map(drop)
}
