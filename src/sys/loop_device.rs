//! Loop devices by ioctl (loop(4)): a file becomes a block device without `losetup`.

use std::fs::{self, File, OpenOptions};
use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use drax::ioctl::{Command, Request};

use super::files;
use super::path_error::{OnPath, PathError};

// <linux/loop.h>
const GROUP: u8 = 0x4C;
// SAFETY: it has no argument.
const LOOP_SET_CAPACITY: Command = unsafe { Command::new(GROUP, 7) };
// SAFETY: its argument is a flag.
const LOOP_SET_DIRECT_IO: Command = unsafe { Command::new(GROUP, 8) };
// SAFETY: it has no argument.
const LOOP_CTL_GET_FREE: Command = unsafe { Command::new(GROUP, 0x82) };
// SAFETY: the kernel fills one `struct loop_info64`, which `LoopInfo` mirrors and which is all numbers.
const LOOP_GET_STATUS64: Request<LoopInfo> = unsafe { Request::unsized_number(0x4C05) };
// SAFETY: the kernel reads one `struct loop_config`, which `LoopConfig` mirrors.
const LOOP_CONFIGURE: Request<LoopConfig> = unsafe { Request::unsized_number(0x4C0A) };
const LO_FLAGS_READ_ONLY: u32 = 1;
const LO_FLAGS_AUTOCLEAR: u32 = 4;
const LO_FLAGS_DIRECT_IO: u32 = 16;

const CONTROL: &str = "/dev/loop-control";

/// `struct loop_info64` of <linux/loop.h>.
#[repr(C)]
struct LoopInfo {
    device: u64,
    inode: u64,
    rdevice: u64,
    offset: u64,
    size_limit: u64,
    number: u32,
    encrypt_type: u32,
    encrypt_key_size: u32,
    flags: u32,
    file_name: [u8; 64],
    crypt_name: [u8; 64],
    encrypt_key: [u8; 32],
    init: [u64; 2],
}

/// `struct loop_config` of <linux/loop.h>, kernel 5.8.
#[repr(C)]
struct LoopConfig {
    fd: u32,
    block_size: u32,
    info: LoopInfo,
    reserved: [u64; 8],
}

impl LoopInfo {
    fn new(flags: u32, file_name: [u8; 64]) -> Self {
        LoopInfo {
            device: 0,
            inode: 0,
            rdevice: 0,
            offset: 0,
            size_limit: 0,
            number: 0,
            encrypt_type: 0,
            encrypt_key_size: 0,
            flags,
            file_name,
            crypt_name: [0; 64],
            encrypt_key: [0; 32],
            init: [0; 2],
        }
    }
}

const _: () = assert!(size_of::<LoopInfo>() == 232 && size_of::<LoopConfig>() == 304);

/// An attached loop device. The kernel detaches it when the last user (this value, then a mount) is gone.
#[derive(Debug)]
pub struct LoopDevice {
    // Held so that the device is not cleared between attaching and mounting.
    _device: File,
    path: PathBuf,
}

impl LoopDevice {
    /// The device that `backing` is attached to already, or a new one.
    ///
    /// A filesystem that is not mounted here may be mounted all the same, in another mount namespace or at a path that was
    /// detached while busy. Mounted from a second device, btrfs takes it for another filesystem, and both write to one
    /// file; XFS refuses. From the same device, both are one.
    pub fn of(backing: &Path, direct_io: bool) -> Result<Self, PathError> {
        match Self::attached(backing)? {
            Some(device) => Ok(device),
            None => Self::attach(backing, direct_io),
        }
    }

    /// The device that is attached to `backing`, kept from being cleared. Its direct I/O stays as it is.
    fn attached(backing: &Path) -> Result<Option<Self>, PathError> {
        let Some(Attached { node, .. }) = of_file(backing)? else { return Ok(None) };
        let device = match open(&node) {
            // It is being cleared: with its last user, the filesystem is gone.
            Err(error) if error.raw_os_error() == Some(libc::ENXIO) => return Ok(None),
            opened => opened?,
        };
        // Until it was open, it may have been cleared, and attached to something else.
        let is_still = of_file(backing)?.is_some_and(|attached| attached.node == node);
        Ok(is_still.then_some(LoopDevice { _device: device, path: node }))
    }

    /// Attaches `backing`, with direct I/O on request.
    ///
    /// Direct I/O that the backing filesystem cannot do is left off by the kernel without an error.
    fn attach(backing: &Path, direct_io: bool) -> Result<Self, PathError> {
        let file = open(backing)?;
        match open(Path::new(CONTROL)) {
            Ok(control) => Self::attach_free(&control, &file, backing, direct_io),
            Err(error) if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::PermissionDenied) => {
                Self::attach_existing(&file, backing, direct_io)?.ok_or(error)
            }
            Err(error) => Err(error),
        }
    }

    /// Attaches to the device that the kernel says is free, or makes.
    fn attach_free(control: &File, file: &File, backing: &Path, direct_io: bool) -> Result<Self, PathError> {
        // Another process may take the free device first: ask for the next.
        for _ in 0..64 {
            let number = LOOP_CTL_GET_FREE
                .submit(control.as_fd(), 0)
                .map_err(|e| PathError::new("find a free loop device with", CONTROL, e))?;
            let path = PathBuf::from(format!("/dev/loop{number}"));
            if let Some(attached) = Self::attach_to(path, file, backing, direct_io)? {
                return Ok(attached);
            }
        }
        Err(PathError::new("find a free loop device for", backing, io::Error::from_raw_os_error(libc::EBUSY)))
    }

    /// Attaches to one of the device nodes that are there, as in a container that was given some and not
    /// `/dev/loop-control`; `None` if there are none.
    fn attach_existing(file: &File, backing: &Path, direct_io: bool) -> Result<Option<Self>, PathError> {
        let names = files::names(Path::new("/dev"))?;
        let number = |name: &String| name.strip_prefix("loop")?.parse::<u32>().ok();
        let mut numbers: Vec<u32> = names.iter().filter_map(number).collect();
        numbers.sort_unstable();
        for number in &numbers {
            let path = PathBuf::from(format!("/dev/loop{number}"));
            if let Some(attached) = Self::attach_to(path, file, backing, direct_io)? {
                return Ok(Some(attached));
            }
        }
        match numbers.len() {
            0 => Ok(None),
            _ => Err(PathError::new("find a free loop device for", backing, io::Error::from_raw_os_error(libc::EBUSY))),
        }
    }

    /// Attaches to one device; `None` if it has a file already.
    fn attach_to(path: PathBuf, file: &File, backing: &Path, direct_io: bool) -> Result<Option<Self>, PathError> {
        let device = open(&path)?;
        match configure(&device, file, backing, direct_io) {
            Ok(()) => Ok(Some(LoopDevice { _device: device, path })),
            Err(e) if e.raw_os_error() == Some(libc::EBUSY) => Ok(None),
            Err(e) => Err(PathError::new("attach", &path, e)),
        }
    }

    /// The device node, `/dev/loopN`.
    pub fn path(&self) -> &Path {
        &self.path
    }
}

fn open(path: &Path) -> Result<File, PathError> {
    OpenOptions::new().read(true).write(true).open(path).on("open", path)
}

fn configure(device: &File, backing: &File, name: &Path, direct_io: bool) -> io::Result<()> {
    let mut file_name = [0; 64];
    let bytes = name.as_os_str().as_encoded_bytes();
    let shown = bytes.len().min(file_name.len() - 1);
    file_name[..shown].copy_from_slice(&bytes[..shown]);
    let mut config = LoopConfig {
        fd: backing.as_raw_fd() as u32,
        block_size: 0,
        info: LoopInfo::new(LO_FLAGS_AUTOCLEAR | if direct_io { LO_FLAGS_DIRECT_IO } else { 0 }, file_name),
        reserved: [0; 8],
    };
    LOOP_CONFIGURE.submit(device.as_fd(), &mut config).map(drop)
}

/// Has the loop device that is attached to `backing` take on the size the file has now. Returns whether there is one.
pub fn refresh_size(backing: &Path) -> Result<bool, PathError> {
    let Some(Attached { node, .. }) = of_file(backing)? else { return Ok(false) };
    let device = File::open(&node).on("open", &node)?;
    LOOP_SET_CAPACITY.submit(device.as_fd(), 0).map_err(|e| PathError::new("resize", node, e))?;
    Ok(true)
}

/// A loop device that a file is attached to.
#[derive(Debug)]
pub struct Attached {
    /// The device node, `/dev/loopN`.
    pub node: PathBuf,
    /// Whether it reads and writes the file without the page cache.
    pub direct_io: bool,
}

/// The loop device that all of the file at `path` is attached to, to be written as well. None for a file that was removed
/// meanwhile.
///
/// The path that sysfs has (Documentation/ABI/testing/sysfs-block-loop) is that of the mount namespace the file was attached
/// in, where it may have been another file, or this one under another name. So the file is known by device and inode, which
/// the loop device tells whoever may open it; only to others the path has to do.
pub fn of_file(path: &Path) -> Result<Option<Attached>, PathError> {
    const BLOCK_DEVICES: &str = "/sys/block";
    // The kernel shows the path without links on the way.
    let (Ok(file), Ok(metadata)) = (fs::canonicalize(path), fs::metadata(path)) else { return Ok(None) };
    for name in files::names(Path::new(BLOCK_DEVICES))?.iter().filter(|name| name.starts_with("loop")) {
        let attribute = |attribute: &str| fs::read_to_string(format!("{BLOCK_DEVICES}/{name}/loop/{attribute}"));
        // Nothing is attached to a device without this attribute.
        let Ok(shown) = attribute("backing_file") else { continue };
        let node = Path::new("/dev").join(name);
        let is_of_file = match status(&node) {
            Ok(info) => info.is_all_of(&metadata),
            Err(error) if error.kind() == io::ErrorKind::PermissionDenied => {
                Path::new(shown.trim_end_matches('\n')) == file
            }
            // It has no node here, or is being cleared.
            Err(_) => false,
        };
        if is_of_file {
            let direct_io = attribute("dio").is_ok_and(|dio| dio.trim_end() == "1");
            return Ok(Some(Attached { node, direct_io }));
        }
    }
    Ok(None)
}

fn status(node: &Path) -> io::Result<LoopInfo> {
    let mut info = LoopInfo::new(0, [0; 64]);
    LOOP_GET_STATUS64.submit(File::open(node)?.as_fd(), &mut info)?;
    Ok(info)
}

impl LoopInfo {
    fn is_all_of(&self, file: &fs::Metadata) -> bool {
        let is_whole = self.offset == 0 && self.size_limit == 0 && self.flags & LO_FLAGS_READ_ONLY == 0;
        is_whole && (self.device, self.inode) == (file.dev(), file.ino())
    }
}

/// Switches direct I/O of an attached loop device on or off.
pub fn set_direct_io(device: BorrowedFd<'_>, on: bool) -> io::Result<()> {
    LOOP_SET_DIRECT_IO.submit(device, usize::from(on)).map(drop)
}
