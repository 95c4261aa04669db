//! OverlayFS on XFS: layers are directories, an image is an overlay above them, limits are XFS project quotas.
//!
//! Beside the directories of every store this driver keeps:
//!
//! ```text
//! <store>/l/<short id>      symbolic link to volumes/<chain id>: keeps mount options below one page
//! <store>/l/<chain id>      file with the short id
//! <store>/projectids/<n>/   an empty directory for each project id in use
//! <store>/whiteout_dev      character device 0:0, for the original to link to
//! <store>/images/<id>/      image_info, image_quota, diff/, workdir/, rootfs/
//! ```

mod filesystem;
mod links;
mod mount;
mod quota;
mod shared;

use std::path::{Path, PathBuf};

use drax::xfs;

use super::filesystem::open;
use super::unmount::{InUse, unmount};
use super::{
    DiskLimit, Driver, Helpers, ImageRequest, InodeLimit, InodeUsage, Mount, RootfsState, SharedLayers, Usage, Volume,
    image_files,
};
use crate::image::ChainId;
use crate::layout::Layout;
use crate::sys::descriptors;
use crate::sys::files;
use crate::sys::path_error::{PathError, named};
use crate::sys::remove_tree::{remove_all_in, remove_tree};
use crate::unpacker::WhiteoutFormat;

pub use filesystem::XfsError;
pub use quota::QuotaError;

/// The name of the driver.
pub(super) const NAME: &str = "overlay-xfs";

/// `f_type` of statfs(2).
pub(super) const MAGIC: i64 = 0x5846_5342;

/// The overlay-xfs driver.
#[derive(Clone, Debug, Default)]
pub struct OverlayXfs {
    /// What sets limits for a caller who may not.
    pub helpers: Option<Helpers>,
}

/// Why overlay-xfs could not do its work.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// XFS itself, or its state, will not do.
    #[error(transparent)]
    Xfs(#[from] XfsError),
    /// Applying or reading a limit failed.
    #[error(transparent)]
    Quota(#[from] QuotaError),
    /// The overlay could not be mounted.
    #[error("mounting overlay: {0}")]
    Mount(String),
    /// Not one layer fits into the page of mount options that the kernel reads.
    #[error("the path {0} is too long for mount options: use a store with a shorter path")]
    PathTooLong(String),
    /// A path could not be worked on.
    #[error(transparent)]
    Path(#[from] PathError),
}

impl Driver for OverlayXfs {
    fn whiteouts(&self, with_marks: bool) -> WhiteoutFormat {
        if with_marks { WhiteoutFormat::Overlay } else { WhiteoutFormat::OverlayDevices }
    }

    fn create_volume(&self, path: &Path, _parent: Option<&Path>) -> Result<(), super::Error> {
        Ok(files::create_directory(path)?)
    }

    fn prepare_volume(&self, layout: &Layout, chain_id: &ChainId) -> Result<(), super::Error> {
        links::ensure(layout, chain_id)?;
        Ok(())
    }

    fn forget_volume(&self, layout: &Layout, name: &str) -> Result<(), super::Error> {
        Ok(links::remove(layout, name)?)
    }

    fn remove_volume(&self, path: &Path) -> Result<(), super::Error> {
        Ok(remove_tree(path)?)
    }

    fn check_mountable(&self, layers: usize) -> Result<(), super::Error> {
        Ok(mount::check_count(layers)?)
    }

    fn check_shared(&self, shared: &SharedLayers<'_>) -> Result<(), super::Error> {
        shared::check(shared).map_err(super::Error::NoSharedLayers)
    }

    fn change_limit(
        &self,
        layout: &Layout,
        path: &Path,
        limit: Option<DiskLimit>,
        layer_inodes: u64,
    ) -> Result<(), super::Error> {
        let shown = || named(path).display().to_string();
        if self.helpers.is_some() {
            return Err(super::Error::LimitNeedsRoot("changes the limit of an image on XFS", shown()));
        }
        match own_project(layout, path)? {
            Some(project) => Ok(change_limit(layout, path, project, limit, layer_inodes)?),
            None => Err(super::Error::NoLimit(shown())),
        }
    }

    fn counts_inodes(&self) -> bool {
        true
    }

    fn layers_to_flatten(&self, layout: &Layout, layers: usize) -> Result<usize, super::Error> {
        Ok(mount::layers_to_flatten(layout, layers)?)
    }

    fn create_image(&self, layout: &Layout, request: &ImageRequest<'_>) -> Result<Vec<Mount>, super::Error> {
        Ok(create_image(layout, request, self.helpers.as_ref())?)
    }

    fn create_image_volume(&self, _layout: &Layout, _image: &Path, path: &Path) -> Result<(), super::Error> {
        Ok(files::create_directory(path)?)
    }

    fn leftovers(&self, layout: &Layout) -> Result<Vec<PathBuf>, super::Error> {
        let mut leftovers = links::dangling(layout)?;
        leftovers.extend(quota::unused(layout).map_err(Error::from)?);
        Ok(leftovers)
    }

    fn layers_of_image(&self, layout: &Layout, image: &Path) -> Result<Option<Vec<String>>, super::Error> {
        match mount::recorded_layers(image)? {
            Some(layers) => Ok(Some(layers)),
            None => Ok(mount::mounted_layers(layout, image)?),
        }
    }

    fn mounts_images(&self) -> bool {
        true
    }

    fn own_files(&self, path: &Path) -> Result<PathBuf, super::Error> {
        Ok(path.join("diff"))
    }

    fn rootfs_state(&self, path: &Path) -> Result<RootfsState, super::Error> {
        Ok(mount::state(path)?)
    }

    fn has_user_attributes(&self, path: &Path, is_for_root: bool) -> Result<bool, super::Error> {
        Ok(mount::has_user_attributes(path, is_for_root)?)
    }

    fn mount_image(
        &self,
        layout: &Layout,
        path: &Path,
        volumes: &[Volume],
        shared: Option<&SharedLayers<'_>>,
    ) -> Result<(), super::Error> {
        // It leads to the same directory whatever its owner makes of the name.
        let opened = open(path)?;
        let image = descriptors::name_of(&opened);
        for part in ["diff", "workdir", "rootfs"] {
            open(&image.join(part))?;
        }
        Ok(mount::mount(layout, &image, volumes, shared)?)
    }

    fn unmount_unused_image(&self, path: &Path) -> Result<(), super::Error> {
        unmount(path, path, InUse::Refuse)
    }

    fn remove_image(&self, layout: &Layout, image: &Path) -> Result<(), super::Error> {
        Ok(remove_image(layout, image)?)
    }

    fn usage(&self, layout: &Layout, image: &Path) -> Result<Usage, super::Error> {
        Ok(usage(layout, image, self.helpers.as_ref())?)
    }

    fn remove_leftovers(&self, layout: &Layout) -> Result<(), super::Error> {
        links::collect(layout)?;
        quota::reclaim(layout).map_err(Error::from)?;
        Ok(())
    }
}

fn create_image(layout: &Layout, request: &ImageRequest<'_>, helpers: Option<&Helpers>) -> Result<Vec<Mount>, Error> {
    let base = Volume::total_size(request.volumes);
    // Before anything is made in the directory: what is made there later inherits the project id.
    if let Some(limit) = request.limit {
        apply_limit(layout, request, limit, base, helpers)?;
    }
    for name in ["diff", "workdir", "rootfs"] {
        files::create_directory(&request.directory.join(name))?;
    }
    image_files::write(&request.directory.join(image_files::INFO), base)?;
    // Before it is mounted: whose the upper directory is, his the root of the overlay is.
    for name in [
        "diff",
        "workdir",
        "rootfs",
        image_files::INFO,
        image_files::QUOTA,
        image_files::COPIED,
        image_files::INODE_QUOTA,
    ] {
        request.owner.chown_if_exists(&request.directory.join(name))?;
    }
    if request.mount {
        // The names of the layers stay with the mark of the mount.
        mount::mount(layout, request.directory, request.volumes, request.shared)?;
        return Ok(Vec::new());
    }
    mount::record_layers(request.directory, request.volumes)?;
    Ok(vec![mount::entry_for_caller(layout, request)?])
}

/// What volumes begin with counts with the layers, not once more as the image's own: the limit is raised by as much.
fn apply_limit(
    layout: &Layout,
    request: &ImageRequest<'_>,
    limit: DiskLimit,
    base: u64,
    helpers: Option<&Helpers>,
) -> Result<(), Error> {
    let (directory, copied) = (request.directory, request.volume_size);
    let bytes = if limit.bytes > 0 { limit.own(base).map_err(QuotaError::from)? } else { 0 };
    let inodes = limit.own_inodes(bytes, || Ok::<_, QuotaError>(request.layer_inodes))?;
    let directories = if limit.inodes == InodeLimit::Proportional { 0 } else { request.declared_volumes as u64 };
    let of_volumes = copied.inodes.saturating_add(directories);
    let limits = xfs::Limit { bytes: raise(bytes, copied.bytes), inodes: raise(inodes, of_volumes) };
    quota::apply(layout, directory, limits, helpers)?;
    if copied.bytes > 0 {
        image_files::write(&directory.join(image_files::COPIED), copied.bytes)?;
    }
    image_files::write(&directory.join(image_files::QUOTA), bytes)?;
    if limits.inodes != drax::proportional_inodes(bytes) {
        image_files::write(&directory.join(image_files::INODE_QUOTA), limits.inodes)?;
    }
    Ok(())
}

/// The kernel first: a record of a limit that is not kept would be worse than none of one that is.
fn change_limit(
    layout: &Layout,
    image: &Path,
    project: u32,
    limit: Option<DiskLimit>,
    layer_inodes: u64,
) -> Result<(), Error> {
    let base = image_files::read(&image.join(image_files::INFO))?;
    let copied = image_files::read_if_there(&image.join(image_files::COPIED))?.unwrap_or(0);
    let limit = limit.unwrap_or(DiskLimit { bytes: 0, is_exclusive: true, inodes: InodeLimit::Unlimited });
    let bytes = if limit.bytes > 0 { limit.own(base).map_err(QuotaError::from)? } else { 0 };
    let inodes = limit.own_inodes(bytes, || Ok::<_, QuotaError>(layer_inodes))?;
    quota::change(layout, project, xfs::Limit { bytes: raise(bytes, copied), inodes })?;
    image_files::replace(layout, image, image_files::QUOTA, bytes)?;
    image_files::replace(layout, image, image_files::INODE_QUOTA, inodes)?;
    Ok(())
}

/// Raises a limit; 0 is none.
fn raise(limit: u64, by: u64) -> u64 {
    if limit > 0 { limit.saturating_add(by) } else { 0 }
}

fn remove_image(layout: &Layout, image: &Path) -> Result<(), Error> {
    let project = own_project(layout, image)?;
    remove_all_in(image)?;
    if let Some(project) = project {
        quota::release(layout, project)?;
    }
    Ok(remove_tree(image)?)
}

/// The project id that was reserved for this image.
///
/// A directory may also have the id of another image: its maker, an older version, was killed before it found the id taken, or
/// its remover after the id was released. Releasing that one would take the limit off a living image.
/// `image_quota` tells: it is written once the id is reserved and gone before it is released. Ids that are nobody's are
/// left to [`quota::reclaim`].
fn own_project(layout: &Layout, image: &Path) -> Result<Option<u32>, Error> {
    if !files::exists(&image.join(image_files::QUOTA))? {
        return Ok(None);
    }
    // The image's directory has another one if it was moved into a directory with a project of its own.
    let diff = image.join("diff");
    if files::exists(&diff)? {
        return Ok(quota::project_of(&diff)?);
    }
    let Some(project) = quota::project_of(image)? else { return Ok(None) };
    let is_reserved = files::exists(&layout.project_ids().join(project.to_string()))?;
    Ok(is_reserved.then_some(project))
}

fn usage(layout: &Layout, image: &Path, helpers: Option<&Helpers>) -> Result<Usage, Error> {
    let project = own_project(layout, image)?;
    let counted = project.map(|project| quota::usage(layout, image, project, helpers)).transpose()?;
    let own = counted.unwrap_or_default();
    let base = image_files::read(&image.join(image_files::INFO))?;
    let copied = image_files::read_if_there(&image.join(image_files::COPIED))?.unwrap_or(0);
    let (used, limit) = (own.used_bytes.saturating_sub(copied), own.limit.bytes.saturating_sub(copied));
    Ok(Usage {
        total: base.saturating_add(used),
        exclusive: used,
        quota: limit,
        committed: base.saturating_add(limit),
        inodes: counted.map(|own| InodeUsage { used: own.used_inodes, limit: own.limit.inodes }),
    })
}
