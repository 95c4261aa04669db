//! Removing an image.
//!
//! Under the image's lock: rename out of `images/` with the mount in it, unmount, remove, forget the record. What a
//! killed process left under `tmp/` is finished by the next delete of the image, the next create of it, or clean.

use std::io::ErrorKind;
use std::path::Path;
use std::time::Duration;

use crate::layout;
use crate::store::image::error::ImageBusy;
use crate::store::image::removal;
use crate::store::totals;
use crate::store::{DeleteError, ImageId, ImageSelector, SelectError, Store, StoreError};
use crate::sys::files;
use crate::sys::lock;
use crate::sys::path_error::PathError;

/// Another delete of the same image may take its time with a large one.
const LOCK_TIMEOUT: Duration = Duration::from_secs(60);

/// What a delete came to.
#[derive(Debug)]
pub enum Deleted {
    /// The image is gone.
    Image(ImageId),
    /// There was nothing to delete, and why.
    Nothing(String),
}

impl Store {
    /// Deletes the image that `argument` names. Deleting what is not there is no error.
    pub fn delete(&self, argument: ImageSelector<'_>) -> Result<Deleted, DeleteError> {
        let id = match argument.id(self) {
            Ok(id) => id,
            Err(e @ SelectError::NotFound { .. }) => return Ok(Deleted::Nothing(format!("{e} Skipping delete."))),
            Err(e @ SelectError::OutsideStore { .. }) => return Ok(Deleted::Nothing(e.to_string())),
        };
        // Looked at before the lock: whoever is creating the image holds it for as long as the source takes.
        if !self.is_here(&id)? {
            return Ok(nothing_of(&id));
        }
        self.check_directories()?;
        let _session = tracing::info_span!("groot-deleting", imageID = %id).entered();
        let Some(_lock) = lock::own_within(&self.layout.lock_file(), &id.lock_name(), LOCK_TIMEOUT)? else {
            return Err(ImageBusy { id: id.to_string() }.into());
        };
        if files::exists(&self.layout.image(id.as_str()))? {
            self.destroy(&id)?;
        } else if files::exists(&self.layout.deleting(id.as_str()))? {
            removal::discard_staging(self, &id)?;
        } else {
            return Ok(nothing_of(&id));
        }
        Ok(Deleted::Image(id))
    }

    /// Removes an image that is there. The caller holds its lock.
    fn destroy(&self, id: &ImageId) -> Result<(), StoreError> {
        let (image, deleting) = (self.layout.image(id.as_str()), self.layout.deleting(id.as_str()));
        removal::finish_removal(self, id)?;
        match totals::with_removed(&self.layout, id.as_str(), || files::rename(&image, &deleting)) {
            Err(e) if matches!(e.kind(), ErrorKind::StorageFull | ErrorKind::CrossesDevices) => {
                return self.destroy_in_place(id, &image);
            }
            renamed => renamed?,
        }
        if !files::is_directory(&deleting)? {
            return removal::discard_staging(self, id);
        }
        if let Err(error) = self.driver.unmount_image(&deleting, &self.layout.image_path(id.as_str())) {
            // It is whole still, and in somebody's use.
            let put_back = || files::rename_to_new(&deleting, &image);
            totals::with_added(&self.layout, id.as_str(), &deleting, put_back)?;
            return Err(error.into());
        }
        self.driver.remove_image(&self.layout, &deleting)?;
        removal::forget_layers(self, id)
    }

    /// A full btrfs has room for removals alone, and in a user namespace no project of XFS can be changed. What a kill leaves
    /// of the image is removed by the next delete.
    fn destroy_in_place(&self, id: &ImageId, image: &Path) -> Result<(), StoreError> {
        totals::forget(&self.layout);
        if files::is_directory(image)? {
            self.driver.unmount_image(image, &self.layout.image_path(id.as_str()))?;
            self.driver.remove_image(&self.layout, image)?;
        } else {
            files::remove_if_there(image)?;
        }
        removal::discard_staging(self, id)
    }

    /// Checks that what is removed is the store's own: a link may lead to somebody else's.
    fn check_directories(&self) -> Result<(), StoreError> {
        for directory in layout::DIRECTORIES.iter().filter(|directory| **directory != "volumes") {
            if !self.has_directory(directory)? {
                return Err(StoreError::NotADirectory { path: self.layout.root().join(directory) });
            }
        }
        Ok(())
    }

    fn is_here(&self, id: &ImageId) -> Result<bool, PathError> {
        Ok(files::exists(&self.layout.image(id.as_str()))? || files::exists(&self.layout.deleting(id.as_str()))?)
    }
}

fn nothing_of(id: &ImageId) -> Deleted {
    Deleted::Nothing(format!("{} Skipping delete.", SelectError::NotFound { id: id.to_string() }))
}
