//! A root directory for one thread.
//!
//! On Linux root directory, working directory and umask belong to a task, not to a process, once `CLONE_FS` is unshared
//! (unshare(2)). A thread that writes what a stranger's archive says gets a root of its own: even a forgotten symlink
//! check cannot lead out of it.

use std::io;
use std::os::fd::BorrowedFd;

use nix::sched::{CloneFlags, unshare};
use rustix::fs::Mode;
use rustix::io::Errno;
use rustix::process::{chroot, fchdir, umask};

/// What [`enter`] could do for the calling thread.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Confinement {
    /// Working directory and umask are the thread's own, and the umask is 0: modes given at creation are exact, and
    /// the thread may change its working directory.
    pub own_filesystem_context: bool,
    /// The thread's root directory is the one asked for.
    pub own_root: bool,
}

impl Confinement {
    /// Makes `directory` the working directory of the calling thread, if it has one of its own, and tells whether it has.
    ///
    /// # Errors
    /// Those of fchdir(2).
    pub fn change_directory(self, directory: BorrowedFd<'_>) -> io::Result<bool> {
        if self.own_filesystem_context {
            fchdir(directory)?;
        }
        Ok(self.own_filesystem_context)
    }
}

/// Makes `root` the root and working directory of the calling thread and sets its umask to 0, for the rest of the
/// thread's life. Call it only in a thread that ends with the work.
///
/// Without the privilege (`CAP_SYS_CHROOT`, or a seccomp filter in the way) the thread goes on with what could be
/// had; the caller's own path discipline must hold anyway.
///
/// # Errors
/// Everything but a missing privilege.
pub fn enter(root: BorrowedFd<'_>) -> io::Result<Confinement> {
    match unshare(CloneFlags::CLONE_FS) {
        Ok(()) => {}
        Err(nix::errno::Errno::EPERM) => {
            return Ok(Confinement { own_filesystem_context: false, own_root: false });
        }
        Err(errno) => return Err(errno.into()),
    }
    umask(Mode::empty());
    fchdir(root)?;
    let own_root = match chroot(".") {
        Ok(()) => true,
        Err(Errno::PERM) => false,
        Err(errno) => return Err(errno.into()),
    };
    Ok(Confinement { own_filesystem_context: true, own_root })
}
