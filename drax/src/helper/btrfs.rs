//! Limits and usage of images on btrfs, and their subvolumes.
//!
//! A subvolume may belong to whom the image says; who has put it where it is, is told by the directories around it.

use super::caller::Caller;
use super::directory::Directory;
use super::error::HelperError;
use super::store::{Last, Store};
use super::store_path::StorePath;
use super::usage;
use crate::btrfs::{self, ImageUsage, LimitError, QuotaMode};
use crate::limit::DiskLimit;
use std::ffi::OsStr;
use std::os::unix::ffi::OsStringExt;
use std::path::Path;

/// Quota groups to be removed by one call.
const MOST_STALE: usize = 10_000;

/// How stats are printed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Form {
    /// As the program `btrfs` does.
    Table,
    /// As on XFS.
    Json,
}

/// The subvolume of an image, open, in its store.
struct ImageSubvolume<'a> {
    store: Store<'a>,
    subvolume: Directory,
    id: u64,
    mode: QuotaMode,
    /// The original keeps no such record on btrfs; classic quotas do without.
    layers: Option<u64>,
}

impl<'a> ImageSubvolume<'a> {
    fn open(caller: &'a Caller, path: &Path) -> Result<Self, HelperError> {
        let place = StorePath::image_subvolume(path)?;
        let store = Store::open(caller, &place)?;
        let image = store.enter(&place.below[..2], Last::Own)?;
        let (subvolume, id) = open_subvolume(&store, &place)?;
        let failed = |error| HelperError::Measure { path: subvolume.path.clone(), error };
        let state = btrfs::quota_state(store.directory.fd()).map_err(failed)?;
        let mode = state.ok_or_else(|| HelperError::QuotasOff(store.directory.path.clone()))?.mode;
        let layers = store.layers_size(&image)?;
        if layers.is_none() && mode == QuotaMode::Simple {
            return Err(HelperError::no_image_info(&image.path));
        }
        Ok(Self { store, subvolume, id, mode, layers })
    }
}

/// Limits the disk space of an image; prints nothing.
pub(super) fn limit(caller: &Caller, path: &Path, wanted: DiskLimit) -> Result<String, HelperError> {
    let image = ImageSubvolume::open(caller, path)?;
    let limited = btrfs::limit_image(image.store.directory.fd(), image.subvolume.fd(), wanted, image.layers);
    limited.map_err(|error| match error {
        LimitError::Off => HelperError::QuotasOff(image.store.directory.path.clone()),
        LimitError::Inconsistent => HelperError::Inconsistent(image.store.directory.path.clone()),
        LimitError::TooSmall(error) => HelperError::TooSmall(error),
        LimitError::Failed(error) => HelperError::Limit { path: image.subvolume.path.clone(), error },
    })?;
    Ok(String::new())
}

/// What an image takes; after a sync, what it takes now.
pub(super) fn stats(caller: &Caller, path: &Path, sync: bool, form: Form) -> Result<String, HelperError> {
    let image = ImageSubvolume::open(caller, path)?;
    let failed = |error| HelperError::Measure { path: image.subvolume.path.clone(), error };
    if sync {
        btrfs::sync(image.store.directory.fd()).map_err(failed)?;
    }
    let usage = btrfs::usage(image.subvolume.fd()).map_err(failed)?;
    let usage = usage.ok_or_else(|| HelperError::NotCounted(image.subvolume.path.clone()))?;
    let usage: ImageUsage = btrfs::usage_of_image(image.mode, usage, image.layers);
    Ok(match form {
        Form::Table => usage::table(image.id, usage),
        Form::Json => usage::json(usage),
    })
}

/// Takes the limit off a subvolume that is about to be deleted, and removes its quota group as far as the kernel lets;
/// prints nothing.
///
/// The kernel keeps the group while the subvolume exists. Newer ones then remove it themselves; what they leave goes with
/// [`collect`].
pub(super) fn destroy(caller: &Caller, path: &Path) -> Result<String, HelperError> {
    let place = StorePath::subvolume(path)?;
    let store = Store::open(caller, &place)?;
    let (subvolume, id) = open_subvolume(&store, &place)?;
    let failed = |error| HelperError::Remove { path: subvolume.path.clone(), error };
    btrfs::remove_qgroup(store.directory.fd(), id).map_err(failed)?;
    Ok(String::new())
}

/// Removes quota groups of subvolumes that are gone, on the whole filesystem: they are nobody's. Prints nothing.
pub(super) fn collect(caller: &Caller, path: &Path) -> Result<String, HelperError> {
    let store = Store::open(caller, &StorePath::store(path)?)?;
    let fs = store.directory.fd();
    let failed = |error| HelperError::Remove { path: store.directory.path.clone(), error };
    for id in btrfs::stale_qgroups(fs, MOST_STALE).map_err(failed)? {
        btrfs::remove_stale_qgroup(fs, id).map_err(failed)?;
    }
    Ok(String::new())
}

/// Paths of the subvolumes at and below a directory, children before their parents, one a line without a newline at the
/// end.
pub(super) fn list(caller: &Caller, path: &Path) -> Result<Vec<u8>, HelperError> {
    let place = StorePath::with_subvolumes(path)?;
    let store = Store::open(caller, &place)?;
    let directory = store.enter(&place.below, Last::Any)?;
    let failed = |error| HelperError::List { path: directory.path.clone(), error };
    let nested = btrfs::visible_subvolumes(directory.fd()).map_err(failed)?;
    let mut paths: Vec<_> =
        nested.into_iter().map(|nested| directory.path.join(nested.path).into_os_string()).collect();
    if btrfs::is_subvolume(directory.fd()).map_err(failed)? {
        paths.push(directory.path.into_os_string());
    }
    paths.sort_by(|a, b| b.cmp(a));
    Ok(paths.join(OsStr::new("\n")).into_vec())
}

fn open_subvolume(store: &Store<'_>, place: &StorePath) -> Result<(Directory, u64), HelperError> {
    let directory = store.enter(&place.below, Last::Any)?;
    let failed = |error| HelperError::Measure { path: directory.path.clone(), error };
    if !btrfs::is_subvolume(directory.fd()).map_err(failed)? {
        return Err(HelperError::NotASubvolume(directory.path));
    }
    let id = btrfs::subvolume_id(directory.fd()).map_err(failed)?;
    Ok((directory, id))
}
