//! What an XFS filesystem is made of (ioctl_xfs_fsgeometry(2)).

use std::io;
use std::os::fd::{AsRawFd, BorrowedFd};

// <xfs/xfs_fs.h>
const XFS_IOC_FSGEOMETRY_V1: libc::Ioctl = 0x8070_5864;
const XFS_FSOP_GEOM_FLAGS_FTYPE: u32 = 1 << 16;

/// `struct xfs_fsop_geom_v1`.
#[repr(C)]
#[derive(Default)]
struct Geometry {
    sizes: [u32; 8],
    extents: [u64; 4],
    uuid: [u8; 16],
    stripe: [u32; 2],
    version: i32,
    flags: u32,
    more_sizes: [u32; 3],
}

const _: () = assert!(size_of::<Geometry>() == 112);

/// Whether directory entries bear the type of what they name (`mkfs.xfs -n ftype=1`), which overlayfs relies on.
pub fn has_entry_types(file: BorrowedFd<'_>) -> io::Result<bool> {
    let mut geometry = Geometry::default();
    // SAFETY: the ioctl fills one `struct xfs_fsop_geom_v1`, which `geometry` mirrors and which outlives the call.
    let result = unsafe { libc::ioctl(file.as_raw_fd(), XFS_IOC_FSGEOMETRY_V1, &raw mut geometry) };
    if result < 0 {
        return Err(io::Error::last_os_error());
    }
    Ok(geometry.flags & XFS_FSOP_GEOM_FLAGS_FTYPE != 0)
}
