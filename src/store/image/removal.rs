//! Removes unfinished images: those that were being created or deleted when their process died.

use crate::driver;
use crate::store::image::dependencies;
use crate::store::layer::volumes;
use crate::store::{ImageId, Store, StoreError};
use crate::sys::files;
use crate::sys::path_error::named;

/// Removes everything below `tmp/` that belongs to an image. The caller holds the image's lock.
pub(in crate::store) fn finish_removal(store: &Store, id: &ImageId) -> Result<(), driver::Error> {
    for path in [store.layout.creating(id.as_str()), store.layout.deleting(id.as_str())] {
        match files::file_type(&path)? {
            None => {}
            Some(found) if found.is_dir() => {
                store.driver.unmount_image(&path, &named(&path))?;
                store.driver.remove_image(&store.layout, &path)?;
            }
            // No image, and none of this program's making: a link may lead to somebody else's.
            Some(_) => files::remove_if_there(&path)?,
        }
    }
    Ok(files::remove_if_there(&store.layout.recording(id.as_str()))?)
}

/// Removes what is unfinished of an image and, unless the image itself is there, its record. The caller holds the image's
/// lock.
pub(in crate::store) fn discard_staging(store: &Store, id: &ImageId) -> Result<(), StoreError> {
    finish_removal(store, id)?;
    if files::exists(&store.layout.image(id.as_str()))? {
        return Ok(());
    }
    forget_layers(store, id)
}

/// Forgets which layers an image needs that is gone, and notes that they have been in use until now. The caller holds its lock.
pub(in crate::store) fn forget_layers(store: &Store, id: &ImageId) -> Result<(), StoreError> {
    let layers = dependencies::read_copy(&store.layout, &dependencies::image_key(id.as_str())).unwrap_or_default();
    let layers_in = store.layers_in()?;
    volumes::note_use(&layers_in.layout, &layers);
    if let Some(layer_store) = layers_in.layer_store() {
        layer_store.release(id)?;
    }
    Ok(dependencies::remove(&store.layout, &dependencies::image_key(id.as_str()))?)
}
