//! What an XFS filesystem is made of (ioctl_xfs_fsgeometry(2)), and making it larger.

use std::io;
use std::os::fd::BorrowedFd;

use drax::ioctl::Request;

// <xfs/xfs_fs.h>
// SAFETY: the kernel fills one `struct xfs_fsop_geom_v1`, which is all numbers.
const XFS_IOC_FSGEOMETRY_V1: Request<Geometry> = unsafe { Request::read(b'X', 100) };
// SAFETY: the kernel reads one `struct xfs_growfs_data`.
const XFS_IOC_FSGROWFSDATA: Request<Growth> = unsafe { Request::write(b'X', 110) };
const XFS_FSOP_GEOM_FLAGS_FTYPE: u32 = 1 << 16;

/// `struct xfs_fsop_geom_v1`.
#[repr(C)]
#[derive(Default)]
struct Geometry {
    block_size: u32,
    sizes: [u32; 6],
    inode_percentage: u32,
    data_blocks: u64,
    extents: [u64; 3],
    uuid: [u8; 16],
    stripe: [u32; 2],
    version: i32,
    flags: u32,
    more_sizes: [u32; 3],
}

/// `struct xfs_growfs_data`
#[repr(C)]
struct Growth {
    data_blocks: u64,
    inode_percentage: u32,
}

const _: () = assert!(size_of::<Geometry>() == 112 && size_of::<Growth>() == 16);

/// Whether directory entries bear the type of what they name (`mkfs.xfs -n ftype=1`), which overlayfs relies on.
pub fn has_entry_types(file: BorrowedFd<'_>) -> io::Result<bool> {
    Ok(geometry(file)?.flags & XFS_FSOP_GEOM_FLAGS_FTYPE != 0)
}

/// Has a mounted filesystem take all of its device, which has `bytes`; that it does already is fine. The kernel leaves
/// out what is less than a block, or too little at the end for an allocation group.
pub fn grow(file: BorrowedFd<'_>, bytes: u64) -> io::Result<()> {
    let geometry = geometry(file)?;
    let data_blocks = bytes / u64::from(geometry.block_size.max(1));
    if data_blocks <= geometry.data_blocks {
        return Ok(());
    }
    let mut growth = Growth { data_blocks, inode_percentage: geometry.inode_percentage };
    XFS_IOC_FSGROWFSDATA.submit(file, &mut growth).map(drop)
}

fn geometry(file: BorrowedFd<'_>) -> io::Result<Geometry> {
    let mut geometry = Geometry::default();
    XFS_IOC_FSGEOMETRY_V1.submit(file, &mut geometry)?;
    Ok(geometry)
}
