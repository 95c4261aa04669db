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
        let thread = thread::Builder::new().spawn_scoped(scope, || {
            unshare(CloneFlags::CLONE_NEWNS)?;
            mount_change("/", MountPropagationFlags::PRIVATE | MountPropagationFlags::REC)?;
            Ok(session.in_scope(work))
        });
        thread?.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
    })
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    #[test]
    fn what_is_mounted_there_is_seen_there_alone() {
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("file");
        let is_there = in_own_mounts(|| {
            rustix::mount::mount("tmpfs", directory.path(), "tmpfs", rustix::mount::MountFlags::empty(), None).unwrap();
            fs::write(&file, "").unwrap();
            file.exists()
        });
        assert!(is_there.unwrap() && !file.exists());
    }
}
