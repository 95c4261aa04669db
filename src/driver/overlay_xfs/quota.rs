//! Disk limits by XFS project quotas (xfs_quota(8), quotactl_fd(2)).
//!
//! An image with a limit has a project id of its own, which everything made below its directory inherits. XFS says
//! ENOSPC, not EDQUOT, when a project is full, and reports the limit as the size of the filesystem to statvfs(3).

use std::collections::HashSet;
use std::ffi::OsStr;
use std::os::fd::{AsFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::time::Duration;

use drax::{SmallerThanLayers, xfs};

use crate::driver::filesystem::{open, open_store};
use crate::driver::helper::{HelperError, Helpers, without_links};
use crate::entries::{self, Place};
use crate::layout::Layout;
use crate::sys::lock;
use crate::sys::path_error::PathError;

/// Who allocates project ids shares this lock; who collects them holds it alone.
const LOCK: &str = "projectids";
const LOCK_TIMEOUT: Duration = Duration::from_secs(3);

/// Why a limit could not be applied or read.
#[derive(Debug, thiserror::Error)]
pub enum QuotaError {
    /// The layers alone are larger than an inclusive limit.
    #[error("applying disk limits: {0}")]
    SmallerThanLayers(#[from] SmallerThanLayers),
    /// The filesystem cannot enforce limits.
    #[error(
        "applying disk limits: the store {0} is on a filesystem that cannot enforce disk limits ({1}): \
         leave out --disk-limit-size-bytes, or move the store to an XFS filesystem mounted with pquota"
    )]
    NotEnforced(String, &'static str),
    /// A clean, which should hold the project ids for moments, holds them for longer than creates wait.
    #[error(
        "applying disk limits: another process has held the project ids for more than 3 s: try again when it has ended"
    )]
    Busy,
    /// A quota system call failed.
    #[error("apply disk limit: {0}")]
    Apply(drax::Error),
    /// Usage could not be read.
    #[error("fetch stats: {0}")]
    Read(drax::Error),
    /// The helper did not set the limit.
    #[error("apply disk limit: {0}")]
    ApplyByHelper(HelperError),
    /// The helper did not read usage.
    #[error("fetch stats: {0}")]
    ReadByHelper(HelperError),
    /// A path could not be worked on.
    #[error(transparent)]
    Path(#[from] PathError),
}

/// Gives the directory of an image that is being made a project id with a limit.
pub(super) fn apply(
    layout: &Layout,
    image: &Path,
    limit: xfs::Limit,
    helpers: Option<&Helpers>,
) -> Result<(), QuotaError> {
    let store = open_store(layout.root())?;
    if let Some(reason) = missing_support(&store)? {
        return Err(QuotaError::NotEnforced(layout.root().display().to_string(), reason));
    }
    if let Some(helpers) = helpers {
        return ask_for_limit(helpers, image, limit);
    }
    // Shared among allocating processes, exclusive for [`reclaim`]. The helper takes it, too.
    let allocation = lock::share_within(&layout.lock_file(), LOCK, LOCK_TIMEOUT)?;
    let Some(_allocation) = allocation else { return Err(QuotaError::Busy) };
    let project_ids = open(&layout.project_ids())?;
    xfs::allocate_project(open(image)?.as_fd(), project_ids.as_fd(), limit).map_err(QuotaError::Apply)?;
    Ok(())
}

/// Replaces the limit of a project.
pub(super) fn change(layout: &Layout, project: u32, limit: xfs::Limit) -> Result<(), QuotaError> {
    xfs::set_limit(open_store(layout.root())?.as_fd(), project, limit).map_err(QuotaError::Apply)
}

fn ask_for_limit(helpers: &Helpers, image: &Path, limit: xfs::Limit) -> Result<(), QuotaError> {
    let (bytes, inodes, image) = (limit.bytes.to_string(), limit.inodes.to_string(), without_links(image)?);
    let mut arguments = vec!["limit", "--disk-limit-bytes", &bytes];
    // The helper knows what goes with the bytes; an older one knows no such flag.
    if limit != xfs::Limit::of_bytes(limit.bytes) {
        arguments.extend(["--disk-limit-inodes", &inodes]);
    }
    arguments.push("--image-path");
    let arguments = arguments.into_iter().map(OsStr::new).chain([image.as_os_str()]);
    helpers.tardis().run(arguments).map_err(QuotaError::ApplyByHelper)?;
    Ok(())
}

/// Why limits cannot be enforced on the filesystem of `directory`; `None` if they can.
pub(super) fn missing_support(directory: &OwnedFd) -> Result<Option<&'static str>, QuotaError> {
    Ok(match xfs::support(directory.as_fd()).map_err(QuotaError::Read)? {
        xfs::QuotaSupport::Enforced => None,
        xfs::QuotaSupport::NotMounted => Some("it is mounted without pquota"),
        xfs::QuotaSupport::KernelLacks => Some("the kernel has no XFS quotas, CONFIG_XFS_QUOTA"),
    })
}

/// The project id of an image; `None` for an image without a limit.
pub(super) fn project_of(image: &Path) -> Result<Option<u32>, QuotaError> {
    let project = xfs::project_id(open(image)?.as_fd()).map_err(QuotaError::Read)?;
    Ok(Some(project).filter(|project| *project != 0))
}

/// Releases the project id of an image of which only the directory is left.
pub(super) fn release(layout: &Layout, project: u32) -> Result<(), QuotaError> {
    let project_ids = open(&layout.project_ids())?;
    xfs::release_project(project_ids.as_fd(), project).map_err(QuotaError::Apply)
}

/// What the data of an image uses whose project is `project`.
pub(super) fn usage(
    layout: &Layout,
    image: &Path,
    project: u32,
    helpers: Option<&Helpers>,
) -> Result<xfs::Usage, QuotaError> {
    if let Some(helpers) = helpers {
        let image = without_links(image)?;
        let arguments = ["stats", "--volume-path"].map(OsStr::new).into_iter().chain([image.as_os_str()]);
        let usage = helpers.tardis().usage(arguments).map_err(QuotaError::ReadByHelper)?;
        let inodes = usage.inodes.unwrap_or_default();
        return Ok(xfs::Usage {
            used_bytes: usage.exclusive,
            used_inodes: inodes.used,
            limit: xfs::Limit { bytes: usage.quota, inodes: inodes.limit },
        });
    }
    xfs::usage(open_store(layout.root())?.as_fd(), project).map_err(QuotaError::Read)
}

/// Gives back project ids whose images are gone: their makers or removers were killed.
///
/// An id without an image is free only if no create is about to use it, so allocation is locked meanwhile. That is short: one
/// directory read and one ioctl per image.
pub(super) fn reclaim(layout: &Layout) -> Result<(), QuotaError> {
    let Some(_exclusive) = lock::own_within(&layout.lock_file(), LOCK, LOCK_TIMEOUT)? else { return Ok(()) };
    let unused = unused_ids(layout)?;
    if unused.is_empty() {
        return Ok(());
    }
    let project_ids = open(&layout.project_ids())?;
    for id in unused {
        xfs::reclaim_project(project_ids.as_fd(), id).map_err(QuotaError::Apply)?;
    }
    Ok(())
}

/// Reservations of project ids that no image has.
pub(super) fn unused(layout: &Layout) -> Result<Vec<PathBuf>, QuotaError> {
    let Some(_exclusive) = lock::own_within(&layout.lock_file(), LOCK, LOCK_TIMEOUT)? else { return Ok(Vec::new()) };
    Ok(unused_ids(layout)?.into_iter().map(|id| layout.project_ids().join(id.to_string())).collect())
}

/// The caller has locked allocation.
fn unused_ids(layout: &Layout) -> Result<Vec<u32>, QuotaError> {
    let allocated = entries::names(layout, Place::ProjectIds)?;
    let mut used = HashSet::new();
    if allocated.is_empty() {
        return Ok(Vec::new());
    }
    // An image moves from `tmp/` when it is finished and back when it is deleted: looked at in this order, none is missed.
    for (place, directory) in
        [(Place::Staging, layout.tmp()), (Place::Images, layout.images()), (Place::Staging, layout.tmp())]
    {
        for name in entries::names(layout, place)? {
            // An image that was moved into a directory with another project has that one; its upper directory keeps its own.
            let image = directory.join(name);
            for directory in [image.join("diff"), image] {
                match project_of(&directory) {
                    Ok(project) => used.extend(project),
                    Err(QuotaError::Path(e)) if is_no_directory(&e) => {}
                    Err(e) => return Err(e),
                }
            }
        }
    }
    Ok(allocated.iter().filter_map(|name| name.parse().ok()).filter(|id| !used.contains(id)).collect())
}

fn is_no_directory(error: &PathError) -> bool {
    matches!(error.kind(), std::io::ErrorKind::NotFound | std::io::ErrorKind::NotADirectory)
}
