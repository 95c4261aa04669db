//! Limits that were lost: switching quotas off, by whomever, forgets them all.

use std::ffi::OsStr;
use std::os::fd::{AsFd, OwnedFd};
use std::path::Path;

use drax::btrfs::{self as quotas, Limit, QuotaMode, QuotaState};

use super::quota::{QuotaError, own};
use super::subvolumes::is_subvolume;
use super::{VOLUME, rootfs_of};
use crate::driver::filesystem::{open, open_store};
use crate::driver::image_files;
use crate::entries::{self, Place};
use crate::layout::Layout;
use crate::sys::files;
use crate::sys::path_error::named;
use crate::sys::xattr;

/// On the store's directory: the epoch ([`quotas::simple_quota_epoch`]) in which all limits were there. Only root can set
/// it, so that the owner of a store cannot have limits forgotten.
const COMPLETE_IN: &str = "trusted.grootfs.limits";

/// Sets the limits of images again that have one on record and none any more.
///
/// What an image wrote before quotas were on again, simple ones do not count.
pub(super) fn limits(layout: &Layout) -> Result<(), QuotaError> {
    let store = open_store(layout.root())?;
    let state = quotas::quota_state(store.as_fd()).map_err(QuotaError::Enable)?;
    let Some(QuotaState { mode, .. }) = state else { return Ok(()) };
    // Not everybody may know it, and then all images are looked at each time.
    let epoch = quotas::simple_quota_epoch(store.as_fd()).ok().flatten();
    if epoch.as_deref().is_some_and(|epoch| were_complete_in(&store, epoch)) {
        return Ok(());
    }
    let is_complete = restore_all(layout, &store, mode)?;
    if let Some(epoch) = epoch.filter(|_| is_complete)
        && let Err(error) = xattr::set(&store, OsStr::new(COMPLETE_IN), epoch.as_bytes())
    {
        // A full store must start.
        tracing::info!(%error, "complete-limits-not-recorded");
    }
    Ok(())
}

fn were_complete_in(store: &OwnedFd, epoch: &str) -> bool {
    matches!(xattr::get(store, OsStr::new(COMPLETE_IN)), Ok(Some(recorded)) if recorded == epoch.as_bytes())
}

/// Whether all images have their limits. What is wrong with one is no reason to leave the others without.
fn restore_all(layout: &Layout, store: &OwnedFd, mode: QuotaMode) -> Result<bool, QuotaError> {
    let mut is_complete = true;
    for name in entries::names(layout, Place::Images)? {
        is_complete &= restore_if_lost(store, mode, &layout.image(&name)).unwrap_or_else(|error| {
            tracing::error!(%error, image = name, "limit-may-be-lost");
            false
        });
    }
    Ok(is_complete)
}

/// Whether the image has its limit, as far as can be told.
fn restore_if_lost(store: &OwnedFd, mode: QuotaMode, image: &Path) -> Result<bool, QuotaError> {
    let bytes = image_files::recorded_limit(image)?;
    if bytes > 0 {
        return restore(store, mode, image, bytes).map(|()| true);
    }
    let record = image.join(image_files::QUOTA);
    // One that was taken off is 0 on record.
    let is_damaged = files::exists(&record)? && image_files::read(&record).is_err();
    if is_damaged {
        let error = "the record of its limit cannot be read";
        tracing::error!(error, image = %named(image).display(), "limit-may-be-lost");
    }
    Ok(!is_damaged)
}

fn restore(store: &OwnedFd, mode: QuotaMode, image: &Path, bytes: u64) -> Result<(), QuotaError> {
    let failed = |error| QuotaError::Restore(image.display().to_string(), error);
    let Some(rootfs) = subvolume_id(&rootfs_of(image)?, failed)? else { return Ok(()) };
    let usage = quotas::usage(open(&rootfs_of(image)?)?.as_fd()).map_err(failed)?;
    if usage.is_some_and(|usage| usage.limit != Limit::default()) {
        return Ok(());
    }
    quotas::set_limit(store.as_fd(), rootfs, own(bytes)).map_err(failed)?;
    let volumes = files::names(image)?.into_iter().filter(|name| name.starts_with(VOLUME));
    let volumes = volumes.filter_map(|name| subvolume_id(&image.join(name), failed).transpose());
    let volumes = volumes.collect::<Result<Vec<u64>, QuotaError>>()?;
    match mode {
        QuotaMode::Classic => {
            volumes.iter().try_for_each(|volume| quotas::set_limit(store.as_fd(), *volume, own(bytes)))
        }
        QuotaMode::Simple => share_with_all(store, rootfs, &volumes),
    }
    .map_err(failed)?;
    tracing::info!(image = %image.display(), bytes, "limit-is-set-again");
    Ok(())
}

/// Puts the volumes of an image, and all subvolumes that have been made inside, under its limit.
fn share_with_all(store: &OwnedFd, rootfs: u64, volumes: &[u64]) -> Result<(), drax::Error> {
    let mut all = volumes.to_vec();
    for subvolume in volumes.iter().chain([&rootfs]) {
        all.extend(quotas::nested_subvolume_ids(store.as_fd(), *subvolume)?);
    }
    all.into_iter().try_for_each(|member| match quotas::share_limit(store.as_fd(), member, rootfs) {
        // Its maker has removed it meanwhile.
        Err(error) if error.errno() == libc::ENOENT => Ok(()),
        shared => shared,
    })
}

/// The number of the subvolume at `path`, if there is one.
fn subvolume_id(path: &Path, failed: impl Fn(drax::Error) -> QuotaError) -> Result<Option<u64>, QuotaError> {
    if !is_subvolume(path)? {
        return Ok(None);
    }
    quotas::subvolume_id(open(path)?.as_fd()).map(Some).map_err(failed)
}
