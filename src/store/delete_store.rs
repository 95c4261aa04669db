//! Removing a whole store, and nothing but a store.

use std::fs;
use std::path::Path;
use std::thread;
use std::time::{Duration, Instant};

use rustix::io::Errno;
use rustix::mount::{UnmountFlags, unmount};

use super::{Argument, Error, Store, garbage, volumes};
use crate::layout;
use crate::sys::files;
use crate::sys::lock;
use crate::sys::path_error::{OnPath, PathError};
use crate::sys::remove_tree::remove_tree;

const LOCK_PATIENCE: Duration = Duration::from_secs(3);
const UNMOUNT_PATIENCE: Duration = Duration::from_secs(5);

impl Store {
    /// Removes all images and layers, then the store. The backing file stays, with an empty store in it.
    pub fn delete_store(&self) -> Result<(), Error> {
        let root = self.layout.root();
        if !files::exists(root)? {
            tracing::info!(store = %root.display(), "store-not-found");
            return Ok(());
        }
        self.check_is_store()?;
        for image in self.images()? {
            self.delete(Argument(&image.display().to_string()))?;
        }
        // A killed process may have left one mounted.
        garbage::remove_dead_images(self)?;
        self.remove_volumes()?;
        self.remove_root(root)
    }

    /// A path typed wrong must not cost anybody a directory.
    fn check_is_store(&self) -> Result<(), Error> {
        let root = self.layout.root();
        for directory in layout::DIRECTORIES {
            if !root.join(directory).is_dir() {
                return Err(Error::NotAStore(root.display().to_string(), directory));
            }
        }
        Ok(())
    }

    fn remove_volumes(&self) -> Result<(), Error> {
        let claims = lock::own_whole_within(&self.layout.lock_file(), LOCK_PATIENCE)?;
        let Some(_claims) = claims else { return Err(Error::ClaimsBusy) };
        for name in files::names(&self.layout.volumes())? {
            volumes::remove(self, &self.layout.volume(&name))?;
        }
        Ok(())
    }

    /// A store on its own loop device is unmounted; any other mount is the operator's and stays, empty.
    fn remove_root(&self, root: &Path) -> Result<(), Error> {
        let is_mount_point = self.is_mount_point()?;
        if is_mount_point && files::exists(&self.layout.backing_file())? {
            // First of all: a store that cannot be unmounted is still one, and can be deleted later.
            unmount_when_free(root)?;
            return Ok(remove_tree(root)?);
        }
        for entry in fs::read_dir(root).on("open", root)? {
            remove_tree(&entry.on("read", root)?.path())?;
        }
        if !is_mount_point {
            remove_tree(root)?;
        }
        Ok(())
    }
}

/// A process that flushes the last create's layers may still have the store open for a moment.
fn unmount_when_free(root: &Path) -> Result<(), PathError> {
    let start = Instant::now();
    loop {
        match unmount(root, UnmountFlags::NOFOLLOW) {
            Err(Errno::BUSY) if start.elapsed() < UNMOUNT_PATIENCE => thread::sleep(Duration::from_millis(20)),
            unmounted => return unmounted.on("deinitialising store: unmounting store path: umount", root),
        }
    }
}
