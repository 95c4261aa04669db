//! Mounts that nobody else sees and that nothing has to clean up (mount_namespaces(7)).

use std::io;
use std::thread;

use nix::sched::{CloneFlags, unshare};
use rustix::mount::{MountPropagationFlags, mount_change};

/// Does `work` in a thread with mounts of its own, which end with it, however it ends. Its working directory is its own
/// too.
///
/// # Errors
/// Where there can be no such thread.
pub fn in_own_mounts<T: Send>(work: impl FnOnce() -> T + Send) -> io::Result<T> {
    let session = tracing::Span::current();
    thread::scope(|scope| {
        let thread = super::spawning::thread("mounts")?.spawn_scoped(scope, || {
            unshare(CloneFlags::CLONE_NEWNS)?;
            mount_change("/", MountPropagationFlags::PRIVATE | MountPropagationFlags::REC)?;
            Ok(session.in_scope(work))
        });
        thread?.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
    })
}
