//! Mounting images again. After a reboot an image's files are there, and its root filesystem is not mounted.

use crate::driver::{self, RootfsState, Volume};
use crate::entries::{self, Place};
use crate::image::ChainId;
use crate::store::image::dependencies;
use crate::store::image::error::ImageBusy;
use crate::store::{ImageError, ImageId, ImageSelector, MountError, Store};
use crate::sys::files;
use crate::sys::lock::{self, Lock};
use crate::sys::path_error::{PathError, named};
use std::path::Path;
use std::time::Duration;

/// A create or delete of the image may be at work.
const LOCK_TIMEOUT: Duration = Duration::from_secs(5);

/// What a mount or unmount came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Remounted {
    /// It is done.
    Done,
    /// It was so already.
    Already,
    /// Root filesystems of this driver are directories of the store.
    Unneeded,
}

impl Store {
    /// Whether create mounted the root filesystem of an image, and it is not mounted any more.
    pub fn lacks_rootfs(&self, id: &ImageId) -> Result<bool, driver::Error> {
        Ok(self.driver.rootfs_state(&self.layout.image(id.as_str()))? == RootfsState::Unmounted)
    }

    /// Mounts the root filesystem of an image, as create did.
    pub fn mount(&self, image: ImageSelector<'_>) -> Result<(ImageId, Remounted), MountError> {
        let (id, _lock) = self.lock_existing(image)?;
        let mounted = self.mount_locked(&id)?;
        Ok((id, mounted))
    }

    /// Unmounts the root filesystem of an image that nothing uses.
    pub fn unmount(&self, image: ImageSelector<'_>) -> Result<(ImageId, Remounted), MountError> {
        let (id, _lock) = self.lock_existing(image)?;
        let path = self.layout.image(id.as_str());
        let unmounted = match self.driver.rootfs_state(&path)? {
            _ if !self.driver.mounts_images() => Remounted::Unneeded,
            RootfsState::Present => {
                self.driver.unmount_unused_image(&path)?;
                Remounted::Done
            }
            RootfsState::Unmounted | RootfsState::LeftToCaller => Remounted::Already,
        };
        Ok((id, unmounted))
    }

    /// Mounts all images that create mounted. One that cannot be mounted keeps no other from it; the error is the first.
    pub fn mount_all(&self) -> Result<(), MountError> {
        let mut result = Ok(());
        for name in entries::names(&self.layout, Place::Images)? {
            let Ok(id) = ImageId::new(&name) else { continue };
            if let Err(error) = self.mount_if_lost(&id) {
                tracing::error!(%error, imageID = %id, "mounting-image-failed");
                result = result.and(Err(MountError::OneOfAll { id: id.to_string(), source: Box::new(error) }));
            }
        }
        result
    }

    fn mount_if_lost(&self, id: &ImageId) -> Result<(), MountError> {
        if !files::is_directory(&self.layout.image(id.as_str()))? || !self.lacks_rootfs(id)? {
            return Ok(());
        }
        // Whoever holds it creates or deletes the image.
        match lock::try_own(&self.layout.lock_file(), &id.lock_name())? {
            Some(_lock) => self.mount_locked(id).map(drop),
            None => Ok(()),
        }
    }

    pub(in crate::store) fn lock_existing(&self, image: ImageSelector<'_>) -> Result<(ImageId, Lock), ImageError> {
        self.locked(image, lock::own_within)
    }

    /// Locks an image together with others who only read it.
    pub(in crate::store) fn share_existing(&self, image: ImageSelector<'_>) -> Result<(ImageId, Lock), ImageError> {
        self.locked(image, lock::share_within)
    }

    fn locked(
        &self,
        image: ImageSelector<'_>,
        take: fn(&Path, &str, Duration) -> Result<Option<Lock>, PathError>,
    ) -> Result<(ImageId, Lock), ImageError> {
        self.check_initialised()?;
        let id = image.existing(self)?;
        let lock = take(&self.layout.lock_file(), &id.lock_name(), LOCK_TIMEOUT)?;
        let lock = lock.ok_or_else(|| ImageBusy { id: id.to_string() })?;
        let id = image.existing(self)?;
        Ok((id, lock))
    }

    fn mount_locked(&self, id: &ImageId) -> Result<Remounted, MountError> {
        let path = self.layout.image(id.as_str());
        if !self.driver.mounts_images() {
            return Ok(Remounted::Unneeded);
        }
        if self.driver.rootfs_state(&path)? == RootfsState::Present {
            return Ok(Remounted::Already);
        }
        let layers_in = self.layers_in()?;
        let volumes = self.recorded_volumes(id)?;
        for volume in &volumes {
            let layer = layers_in.layout.volume(volume.chain_id.as_str());
            if !files::is_directory(&layer)? {
                let layer = layers_in.layout.volume_path(volume.chain_id.as_str());
                return Err(MountError::LayerMissing { id: id.to_string(), layer });
            }
        }
        let mappings = self.mappings()?;
        let shared = layers_in.shared(&mappings);
        self.driver.mount_image(&self.layout, &path, &volumes, shared.as_ref())?;
        Ok(Remounted::Done)
    }

    /// The layers that an image has on record, bottom first, without the one that stands for several of them in the mount
    /// options of a caller.
    pub(in crate::store) fn recorded_volumes(&self, id: &ImageId) -> Result<Vec<Volume>, ImageError> {
        let recorded = dependencies::read(&self.layout, &dependencies::image_key(id.as_str()));
        let recorded = recorded.map_err(|source| ImageError::UnreadableRecord { id: id.to_string(), source })?;
        let is_flattened =
            |id: &String| recorded.iter().any(|top| crate::store::layer::flatten::name(top).as_str() == id);
        let chain_ids = recorded.iter().filter(|id| !is_flattened(id)).map(|id| {
            ChainId::new(id).map_err(|error| ImageError::UnreadableRecord {
                id: id.clone(),
                source: dependencies::Error::Damaged(named(&self.layout.dependencies()), error.to_string()),
            })
        });
        chain_ids.map(|chain_id| Ok(Volume { chain_id: chain_id?, size: 0 })).collect()
    }
}
