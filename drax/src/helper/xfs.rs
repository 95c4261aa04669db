//! Limits and usage of images on XFS.

use super::caller::Caller;
use super::directory::Directory;
use super::error::HelperError;
use super::store::{Last, Store};
use super::store_path::StorePath;
use super::usage;
use crate::btrfs::ImageUsage;
use crate::xfs::{self, Limit};
use std::path::Path;

/// Limits the disk space and the inodes of an image; prints nothing.
///
/// An image is limited once, before anything is in it: it is given a project that is nobody's. One that has a project
/// already may bear a number that is another image's, since anybody may put any number on a directory of their own. So
/// only root changes limits, and only where nobody else could have put the number there.
pub(super) fn limit(caller: &Caller, path: &Path, limit: Limit) -> Result<String, HelperError> {
    let place = StorePath::image(path)?;
    let store = Store::open(caller, &place)?;
    let image = open_image(&store, &place)?;
    let failed = |error| HelperError::Limit { path: image.path.clone(), error };
    match own_project(&store, &place, &image)? {
        None => {
            let projectids = store.enter(&["projectids"], Last::Own)?;
            let _lock = store.acquire_allocation_lock()?;
            xfs::allocate_project(image.fd(), projectids.fd(), limit).map_err(failed)?;
        }
        Some(id) if store.is_roots_own()? => xfs::set_limit(store.directory.fd(), id, limit).map_err(failed)?,
        Some(_) => return Err(HelperError::LimitedAlready(image.path)),
    }
    Ok(String::new())
}

/// One JSON object.
pub(super) fn stats(caller: &Caller, path: &Path) -> Result<String, HelperError> {
    let place = StorePath::image(path)?;
    let store = Store::open(caller, &place)?;
    let image = open_image(&store, &place)?;
    let failed = |error| HelperError::Measure { path: image.path.clone(), error };
    let counted = match xfs::project_id(image.fd()).map_err(failed)? {
        0 => None,
        id => Some(xfs::usage(store.directory.fd(), id).map_err(failed)?),
    };
    let own = counted.unwrap_or_default();
    let layers = store.layers_size(&image)?.ok_or_else(|| HelperError::no_image_info(&image.path))?;
    let usage = ImageUsage {
        total: layers.saturating_add(own.used_bytes),
        exclusive: own.used_bytes,
        quota: own.limit.bytes,
        committed: layers.saturating_add(own.limit.bytes),
    };
    Ok(match counted {
        Some(own) => usage::json_with_inodes(usage, own.used_inodes, own.limit.inodes),
        None => usage::json(usage),
    })
}

fn open_image(store: &Store<'_>, place: &StorePath) -> Result<Directory, HelperError> {
    let image = store.enter(&place.below, Last::Own)?;
    if image.is_on_xfs()? { Ok(image) } else { Err(HelperError::NotXfs(image.path)) }
}

/// The project of an image, unless it is the one of the directory around it, as where a whole store is limited.
fn own_project(store: &Store<'_>, place: &StorePath, image: &Directory) -> Result<Option<u32>, HelperError> {
    let around = store.enter(&place.below[..1], Last::Own)?;
    let project = |directory: &Directory| {
        xfs::project_id(directory.fd()).map_err(|error| HelperError::Measure { path: directory.path.clone(), error })
    };
    let (own, around) = (project(image)?, project(&around)?);
    Ok(Some(own).filter(|own| *own != 0 && *own != around))
}
