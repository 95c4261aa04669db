//! Mounts that show other owners than those on disk (mount_setattr(2), `MOUNT_ATTR_IDMAP`, Linux 5.12).

use std::io;
use std::os::fd::{AsRawFd, OwnedFd};
use std::path::Path;

use rustix::fs::CWD;
use rustix::mount::{OpenTreeFlags, open_tree};

use super::userns;

/// The mount that `source` is in, from there on, once more: mounted nowhere yet, read-only. A file that is `<inside>` on
/// disk shows as `<outside>`, by the maps' lines of `<inside> <outside> <count>`; one that is in none belongs to nobody
/// and can be changed by nobody.
///
/// # Errors
/// `ENOSYS` or `EINVAL` where the kernel or the filesystem cannot do this; those of the system calls.
pub fn clone(source: &Path, uid_map: &str, gid_map: &str) -> io::Result<OwnedFd> {
    let namespace = userns::with_ids(uid_map, gid_map)?;
    let tree = open_tree(CWD, source, OpenTreeFlags::OPEN_TREE_CLONE | OpenTreeFlags::OPEN_TREE_CLOEXEC)?;
    set_ids(&tree, &namespace)?;
    Ok(tree)
}

fn set_ids(tree: &OwnedFd, namespace: &OwnedFd) -> io::Result<()> {
    let attributes = libc::mount_attr {
        attr_set: libc::MOUNT_ATTR_IDMAP | libc::MOUNT_ATTR_RDONLY,
        attr_clr: 0,
        propagation: 0,
        userns_fd: namespace.as_raw_fd() as u64,
    };
    // SAFETY: the path is a string that ends with a zero byte, `attributes` is what the kernel expects and of the size
    // that is given; it reads both and keeps neither.
    let result = unsafe {
        libc::syscall(
            libc::SYS_mount_setattr,
            tree.as_raw_fd(),
            c"".as_ptr(),
            libc::AT_EMPTY_PATH,
            &raw const attributes,
            size_of::<libc::mount_attr>(),
        )
    };
    if result == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}
