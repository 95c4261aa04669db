//! Disk limits by quota groups of subvolumes (btrfs-quota(8)).
//!
//! A write past a limit fails with EDQUOT. Numbers are those of the last commit, so whoever wants to know what an image
//! takes has the filesystem commit first.

use std::ffi::OsStr;
use std::os::fd::{AsFd, OwnedFd};
use std::path::Path;
use std::time::Duration;

use drax::btrfs::{self as quotas, Limit, LimitError, QuotaMode, QuotaState};
use drax::{DiskLimit, InodeLimit, SmallerThanLayers};

use super::rootfs_of;
use crate::driver::filesystem::{open, open_store};
use crate::driver::helper::{HelperError, Helpers, without_links};
use crate::driver::{Usage, image_files};
use crate::entries::{self, Place};
use crate::layout::Layout;
use crate::sys::path_error::PathError;

/// How long a group has to be without a subvolume to be a leftover.
const STALE_FOR: Duration = Duration::from_secs(1);
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
    /// The filesystem counts wrong.
    #[error(
        "applying disk limits: the quotas of the filesystem of the store {0} are inconsistent, so that no limit would \
         hold, and counting anew takes longer than 30 s: run btrfs quota rescan -w {0}"
    )]
    Inconsistent(String),
    /// An image's limit could not be set again.
    #[error("setting the limit of the image {0} again: {1}")]
    Restore(String, drax::Error),
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

/// The limit that an image gets which wants `limit`, whose layers take `layers` bytes, and which is to have so many
/// volumes: what is too little for it is raised. And what that leaves for the image's own data.
pub(super) fn raised(
    layout: &Layout,
    store: &OwnedFd,
    limit: DiskLimit,
    layers: u64,
    volumes: usize,
) -> Result<(DiskLimit, u64), QuotaError> {
    if quotas::quota_state(store.as_fd()).map_err(QuotaError::Apply)?.is_none() {
        return Err(off(layout));
    }
    let minimum = quotas::minimum_limit(store.as_fd(), volumes).map_err(QuotaError::Apply)?;
    let own = limit.own_of_at_least(minimum, layers)?;
    let bytes = if limit.is_exclusive { own } else { layers.saturating_add(own) };
    Ok((DiskLimit { bytes, ..limit }, own))
}

/// Limits the image whose root filesystem is `subvolume` and whose layers take `layers` bytes.
pub(super) fn apply(
    layout: &Layout,
    store: &OwnedFd,
    subvolume: &Path,
    limit: DiskLimit,
    layers: u64,
    helpers: Option<&Helpers>,
) -> Result<(), QuotaError> {
    if let Some(helpers) = helpers {
        return ask_for_limit(helpers, subvolume, limit);
    }
    let directory = open(subvolume)?;
    let limited = quotas::limit_image(store.as_fd(), directory.as_fd(), limit, Some(layers));
    limited.map_err(|error| match error {
        LimitError::Off => off(layout),
        LimitError::Inconsistent => QuotaError::Inconsistent(layout.root().display().to_string()),
        LimitError::TooSmall(error) => QuotaError::SmallerThanLayers(error),
        LimitError::Failed(error) => QuotaError::Apply(error),
    })
}

fn off(layout: &Layout) -> QuotaError {
    QuotaError::Off(layout.root().display().to_string())
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
        return ask_for_limit(
            helpers,
            subvolume,
            DiskLimit { bytes, is_exclusive: true, inodes: InodeLimit::Proportional },
        );
    }
    let id = quotas::subvolume_id(directory.as_fd()).map_err(QuotaError::Apply)?;
    quotas::set_limit(store.as_fd(), id, own(bytes)).map_err(QuotaError::Apply)
}

/// Takes the limit off an image that stays.
pub(super) fn take_off(layout: &Layout, subvolume: &Path) -> Result<(), QuotaError> {
    let (store, directory) = (open_store(layout.root())?, open(subvolume)?);
    let id = quotas::subvolume_id(directory.as_fd()).map_err(QuotaError::Apply)?;
    quotas::set_limit(store.as_fd(), id, Limit::default()).map_err(QuotaError::Apply)
}

/// The same for one of its volumes, where that has a limit of its own.
pub(super) fn take_off_volume(layout: &Layout, subvolume: &Path) -> Result<(), QuotaError> {
    let store = open_store(layout.root())?;
    let state = quotas::quota_state(store.as_fd()).map_err(QuotaError::Apply)?;
    if state.is_some_and(|state| state.mode == QuotaMode::Classic) { take_off(layout, subvolume) } else { Ok(()) }
}

/// A limit of what a subvolume has for itself.
pub(super) fn own(bytes: u64) -> Limit {
    Limit { referenced: None, exclusive: Some(bytes) }
}

/// What the image whose root filesystem is `subvolume` takes, as of now.
pub(super) fn usage(subvolume: &Path, layers: Option<u64>, helpers: Option<&Helpers>) -> Result<Usage, QuotaError> {
    let directory = open(subvolume)?;
    let state = quotas::quota_state(directory.as_fd()).map_err(QuotaError::Read)?;
    // Where nothing is counted, the layers are all that is known.
    let known = layers.unwrap_or(0);
    let uncounted = Usage { total: known, committed: known, ..Usage::default() };
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
        inodes: None,
    }))
}

/// Takes the limit off a subvolume that is to be removed: one that is full lets no subvolume be removed from it, and where
/// the kernel keeps groups, a later subvolume of the same number would have it. That it could not be taken off is no reason
/// not to try and remove the subvolume: clean removes groups whose subvolumes are gone.
pub(super) fn release(layout: &Layout, subvolume: &Path, helpers: Option<&Helpers>) {
    // Callers of the original look for this message with its sessions.
    let _image = tracing::debug_span!("btrfs-destroying-image").entered();
    let _subvolume = tracing::debug_span!("destroying-subvolume").entered();
    let released = match helpers {
        Some(helpers) => without_links(subvolume).map_err(QuotaError::from).and_then(|subvolume| {
            ask(helpers, &["destroy"], "--volume-path", &subvolume).map_err(QuotaError::CollectByHelper)
        }),
        None => remove_group(layout, subvolume),
    };
    if let Err(error) = released {
        tracing::error!(%error, warning = "could not delete quota group", "destroying-quota-groups-failed");
    }
}

fn remove_group(layout: &Layout, subvolume: &Path) -> Result<(), QuotaError> {
    let (store, subvolume) = (open_store(layout.root())?, open(subvolume)?);
    let id = quotas::subvolume_id(subvolume.as_fd()).map_err(QuotaError::Collect)?;
    quotas::remove_qgroup(store.as_fd(), id).map(drop).map_err(QuotaError::Collect)
}

/// Removes the quota groups of subvolumes that are gone. Newer kernels do so by themselves, but for those whose numbers
/// are not zero at that moment, and those that enclose others.
pub(super) fn reclaim(layout: &Layout, helpers: Option<&Helpers>) -> Result<(), QuotaError> {
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
    tell_of_strays(layout, &filesystem)?;
    for id in quotas::stale_qgroups(filesystem.as_fd(), MOST_STALE).map_err(QuotaError::Collect)? {
        quotas::remove_stale_qgroup(filesystem.as_fd(), id).map_err(QuotaError::Collect)?;
    }
    Ok(())
}

/// Whoever makes a subvolume can have it made outside of the group around it, and be rid of the limit. The kernel does not
/// let anybody prevent that, but tells root.
fn tell_of_strays(layout: &Layout, store: &OwnedFd) -> Result<(), QuotaError> {
    let state = quotas::quota_state(store.as_fd()).map_err(QuotaError::Collect)?;
    let is_limit_inherited = state.is_some_and(|state| state.mode == QuotaMode::Simple);
    if !is_limit_inherited || !quotas::has_grandchildren(store.as_fd()).map_err(QuotaError::Collect)? {
        return Ok(());
    }
    for name in entries::names(layout, Place::Images)? {
        let image = layout.image(&name);
        // Without a record that can be read there is nothing to compare with.
        if image_files::recorded_limit(&image).unwrap_or(0) == 0 {
            continue;
        }
        // It may be deleted this moment.
        let Ok(rootfs) = open(&rootfs_of(&image)?) else { continue };
        let strays = quotas::subvolume_id(rootfs.as_fd())
            .and_then(|id| quotas::subvolumes_outside(store.as_fd(), id))
            .map_err(QuotaError::Collect)?;
        if !strays.is_empty() {
            let error = "subvolumes in the image are not under its limit: their maker would not have it";
            tracing::error!(error, image = name, subvolumes = strays.len(), "limit-is-evaded");
        }
    }
    Ok(())
}

/// Why limits cannot be enforced.
pub(super) fn missing(layout: &Layout) -> Result<Option<&'static str>, QuotaError> {
    let store = open_store(layout.root())?;
    Ok(match quotas::quota_state(store.as_fd()).map_err(QuotaError::Read)? {
        None => Some("quotas are off"),
        Some(QuotaState { is_consistent: false, .. }) => {
            Some("quotas are inconsistent: btrfs quota rescan -w counts anew")
        }
        Some(_) => None,
    })
}

/// Groups whose subvolumes are gone for good; none where the kernel still removes some, or does not tell this caller.
pub(super) fn stale(layout: &Layout) -> Result<Vec<u64>, QuotaError> {
    let store = open_store(layout.root())?;
    if quotas::quota_state(store.as_fd()).map_err(QuotaError::Read)?.is_none() {
        return Ok(Vec::new());
    }
    let list = || quotas::stale_qgroups(store.as_fd(), MOST_STALE).map_err(QuotaError::Collect);
    let is_settled = || matches!(quotas::has_deleted_subvolumes(store.as_fd()), Ok(false));
    let mut stale = if is_settled() { list()? } else { Vec::new() };
    if stale.is_empty() {
        return Ok(stale);
    }
    // The group of an image that is being created or deleted is without a subvolume for a moment.
    std::thread::sleep(STALE_FOR);
    quotas::sync(store.as_fd()).map_err(QuotaError::Collect)?;
    let still = if is_settled() { list()? } else { Vec::new() };
    stale.retain(|id| still.contains(id));
    Ok(stale)
}
