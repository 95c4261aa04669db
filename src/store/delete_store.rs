//! Removing a whole store, and nothing but a store.

use std::fs;
use std::path::Path;
use std::time::Duration;

use rustix::mount::{UnmountFlags, unmount};

use super::{Argument, Error, Store, volumes};
use crate::layout;
use crate::sys::files;
use crate::sys::lock;
use crate::sys::path_error::OnPath;
use crate::sys::remove_tree::remove_tree;

const LOCK_PATIENCE: Duration = Duration::from_secs(3);

impl Store {
    /// Removes all images and layers, then the store. The backing file stays, with an empty filesystem in it.
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
        for entry in fs::read_dir(root).on("open", root)? {
            remove_tree(&entry.on("read", root)?.path())?;
        }
        if !is_mount_point {
            return Ok(remove_tree(root)?);
        }
        if files::exists(&self.layout.backing_file())? {
            unmount(root, UnmountFlags::NOFOLLOW).on("deinitialising store: unmounting store path: umount", root)?;
            remove_tree(root)?;
        }
        Ok(())
    }
}
