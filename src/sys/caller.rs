//! On whose behalf this process runs.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::sync::OnceLock;

/// What the kernel lets this process do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Caller {
    /// Everything: give files away, mount, set limits.
    Root,
    /// What any user may. What it makes is its own.
    User,
    /// A user who is root of a user namespace with ids of his own: may give files to these, but not mount what others
    /// see, nor set limits.
    MappedUser,
}

/// The kernel's view of this process is missing, through which everything in a store is reached (proc_pid_fd(5)).
#[derive(Debug, thiserror::Error)]
#[error("/proc is not mounted, and nothing in a store can be reached without it: run mount -t proc proc /proc")]
pub struct ProcMissing;

impl Caller {
    /// The caller of this process. Whoever is root stays so; a user may enter a namespace.
    ///
    /// # Errors
    /// If there is no `/proc`.
    pub fn of_process() -> Result<Self, ProcMissing> {
        static IS_ROOT: OnceLock<()> = OnceLock::new();
        if IS_ROOT.get().is_some() {
            return Ok(Caller::Root);
        }
        let caller = match (rustix::process::geteuid().is_root(), is_in_first_namespace()?) {
            (true, true) => Caller::Root,
            (true, false) => Caller::MappedUser,
            (false, _) => Caller::User,
        };
        if caller == Caller::Root {
            let _ = IS_ROOT.set(());
        }
        Ok(caller)
    }
}

/// Whether this process is in the user namespace that the machine has begun with. The kernel gives that one a number of
/// its own (`PROC_USER_INIT_INO` in <linux/proc_ns.h>): its ids say nothing, as other namespaces may have all of them.
fn is_in_first_namespace() -> Result<bool, ProcMissing> {
    const FIRST: u64 = 0xEFFF_FFFD;
    match fs::metadata("/proc/self/ns/user") {
        Ok(namespace) => Ok(namespace.ino() == FIRST),
        // A kernel without user namespaces has no such file.
        Err(_) if fs::exists("/proc/self/fd").unwrap_or(false) => Ok(true),
        Err(_) => Err(ProcMissing),
    }
}
