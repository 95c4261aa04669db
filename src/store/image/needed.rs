//! Which layers an image needs, and which it may need where its record does not tell.
//!
//! A record that is missing or damaged is no reason to keep all layers, nor to take any away that the image has. So the
//! filesystem is asked next: what the live mount is made of, what create left in an attribute of the image, which subvolume
//! the image is a copy of. Where nothing tells, an image made later cannot be meant, and layers that came later cannot be
//! its own: all others are spared.

use std::collections::HashSet;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use crate::driver::Driver;
use crate::entries::{self, Place};
use crate::layout::Layout;
use crate::store::image::dependencies::{self, image_key};
use crate::store::layer::volumes::{self, Entry};
use crate::store::{ImageId, Store};
use crate::sys::path_error::PathError;
use crate::sys::{files, lock};

/// Clocks are set back by hours, where they were taken for local time.
const CLOCK_ERROR: Duration = Duration::from_secs(24 * 60 * 60);

/// Chain ids of the layers that the image `id` needs or may need. One whose record cannot be read is named in the log.
pub(in crate::store) fn layers_of_image(store: &Store, id: &str) -> Result<Vec<String>, PathError> {
    let layout = &store.layout;
    let error = match dependencies::read(layout, &image_key(id)) {
        Ok(layers) => return Ok(layers),
        Err(error) => error,
    };
    let Some(image) = directory_of(layout, id)? else {
        // It is being created, or was deleted between the two looks.
        let Ok(id) = ImageId::new(id) else { return Ok(Vec::new()) };
        return match lock::is_held(&layout.lock_file(), &id.lock_name())? {
            false => Ok(Vec::new()),
            true => volumes_until(layout, None),
        };
    };
    if !is_image(&image, Some(&error))? {
        entries::tell(&image);
        return Ok(Vec::new());
    }
    tracing::error!(%error, imageID = id, "image-record-damaged");
    match found_by_driver(store.driver.as_ref(), layout, &image) {
        Some(layers) => expand(layout, &layers),
        None => volumes_until(layout, birth(&image)?),
    }
}

/// Whether a directory in `images/` is an image: something is on record of it, or it has a root filesystem. `unreadable` is
/// why its record cannot be read.
pub(in crate::store) fn is_image(path: &Path, unreadable: Option<&dependencies::Error>) -> Result<bool, PathError> {
    let has_record = !matches!(unreadable, Some(dependencies::Error::Missing(_)));
    Ok(has_record || files::is_directory(&path.join("rootfs"))?)
}

/// Chain ids of the layers that an image of another store may need that has its layers here. `record` is the one that is
/// kept here, which cannot be read.
pub(in crate::store) fn layers_of_client(
    store: &Store,
    client: Option<&Layout>,
    record: &Path,
) -> Result<Vec<String>, PathError> {
    let layout = &store.layout;
    let id = record.file_stem().and_then(|id| id.to_str()).unwrap_or_default();
    let told = client.and_then(|client| {
        let recorded = dependencies::read(client, &image_key(id)).ok();
        recorded.or_else(|| found_by_driver(store.driver.as_ref(), client, &client.image(id)))
    });
    match told {
        Some(layers) => expand(layout, &layers),
        None => volumes_until(layout, birth(record)?),
    }
}

/// Where an image is at the moment; `None` if there is nothing of it but a record.
fn directory_of(layout: &Layout, id: &str) -> Result<Option<PathBuf>, PathError> {
    // In the order in which it moves on, and once more where it may have been put back.
    for path in [layout.creating(id), layout.image(id), layout.deleting(id), layout.image(id)] {
        if files::is_directory(&path)? {
            return Ok(Some(path));
        }
    }
    Ok(None)
}

fn found_by_driver(driver: &dyn Driver, layout: &Layout, image: &Path) -> Option<Vec<String>> {
    driver.layers_of_image(layout, image).unwrap_or_else(|error| {
        tracing::debug!(%error, "layers-of-image-cannot-be-told");
        None
    })
}

/// The volumes that these names, or beginnings of names, stand for, and themselves.
fn expand(layout: &Layout, beginnings: &[String]) -> Result<Vec<String>, PathError> {
    let mut layers = beginnings.to_vec();
    let is_meant = |name: &String| beginnings.iter().any(|beginning| name.starts_with(beginning.as_str()));
    layers.extend(entries::names(layout, Place::Volumes)?.into_iter().filter(is_meant));
    Ok(layers)
}

/// Layers that were there at that time, or may have been; all of them if none is given.
fn volumes_until(layout: &Layout, time: Option<SystemTime>) -> Result<Vec<String>, PathError> {
    let limit = time.and_then(|time| time.checked_add(CLOCK_ERROR));
    let was_there = |path: &Path| {
        let born = birth(path)?;
        Ok::<_, PathError>(limit.zip(born).is_none_or(|(limit, born)| born <= limit))
    };
    let mut layers = HashSet::new();
    for name in entries::names(layout, Place::Volumes)? {
        if matches!(Entry::of_name(&name), Entry::Layer(_)) && was_there(&layout.volume(&name))? {
            layers.insert(name);
        }
    }
    for name in entries::names(layout, Place::Staging)? {
        if let Some(layer) = volumes::kept_layer(&name)
            && was_there(&layout.tmp().join(&name))?
        {
            layers.insert(layer.to_owned());
        }
    }
    Ok(layers.into_iter().collect())
}

/// When something was made; `None` if it is gone, or the filesystem does not tell.
fn birth(path: &Path) -> Result<Option<SystemTime>, PathError> {
    match files::status(path) {
        Ok(status) => Ok(status.created().ok()),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}
