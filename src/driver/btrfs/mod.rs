//! Btrfs: a layer is a subvolume, made as a copy of the one below it; an image is a copy of its topmost layer; limits are
//! those of quota groups.
//!
//! ```text
//! <store>/volumes/<chain id>      subvolume with all that the layers up to this one show
//! <store>/images/<id>/rootfs      subvolume; an empty directory where the caller mounts
//! <store>/images/<id>/snapshot    subvolume for such a caller
//! <store>/images/<id>/            image_info, image_quota
//! ```
//!
//! Copies are made and removed in one step, whatever their size. Making one writes the original to disk, so a create
//! waits for the disk here.

mod filesystem;
mod quota;
mod removal;
mod restore;
mod subvolumes;

use std::path::{Path, PathBuf};

pub use self::quota::QuotaError;
use super::filesystem::{open, open_store};
use super::{DiskLimit, Driver, Helpers, ImageRequest, Mount, RootfsState, SharedLayers, Usage, Volume, image_files};
use crate::layout::Layout;
use crate::sys::descriptors;
use crate::sys::files;
use crate::sys::owner::Owner;
use crate::sys::path_error::{PathError, named};
use crate::sys::random::random_number;
use crate::unpacker::WhiteoutFormat;

/// The root filesystem of an image that is mounted, as far as anything is mounted here.
const ROOTFS: &str = "rootfs";
/// The root filesystem of an image whose caller mounts it.
const SNAPSHOT: &str = "snapshot";

/// What the names of an image's volumes begin with.
const VOLUME: &str = "vol-";

/// The name of the driver.
pub(super) const NAME: &str = "btrfs";

/// `f_type` of statfs(2).
pub(super) const MAGIC: i64 = 0x9123_683e;

/// The btrfs driver.
#[derive(Clone, Debug, Default)]
pub struct Btrfs {
    /// Directory that holds `mkfs.btrfs`; `None` is `$PATH`.
    pub progs: Option<PathBuf>,
    /// What sets limits for a caller who may not.
    pub helpers: Option<Helpers>,
}

/// Why btrfs could not do its work.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Applying or reading a limit failed.
    #[error(transparent)]
    Quota(#[from] QuotaError),
    /// A path could not be worked on.
    #[error(transparent)]
    Path(#[from] PathError),
}

impl Driver for Btrfs {
    fn whiteouts(&self, _with_marks: bool) -> WhiteoutFormat {
        WhiteoutFormat::Removal
    }

    fn volumes_are_snapshots(&self) -> bool {
        true
    }

    fn create_volume(&self, path: &Path, parent: Option<&Path>) -> Result<(), super::Error> {
        let made = match parent {
            Some(parent) => subvolumes::snapshot(parent, path),
            None => subvolumes::create(path),
        };
        Ok(made?)
    }

    fn parent_volume(&self, layout: &Layout, volume: &Path) -> Result<Option<PathBuf>, super::Error> {
        Ok(subvolumes::origin(volume, &layout.volumes())?)
    }

    fn remove_volume(&self, path: &Path) -> Result<(), super::Error> {
        Ok(removal::remove(path)?)
    }

    fn try_remove_atomically(&self, path: &Path) -> Result<bool, super::Error> {
        let is_subvolume = subvolumes::is_subvolume(path)?;
        if is_subvolume {
            removal::remove_at_once(path)?;
        }
        Ok(is_subvolume)
    }

    fn check_shared(&self, _shared: &SharedLayers<'_>) -> Result<(), super::Error> {
        let reason = "btrfs makes images as copies, whose files have the owners of the originals; overlay-xfs can";
        Err(super::Error::NoSharedLayers(reason.to_owned()))
    }

    fn change_limit(
        &self,
        layout: &Layout,
        path: &Path,
        limit: Option<DiskLimit>,
        _layer_inodes: u64,
    ) -> Result<(), super::Error> {
        let shown = || named(path).display().to_string();
        if !files::exists(&path.join(image_files::QUOTA))? {
            return Err(super::Error::NoLimit(shown()));
        }
        if limit.is_none() && self.helpers.is_some() {
            return Err(super::Error::LimitNeedsRoot("takes a limit off", shown()));
        }
        Ok(change_limit(layout, path, limit, self.helpers.as_ref())?)
    }

    fn create_image(&self, layout: &Layout, request: &ImageRequest<'_>) -> Result<Vec<Mount>, super::Error> {
        Ok(create_image(layout, request, self.helpers.as_ref())?)
    }

    fn create_image_volume(&self, layout: &Layout, image: &Path, path: &Path) -> Result<(), super::Error> {
        Ok(create_image_volume(layout, image, path, self.helpers.as_ref())?)
    }

    fn leftovers(&self, layout: &Layout) -> Result<Vec<PathBuf>, super::Error> {
        let stale = quota::stale(layout).map_err(Error::from)?;
        Ok(stale.into_iter().map(|id| PathBuf::from(format!("qgroup 0/{id}"))).collect())
    }

    fn layers_of_image(&self, layout: &Layout, image: &Path) -> Result<Option<Vec<String>>, super::Error> {
        let rootfs = rootfs_of(image)?;
        if !subvolumes::is_subvolume(&rootfs)? {
            return Ok(None);
        }
        Ok(Some(subvolumes::origins(&rootfs, &layout.volumes())?))
    }

    fn own_files(&self, path: &Path) -> Result<PathBuf, super::Error> {
        Ok(rootfs_of(path)?)
    }

    fn rootfs_state(&self, path: &Path) -> Result<RootfsState, super::Error> {
        let is_left_to_caller = files::exists(&path.join(SNAPSHOT))?;
        Ok(if is_left_to_caller { RootfsState::LeftToCaller } else { RootfsState::Present })
    }

    fn remove_image(&self, layout: &Layout, image: &Path) -> Result<(), super::Error> {
        Ok(remove_image(layout, image, self.helpers.as_ref())?)
    }

    fn usage(&self, _layout: &Layout, image: &Path) -> Result<Usage, super::Error> {
        Ok(usage(image, self.helpers.as_ref())?)
    }

    fn remove_leftovers(&self, layout: &Layout) -> Result<(), super::Error> {
        Ok(quota::reclaim(layout, self.helpers.as_ref()).map_err(Error::from)?)
    }
}

fn create_image(layout: &Layout, request: &ImageRequest<'_>, helpers: Option<&Helpers>) -> Result<Vec<Mount>, Error> {
    let layers = Volume::total_size(request.volumes);
    image_files::write(&request.directory.join(image_files::INFO), layers)?;
    let name = if request.mount { ROOTFS } else { SNAPSHOT };
    let rootfs = request.directory.join(name);
    match request.volumes.last() {
        Some(top) => subvolumes::snapshot(&layout.volume(top.chain_id.as_str()), &rootfs)?,
        None => subvolumes::create(&rootfs)?,
    }
    // Whatever the image says of its own root.
    own_root(request.owner).chown(&rootfs)?;
    files::chmod_directory(&rootfs, 0o755)?;
    if let Some(limit) = request.limit {
        let store = open_store(layout.root())?;
        let (limit, own) = quota::raised(layout, &store, limit, layers, request.declared_volumes)?;
        // First, for whoever removes the image looks here whether there is a group to be removed with it.
        image_files::write(&request.directory.join(image_files::QUOTA), own)?;
        quota::apply(layout, &store, &rootfs, limit, layers, helpers)?;
    }
    for name in [image_files::INFO, image_files::QUOTA] {
        request.owner.chown_if_exists(&request.directory.join(name))?;
    }
    if request.mount {
        return Ok(Vec::new());
    }
    let mount_point = request.directory.join(ROOTFS);
    files::create_directory(&mount_point)?;
    request.owner.chown(&mount_point)?;
    Ok(vec![entry_for_caller(request.published)])
}

/// The kernel first: a record of a limit that is not kept would be worse than none of one that is. With classic quotas each
/// volume has a limit of its own.
fn change_limit(
    layout: &Layout,
    image: &Path,
    limit: Option<DiskLimit>,
    helpers: Option<&Helpers>,
) -> Result<(), Error> {
    let rootfs = rootfs_of(image)?;
    let layers = image_files::read_if_there(&image.join(image_files::INFO))?.unwrap_or(0);
    let volumes: Vec<String> = files::names(image)?.into_iter().filter(|name| name.starts_with(VOLUME)).collect();
    let own = match limit {
        Some(limit) => {
            let store = open_store(layout.root())?;
            let (limit, own) = quota::raised(layout, &store, limit, layers, volumes.len())?;
            quota::apply(layout, &store, &rootfs, limit, layers, helpers)?;
            own
        }
        None => {
            quota::take_off(layout, &rootfs)?;
            0
        }
    };
    for volume in volumes {
        match limit {
            Some(_) => quota::limit_volume(layout, &image.join(volume), own, helpers)?,
            None => quota::take_off_volume(layout, &image.join(volume))?,
        }
    }
    Ok(image_files::replace(layout, image, image_files::QUOTA, own)?)
}

/// Whose the root directory of an image is: its owner's, or that of whoever makes it, if he can have it.
fn own_root(owner: Owner) -> Owner {
    if !rustix::process::geteuid().is_root() {
        return owner;
    }
    Owner { uid: owner.uid.or(Some(0)), gid: owner.gid.or(Some(0)) }
}

/// Only what is in a subvolume is counted. Where there is a limit the volume becomes a subvolume of its own, made inside
/// the root filesystem, so that it shares that one's limit, and moved out. With classic quotas it does not share it, but
/// has another one like it.
fn create_image_volume(layout: &Layout, image: &Path, path: &Path, helpers: Option<&Helpers>) -> Result<(), Error> {
    let limit = image.join(image_files::QUOTA);
    if !files::exists(&limit)? {
        return Ok(files::create_directory(path)?);
    }
    let inside = rootfs_of(image)?.join(format!(".volume-{}", random_number()?));
    subvolumes::create(&inside)?;
    files::rename(&inside, path)?;
    Ok(quota::limit_volume(layout, path, image_files::read(&limit)?, helpers)?)
}

/// Limits go first, then what they were of, then the record that there were some.
fn remove_image(layout: &Layout, path: &Path, helpers: Option<&Helpers>) -> Result<(), Error> {
    let directory = open(path)?;
    // It leads to the same directory whatever its owner makes of the name.
    let image = descriptors::name_of(&directory);
    let is_of_files = |name: &String| name == ROOTFS || name == SNAPSHOT || name.starts_with(VOLUME);
    let parts: Vec<PathBuf> =
        files::names(&image)?.into_iter().filter(is_of_files).map(|name| image.join(name)).collect();
    if files::exists(&image.join(image_files::QUOTA))? {
        release_all(layout, &parts, helpers)?;
    }
    for part in &parts {
        removal::remove(part)?;
    }
    Ok(removal::remove(path)?)
}

fn release_all(layout: &Layout, parts: &[PathBuf], helpers: Option<&Helpers>) -> Result<(), Error> {
    for part in parts {
        if subvolumes::is_subvolume(part)? {
            quota::release(layout, part, helpers);
        }
    }
    Ok(())
}

/// The subvolume that is the image's root filesystem.
fn rootfs_of(image: &Path) -> Result<PathBuf, PathError> {
    let snapshot = image.join(SNAPSHOT);
    Ok(if files::exists(&snapshot)? { snapshot } else { image.join(ROOTFS) })
}

/// The entry for a caller that mounts the root filesystem itself.
fn entry_for_caller(image: &Path) -> Mount {
    Mount {
        destination: image.join(ROOTFS).display().to_string(),
        kind: String::new(),
        source: image.join(SNAPSHOT).display().to_string(),
        options: vec!["bind".into()],
    }
}

fn usage(image: &Path, helpers: Option<&Helpers>) -> Result<Usage, Error> {
    let rootfs = rootfs_of(image)?;
    // The original kept no record of it here.
    let layers = image_files::read_if_there(&image.join(image_files::INFO))?;
    Ok(quota::usage(&rootfs, layers, helpers)?)
}
