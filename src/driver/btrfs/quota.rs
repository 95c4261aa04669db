//! Disk limits by quota groups of subvolumes (btrfs-quota(8)).
//!
//! A write past a limit fails with EDQUOT. Numbers are those of the last commit, so whoever wants to know what an image
//! takes has the filesystem commit first.

use std::os::fd::AsFd;
use std::path::Path;

use drax::btrfs::{self as quotas, QuotaMode, QuotaState};
use drax::{DiskLimit, SmallerThanLayers};

use crate::driver::Usage;
use crate::driver::filesystem::{open, open_store};
use crate::layout::Layout;
use crate::sys::path_error::PathError;

/// Stale groups that one clean looks for.
const MOST_STALE: usize = 10_000;

/// Why a limit could not be applied or read.
#[derive(Debug, thiserror::Error)]
pub enum QuotaError {
    /// The layers alone are larger than an inclusive limit.
    #[error("applying disk limits: {0}")]
    SmallerThanLayers(#[from] SmallerThanLayers),
    /// The filesystem counts nothing.
    #[error(
        "applying disk limits: the store {0} is on a filesystem that cannot enforce disk limits (its quotas are off): \
         leave out --disk-limit-size-bytes, or have init-store switch quotas on"
    )]
    Off(String),
    /// Quotas could not be switched on.
    #[error("switching quotas on: {0}")]
    Enable(drax::Error),
    /// A limit could not be set.
    #[error("apply disk limit: {0}")]
    Apply(drax::Error),
    /// Usage could not be read.
    #[error("fetch stats: {0}")]
    Read(drax::Error),
    /// What deleted images left could not be removed.
    #[error("removing quota groups: {0}")]
    Collect(drax::Error),
    /// A path could not be worked on.
    #[error(transparent)]
    Path(#[from] PathError),
}

/// Has the filesystem of `path` count what its subvolumes take; whichever way it counts already stays.
pub(super) fn enable(path: &Path) -> Result<(), QuotaError> {
    let filesystem = open_store(path)?;
    let enabled = match quotas::enable_quota(filesystem.as_fd(), QuotaMode::Simple) {
        // Kernels before 6.7.
        Err(error) if error.errno() == libc::EINVAL => quotas::enable_quota(filesystem.as_fd(), QuotaMode::Classic),
        enabled => enabled,
    };
    let mode = enabled.map_err(QuotaError::Enable)?;
    tracing::info!(?mode, "quotas-are-on");
    Ok(())
}

/// Limits the image whose root filesystem is `subvolume` and whose layers take `layers` bytes. Returns what is left for
/// the image's own data.
pub(super) fn apply(layout: &Layout, subvolume: &Path, limit: DiskLimit, layers: u64) -> Result<u64, QuotaError> {
    let (store, subvolume) = (open_store(layout.root())?, open(subvolume)?);
    let state = quotas::quota_state(store.as_fd()).map_err(QuotaError::Apply)?;
    let Some(QuotaState { mode, is_consistent }) = state else {
        return Err(QuotaError::Off(layout.root().display().to_string()));
    };
    if !is_consistent {
        tracing::error!(
            error = "the filesystem's quotas are inconsistent: run btrfs quota rescan",
            "limit-may-be-wrong"
        );
    }
    let wanted = quotas::limit_of_image(mode, limit, layers)?;
    let id = quotas::subvolume_id(subvolume.as_fd()).map_err(QuotaError::Apply)?;
    quotas::set_limit(store.as_fd(), id, wanted).map_err(QuotaError::Apply)?;
    Ok(limit.own(layers)?)
}

/// Limits a subvolume that was made inside a limited one, unless it shares that one's limit anyway.
pub(super) fn limit_volume(layout: &Layout, subvolume: &Path, bytes: u64) -> Result<(), QuotaError> {
    let (store, subvolume) = (open_store(layout.root())?, open(subvolume)?);
    let limit = || {
        let state = quotas::quota_state(store.as_fd())?;
        if state.is_none_or(|state| state.mode == QuotaMode::Simple) {
            return Ok(());
        }
        let limit = quotas::Limit { referenced: None, exclusive: Some(bytes) };
        quotas::set_limit(store.as_fd(), quotas::subvolume_id(subvolume.as_fd())?, limit)
    };
    limit().map_err(QuotaError::Apply)
}

/// What the image whose root filesystem is `subvolume` takes, as of now.
pub(super) fn usage(subvolume: &Path, layers: u64) -> Result<Usage, QuotaError> {
    let subvolume = open(subvolume)?;
    let read = |subvolume| {
        let Some(QuotaState { mode, .. }) = quotas::quota_state(subvolume)? else { return Ok(None) };
        quotas::sync(subvolume)?;
        Ok(quotas::usage(subvolume)?.map(|usage| quotas::usage_of_image(mode, usage, layers)))
    };
    let usage = read(subvolume.as_fd()).map_err(QuotaError::Read)?;
    // Where nothing is counted, the layers are all that is known.
    Ok(usage.map_or(Usage { total: layers, committed: layers, ..Usage::default() }, |usage| Usage {
        total: usage.total,
        exclusive: usage.exclusive,
        quota: usage.quota,
        committed: usage.committed,
    }))
}

/// Takes the limit off a subvolume that is to be removed. That it could not be is no reason to keep the subvolume: clean
/// removes groups whose subvolumes are gone.
pub(super) fn release(subvolume: &Path) {
    let released = open(subvolume).map_err(QuotaError::from).and_then(|subvolume| {
        let id = quotas::subvolume_id(subvolume.as_fd()).map_err(QuotaError::Collect)?;
        quotas::remove_qgroup(subvolume.as_fd(), id).map_err(QuotaError::Collect)
    });
    if let Err(error) = released {
        tracing::error!(%error, warning = "could not delete quota group", "destroying-quota-groups-failed");
    }
}

/// Removes the quota groups of subvolumes that are gone, which the kernel does by itself since 6.18 or so, but for a few.
pub(super) fn collect(layout: &Layout) -> Result<(), QuotaError> {
    let filesystem = open_store(layout.root())?;
    for id in quotas::stale_qgroups(filesystem.as_fd(), MOST_STALE).map_err(QuotaError::Collect)? {
        quotas::remove_qgroup(filesystem.as_fd(), id).map_err(QuotaError::Collect)?;
    }
    Ok(())
}
