//! Disk limits by quota groups of subvolumes (btrfs-quota(8)).
//!
//! A write past a limit fails with EDQUOT. Numbers are those of the last commit, so whoever wants to know what an image
//! takes has the filesystem commit first.

use std::ffi::OsStr;
use std::os::fd::AsFd;
use std::path::Path;

use drax::btrfs::{self as quotas, QuotaMode, QuotaState};
use drax::{DiskLimit, SmallerThanLayers};

use crate::driver::Usage;
use crate::driver::filesystem::{open, open_store};
use crate::driver::helper::{HelperError, Helpers, without_links};
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
    /// The helper did not set the limit.
    #[error("apply disk limit: {0}")]
    ApplyByHelper(HelperError),
    /// The helper did not read usage.
    #[error("fetch stats: {0}")]
    ReadByHelper(HelperError),
    /// The helper did not remove what deleted images left.
    #[error("removing quota groups: {0}")]
    CollectByHelper(HelperError),
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
pub(super) fn apply(
    layout: &Layout,
    subvolume: &Path,
    limit: DiskLimit,
    layers: u64,
    helpers: Option<&Helpers>,
) -> Result<u64, QuotaError> {
    let (store, directory) = (open_store(layout.root())?, open(subvolume)?);
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
    match helpers {
        Some(helpers) => ask_for_limit(helpers, subvolume, limit)?,
        None => {
            let id = quotas::subvolume_id(directory.as_fd()).map_err(QuotaError::Apply)?;
            quotas::set_limit(store.as_fd(), id, wanted).map_err(QuotaError::Apply)?;
        }
    }
    Ok(limit.own(layers)?)
}

/// The helper finds the size of the layers in the image's directory.
fn ask_for_limit(helpers: &Helpers, subvolume: &Path, limit: DiskLimit) -> Result<(), QuotaError> {
    let (bytes, subvolume) = (limit.bytes.to_string(), without_links(subvolume)?);
    let mut arguments = vec!["limit", "--disk-limit-bytes", &bytes];
    if limit.is_exclusive {
        arguments.push("--exclude-image-from-quota");
    }
    ask(helpers, &arguments, "--volume-path", &subvolume).map_err(QuotaError::ApplyByHelper)
}

/// Has the helper do something that it has no answer to.
fn ask(helpers: &Helpers, arguments: &[&str], flag: &str, path: &Path) -> Result<(), HelperError> {
    let arguments = arguments.iter().copied().chain([flag]).map(OsStr::new);
    helpers.drax().run(arguments.chain([path.as_os_str()])).map(drop)
}

/// Limits a subvolume that was made inside a limited one, unless it shares that one's limit anyway.
pub(super) fn limit_volume(
    layout: &Layout,
    subvolume: &Path,
    bytes: u64,
    helpers: Option<&Helpers>,
) -> Result<(), QuotaError> {
    let (store, directory) = (open_store(layout.root())?, open(subvolume)?);
    let state = quotas::quota_state(store.as_fd()).map_err(QuotaError::Apply)?;
    if state.is_none_or(|state| state.mode == QuotaMode::Simple) {
        return Ok(());
    }
    if let Some(helpers) = helpers {
        return ask_for_limit(helpers, subvolume, DiskLimit { bytes, is_exclusive: true });
    }
    let limit = quotas::Limit { referenced: None, exclusive: Some(bytes) };
    let id = quotas::subvolume_id(directory.as_fd()).map_err(QuotaError::Apply)?;
    quotas::set_limit(store.as_fd(), id, limit).map_err(QuotaError::Apply)
}

/// What the image whose root filesystem is `subvolume` takes, as of now.
pub(super) fn usage(subvolume: &Path, layers: u64, helpers: Option<&Helpers>) -> Result<Usage, QuotaError> {
    let directory = open(subvolume)?;
    let state = quotas::quota_state(directory.as_fd()).map_err(QuotaError::Read)?;
    // Where nothing is counted, the layers are all that is known.
    let uncounted = Usage { total: layers, committed: layers, ..Usage::default() };
    let Some(QuotaState { mode, .. }) = state else { return Ok(uncounted) };
    if let Some(helpers) = helpers {
        let subvolume = without_links(subvolume)?;
        let arguments = ["stats", "--force-sync", "--json", "--volume-path"].map(OsStr::new);
        let usage = helpers.drax().usage(arguments.into_iter().chain([subvolume.as_os_str()]));
        return usage.map_err(QuotaError::ReadByHelper);
    }
    quotas::sync(directory.as_fd()).map_err(QuotaError::Read)?;
    let usage = quotas::usage(directory.as_fd()).map_err(QuotaError::Read)?;
    let usage = usage.map(|usage| quotas::usage_of_image(mode, usage, layers));
    Ok(usage.map_or(uncounted, |usage| Usage {
        total: usage.total,
        exclusive: usage.exclusive,
        quota: usage.quota,
        committed: usage.committed,
    }))
}

/// Takes the limit off a subvolume that is to be removed. That it could not be is no reason to keep the subvolume: clean
/// removes groups whose subvolumes are gone.
pub(super) fn release(subvolume: &Path, helpers: Option<&Helpers>) {
    let released = match helpers {
        Some(helpers) => without_links(subvolume).map_err(QuotaError::from).and_then(|subvolume| {
            ask(helpers, &["destroy"], "--volume-path", &subvolume).map_err(QuotaError::CollectByHelper)
        }),
        None => open(subvolume).map_err(QuotaError::from).and_then(|subvolume| {
            let id = quotas::subvolume_id(subvolume.as_fd()).map_err(QuotaError::Collect)?;
            quotas::remove_qgroup(subvolume.as_fd(), id).map(drop).map_err(QuotaError::Collect)
        }),
    };
    if let Err(error) = released {
        tracing::error!(%error, warning = "could not delete quota group", "destroying-quota-groups-failed");
    }
}

/// Removes the quota groups of subvolumes that are gone, which the kernel does by itself since 6.18 or so, but for a few.
pub(super) fn collect(layout: &Layout, helpers: Option<&Helpers>) -> Result<(), QuotaError> {
    if let Some(helpers) = helpers {
        let collected = without_links(layout.root())
            .map_err(QuotaError::from)
            .and_then(|store| ask(helpers, &["collect"], "--store-path", &store).map_err(QuotaError::CollectByHelper));
        // Nobody is the worse for them, and cleaning works without a helper otherwise.
        if let Err(error) = collected {
            tracing::error!(%error, "removing-stale-quota-groups-failed");
        }
        return Ok(());
    }
    let filesystem = open_store(layout.root())?;
    for id in quotas::stale_qgroups(filesystem.as_fd(), MOST_STALE).map_err(QuotaError::Collect)? {
        quotas::remove_qgroup(filesystem.as_fd(), id).map_err(QuotaError::Collect)?;
    }
    Ok(())
}
