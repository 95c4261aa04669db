//! Removing a whole store, and nothing but a store.

use std::fs;
use std::io;
use std::path::Path;
use std::time::Duration;

use crate::entries::{self, Place};
use crate::layout::{self, Layout};
use crate::store::error::LayersClaimed;
use crate::store::garbage;
use crate::store::image::dependencies;
use crate::store::image::error::ImageBusy;
use crate::store::init;
use crate::store::layer::volumes;
use crate::store::{DeleteStoreError, ImageId, ImageSelector, Store};
use crate::sys::caller::Caller;
use crate::sys::files;
use crate::sys::lock;
use crate::sys::mount_point;
use crate::sys::path_error::{OnPath, PathError};
use crate::sys::remove_tree::remove_tree;

const LOCK_TIMEOUT: Duration = Duration::from_secs(3);
const UNMOUNT_TIMEOUT: Duration = Duration::from_secs(5);

impl Store {
    /// Removes all images and layers, then the store. The backing file stays, with an empty store in it.
    pub fn delete_store(&self) -> Result<(), DeleteStoreError> {
        let _session = tracing::debug_span!("store-manager-delete-store").entered();
        let root = self.layout.root();
        // Only root can make stores and unmount them, so that nobody else needs to be held off.
        let _lock = (self.caller == Caller::Root).then(init::acquire_init_lock).transpose()?;
        if !files::exists(root)? {
            tracing::info!(store = %root.display(), "store-not-found");
            return Ok(());
        }
        init::format::check(&self.layout)?;
        self.check_is_store()?;
        self.check_no_client_needs_layers()?;
        if self.layout.has_directory("locks")? {
            self.end_creates()?;
            self.end_images()?;
            if let Some(layer_store) = self.layer_store()? {
                layer_store.deregister()?;
            }
            self.remove_volumes()?;
            self.give_back_quotas();
        }
        Ok(self.remove_root(root)?)
    }

    /// A path typed wrong must not cost anybody a directory.
    fn check_is_store(&self) -> Result<(), DeleteStoreError> {
        let root = self.layout.root();
        for directory in layout::DIRECTORIES {
            if !self.layout.has_directory(directory)? && !self.is_half_deleted()? {
                return Err(DeleteStoreError::NotAStore { store: root.to_owned(), directory });
            }
        }
        Ok(())
    }

    /// Whether this is what a killed delete-store left: parts of a store and nothing else, with the lock file, which
    /// goes last; or next to nothing.
    fn is_half_deleted(&self) -> Result<bool, PathError> {
        let root = fs::canonicalize(self.layout.root()).on("resolve", self.layout.root())?;
        let mut names = files::names(&root)?;
        names.retain(|name| name != "locks");
        let has_locks = self.layout.has_directory("locks")?;
        let is_empty = names.is_empty() && files::names(&self.layout.locks())?.is_empty();
        let is_remainder = names.iter().all(|name| layout::ENTRIES.contains(&name.as_str()));
        let is_ours = has_locks || files::exists(&self.layout.backing_file())?;
        Ok(is_empty && is_ours || is_remainder && files::exists(&self.layout.lock_file())?)
    }

    /// Sees to it that there will be no new images, or fails and leaves the store as it is.
    fn end_creates(&self) -> Result<(), DeleteStoreError> {
        let (namespace, aside) = (self.layout.namespace_file(), self.layout.tmp().join("namespace.json"));
        let is_initialised = files::exists(&namespace)?;
        if is_initialised {
            match files::rename(&namespace, &aside) {
                Err(e) if e.kind() == io::ErrorKind::StorageFull => return self.end_creates_for_good(&namespace),
                renamed => renamed?,
            }
        }
        // Some store may have registered layers since that was looked at first.
        let ended = self.wait_for_creates().and_then(|()| self.check_no_client_needs_layers());
        if ended.is_err() && is_initialised {
            files::rename(&aside, &namespace)?;
        }
        ended
    }

    /// A full btrfs has room for removals alone. So all that can fail comes first, and once more after it for whoever came
    /// in between, which is nobody's loss: the store is gone by then, and the next delete-store finishes it.
    fn end_creates_for_good(&self, namespace: &Path) -> Result<(), DeleteStoreError> {
        let wait = || self.wait_for_creates().and_then(|()| self.check_no_client_needs_layers());
        wait()?;
        files::remove_if_there(namespace)?;
        wait()
    }

    fn wait_for_creates(&self) -> Result<(), DeleteStoreError> {
        // A create looks for the namespace file and puts itself on record while it shares this lock.
        let claims = lock::own_whole_within(&self.layout.lock_file(), LOCK_TIMEOUT)?;
        drop(claims.ok_or(LayersClaimed)?);
        for id in dependencies::recorded_images(&self.layout)? {
            let Ok(id) = ImageId::new(&id) else { continue };
            let lock = lock::own_within(&self.layout.lock_file(), &id.lock_name(), LOCK_TIMEOUT)?;
            drop(lock.ok_or_else(|| ImageBusy { id: id.to_string() })?);
        }
        Ok(())
    }

    fn end_images(&self) -> Result<(), DeleteStoreError> {
        for image in entries::names(&self.layout, Place::Images)? {
            self.delete(ImageSelector(&self.layout.image_path(&image).display().to_string()))?;
        }
        // A killed process may have left one mounted.
        Ok(garbage::remove_dead_images(self, &mut garbage::Removed::default())?)
    }

    fn remove_volumes(&self) -> Result<(), DeleteStoreError> {
        let claims = lock::own_whole_within(&self.layout.lock_file(), LOCK_TIMEOUT)?;
        let Some(_claims) = claims else { return Err(LayersClaimed.into()) };
        for name in files::names(&self.layout.volumes())? {
            volumes::remove(self, &self.layout.volume(&name))?;
        }
        Ok(())
    }

    /// Of a filesystem that stays. What is left there is no store's any more, and in nobody's way.
    fn give_back_quotas(&self) {
        let given_back =
            self.driver.wait_for_free_space(&self.layout).and_then(|()| self.driver.remove_leftovers(&self.layout));
        if let Err(error) = given_back {
            tracing::error!(%error, "giving-quotas-back-failed");
        }
    }

    /// A store on its own loop device is unmounted; any other mount is the operator's and stays, and so does whatever
    /// else somebody put into the store's directory.
    fn remove_root(&self, root: &Path) -> Result<(), PathError> {
        // What is open would keep the store from being unmounted.
        self.layout.directories().close();
        let is_mount_point = self.is_mount_point()?;
        let directory = fs::canonicalize(root).on("resolve", root)?;
        if is_mount_point && files::exists(&self.layout.backing_file())? {
            // First of all: a store that cannot be unmounted is still one, and can be deleted later.
            // A process that flushes the last create's layers may still have the store open for a moment.
            mount_point::unmount_within(UNMOUNT_TIMEOUT, &directory)
                .on("deinitialising store: unmounting store path: umount", &directory)?;
        } else {
            remove_parts(&directory)?;
        }
        match fs::remove_dir(&directory) {
            Err(e) if matches!(e.kind(), io::ErrorKind::DirectoryNotEmpty | io::ErrorKind::ResourceBusy) => Ok(()),
            Ok(()) if directory != root => files::remove_if_there(root),
            removed => removed.on("remove", &directory),
        }
    }
}

/// Removes what belongs to a store, the lock file last: by it a store is known that is half gone.
fn remove_parts(store: &Path) -> Result<(), PathError> {
    const LOCKS: &str = "locks";
    let layout = Layout::new(store.to_owned());
    for part in layout::ENTRIES.iter().filter(|part| **part != LOCKS) {
        remove_tree(&store.join(part))?;
    }
    let (locks, lock_file) = (layout.locks(), layout.lock_file());
    for path in files::names(&locks)?.iter().map(|name| locks.join(name)).filter(|path| *path != lock_file) {
        remove_tree(&path)?;
    }
    layout.directories().close();
    remove_tree(&store.join(LOCKS))
}
